//! Whom a notification is about (nexway-monetize.md, section 6). Nothing in it is believed: anybody may have written it, and what it
//! says of the subscription is asked for.

use serde_json::Value;

use super::convention::CONVENTION;

/// Subscriptions that one notification may be about.
const MOST: usize = 50;

/// Their ids, each once, in the form in which they are stored. Keys and words are read in any spelling.
pub fn hinted(body: &[u8]) -> Vec<String> {
    let body: Value = match serde_json::from_slice(body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body)) {
        Ok(body) => body,
        Err(_) => return Vec::new(),
    };
    let mut found = Vec::new();
    let mut add = |id: Option<&Value>| {
        let Some(id) = id.and_then(text).and_then(|id| CONVENTION.subscription_id(&id).ok()) else { return };
        if found.len() < MOST && !found.contains(&id) {
            found.push(id);
        }
    };
    for told in each(&body) {
        let subject = get(told, "subject").and_then(text).unwrap_or_default();
        if plain(&subject) == "subscription" {
            add(get(told, "objectid"));
        }
        add(get(told, "subscriptionid"));
        add(get(told, "subscription").and_then(|subscription| get(subscription, "id")));
        add(get(told, "enduser").and_then(|user| get(user, "subscriptionid")));
        let Some(order) = get(told, "order") else { continue };
        add(get(order, "subscriptionid"));
        add(get(order, "subscription").and_then(|subscription| get(subscription, "id")));
        for item in ["items", "lineitems"].into_iter().filter_map(|key| get(order, key)).flat_map(each) {
            add(get(item, "subscriptionid"));
            add(get(item, "subscription").and_then(|subscription| get(subscription, "id")));
        }
    }
    found
}

/// The elements of a list, or the value alone.
fn each(value: &Value) -> &[Value] {
    match value {
        Value::Array(all) => all,
        one => std::slice::from_ref(one),
    }
}

fn get<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value.as_object()?.iter().find(|(name, value)| plain(name) == key && !value.is_null()).map(|(_, value)| value)
}

/// Without case, spaces and what joins words.
fn plain(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const A: &str = "11111111-aaaa-4aaa-8aaa-111111111111";
    const B: &str = "22222222-bbbb-4bbb-8bbb-222222222222";

    fn of(body: Value) -> Vec<String> {
        hinted(body.to_string().as_bytes())
    }

    #[test]
    fn each_form_names_its_subscriptions() {
        let order = json!({"subject": "order", "type": "renewCompleted", "objectId": "42WRNTVCTVJ", "order": {"id": "42WRNTVCTVJ",
            "items": [{"subscriptionId": A, "subscription": {"id": A.to_uppercase()}}, {"subscription": {"id": B}}, {"id": "x"}]}});
        assert_eq!(of(order), [A, B]);
        for body in [
            json!({"subject": "subscription", "type": "suspended", "objectId": A}),
            json!({"subject": "Subscription", "type": "expiration date updated", "subscription": {"id": A}}),
            json!({"Subject": "SUBSCRIPTION", "object_id": A, "subscription": null}),
            json!({"subject": "endUser", "objectId": B, "enduser": {"id": B, "subscriptionId": A}}),
            json!({"subject": "endUser", "endUser": {"subscription_id": A}}),
            json!({"subject": "order", "order": {"items": {"subscriptionId": A}}}),
            json!({"orderId": "x", "subscriptionId": A}),
            json!([{"subject": "order", "order": {"subscriptionId": A}}]),
        ] {
            assert_eq!(of(body.clone()), [A], "{body}");
        }
    }

    #[test]
    fn what_names_nobody_hints_at_nobody() {
        for body in [
            json!({"subject": "order", "objectId": A, "order": {"id": A}}),
            json!({"subject": "cart", "type": "abandoned", "objectId": A}),
            json!({"subject": "subscription", "objectId": {"id": A}}),
            json!({"subject": "subscription", "objectId": ""}),
            json!({"subject": "subscription", "objectId": "a\nb"}),
            json!({"subject": ["subscription"], "order": [7, null, "x"], "enduser": A}),
            json!([]),
            json!(null),
        ] {
            assert_eq!(of(body.clone()), Vec::<String>::new(), "{body}");
        }
        for body in [&b""[..], b"{", b"\xff", b"a=b&subscription=x"] {
            assert!(hinted(body).is_empty());
        }
    }

    #[test]
    fn one_that_names_everybody_is_bounded() {
        let items: Vec<_> = (0..10_000).map(|n| json!({"subscriptionId": format!("s{n}")})).collect();
        let found = of(json!({"order": {"items": items}}));
        assert_eq!((found.len(), found[0].as_str(), found[49].as_str()), (50, "s0", "s49"));
    }

    proptest! {
        #[test]
        fn whatever_is_sent_gives_ids_that_can_be_tracked(body in any::<Vec<u8>>(), text in ".*") {
            prop_assert!(hinted(&body).len() <= MOST);
            let body = json!({"subject": "subscription", "objectId": text, "order": {"items": [{"subscriptionId": text}]}});
            for id in of(body) {
                prop_assert_eq!(CONVENTION.subscription_id(&id), Ok(id));
            }
        }
    }
}
