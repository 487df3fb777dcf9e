//! Taking and marking: order, attempts, and clocks that jump.

use super::*;

#[tokio::test]
async fn what_a_killed_process_was_sending_is_due_at_once_the_first_time_only() {
    let fixture = Fixture::new().await;
    let first = fixture.queue("A", "renewal.ready", &["shop", "queue"]).await;
    assert_eq!(fixture.take_ids(T0).await, [first]);
    assert_eq!(fixture.lease(1, T0).await, [first], "a consumer goes on when the daemon is killed");
    assert!(fixture.take_ids(T0 + MINUTE).await.is_empty(), "its time is not over");
    assert_eq!(fixture.store.resume_interrupted(T0 + MINUTE).await.unwrap(), 1);
    assert!(fixture.lease(1, T0 + MINUTE).await.is_empty());
    assert_eq!(fixture.take_ids(T0 + MINUTE).await, [first]);
    assert_eq!(
        fixture.store.resume_interrupted(T0 + MINUTE + MINUTE).await.unwrap(),
        0,
        "it may be what kills the process"
    );
}

#[tokio::test]
async fn a_message_that_failed_or_waits_for_its_sink_is_not_taken_for_one_that_was_cut_off() {
    let fixture = Fixture::new().await;
    fixture.queue("A", "renewal.ready", &["shop"]).await;
    fixture.queue("B", "renewal.ready", &["shop"]).await;
    let [failed, returned] = &fixture.take(10, T0).await[..] else { panic!("two are due") };
    let marks = vec![
        Mark::failed(failed.dispatch, "400".to_owned(), 0, T0, T0 + HOUR),
        Mark::given_back(returned, "no answer".to_owned(), T0 + HOUR),
    ];
    fixture.store.mark(marks).await.unwrap();
    assert_eq!(fixture.store.resume_interrupted(T0 + MINUTE).await.unwrap(), 0);
}

#[tokio::test]
async fn order_holds_per_subscription_and_sink_until_the_earlier_one_is_delivered() {
    let fixture = Fixture::new().await;
    let first = fixture.queue("A", "renewal.ready", &["shop", "queue"]).await;
    let second = fixture.queue("A", "renewal.ready", &["shop", "queue"]).await;
    assert_eq!(fixture.take_ids(T0).await, [first]);
    assert!(fixture.acknowledge(&[first], T0).await.is_empty(), "another sink's progress is its own");
    assert!(fixture.take_ids(T0).await.is_empty(), "in hand, and its next time is set");
    fixture.store.mark(vec![Mark::delivered(fixture.dispatch(first).await.row, T0)]).await.unwrap();
    assert_eq!(fixture.take_ids(T0).await, [second]);
}

#[tokio::test]
async fn the_dead_hold_up_nobody() {
    let fixture = Fixture::new().await;
    let first = fixture.queue("A", "renewal.ready", &["shop"]).await;
    let second = fixture.queue("A", "renewal.ready", &["shop"]).await;
    let attempt = fixture.take(10, T0).await.remove(0);
    fixture.store.mark(vec![Mark::dead(attempt.dispatch, "no".to_owned(), T0)]).await.unwrap();
    assert_eq!(fixture.take_ids(T0).await, [second]);
    let row = fixture.dispatch(first).await;
    assert_eq!((row.state.as_str(), row.last_error.as_deref(), row.next_attempt_at), ("dead", Some("no"), None));
}

#[tokio::test]
async fn an_attempt_is_on_disk_before_it_is_made_and_lost_with_the_process() {
    let fixture = Fixture::new().await;
    let id = fixture.queue("A", "renewal.ready", &["shop"]).await;
    let taken = fixture.take(10, T0).await.remove(0);
    assert_eq!((taken.number, taken.previous_at), (1, None));
    let reopened = Store::open(fixture.store.path(), Access::Command).unwrap();
    let filter = QueueFilter { message: Some(id), limit: 1, ..QueueFilter::default() };
    let row = reopened.dispatches(filter).await.unwrap().remove(0);
    assert_eq!((row.attempts, row.last_attempt_at), (1, Some(T0)));
    assert!(row.next_attempt_at > Some(T0 + MINUTE), "not before the attempt in hand has ended");
    let again = fixture.take(10, T0 + HOUR).await.remove(0);
    assert_eq!((again.number, again.previous_at, again.message.body), (2, Some(T0), taken.message.body));
}

#[tokio::test]
async fn the_sinks_trouble_costs_the_message_no_attempt() {
    let fixture = Fixture::new().await;
    let id = fixture.queue("A", "renewal.ready", &["shop"]).await;
    let attempt = fixture.take(10, T0).await.remove(0);
    fixture.store.mark(vec![Mark::given_back(&attempt, "no answer".to_owned(), T0 + MINUTE)]).await.unwrap();
    let row = fixture.dispatch(id).await;
    assert_eq!((row.attempts, row.next_attempt_at), (0, Some(T0 + MINUTE)));
    assert_eq!(fixture.store.next_dispatch_due("shop").await.unwrap(), Some(T0 + MINUTE));
    assert_eq!(fixture.take(10, T0 + MINUTE).await[0].number, 1);
}

