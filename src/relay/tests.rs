//! Passes against a real file, with a sink that is in trouble.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::delivery::Message;
use crate::sink::Failure;
use crate::store::fixtures::subscription;
use crate::store::{Access, NewMessage, PollRecord, SinkState};

/// 2026-11-21T20:00:00Z
const T0: Timestamp = Timestamp::constant(1_795_291_200);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

#[derive(Default)]
struct Down(AtomicUsize);

impl Sink for Down {
    async fn publish(&self, _: &Message) -> Result<(), Failure> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(Failure::Sink { reason: "answered 503".to_owned(), answer: None, retry_after: None, surely: false })
    }

    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Takes so many messages, then fails on all others.
struct Limited {
    room: AtomicUsize,
    failed: AtomicUsize,
    surely: bool,
}

impl Sink for Limited {
    async fn publish(&self, _: &Message) -> Result<(), Failure> {
        if self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(1)).is_ok() {
            return Ok(());
        }
        self.failed.fetch_add(1, Ordering::Relaxed);
        let retry_after = self.surely.then_some(Duration::from_secs(10));
        Err(Failure::Sink { reason: "not now".to_owned(), answer: None, retry_after, surely: self.surely })
    }

    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Fails on these messages, and takes all others.
struct FailsOn(BTreeSet<u128>);

impl Sink for FailsOn {
    async fn publish(&self, message: &Message) -> Result<(), Failure> {
        match self.0.contains(&message.id.as_u128()) {
            true => {
                Err(Failure::Sink { reason: "answered 500".to_owned(), answer: None, retry_after: None, surely: false })
            }
            false => Ok(()),
        }
    }

    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Says that it was met, and never answers.
#[derive(Clone, Default)]
struct Silent(Arc<Notify>);

impl Sink for Silent {
    async fn publish(&self, _: &Message) -> Result<(), Failure> {
        self.0.notify_one();
        std::future::pending().await
    }

    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Says this, one after the other.
struct Says(Mutex<Vec<Failure>>);

impl Sink for Says {
    async fn publish(&self, _: &Message) -> Result<(), Failure> {
        Err(self.0.lock().unwrap().remove(0))
    }

    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Tracks three subscriptions, each with a message for `shop`.
async fn queue(store: &Store) {
    queue_for(store, 3).await;
}

async fn queue_for(store: &Store, subscriptions: i64) {
    queue_bodies(store, subscriptions, b"{}", T0).await;
}

/// Who has a message already gets no other.
async fn queue_bodies(store: &Store, subscriptions: i64, body: &[u8], now: Timestamp) {
    store.track((1..=subscriptions).map(|id| subscription("P", id)).collect(), false, T0).await.unwrap();
    let all = store.list(crate::store::ListFilter { limit: 1000, ..Default::default() }, now).await.unwrap().items;
    let records = all.into_iter().map(|row| {
        let before = row.subscription;
        let id = uuid::Uuid::from_u128(before.row as u128);
        let message = NewMessage {
            message: Message { id, event: "renewal.ready".to_owned(), queued_at: now, body: body.to_vec(), replays: 0 },
            subscription: before.row,
            territory: "eu".to_owned(),
            generation: 1,
            reference: "P-1".to_owned(),
            keys_hash: String::new(),
            sinks: vec!["shop".to_owned()],
        };
        PollRecord { after: before.clone(), before, renewals: vec![], had: vec![], messages: vec![message] }
    });
    store.record_polls(records.collect(), now).await.unwrap();
}

#[tokio::test]
async fn a_back_off_from_a_wrong_clock_is_replaced_and_not_kept() {
    for ahead in [Duration::from_secs(3600), YEAR] {
        is_replaced_and_not_kept(ahead).await;
    }
}

async fn is_replaced_and_not_kept(ahead: Duration) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("renewald.db"), Access::Command).unwrap();
    queue(&store).await;
    let wrong = SinkState {
        sink: "shop".to_owned(),
        failures: 1,
        blocked_since: Some(T0 + ahead),
        blocked_until: Some(T0 + ahead + Duration::from_secs(5)),
        last_success_at: Some(T0 + ahead),
        ..SinkState::default()
    };
    store.record_sink_state(wrong).await.unwrap();
    let route = Route { name: "shop".to_owned(), concurrency: 8, timeout: Duration::from_secs(15), max_attempts: 36 };
    let mut relay = Relay::new(store.clone(), Down::default(), route);
    let report = relay.pass(&|| T0, None, &Shutdown::manual()).await.unwrap();
    assert!(report.blocked);
    assert_eq!(relay.sink.0.load(Ordering::Relaxed), 1, "one probe, not one after the other");
    let state = store.sink_state("shop").await.unwrap();
    assert!(state.blocked_until.unwrap() < T0 + Duration::from_secs(60));
    assert_eq!((state.blocked_since, state.last_success_at), (Some(T0), Some(T0)));
}

#[tokio::test]
async fn lasting_trouble_is_told_at_the_eighth_failure_and_the_sixteenth() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("renewald.db"), Access::Command).unwrap();
    queue(&store).await;
    let log = dir.path().join("log");
    let file = Mutex::new(std::fs::File::create(&log).unwrap());
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(file).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    // A line that the thread of another test meets first, and which nobody wants there, is taken for unwanted everywhere. Here all of
    // them have been met.
    let mut other = Condition::new(SinkState { sink: "other".to_owned(), ..SinkState::default() });
    for hours in 0..9 {
        other.fails("", None, true, T0 + hours * Duration::from_secs(3600));
    }
    tracing::callsite::rebuild_interest_cache();
    let route = Route { name: "shop".to_owned(), concurrency: 8, timeout: Duration::from_secs(15), max_attempts: 36 };
    let mut relay = Relay::new(store.clone(), Down::default(), route);
    let mut now = T0;
    while store.sink_state("shop").await.unwrap().failures < 16 {
        relay.pass(&|| now, None, &Shutdown::manual()).await.unwrap();
        now = relay.next_due().await.unwrap().unwrap();
    }
    let log = std::fs::read_to_string(log).unwrap();
    let ours = log.lines().filter(|line| line.contains("sink=shop"));
    let told: Vec<_> = ours.filter_map(|line| line.split(" sink is ").nth(1)).collect();
    assert!(
        matches!(told.as_slice(), [first, eighth, sixteenth]
            if first.starts_with("in trouble: its messages wait")
                && eighth.starts_with("still in trouble, 8 times since 2026-11-21T20:00:00Z")
                && sixteenth.starts_with("still in trouble, 16 times since 2026-11-21T20:00:00Z")),
        "{log}"
    );
}

