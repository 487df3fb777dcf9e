//! The built-in queue: leases and acknowledgements, and clocks that jump.

use super::*;

#[tokio::test]
async fn a_leased_renewal_holds_the_later_ones_of_its_subscription_only() {
    let queue = Fixture::new().await;
    let first = queue.queue("A", "renewal.ready", &["queue"]).await;
    let second = queue.queue("A", "renewal.failed", &["queue"]).await;
    let other = queue.queue("B", "renewal.ready", &["queue"]).await;
    let unordered = queue.queue("A", "subscription.ended", &["queue"]).await;
    let payment = queue.queue("A", "renewal.payment_failing", &["queue"]).await;
    assert_eq!(queue.lease(10, T0).await, [first, other, unordered, payment]);
    assert!(queue.lease(10, T0 + MINUTE).await.is_empty());
    assert!(queue.acknowledge(&[first], T0 + MINUTE).await.is_empty());
    assert_eq!(queue.lease(10, T0 + MINUTE).await, [second]);
}

#[tokio::test]
async fn a_payment_that_fails_holds_up_no_key() {
    let queue = Fixture::new().await;
    let payment = queue.queue("A", "renewal.payment_failing", &["queue"]).await;
    let key = queue.queue("A", "renewal.ready", &["queue"]).await;
    assert_eq!(queue.lease(1, T0).await, [payment]);
    assert_eq!(queue.lease(1, T0).await, [key]);
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
