//! The answer of Create order or Get order data, as far as tracking needs it (nexway-connect.md, sections 5.1 and 6).

use std::fs::File;
use std::io::{Read, stdin};
use std::path::Path;

use serde_json::Value;

use super::super::{Error, Exit};
use crate::text::visible;

/// Order data may carry licence files.
const MOST_BYTES: u64 = 64 << 20;

#[derive(Debug, PartialEq, Eq)]
pub struct Order {
    pub partner_order_number: String,
    /// Each once, never empty.
    pub subscription_ids: Vec<String>,
}

/// Reads an order from a file, or from stdin where that is `-`.
pub fn read(path: &Path) -> Result<Order, Error> {
    let mut text = String::new();
    let from_stdin = path.as_os_str() == "-";
    let done = if from_stdin {
        stdin().lock().take(MOST_BYTES).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text))
    };
    let shown = if from_stdin { "stdin".to_owned() } else { visible(&path.display().to_string()) };
    match done {
        Ok(_) => parse(&text).map_err(|reason| Error::bad_input(format!("order in {shown}: {reason}"))),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Err(Error::bad_input(format!("order in {shown}: not UTF-8")))
        }
        Err(error) => Err(Error::new(Exit::BadInput, format!("cannot read the order in {shown}: {error}"))),
    }
}

fn parse(text: &str) -> Result<Order, String> {
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
    Ok(Order { partner_order_number, subscription_ids })
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
        let order = parse(
            r#"{"partnerOrderNumber": "P", "responseCode": "0", "orderLines": [
                {"lineItems": [{"subscriptionId": 7}, {"subscriptionId": 0}, {"subscriptionId": null}]},
                {"lineItems": [{"subscriptionId": "8"}, {"subscriptionId": 7}]}, {}]}"#,
        );
        assert_eq!(
            order,
            Ok(Order { partner_order_number: "P".into(), subscription_ids: vec!["7".into(), "8".into()] })
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
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