/// A relay with what it takes to have passes with it, for so many messages.
async fn limited(subscriptions: i64, surely: bool) -> (tempfile::TempDir, Store, Relay<Limited>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("renewald.db"), Access::Command).unwrap();
    queue_for(&store, subscriptions).await;
    let sink = Limited { room: AtomicUsize::new(0), failed: AtomicUsize::new(0), surely };
    let route = Route { name: "shop".to_owned(), concurrency: 1, timeout: Duration::from_secs(15), max_attempts: 36 };
    let relay = Relay::new(store.clone(), sink, route);
    (dir, store, relay)
}

/// A pass that finds room for so many, and whether no message has lost an attempt by then.
async fn pass_with_room(relay: &mut Relay<Limited>, room: usize, now: Timestamp) -> bool {
    relay.sink.room.store(room, Ordering::Relaxed);
    relay.pass(&|| now, None, &Shutdown::manual()).await.unwrap();
    let filter = crate::store::QueueFilter { state: Some("pending".to_owned()), limit: 100, ..Default::default() };
    relay.store.dispatches(filter).await.unwrap().iter().all(|row| row.attempts == 0)
}

#[tokio::test]
async fn a_receiver_with_a_limit_is_asked_once_too_often_a_window_and_no_message_pays() {
    let (_dir, store, mut relay) = limited(60, true).await;
    let (mut now, mut windows) = (T0, 0);
    while relay.next_due().await.unwrap().is_some() {
        assert!(pass_with_room(&mut relay, 6, now).await, "window {windows}");
        windows += 1;
        now = store.sink_state("shop").await.unwrap().blocked_until.unwrap_or(now);
        let asked = relay.sink.failed.load(Ordering::Relaxed);
        assert!(asked <= windows, "{asked} times too often in {windows} windows");
    }
    assert_eq!(windows, 10);
    assert_eq!(now, T0 + 9 * Duration::from_secs(10), "the time it asked for each time");
}