#[tokio::test]
async fn an_attempt_that_was_not_made_leaves_no_trace() {
    let fixture = Fixture::new().await;
    let id = fixture.queue("A", "renewal.ready", &["shop"]).await;
    let attempt = fixture.take(10, T0).await.remove(0);
    fixture.store.mark(vec![Mark::not_made(&attempt, T0)]).await.unwrap();
    let row = fixture.dispatch(id).await;
    assert_eq!((row.attempts, row.last_attempt_at, row.next_attempt_at), (0, None, Some(T0)));
    let made = fixture.take(10, T0 + MINUTE).await.remove(0);
    assert_eq!((made.number, made.previous_at), (1, None));
    fixture.store.mark(vec![Mark::given_back(&made, "no answer".to_owned(), T0 + HOUR)]).await.unwrap();
    let not_made = fixture.take(10, T0 + HOUR).await.remove(0);
    fixture.store.mark(vec![Mark::not_made(&not_made, T0 + HOUR)]).await.unwrap();
    let row = fixture.dispatch(id).await;
    assert_eq!((row.last_attempt_at, row.last_error.as_deref()), (Some(T0 + MINUTE), Some("no answer")));
}

#[tokio::test]
async fn what_is_in_hand_is_not_taken_again() {
    let fixture = Fixture::new().await;
    fixture.queue("A", "renewal.ready", &["shop"]).await;
    let in_hand = fixture.take(10, T0).await[0].dispatch;
    let again = fixture.store.take_due("shop", Take::UpTo(10), vec![in_hand], MINUTE, 36, T0 + YEAR).await.unwrap();
    assert!(again.is_empty());
}

#[tokio::test]
async fn a_next_attempt_set_under_a_wrong_clock_is_due_now() {
    let fixture = Fixture::new().await;
    let id = fixture.queue("A", "renewal.ready", &["shop"]).await;
    let attempt = fixture.take(10, T0 + YEAR).await.remove(0);
    fixture
        .store
        .mark(vec![Mark::failed(attempt.dispatch, "400".to_owned(), 0, T0 + YEAR, T0 + YEAR + DAY)])
        .await
        .unwrap();
    assert_eq!(fixture.take_ids(T0).await, [id]);
    let attempt = fixture.take(10, T0 + HOUR).await.remove(0);
    fixture
        .store
        .mark(vec![Mark::failed(attempt.dispatch, "400".to_owned(), 0, T0 + HOUR, T0 + HOUR + DAY)])
        .await
        .unwrap();
    assert!(fixture.take_ids(T0 + HOUR).await.is_empty(), "a day is a legal delay");
}

#[tokio::test]
async fn marks_come_too_late_for_what_is_settled() {
    let fixture = Fixture::new().await;
    let id = fixture.queue("A", "renewal.ready", &["shop"]).await;
    let attempt = fixture.take(10, T0).await.remove(0);
    fixture.store.mark(vec![Mark::delivered(attempt.dispatch, T0)]).await.unwrap();
    fixture.store.mark(vec![Mark::dead(attempt.dispatch, "no".to_owned(), T0)]).await.unwrap();
    fixture.store.mark(vec![Mark::failed(attempt.dispatch, "no".to_owned(), 9, T0, T0 + DAY)]).await.unwrap();
    fixture.store.mark(vec![Mark::delivered(attempt.dispatch, T0 + DAY)]).await.unwrap();
    let row = fixture.dispatch(id).await;
    assert_eq!((row.state.as_str(), row.delivered_at, row.last_error), ("delivered", Some(T0), None));
}

#[tokio::test]
async fn a_retried_message_has_all_its_attempts_again() {
    let fixture = Fixture::new().await;
    let id = fixture.queue("A", "renewal.ready", &["shop", "queue"]).await;
    let attempt = fixture.take(10, T0).await.remove(0);
    fixture.store.mark(vec![Mark::failed(attempt.dispatch, "400".to_owned(), 77, T0, T0 + HOUR)]).await.unwrap();
    let attempt = fixture.take(10, T0 + HOUR).await.remove(0);
    fixture.store.mark(vec![Mark::dead(attempt.dispatch, "400".to_owned(), T0 + HOUR)]).await.unwrap();
    assert!(fixture.acknowledge(&[id], T0).await.is_empty());
    assert_eq!(fixture.store.retry_message(id, Some("queue".to_owned()), T0 + DAY).await.unwrap(), 0, "delivered");
    assert_eq!(fixture.store.retry_message(id, None, T0 + DAY).await.unwrap(), 1);
    let attempt = fixture.take(10, T0 + DAY).await.remove(0);
    assert_eq!((attempt.number, attempt.failing_seconds), (1, 0));
}
