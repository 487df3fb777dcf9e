//! What is due for one sink, in the order of its subscriptions: taken with its attempt on disk before it is made.

use std::time::Duration;

use rusqlite::{Connection, Row, named_params};

use super::super::renewals::message_id;
use super::super::{Result, Store};
use super::Attempt;
use crate::clock::Timestamp;
use crate::delivery::Message;
use crate::renewal::number;
use crate::retry;

/// Pending, due, and the first `renewal.*` of its subscription: the order is kept by never looking past that one.
pub(super) const ELIGIBLE: &str = "d.sink = :sink AND d.state = 'pending'
    AND (d.ordered = 0 OR NOT EXISTS (
         SELECT 1 FROM dispatches e
         WHERE e.sink = d.sink AND e.subscription = d.subscription AND e.state = 'pending' AND e.ordered = 1
           AND e.message < d.message))";

/// Bodies taken at once; one more may begin below it. A licence file may have 16 MiB.
const MOST_BODY_BYTES: usize = 16 << 20;

/// The furthest ahead that a next attempt is ever set; what lies beyond was written under a wrong clock.
const FURTHEST: Duration = Duration::from_secs(27 * 3600);

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

pub(super) const ATTEMPT: &str = "d.id, d.subscription, d.attempts, d.failing_seconds, d.failed_at, d.last_attempt_at, \
     m.id, m.type, m.queued_at, m.body, d.replays, \
     (SELECT partner_order_number FROM subscriptions s WHERE s.id = d.subscription), \
     (SELECT subscription_id FROM subscriptions s WHERE s.id = d.subscription), m.generation";

pub(super) fn attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    Ok(Attempt {
        dispatch: row.get(0)?,
        subscription: row.get(1)?,
        order_number: number::order_number(&row.get::<_, String>(11)?, row.get(13)?),
        subscription_id: row.get(12)?,
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
