//! A sink's own trouble: when it begins, how long its messages wait, and when it is over.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::retry;
use crate::store::{Attempt, SinkState};

/// Failures of a sink in a row that are told again, from here on at growing distance.
const REPEATED: u32 = 8;
/// No back-off is longer; one that ends later was set under a wrong clock.
const LONGEST_BLOCK: Duration = Duration::from_secs(25 * 3600);

/// With them, thirty that always fail are met within a minute.
const MOST_PROBES: usize = 16;

/// Of so many dispatches that failed it is remembered when. Beyond them their times must do.
const MOST_NOTED: usize = 10_000;

/// While a sink delivers, its last success is written down so often: a commit for each would cost more than it tells.
const NOTED_EVERY: Duration = Duration::from_secs(60);

/// How a sink is doing, as it is stored.
#[derive(Debug)]
pub(super) struct Condition {
    state: SinkState,
    /// The last success that was written down.
    noted_at: Option<Timestamp>,
    /// The trouble was said in the log: one failure that may be the message's is no news.
    is_told: bool,
    /// So many messages are tried before it is left alone again.
    probes: usize,
    /// How many were taken, and how many had been when each of these last failed: seconds do not tell what came first.
    successes: u64,
    failed: HashMap<i64, u64>,
}

impl Condition {
    pub fn new(state: SinkState) -> Self {
        Self {
            noted_at: state.last_success_at,
            is_told: state.failures > 0,
            probes: 1,
            successes: 0,
            failed: HashMap::new(),
            state,
        }
    }

    pub fn state(&self) -> &SinkState {
        &self.state
    }

    pub fn is_in_trouble(&self) -> bool {
        self.state.failures > 0
    }

    /// How many messages show how it is doing; `None` = it is well.
    pub fn probes(&self) -> Option<usize> {
        self.is_in_trouble().then_some(self.probes)
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
        match self.failed.get(&attempt.dispatch) {
            Some(taken) => self.successes > *taken,
            // Before this process began.
            None => {
                self.state.last_success_at.zip(attempt.previous_at).is_some_and(|(success, before)| success > before)
            }
        }
    }

    /// To be told from others that fail, should it fail again.
    pub fn note_failure(&mut self, dispatch: i64) {
        if self.failed.len() >= MOST_NOTED {
            self.failed.clear();
        }
        self.failed.insert(dispatch, self.successes);
    }

    /// It is delivered or dead.
    pub fn note_end(&mut self, dispatch: i64) {
        self.failed.remove(&dispatch);
    }

    /// It answered. Whether that is to be written down: it ends its trouble, or was not written for a while.
    pub fn works(&mut self, now: Timestamp) -> bool {
        self.state.last_success_at = Some(now);
        self.successes += 1;
        self.probes = 1;
        if self.is_in_trouble() {
            let SinkState { sink, failures, blocked_since, .. } = std::mem::take(&mut self.state);
            let since = blocked_since.unwrap_or(now);
            if std::mem::take(&mut self.is_told) {
                tracing::info!(%sink, failures, "sink works again, after {} s", now.since(since).as_secs());
            }
            self.state = SinkState { sink, last_success_at: Some(now), ..SinkState::default() };
        } else if self.noted_at.is_some_and(|noted| (noted..noted + NOTED_EVERY).contains(&now)) {
            return false;
        }
        self.noted_at = Some(now);
        true
    }

    /// It failed, `surely` or maybe because of the message that met it. When that one is tried again: behind those that have
    /// waited longer. Where there is a doubt others are tried before.
    pub fn fails(&mut self, reason: &str, retry_after: Option<Duration>, surely: bool, now: Timestamp) -> Timestamp {
        // Others that were under way failed a moment ago: the same trouble once more.
        let others = self.state.blocked_until.filter(|_| self.is_blocked(now));
        let is_new = others.is_none() && (surely || self.is_last_probe());
        let failures = if is_new { self.state.failures.saturating_add(1) } else { self.state.failures };
        let (until, blocked_until) = if surely {
            let until = now + retry::with_retry_after(retry::sink(failures), retry_after);
            (until, until)
        } else {
            let pause = if is_new { retry::doubted_sink(failures) } else { Duration::ZERO };
            (now + retry::doubted_sink(failures.max(2)), now + pause)
        };
        let since = *self.state.blocked_since.get_or_insert(now);
        self.tell(reason, failures, since, surely || failures > 1, is_new);
        self.state.failures = failures;
        if is_new {
            self.probes = if surely { 1 } else { probes(failures) };
        }
        // What was set under a wrong clock must not outlast this: it would hold nothing back, for as long as it lies ahead.
        self.state.blocked_until = others.max(Some(blocked_until));
        self.state.last_error = Some(reason.to_owned());
        until
    }

    /// Of those that are tried before it is left alone again.
    fn is_last_probe(&mut self) -> bool {
        self.probes = self.probes.saturating_sub(1);
        self.probes == 0
    }

    fn tell(&mut self, reason: &str, failures: u32, since: Timestamp, is_trouble: bool, is_new: bool) {
        let sink = &self.state.sink;
        let begins = is_trouble && !self.is_told;
        self.is_told |= is_trouble;
        if begins {
            tracing::warn!(%sink, %reason, "sink is in trouble: its messages wait");
        } else if is_new && failures >= REPEATED && failures.is_power_of_two() {
            tracing::warn!(%sink, %reason, "sink is still in trouble, {failures} times since {since}");
        } else {
            tracing::debug!(%sink, %reason, failures, "sink failed");
        }
    }
}

/// After so many failures for a reason that may be the messages' more and more are tried before the sink is left alone again: one
/// that is taken ends its trouble, however many others fail.
fn probes(failures: u32) -> usize {
    4usize.saturating_pow(failures.saturating_sub(1)).min(MOST_PROBES)
}
