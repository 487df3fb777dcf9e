//! When the next slot is due: even spacing, the slow-down after 429 and its pause. No waiting here, `now` is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// The spacing is this much wider than 1/rate: what a window of one second may lose to [`CAUGHT_UP`] and to the network.
const MARGIN: f64 = 1.005;

/// Lateness that the next slot makes up for: timers fire up to a millisecond late, and the mean must not suffer. Smaller than what
/// [`MARGIN`] adds to a second, so that no window of a second ever holds one slot too many.
const CAUGHT_UP: Duration = Duration::from_millis(4);

/// Slots this far apart never meet in a window of one second, whatever the rate.
const WINDOW: Duration = Duration::from_millis(1005);

/// No rate, however small, makes slots further apart.
const WIDEST: Duration = Duration::from_secs(3600);

/// The answers to requests that were on their way when the rate was halved say nothing new.
const HALVED_ONCE_IN: Duration = Duration::from_secs(1);

/// However many 429 came, this share of the rate is left.
const LOWEST_SHARE: f64 = 1.0 / 32.0;

const RECOVERS_IN: Duration = Duration::from_secs(300);

/// A longer `Retry-After` pauses for this.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// A `Retry-After` above this is a mistake or malice and counts as none.
const ABSURD_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// What a 429 without `Retry-After` costs when there is no rate to halve.
const PAUSE_WITHOUT_RATE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// Requests a second; 0 = no limit.
    pub configured: f64,
    slowed: Option<Slowed>,
    /// Where the last slot stood on the grid; at most [`CAUGHT_UP`] before it was really taken.
    last: Option<Instant>,
    /// No slot before this: start, `Retry-After`.
    not_before: Instant,
    /// What of this the provider asked for.
    paused_until: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Slowed {
    share: f64,
    halved_at: Instant,
    recovers_from: Instant,
}

impl Pace {
    /// The first slot comes one spacing after `now`, at most a second: a process that ended a moment ago may have used the
    /// last one then.
    pub fn new(configured: f64, now: Instant) -> Self {
        let mut pace = Self { configured, slowed: None, last: None, not_before: now, paused_until: None };
        pace.not_before += pace.spacing(now).min(WINDOW);
        pace
    }

    /// Requests a second at this moment; 0 = no limit.
    pub fn rate(&self, now: Instant) -> f64 {
        self.configured * self.share(now)
    }

    /// When the rate is whole again after 429; `None` while it is, or has no limit.
    pub fn slowed_until(&self, now: Instant) -> Option<Instant> {
        let slowed = self.slowed.as_ref().filter(|_| self.configured > 0.0)?;
        Some(slowed.recovers_from + RECOVERS_IN).filter(|until| now < *until)
    }

    /// The end of the pause that `Retry-After` asked for; `None` once it is over.
    pub fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| now < *until)
    }

    /// From when on a slot may be taken.
    pub fn due(&self, now: Instant) -> Instant {
        self.last.map_or(self.not_before, |last| self.not_before.max(last + self.spacing(now)))
    }

    /// Takes the slot that is [`due`](Self::due). What comes after a longer idleness starts a new grid: nothing was saved up.
    pub fn take(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.due(now));
        let idle = late >= self.spacing(now).max(CAUGHT_UP);
        self.last = Some(if idle { now } else { now - late.min(CAUGHT_UP) });
    }

    pub fn slow_down(&mut self, retry_after: Option<Duration>, now: Instant) {
        let asked = retry_after.filter(|pause| *pause <= ABSURD_PAUSE).map(|pause| pause.min(LONGEST_PAUSE));
        self.paused_until = self.paused_until.max(asked.map(|pause| now + pause));
        let pause = if self.configured > 0.0 { asked } else { asked.or(Some(PAUSE_WITHOUT_RATE)) };
        self.not_before = self.not_before.max(now + pause.unwrap_or_default());
        if self.slowed.as_ref().is_some_and(|slowed| now < slowed.halved_at + HALVED_ONCE_IN) {
            return;
        }
        let share = (self.share(now) / 2.0).max(LOWEST_SHARE);
        self.slowed = Some(Slowed { share, halved_at: now, recovers_from: self.not_before.max(now) });
    }

    /// Whoever kept to `other` keeps to this one now, or this one was made for those that did. What the provider said to them holds
    /// here too, and what they have just sent counts here, as after a start.
    pub fn take_over(&mut self, other: &Pace, now: Instant) {
        let begin = now + self.spacing(now).min(WINDOW);
        self.not_before = self.not_before.max(begin).max(other.paused_until(now).unwrap_or(begin));
        self.paused_until = self.paused_until.max(other.paused_until);
        if other.share(now) < self.share(now) {
            self.slowed.clone_from(&other.slowed);
        }
    }

    /// The share of the configured rate in use: halved by 429, then growing back in a straight line.
    fn share(&self, now: Instant) -> f64 {
        let Some(slowed) = &self.slowed else { return 1.0 };
        let elapsed = now.saturating_duration_since(slowed.recovers_from);
        let recovered = (elapsed.as_secs_f64() / RECOVERS_IN.as_secs_f64()).min(1.0);
        slowed.share + (1.0 - slowed.share) * recovered
    }

    fn spacing(&self, now: Instant) -> Duration {
        if self.configured > 0.0 {
            Duration::try_from_secs_f64(MARGIN / self.rate(now)).unwrap_or(WIDEST).min(WIDEST)
        } else {
            Duration::ZERO
        }
    }
}
