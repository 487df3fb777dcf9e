//! The ledger of dispatches: one message for one sink, its attempts and its end.

use rusqlite::{ToSql, named_params};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::store::rows::{self, rows};
use crate::store::{Result, Store};

/// A dispatch as `queue list` shows it.
#[derive(Clone, Debug)]
pub struct DispatchRow {
    pub id: Uuid,
    pub event: String,
    pub sink: String,
    pub state: String,
    pub provider: String,
    pub territory: String,
    pub partner_order_number: String,
    pub subscription_id: String,
    pub generation: i64,
    pub reference: String,
    pub queued_at: Timestamp,
    pub attempts: u32,
    /// Only while it is pending.
    pub next_attempt_at: Option<Timestamp>,
    pub last_attempt_at: Option<Timestamp>,
    pub last_error: Option<String>,
    /// What the receiver said to it.
    pub last_answer: Option<String>,
    pub leased_until: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
    pub dead_at: Option<Timestamp>,
    /// How often a person had it sent again, and when last.
    pub replays: u32,
    pub replayed_at: Option<Timestamp>,
    /// Of one that was sent again; `delivered_at` is then the last time.
    pub first_delivered_at: Option<Timestamp>,
    /// The message's payload is gone since.
    pub wiped_at: Option<Timestamp>,
    pub row: i64,
}

/// What `queue list` is asked for. Empty matches everything.
#[derive(Clone, Debug, Default)]
pub struct QueueFilter {
    pub sink: Option<String>,
    pub state: Option<String>,
    pub event: Option<String>,
    pub subscription: Option<i64>,
    pub message: Option<Uuid>,
    pub queued_since: Option<Timestamp>,
    pub delivered_since: Option<Timestamp>,
    /// Rows behind this one.
    pub after: i64,
    pub limit: usize,
}

/// What is left to do for one sink. Of the dead only those count that could still be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueDepth {
    pub sink: String,
    pub pending: i64,
    pub dead: i64,
}

rows! {
    QueueDepth { sink = "sink", pending = "sum(pending)", dead = "sum(dead)" }
}

impl Store {
    /// Dispatches in the order of queueing.
    pub async fn dispatches(&self, filter: QueueFilter) -> Result<Vec<DispatchRow>> {
        self.read(move |db| {
            let message = filter.message.map(|id| id.to_string());
            let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
            let wanted: [Wanted<'_>; 7] = [
                (":sink", "d.sink = :sink", some(&filter.sink)),
                (":state", "d.state = :state", some(&filter.state)),
                (":type", "m.type = :type", some(&filter.event)),
                (":subscription", "d.subscription = :subscription", some(&filter.subscription)),
                (":message", "m.id = :message", some(&message)),
                (":queued_since", "m.queued_at >= :queued_since", some(&filter.queued_since)),
                (":delivered_since", "d.delivered_at >= :delivered_since", some(&filter.delivered_since)),
            ];
            let (conditions, mut values) = conditions(wanted);
            values.extend([(":after", &filter.after as &dyn ToSql), (":limit", &limit)]);
            let found = format!(
                "FROM dispatches d JOIN messages m ON m.seq = d.message JOIN subscriptions s ON s.id = d.subscription
                 WHERE d.id > :after{conditions} ORDER BY d.id LIMIT :limit"
            );
            rows::all(db, &found, &values)
        })
        .await
    }

    /// Whether there was ever a message for this sink.
    pub async fn is_in_use(&self, sink: &str) -> Result<bool> {
        let sink = sink.to_owned();
        self.read(move |db| {
            let query = "SELECT 1 FROM dispatch_counts WHERE sink = :sink";
            rows::exists(db, query, named_params! { ":sink": sink })
        })
        .await
    }

    /// How much is pending and dead, for each sink that has any of it, configured or not.
    pub async fn queue_depths(&self) -> Result<Vec<QueueDepth>> {
        self.read(|db| {
            rows::all(
                db,
                "FROM (
                     SELECT sink, count(*) AS pending, 0 AS dead FROM dispatches WHERE state = 'pending' GROUP BY sink
                     UNION ALL
                     SELECT d.sink, 0, count(*) FROM dispatches d JOIN messages m ON m.seq = d.message
                     WHERE d.state = 'dead' AND m.wiped_at IS NULL GROUP BY d.sink)
                 GROUP BY sink ORDER BY sink",
                &[],
            )
        })
        .await
    }

    /// How many dead dispatches each sink has that could still be sent.
    pub async fn dead_messages(&self) -> Result<Vec<(String, i64)>> {
        self.read(|db| {
            let dead: Vec<Dead> = rows::all(
                db,
                "FROM dispatches d JOIN messages m ON m.seq = d.message
                 WHERE d.state = 'dead' AND m.body IS NOT NULL GROUP BY d.sink ORDER BY d.sink",
                &[],
            )?;
            Ok(dead.into_iter().map(|Dead { sink, count }| (sink, count)).collect())
        })
        .await
    }
}

struct Dead {
    sink: String,
    count: i64,
}

rows! {
    Dead { sink = "d.sink", count = "count(*)" }
}

/// A parameter, the condition it stands in, and its value, if one is asked for.
pub(super) type Wanted<'a> = (&'static str, &'static str, Option<&'a dyn ToSql>);

pub(super) fn some<T: ToSql>(value: &Option<T>) -> Option<&dyn ToSql> {
    value.as_ref().map(|value| value as &dyn ToSql)
}

/// Only what is asked for stands in the statement, so that its index is found.
pub(super) fn conditions<'a, const N: usize>(wanted: [Wanted<'a>; N]) -> (String, Vec<(&'static str, &'a dyn ToSql)>) {
    let (mut conditions, mut values) = (String::new(), Vec::new());
    for (name, condition, value) in wanted {
        if let Some(value) = value {
            conditions.push_str(" AND ");
            conditions.push_str(condition);
            values.push((name, value));
        }
    }
    (conditions, values)
}
