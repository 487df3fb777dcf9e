//! The answer of Create order or Get order data, as far as tracking needs it (nexway-connect.md, sections 5.1 and 6).

use serde_json::Value;

use crate::convention::Created;
use crate::text::visible;

pub fn read(text: &str) -> Result<Created, String> {
    let order: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        // The error's own text may quote a key.
        .map_err(|e| format!("not JSON (line {}, column {})", e.line(), e.column()))?;
    if !order.is_object() {
        return Err("not a JSON object".to_owned());
    }
    accepted(&order)?;
    let partner_order_number = match &order["partnerOrderNumber"] {
        Value::String(number) => number.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err("it has no partnerOrderNumber".to_owned()),
    };
    let mut subscription_ids = Vec::new();
    let lines = order["orderLines"].as_array().into_iter().flatten();
    for item in lines.flat_map(|line| line["lineItems"].as_array().into_iter().flatten()) {
        if let Some(id @ 1..) = whole_number(&item["subscriptionId"])
            && !subscription_ids.contains(&id.to_string())
        {
            subscription_ids.push(id.to_string());
        }
    }
    if subscription_ids.is_empty() {
        return Err("it holds no subscription: no line item has a subscriptionId other than 0".to_owned());
    }
    Ok(Created { partner_order_number, subscription_ids })
}

/// Whether the provider took the order; a missing code is no refusal.
fn accepted(order: &Value) -> Result<(), String> {
    for (code, message) in [("responseCode", "responseMessage"), ("code", "message")] {
        match &order[code] {
            Value::Null => {}
            value if whole_number(value) == Some(0) => {}
            value => {
                let text: String = order[message].as_str().unwrap_or_default().chars().take(200).collect();
                return Err(visible(&format!("the provider refused it with {code} {value}: {text}")));
            }
        }
    }
    Ok(())
}

fn whole_number(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_i64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subscription_of_an_order_is_found_once() {
        let order = read(
            r#"{"partnerOrderNumber": "P", "responseCode": "0", "orderLines": [
                {"lineItems": [{"subscriptionId": 7}, {"subscriptionId": 0}, {"subscriptionId": null}]},
                {"lineItems": [{"subscriptionId": "8"}, {"subscriptionId": 7}]}, {}]}"#,
        );
        assert_eq!(
            order,
            Ok(Created { partner_order_number: "P".into(), subscription_ids: vec!["7".into(), "8".into()] })
        );
    }

    #[test]
    fn an_order_that_is_none_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "not JSON"),
            ("[]", "not a JSON object"),
            (r#"{"responseCode": 1010, "responseMessage": "already \u001bcreated"}"#, "1010: already \\u{1b}created"),
            (r#"{"responseCode": 0}"#, "no partnerOrderNumber"),
            (r#"{"responseCode": 0, "partnerOrderNumber": "P", "orderLines": []}"#, "no subscription"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
