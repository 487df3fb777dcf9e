use super::*;
use crate::forecast::Counts;
use crate::settings::Settings;
use crate::store::{Access, NewSubscription, counts_of, fixtures};

const NOW: Timestamp = Timestamp::constant(1_800_000_000);
const HOUR: i64 = 3600;

fn rules(dir: &std::path::Path) -> Rules {
    let file = dir.join("renewald.toml");
    let text = "[providers.nexway]\nkind = \"nexway-connect\"\napi_url = \"https://api.example/connect\"\n\
                iam_url = \"https://api.example/iam\"\nrealm = \"r\"\nclient_secret = \"s\"\n\
                [providers.nexway.territories]\neu = { secret = \"a\" }\n";
    std::fs::write(&file, text).unwrap();
    Rules::from_settings(&Settings::load(Some(&file)).unwrap().settings)
}

fn subscription(id: i64) -> NewSubscription {
    let territory = ["eu", "us"][usize::from(id % 3 == 0)].to_owned();
    NewSubscription { territory, ..fixtures::subscription(&format!("P{id}"), id) }
}

/// Every mixture of lane, pace, failures and age of the last answer; due one interval after it, as polls leave it.
async fn mixed(path: &std::path::Path) -> Store {
    let store = Store::open(path, Access::Command).unwrap();
    store.track((1..=4_000).map(subscription).collect(), false, NOW - Duration::from_secs(400 * 86_400)).await.unwrap();
    let db = Connection::open(path).unwrap();
    db.execute_batch(&format!(
        "UPDATE subscriptions SET lane = id % 4, pace = CASE WHEN id % 11 = 0 THEN 'daily' ELSE 'regular' END,
             state = CASE WHEN id % 17 = 0 THEN 'paused' ELSE 'watching' END, failures = id % 7 = 0,
             due_at = CASE WHEN id % 17 = 0 THEN NULL ELSE due_at END,
             last_outcome = CASE WHEN id % 14 = 0 THEN 'refused' ELSE 'ok' END,
             last_answer_at = {now} - (id * 7919) % (60 * {HOUR});
         UPDATE subscriptions SET due_at = CASE WHEN state = 'paused' THEN NULL WHEN failures > 0 THEN {now} + 60
             ELSE last_answer_at + CASE pace WHEN 'daily' THEN 24 ELSE 4 END * {HOUR} END;
         INSERT INTO renewals (subscription, provider, generation, reference, detected_at, next_attempt_at)
             SELECT id, provider, 1, 'X', {now}, {now} FROM subscriptions WHERE id % 23 = 0;",
        now = NOW.as_unix()
    ))
    .unwrap();
    store
}

