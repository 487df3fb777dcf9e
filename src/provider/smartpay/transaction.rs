//! Attempts to charge a billing cycle (smartpay.md, section 3).

use super::fields::Fields;
use crate::clock::Timestamp;

/// Bytes. A name that was cut would be another one.
const LONGEST_NAME: usize = 255;

/// One attempt. What it holds of the customer is not read.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub id: String,
    /// Its name at the payment platform.
    pub payment_id: Option<String>,
    /// Its name at the payment provider, as on settlement reports.
    pub settlement_id: Option<String>,
    is_captured: bool,
    at: Option<Timestamp>,
}

impl Transaction {
    /// `None`: it has no id.
    pub fn of(fields: &Fields<'_>, now: Timestamp) -> Option<Self> {
        let status = fields.text("paymentstatus").unwrap_or_default().to_ascii_uppercase().replace('_', "");
        let time = |fields: &Fields<'_>| fields.instant("updatedat", now).or_else(|| fields.instant("createdat", now));
        let logged = fields.objects("transactionlogs").all;
        Some(Self {
            id: fields.name("id", LONGEST_NAME)?,
            payment_id: fields.name("transactionreferenceid", LONGEST_NAME),
            settlement_id: fields.name("reconciliationreferenceid", LONGEST_NAME),
            is_captured: matches!(status.as_str(), "CAPTURED" | "SETTLED"),
            at: logged.iter().filter_map(time).chain(time(fields)).max(),
        })
    }
}

/// Those that a billing cycle shows itself.
pub fn embedded(cycle: &Fields<'_>, now: Timestamp) -> Vec<Transaction> {
    cycle.objects("transactions").all.iter().filter_map(|fields| Transaction::of(fields, now)).collect()
}

/// The newest that was captured; else the newest. Of those whose time is not told the first of the list.
pub fn decisive(all: &[Transaction]) -> Option<&Transaction> {
    all.iter().rev().max_by_key(|one| (one.is_captured, one.at))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_that_was_captured_counts() {
        let now = Timestamp::constant(1_780_000_000);
        let of = |rows: serde_json::Value| {
            let cycle = json!({ "transactions": rows }).to_string();
            decisive(&embedded(&serde_json::from_str(&cycle).unwrap(), now)).map(|one| one.id.clone())
        };
        let log = |day: u8| json!([{"id": "l", "createdAt": format!("2026-05-{day:02}T10:00:00.00Z")}]);
        let failed = json!({"id": "t3", "paymentStatus": null, "transactionLogs": log(9)});
        let first = json!({"id": "t1", "paymentStatus": "captured", "transactionLogs": log(1)});
        let second = json!({"id": "t2", "paymentStatus": "CAPTURED", "transactionLogs": log(2)});
        assert_eq!(of(json!([failed, first, second])).as_deref(), Some("t2"));
        assert_eq!(of(json!([failed, {"id": "t0"}])).as_deref(), Some("t3"));
        assert_eq!(
            of(json!([{"id": "a", "paymentStatus": "Settled"}, {"id": "b", "paymentStatus": "SETTLED"}])).as_deref(),
            Some("a")
        );
        assert_eq!(of(json!([{"x": 1}])), None);
        assert_eq!(of(json!("none")), None);
    }
}
