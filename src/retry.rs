//! When to try again: attempt and `Retry-After` in, delay out. The table of all delays stands here and nowhere else;
//! [`table`] prints it for docs/operating.md.
//!
//! Pure arithmetic: waiting happens in columns of the store. This is the only file that names the `backoff` crate, which
//! is unmaintained; of it only the doubling with jitter is used, with its give-up time off and its result kept below the longest.
//!
//! Attempts and failures are counted from 1: the argument says how many there have been. A delay varies by ±10 %, so that
//! what failed together does not come back together, and never exceeds the longest one shown in the table: the longest ones lie
//! evenly in the tenth below it.

#[cfg(test)]
mod properties;

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

use crate::clock::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A message that its receiver does not accept: 36 attempts, the default of `max_attempts`, take about 76 h.
const DISPATCH_FIRST: Duration = Duration::from_secs(5);
const DISPATCH_MAX: Duration = Duration::from_secs(193 * 60);
/// After `max_attempts`, and until [`DISPATCH_GIVE_UP`].
const DISPATCH_LATE: Duration = DAY;
/// Since a message's first attempt: then it is dead.
pub const DISPATCH_GIVE_UP: Duration = Duration::from_secs(30 * 24 * 3600);

const SINK_FIRST: Duration = Duration::from_secs(5);
const SINK_MAX: Duration = Duration::from_secs(5 * 60);
/// A sink that may be well: another message shows it.
const SINK_DOUBTED_MAX: Duration = Duration::from_secs(30);

/// A subscription without usable answer; after these its interval.
const POLL: [Duration; 4] =
    [Duration::from_secs(10), MINUTE, Duration::from_secs(5 * 60), Duration::from_secs(30 * 60)];

/// A subscription, or its order data, refused; the last one repeats.
const REFUSED: [Duration; 3] = [HOUR, Duration::from_secs(4 * 3600), DAY];

/// One request this often to a territory that refuses every subscription.
pub const TERRITORY_PROBE: Duration = MINUTE;

/// Order data is given up only after at least this many answers of its class, and the time below since the first of them.
pub const ORDER_DATA_MIN_ANSWERS: u32 = 8;
/// The provider does not know the delivery.
pub const NOT_FOUND_GIVE_UP: Duration = Duration::from_secs(48 * 3600);
/// Payment, fraud check or stock.
pub const WAITING_GIVE_UP: Duration = Duration::from_secs(30 * 24 * 3600);
/// They are logged as a warning after this.
pub const WAITING_WARNING: Duration = Duration::from_secs(3 * 24 * 3600);
/// Order data that got no answer is asked for at least this often: as soon as there is one, somebody gets a key.
pub const UNANSWERED_MAX: Duration = HOUR;
/// As many attempts in a row without an answer are worth an alert: about six hours, by default.
pub const UNANSWERED_WARNING: u32 = 14;
/// As many refusals of order data in a row are worth an alert: it has been asked for since five hours, and daily from now on.
pub const REFUSED_WARNING: u32 = 3;
/// Complete, and without what it should hold: then that is believed.
pub const EMPTY_BELIEVED: Duration = Duration::from_secs(3 * 24 * 3600);
/// A delivery that lacks something is looked at again this often, and for so long.
const LOOK_AGAIN: Duration = DAY;
pub const LOOK_AGAIN_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// Other trouble that passes.
pub const TRANSIENT_GIVE_UP: Duration = Duration::from_secs(72 * 3600);

/// A longer `Retry-After` is a mistake or an attack, and not obeyed.
const RETRY_AFTER_MAX: Duration = DAY;

/// Until order data is asked for again, after so many answers that it was not ready.
pub fn order_data(attempt: u32, first: Duration, max: Duration) -> Duration {
    doubling(attempt, first, max)
}

/// Until what was delivered and lacks something is looked at again.
pub fn look_again() -> Duration {
    jittered(LOOK_AGAIN)
}

/// Until a message is sent again, after so many answers against it. Whether it is dead by then is told by
/// [`DISPATCH_GIVE_UP`].
pub fn dispatch(attempt: u32, max_attempts: u32) -> Duration {
    if attempt < max_attempts { doubling(attempt, DISPATCH_FIRST, DISPATCH_MAX) } else { jittered(DISPATCH_LATE) }
}

