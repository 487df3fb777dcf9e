use std::time::Duration;

use super::*;
use crate::forecast::{Counts, Forecast};
use crate::renewal::{self, HOUR};
use crate::store::{Leeway, Reached, fixtures};

/// 2026-11-21T20:00:00Z
const NOW: Timestamp = Timestamp::constant(1_795_291_200);

fn rules(every: Duration) -> Rules {
    Rules { every, ..renewal::fixtures::rules() }
}

/// Five thousand subscriptions, asked one after the other within the last day, each due a day after that.
async fn asked_daily() -> (Store, tempfile::TempDir) {
    let (store, dir) = fixtures::opened();
    let insert = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
         INSERT INTO subscriptions (provider, partner_order_number, subscription_id, is_numbered, territory, generation, tracked_at,
                                    tracked_by, lane, due_at, last_asked_at, last_answer_at, last_outcome)
         SELECT 'nexway', 'P' || i, i, 1, 'eu', 0, 0, 'track', 3, {now} + i * 17, {now} + i * 17 - 86400,
                {now} + i * 17 - 86400, 'ok' FROM n;
         UPDATE subscriptions SET failures = 3 WHERE id = 4000;
         UPDATE subscriptions SET pace = 'monthly' WHERE id = 4001",
        now = NOW.as_unix()
    );
    store.write(move |db| Ok(db.execute_batch(&insert)?)).await.unwrap();
    (store, dir)
}

async fn all(store: &Store, before: Option<&Rules>, rules: &Rules) -> usize {
    let (mut after, mut moved, mut steps) = (0, 0, 0);
    while let Some(batch) = store.move_due_times("nexway", before, rules, after, NOW).await.unwrap() {
        (after, moved, steps) = (batch.last, moved + batch.moved, steps + 1);
    }
    assert_eq!(steps, 3, "a short transaction at a time");
    moved
}

async fn due_within(store: &Store, time: Duration) -> i64 {
    let latest = NOW + time;
    let count = "SELECT count(*) FROM subscriptions WHERE due_at <= ?1";
    store.read(move |db| Ok(db.query_row(count, [latest], |row| row.get(0))?)).await.unwrap()
}

#[tokio::test]
async fn a_shorter_interval_brings_everybody_within_it_and_nobody_else() {
    let (store, _dir) = asked_daily().await;
    let (before, after) = (rules(24 * HOUR), rules(4 * HOUR));
    assert!(store.is_anyone_due_after("nexway", NOW + after.every).await.unwrap());
    assert!(all(&store, Some(&before), &after).await > 3000);
    assert_eq!(due_within(&store, 4 * HOUR).await, 4998, "a retry and the monthly one stay");
    // The same share in each hour.
    let hours =
        [due_within(&store, HOUR).await, due_within(&store, 2 * HOUR).await, due_within(&store, 3 * HOUR).await];
    for (hour, count) in (1..).zip(hours) {
        assert!((hour * 1000..=hour * 1600).contains(&count), "{hours:?}");
    }
    assert!(!store.is_anyone_due_after("nexway", NOW + after.every).await.unwrap());
    assert_eq!(all(&store, None, &after).await, 0, "as after a restart");
}

#[tokio::test]
async fn a_clock_set_back_by_an_hour_puts_nobody_off() {
    let (store, _dir) = asked_daily().await;
    let (before, now) = (due_within(&store, 2 * HOUR).await, NOW - HOUR);
    // By the clock that was set back, the same subscriptions were due an hour later.
    store.bring_forward(HOUR, now, &mut Reached::default()).await.unwrap();
    assert_eq!(due_within(&store, HOUR).await, before);
    assert!(due_within(&store, Duration::ZERO).await > 0);
}

#[tokio::test]
async fn a_write_that_fails_half_way_moves_nobody_twice() {
    let (store, _dir) = asked_daily().await;
    let (before, now) = (due_within(&store, 2 * HOUR).await, NOW - HOUR);
    fails_at_4500(&store, true).await;
    let mut reached = Reached::default();
    for _ in 0..2 {
        store.bring_forward(HOUR, now, &mut reached).await.unwrap_err();
        assert_eq!(reached.moved, 4000);
    }
    fails_at_4500(&store, false).await;
    store.bring_forward(HOUR, now, &mut reached).await.unwrap();
    assert_eq!((reached.moved, due_within(&store, HOUR).await), (5000, before));
}

#[tokio::test]
async fn an_interval_that_was_shortened_while_nobody_ran_is_found() {
    let (store, _dir) = asked_daily().await;
    assert!(all(&store, None, &rules(4 * HOUR)).await > 3000);
    assert_eq!(due_within(&store, 4 * HOUR).await, 4998);
}