/// By looking at every row.
fn overdue_of_all(path: &std::path::Path, forecast: &Forecast) -> i64 {
    let bound = |wait: Duration, floor: i64| NOW.as_unix() - (wait.as_secs().max(floor as u64) as f64 * 1.1) as i64;
    let (urgent, other) = (forecast.urgent_wait(), forecast.other_wait());
    let db = Connection::open(path).unwrap();
    let query = format!(
        "SELECT count(*) FROM subscriptions WHERE state = 'watching' AND {NOT_WAITING} AND last_answer_at < CASE
             WHEN failures > 0 AND pace = 'daily' THEN {daily_late} WHEN failures > 0 THEN {late}
             WHEN pace = 'daily' THEN {daily} WHEN lane = 2 THEN {urgent} ELSE {other} END",
        late = bound(Duration::ZERO, 4 * HOUR),
        daily_late = bound(Duration::ZERO, 24 * HOUR),
        daily = bound(other, 24 * HOUR),
        urgent = bound(urgent, 4 * HOUR),
        other = bound(other, 4 * HOUR),
    );
    db.query_row(&query, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn overdue_is_what_a_look_at_every_row_finds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("renewald.db");
    let (store, rules) = (mixed(&path).await, rules(dir.path()));
    let mut found = Vec::new();
    // Everything fits; others wait for a day; even urgent ones wait.
    for (regular, urgent) in [(1_000, 100), (500_000, 100), (500_000, 400_000)] {
        let forecast = Forecast::new(Counts { urgent, regular, ..Counts::default() }, &rules, 5.0);
        let leeway = Leeway::new(rules.clone(), forecast.clone(), Duration::ZERO);
        let late = store.count_late("nexway", &leeway, NOW).await.unwrap();
        assert_eq!(late.overdue(), overdue_of_all(&path, &forecast), "{regular} regular, {urgent} urgent");
        assert!(late.refused > 0);
        found.push(late);
    }
    assert!(found[0].overdue() > found[1].overdue() && found[1].overdue() > 0, "{found:?}");
    assert!(found[0].delayed < found[1].delayed, "{found:?}");
    let nobody = Leeway::new(rules.clone(), Forecast::new(Counts::default(), &rules, 5.0), Duration::ZERO);
    assert_eq!(store.count_late("other", &nobody, NOW).await.unwrap(), Late::default());
}

/// One subscription, asked and answered for so long ago, as alerts with six hours of patience see it; `more` is set besides.
async fn alerted(hours: i64, more: &str) -> Late {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("renewald.db");
    let store = Store::open(&path, Access::Command).unwrap();
    store.track(vec![subscription(1)], false, Timestamp::from_unix(0)).await.unwrap();
    let answered = NOW.as_unix() - hours * HOUR;
    let update = format!(
        "UPDATE subscriptions SET due_at = {answered} + 4 * {HOUR}, last_asked_at = {answered},
             last_answer_at = {answered}, last_outcome = 'ok';
         UPDATE subscriptions SET {more}"
    );
    Connection::open(&path).unwrap().execute_batch(&update).unwrap();
    let rules = rules(dir.path());
    let forecast = Forecast::new(Counts { regular: 1, ..Counts::default() }, &rules, 5.0);
    let late = store.count_late("nexway", &Leeway::new(rules, forecast, Duration::from_secs(6 * 3600)), NOW).await;
    Late { delayed: 0, ..late.unwrap() }
}

#[tokio::test]
async fn an_answer_may_be_as_old_as_alert_after() {
    let plain = "generation = 0";
    assert_eq!(alerted(5, plain).await, Late::default(), "late, and not yet worth an alert");
    assert_eq!(alerted(7, plain).await, Late { unasked: 1, ..Late::default() });
    assert_eq!(alerted(7, "state = 'paused', due_at = NULL").await, Late::default());
    assert_eq!(alerted(20, "pace = 'daily', due_at = due_at + 72000").await, Late::default());
    assert_eq!(alerted(27, "pace = 'daily', due_at = due_at + 72000").await.unasked, 1);
}

#[tokio::test]
async fn who_is_asked_in_vain_counts_whenever_it_is_asked_next() {
    let failing = "failures = 6, last_outcome = 'unreachable', due_at = due_at + 14400";
    assert_eq!(alerted(5, failing).await, Late { failing: 1, ..Late::default() });
    assert_eq!(alerted(7, failing).await, Late { unanswered: 1, failing: 1, ..Late::default() });
    let refused = "failures = 3, last_outcome = 'refused', pace = 'daily', due_at = due_at + 99999";
    assert_eq!(alerted(7, refused).await, Late { refused: 1, ..Late::default() });
    assert_eq!(alerted(30, refused).await, Late { refused: 1, refused_for_long: 1, ..Late::default() });
}

#[tokio::test]
async fn counts_are_kept_whatever_is_done_to_subscriptions() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("renewald.db");
    let store = mixed(&path).await;
    store.untrack(1, NOW).await.unwrap();
    store.forget(2, NOW).await.unwrap();
    store.pause(4).await.unwrap();
    store.resume(17, NOW).await.unwrap();
    store.ask_now(5, NOW).await.unwrap();
    store.track(vec![subscription(1), subscription(5_000)], true, NOW).await.unwrap();
    let groups = store.subscription_groups().await.unwrap();
    let mut kept: Vec<_> = groups
        .iter()
        .map(|group| format!("{} {} {} {} {}", group.state, group.pace, group.lane.rank(), group.is_asked, group.count))
        .collect();
    kept.sort();
    let db = Connection::open(&path).unwrap();
    let mut statement = db
        .prepare(
            "SELECT state || ' ' || pace || ' ' || lane || ' ' || iif(due_at IS NULL, 'false', 'true') || ' ' || count(*)
             FROM subscriptions GROUP BY state, pace, lane, due_at IS NULL",
        )
        .unwrap();
    let mut counted: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    counted.sort();
    assert_eq!(kept, counted);
    assert!(counts_of(&groups, "nexway").total() > 3_000);
}
