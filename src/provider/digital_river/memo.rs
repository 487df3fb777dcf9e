//! What one look notes for the next: how the subscription stood, and which of its periods have which order.
//!
//! Small, whatever the API sends: it is stored for each subscription.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::order::Order;
use super::periods::Period;
use super::subscription::Subscription;
use crate::clock::Timestamp;

/// Orders that are remembered as listed, the newest; one that appears late among older ones is none of a period's that waits.
const MOST_ORDERS: usize = 16;
/// Bytes of an id; a longer one is not remembered.
const LONGEST_ID: usize = 64;
/// Periods that are remembered: those that were told first of all.
const MOST_PERIODS: usize = 32;
/// Of those that have the order that was listed for them, for what is fetched later.
const MOST_CLOSED: usize = 3;

/// Not every order is known to touch the subscription it belongs to.
const LISTED_AGAIN: Duration = Duration::from_secs(86_400);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memo {
    pub state: Option<String>,
    updated: Option<String>,
    pub start: Option<i64>,
    pub end: Option<i64>,
    /// When the orders were read last.
    listed_at: Option<i64>,
    /// Orders cannot be asked for by the subscription.
    pub by_customer: bool,
    pub orders: Vec<String>,
    pub periods: Vec<Period>,
    pub failing: Option<Episode>,
}

/// A payment that fails: since when, as it was first told.
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

    pub fn written(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }

    /// How it stands now in place of how it stood. An end that is not told is the one that was.
    pub fn note(&mut self, subscription: &Subscription) {
        self.state = subscription.word.clone();
        self.updated = subscription.updated.clone();
        if let Some(end) = subscription.end {
            (self.start, self.end) = (subscription.start.map(Timestamp::as_unix), Some(end.as_unix()));
        }
    }

    /// That these orders have been read, oldest first.
    pub fn note_orders(&mut self, counted: &[&Order], now: Timestamp) {
        let newest = counted.iter().rev().map(|order| &order.id).filter(|id| id.len() <= LONGEST_ID);
        self.orders = newest.take(MOST_ORDERS).cloned().collect();
        self.listed_at = Some(now.as_unix());
    }

    /// Whether this one of the orders that are listed now, oldest first, was not among those that were remembered. Of one that is too
    /// old to be, or whose id is too long, that cannot be told: it was.
    pub fn is_new(&self, order: &Order, counted: &[&Order]) -> bool {
        let mut newest = counted.iter().rev().take(MOST_ORDERS);
        order.id.len() <= LONGEST_ID && !self.orders.contains(&order.id) && newest.any(|one| one.id == order.id)
    }

    /// Whether the orders have to be read.
    pub fn is_stale(&self, answer: &Subscription, now: Timestamp) -> bool {
        let is_recent = self.listed_at.is_some_and(|at| {
            let at = Timestamp::from_unix(at);
            at <= now && now < at + LISTED_AGAIN
        });
        let end = answer.end.map(Timestamp::as_unix).or(self.end);
        let has_moved = end != self.end || self.state != answer.word || self.updated != answer.updated;
        !is_recent || has_moved || answer.state.is_terminal() || self.waits()
    }

    /// Whether a period has no order, and was not told without one yet.
    pub fn waits(&self) -> bool {
        self.periods.iter().any(Period::waits)
    }

    /// Forgets what is needed least: closed periods that are old, then those told longest ago that still have none.
    pub fn prune(&mut self) {
        let mut closed = self.periods.iter().filter(|period| period.is_closed()).count();
        self.periods.retain(|period| {
            let goes = period.is_closed() && closed > MOST_CLOSED;
            closed -= usize::from(goes);
            !goes
        });
        while self.periods.len() > MOST_PERIODS {
            let oldest_open = self.periods.iter().position(|period| period.order.is_none());
            self.periods.remove(oldest_open.unwrap_or(0));
        }
    }
}
