//! Whom a notification is about (smartpay.md, section 7). Nothing in it is believed: there is no signature, so anybody may have written
//! it, and what it says of the subscription is asked for.

use serde_json::Value;

use super::convention::CONVENTION;
use super::fields::plain;

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
        let id = id.and_then(Value::as_str).and_then(|id| CONVENTION.subscription_id(id).ok());
        if let Some(id) = id.filter(|id| found.len() < MOST && !found.contains(id)) {
            found.push(id);
        }
    };
    for event in each(&body) {
        let is_about_one = |kind: &Value| kind.as_str().is_some_and(|kind| plain(kind) == "subscription");
        let is_subscription = get(event, "objecttype").is_some_and(is_about_one);
        if is_subscription {
            add(get(event, "objectid"));
        }
        add(get(event, "subscriptionid"));
        for part in ["data", "context"].into_iter().filter_map(|key| get(event, key)).flat_map(each) {
            add(get(part, "subscriptionid"));
            add(get(part, "subscription").and_then(|subscription| get(subscription, "id")));
            if is_subscription {
                add(get(part, "id"));
            }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const A: &str = "Subscription-90d9e9bc-fd51-4698-b254-b8a57d3a72d9";
    const STORED: &str = "subscription-90d9e9bc-fd51-4698-b254-b8a57d3a72d9";

    fn of(body: &Value) -> Vec<String> {
        hinted(body.to_string().as_bytes())
    }

    #[test]
    fn each_form_names_its_subscription() {
        for body in [
            json!({"objectType": "subscription", "objectId": A, "eventType": "status.updated", "data": {"id": A.to_uppercase()}}),
            json!({"ObjectType": "SUBSCRIPTION", "object_id": A, "sourceSystem": "subscription-module"}),
            json!({"objectType": "subscription", "data": {"id": A}}),
            json!({"objectType": "billing-cycle", "objectId": "BillingCycle-1", "data": {"id": "BillingCycle-1", "subscriptionId": A}}),
            json!({"objectType": "transaction", "objectId": "Transaction-1", "data": {"subscription": {"id": A}}}),
            json!([{"eventType": "somethingElse", "context": {"subscription_id": A}}]),
        ] {
            assert_eq!(of(&body), [STORED], "{body}");
        }
    }

    #[test]
    fn what_names_nobody_hints_at_nobody_and_what_names_everybody_is_bounded() {
        for body in [
            json!({"objectType": "plan", "objectId": "SubscriptionPlan-1", "data": {"id": "SubscriptionPlan-1"}}),
            json!({"objectType": "billing-cycle", "objectId": "BillingCycle-1", "data": {"id": "BillingCycle-1"}}),
            json!({"objectType": ["subscription"], "objectId": A}),
            json!({"objectType": "subscription", "objectId": {"id": A}}),
            json!({"objectType": "subscription", "objectId": "a\nb", "data": "x"}),
            json!(null),
        ] {
            assert_eq!(of(&body), Vec::<String>::new(), "{body}");
        }
        let data: Vec<_> = (0..10_000).map(|n| json!({"subscriptionId": format!("s{n}")})).collect();
        assert_eq!(of(&json!({ "data": data })).len(), MOST);
        for body in [&b""[..], b"{", b"\xff", b"a=b"] {
            assert!(hinted(body).is_empty());
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_gives_ids_that_can_be_tracked(body in any::<Vec<u8>>(), text in ".*") {
            prop_assert!(hinted(&body).len() <= MOST);
            for id in of(&json!({"objectType": "subscription", "objectId": text, "data": {"subscriptionId": text}})) {
                prop_assert_eq!(CONVENTION.subscription_id(&id), Ok(id));
            }
        }
    }
}
