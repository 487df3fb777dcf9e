//! Billing cycles: a captured one is a delivery (smartpay.md, sections 3 and 4).

use super::convention::reference_of;
use super::dates::{Day, Zone};
use super::fields::Fields;
use crate::clock::Timestamp;

/// Bytes.
const LONGEST_ID: usize = 255;
/// Characters of a status.
const LONGEST_WORD: usize = 60;

#[derive(Clone, Debug)]
pub struct Cycle {
    /// As it is spelled there.
    pub id: String,
    /// What it is called here; `None`: its id is none that can be asked for.
    pub reference: Option<String>,
    /// In lower case; empty: not told.
    pub word: String,
    pub paid_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    pub billing_day: Option<Day>,
    pub first_day: Option<Day>,
    pub last_day: Option<Day>,
    pub amount: Option<String>,
    pub currency: Option<String>,
    /// Whose it is, where it says.
    pub subscription_id: Option<String>,
    /// When all this was told.
    pub told_at: Timestamp,
}

/// Those of one subscription.
#[derive(Debug)]
pub struct Cycles {
    pub all: Vec<Cycle>,
    /// All that there are, as far as can be told.
    pub is_whole: bool,
    /// The list counts more: it is read again.
    pub is_short: bool,
}

impl Cycle {
    /// `None`: it has no id. Much of it is about a person, and is not read.
    pub fn of(fields: &Fields<'_>, now: Timestamp) -> Option<Self> {
        let day = |key: &str| fields.text(key).and_then(|text| Day::read(&text));
        let word = fields.text("status").unwrap_or_default();
        let id = fields.name("id", LONGEST_ID)?;
        Some(Self {
            reference: reference_of(&id),
            id,
            word: word.chars().take(LONGEST_WORD).flat_map(char::to_lowercase).collect(),
            paid_at: fields.instant("paidat", now),
            updated_at: fields.instant("updatedat", now),
            billing_day: day("billingdate"),
            first_day: day("billingperiodstart"),
            last_day: day("billingperiodend"),
            amount: fields.written("amount"),
            currency: fields.text("currency").or_else(|| fields.text("currencyisocode")),
            subscription_id: fields.text("subscriptionid"),
            told_at: now,
        })
    }

    /// Settled is what comes after captured, where payments are concerned.
    pub fn is_paid(&self) -> bool {
        matches!(self.word.as_str(), "captured" | "settled")
    }

    /// It was paid, and what it is called says neither that nor the contrary.
    pub fn is_paid_by_another_word(&self) -> bool {
        self.paid_at.is_some() && !self.is_paid() && !matches!(self.word.as_str(), "failed" | "error")
    }

    /// Whether it may still be paid for. One whose day has not come is none that anybody waits for.
    pub fn is_unpaid(&self, zone: &Zone, now: Timestamp) -> bool {
        let is_tried = matches!(self.word.as_str(), "failed" | "error");
        let begins = self.billing_day.and_then(|day| day.begins_not_before(zone));
        !self.is_paid() && (is_tried || begins.is_none_or(|begins| begins <= now))
    }

    /// When it was paid for, where that is told.
    pub fn completed_at(&self) -> Option<Timestamp> {
        self.paid_at.or(self.updated_at)
    }
}

impl Cycles {
    /// In the order in which they were paid for, by which the core labels them, too.
    pub fn paid(&self) -> Vec<(&str, &Cycle)> {
        let paid = self.all.iter().filter(|cycle| cycle.is_paid());
        let mut paid: Vec<_> = paid.filter_map(|cycle| Some((cycle.reference.as_deref()?, cycle))).collect();
        paid.sort_by_key(|(reference, cycle)| (cycle.completed_at().is_none(), cycle.completed_at(), *reference));
        paid
    }

