//! Evenly spaced requests to one provider (design section 9): when the next one may go out, and how fast.
//!
//! Several accounts may have to keep to one limit: they share its pace and the slow-down after 429, in turns. Each has a circuit
//! breaker of its own. Which request is next belongs to `crate::choice`; what counts as an outage to
//! [`crate::provider::Error::is_outage`].

mod breaker;
mod limit;
mod pace;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod tests;
mod turns;
mod usage;

use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use breaker::Breaker;
pub use breaker::OPENS_AFTER;
use limit::Limit;
pub use pace::LONGEST_PAUSE;

/// One request's share of the budget. Good for one request that is sent now: whoever had to wait after taking it
/// (for a token, say) takes another, or the requests that waited together go out together.
#[derive(Debug)]
#[must_use = "a slot that is not used is lost"]
pub struct Slot(());

/// The budget of one account. Clones are the same account's.
///
/// No window of one second holds more slots than the rate, also after idleness, a change of the rate or a restart, however many
/// accounts share it. Slots are 1.005/rate apart; a wake-up that comes a few milliseconds late does not lower the mean.
#[derive(Clone, Debug)]
pub struct Budget {
    account: Arc<Mutex<Account>>,
}

#[derive(Debug)]
struct Account {
    breaker: Breaker,
    /// Locked after the account, never the other way round, and neither across an await.
    limit: Arc<Limit>,
}

#[derive(Clone, Copy, Debug)]
enum Claim {
    NewCall,
    FollowUp,
}

/// Why there is no slot yet.
struct Refused {
    limit: Arc<Limit>,
    until: Instant,
    /// Only the pace holds it up, and not the breaker: it has its turn.
    in_line: bool,
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
    /// Slots given since the start, to all who share the limit.
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
        Self::keeping_to(Arc::new(Limit::new(requests_per_second)))
    }

    /// Another account's, with the same limit to keep to.
    pub fn beside(&self) -> Self {
        Self::keeping_to(self.lock().limit.clone())
    }

    fn keeping_to(limit: Arc<Limit>) -> Self {
        Self { account: Arc::new(Mutex::new(Account { breaker: Breaker::default(), limit })) }
    }

    /// Gives each of these groups of accounts one limit with this rate, and no two groups the same; at once, whoever waits. What 429
    /// took stays taken, also from who joins or leaves. A group that has a limit already keeps it; another begins as after a
    /// start: no burst either.
    pub fn share<'a>(groups: impl IntoIterator<Item = (Vec<&'a Self>, f64)>) {
        let mut given: Vec<Arc<Limit>> = Vec::new();
        for (members, requests_per_second) in groups {
            let had: Vec<_> = members.iter().map(|member| member.lock().limit.clone()).collect();
            let is_free = |limit: &&Arc<Limit>| !given.iter().any(|one| Arc::ptr_eq(one, limit));
            let Some(limit) = had.iter().find(is_free).cloned().or(had.first().map(|limit| Arc::new(limit.another())))
            else {
                continue;
            };
            limit.set_rate(requests_per_second);
            members.iter().for_each(|member| member.join(&limit));
            given.push(limit);
        }
    }

    fn join(&self, limit: &Arc<Limit>) {
        let mut account = self.lock();
        if Arc::ptr_eq(&account.limit, limit) {
            return;
        }
        let left = std::mem::replace(&mut account.limit, limit.clone());
        drop(account);
        limit.taken_over_from(&left);
        left.left_by(self.id());
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
        self.lock().limit.slow_down(retry_after);
    }

    /// After a reload of the settings, for all who share it. What 429 took stays taken, in proportion.
    pub fn set_rate(&self, requests_per_second: f64) {
        self.lock().limit.set_rate(requests_per_second);
    }

    /// A request sent at `started` ended in an outage. True when this opened the breaker, so that it is logged once.
    pub fn report_outage(&self, started: Instant) -> bool {
        self.report(|breaker, now| breaker.outage(started, false, now, jitter()))
    }

    /// The same of a provider that may have closed for good: after a day of it, one probe a day.
    pub fn report_absence(&self, started: Instant) -> bool {
        self.report(|breaker, now| breaker.outage(started, true, now, jitter()))
    }

    /// Goes on with what an earlier process knew of a provider that may have closed: its failures in a row, for how long the breaker has
    /// been open, and how long it is until the next probe.
    pub fn resume(&self, failures: u32, open: Option<(Duration, Duration)>) {
        let now = Instant::now();
        let instants = |(open_for, probe_in): (Duration, Duration)| {
            // A clock that does not reach back so far: what has just been opened is probed more often.
            (now.checked_sub(open_for).unwrap_or(now), now + probe_in)
        };
        self.lock().breaker.resume(failures, open.map(instants));
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

    /// Cheap: no more than two short locks.
    pub fn state(&self) -> State {
        let account = self.lock();
        let breaker = account.breaker.open_since().zip(account.breaker.due());
        State {
            failures: account.breaker.failures,
            breaker: breaker.map(|(since, next_probe_at)| OpenBreaker { since, next_probe_at }),
            ..account.limit.state()
        }
    }

    /// Looks again after every wake-up: others wait for the same moment.
    async fn wait(&self, claim: Claim) -> Slot {
        loop {
            let Refused { limit, .. } = match self.take(claim) {
                Ok(slot) => return slot,
                Err(refused) => refused,
            };
            // Listening starts before the second look, so that no change in between is missed.
            let mut changed = pin!(limit.changed.notified());
            changed.as_mut().enable();
            let refused = match self.take(claim) {
                Ok(slot) => return slot,
                Err(refused) => refused,
            };
            if !Arc::ptr_eq(&limit, &refused.limit) {
                continue;
            }
            let _place = refused.in_line.then(|| limit.place(self.id()));
            tokio::select! {
                () = sleep_until(refused.until) => {}
                () = changed => {}
            }
        }
    }

    /// Takes a slot if one is due, or tells when that will be.
    fn take(&self, claim: Claim) -> Result<Slot, Refused> {
        let now = Instant::now();
        let mut account = self.lock();
        let probe = match claim {
            Claim::NewCall => account.breaker.due().filter(|probe| now < *probe),
            Claim::FollowUp => None,
        };
        let taken = match probe {
            Some(probe) => Err(probe),
            None => account.limit.take(self.id(), now),
        };
        if let Err(until) = taken {
            return Err(Refused { limit: account.limit.clone(), until, in_line: probe.is_none() });
        }
        if let Claim::NewCall = claim {
            account.breaker.take(now);
        }
        Ok(Slot(()))
    }

    fn report(&self, outcome: impl FnOnce(&mut Breaker, Instant) -> bool) -> bool {
        let mut account = self.lock();
        let was_open = account.breaker.open_since().is_some();
        let changed = outcome(&mut account.breaker, Instant::now());
        if was_open {
            account.limit.changed.notify_waiters();
        }
        changed
    }

    /// Tells the account from others while it lives.
    fn id(&self) -> usize {
        Arc::as_ptr(&self.account) as usize
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Between -1 and 1, different in every process.
fn jitter() -> f64 {
    let random = RandomState::new().hash_one(()) >> 32;
    random as f64 / f64::from(u32::MAX) * 2.0 - 1.0
}
