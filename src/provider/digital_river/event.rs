//! Whom an event is about, in the feed or in a notification (digital-river.md, section 6). Nothing else in it is believed: what it
//! says of the subscription is asked for.

use serde_json::Value;

use super::convention::CONVENTION;

/// Subscriptions that one event may be about.
const MOST: usize = 50;

/// The ids of a notification's subscriptions, each once, in the form in which they are stored.
pub fn hinted(body: &[u8]) -> Vec<String> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    serde_json::from_slice(body).map(|event| subscriptions(&event)).unwrap_or_default()
}

/// In whichever of its shapes the event is: the subscription itself, one beside its invoice, what is left of a deleted one, or an
/// order or invoice whose items name it.
pub fn subscriptions(event: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut add = |id: &Value| {
        let Some(id) = text(id).and_then(|id| CONVENTION.subscription_id(&id).ok()) else { return };
        if found.len() < MOST && !found.contains(&id) {
            found.push(id);
        }
    };
    let data = &event["data"];
    let object = &data["object"];
    if is_of_subscription(event) {
        if object["subscription"].is_null() {
            add(&object["id"]);
        }
        add(&data["previousAttributes"]["id"]);
    }
    add(&object["subscription"]["id"]);
    for holder in [object, &object["invoice"]] {
        let items = holder["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().for_each(|item| add(&item["subscriptionInfo"]["subscriptionId"]));
    }
    found
}

/// Whatever happened to it: its types are spelt in several ways.
fn is_of_subscription(event: &Value) -> bool {
    let kind = event["type"].as_str().unwrap_or_default().trim();
    kind.get(..12).is_some_and(|kind| kind.eq_ignore_ascii_case("subscription"))
}

/// Ids, and keys, come as text or as numbers. A number that is not whole, or too long to be read exactly, is neither.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn of(body: Value) -> Vec<String> {
        hinted(body.to_string().as_bytes())
    }

    #[test]
    fn each_shape_names_its_subscription() {
        for body in [
            json!({"type": "subscription.updated", "data": {"object": {"id": "A"}, "previousAttributes": {"state": "draft"}}}),
            json!({"type": "subscription.extended", "data": {"object": {"subscription": {"id": "A"}, "invoice": {"id": "I"}}}}),
            json!({"type": "subscription.deleted", "data": {"object": {}, "previousAttributes": {"id": "A"}}}),
            json!({"type": "Subscription.invalid_source", "data": {"object": {"id": "A"}}}),
            json!({"type": "subscription.lapse", "data": {"object": {"id": " A "}}}),
            json!({"type": "order.accepted", "data": {"object": {"id": "O", "items": [{"subscriptionInfo": {"subscriptionId": "A"}}]}}}),
            json!({"type": "x", "data": {"object": {"subscription": {"id": "A"}, "invoice": {"items": [{"subscriptionInfo": {"subscriptionId": "A"}}]}}}}),
        ] {
            assert_eq!(of(body.clone()), ["A"], "{body}");
        }
        assert_eq!(
            of(json!({"type": "subscription.created", "data": {"object": {"id": 520_984_250_336_u64}}})),
            ["520984250336"]
        );
        let inexact: Value = serde_json::from_str(r#"[12345678901234567890123, 1.10, 7, "007"]"#).unwrap();
        let read: Vec<_> = inexact.as_array().unwrap().iter().map(text).collect();
        assert_eq!(read, [None, None, Some("7".to_owned()), Some("007".to_owned())]);
    }

    #[test]
    fn what_names_nobody_hints_at_nobody() {
        for body in [
            json!({"type": "order.complete", "data": {"object": {"id": "A"}}}),
            json!({"type": "invoice.paid", "data": {"object": {"id": "A", "items": [{"skuId": "s"}]}}}),
            json!({"type": "subscription.deleted", "data": {"object": {}}}),
            json!({"type": "subscription.updated", "data": {"object": {"id": "a\nb"}}}),
            json!({"type": 7, "data": [1]}),
            json!([]),
            json!(null),
        ] {
            assert_eq!(of(body.clone()), Vec::<String>::new(), "{body}");
        }
        for body in [&b""[..], b"{", b"\xff", b"a=b"] {
            assert!(hinted(body).is_empty());
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_gives_ids_that_can_be_tracked(body in any::<Vec<u8>>(), text in ".*") {
            prop_assert!(hinted(&body).len() <= MOST);
            let items: Vec<_> = (0..100).map(|n| json!({"subscriptionInfo": {"subscriptionId": format!("{text}{n}")}})).collect();
            let found = of(json!({"type": "subscription.x", "data": {"object": {"id": text, "items": items}}}));
            prop_assert!(found.len() <= MOST);
            for id in found {
                prop_assert_eq!(CONVENTION.subscription_id(&id), Ok(id));
            }
        }
    }
}
