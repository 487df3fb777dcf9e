//! A sink's own trouble: when it begins, how long its messages wait, and when it is over.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::retry;
use crate::store::{Attempt, SinkState};

/// Failures of a sink in a row that are told again, from here on at growing distance.
const REPEATED: u32 = 8;
/// No back-off is longer; one that ends later was set under a wrong clock.
const LONGEST_BLOCK: Duration = Duration::from_secs(25 * 3600);

/// While a sink delivers, its last success is written down so often: a commit for each would cost more than it tells.
const NOTED_EVERY: Duration = Duration::from_secs(60);

/// How a sink is doing, as it is stored.
#[derive(Debug)]
pub(super) struct Condition {
    state: SinkState,
    /// The last success that was written down.
    noted_at: Option<Timestamp>,
}

impl Condition {
    pub fn new(state: SinkState) -> Self {
        Self { noted_at: state.last_success_at, state }
    }

    pub fn state(&self) -> &SinkState {
        &self.state
    }

    pub fn is_in_trouble(&self) -> bool {
        self.state.failures > 0
    }

    /// Whether the sink's own back-off is still running.
    pub fn is_blocked(&self, now: Timestamp) -> bool {
        self.state.blocked_until.is_some_and(|until| until > now && until <= now + LONGEST_BLOCK)
    }

    /// Trouble that began in the future began under a clock that has been set back since: its back-off would last as long.
    pub fn follow_clock(&mut self, now: Timestamp) {
        if self.state.blocked_since.is_some_and(|since| since > now) {
            self.state.blocked_since = Some(now);
            self.probe_at_once(now);
        }
        self.state.last_success_at = self.state.last_success_at.map(|at| at.min(now));
    }

    /// Ends the back-off, but not the trouble.
    pub fn probe_at_once(&mut self, now: Timestamp) {
        self.state.blocked_until = self.state.blocked_until.map(|_| now);
    }

    /// A receiver that takes every other message and fails on this one again is not in trouble: the message is. Only of failures
    /// that are not surely the sink's.
    pub fn is_about_the_message(&self, attempt: &Attempt) -> bool {
        self.state.last_success_at.is_some_and(|success| attempt.previous_at.is_some_and(|before| success > before))
    }

    /// It answered. Whether that is to be written down: it ends its trouble, or was not written for a while.
    pub fn works(&mut self, now: Timestamp) -> bool {
        self.state.last_success_at = Some(now);
        if self.is_in_trouble() {
            let SinkState { sink, failures, blocked_since, .. } = std::mem::take(&mut self.state);
            let since = blocked_since.unwrap_or(now);
            tracing::info!(%sink, failures, "sink works again, after {} s", now.since(since).as_secs());
            self.state = SinkState { sink, last_success_at: Some(now), ..SinkState::default() };
        } else if self.noted_at.is_some_and(|noted| (noted..noted + NOTED_EVERY).contains(&now)) {
            return false;
        }
        self.noted_at = Some(now);
        true
    }

    /// It failed. When the message that met it is tried again: behind those that have waited longer, so that the next probe
    /// tries another one.
    pub fn fails(&mut self, reason: &str, retry_after: Option<Duration>, now: Timestamp) -> Timestamp {
        // Others that were under way failed a moment ago: the same trouble once more.
        let others = self.state.blocked_until.filter(|_| self.is_blocked(now));
        let failures = if others.is_some() { self.state.failures } else { self.state.failures.saturating_add(1) };
        let until = now + retry::with_retry_after(retry::sink(failures), retry_after);
        let sink = &self.state.sink;
        match self.state.blocked_since {
            None => tracing::warn!(%sink, %reason, "sink is in trouble: its messages wait"),
            Some(since) if others.is_none() && failures >= REPEATED && failures.is_power_of_two() => {
                tracing::warn!(%sink, %reason, "sink is still in trouble, {failures} times since {since}");
            }
            Some(_) => tracing::debug!(%sink, %reason, failures, "sink is still in trouble"),
        }
        self.state.failures = failures;
        self.state.blocked_since.get_or_insert(now);
        // What was set under a wrong clock must not outlast this: it would hold nothing back, for as long as it lies ahead.
        self.state.blocked_until = others.max(Some(until));
        self.state.last_error = Some(reason.to_owned());
        until
    }
}
