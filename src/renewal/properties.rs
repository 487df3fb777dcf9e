//! What the properties of decisions begin with: cases of settings, of trouble and of time. The models are written from the design
//! (sections 4 and 8) instead of the code, and stand beside the provider whose answers they are about.
//!
//! `cargo test` tries 10,000 cases of each, `tests/torture properties` more, from a seed of its own.

use std::time::Duration;

use proptest::prelude::*;

use super::{DAY, HOUR, Rules};
use crate::clock::Timestamp;
use crate::provider::Error;

pub(crate) const NOW: Timestamp = Timestamp::constant(1_800_000_000);

/// So many cases as `PROPTEST_CASES` says. A failure is told with the smallest case that fails, and leaves no file behind.
pub(crate) fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(10_000);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// A delay of the table: up to a tenth more or less, and never above the longest that stands there.
pub(crate) fn is_about(delay: Duration, expected: f64, longest: f64) -> bool {
    let seconds = delay.as_secs_f64();
    (expected * 0.9 - 1.0..=(expected * 1.1).min(longest) + 1e-6).contains(&seconds)
}

pub(crate) fn rules() -> impl Strategy<Value = Rules> {
    (1..=48_u32, 0..30_u32, 0..30_u32, 0..60_u32, 0..60_u32, 1..40_i64).prop_map(
        |(every, before, after, ended, notify, max_generation_jump)| Rules {
            every: every * HOUR / 2,
            window_before: before * DAY,
            window_after: after * DAY,
            ended_after: ended * DAY,
            notify_before: notify * DAY,
            max_generation_jump,
            retry_first: Duration::from_secs(10),
            retry_max: 4 * HOUR,
        },
    )
}

/// No answer of any use. What could not be reached is told like what was not available.
pub(crate) fn no_answer() -> impl Strategy<Value = Error> {
    let retry_after = || prop::option::of((0..200_000_u64).prop_map(Duration::from_secs));
    prop_oneof![
        (500..600_u16, retry_after()).prop_map(|(status, retry_after)| Error::Unavailable { status, retry_after }),
        retry_after().prop_map(|retry_after| Error::TooManyRequests { retry_after }),
        Just(Error::Unreadable { reason: "no JSON".to_owned() }),
        Just(Error::NotTheProvider { what: "a page".to_owned() }),
        Just(Error::Rejected { status: 400 }),
        Just(Error::Unauthorized { reason: "realm".to_owned(), look_at: "it" }),
    ]
}

/// What is obeyed of a `Retry-After`: nothing above a day.
pub(crate) fn obeyed(error: &Error) -> f64 {
    match error {
        Error::Unavailable { retry_after, .. } | Error::TooManyRequests { retry_after } => {
            retry_after.filter(|after| *after <= DAY).unwrap_or_default().as_secs_f64()
        }
        _ => 0.0,
    }
}

/// Between two answers: minutes, hours, a day, weeks, years, and at times a clock set back.
pub(crate) fn gap() -> impl Strategy<Value = i64> {
    prop_oneof![
        3 => 1..7_200_i64,
        4 => 7_200..90_000_i64,
        2 => 90_000..4_000_000_i64,
        1 => 4_000_000..70_000_000_i64,
        1 => -90_000..0_i64,
    ]
}

pub(crate) fn after(now: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_unix(now.as_unix() + seconds)
}
