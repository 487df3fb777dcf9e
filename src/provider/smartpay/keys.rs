//! Keys that the operator put into a subscription's metadata (smartpay.md, section 3).

use serde_json::Value;

use super::fields::Fields;
use crate::delivery::{LicenceKey, Line, Serial};

/// Bytes of a name.
const LONGEST_NAME: usize = 255;

/// A text or a list of texts at this place of the metadata, which is JSON, or a text that holds it; `None`: nothing is there.
pub fn found(subscription: &Fields<'_>, pointer: &str) -> Option<Line> {
    let metadata: Value = serde_json::from_str(subscription.raw("merchantmetadata")?.get()).ok()?;
    let metadata = match metadata {
        Value::String(text) => serde_json::from_str(&text).ok()?,
        other => other,
    };
    let keys: Vec<&str> = match metadata.pointer(pointer)? {
        Value::String(key) => vec![key],
        Value::Array(keys) => keys.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let serials: Vec<_> = keys.into_iter().filter(|key| !key.trim().is_empty()).map(serial).collect();
    (!serials.is_empty()).then(|| Line {
        product_ref: subscription.name("planid", LONGEST_NAME),
        remark: String::new(),
        digital_locker_link: String::new(),
        download_until: None,
        serials,
        files: Vec::new(),
    })
}

fn serial(key: &str) -> Serial {
    let (encoding, charset) = ("text".to_owned(), "utf-8".to_owned());
    Serial { data: LicenceKey::new(key.to_owned()), encoding, charset, file_name: String::new() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_a_text_or_a_list_of_them_at_the_given_place() {
        let of = |metadata: Value| {
            let body = json!({"id": "a", "planId": "SubscriptionPlan-1", "merchantMetadata": metadata}).to_string();
            let line = found(&serde_json::from_str(&body).unwrap(), "/licence/key")?;
            assert_eq!(line.product_ref.as_deref(), Some("SubscriptionPlan-1"));
            Some(line.serials.iter().map(|serial| serial.data.reveal().to_owned()).collect::<Vec<_>>())
        };
        let one = Some(vec!["K-1".to_owned()]);
        assert_eq!(of(json!(r#"{"licence": {"key": "K-1"}}"#)), one);
        assert_eq!(of(json!({"licence": {"key": ["K-1", "", 7]}})), one);
        for nothing in [
            json!(null),
            json!("K-1"),
            json!("{"),
            json!({"licence": {"key": ""}}),
            json!({"licence": {"key": {}}}),
            json!([]),
        ] {
            assert_eq!(of(nothing.clone()), None, "{nothing}");
        }
    }
}
