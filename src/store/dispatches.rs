//! Dispatches: one message for one sink, its attempts and its end. This file lists them; taking, marking, leasing and sending
//! again have files of their own below.

mod lease;
mod mark;
mod replay;
mod take;

use rusqlite::{Row, ToSql, named_params};
use uuid::Uuid;

use super::renewals::message_id;
use super::{Result, Store};
use crate::clock::Timestamp;
use crate::delivery::Message;

pub use mark::Mark;
pub(super) use mark::sink_state;
pub use take::MOST_BODY_BYTES;

/// A dispatch taken for publishing: its attempt is on disk already.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub dispatch: i64,
    pub message: Message,
    pub subscription: i64,
    /// Whom it is about, for people: the order's number with the generation, and the provider's id.
    pub order_number: String,
    pub subscription_id: i64,
    /// This attempt's number, from 1.
    pub number: u32,
    pub failing_seconds: i64,
    /// The last attempt that counted against the message.
    pub failed_at: Option<Timestamp>,
    /// The attempt before this one, whatever it came to.
    pub previous_at: Option<Timestamp>,
}

/// A message handed to a consumer of the built-in queue until `until`.
#[derive(Clone, Debug)]
pub struct Leased {
    pub message: Message,
    pub until: Timestamp,
}

/// A dispatch as `queue list` shows it.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = Dispatch)]
pub struct DispatchRow {
    #[schema(value_type = String, format = "uuid")]
    pub id: Uuid,
    #[serde(rename = "type")]
    pub event: String,
    pub sink: String,
    pub state: String,
    pub provider: String,
    pub territory: String,
    pub partner_order_number: String,
    pub subscription_id: i64,
    pub generation: i64,
    pub queued_at: Timestamp,
    pub attempts: u32,
    pub next_attempt_at: Option<Timestamp>,
    pub last_attempt_at: Option<Timestamp>,
    pub last_error: Option<String>,
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
    #[serde(skip)]
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
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct QueueDepth {
    pub sink: String,
    pub pending: i64,
    pub dead: i64,
}

/// What retrying all dead dispatches came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Retried {
    pub due: usize,
    /// Still dead: nothing is left to send.
    pub wiped: usize,
}

/// A sink's own trouble, which is not its messages'.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct SinkState {
    pub sink: String,
    pub failures: u32,
    pub blocked_since: Option<Timestamp>,
    pub blocked_until: Option<Timestamp>,
    pub last_error: Option<String>,
    pub last_success_at: Option<Timestamp>,
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
            let mut statement = db.prepare_cached(&format!(
                "SELECT m.id, m.type, d.sink, d.state, s.provider, m.territory, s.partner_order_number,
                        s.subscription_id, m.generation, m.queued_at, d.attempts, d.next_attempt_at, d.last_attempt_at,
                        d.last_error, d.leased_until, d.delivered_at, d.dead_at, d.replays, d.replayed_at,
                        d.first_delivered_at, m.wiped_at, d.id
                 FROM dispatches d JOIN messages m ON m.seq = d.message JOIN subscriptions s ON s.id = d.subscription
                 WHERE d.id > :after{conditions} ORDER BY d.id LIMIT :limit"
            ))?;
            let rows = statement.query_map(values.as_slice(), dispatch_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Whether there was ever a message for this sink.
    pub async fn is_in_use(&self, sink: &str) -> Result<bool> {
        let sink = sink.to_owned();
        self.read(move |db| {
            Ok(db
                .prepare_cached("SELECT 1 FROM dispatch_counts WHERE sink = :sink")?
                .exists(named_params! { ":sink": sink })?)
        })
        .await
    }

    /// How much is pending and dead, for each sink that has any of it, configured or not.
    pub async fn queue_depths(&self) -> Result<Vec<QueueDepth>> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT sink, sum(pending), sum(dead) FROM (
                     SELECT sink, count(*) AS pending, 0 AS dead FROM dispatches WHERE state = 'pending' GROUP BY sink
                     UNION ALL
                     SELECT d.sink, 0, count(*) FROM dispatches d JOIN messages m ON m.seq = d.message
                     WHERE d.state = 'dead' AND m.wiped_at IS NULL GROUP BY d.sink)
                 GROUP BY sink ORDER BY sink",
            )?;
            let rows = statement
                .query_map([], |row| Ok(QueueDepth { sink: row.get(0)?, pending: row.get(1)?, dead: row.get(2)? }))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
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

fn dispatch_row(row: &Row<'_>) -> rusqlite::Result<DispatchRow> {
    let state: String = row.get(3)?;
    let pending = state == "pending";
    Ok(DispatchRow {
        id: message_id(row, 0)?,
        event: row.get(1)?,
        sink: row.get(2)?,
        state,
        provider: row.get(4)?,
        territory: row.get(5)?,
        partner_order_number: row.get(6)?,
        subscription_id: row.get(7)?,
        generation: row.get(8)?,
        queued_at: row.get(9)?,
        attempts: row.get(10)?,
        next_attempt_at: row.get::<_, Option<Timestamp>>(11)?.filter(|_| pending),
        last_attempt_at: row.get(12)?,
        last_error: row.get(13)?,
        leased_until: row.get(14)?,
        delivered_at: row.get(15)?,
        dead_at: row.get(16)?,
        replays: row.get(17)?,
        replayed_at: row.get(18)?,
        first_delivered_at: row.get(19)?,
        wiped_at: row.get(20)?,
        row: row.get(21)?,
    })
}

#[cfg(test)]
mod tests;
