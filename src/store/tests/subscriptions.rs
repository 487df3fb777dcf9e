//! Dispatches and subscriptions together: settling, listing, counting.

use super::*;

#[tokio::test]
async fn an_answer_from_a_territory_that_was_corrected_meanwhile_is_dropped() {
    let fixture = Fixture::new().await;
    let before = fixture.subscription("A").await.subscription;
    let corrected = NewSubscription { territory: "us".to_owned(), ..subscription("A", 1) };
    fixture.store.track(vec![corrected], true, T0).await.unwrap();
    for refusals in [0, 1] {
        let after = crate::renewal::Subscription { refusals, due_at: Some(T0 + DAY), ..before.clone() };
        let record = PollRecord { before: before.clone(), after, renewals: vec![], had: vec![], messages: vec![] };
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
        ..subscription("C", subscription_id)
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
    let record = PollRecord { before: before.clone(), after, renewals: vec![renewal], had: vec![], messages: vec![] };
    fixture.store.record_polls(vec![record], T0).await.unwrap();
    let due = fixture.store.due_renewals("nexway", &["eu".to_owned()], T0, (0, 0), 10).await.unwrap().remove(0);
    let message = new_message(before.row, "renewal.ready", &["queue"]);
    let settlement = || Settlement {
        renewal: due.clone(),
        outcome: Settled::Queued { messages: vec![message.clone()], sent: WithWarnings::default() },
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