/// Until a sink in trouble is probed again, after so many failures in a row.
pub fn sink(failures: u32) -> Duration {
    doubling(failures, SINK_FIRST, SINK_MAX)
}

/// Until a sink is probed by another message, after so many that failed in a row for a reason that may be theirs. After the first:
/// at once.
pub fn doubted_sink(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        more => doubling(more - 1, SINK_FIRST, SINK_DOUBTED_MAX),
    }
}

/// Until a subscription is asked again, after so many requests in a row without usable answer; `None` = when its interval
/// has passed.
pub fn poll(failures: u32) -> Option<Duration> {
    POLL.get(index(failures)).copied().map(jittered)
}

/// Until a refused subscription is asked again, after so many refusals in a row.
pub fn refused(refusals: u32) -> Duration {
    jittered(REFUSED[index(refusals).min(REFUSED.len() - 1)])
}

/// The longer of the two; a `Retry-After` above a day is not obeyed.
pub fn with_retry_after(delay: Duration, retry_after: Option<Duration>) -> Duration {
    retry_after.filter(|after| *after <= RETRY_AFTER_MAX).map_or(delay, |after| delay.max(after))
}

/// Reads `Retry-After`, seconds or HTTP date. What cannot be read, lies in the past or is more than a day away is `None`.
pub fn parse_retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    let after = if header.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(header.parse().ok()?)
    } else {
        let date = jiff::fmt::rfc2822::parse(header).ok()?;
        Duration::from_secs(u64::try_from(date.timestamp().as_second().checked_sub(now.as_unix())?).ok()?)
    };
    (after <= RETRY_AFTER_MAX).then_some(after)
}

/// The delays above in Markdown, for people.
pub fn table() -> String {
    let rows = [
        ("A subscription: no usable answer", format!("{}, then its interval", list(&POLL)), "never".to_owned()),
        (
            "A subscription or order data: refused",
            format!("{}, then every {}", list(&REFUSED[..2]), shown(REFUSED[2])),
            format!("never; for order data an alert after {REFUSED_WARNING} in a row"),
        ),
        (
            "A territory that refuses every subscription",
            format!("{} between single requests", shown(TERRITORY_PROBE)),
            "never; the first success opens it".to_owned(),
        ),
        ("Order data: not found", ORDER_DATA_DELAYS.to_owned(), given_up(NOT_FOUND_GIVE_UP)),
        (
            "Order data: payment, check or stock",
            ORDER_DATA_DELAYS.to_owned(),
            format!("{}, warning after {}", given_up(WAITING_GIVE_UP), shown(WAITING_WARNING)),
        ),
        ("Order data: other trouble that passes", ORDER_DATA_DELAYS.to_owned(), given_up(TRANSIENT_GIVE_UP)),
        (
            "Order data: complete, and without what it should hold",
            ORDER_DATA_DELAYS.to_owned(),
            format!("{}: delivered with the warning `empty`", given_up(EMPTY_BELIEVED)),
        ),
        (
            "What was delivered with the warning `empty` or `partial`",
            format!("every {}, for what is missing", shown(LOOK_AGAIN)),
            format!("{} after it was delivered", shown(LOOK_AGAIN_FOR)),
        ),
        (
            "Order data: no answer, 429, 5xx",
            format!("{ORDER_DATA_DELAYS}, at most {}", shown(UNANSWERED_MAX)),
            format!("never; an alert after {UNANSWERED_WARNING} in a row"),
        ),
        ("Order data: a code that never passes", "not asked again".to_owned(), "at once".to_owned()),
        (
            "A sink: no answer, redirect, 401, 403, 407, 408, 410, 425, 429, 5xx, cannot be written",
            format!(
                "{} doubling to {}; where it may be the message, others are tried at once, then {} doubling to {}",
                shown(SINK_FIRST),
                shown(SINK_MAX),
                shown(SINK_FIRST),
                shown(SINK_DOUBTED_MAX)
            ),
            "never; its messages wait and lose no attempt, but for one that fails again while others are taken"
                .to_owned(),
        ),
        (
            "A message that its receiver does not accept: other 4xx",
            format!(
                "{} doubling to {}; after `max_attempts` (36: about 76 h) every {}",
                shown(DISPATCH_FIRST),
                shown(DISPATCH_MAX),
                shown(DISPATCH_LATE)
            ),
            format!("dead {} after the first attempt", shown(DISPATCH_GIVE_UP)),
        ),
    ];
    let mut table = "| What failed | Asked or sent again after | Given up |\n|---|---|---|\n".to_owned();
    for (what, again, given_up) in rows {
        table.push_str(&format!("| {what} | {again} | {given_up} |\n"));
    }
    table
}

