//! The table of delays against the sentences of the design, for every count, every bound and every header.

use std::time::Duration;

use proptest::prelude::*;

use super::{dispatch, order_data, parse_retry_after, poll, refused, sink, with_retry_after};
use crate::clock::Timestamp;
use crate::renewal::properties::{config, is_about};

const DAY: u64 = 86_400;

/// Small ones, large ones, and the ends.
fn count() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0..50_u32, 1 => any::<u32>()]
}

/// So many seconds after the first failure, twice that after the second, and no more than `longest`.
fn doubled(count: u32, first: f64, longest: f64) -> f64 {
    (first * 2_f64.powf(f64::from(count.max(1) - 1))).min(longest)
}

/// As HTTP writes an instant.
fn http_date(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_unix()).unwrap().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn polls_come_back_after_10_s_1_m_5_m_30_m_and_then_at_their_interval(failures in count()) {
        match (poll(failures), failures) {
            (Some(delay), 0 | 1) => prop_assert!(is_about(delay, 10.0, 10.0), "{:?}", delay),
            (Some(delay), 2) => prop_assert!(is_about(delay, 60.0, 60.0), "{:?}", delay),
            (Some(delay), 3) => prop_assert!(is_about(delay, 300.0, 300.0), "{:?}", delay),
            (Some(delay), 4) => prop_assert!(is_about(delay, 1800.0, 1800.0), "{:?}", delay),
            (delay, _) => prop_assert!(delay.is_none() && failures > 4, "{:?}", delay),
        }
    }

    #[test]
    fn refusals_come_back_after_1_h_4_h_and_then_daily(refusals in count()) {
        let hours = match refusals { 0 | 1 => 1.0, 2 => 4.0, _ => 24.0 };
        prop_assert!(is_about(refused(refusals), hours * 3600.0, hours * 3600.0));
    }

    #[test]
    fn order_data_doubles_from_retry_first_to_retry_max(
        attempt in count(), first in 1..100_000_000_u64, max in 1..3_000_000_000_u64,
    ) {
        let delay = order_data(attempt, Duration::from_millis(first), Duration::from_millis(max));
        let (first, max) = (first as f64 / 1000.0, max as f64 / 1000.0);
        prop_assert!(is_about(delay, doubled(attempt, first, max), max), "{:?}", delay);
    }

    #[test]
    fn messages_double_up_to_3_h_and_are_sent_daily_after_max_attempts(attempt in count(), max_attempts in count()) {
        let late = attempt >= max_attempts;
        let expected = if late { DAY as f64 } else { doubled(attempt, 5.0, 193.0 * 60.0) };
        let longest = if late { DAY as f64 } else { 193.0 * 60.0 };
        prop_assert!(is_about(dispatch(attempt, max_attempts), expected, longest));
    }

    #[test]
    fn sinks_are_probed_after_5_s_to_5_min(failures in count()) {
        prop_assert!(is_about(sink(failures), doubled(failures, 5.0, 300.0), 300.0));
        prop_assert!(failures < 2 || is_about(super::doubted_sink(failures), doubled(failures - 1, 5.0, 30.0), 30.0));
    }

    #[test]
    fn a_retry_after_makes_a_delay_longer_up_to_a_day_and_never_shorter(delay in 0..3 * DAY, after in prop::option::of(0..3 * DAY)) {
        let obeyed = after.filter(|after| *after <= DAY).unwrap_or(0);
        let seconds = Duration::from_secs;
        prop_assert_eq!(with_retry_after(seconds(delay), after.map(seconds)), seconds(delay.max(obeyed)));
    }

    #[test]
    fn a_number_of_seconds_is_read_up_to_a_day(
        number in prop_oneof![0..200_000_u128, any::<u128>()], zeros in 0..30_usize, space in "[ \t]{0,3}",
    ) {
        let header = format!("{space}{}{number}{space}", "0".repeat(zeros));
        let expected = u64::try_from(number).ok().filter(|seconds| *seconds <= DAY).map(Duration::from_secs);
        prop_assert_eq!(parse_retry_after(&header, Timestamp::default()), expected);
    }

    #[test]
    fn a_date_is_read_from_now_up_to_a_day_ahead(now in 0..4_000_000_000_i64, ahead in -100_000..200_000_i64) {
        let header = http_date(Timestamp::from_unix(now + ahead));
        let expected = u64::try_from(ahead).ok().filter(|seconds| *seconds <= DAY).map(Duration::from_secs);
        prop_assert_eq!(parse_retry_after(&header, Timestamp::from_unix(now)), expected);
    }

    #[test]
    fn nothing_else_is_ever_more_than_a_day(
        header in prop_oneof![any::<String>(), "[A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{5,8} (GMT|[+-][0-9]{4})", "[-+0-9.e٣]{0,12}"],
        now in any::<i64>(),
    ) {
        let read = parse_retry_after(&header, Timestamp::from_unix(now));
        prop_assert!(read.is_none_or(|after| after.as_secs() <= DAY), "{:?}", read);
    }
}
