//! What is wiped or forgotten, and what is not.

use super::*;

#[tokio::test]
async fn a_wiped_message_stays_dead() {
    let fixture = Fixture::new().await;
    let wiped = fixture.queue("A", "renewal.ready", &["shop"]).await;
    let attempt = fixture.take(10, T0).await.remove(0);
    let why = Why { reason: "400".to_owned(), answer: Some("no such product".to_owned()) };
    fixture.store.mark(vec![Mark::dead(attempt.dispatch, why, T0)]).await.unwrap();
    assert_eq!(fixture.dispatch(wiped).await.last_answer.as_deref(), Some("no such product"));
    let purged = fixture.store.wipe_payloads(T0, T0, vec!["shop".to_owned()], T0 + DAY).await.unwrap();
    assert_eq!(purged, Purged { delivered: 0, undelivered: 1 });
    let row = fixture.dispatch(wiped).await;
    assert_eq!((row.last_error.as_deref(), row.last_answer), (Some("400"), None), "it may quote the payload");
    let kept = fixture.queue("A", "renewal.ready", &["shop"]).await;
    let attempt = fixture.take(10, T0 + DAY).await.remove(0);
    fixture.store.mark(vec![Mark::dead(attempt.dispatch, "400".to_owned(), T0 + DAY)]).await.unwrap();
    assert_eq!(fixture.store.retry_message(wiped, None, T0 + DAY).await.unwrap(), 0);
    assert_eq!(fixture.store.retry_dead(None, T0 + DAY).await.unwrap(), Retried { due: 1, wiped: 1 });
    assert_eq!(fixture.take_ids(T0 + DAY).await, [kept]);
    assert!(fixture.store.message_body(wiped).await.unwrap().is_none());
}

#[tokio::test]
async fn a_sink_that_comes_back_is_not_held_up_by_what_was_wiped_meanwhile() {
    let fixture = Fixture::new().await;
    let orphan = fixture.queue("A", "renewal.ready", &["queue"]).await;
    fixture.store.wipe_payloads(T0, T0, vec!["shop".to_owned()], T0 + DAY).await.unwrap();
    assert_eq!(fixture.dispatch(orphan).await.state, "dead");
    let later = fixture.queue("A", "renewal.ready", &["queue"]).await;
    assert_eq!(fixture.store.next_dispatch_due("queue").await.unwrap(), Some(T0));
    assert_eq!(fixture.lease(10, T0 + DAY).await, [later]);
}

#[tokio::test]
async fn payloads_that_somebody_still_waits_for_are_kept() {
    let fixture = Fixture::new().await;
    let waiting = fixture.queue("A", "renewal.ready", &["shop", "queue"]).await;
    let nobodys = fixture.queue("B", "renewal.ready", &[]).await;
    assert!(fixture.acknowledge(&[waiting], T0).await.is_empty());
    let sinks = || vec!["shop".to_owned(), "queue".to_owned()];
    assert_eq!(fixture.store.wipe_payloads(T0 + YEAR, T0 + YEAR, sinks(), T0 + YEAR).await.unwrap(), Purged::default());
    let attempt = fixture.take(10, T0).await.remove(0);
    fixture.store.mark(vec![Mark::delivered(attempt.dispatch, T0 + DAY)]).await.unwrap();
    assert_eq!(fixture.store.wipe_payloads(T0, T0, sinks(), T0 + DAY).await.unwrap(), Purged::default());
    let dead_only = fixture.store.wipe_payloads(T0, T0 + YEAR, sinks(), T0 + DAY).await.unwrap();
    assert_eq!(dead_only, Purged::default(), "what was received is not lost, however short dead_retention is");
    let purged = fixture.store.wipe_payloads(T0 + DAY, T0, sinks(), T0 + 2 * DAY).await.unwrap();
    assert_eq!(purged, Purged { delivered: 1, undelivered: 0 });
    assert!(fixture.store.message_body(nobodys).await.unwrap().is_some());
    let row = fixture.store.message(waiting).await.unwrap().unwrap();
    assert_eq!((row.wiped_at, row.body_bytes > 0), (Some(T0 + 2 * DAY), true));
}

#[tokio::test]
async fn wiping_gives_the_space_back() {
    let fixture = Fixture::new().await;
    let before = fixture.subscription("A").await.subscription;
    let mut message = new_message(before.row, "renewal.ready", &["shop"]);
    message.message.body = format!("{{\"filler\":\"{}\"}}", "x".repeat(1 << 20)).into_bytes();
    let record = PollRecord { after: before.clone(), before, renewals: vec![], had: vec![], messages: vec![message] };
    fixture.store.record_polls(vec![record], T0).await.unwrap();
    let attempt = fixture.take(10, T0).await.remove(0);
    fixture.store.mark(vec![Mark::delivered(attempt.dispatch, T0)]).await.unwrap();
    fixture.store.wipe_payloads(T0, T0, vec!["shop".to_owned()], T0 + DAY).await.unwrap();
    let free = |db: &Connection| Ok(db.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0))?);
    assert_eq!(fixture.store.read(free).await.unwrap(), 0);
}

#[tokio::test]
async fn a_subscription_forgotten_meanwhile_has_no_metadata_and_that_is_no_error() {
    let fixture = Fixture::new().await;
    let row = fixture.subscription("A").await.subscription.row;
    assert_eq!(fixture.store.metadata(row).await.unwrap().as_deref(), Some("{}"));
    fixture.store.forget(row, T0).await.unwrap();
    assert_eq!(fixture.store.metadata(row).await.unwrap(), None);
}