#[tokio::test]
async fn what_was_taken_and_not_tried_is_not_blamed_for_the_next_trouble() {
    let (_dir, store, mut relay) = limited(12, false).await;
    assert!(pass_with_room(&mut relay, 2, T0).await);
    let back = store.sink_state("shop").await.unwrap().blocked_until.unwrap();
    assert!(pass_with_room(&mut relay, 1, back).await);
    assert_eq!(relay.sink.failed.load(Ordering::Relaxed), 2 + 2, "the one that failed, and another one to be sure");
    assert!(store.sink_state("shop").await.unwrap().blocked_until > Some(back), "the sink's trouble");
}

/// Passes from this time on, each when something is due, until so many are delivered. When that is.
async fn delivered_by<S: Sink>(relay: &mut Relay<S>, messages: u64, mut now: Timestamp) -> Timestamp {
    let mut delivered = 0;
    loop {
        delivered += relay.pass(&|| now, None, &Shutdown::manual()).await.unwrap().delivered;
        if delivered == messages {
            return now;
        }
        now = relay.next_due().await.unwrap().expect("more is pending").max(now + Duration::from_secs(1));
        assert!(now < T0 + YEAR, "{delivered} of {messages}");
    }
}

async fn failing_on(bad: impl IntoIterator<Item = u128>, concurrency: usize) -> (tempfile::TempDir, Relay<FailsOn>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("renewald.db"), Access::Command).unwrap();
    let route = Route { name: "shop".to_owned(), concurrency, timeout: Duration::from_secs(15), max_attempts: 36 };
    (dir, Relay::new(store, FailsOn(bad.into_iter().collect()), route))
}

#[tokio::test]
async fn a_few_messages_that_always_fail_delay_a_healthy_one_by_one_probe() {
    for concurrency in [1, 8] {
        let (_dir, mut relay) = failing_on(1..=10, concurrency).await;
        queue_for(&relay.store, 10).await;
        let mut now = T0;
        while now < T0 + Duration::from_secs(6 * 3600) {
            relay.pass(&|| now, None, &Shutdown::manual()).await.unwrap();
            now = relay.next_due().await.unwrap().unwrap().max(now + Duration::from_secs(1));
        }
        let state = relay.store.sink_state("shop").await.unwrap();
        assert!(state.failures > 50, "{state:?}");
        queue_bodies(&relay.store, 11, b"{}", now).await; // the eleventh is new
        let delivered = delivered_by(&mut relay, 1, now).await;
        assert!(delivered <= now + Duration::from_secs(30), "{} s", delivered.since(now).as_secs());
        assert_eq!(relay.store.sink_state("shop").await.unwrap().blocked_since, None, "and it counts as well");
    }
}

#[tokio::test]
async fn thirty_that_fail_wherever_they_wait_hold_up_a_thousand_for_less_than_a_minute() {
    let first = (1..=30).collect::<Vec<_>>();
    let both_ends = (1..=15).chain(986..=1000).collect();
    let everywhere = (1..=1000).step_by(34).collect();
    for (bad, concurrency) in [(first, 8), (both_ends, 1), (everywhere, 8)] {
        let (_dir, mut relay) = failing_on(bad.clone(), concurrency).await;
        queue_for(&relay.store, 1000).await;
        let took = delivered_by(&mut relay, 970, T0).await.since(T0);
        assert!(took <= Duration::from_secs(60), "{took:?} with {concurrency} at once and these: {bad:?}");
    }
}

#[tokio::test]
async fn what_fails_again_while_others_are_taken_counts_against_the_message() {
    let (_dir, mut relay) = failing_on([1], 8).await;
    queue_for(&relay.store, 3).await;
    let mut now = delivered_by(&mut relay, 2, T0).await;
    for n in 4..=9 {
        queue_bodies(&relay.store, n, b"{}", now).await;
        now = delivered_by(&mut relay, 1, now + Duration::from_secs(20)).await;
        relay.pass(&|| now + Duration::from_secs(10), None, &Shutdown::manual()).await.unwrap();
    }
    let filter = crate::store::QueueFilter { state: Some("pending".to_owned()), limit: 100, ..Default::default() };
    let pending = relay.store.dispatches(filter).await.unwrap();
    assert!(matches!(pending.as_slice(), [bad] if bad.attempts >= 2), "{pending:?}");
    assert_eq!(relay.store.sink_state("shop").await.unwrap().blocked_since, None);
}

