//! Dispatches against real files: order, leases, attempts, and clocks that jump.

use std::time::Duration;

use rusqlite::Connection;

use super::*;
use crate::renewal::poll::NewRenewal;
use crate::store::{
    Access, DispatchCounts, Named, NewMessage, NewSubscription, PollRecord, Purged, Settled, Settlement,
    SubscriptionRow,
};

mod by_hand;
mod sealed;

/// 2026-11-21T20:00:00Z
const T0: Timestamp = Timestamp::from_unix(1_795_291_200);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);
const LEASE: Duration = Duration::from_secs(300);

struct Fixture {
    store: Store,
    _dir: tempfile::TempDir,
}

impl Fixture {
    /// A store that watches A and B.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("renewald.db"), Access::Command).unwrap();
        let new = |number: &str, subscription_id| NewSubscription {
            provider: "nexway".to_owned(),
            territory: "eu".to_owned(),
            partner_order_number: number.to_owned(),
            subscription_id,
            generation: Some(0),
            expires_at: None,
            metadata: None,
            tracked_by: "track",
        };
        store.track(vec![new("A", 1), new("B", 2)], false, T0).await.unwrap();
        Self { store, _dir: dir }
    }

    async fn subscription(&self, number: &str) -> SubscriptionRow {
        let named = Named { name: number.to_owned(), subscription_id: None, provider: None, territory: None };
        self.store.find(named).await.unwrap().remove(0)
    }

    /// Queues a message as a poll does.
    async fn queue(&self, number: &str, event: &str, sinks: &[&str]) -> Uuid {
        let before = self.subscription(number).await.subscription;
        let message = new_message(before.row, event, sinks);
        let id = message.message.id;
        let record = PollRecord { after: before.clone(), before, renewals: vec![], messages: vec![message] };
        self.store.record_polls(vec![record], T0).await.unwrap();
        id
    }

    async fn lease(&self, max: usize, now: Timestamp) -> Vec<Uuid> {
        let leased = self.store.lease("queue", max, LEASE, now).await.unwrap();
        leased.into_iter().map(|leased| leased.message.id).collect()
    }

    async fn acknowledge(&self, ids: &[Uuid], now: Timestamp) -> Vec<Uuid> {
        self.store.acknowledge("queue", ids.to_vec(), now).await.unwrap()
    }

    async fn take(&self, limit: usize, now: Timestamp) -> Vec<Attempt> {
        self.store.take_due("shop", limit, vec![], MINUTE, 36, now).await.unwrap()
    }

    async fn take_ids(&self, now: Timestamp) -> Vec<Uuid> {
        self.take(10, now).await.into_iter().map(|attempt| attempt.message.id).collect()
    }

    async fn dispatch(&self, message: Uuid) -> DispatchRow {
        let filter = QueueFilter { message: Some(message), limit: 10, ..QueueFilter::default() };
        self.store.dispatches(filter).await.unwrap().remove(0)
    }
}

/// Every one with an id of its own.
fn new_message(subscription: i64, event: &str, sinks: &[&str]) -> NewMessage {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let id = Uuid::new_v5(&Uuid::nil(), &count.to_be_bytes());
    let body = format!("{{\"id\":\"{id}\"}}").into_bytes();
    NewMessage {
        message: Message { id, event: event.to_owned(), queued_at: T0, body, replays: 0 },
        subscription,
        territory: "eu".to_owned(),
        generation: 1,
        keys_hash: String::new(),
        sinks: sinks.iter().map(|sink| (*sink).to_owned()).collect(),
    }
}

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
async fn a_leased_renewal_holds_the_later_ones_of_its_subscription_only() {
    let queue = Fixture::new().await;
    let first = queue.queue("A", "renewal.ready", &["queue"]).await;
    let second = queue.queue("A", "renewal.failed", &["queue"]).await;
    let other = queue.queue("B", "renewal.ready", &["queue"]).await;
    let unordered = queue.queue("A", "subscription.ended", &["queue"]).await;
    assert_eq!(queue.lease(10, T0).await, [first, other, unordered]);
    assert!(queue.lease(10, T0 + MINUTE).await.is_empty());
    assert!(queue.acknowledge(&[first], T0 + MINUTE).await.is_empty());
    assert_eq!(queue.lease(10, T0 + MINUTE).await, [second]);
}

