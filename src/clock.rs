//! Instants: the [`Timestamp`] that everything stores and compares, and the only call to `SystemTime::now`.
//!
//! Calendar time is an argument everywhere else, so a test or the demo runs the daemon's own code at any time it likes.
//! Waiting uses the monotonic clock (`tokio::time`), which this file knows nothing of.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// A point in time: whole Unix seconds, UTC. Leap seconds do not exist here, as in every database column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// From the year 0 to the end of 9999 less a day and two hours: what RFC 3339 can write and jiff can hold.
const FIRST: i64 = -62_167_219_200;
const LAST: i64 = 253_402_207_200;

impl Timestamp {
    /// The wall clock. It may jump in either direction between two calls.
    pub fn now() -> Self {
        let seconds = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
        };
        Self::from_unix(seconds)
    }

    /// Unix seconds; what lies outside the years 0 to 9999 becomes the nearest of their ends, so that it can always be printed.
    pub const fn from_unix(seconds: i64) -> Self {
        // `clamp` cannot be called in constants.
        match seconds {
            ..FIRST => Self(FIRST),
            FIRST..=LAST => Self(seconds),
            _ => Self(LAST),
        }
    }

    /// For constants in tests, of a time known to be printable.
    #[cfg(test)]
    pub(crate) const fn constant(seconds: i64) -> Self {
        Self(seconds)
    }

    pub fn as_unix(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Notices that somebody set the wall clock, by holding it against the monotonic one.
#[derive(Debug)]
pub struct StepDetector {
    wall: Timestamp,
    monotonic: Instant,
}

impl StepDetector {
    pub fn start() -> Self {
        Self { wall: Timestamp::now(), monotonic: Instant::now() }
    }

    /// Whether the two clocks have moved apart by more than `tolerance` since the last look. A machine that slept may look
    /// like one whose clock was set: its monotonic clock stood still.
    pub fn has_stepped(&mut self, tolerance: Duration) -> bool {
        let before = std::mem::replace(self, Self::start());
        before.apart(self).unsigned_abs() > tolerance.as_secs()
    }

    /// By how many seconds the wall clock has run ahead of the monotonic one since the last step that this told, or fallen
    /// behind; `None` while that is within `tolerance`. A clock that stands still falls behind little by little.
    pub fn step(&mut self, tolerance: Duration) -> Option<i64> {
        let now = Self::start();
        let step = self.apart(&now);
        (step.unsigned_abs() > tolerance.as_secs()).then(|| {
            *self = now;
            step
        })
    }

    fn apart(&self, later: &Self) -> i64 {
        let passed = i64::try_from(later.monotonic.duration_since(self.monotonic).as_secs()).unwrap_or(i64::MAX);
        later.wall.0.saturating_sub(self.wall.0.saturating_add(passed))
    }
}

/// A step above this makes the wall clock doubtful.
pub const DOUBTFUL_STEP: Duration = Duration::from_secs(5 * 60);
/// For so long, by the monotonic clock.
const DOUBTED_FOR: Duration = Duration::from_secs(24 * 3600);

/// Whether the wall clock may decide what cannot be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    Believed,
    /// It was set within the last day. What it calls old may be new.
    Doubted,
}

/// Judges the wall clock by the monotonic one, from when it was made on. Clones share what they have seen.
#[derive(Clone, Debug)]
pub struct Judge(Arc<Mutex<Judgement>>);

#[derive(Debug)]
struct Judgement {
    steps: StepDetector,
    doubted_until: Option<Instant>,
}

impl Default for Judge {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Judgement { steps: StepDetector::start(), doubted_until: None })))
    }
}

impl Judge {
    /// Looks at both clocks: a step is seen by the first who asks after it.
    pub fn clock(&self) -> Clock {
        let mut judgement = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if judgement.steps.step(DOUBTFUL_STEP).is_some() {
            judgement.doubted_until = Some(now + DOUBTED_FOR);
        }
        if judgement.doubted_until.is_some_and(|until| now < until) { Clock::Doubted } else { Clock::Believed }
    }

    /// There is another reason to doubt it, for a day.
    pub fn doubt(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).doubted_until = Some(Instant::now() + DOUBTED_FOR);
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, after: Duration) -> Self {
        Self::from_unix(self.0.saturating_add(i64::try_from(after.as_secs()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, before: Duration) -> Self {
        Self::from_unix(self.0.saturating_sub(i64::try_from(before.as_secs()).unwrap_or(i64::MAX)))
    }
}

/// RFC 3339 in UTC, whole seconds: `2026-11-21T20:00:00Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(instant) => write!(f, "{}", instant.strftime("%Y-%m-%dT%H:%M:%SZ")),
            Err(_) => write!(f, "@{}", self.0), // year 0, which jiff does not hold
        }
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc_3339_with_z() {
        assert_eq!(Timestamp::from_unix(1_795_291_200).to_string(), "2026-11-21T20:00:00Z");
        assert_eq!(Timestamp::from_unix(0).to_string(), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_step_is_told_once_with_its_sign_and_small_ones_add_up() {
        let tolerance = Duration::from_secs(5);
        let mut clock = StepDetector::start();
        assert_eq!(clock.step(tolerance), None);
        clock.wall = clock.wall + Duration::from_secs(3600);
        let back = clock.step(tolerance).unwrap();
        assert!((-3600..=-3599).contains(&back), "{back}");
        assert_eq!(clock.step(tolerance), None);
        // One that stands still: every look finds it a little further behind.
        clock.wall = clock.wall + Duration::from_secs(4);
        assert_eq!(clock.step(tolerance), None);
        clock.wall = clock.wall + Duration::from_secs(4);
        assert!(clock.step(tolerance).is_some_and(|step| step < 0));
    }

    #[test]
    fn a_clock_that_was_set_is_doubted_by_all_who_share_the_judge_and_for_a_day() {
        let judge = Judge::default();
        let other = judge.clone();
        assert_eq!(judge.clock(), Clock::Believed);
        judge.0.lock().unwrap().steps.wall = Timestamp::now() - Duration::from_secs(3600);
        assert_eq!((other.clock(), judge.clock()), (Clock::Doubted, Clock::Doubted));
        judge.0.lock().unwrap().doubted_until = Some(Instant::now());
        assert_eq!(judge.clock(), Clock::Believed, "the day is over");
        judge.doubt();
        assert_eq!(other.clock(), Clock::Doubted);
    }

    #[test]
    fn arithmetic_stops_at_the_ends_of_the_calendar() {
        let last = Timestamp::from_unix(i64::MAX);
        assert_eq!(last + Duration::MAX, last);
        assert_eq!(last.to_string(), "9999-12-30T22:00:00Z");
        assert_eq!(Timestamp::from_unix(5).since(last), Duration::ZERO);
    }
}
