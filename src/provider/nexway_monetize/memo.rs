//! What one look notes for the next: how the subscription stood, and what its orders have told so far.
//!
//! Small, whatever the platform sends: it is stored for each subscription.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::subscription::Subscription;
use crate::clock::Timestamp;
use crate::delivery::OfferState;

/// Line items, and bytes of the id of each; others are left out.
const MOST_LINE_ITEMS: usize = 8;
/// Offers that are remembered, the newest; others are not told again.
pub const MOST_OFFERS: usize = 16;
/// Bytes of an id.
pub const LONGEST_ID: usize = 64;

/// Not every order is known to touch the subscription it belongs to.
const LISTED_AGAIN: Duration = Duration::from_secs(86_400);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memo {
    version: Option<i64>,
    updated: Option<String>,
    updated_at: Option<i64>,
    generation: Option<i64>,
    status: Option<String>,
    /// Of the present products: what belongs to the subscription though it does not say so.
    pub lines: Vec<String>,
    /// When the orders were read last; `None`: what they have told has to be read again.
    pub listed_at: Option<i64>,
    pub failing: Option<Episode>,
    /// The newest offers, with what was told of each, or needed no telling.
    pub offers: Vec<Told>,
}

/// A payment that fails: since when, as it was first told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    pub generation: i64,
    pub since: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub order: String,
    state: String,
}

impl Told {
    pub fn new(order: &str, state: OfferState) -> Self {
        Self { order: order.to_owned(), state: state.as_str().to_owned() }
    }

    pub fn is_open(&self) -> bool {
        self.state == OfferState::Accepted.as_str()
    }
}

impl Memo {
    /// `None`: there is none yet, or none that can be read.
    pub fn read(text: Option<&str>) -> Option<Self> {
        serde_json::from_str(text?).ok()
    }

    /// With how it stands now in place of how it stood.
    pub fn noting(self, subscription: &Subscription) -> Self {
        let lines = subscription.line_items.iter().filter(|id| id.len() <= LONGEST_ID).take(MOST_LINE_ITEMS);
        Self {
            version: subscription.version,
            generation: subscription.generation,
            status: subscription.status.clone(),
            updated: subscription.updated.clone(),
            updated_at: subscription.updated_at.map(Timestamp::as_unix),
            lines: lines.cloned().collect(),
            ..self
        }
    }

    pub fn written(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }

    /// Whether an answer is older than the one that was noted: one of its two stamps went back and none forward. So a platform that
    /// was restored from a copy is believed again at the next change.
    pub fn is_newer_than(&self, answer: &Subscription) -> bool {
        let version = answer.version.zip(self.version).map(|(now, then)| now.cmp(&then));
        let updated = answer.updated_at.map(Timestamp::as_unix).zip(self.updated_at).map(|(now, then)| now.cmp(&then));
        let is = |order| version == Some(order) || updated == Some(order);
        is(std::cmp::Ordering::Less) && !is(std::cmp::Ordering::Greater)
    }

    /// Whether the orders have to be read.
    pub fn is_stale(&self, answer: &Subscription, now: Timestamp) -> bool {
        let is_recent = self.listed_at.is_some_and(|at| {
            let at = Timestamp::from_unix(at);
            at <= now && now < at + LISTED_AGAIN
        });
        let is_settled = self.failing.is_none() && !self.offers.iter().any(Told::is_open);
        !(is_recent && is_settled) || self.differs_from(answer) || answer.is_on_the_move()
    }

