//! Decisions on what a provider answered. No I/O and no clock: `now` is an argument, and the same arguments bring the same
//! decision.
//!
//! [`news`] tells which deliveries of an answer are new, [`aside`] what it tells beside them, [`poll`] what a look changes,
//! [`order`] what an answer with order data does, [`again`] what it does once something was delivered, [`hint`] when one is looked
//! at that somebody hints at, [`moved`] what another interval means for who was asked before. [`walk`] and [`ways`] are about what
//! a provider lists by itself: how far to read and believe it, which way and how often.

pub mod again;
pub mod aside;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod hint;
pub mod moved;
pub mod news;
pub mod order;
pub mod poll;
#[cfg(test)]
pub(crate) mod properties;
pub mod walk;
pub mod ways;

use std::time::Duration;

use aside::{Episode, LastOffer};

use crate::choice::Lane;
use crate::clock::Timestamp;
use crate::life::Life;
use crate::text::forms::text_forms;

/// One hour, one day: for the constants of the rules below.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// What the settings say about asking; the rest of the rules are constants beside the code that follows them.
#[derive(Clone, Debug)]
pub struct Rules {
    pub every: Duration,
    pub window_before: Duration,
    pub window_after: Duration,
    pub ended_after: Duration,
    /// Zero: no term is told as due.
    pub notify_before: Duration,
    pub max_generation_jump: i64,
    pub retry_first: Duration,
    pub retry_max: Duration,
}

impl Rules {
    /// How long after an answer the next one is due.
    pub fn interval(&self, pace: Pace) -> Duration {
        match pace {
            Pace::Regular => self.every,
            Pace::Daily => self.every.max(DAY),
            Pace::Monthly => 30 * DAY,
        }
    }

    /// Whether a poll at `at` is urgent for a term that ends at `expires_at`.
    pub fn in_window(&self, expires_at: Option<Timestamp>, at: Timestamp) -> bool {
        expires_at.is_some_and(|end| end - self.window_before <= at && at < end + self.window_after)
    }
}

/// A subscription's life (design section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Watching,
    Paused,
    Ended,
    Untracked,
}

/// How often a subscription is asked when nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    Regular,
    /// Cancelled, paused or unknown at the provider, refused, or one that nothing can happen to meanwhile.
    Daily,
    /// Ended.
    Monthly,
}

/// What a poll came to, as the store and `explain` name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Ok,
    NotFound,
    Refused,
    Unreachable,
    Unavailable,
    Unreadable,
    Rejected,
    Unauthorized,
    /// A code outside the ones known for this request.
    Failed,
}

text_forms!(State { Watching = "watching", Paused = "paused", Ended = "ended", Untracked = "untracked" });
text_forms!(Pace { Regular = "regular", Daily = "daily", Monthly = "monthly" });
text_forms!(Outcome {
    Ok = "ok",
    NotFound = "not_found",
    Refused = "refused",
    Unreachable = "unreachable",
    Unavailable = "unavailable",
    Unreadable = "unreadable",
    Rejected = "rejected",
    Unauthorized = "unauthorized",
    Failed = "failed",
});

/// A subscription as far as asking it is concerned: what the store reads before a poll, and writes after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The store's key, not the provider's.
    pub row: i64,
    pub territory: String,
    /// The original number, without a generation's suffix.
    pub partner_order_number: String,
    pub subscription_id: String,
    pub state: State,
    /// `None`: adopted, and not asked yet.
    pub generation: Option<i64>,
    pub expires_at: Option<Timestamp>,
    pub expiry_reported: bool,
    pub tracked_at: Timestamp,
    /// What came beside the counted deliveries until then was had, where nothing names it.
    pub known_before: Timestamp,
    /// Nobody named it: it was found in the provider's own lists.
    pub discovered: bool,
    pub ended_at: Option<Timestamp>,
    pub lane: Lane,
    pub due_at: Option<Timestamp>,
    pub pace: Pace,
    pub last_asked_at: Option<Timestamp>,
    pub last_answer_at: Option<Timestamp>,
    pub failures: u32,
    pub refusals: u32,
    pub last_outcome: Option<Outcome>,
    pub last_detail: Option<String>,
    pub technical_status: Option<String>,
    /// What that meant, as far as an answer told.
    pub life: Option<Life>,
    /// The provider's implementation keeps it from one look to the next.
    pub memo: Option<String>,
    /// Rises with each hint that comes while it is due, and may be being asked.
    pub hints: i64,
    pub status_changes: i64,
    pub terminal_since: Option<Timestamp>,
    pub surprise: Option<String>,
    pub surprises: i64,
    /// The last one that is over, and when it was answered last, as long as what it was about may have changed for good.
    pub past_surprise: Option<Box<str>>,
    pub past_surprise_at: Option<Timestamp>,
    /// What the reseller calls it at the provider, where that was told.
    pub partner_reference: Option<Box<str>>,
    /// The payment that fails, and how often one began to.
    pub failing: Option<Box<Episode>>,
    pub payment_failures: i64,
    pub offer: Option<Box<LastOffer>>,
    /// The end of the term that was told as due, or needs no telling.
    pub renewal_due_term: Option<Timestamp>,
    pub not_renewed_term: Option<Timestamp>,
}
