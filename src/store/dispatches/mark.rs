//! What became of an attempt, and a sink's own trouble.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::super::{Result, Store};
use super::{Attempt, SinkState};
use crate::clock::Timestamp;

/// What became of a dispatch that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub dispatch: i64,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Delivered { at: Timestamp },
    Failed { reason: String, failing_seconds: i64, at: Timestamp, next: Timestamp },
    GivenBack { attempts: u32, reason: String, next: Timestamp },
    NotMade { attempts: u32, previous_at: Option<Timestamp>, next: Timestamp },
    Dead { reason: String, at: Timestamp },
}

impl Mark {
    /// The receiver has it.
    pub fn delivered(dispatch: i64, at: Timestamp) -> Self {
        Self { dispatch, outcome: Outcome::Delivered { at } }
    }

    /// The attempt failed because of the message: it counts, and the next one is at `next`. `failing_seconds` so far.
    pub fn failed(dispatch: i64, reason: String, failing_seconds: i64, at: Timestamp, next: Timestamp) -> Self {
        Self { dispatch, outcome: Outcome::Failed { reason, failing_seconds, at, next } }
    }

    /// The attempt failed because of the sink: it does not count. The next one is at `next`.
    pub fn given_back(attempt: &Attempt, reason: String, next: Timestamp) -> Self {
        let attempts = attempt.number.saturating_sub(1);
        Self { dispatch: attempt.dispatch, outcome: Outcome::GivenBack { attempts, reason, next } }
    }

    /// The attempt was not made, and leaves no trace. The next one is at `next`.
    pub fn not_made(attempt: &Attempt, next: Timestamp) -> Self {
        let (attempts, previous_at) = (attempt.number.saturating_sub(1), attempt.previous_at);
        Self { dispatch: attempt.dispatch, outcome: Outcome::NotMade { attempts, previous_at, next } }
    }

    /// Given up: a person must look.
    pub fn dead(dispatch: i64, reason: String, at: Timestamp) -> Self {
        Self { dispatch, outcome: Outcome::Dead { reason, at } }
    }

    fn write(&self, db: &Connection) -> rusqlite::Result<()> {
        let id = self.dispatch;
        match &self.outcome {
            Outcome::Delivered { at } => db
                .prepare_cached(
                    "UPDATE dispatches SET state = 'delivered', delivered_at = :at, leased_until = NULL, last_error = NULL
                     WHERE id = :id AND state = 'pending'",
                )?
                .execute(named_params! { ":id": id, ":at": at }),
            Outcome::Failed { reason, failing_seconds, at, next } => db
                .prepare_cached(
                    "UPDATE dispatches SET next_attempt_at = :next, last_error = :reason, failing_seconds = :failing_seconds,
                                           failed_at = :at
                     WHERE id = :id AND state = 'pending'",
                )?
                .execute(named_params! {
                    ":id": id, ":next": next, ":reason": reason, ":failing_seconds": failing_seconds, ":at": at,
                }),
            Outcome::GivenBack { attempts, reason, next } => db
                .prepare_cached(
                    "UPDATE dispatches SET attempts = :attempts, next_attempt_at = :next, last_error = :reason
                     WHERE id = :id AND state = 'pending'",
                )?
                .execute(named_params! { ":id": id, ":attempts": attempts, ":next": next, ":reason": reason }),
            Outcome::NotMade { attempts, previous_at, next } => db
                .prepare_cached(
                    "UPDATE dispatches SET attempts = :attempts, next_attempt_at = :next, last_attempt_at = :previous_at
                     WHERE id = :id AND state = 'pending'",
                )?
                .execute(named_params! {
                    ":id": id, ":attempts": attempts, ":next": next, ":previous_at": previous_at,
                }),
            Outcome::Dead { reason, at } => db
                .prepare_cached(
                    "UPDATE dispatches SET state = 'dead', dead_at = :at, last_error = :reason, leased_until = NULL
                     WHERE id = :id AND state = 'pending'",
                )?
                .execute(named_params! { ":id": id, ":at": at, ":reason": reason }),
        }
        .map(drop)
    }
}

impl Store {
    /// Writes down what became of dispatches: all of it or nothing. Marking one again, or after a person gave it up, changes
    /// nothing.
    pub async fn mark(&self, marks: Vec<Mark>) -> Result<()> {
        self.write(move |db| Ok(marks.iter().try_for_each(|mark| mark.write(db))?)).await
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
}

pub(in crate::store) fn sink_state(row: &Row<'_>) -> rusqlite::Result<SinkState> {
    Ok(SinkState {
        sink: row.get(0)?,
        failures: row.get(1)?,
        blocked_since: row.get(2)?,
        blocked_until: row.get(3)?,
        last_error: row.get(4)?,
        last_success_at: row.get(5)?,
    })
}
