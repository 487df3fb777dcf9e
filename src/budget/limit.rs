//! What a provider's limit allows: one pace for all accounts that it counts together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::State;
use super::pace::Pace;
use super::turns::Turns;
use super::usage::Usage;

#[derive(Debug)]
pub(super) struct Limit {
    inner: Mutex<Inner>,
    /// Something changed that may let a waiting caller go earlier than it thinks.
    pub changed: Notify,
}

#[derive(Debug)]
struct Inner {
    pace: Pace,
    turns: Turns,
    taken: u64,
    usage: Usage,
}

impl Limit {
    pub fn new(requests_per_second: f64) -> Self {
        Self::with(Pace::new(usable(requests_per_second), Instant::now()))
    }

    fn with(pace: Pace) -> Self {
        let usage = Usage::new(Instant::now());
        Self { inner: Mutex::new(Inner { pace, turns: Turns::default(), taken: 0, usage }), changed: Notify::new() }
    }

    /// One for accounts that keep to this one no longer.
    pub fn another(&self) -> Self {
        let now = Instant::now();
        let left = self.lock();
        let mut pace = Pace::new(left.pace.configured, now);
        pace.take_over(&left.pace, now);
        Self::with(pace)
    }

    pub fn set_rate(&self, requests_per_second: f64) {
        self.lock().pace.configured = usable(requests_per_second);
        self.changed.notify_waiters();
    }

    pub fn slow_down(&self, retry_after: Option<Duration>) {
        self.lock().pace.slow_down(retry_after, Instant::now());
    }

    /// An account that kept to `left` keeps to this one now.
    pub fn taken_over_from(&self, left: &Limit) {
        let pace = left.lock().pace.clone();
        self.lock().pace.take_over(&pace, Instant::now());
    }

    /// The account keeps to another limit now: if it waits, it waits there.
    pub fn left_by(&self, account: usize) {
        self.lock().turns.forget(account);
        self.changed.notify_waiters();
    }

    /// While it is kept, the account stands in line for a slot.
    pub fn place(self: &Arc<Self>, account: usize) -> Place {
        self.lock().turns.waits(account);
        Place { limit: self.clone(), account }
    }

    /// Takes a slot if one is due, or tells when to ask again.
    pub fn take(&self, account: usize, now: Instant) -> Result<(), Instant> {
        let mut inner = self.lock();
        let due = inner.pace.due(now);
        if now < due {
            return Err(due);
        }
        if let Some(until) = inner.turns.yields_until(account, now) {
            return Err(until);
        }
        inner.pace.take(now);
        inner.turns.taken(account);
        inner.taken += 1;
        inner.usage.note(now);
        Ok(())
    }

    /// As far as it can be told without an account.
    pub fn state(&self) -> State {
        let now = Instant::now();
        let mut inner = self.lock();
        let configured_rate = inner.pace.configured;
        State {
            configured_rate,
            rate: inner.pace.rate(now),
            slowed_until: inner.pace.slowed_until(now),
            paused_until: inner.pace.paused_until(now),
            used_share: if configured_rate > 0.0 { inner.usage.mean_rate(now) / configured_rate } else { 0.0 },
            slots_taken: inner.taken,
            failures: 0,
            breaker: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Place {
    limit: Arc<Limit>,
    account: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.limit.lock().turns.leaves(self.account);
    }
}

fn usable(rate: f64) -> f64 {
    if rate.is_finite() && rate > 0.0 { rate } else { 0.0 }
}
