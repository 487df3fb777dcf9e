//! What a person sends again, gives to other sinks, or removes.

use super::*;

async fn deliver(fixture: &Fixture, now: Timestamp) -> Vec<Uuid> {
    let mut delivered = Vec::new();
    loop {
        let taken = fixture.take(10, now).await;
        if taken.is_empty() {
            return delivered;
        }
        for attempt in taken {
            fixture.store.mark(vec![Mark::delivered(attempt.dispatch, now)]).await.unwrap();
            delivered.push(attempt.message.id);
        }
    }
}

#[tokio::test]
async fn a_replay_sends_the_same_bytes_in_the_same_order_and_says_so_to_brokers() {
    let fixture = Fixture::new().await;
    let first = fixture.queue("A", "renewal.ready", &["shop"]).await;
    let second = fixture.queue("A", "renewal.ready", &["shop"]).await;
    let body = fixture.store.message_body(first).await.unwrap().unwrap();
    assert_eq!(deliver(&fixture, T0).await, [first, second]);
    let rows = vec![fixture.dispatch(second).await.row, fixture.dispatch(first).await.row];
    for replays in 1..=2 {
        let now = T0 + DAY * replays;
        assert_eq!(fixture.store.replay(rows.clone(), now).await.unwrap(), 2);
        assert_eq!(fixture.store.replay(rows.clone(), now).await.unwrap(), 0, "it is pending already");
        let taken = fixture.take(10, now).await;
        assert_eq!(taken.len(), 1, "the second waits for the first");
        let Attempt { message, number, previous_at, .. } = &taken[0];
        assert_eq!((message.id, &message.body, *number, *previous_at), (first, &body, 1, None));
        assert_eq!(message.deduplication_id(), format!("{first}/{replays}"));
        fixture.store.mark(vec![Mark::delivered(taken[0].dispatch, now)]).await.unwrap();
        assert_eq!(deliver(&fixture, now).await, [second]);
        let row = fixture.dispatch(first).await;
        assert_eq!((row.replays, row.replayed_at, row.delivered_at), (replays, Some(now), Some(now)));
        assert_eq!(row.first_delivered_at, Some(T0), "the ledger keeps it");
    }
}

#[tokio::test]
async fn what_is_wiped_is_neither_replayed_nor_backfilled_nor_moved() {
    let fixture = Fixture::new().await;
    let id = fixture.queue("A", "renewal.ready", &["shop", "old"]).await;
    assert_eq!(deliver(&fixture, T0).await, [id]);
    let seq = fixture.store.message(id).await.unwrap().unwrap().seq;
    assert_eq!(fixture.store.purge(vec![seq], false, T0).await.unwrap(), 0, "old has not got it");
    assert_eq!(fixture.store.purge(vec![seq], true, T0).await.unwrap(), 1);
    let filter = QueueFilter { message: Some(id), limit: 10, ..QueueFilter::default() };
    let rows = fixture.store.dispatches(filter.clone()).await.unwrap();
    let old = rows.iter().find(|row| row.sink == "old").unwrap();
    assert_eq!((old.state.as_str(), old.last_error.as_deref()), ("dead", Some("purged")));
    assert_eq!(rows.iter().find(|row| row.sink == "shop").unwrap().state, "delivered");
    let all: Vec<i64> = rows.iter().map(|row| row.row).collect();
    assert_eq!(fixture.store.replay(all.clone(), T0).await.unwrap(), 0);
    assert_eq!(fixture.store.backfill("new", vec![seq], T0).await.unwrap(), 0);
    assert_eq!(fixture.store.move_dispatches(all, "new", T0).await.unwrap(), 0);
    assert_eq!(fixture.store.dispatches(filter).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_backfilled_sink_gets_each_message_once_and_in_order() {
    let fixture = Fixture::new().await;
    let first = fixture.queue("A", "renewal.ready", &["queue"]).await;
    let second = fixture.queue("A", "renewal.ready", &["queue", "shop"]).await;
    let found = fixture.store.without_dispatch("shop", T0, 0, 10).await.unwrap();
    assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), [first]);
    assert!(fixture.store.without_dispatch("shop", T0 + MINUTE, 0, 10).await.unwrap().is_empty());
    let seqs = vec![found[0].seq, found[0].seq + 1];
    assert_eq!(fixture.store.backfill("shop", seqs.clone(), T0 + DAY).await.unwrap(), 1);
    assert_eq!(fixture.store.backfill("shop", seqs, T0 + DAY).await.unwrap(), 0);
    assert_eq!(deliver(&fixture, T0 + DAY).await, [first, second], "the later one waits for the earlier");
}

#[tokio::test]
async fn a_mark_for_a_moved_dispatch_marks_nothing() {
    let fixture = Fixture::new().await;
    let id = fixture.queue("A", "renewal.ready", &["shop"]).await;
    let both = fixture.queue("B", "renewal.ready", &["shop", "queue"]).await;
    let in_hand = fixture.take(10, T0).await;
    let rows = in_hand.iter().map(|attempt| attempt.dispatch).collect();
    assert_eq!(fixture.store.move_dispatches(rows, "queue", T0 + HOUR).await.unwrap(), 2);
    // Its last row is gone, and so is its number.
    let later = fixture.queue("A", "subscription.ended", &["shop"]).await;
    for attempt in &in_hand {
        fixture.store.mark(vec![Mark::delivered(attempt.dispatch, T0 + HOUR)]).await.unwrap();
    }
    assert_eq!(fixture.lease(10, T0 + HOUR).await, [both, id]);
    assert_eq!(fixture.take_ids(T0 + HOUR).await, [later]);
}

#[tokio::test]
async fn the_forgotten_leave_times_and_hashes_and_no_number_that_is_used_again() {
    let fixture = Fixture::new().await;
    let delivered = fixture.queue("B", "renewal.ready", &["shop", "queue"]).await;
    assert_eq!(deliver(&fixture, T0).await, [delivered]);
    let row = fixture.subscription("B").await.subscription.row;
    fixture.store.forget(row, T0 + DAY).await.unwrap();
    assert!(fixture.store.message(delivered).await.unwrap().is_none());
    let ledger = fixture.store.forgotten(delivered).await.unwrap();
    let times: Vec<_> = ledger.iter().map(|row| (row.sink.as_deref(), row.delivered_at)).collect();
    assert_eq!(times, [(Some("shop"), Some(T0)), (Some("queue"), None)]);
    assert_eq!((ledger[0].queued_at, ledger[0].forgotten_at), (T0, T0 + DAY));
    fixture.store.track(vec![subscription("C", 3)], false, T0).await.unwrap();
    assert!(fixture.subscription("C").await.subscription.row > row, "an answer still on its way finds nobody");
}

#[tokio::test]
async fn wiping_takes_as_many_steps_as_it_needs() {
    let fixture = Fixture::new().await;
    let before = fixture.subscription("A").await.subscription;
    let messages: Vec<_> = (0..1201).map(|_| new_message(before.row, "subscription.ended", &["queue"])).collect();
    let ids: Vec<_> = messages.iter().map(|new| new.message.id).collect();
    let record = PollRecord { after: before.clone(), before, renewals: vec![], had: vec![], messages };
    fixture.store.record_polls(vec![record], T0).await.unwrap();
    assert!(fixture.acknowledge(&ids[1..], T0).await.is_empty());
    let purged = fixture.store.wipe_payloads(T0, T0, vec!["queue".to_owned()], T0 + DAY).await.unwrap();
    assert_eq!(purged, Purged { delivered: 1200, undelivered: 0 });
}