#[tokio::test]
async fn a_final_answer_shows_that_the_receiver_works_and_what_was_not_sent_shows_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("renewald.db"), Access::Command).unwrap();
    queue(&store).await;
    let reason = || "so it is".to_owned();
    let fails = || Failure::Sink { reason: reason(), answer: None, retry_after: None, surely: true };
    let unsent = |is_final| Failure::Unsent { reason: reason(), is_final };
    let says = vec![fails(), unsent(true), unsent(false), fails(), Failure::Final { reason: reason() }, unsent(false)];
    let route = Route { name: "shop".to_owned(), concurrency: 1, timeout: Duration::from_secs(15), max_attempts: 36 };
    let mut relay = Relay::new(store.clone(), Says(Mutex::new(says)), route);
    let mut pass = async |minutes: u32| {
        relay.pass(&|| T0 + minutes * Duration::from_secs(60), None, &Shutdown::manual()).await.unwrap();
        let state = store.sink_state("shop").await.unwrap();
        (relay.sink.0.lock().unwrap().len(), state.blocked_since)
    };
    assert_eq!(pass(0).await, (5, Some(T0)));
    assert_eq!(pass(1).await, (2, Some(T0)), "the same trouble");
    assert_eq!(pass(2).await, (0, None));
}

#[tokio::test]
async fn large_bodies_are_taken_a_few_at_a_time_and_all_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("renewald.db"), Access::Command).unwrap();
    queue_bodies(&store, 40, &vec![b' '; 1 << 20], T0).await;
    let route = Route { name: "shop".to_owned(), concurrency: 16, timeout: Duration::from_secs(15), max_attempts: 36 };
    let sink = Silent::default();
    let mut relay = Relay::new(store.clone(), sink.clone(), route.clone());
    let shutdown = Shutdown::manual();
    tokio::select! {
        _ = relay.pass(&|| T0, None, &shutdown) => unreachable!("nobody answers"),
        () = sink.0.notified() => {}
    }
    // Whatever else was taken in the same turn is on disk after this.
    store.probe_write().await.unwrap();
    let filter = crate::store::QueueFilter { state: Some("pending".to_owned()), limit: 100, ..Default::default() };
    let taken = store.dispatches(filter).await.unwrap().iter().filter(|row| row.attempts == 1).count();
    assert_eq!(taken, 16, "of 40, which is what the stock is for");
    let later = T0 + Duration::from_secs(3600);
    let sink = Limited { room: AtomicUsize::new(40), failed: AtomicUsize::new(0), surely: false };
    let mut relay = Relay::new(store, sink, route);
    assert_eq!(relay.pass(&|| later, None, &Shutdown::manual()).await.unwrap().delivered, 40);
}

#[tokio::test]
async fn the_last_success_of_a_sink_is_noted_once_a_minute() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("renewald.db"), Access::Command).unwrap();
    queue(&store).await;
    let sink = Limited { room: AtomicUsize::new(3), failed: AtomicUsize::new(0), surely: false };
    let route = Route { name: "shop".to_owned(), concurrency: 1, timeout: Duration::from_secs(15), max_attempts: 36 };
    let mut relay = Relay::new(store.clone(), sink, route);
    // A second later at each look.
    let looks = AtomicUsize::new(0);
    let clock = || T0 + Duration::from_secs(looks.fetch_add(1, Ordering::Relaxed) as u64);
    assert_eq!(relay.pass(&clock, None, &Shutdown::manual()).await.unwrap().delivered, 3);
    let noted = store.sink_state("shop").await.unwrap().last_success_at;
    assert!(noted.is_some() && noted < relay.condition.unwrap().state().last_success_at, "not for each message");
    let mut condition = Condition::new(SinkState::default());
    let is_noted = [0, 59, 60, 61, 30].map(|seconds| condition.works(T0 + Duration::from_secs(seconds)));
    assert_eq!(is_noted, [true, false, true, false, true], "the last by a clock that was set back");
}