async fn count(store: &Store, condition: &str) -> i64 {
    let count = format!("SELECT count(*) FROM subscriptions WHERE {condition}");
    store.read(move |db| Ok(db.query_row(&count, [], |row| row.get(0))?)).await.unwrap()
}

/// Makes the write of the 4,500th fail, or no more.
async fn fails_at_4500(store: &Store, fails: bool) {
    let change = if fails {
        "CREATE TRIGGER full BEFORE UPDATE ON subscriptions WHEN new.id = 4500
         BEGIN SELECT raise(ABORT, 'disk full'); END"
    } else {
        "DROP TRIGGER full"
    };
    store.write(move |db| Ok(db.execute_batch(change)?)).await.unwrap();
}

#[tokio::test]
async fn many_are_promoted_and_healed_a_short_transaction_at_a_time() {
    let (store, _dir) = asked_daily().await;
    let rules = rules(4 * HOUR);
    let (promoted, year) = ("lane = 2", "due_at > 1800000000");
    let ahead = "UPDATE subscriptions SET expires_at = 1795291200, pace = 'regular', due_at = 1826827200";
    store.write(move |db| Ok(db.execute_batch(ahead)?)).await.unwrap();
    fails_at_4500(&store, true).await;
    store.promote_urgent("nexway", &rules, NOW).await.unwrap_err();
    assert_eq!(count(&store, promoted).await, 4000);
    store.heal_due_times("nexway", &rules, NOW).await.unwrap_err();
    assert!((1..=3000).contains(&count(&store, year).await));
    fails_at_4500(&store, false).await;
    assert_eq!(store.promote_urgent("nexway", &rules, NOW).await.unwrap(), 1000);
    assert_eq!(count(&store, promoted).await, 5000);
    store.heal_due_times("nexway", &rules, NOW).await.unwrap();
    assert_eq!((count(&store, year).await, due_within(&store, Duration::ZERO).await), (0, 5000));
}

#[tokio::test]
async fn an_answer_from_a_clock_that_was_ahead_hides_nobody_who_is_late() {
    let year = 365 * 24 * HOUR;
    let (rules, later) = (rules(24 * HOUR), NOW + 48 * HOUR);
    let forecast = Forecast::new(Counts { regular: 5000, ..Counts::default() }, &rules, 5.0);
    let leeway = Leeway::new(rules.clone(), forecast, Duration::ZERO);
    for is_running in [true, false] {
        let (store, _dir) = asked_daily().await;
        let ahead = "UPDATE subscriptions SET due_at = due_at + 31536000, last_asked_at = last_asked_at + 31536000,
                         last_answer_at = last_answer_at + 31536000;
                     UPDATE subscriptions SET last_answer_at = NULL WHERE id = 7";
        store.write(move |db| Ok(db.execute_batch(ahead)?)).await.unwrap();
        if is_running {
            store.bring_forward(year, NOW, &mut Reached::default()).await.unwrap();
        } else {
            store.heal_due_times("nexway", &rules, NOW).await.unwrap();
        }
        let late = store.count_late("nexway", &leeway, later).await.unwrap();
        assert_eq!(late.overdue(), 5000, "{late:?}");
        assert_eq!(count(&store, "last_asked_at > 1795291200 OR last_answer_at > 1795291200").await, 0);
        assert_eq!(count(&store, "last_answer_at IS NULL").await, 1);
    }
}

#[tokio::test]
async fn a_look_for_what_is_missing_is_put_right_with_the_clock_too() {
    let (store, _dir) = asked_daily().await;
    let looks = format!(
        "INSERT INTO renewals (subscription, provider, generation, reference, state, detected_at, settled_at, warnings, look_again_at)
         SELECT id, provider, 1, 'P1-' || id, 'queued', 0, 0, '[\"empty\"]', {now} + id * 86400 FROM subscriptions WHERE id < 4",
        now = NOW.as_unix()
    );
    store.write(move |db| Ok(db.execute_batch(&looks)?)).await.unwrap();
    let ahead = async || {
        let hours = "SELECT group_concat((look_again_at - 1795291200) / 3600) FROM renewals";
        store.read(move |db| Ok(db.query_row(hours, [], |row| row.get::<_, String>(0))?)).await.unwrap()
    };
    assert_eq!(store.heal_due_times("nexway", &rules(24 * HOUR), NOW).await.unwrap(), 2);
    assert_eq!(ahead().await, "24,0,0", "none is further ahead than a day");
    store.bring_forward(HOUR, NOW, &mut Reached::default()).await.unwrap();
    assert_eq!(ahead().await, "23,0,0");
}
