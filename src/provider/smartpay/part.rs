//! What a captured billing cycle holds for its subscription: the charge, the period, and a key where the operator put one
//! (smartpay.md, section 3).

use super::convention::{is_same, reference_of};
use super::cycle::Cycle;
use super::dates::Zone;
use super::transaction::{Transaction, decisive};
use crate::delivery::{Charge, Delivery, Line, Period, Warning};
use crate::provider::{Class, Keys, Part, Verdict};

/// A billing cycle with all that belongs to it. What else was asked for may have been refused.
pub struct Answer {
    pub cycle: Cycle,
    pub transactions: Result<Vec<Transaction>, Verdict>,
    pub keys: Result<Option<Line>, Verdict>,
    pub zone: Zone,
}

/// Why nothing of this billing cycle is the subscription's, or is to be handed over, if so.
pub fn unusable(cycle: &Cycle, reference: &str, subscription_id: &str) -> Option<Verdict> {
    if reference_of(&cycle.id).as_deref() != Some(reference) {
        return Some(not_ours("answered for another billing cycle"));
    }
    if cycle.subscription_id.as_ref().is_some_and(|id| !is_same(id, subscription_id)) {
        return Some(not_ours("the billing cycle is another subscription's"));
    }
    (!cycle.is_paid()).then(|| {
        let word = if cycle.word.is_empty() { "without a status" } else { &cycle.word };
        Verdict { class: Class::Waiting, code: 0, message: format!("the billing cycle is {word}") }
    })
}

pub fn not_ours(why: &str) -> Verdict {
    Verdict { class: Class::NotFound, code: 0, message: why.to_owned() }
}

/// What is handed over; not yet, where a key is still to be read, or the attempts may be in a moment.
pub fn part(answer: Answer) -> Part {
    let Answer { cycle, transactions, keys, zone } = answer;
    let passes = transactions.as_ref().err().filter(|verdict| verdict.class == Class::Transient);
    let waits = keys.as_ref().err().or(passes).cloned();
    let lacks = transactions.is_err() || keys.is_err();
    let transactions = transactions.unwrap_or_default();
    let decisive = decisive(&transactions);
    let charge = Charge {
        amount: cycle.amount.clone(),
        currency: cycle.currency.clone(),
        state: Some(cycle.word.clone()),
        attempts: i64::try_from(transactions.len()).ok().filter(|count| *count > 0),
        reference: decisive
            .map(|one| one.settlement_id.clone().or_else(|| one.payment_id.clone()).unwrap_or_else(|| one.id.clone())),
    };
    let mut delivery = Delivery {
        order_number: decisive.map(|one| one.payment_id.clone().unwrap_or_else(|| one.id.clone())),
        period: period(&cycle, &zone),
        charge: Some(Box::new(charge)),
        lines: keys.ok().flatten().into_iter().collect(),
        ..Delivery::default()
    };
    if lacks {
        delivery.warn(Warning::Partial);
    }
    let verdict = waits.unwrap_or_else(Verdict::success);
    Part { verdict, delivery: Some(delivery), dropped: None, keys: Keys::NotExpected }
}

/// From the beginning of its first day to the end of its last one.
fn period(cycle: &Cycle, zone: &Zone) -> Option<Period> {
    let period = Period {
        start: cycle.first_day.and_then(|day| day.begins(zone, cycle.told_at)),
        end: cycle.last_day.and_then(|day| day.ends(zone, cycle.told_at)),
    };
    (period.start.is_some() || period.end.is_some()).then_some(period)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::Timestamp;
    use crate::provider::smartpay::transaction::embedded;

    const NOW: Timestamp = Timestamp::constant(1_780_000_000);

    fn cycle(change: serde_json::Value) -> Cycle {
        let mut body = json!({"id": "BillingCycle-A", "status": "Captured", "paidAt": "2026-03-31T15:00:44.718Z", "amount": "10.00",
                              "currency": "EUR", "billingPeriodStart": "2026-03-01", "billingPeriodEnd": "2026-03-31"});
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        Cycle::of(&serde_json::from_str(&body.to_string()).unwrap(), NOW).unwrap()
    }

    #[test]
    fn what_is_not_ours_or_not_paid_for_is_not_handed_over() {
        let why = |change| unusable(&cycle(change), "billingcycle-a", "subscription-a").map(|verdict| verdict.class);
        assert_eq!(why(json!({"subscriptionId": "Subscription-A"})), None);
        assert_eq!(why(json!({"subscriptionId": "Subscription-B"})), Some(Class::NotFound));
        assert_eq!(why(json!({"id": "BillingCycle-B"})), Some(Class::NotFound));
        for status in ["Failed", "Error", "", "Reversed"] {
            assert_eq!(why(json!({"status": status})), Some(Class::Waiting), "{status}");
        }
    }

    #[test]
    fn the_charge_is_told_as_it_is_and_the_period_by_whole_days() {
        let rows = r#"{"transactions": [{"id": "T2", "paymentStatus": "captured", "transactionReferenceId": "P2", "reconciliationReferenceId": "R2"},
                                        {"id": "T1", "paymentStatus": null}]}"#;
        let transactions = Ok(embedded(&serde_json::from_str(rows).unwrap(), NOW));
        let zone = Zone::read(Some("Europe/Berlin"));
        let part = part(Answer { cycle: cycle(json!({})), transactions, keys: Ok(None), zone });
        assert_eq!((part.verdict.class, part.keys), (Class::Success, Keys::NotExpected));
        let delivery = part.delivery.unwrap();
        assert_eq!(delivery.order_number.as_deref(), Some("P2"));
        let charge = delivery.charge.unwrap();
        let told = (charge.amount.as_deref(), charge.state.as_deref(), charge.attempts, charge.reference.as_deref());
        assert_eq!(told, (Some("10.00"), Some("captured"), Some(2), Some("R2")));
        let period = delivery.period.unwrap();
        assert_eq!(period.start.unwrap().to_string(), "2026-02-28T23:00:00Z");
        assert_eq!(period.end.unwrap().to_string(), "2026-03-31T22:00:00Z");
    }

    #[test]
    fn a_charge_is_told_without_its_attempts_where_they_are_refused() {
        let of =
            |transactions, keys| part(Answer { cycle: cycle(json!({})), transactions, keys, zone: Zone::default() });
        for class in [Class::NotFound, Class::Configuration, Class::Permanent] {
            let part = of(Err(Verdict { class, code: 403, message: String::new() }), Ok(None));
            assert_eq!(part.verdict.class, Class::Success, "{class:?}");
            let delivery = part.delivery.unwrap();
            assert_eq!((delivery.warnings.as_slice(), delivery.order_number), ([Warning::Partial].as_slice(), None));
            assert_eq!(delivery.charge.unwrap().amount.as_deref(), Some("10.00"));
        }
        let passes = of(Err(Verdict { class: Class::Transient, code: 503, message: String::new() }), Ok(None));
        assert_eq!(
            (passes.verdict.class, passes.delivery.is_some()),
            (Class::Transient, true),
            "they may be there soon"
        );
        assert_eq!(of(Ok(Vec::new()), Err(not_ours("gone"))).verdict.class, Class::NotFound, "a key is waited for");
    }
}