    /// The newest that is left unpaid.
    pub fn newest_trouble(&self, zone: &Zone, now: Timestamp) -> Option<&Cycle> {
        self.all.iter().filter(|cycle| cycle.is_unpaid(zone, now)).max_by_key(|cycle| cycle.billing_day)
    }

    /// The one that the present trouble began with: the oldest unpaid after what was paid for, else the newest.
    pub fn trouble(&self, zone: &Zone, now: Timestamp) -> Option<&Cycle> {
        let paid_up_to = self.all.iter().filter(|cycle| cycle.is_paid()).filter_map(|cycle| cycle.billing_day).max();
        let mut unpaid: Vec<_> = self.all.iter().filter(|cycle| cycle.is_unpaid(zone, now)).collect();
        unpaid.sort_by_key(|cycle| cycle.billing_day);
        let after = unpaid.iter().find(|cycle| cycle.billing_day > paid_up_to);
        after.or(unpaid.last()).copied()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_780_000_000); // 2026-05-28T20:26:40Z

    fn cycle(json: &str) -> Cycle {
        Cycle::of(&serde_json::from_str(json).unwrap(), NOW).unwrap()
    }

    #[test]
    fn a_cycle_is_paid_for_in_either_spelling() {
        let plain = r#"{"id": "BillingCycle-A", "status": "Captured", "paidAt": "2026-05-01T15:00:44.718Z", "amount": 10.00, "currency": "EUR"}"#;
        let odd = "{\"id\": \"billingcycle-a\", \"status\": \"captured\", \"paid\u{410}t\": \"2026-05-01T15:00:44.71Z\", \"amount\": \"10.00\", \"Currency\": \"EUR\"}";
        let late = r#"{"id": "BILLINGCYCLE-A", "status": "CAPTURED", "paidAt": null, "updatedAt": "2026-05-01T15:00:44Z", "amount": "10.00", "currencyIsoCode": "EUR"}"#;
        for json in [plain, odd, late] {
            let cycle = cycle(json);
            assert!(cycle.is_paid() && !cycle.is_unpaid(&Zone::default(), NOW), "{json}");
            assert_eq!(cycle.completed_at(), Some(Timestamp::from_unix(1_777_647_644)), "{json}");
            assert_eq!(cycle.reference.as_deref(), Some("billingcycle-a"));
            assert_eq!((cycle.amount.as_deref(), cycle.currency.as_deref()), (Some("10.00"), Some("EUR")), "{json}");
        }
    }

    #[test]
    fn what_waits_for_its_day_is_not_unpaid_and_what_failed_is() {
        let unpaid = |status: &str, day: &str| {
            let json = json!({"id": "a", "status": status, "billingDate": day});
            cycle(&json.to_string()).is_unpaid(&Zone::default(), NOW)
        };
        assert!(unpaid("Failed", "2026-06-28") && unpaid("error", "2026-01-01") && unpaid("scheduled", "2026-05-28"));
        assert!(!unpaid("scheduled", "2026-06-28") && unpaid("", ""));
    }

    #[test]
    fn trouble_begins_with_the_oldest_after_what_was_paid_for() {
        let of = |cycles: &[(&str, &str, &str)]| {
            let one = |(id, status, day): &(&str, &str, &str)| {
                cycle(&json!({"id": id, "status": status, "billingDate": day}).to_string())
            };
            let cycles = Cycles { all: cycles.iter().map(one).collect(), is_whole: true, is_short: false };
            cycles.trouble(&Zone::default(), NOW).map(|cycle| cycle.id.clone())
        };
        let old = ("old", "Failed", "2026-01-01");
        let paid = ("paid", "Captured", "2026-02-01");
        let (third, fourth) = (("third", "Failed", "2026-03-01"), ("fourth", "Error", "2026-04-01"));
        assert_eq!(of(&[fourth, third, paid, old]).as_deref(), Some("third"));
        assert_eq!(of(&[paid, old]).as_deref(), Some("old"));
        assert_eq!(of(&[paid]), None);
    }
}
