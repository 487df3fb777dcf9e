//! Dispatches against real files, from queueing to their end.

use std::time::Duration;

use rusqlite::named_params;
use uuid::Uuid;

use super::fixtures::{opened, subscription};
use super::*;
use crate::clock::Timestamp;
use crate::delivery::Message;
use crate::renewal::poll::NewRenewal;

mod by_hand;
mod queue;
mod sealed;
mod subscriptions;
mod taking;
mod wiping;

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
        let (store, dir) = opened();
        store.track(vec![subscription("A", 1), subscription("B", 2)], false, T0).await.unwrap();
        Self { store, _dir: dir }
    }

    async fn subscription(&self, number: &str) -> SubscriptionRow {
        let named = Named::new(number, []);
        self.store.find(named).await.unwrap().remove(0)
    }

    /// Queues a message as a poll does.
    async fn queue(&self, number: &str, event: &str, sinks: &[&str]) -> Uuid {
        let before = self.subscription(number).await.subscription;
        let message = new_message(before.row, event, sinks);
        let id = message.message.id;
        let record =
            PollRecord { after: before.clone(), before, renewals: vec![], had: vec![], messages: vec![message] };
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
        self.store.take_due("shop", Take::UpTo(limit), vec![], MINUTE, 36, now).await.unwrap()
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
        reference: if ["renewal.ready", "renewal.failed"].contains(&event) { "P-1".to_owned() } else { String::new() },
        keys_hash: String::new(),
        sinks: sinks.iter().map(|sink| (*sink).to_owned()).collect(),
    }
}
