//! Evenly spaced requests to one provider (design section 9): when the next one may go out, and how fast.
//!
//! Which request that is belongs to `crate::choice`; what counts as an outage to [`crate::provider::Error::is_outage`].

mod breaker;
mod pace;
#[cfg(test)]
mod tests;
mod usage;

use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use breaker::Breaker;
pub use pace::LONGEST_PAUSE;
use pace::Pace;
use usage::Usage;

/// One request's share of the budget. Good for one request that is sent now: whoever had to wait after taking it
/// (for a token, say) takes another, or the requests that waited together go out together.
#[derive(Debug)]
#[must_use = "a slot that is not used is lost"]
pub struct Slot(());

/// The budget of one provider. Clones share it.
///
/// No window of one second holds more slots than the rate, also after idleness, a change of the rate or a restart. Slots are
/// 1.005/rate apart; a wake-up that comes a few milliseconds late does not lower the mean.
#[derive(Clone, Debug)]
pub struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Never held across an await.
    inner: Mutex<Inner>,
    /// Something changed that may let a waiting caller go earlier than it thinks.
    changed: Notify,
}

#[derive(Debug)]
struct Inner {
    pace: Pace,
    breaker: Breaker,
    taken: u64,
    usage: Usage,
}

#[derive(Clone, Copy, Debug)]
enum Claim {
    NewCall,
    FollowUp,
}

/// What `status` and the metrics show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State {
    /// Requests a second; 0 = no limit.
    pub configured_rate: f64,
    /// The same at this moment: smaller after 429.
    pub rate: f64,
    /// When the rate is whole again after 429, if nothing else comes; `None` while it is.
    pub slowed_until: Option<Instant>,
    /// `Retry-After`: no slot before this; `None` once it is over.
    pub paused_until: Option<Instant>,
    /// How much of the configured rate the last minute used; 0 without a limit.
    pub used_share: f64,
    /// Slots given since the start.
    pub slots_taken: u64,
    /// Outages since the last success.
    pub failures: u32,
    pub breaker: Option<OpenBreaker>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenBreaker {
    pub since: Instant,
    /// While a probe is under way, when it would be given up.
    pub next_probe_at: Instant,
}

impl Budget {
    /// `requests_per_second` 0 = no limit (so is anything else that is not a positive number; the settings refuse it).
    pub fn new(requests_per_second: f64) -> Self {
        let now = Instant::now();
        let pace = Pace::new(usable(requests_per_second), now);
        let inner = Mutex::new(Inner { pace, breaker: Breaker::default(), taken: 0, usage: Usage::new(now) });
        Self { shared: Arc::new(Shared { inner, changed: Notify::new() }) }
    }

    /// Waits for the next slot. Cancel-safe: a slot is taken at the moment it is returned. While the breaker is open, it
    /// returns only to the caller whose request becomes the probe.
    pub async fn slot(&self) -> Slot {
        self.wait(Claim::NewCall).await
    }

    /// A further slot for a call that already got one: for its token, for a repeat, or because the first went stale.
    /// As evenly spaced as any other, but not held up by the breaker: the call may be the probe, waiting for itself.
    pub async fn follow_up(&self) -> Slot {
        self.wait(Claim::FollowUp).await
    }

    /// The provider answered 429: halves the rate, at most once a second, and obeys `Retry-After` ([`LONGEST_PAUSE`] at most; what
    /// is absurd is ignored). The rate grows back within five minutes.
    pub fn slow_down(&self, retry_after: Option<Duration>) {
        self.lock().pace.slow_down(retry_after, Instant::now());
    }

    /// After a reload of the settings. What 429 took stays taken, in proportion.
    pub fn set_rate(&self, requests_per_second: f64) {
        self.lock().pace.configured = usable(requests_per_second);
        self.shared.changed.notify_waiters();
    }

    /// A request sent at `started` ended in an outage. True when this opened the breaker, so that it is logged once.
    pub fn report_outage(&self, started: Instant) -> bool {
        self.report(|breaker, now| breaker.outage(started, now, jitter()))
    }

    /// A request ended in an outage that will not pass by itself (our credentials are refused): opens the breaker at once.
    /// True when this opened it.
    pub fn report_lockout(&self) -> bool {
        self.report(|breaker, now| breaker.lockout(now, jitter()))
    }

    /// The provider answered, whatever it said. True when this closed the breaker.
    pub fn report_success(&self) -> bool {
        self.report(|breaker, now| breaker.success(now))
    }

    /// Cheap: no more than a short lock.
    pub fn state(&self) -> State {
        let now = Instant::now();
        let mut inner = self.lock();
        let breaker = inner.breaker.open_since().zip(inner.breaker.due());
        let configured_rate = inner.pace.configured;
        let used_share = if configured_rate > 0.0 { inner.usage.mean_rate(now) / configured_rate } else { 0.0 };
        State {
            configured_rate,
            rate: inner.pace.rate(now),
            slowed_until: inner.pace.slowed_until(now),
            used_share,
            paused_until: inner.pace.paused_until(now),
            slots_taken: inner.taken,
            failures: inner.breaker.failures,
            breaker: breaker.map(|(since, next_probe_at)| OpenBreaker { since, next_probe_at }),
        }
    }

    /// Looks again after every wake-up: others wait for the same moment.
    async fn wait(&self, claim: Claim) -> Slot {
        loop {
            if let Ok(slot) = self.take(claim) {
                return slot;
            }
            // Listening starts before the second look, so that no change in between is missed.
            let mut changed = pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            match self.take(claim) {
                Ok(slot) => return slot,
                Err(due) => tokio::select! {
                    () = sleep_until(due) => {}
                    () = changed => {}
                },
            }
        }
    }

    /// Takes a slot if one is due, or tells when that will be.
    fn take(&self, claim: Claim) -> Result<Slot, Instant> {
        let now = Instant::now();
        let mut inner = self.lock();
        let mut due = inner.pace.due(now);
        if let (Claim::NewCall, Some(probe)) = (claim, inner.breaker.due()) {
            due = due.max(probe);
        }
        if now < due {
            return Err(due);
        }
        inner.pace.take(now);
        if let Claim::NewCall = claim {
            inner.breaker.take(now);
        }
        inner.taken += 1;
        inner.usage.note(now);
        Ok(Slot(()))
    }

    fn report(&self, outcome: impl FnOnce(&mut Breaker, Instant) -> bool) -> bool {
        let mut inner = self.lock();
        let was_open = inner.breaker.open_since().is_some();
        let changed = outcome(&mut inner.breaker, Instant::now());
        drop(inner);
        if was_open {
            self.shared.changed.notify_waiters();
        }
        changed
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn usable(rate: f64) -> f64 {
    if rate.is_finite() && rate > 0.0 { rate } else { 0.0 }
}

/// Between -1 and 1, different in every process.
fn jitter() -> f64 {
    let random = RandomState::new().hash_one(()) >> 32;
    random as f64 / f64::from(u32::MAX) * 2.0 - 1.0
}
