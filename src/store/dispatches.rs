//! Dispatches: one message for one sink, its attempts and its end; the built-in queue's leases; a sink's own trouble.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, ToSql, named_params};
use uuid::Uuid;

use super::renewals::message_id;
use super::{Result, Store};
use crate::clock::Timestamp;
use crate::delivery::Message;
use crate::retry;

/// A dispatch taken for publishing: its attempt is on disk already.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub dispatch: i64,
    pub message: Message,
    pub subscription: i64,
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
    /// Rows behind this one.
    pub after: i64,
    pub limit: usize,
}

/// What is left to do for one sink.
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

/// Pending, due, and the first `renewal.*` of its subscription: the order is kept by never looking past that one.
const ELIGIBLE: &str = "d.sink = :sink AND d.state = 'pending'
    AND (d.ordered = 0 OR NOT EXISTS (
         SELECT 1 FROM dispatches e
         WHERE e.sink = d.sink AND e.subscription = d.subscription AND e.state = 'pending' AND e.ordered = 1
           AND e.message < d.message))";

/// Bodies taken at once; one more may begin below it. A licence file may have 16 MiB.
const MOST_BODY_BYTES: usize = 16 << 20;

/// The furthest ahead that a next attempt is ever set; what lies beyond was written under a wrong clock.
const FURTHEST: Duration = Duration::from_secs(27 * 3600);
/// A lease that began further ahead than this was given under a wrong clock, and is over. Small corrections of the clock end none.
const CLOCK_STEP: Duration = Duration::from_secs(60);

impl Store {
    /// Takes up to `limit` due dispatches of one sink, none of `in_hand`, and commits their attempt numbers and next times before
    /// returning: dying while publishing loses an attempt, never a message. `grace` is how long a publish may take.
    pub async fn take_due(
        &self,
        sink: &str,
        limit: usize,
        in_hand: Vec<i64>,
        grace: Duration,
        max_attempts: u32,
        now: Timestamp,
    ) -> Result<Vec<Attempt>> {
        let (sink, in_hand) = (sink.to_owned(), serde_json::Value::from(in_hand).to_string());
        self.write(move |db| {
            let mut attempts = due(db, "d.next_attempt_at <= :bound", now, &sink, &in_hand, limit)?;
            if attempts.len() < limit {
                let left = limit - attempts.len();
                attempts.extend(due(db, "d.next_attempt_at > :bound", now + FURTHEST, &sink, &in_hand, left)?);
            }
            let mut take = db.prepare_cached(
                "UPDATE dispatches SET attempts = :number, last_attempt_at = :now, next_attempt_at = :next
                 WHERE id = :id AND state = 'pending'",
            )?;
            for attempt in &attempts {
                take.execute(named_params! {
                    ":number": attempt.number, ":now": now, ":id": attempt.dispatch,
                    ":next": now + grace + retry::dispatch(attempt.number, max_attempts),
                })?;
            }
            Ok(attempts)
        })
        .await
    }

    /// When the next dispatch of a sink is due; `None` when nothing is pending.
    pub async fn next_dispatch_due(&self, sink: &str) -> Result<Option<Timestamp>> {
        let sink = sink.to_owned();
        self.read(move |db| {
            Ok(db
                .prepare_cached(&format!("SELECT min(d.next_attempt_at) FROM dispatches d WHERE {ELIGIBLE}"))?
                .query_row(named_params! { ":sink": sink }, |row| row.get(0))?)
        })
        .await
    }