    /// By what both of them tell: a list may leave out what a single answer has, and write a time in another form.
    fn differs_from(&self, answer: &Subscription) -> bool {
        fn differ<T: PartialEq>(ours: &Option<T>, theirs: &Option<T>) -> bool {
            ours.as_ref().zip(theirs.as_ref()).is_some_and(|(ours, theirs)| ours != theirs)
        }
        let now = Self::default().noting(answer);
        let is_another_time = match (self.updated_at, now.updated_at) {
            (Some(ours), Some(theirs)) => ours != theirs,
            _ => differ(&self.updated, &now.updated),
        };
        is_another_time
            || differ(&self.version, &now.version)
            || differ(&self.generation, &now.generation)
            || differ(&self.status, &now.status)
            || (!now.lines.is_empty() && now.lines != self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::nexway_monetize::subscription;

    const NOW: Timestamp = Timestamp::constant(1_780_000_000);

    fn answer(version: i64, updated: i64, lines: &[&str]) -> Subscription {
        let products: Vec<_> = lines.iter().map(|id| serde_json::json!({"lineItemId": id})).collect();
        let body = serde_json::json!({"id": "a", "dbVersion": version, "updateDate": updated * 1000, "products": products,
                                      "lifecycle": {"status": "Active"}});
        subscription::read(body.to_string().as_bytes(), NOW).unwrap()
    }

    fn settled() -> Memo {
        Memo { listed_at: Some(NOW.as_unix()), ..Memo::default() }.noting(&answer(5, 1_779_000_000, &["l"]))
    }

    #[test]
    fn what_is_written_is_read_again_and_what_is_broken_is_none() {
        let memo = settled();
        assert_eq!(Memo::read(memo.written().as_deref()), Some(memo));
        assert_eq!([None, Some(""), Some("v7")].map(Memo::read), [const { None }; 3]);
        assert_eq!(Memo::read(Some(r#"{"lines": 7}"#)), None);
    }

    #[test]
    fn orders_are_read_when_something_has_moved_or_may_have() {
        let is_stale = |answer: &Subscription, now| settled().is_stale(answer, now);
        let same = answer(5, 1_779_000_000, &["l"]);
        assert!(!is_stale(&same, NOW) && !is_stale(&same, NOW + LISTED_AGAIN / 2));
        assert!(is_stale(&same, NOW + LISTED_AGAIN) && is_stale(&same, NOW - LISTED_AGAIN));
        assert!(is_stale(&answer(6, 1_779_000_000, &["l"]), NOW));
        assert!(is_stale(&answer(5, 1_779_000_001, &["l"]), NOW));
        assert!(is_stale(&answer(5, 1_779_000_000, &["m"]), NOW));
        let offers = vec![Told::new("o", OfferState::Accepted)];
        assert!(Memo { offers, ..settled() }.is_stale(&same, NOW));
        let offers = vec![Told::new("o", OfferState::Used)];
        assert!(!Memo { offers, ..settled() }.is_stale(&same, NOW));
        assert!(Memo { failing: Some(Episode { generation: 1, since: None }), ..settled() }.is_stale(&same, NOW));
    }

    #[test]
    fn an_older_answer_is_known_by_its_stamps() {
        let is_old = |version, updated| settled().is_newer_than(&answer(version, updated, &[]));
        assert!(is_old(4, 1_779_000_000) && is_old(5, 1_778_999_999) && is_old(4, 1_778_999_999));
        assert!(!is_old(5, 1_779_000_000) && !is_old(6, 1_779_000_000) && !is_old(5, 1_779_000_001));
        assert!(!is_old(1, 1_779_000_001), "a platform that was restored goes on");
        assert!(!Memo::default().is_newer_than(&answer(1, 1_779_000_000, &[])));
    }

    #[test]
    fn what_a_list_leaves_out_or_writes_otherwise_has_not_moved() {
        let read = |json: &str| subscription::read(json.as_bytes(), NOW).unwrap();
        let iso = r#"{"id": "a", "updateDate": "2026-05-17T06:40:00Z", "lifecycle": {"status": "Active"}}"#;
        assert!(!settled().is_stale(&read(iso), NOW), "the same time, no version, no products");
        let later = r#"{"id": "a", "updateDate": "2026-05-17T06:40:01Z", "lifecycle": {"status": "Active"}}"#;
        assert!(settled().is_stale(&read(later), NOW));
    }

    #[test]
    fn it_stays_small_whatever_is_sent() {
        let lines: Vec<_> = (0..1000).map(|n| format!("{n}{}", "x".repeat(60))).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let memo = Memo::default().noting(&answer(1, 1_779_000_000, &lines));
        assert!(memo.written().unwrap().len() < 1000);
        assert_eq!(Memo::default().noting(&answer(1, 1_779_000_000, &[&"x".repeat(10_000)])).lines, [""; 0]);
    }
}
