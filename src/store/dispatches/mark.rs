//! What became of an attempt, and a sink's own trouble.

use rusqlite::{OptionalExtension, Row, named_params};

use super::super::{Result, Store};
use super::{Attempt, SinkState};
use crate::clock::Timestamp;

impl Store {
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
