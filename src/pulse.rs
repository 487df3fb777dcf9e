//! Pulses: whether every long-lived loop still turns.
//!
//! A loop touches its [`Pulse`] each time round, also while it has nothing to do or waits for a provider that stays away. Readiness
//! and the watchdog look at all of them through [`Pulses`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// No loop waits longer than this without a turn: well below the half minute after which the watchdog misses it.
pub const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// One loop's sign of life. Cheap enough for every turn; clones are the same loop.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Beat>);

#[derive(Debug)]
struct Beat {
    name: String,
    /// Of the monotonic clock, which no operator sets.
    started: Instant,
    /// When it turned last, in milliseconds since it started.
    turned: AtomicU64,
}

impl Pulse {
    fn new(name: String) -> Self {
        Self(Arc::new(Beat { name, started: Instant::now(), turned: AtomicU64::new(0) }))
    }

    /// One of a loop that nobody looks at: in a one-shot run and in tests.
    pub fn unwatched() -> Self {
        Self::new(String::new())
    }

    /// The loop has come round once more.
    pub fn turn(&self) {
        self.0.turned.store(self.0.elapsed_millis(), Ordering::Relaxed);
    }
}

impl Beat {
    fn elapsed_millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn age(&self) -> Duration {
        Duration::from_millis(self.elapsed_millis().saturating_sub(self.turned.load(Ordering::Relaxed)))
    }
}

/// A loop that has not turned for too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// As it was given: `sweep nexway`.
    pub name: String,
    pub since: Duration,
}

/// The pulses of all loops that live. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Pulses(Arc<Mutex<Vec<Weak<Beat>>>>);

impl Pulses {
    /// The pulse of a new loop, which has just turned. It is forgotten when the loop drops it.
    pub fn start(&self, name: impl Into<String>) -> Pulse {
        let pulse = Pulse::new(name.into());
        let mut beats = self.lock();
        beats.retain(|beat| beat.strong_count() > 0);
        beats.push(Arc::downgrade(&pulse.0));
        pulse
    }

    /// The loops that have not turned within this time; none: all is well.
    pub fn stuck(&self, within: Duration) -> Vec<Stuck> {
        let beats = self.lock();
        let ages =
            beats.iter().filter_map(Weak::upgrade).map(|beat| Stuck { name: beat.name.clone(), since: beat.age() });
        ages.filter(|stuck| stuck.since > within).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Beat>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_turns_is_not_stuck_and_one_that_ended_is_forgotten() {
        let pulses = Pulses::default();
        let (sweep, relay) = (pulses.start("sweep nexway"), pulses.start("relay shop"));
        assert_eq!(pulses.stuck(Duration::from_secs(3600)), []);
        let before = sweep.0.elapsed_millis();
        while sweep.0.elapsed_millis() < before + 5 {
            std::hint::spin_loop();
        }
        relay.turn();
        let within = relay.0.age() + Duration::from_millis(1);
        let stuck = pulses.stuck(within);
        assert!(
            stuck.iter().any(|stuck| stuck.name == "sweep nexway" && stuck.since >= Duration::from_millis(5)),
            "{stuck:?}"
        );
        drop(sweep);
        assert_eq!(pulses.stuck(Duration::ZERO).iter().filter(|stuck| stuck.name == "sweep nexway").count(), 0);
    }
}
