//! When a subscription is due after its interval was changed.

use std::time::Duration;

use super::{Pace, Rules};
use crate::clock::Timestamp;

/// Where a due time goes that lies ahead and was set by the rules `before`; `None` where it stays. Nobody waits longer for the
/// next poll than the new interval, counted from the last one or, where that is over already, from now. Those who waited spread
/// over an interval still do: what comes due sooner is not bunched.
///
/// Without `before` only a due time further ahead than the interval is taken for one of another.
pub fn moved(
    due: Timestamp,
    asked: Timestamp,
    pace: Pace,
    before: Option<&Rules>,
    rules: &Rules,
    now: Timestamp,
) -> Option<Timestamp> {
    let interval = rules.interval(pace);
    let old = before.map(|before| before.interval(pace));
    let ahead = due.since(now);
    let latest = asked + interval;
    if ahead.is_zero() || old == Some(interval) {
        return None;
    }
    match old {
        Some(old) if old < interval => {
            let later = now + ahead.mul_f64(interval.as_secs_f64() / old.as_secs_f64());
            (later.min(latest) > due).then_some(later.min(latest))
        }
        // Its own time has come only in part: the rest of the new interval is left.
        Some(_) if latest > now => (due > latest).then(|| now + remainder(ahead, latest.since(now))),
        _ => (ahead > interval).then(|| now + remainder(ahead, interval)),
    }
}

/// What is left of `time` beyond whole `parts`.
fn remainder(time: Duration, part: Duration) -> Duration {
    Duration::from_secs(time.as_secs() % part.as_secs().max(1))
}

#[cfg(test)]
mod tests {
    use super::super::{HOUR, fixtures};
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_795_291_200);

    fn rules(every: Duration) -> Rules {
        Rules { every, ..fixtures::rules() }
    }

    /// Subscriptions that are asked evenly every `old`, a minute apart, after a change to `new`: when asked last, and due then.
    fn changed(old: Duration, new: Duration) -> Vec<(Timestamp, Timestamp)> {
        let minutes = u32::try_from(old.as_secs() / 60).unwrap();
        let due = |asked: Timestamp| {
            moved(asked + old, asked, Pace::Regular, Some(&rules(old)), &rules(new), NOW).unwrap_or(asked + old)
        };
        (0..minutes).map(|n| NOW - n * Duration::from_secs(60)).map(|asked| (asked, due(asked))).collect()
    }

    #[test]
    fn a_shorter_interval_is_kept_from_the_last_poll_on_or_from_now() {
        for (old, new) in [(24 * HOUR, 4 * HOUR), (6 * HOUR, 4 * HOUR), (4 * HOUR, HOUR / 2), (5 * HOUR, 3 * HOUR)] {
            for (asked, due) in changed(old, new) {
                let latest = if asked + new > NOW { asked + new } else { NOW + new };
                assert!(due >= NOW && due <= latest, "{old:?} to {new:?}: {asked}, due {due}");
            }
        }
    }

    #[test]
    fn no_part_of_the_new_interval_gets_much_more_than_its_share() {
        for (old, new) in [(24 * HOUR, 4 * HOUR), (4 * HOUR, HOUR), (4 * HOUR, 24 * HOUR), (HOUR, 4 * HOUR)] {
            let all = changed(old, new);
            let mut tenths = [0; 11];
            for (_, due) in &all {
                tenths[(due.since(NOW).as_secs() * 10 / new.as_secs()) as usize] += 1;
            }
            let share = all.len() / 10;
            assert!(tenths.iter().all(|count| *count <= share * 2), "{old:?} to {new:?}: {tenths:?} of {}", all.len());
        }
    }

    #[test]
    fn a_longer_interval_is_never_exceeded() {
        for (asked, due) in changed(4 * HOUR, 24 * HOUR) {
            assert!(due > NOW && due <= asked + 24 * HOUR, "{asked}, due {due}");
        }
    }

    #[test]
    fn twice_is_once() {
        let (old, new) = (rules(24 * HOUR), rules(4 * HOUR));
        for minute in 0..24 * 60 {
            let asked = NOW - minute * Duration::from_secs(60);
            let due = asked + 24 * HOUR;
            let once = moved(due, asked, Pace::Regular, Some(&old), &new, NOW).unwrap_or(due);
            let later = NOW + Duration::from_secs(600);
            assert_eq!(moved(once, asked, Pace::Regular, Some(&old), &new, later).filter(|twice| *twice > once), None);
            assert_eq!(moved(once, asked, Pace::Regular, None, &new, later), None, "after a restart");
        }
    }

    #[test]
    fn what_does_not_depend_on_the_interval_stays() {
        let (old, new) = (rules(4 * HOUR), rules(HOUR));
        let stays = |pace, due| moved(due, NOW - HOUR, pace, Some(&old), &new, NOW).is_none();
        assert!(stays(Pace::Daily, NOW + 23 * HOUR));
        assert!(stays(Pace::Monthly, NOW + 700 * HOUR));
        assert!(stays(Pace::Regular, NOW - HOUR), "due already");
        assert_eq!(moved(NOW + 9 * HOUR, NOW, Pace::Regular, None, &new, NOW), Some(NOW));
    }
}