#[tokio::test]
async fn a_pull_takes_no_more_than_asked_for_and_the_longest_queued_first() {
    let queue = Fixture::new().await;
    let mut queued = Vec::new();
    for _ in 0..3 {
        queued.push(queue.queue("A", "subscription.ended", &["queue"]).await);
    }
    assert_eq!(queue.lease(2, T0).await, queued[..2]);
    assert_eq!(queue.lease(2, T0).await, queued[2..]);
    assert!(queue.lease(2, T0).await.is_empty());
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_byte_for_byte_and_never_dies() {
    let queue = Fixture::new().await;
    let id = queue.queue("A", "renewal.ready", &["queue"]).await;
    let stored = queue.store.message_body(id).await.unwrap().unwrap();
    for pull in 0..100 {
        let now = T0 + LEASE * pull;
        let leased = queue.store.lease("queue", 1, LEASE, now).await.unwrap();
        assert_eq!(leased[0].message.body, stored);
        assert!(queue.lease(1, now + LEASE - Duration::from_secs(1)).await.is_empty());
    }
    let row = queue.dispatch(id).await;
    assert_eq!((row.state.as_str(), row.attempts), ("pending", 100));
}

#[tokio::test]
async fn an_acknowledgement_counts_after_the_lease_twice_and_without_one() {
    let queue = Fixture::new().await;
    let id = queue.queue("A", "renewal.ready", &["queue"]).await;
    let never_leased = queue.queue("B", "renewal.ready", &["queue"]).await;
    assert_eq!(queue.lease(1, T0).await, [id]);
    assert!(queue.acknowledge(&[id, id, never_leased], T0 + YEAR).await.is_empty());
    assert!(queue.acknowledge(&[id], T0 + YEAR + DAY).await.is_empty());
    let row = queue.dispatch(id).await;
    assert_eq!((row.state.as_str(), row.delivered_at, row.leased_until), ("delivered", Some(T0 + YEAR), None));
    assert!(queue.lease(10, T0 + YEAR + DAY).await.is_empty());
}

#[tokio::test]
async fn an_unknown_id_acknowledges_nothing() {
    let queue = Fixture::new().await;
    let known = queue.queue("A", "renewal.ready", &["queue"]).await;
    let elsewhere = queue.queue("B", "renewal.ready", &["shop"]).await;
    let unknown = Uuid::from_u128(7);
    assert_eq!(queue.acknowledge(&[known, unknown, elsewhere], T0).await, [unknown, elsewhere]);
    assert_eq!(queue.dispatch(known).await.state, "pending");
}

#[tokio::test]
async fn a_lease_given_under_a_wrong_clock_does_not_last_for_a_year() {
    let queue = Fixture::new().await;
    let id = queue.queue("A", "renewal.ready", &["queue"]).await;
    assert_eq!(queue.lease(1, T0 + YEAR).await, [id]);
    assert_eq!(queue.lease(1, T0).await, [id], "the clock was put right");
}

#[tokio::test]
async fn a_small_correction_of_the_clock_gives_no_message_to_two() {
    let queue = Fixture::new().await;
    let id = queue.queue("A", "renewal.ready", &["queue"]).await;
    assert_eq!(queue.lease(1, T0).await, [id]);
    assert!(queue.lease(1, T0 - Duration::from_secs(2)).await.is_empty());
}

#[tokio::test]
async fn concurrent_pulls_share_nothing() {
    let queue = Fixture::new().await;
    for _ in 0..20 {
        queue.queue("A", "subscription.ended", &["queue"]).await;
    }
    let other = Store::open(queue.store.path(), Access::Command).unwrap();
    let pulls = (0..10).map(|n| {
        let store = if n % 2 == 0 { &queue.store } else { &other };
        store.lease("queue", 3, LEASE, T0)
    });
    let mut all: Vec<Uuid> = futures_util::future::join_all(pulls)
        .await
        .into_iter()
        .collect::<Result<Vec<_>>>()
        .unwrap()
        .concat()
        .into_iter()
        .map(|l| l.message.id)
        .collect();
    assert_eq!(all.len(), 20);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 20);
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
    let again = fixture.store.take_due("shop", 10, vec![in_hand], MINUTE, 36, T0 + YEAR).await.unwrap();
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

#[tokio::test]
async fn a_wiped_message_stays_dead() {
    let fixture = Fixture::new().await;
    let wiped = fixture.queue("A", "renewal.ready", &["shop"]).await;
    let attempt = fixture.take(10, T0).await.remove(0);
    fixture.store.mark(vec![Mark::dead(attempt.dispatch, "400".to_owned(), T0)]).await.unwrap();
    let purged = fixture.store.wipe_payloads(T0, T0, vec!["shop".to_owned()], T0 + DAY).await.unwrap();
    assert_eq!(purged, Purged { delivered: 0, undelivered: 1 });
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
    let record = PollRecord { after: before.clone(), before, renewals: vec![], messages: vec![message] };
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

#[tokio::test]
async fn an_answer_from_a_territory_that_was_corrected_meanwhile_is_dropped() {
    let fixture = Fixture::new().await;
    let before = fixture.subscription("A").await.subscription;
    let corrected = NewSubscription {
        provider: "nexway".to_owned(),
        territory: "us".to_owned(),
        partner_order_number: "A".to_owned(),
        subscription_id: 1,
        generation: Some(0),
        expires_at: None,
        metadata: None,
        tracked_by: "track",
    };
    fixture.store.track(vec![corrected], true, T0).await.unwrap();
    for refusals in [0, 1] {
        let after = crate::renewal::Subscription { refusals, due_at: Some(T0 + DAY), ..before.clone() };
        let record = PollRecord { before: before.clone(), after, renewals: vec![], messages: vec![] };
        let recorded = fixture.store.record_polls(vec![record], T0).await.unwrap();
        assert_eq!(recorded, [crate::store::Recorded::Overtaken]);
    }
    assert_eq!(fixture.subscription("A").await.subscription.due_at, Some(T0), "the right territory is asked at once");
}

#[tokio::test]
async fn every_pair_of_provider_and_territory_is_found() {
    let fixture = Fixture::new().await;
    let new = |provider: &str, territory: &str, subscription_id| NewSubscription {
        provider: provider.to_owned(),
        territory: territory.to_owned(),
        partner_order_number: "C".to_owned(),
        subscription_id,
        generation: Some(0),
        expires_at: None,
        metadata: None,
        tracked_by: "track",
    };
    let more = vec![new("nexway", "us", 3), new("acme", "us", 4), new("zeta", "de", 5), new("nexway", "us", 6)];
    fixture.store.track(more, false, T0).await.unwrap();
    let pairs = fixture.store.territories_in_use().await.unwrap();
    let pairs: Vec<_> = pairs.iter().map(|(provider, territory)| (provider.as_str(), territory.as_str())).collect();
    assert_eq!(pairs, [("acme", "us"), ("nexway", "eu"), ("nexway", "us"), ("zeta", "de")]);
}

#[tokio::test]
async fn a_settled_renewal_queues_its_message_once() {
    let fixture = Fixture::new().await;
    let before = fixture.subscription("A").await.subscription;
    let renewal = NewRenewal::counted(1, "A-1".to_owned());
    let after = crate::renewal::Subscription { generation: Some(1), ..before.clone() };
    let record = PollRecord { before: before.clone(), after, renewals: vec![renewal], messages: vec![] };
    fixture.store.record_polls(vec![record], T0).await.unwrap();
    let due = fixture.store.due_renewals("nexway", &["eu".to_owned()], T0, (0, 0), 10).await.unwrap().remove(0);
    let message = new_message(before.row, "renewal.ready", &["queue"]);
    let settlement = || Settlement {
        renewal: due.clone(),
        outcome: Settled::Queued { messages: vec![message.clone()] },
        at: T0,
        polls_resume_at: T0 + HOUR,
    };
    let written = fixture.store.settle_renewals(vec![settlement(), settlement()]).await.unwrap();
    assert_eq!(written, [true, false]);
    assert_eq!(fixture.lease(10, T0).await, [message.message.id]);
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let fixture = Fixture::new().await;
    let ready = fixture.queue("A", "renewal.ready", &["shop", "queue"]).await;
    let failed = fixture.queue("B", "renewal.failed", &["queue"]).await;
    assert!(fixture.acknowledge(&[failed], T0).await.is_empty());
    let attempt = fixture.take(1, T0).await.remove(0);
    fixture.store.mark(vec![Mark::dead(attempt.dispatch, "400".to_owned(), T0)]).await.unwrap();
    let list = async |filter: QueueFilter| {
        let rows = fixture.store.dispatches(QueueFilter { limit: 2.max(filter.limit), ..filter }).await.unwrap();
        rows.into_iter().map(|row| (row.id, row.sink)).collect::<Vec<_>>()
    };
    let row = |id, sink: &str| (id, sink.to_owned());
    let text = |text: &str| Some(text.to_owned());
    let all = list(QueueFilter { limit: 9, ..QueueFilter::default() }).await;
    assert_eq!(all, [row(ready, "shop"), row(ready, "queue"), row(failed, "queue")]);
    let dead = QueueFilter { state: text("dead"), sink: text("shop"), ..QueueFilter::default() };
    assert_eq!(list(dead).await, [row(ready, "shop")]);
    let of_type = QueueFilter { event: text("renewal.failed"), ..QueueFilter::default() };
    assert_eq!(list(of_type).await, [row(failed, "queue")]);
    let of_subscription = fixture.subscription("B").await.subscription.row;
    let of_b = QueueFilter { subscription: Some(of_subscription), ..QueueFilter::default() };
    assert_eq!(list(of_b).await, [row(failed, "queue")]);
    let after = fixture.store.dispatches(QueueFilter { limit: 2, ..QueueFilter::default() }).await.unwrap()[1].row;
    assert_eq!(list(QueueFilter { after, ..QueueFilter::default() }).await, [row(failed, "queue")]);
    let depth = |sink: &str, pending, dead| QueueDepth { sink: sink.to_owned(), pending, dead };
    assert_eq!(fixture.store.queue_depths().await.unwrap(), [depth("queue", 1, 0), depth("shop", 0, 1)]);
}

#[tokio::test]
async fn counts_are_kept_whatever_becomes_of_dispatches() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let delivered = fixture.queue("A", "renewal.ready", &["shop", "queue"]).await;
    for number in ["A", "B", "B"] {
        fixture.queue(number, "subscription.ended", &["shop"]).await;
    }
    assert!(fixture.acknowledge(&[delivered], T0).await.is_empty());
    let attempts = fixture.take(3, T0).await;
    for attempt in &attempts {
        store.mark(vec![Mark::dead(attempt.dispatch, "400".to_owned(), T0)]).await.unwrap();
    }
    store.retry_message(attempts[0].message.id, None, T0).await.unwrap();
    store.move_dispatches(vec![attempts[1].dispatch], "other", T0).await.unwrap();
    store.forget(fixture.subscription("B").await.subscription.row, T0).await.unwrap();
    let kept = store.dispatch_counts().await.unwrap();
    let of = |sink: &str, pending, delivered, dead| DispatchCounts { sink: sink.to_owned(), pending, delivered, dead };
    let db = Connection::open(fixture._dir.path().join("renewald.db")).unwrap();
    let counted = |sink: &str| {
        let count = |state: &str| {
            let query = "SELECT count(*) FROM dispatches WHERE sink = ?1 AND state = ?2";
            db.query_row(query, [sink, state], |row| row.get(0)).unwrap()
        };
        of(sink, count("pending"), count("delivered"), count("dead"))
    };
    assert_eq!(kept, ["other", "queue", "shop"].map(counted));
    assert_eq!(kept[1], of("queue", 0, 1, 0));
}