    /// The receiver has it. Marking twice, or after a person gave it up, changes nothing.
    pub async fn mark_delivered(&self, dispatch: i64, now: Timestamp) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached(
                "UPDATE dispatches SET state = 'delivered', delivered_at = :now, leased_until = NULL, last_error = NULL
                 WHERE id = :id AND state = 'pending'",
            )?
            .execute(named_params! { ":id": dispatch, ":now": now })?;
            Ok(())
        })
        .await
    }

    /// The attempt failed because of the message: it counts, and the next one is at `next`.
    pub async fn mark_failed(
        &self,
        attempt: &Attempt,
        error: String,
        failing_seconds: i64,
        now: Timestamp,
        next: Timestamp,
    ) -> Result<()> {
        let dispatch = attempt.dispatch;
        self.write(move |db| {
            db.prepare_cached(
                "UPDATE dispatches SET next_attempt_at = :next, last_error = :error, failing_seconds = :failing_seconds,
                                       failed_at = :now
                 WHERE id = :id AND state = 'pending'",
            )?
            .execute(named_params! {
                ":id": dispatch, ":next": next, ":error": error, ":failing_seconds": failing_seconds, ":now": now,
            })?;
            Ok(())
        })
        .await
    }

    /// The attempt failed because of the sink: it does not count; the message is as due as it was.
    pub async fn give_back(&self, attempt: &Attempt, error: Option<String>, next: Timestamp) -> Result<()> {
        let (dispatch, number) = (attempt.dispatch, attempt.number);
        self.write(move |db| {
            db.prepare_cached(
                "UPDATE dispatches SET attempts = :attempts, next_attempt_at = :next, last_error = coalesce(:error, last_error)
                 WHERE id = :id AND state = 'pending'",
            )?
            .execute(named_params! {
                ":id": dispatch, ":attempts": number.saturating_sub(1), ":next": next, ":error": error,
            })?;
            Ok(())
        })
        .await
    }

    /// Given up: a person must look.
    pub async fn mark_dead(&self, dispatch: i64, error: String, now: Timestamp) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached(
                "UPDATE dispatches SET state = 'dead', dead_at = :now, last_error = :error, leased_until = NULL
                 WHERE id = :id AND state = 'pending'",
            )?
            .execute(named_params! { ":id": dispatch, ":now": now, ":error": error })?;
            Ok(())
        })
        .await
    }

    pub async fn sink_state(&self, sink: &str) -> Result<SinkState> {
        let sink = sink.to_owned();
        self.read(move |db| {
            let found = db
                .prepare_cached(
                    "SELECT sink, failures, blocked_since, blocked_until, last_error, last_success_at
                     FROM sinks WHERE sink = :sink",
                )?
                .query_row(named_params! { ":sink": sink }, sink_state)
                .optional()?;
            Ok(found.unwrap_or(SinkState { sink, ..SinkState::default() }))
        })
        .await
    }

    pub async fn record_sink_state(&self, state: SinkState) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached(
                "INSERT INTO sinks (sink, failures, blocked_since, blocked_until, last_error, last_success_at)
                 VALUES (:sink, :failures, :since, :until, :error, :success)
                 ON CONFLICT (sink) DO UPDATE SET failures = :failures, blocked_since = :since, blocked_until = :until,
                                                  last_error = :error, last_success_at = :success",
            )?
            .execute(named_params! {
                ":sink": state.sink, ":failures": state.failures, ":since": state.blocked_since,
                ":until": state.blocked_until, ":error": state.last_error, ":success": state.last_success_at,
            })?;
            Ok(())
        })
        .await
    }

    /// Dispatches in the order of queueing.
    pub async fn dispatches(&self, filter: QueueFilter) -> Result<Vec<DispatchRow>> {
        self.read(move |db| {
            let message = filter.message.map(|id| id.to_string());
            let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
            let mut values: Vec<(&str, &dyn ToSql)> = vec![(":after", &filter.after), (":limit", &limit)];
            let mut conditions = String::new();
            // Only what is asked for stands in the statement, so that its index is found.
            let wanted: [(&str, &dyn ToSql, bool); 5] = [
                (" AND d.sink = :sink", &filter.sink, filter.sink.is_some()),
                (" AND d.state = :state", &filter.state, filter.state.is_some()),
                (" AND m.type = :type", &filter.event, filter.event.is_some()),
                (" AND d.subscription = :subscription", &filter.subscription, filter.subscription.is_some()),
                (" AND m.id = :message", &message, message.is_some()),
            ];
            for (condition, value, _) in wanted.into_iter().filter(|(.., is_wanted)| *is_wanted) {
                let name = condition.rsplit(' ').next().unwrap_or_default();
                conditions.push_str(condition);
                values.push((name, value));
            }
            let mut statement = db.prepare_cached(&format!(
                "SELECT m.id, m.type, d.sink, d.state, s.provider, m.territory, s.partner_order_number,
                        s.subscription_id, m.generation, m.queued_at, d.attempts, d.next_attempt_at, d.last_attempt_at,
                        d.last_error, d.leased_until, d.delivered_at, d.dead_at, d.id
                 FROM dispatches d JOIN messages m ON m.seq = d.message JOIN subscriptions s ON s.id = d.subscription
                 WHERE d.id > :after{conditions} ORDER BY d.id LIMIT :limit"
            ))?;
            let rows = statement.query_map(values.as_slice(), dispatch_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
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
                     SELECT sink, 0, count(*) FROM dispatches WHERE state = 'dead' GROUP BY sink)
                 GROUP BY sink ORDER BY sink",
            )?;
            let rows = statement
                .query_map([], |row| Ok(QueueDepth { sink: row.get(0)?, pending: row.get(1)?, dead: row.get(2)? }))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Makes a message's dispatches due now, dead ones included, with all their attempts before them; delivered ones stay
    /// delivered. Returns how many.
    pub async fn retry_message(&self, id: Uuid, sink: Option<String>, now: Timestamp) -> Result<usize> {
        self.write(move |db| {
            Ok(db.execute(
                "UPDATE dispatches SET state = 'pending', dead_at = NULL, attempts = 0, failing_seconds = 0, failed_at = NULL,
                                       next_attempt_at = :now, leased_until = NULL
                 WHERE message = (SELECT seq FROM messages WHERE id = :id AND body IS NOT NULL)
                   AND state <> 'delivered' AND (:sink IS NULL OR sink = :sink)",
                named_params! { ":id": id.to_string(), ":sink": sink, ":now": now },
            )?)
        })
        .await
    }

    /// Makes all dead dispatches, or those of one sink, due now, as [`Store::retry_message`] does for one message.
    pub async fn retry_dead(&self, sink: Option<String>, now: Timestamp) -> Result<Retried> {
        self.write(move |db| {
            let due = db.execute(
                "UPDATE dispatches SET state = 'pending', dead_at = NULL, attempts = 0, failing_seconds = 0, failed_at = NULL,
                                       next_attempt_at = :now, leased_until = NULL
                 WHERE state = 'dead' AND (:sink IS NULL OR sink = :sink)
                   AND EXISTS (SELECT 1 FROM messages m WHERE m.seq = dispatches.message AND m.body IS NOT NULL)",
                named_params! { ":sink": sink, ":now": now },
            )?;
            let wiped: i64 = db.query_row(
                "SELECT count(*) FROM dispatches WHERE state = 'dead' AND (:sink IS NULL OR sink = :sink)",
                named_params! { ":sink": sink },
                |row| row.get(0),
            )?;
            Ok(Retried { due, wiped: usize::try_from(wiped).unwrap_or_default() })
        })
        .await
    }

    /// Leases up to `max` messages of a built-in queue, longest queued first. Until the lease is over nobody else gets them,
    /// nor a later `renewal.*` of their subscriptions. The leases are on disk when this returns.
    pub async fn lease(&self, sink: &str, max: usize, lease: Duration, now: Timestamp) -> Result<Vec<Leased>> {
        let sink = sink.to_owned();
        let until = now + lease;
        self.write(move |db| {
            let mut statement = db.prepare_cached(&format!(
                // In the order of the index: however many wait, only those that are taken are read.
                "SELECT {ATTEMPT}
                 FROM dispatches d JOIN messages m ON m.seq = d.message
                 WHERE {ELIGIBLE} AND m.body IS NOT NULL
                   AND (d.leased_until IS NULL OR d.leased_until <= :now OR d.last_attempt_at > :now + :clock_step)
                 ORDER BY d.next_attempt_at, d.id LIMIT :max"
            ))?;
            let rows = statement
                .query_map(
                    named_params! {
                        ":sink": sink, ":now": now, ":max": max as i64, ":clock_step": CLOCK_STEP.as_secs() as i64,
                    },
                    attempt,
                )?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let mut take = db.prepare_cached(
                "UPDATE dispatches SET leased_until = :until, last_attempt_at = :now, attempts = :number
                 WHERE id = :id AND state = 'pending'",
            )?;
            for row in &rows {
                take.execute(named_params! {
                    ":until": until, ":now": now, ":id": row.dispatch, ":number": row.number,
                })?;
            }
            Ok(rows.into_iter().map(|row| Leased { message: row.message, until }).collect())
        })
        .await
    }

    /// Marks leased messages of a built-in queue delivered; the lease may be over. Acknowledging twice changes nothing.
    /// Returns the ids that this queue does not know; if there are any, nothing is acknowledged.
    pub async fn acknowledge(&self, sink: &str, ids: Vec<Uuid>, now: Timestamp) -> Result<Vec<Uuid>> {
        let sink = sink.to_owned();
        self.write(move |db| {
            let known = |id: &Uuid| -> Result<bool> {
                Ok(db
                    .prepare_cached(
                        "SELECT 1 FROM dispatches d JOIN messages m ON m.seq = d.message
                         WHERE m.id = :id AND d.sink = :sink",
                    )?
                    .exists(named_params! { ":id": id.to_string(), ":sink": sink })?)
            };
            let mut unknown = Vec::new();
            for id in &ids {
                if !known(id)? {
                    unknown.push(*id);
                }
            }
            if unknown.is_empty() {
                for id in &ids {
                    acknowledge(db, &sink, *id, now)?;
                }
            }
            Ok(unknown)
        })
        .await
    }
}

fn acknowledge(db: &Connection, sink: &str, id: Uuid, now: Timestamp) -> Result<()> {
    db.prepare_cached(
        "UPDATE dispatches SET state = 'delivered', delivered_at = :now, leased_until = NULL, last_error = NULL
         WHERE state = 'pending' AND sink = :sink AND message = (SELECT seq FROM messages WHERE id = :id)",
    )?
    .execute(named_params! { ":id": id.to_string(), ":sink": sink, ":now": now })?;
    Ok(())
}

/// Reads what is due by one end of the index or beyond legal delays by the other, and no more bodies than memory should hold.
fn due(
    db: &Connection,
    range: &str,
    bound: Timestamp,
    sink: &str,
    in_hand: &str,
    limit: usize,
) -> rusqlite::Result<Vec<Attempt>> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {ATTEMPT}
         FROM dispatches d JOIN messages m ON m.seq = d.message
         WHERE {ELIGIBLE} AND {range}
           AND m.body IS NOT NULL AND d.id NOT IN (SELECT value FROM json_each(:in_hand))
         ORDER BY d.next_attempt_at, d.id LIMIT :limit"
    ))?;
    let mut rows = statement
        .query(named_params! { ":sink": sink, ":bound": bound, ":in_hand": in_hand, ":limit": limit as i64 })?;
    let (mut attempts, mut body_bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()?.filter(|_| body_bytes < MOST_BODY_BYTES) {
        let attempt = attempt(row)?;
        body_bytes += attempt.message.body.len();
        attempts.push(attempt);
    }
    Ok(attempts)
}

const ATTEMPT: &str = "d.id, d.subscription, d.attempts, d.failing_seconds, d.failed_at, d.last_attempt_at, \
     m.id, m.type, m.queued_at, m.body, d.replays";

fn attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    Ok(Attempt {
        dispatch: row.get(0)?,
        subscription: row.get(1)?,
        number: row.get::<_, u32>(2)?.saturating_add(1),
        failing_seconds: row.get(3)?,
        failed_at: row.get(4)?,
        previous_at: row.get(5)?,
        message: Message {
            id: message_id(row, 6)?,
            event: row.get(7)?,
            queued_at: row.get(8)?,
            body: row.get(9)?,
            replays: row.get(10)?,
        },
    })
}

pub(super) fn sink_state(row: &Row<'_>) -> rusqlite::Result<SinkState> {
    Ok(SinkState {
        sink: row.get(0)?,
        failures: row.get(1)?,
        blocked_since: row.get(2)?,
        blocked_until: row.get(3)?,
        last_error: row.get(4)?,
        last_success_at: row.get(5)?,
    })
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
        row: row.get(17)?,
    })
}

#[cfg(test)]
mod tests;