const ORDER_DATA_DELAYS: &str = "`retry_first` doubling to `retry_max`";

fn given_up(after: Duration) -> String {
    format!("{} after the first such answer, of at least {ORDER_DATA_MIN_ANSWERS}", shown(after))
}

fn list(delays: &[Duration]) -> String {
    delays.iter().map(|delay| shown(*delay)).collect::<Vec<_>>().join(", ")
}

/// In its largest units: `10 s`, `3 h 13 min`, `30 d`; up to 48 h in hours.
fn shown(delay: Duration) -> String {
    let seconds = delay.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (hours, 0, 0) if hours > 48 && hours % 24 == 0 => format!("{} d", hours / 24),
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (hours, 0, 0) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

fn index(failures: u32) -> usize {
    usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX)
}

/// Up to a tenth less.
fn jittered(delay: Duration) -> Duration {
    doubling(1, delay, delay)
}

/// `first` after one attempt, then doubling, ±10 % and never above `max`.
fn doubling(attempt: u32, first: Duration, max: Duration) -> Duration {
    let first = first.min(max);
    let mut backoff = ExponentialBackoff {
        current_interval: first,
        initial_interval: first,
        randomization_factor: 0.1,
        multiplier: 2.0,
        max_interval: max,
        max_elapsed_time: None, // by default it gives up after 15 minutes
        ..ExponentialBackoff::default()
    };
    // More doublings than these lead nowhere: from a millisecond they pass any age of the universe.
    for _ in 1..attempt.min(80) {
        backoff.next_backoff();
    }
    let delay = backoff.next_backoff().unwrap_or(max);
    // As far below the longest as it would be above: if they were cut off, half of them would be the same.
    delay.checked_sub(max).map_or(delay, |above| max.saturating_sub(above))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within_ten_percent(delay: Duration, expected: Duration) -> bool {
        (expected.mul_f64(0.899)..=expected.mul_f64(1.101)).contains(&delay)
    }

    #[test]
    fn order_data_doubles_to_its_cap_and_never_passes_it() {
        let (first, max) = (Duration::from_secs(10), 4 * HOUR);
        for (attempt, expected) in [(0, 10), (1, 10), (2, 20), (3, 40), (10, 5120), (11, 10_240)] {
            let delay = order_data(attempt, first, max);
            assert!(within_ten_percent(delay, Duration::from_secs(expected)), "{attempt}: {delay:?}");
        }
        for attempt in [12, 13, 100, u32::MAX] {
            for _ in 0..200 {
                let delay = order_data(attempt, first, max);
                assert!(delay <= max && within_ten_percent(delay, max), "{attempt}: {delay:?}");
            }
        }
    }

    #[test]
    fn extreme_settings_do_not_panic() {
        assert_eq!(order_data(u32::MAX, Duration::ZERO, Duration::ZERO), Duration::ZERO);
        assert!(order_data(u32::MAX, Duration::from_millis(1), Duration::MAX) <= Duration::MAX);
        assert!(order_data(3, DAY, MINUTE) <= MINUTE, "first above max");
    }

    #[test]
    fn delays_differ_from_each_other() {
        let delays: std::collections::HashSet<_> = (0..50).map(|_| order_data(5, MINUTE, DAY)).collect();
        assert!(delays.len() > 40, "{delays:?}");
    }

    /// Otherwise what failed together comes back together.
    #[test]
    fn the_longest_delays_differ_too() {
        let capped: [(Duration, &dyn Fn() -> Duration); 6] = [
            (4 * HOUR, &|| order_data(20, MINUTE, 4 * HOUR)),
            (SINK_MAX, &|| sink(20)),
            (POLL[0], &|| poll(1).unwrap()),
            (DAY, &|| refused(3)),
            (DAY, &look_again),
            (DAY, &|| dispatch(36, 36)),
        ];
        for (longest, delay) in capped {
            let delays: Vec<_> = (0..1000).map(|_| delay()).collect();
            let near = |from: f64| delays.iter().filter(|delay| **delay >= longest.mul_f64(from)).count();
            assert!(near(1.0) < 30, "{} of {longest:?}", near(1.0));
            // Evenly over the tenth below it.
            assert!(near(0.899) == 1000 && (400..600).contains(&near(0.95)), "{} of {longest:?}", near(0.95));
        }
    }

    #[test]
    fn thirty_six_attempts_take_about_76_hours() {
        let takes = || (1..36).map(|attempt| dispatch(attempt, 36)).sum::<Duration>();
        let schedules: Vec<Duration> = std::iter::repeat_with(takes).take(200).collect();
        let mean = schedules.iter().sum::<Duration>() / 200;
        assert!((75 * HOUR..=77 * HOUR).contains(&mean), "{mean:?}");
        assert!(schedules.iter().all(|total| (72 * HOUR..=80 * HOUR).contains(total)), "{schedules:?}");
    }

    #[test]
    fn after_max_attempts_a_message_is_sent_daily() {
        for attempt in [36, 37, 60, u32::MAX] {
            assert!(within_ten_percent(dispatch(attempt, 36), DAY));
        }
        assert!(within_ten_percent(dispatch(3, 3), DAY));
        assert!(within_ten_percent(dispatch(1, 36), DISPATCH_FIRST));
    }

    #[test]
    fn sinks_are_probed_after_5_s_to_5_min() {
        assert!(within_ten_percent(sink(1), Duration::from_secs(5)));
        assert!(within_ten_percent(sink(4), Duration::from_secs(40)));
        assert!((0..200).all(|failures| sink(failures) <= SINK_MAX));
        assert!(within_ten_percent(sink(u32::MAX), SINK_MAX));
        assert_eq!([0, 1].map(doubted_sink), [Duration::ZERO; 2]);
        assert!(within_ten_percent(doubted_sink(2), Duration::from_secs(5)));
    }

    #[test]
    fn polls_come_back_four_times_before_their_interval() {
        for (failures, seconds) in [(0, 10), (1, 10), (2, 60), (3, 300), (4, 1800)] {
            let delay = poll(failures).unwrap();
            assert!(within_ten_percent(delay, Duration::from_secs(seconds)), "{failures}: {delay:?}");
        }
        assert_eq!(poll(5), None);
        assert_eq!(poll(u32::MAX), None);
    }

    #[test]
    fn refusals_end_up_daily() {
        for (refusals, hours) in [(1, 1), (2, 4), (3, 24), (4, 24), (u32::MAX, 24)] {
            let delay = refused(refusals);
            assert!(delay <= hours * HOUR && within_ten_percent(delay, hours * HOUR), "{refusals}: {delay:?}");
        }
    }

    #[test]
    fn the_longer_of_delay_and_retry_after_counts() {
        assert_eq!(with_retry_after(MINUTE, None), MINUTE);
        assert_eq!(with_retry_after(MINUTE, Some(HOUR)), HOUR);
        assert_eq!(with_retry_after(HOUR, Some(MINUTE)), HOUR);
        assert_eq!(with_retry_after(MINUTE, Some(DAY)), DAY);
        assert_eq!(with_retry_after(MINUTE, Some(DAY + HOUR)), MINUTE, "hostile");
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = Timestamp::from_unix(1_445_412_420); // Wed, 21 Oct 2015 07:27:00 GMT
        for (header, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("86400", Some(86_400)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(60)),
            ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
            ("Wed, 21 Oct 2015 07:26:59 GMT", None),
            ("Thu, 22 Oct 2015 08:28:00 GMT", None),
            ("Wed, 21 Oct 9999 07:28:00 GMT", None),
            ("86401", None),
            ("99999999999999999999999999", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(parse_retry_after(header, now), seconds.map(Duration::from_secs), "{header}");
        }
    }

    #[test]
    fn the_table_shows_the_constants() {
        let table = table();
        assert_eq!(table.lines().count(), 14, "{table}");
        for part in [
            "10 s, 1 min, 5 min, 30 min, then",
            "1 h, 4 h, then every 24 h",
            "3 h 13 min",
            "dead 30 d",
            "| 48 h after",
            "3 d |",
        ] {
            assert!(table.contains(part), "{part} in\n{table}");
        }
    }

    #[test]
    fn the_documents_show_the_table() {
        let page = include_str!("../docs/operating.md");
        assert!(page.contains(&table()), "put this between its markers:\n{}", table());
    }
}
