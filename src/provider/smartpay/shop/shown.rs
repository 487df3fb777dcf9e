//! What is handed on of an answer to a change: chosen members, as they were written. The rest is about a person: consumers, addresses,
//! masked cards and PayPal names.

use serde_json::value::RawValue;

use super::super::fields::{Fields, plain};
use crate::json;
use crate::provider::{Error, body};

/// Of a subscription, a billing cycle or a retry.
const MEMBERS: [&str; 16] = [
    "id",
    "status",
    "createdAt",
    "updatedAt",
    "deletedAt",
    "planId",
    "nextBillingDate",
    "billingCyclesRemaining",
    "billingCycleId",
    "billingDate",
    "billingPeriodStart",
    "billingPeriodEnd",
    "paidAt",
    "amount",
    "currency",
    "currencyIsoCode",
];
/// What is chosen from in the same way.
const OBJECTS: [&str; 2] = ["payment", "billingCycle"];

/// `None`: it is no object.
pub fn shown(bytes: &[u8]) -> Option<Box<RawValue>> {
    let fields = body::parse::<Fields<'_>>(bytes).ok()?;
    let inner: Vec<_> =
        OBJECTS.iter().filter_map(|name| Some((*name, chosen(&object(&fields, name)?, &[])?))).collect();
    chosen(&fields, &inner)
}

/// How the billing cycle that was charged again stands by this answer, in lower case.
///
/// # Errors
/// When it is no object.
pub fn status(bytes: &[u8]) -> Result<Option<String>, Error> {
    let fields = body::parse::<Fields<'_>>(bytes)?;
    let of = |fields: &Fields<'_>| fields.text("status").map(|status| status.to_lowercase());
    Ok(object(&fields, "billingCycle").map_or_else(|| of(&fields), |cycle| of(&cycle)))
}

fn object<'a>(fields: &Fields<'a>, name: &str) -> Option<Fields<'a>> {
    serde_json::from_str(fields.raw(&plain(name))?.get()).ok()
}

fn chosen(fields: &Fields<'_>, inner: &[(&str, Box<RawValue>)]) -> Option<Box<RawValue>> {
    let told = MEMBERS.iter().filter_map(|name| Some((*name, fields.raw(&plain(name))?)));
    let inner = inner.iter().map(|(name, value)| (*name, &**value));
    json::object(told.filter(|(_, value)| json::is_single(value)).chain(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_nobody_is_handed_on_as_it_was_written() {
        let subscription = r#"{"id": "Subscription-1", "Status": "paused", "nextBillingDate": "2026-06-01", "deletedAt": null,
            "payment": {"amount": 10.00, "currencyIsoCode": "EUR", "description": "for Erika"}, "billingCyclesRemaining": 7,
            "consumer": {"email": "erika@customer.example"}, "merchantMetadata": "{}", "customerAccountId": "erika", "currency": {"id": "E"}}"#;
        assert_eq!(
            shown(subscription.as_bytes()).unwrap().get(),
            r#"{"billingCyclesRemaining":7,"id":"Subscription-1","nextBillingDate":"2026-06-01","payment":{"amount":10.00,"currencyIsoCode":"EUR"},"status":"paused"}"#
        );
        let retry = r#"{"id": "Retry-1", "billingCycle": {"id": "BillingCycle-1", "status": "Captured", "amount": "7.30", "currency": "EUR",
            "shortCardNumber": "erika@customer.example", "transactions": [{"consumer": {}}]}, "consumer": "Erika"}"#;
        assert_eq!(
            shown(retry.as_bytes()).unwrap().get(),
            r#"{"billingCycle":{"amount":"7.30","currency":"EUR","id":"BillingCycle-1","status":"Captured"},"id":"Retry-1"}"#
        );
        assert_eq!(status(retry.as_bytes()).unwrap().as_deref(), Some("captured"));
        assert_eq!(status(br#"{"status": "Failed"}"#).unwrap().as_deref(), Some("failed"));
        assert_eq!(status(b"{}").unwrap(), None);
        assert!(shown(b"").is_none() && shown(b"[]").is_none() && status(b"<html>").is_err());
    }
}
