//! What one look notes for the next: how the subscription stood, and what its billing cycles have told so far.
//!
//! Small, whatever the API sends: it is stored for each subscription.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::dates::Zone;
use super::subscription::Subscription;
use crate::clock::Timestamp;

/// That every capture touches the subscription is inferred. Less than a day, so that the look of each day reads them.
const LISTED_AGAIN: Duration = Duration::from_secs(20 * 3600);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memo {
    /// As the API spells it: it may mind the case.
    pub id: Option<String>,
    updated: Option<String>,
    updated_at: Option<i64>,
    status: Option<String>,
    next_billing: Option<String>,
    remaining: Option<i64>,
    zone: Option<String>,
    /// When all the billing cycles were read last; `None`: they have to be read again.
    pub listed_at: Option<i64>,
    /// Captured ones then.
    pub captured: i64,
    /// One of them was left unpaid.
    pub has_unpaid: bool,
    pub failing: Option<Episode>,
}

/// A payment that fails: of which delivery and since when, as it was first told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    pub generation: i64,
    pub since: Option<i64>,
}

impl Memo {
    /// `None`: there is none yet, or none that can be read.
    pub fn read(text: Option<&str>) -> Option<Self> {
        serde_json::from_str(text?).ok()
    }

    /// With how it stands now in place of how it stood.
    pub fn noting(self, subscription: &Subscription) -> Self {
        Self {
            id: Some(subscription.id.clone()),
            updated: subscription.updated.clone(),
            updated_at: subscription.updated_at.map(Timestamp::as_unix),
            status: subscription.words().map(|words| words.to_ascii_lowercase()),
            next_billing: subscription.next_billing.map(|day| day.to_string()),
            remaining: subscription.cycles_remaining,
            zone: subscription.zone.name().map(str::to_owned),
            ..self
        }
    }

    pub fn written(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }

    pub fn zone(&self) -> Zone {
        Zone::read(self.zone.as_deref())
    }

    /// Whether the billing cycles were read lately, and nothing that they left open has to be looked for.
    pub fn is_settled(&self, now: Timestamp) -> bool {
        let is_recent = self.listed_at.map(Timestamp::from_unix).is_some_and(|at| at <= now && now < at + LISTED_AGAIN);
        is_recent && !self.has_unpaid
    }

    /// Whether the subscription was changed at the same time, so that a row of a list says nothing new.
    pub fn is_of_the_same(&self, row: &Subscription) -> bool {
        match (self.updated_at, row.updated_at) {
            (Some(ours), Some(theirs)) => ours == theirs.as_unix() && self.updated == row.updated,
            _ => false,
        }
    }

    /// Whether anything that tells of a charge is another than it was.
    pub fn differs_from(&self, subscription: &Subscription) -> bool {
        let Self { updated, status, next_billing, remaining, .. } = Self::default().noting(subscription);
        (updated, status, next_billing, remaining)
            != (self.updated.clone(), self.status.clone(), self.next_billing.clone(), self.remaining)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::smartpay::subscription;

    const NOW: Timestamp = Timestamp::constant(1_780_000_000);

    fn answer(change: Value) -> Subscription {
        let mut body = json!({"id": "Subscription-A", "status": "active", "updatedAt": "2026-05-01T10:00:00.12Z",
                              "nextBillingDate": "2026-06-01", "billingCyclesRemaining": 7, "timezone": "Europe/Berlin"});
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        subscription::read(body.to_string().as_bytes(), NOW).unwrap()
    }

    fn noted() -> Memo {
        Memo { listed_at: Some(NOW.as_unix()), captured: 3, ..Memo::default() }.noting(&answer(json!({})))
    }

    #[test]
    fn what_is_written_is_read_again_and_what_is_broken_is_none() {
        assert_eq!(Memo::read(noted().written().as_deref()), Some(noted()));
        assert_eq!([None, Some(""), Some("v7")].map(Memo::read), [const { None }; 3]);
        assert_eq!(noted().zone(), Zone::read(Some("Europe/Berlin")));
    }

    #[test]
    fn whatever_tells_of_a_charge_is_noticed() {
        assert!(!noted().differs_from(&answer(json!({"status": "Active"}))));
        for change in [
            json!({"status": "overdue"}),
            json!({"updatedAt": "2026-05-01T10:00:00.13Z"}),
            json!({"nextBillingDate": "2026-07-01"}),
            json!({"billingCyclesRemaining": 6}),
            json!({"deletedAt": "2026-05-01T10:00:00.12Z"}),
        ] {
            assert!(noted().differs_from(&answer(change.clone())), "{change}");
        }
    }

    #[test]
    fn a_day_later_and_while_something_is_unpaid_nothing_is_settled() {
        assert!(
            noted().is_settled(NOW)
                && !noted().is_settled(NOW + LISTED_AGAIN)
                && !noted().is_settled(NOW - LISTED_AGAIN)
        );
        assert!(!Memo { has_unpaid: true, ..noted() }.is_settled(NOW));
        assert!(!Memo { listed_at: None, ..noted() }.is_settled(NOW));
    }

    #[test]
    fn it_stays_small_whatever_is_sent() {
        let long = "x".repeat(10_000);
        let body = json!({"id": "a", "status": long, "updatedAt": long, "nextBillingDate": long, "timezone": long});
        let subscription = subscription::read(body.to_string().as_bytes(), NOW).unwrap();
        assert!(Memo::default().noting(&subscription).written().unwrap().len() < 1000);
    }
}
