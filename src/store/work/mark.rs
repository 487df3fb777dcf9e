//! What became of an attempt.

use rusqlite::{Connection, named_params};

use super::take::Attempt;
use crate::clock::Timestamp;
use crate::store::{Result, Store};

/// What became of a dispatch that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub dispatch: i64,
    outcome: Outcome,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    pub reason: String,
    /// What the receiver said, for the operator alone: it goes with the message's body.
    pub answer: Option<String>,
}

impl From<String> for Why {
    fn from(reason: String) -> Self {
        Self { reason, answer: None }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Delivered { at: Timestamp },
    Failed { why: Why, failing_seconds: i64, at: Timestamp, next: Timestamp },
    GivenBack { attempts: u32, why: Why, next: Timestamp },
    NotMade { attempts: u32, previous_at: Option<Timestamp>, next: Timestamp },
    Dead { why: Why, at: Timestamp },
}

impl Mark {
    /// The receiver has it.
    pub fn delivered(dispatch: i64, at: Timestamp) -> Self {
        Self { dispatch, outcome: Outcome::Delivered { at } }
    }

    /// The attempt failed because of the message: it counts, and the next one is at `next`. `failing_seconds` so far.
    pub fn failed(dispatch: i64, why: impl Into<Why>, failing_seconds: i64, at: Timestamp, next: Timestamp) -> Self {
        Self { dispatch, outcome: Outcome::Failed { why: why.into(), failing_seconds, at, next } }
    }

    /// The attempt failed because of the sink: it does not count. The next one is at `next`.
    pub fn given_back(attempt: &Attempt, why: impl Into<Why>, next: Timestamp) -> Self {
        let (attempts, why) = (attempt.number.saturating_sub(1), why.into());
        Self { dispatch: attempt.dispatch, outcome: Outcome::GivenBack { attempts, why, next } }
    }

    /// The attempt was not made, and leaves no trace. The next one is at `next`.
    pub fn not_made(attempt: &Attempt, next: Timestamp) -> Self {
        let (attempts, previous_at) = (attempt.number.saturating_sub(1), attempt.previous_at);
        Self { dispatch: attempt.dispatch, outcome: Outcome::NotMade { attempts, previous_at, next } }
    }

    /// Given up: a person must look.
    pub fn dead(dispatch: i64, why: impl Into<Why>, at: Timestamp) -> Self {
        Self { dispatch, outcome: Outcome::Dead { why: why.into(), at } }
    }

    /// Whether it was still pending.
    fn write(&self, db: &Connection) -> rusqlite::Result<bool> {
        let id = self.dispatch;
        match &self.outcome {
            Outcome::Delivered { at } => db
                .prepare_cached(
                    "UPDATE dispatches SET state = 'delivered', delivered_at = :at, leased_until = NULL, last_error = NULL,
                                           last_answer = NULL
                     WHERE id = :id AND state = 'pending'",
                )?
                .execute(named_params! { ":id": id, ":at": at }),
            Outcome::Failed { why, failing_seconds, at, next } => db
                .prepare_cached(
                    "UPDATE dispatches SET next_attempt_at = :next, last_error = :reason, last_answer = :answer,
                                           failing_seconds = :failing_seconds, failed_at = :at
                     WHERE id = :id AND state = 'pending'",
                )?
                .execute(named_params! {
                    ":id": id, ":next": next, ":reason": why.reason, ":answer": why.answer,
                    ":failing_seconds": failing_seconds, ":at": at,
                }),
            Outcome::GivenBack { attempts, why, next } => db
                .prepare_cached(
                    "UPDATE dispatches SET attempts = :attempts, next_attempt_at = :next, last_error = :reason,
                                           last_answer = :answer
                     WHERE id = :id AND state = 'pending'",
                )?
                .execute(named_params! {
                    ":id": id, ":attempts": attempts, ":next": next, ":reason": why.reason, ":answer": why.answer,
                }),
            Outcome::NotMade { attempts, previous_at, next } => db
                .prepare_cached(
                    "UPDATE dispatches SET attempts = :attempts, next_attempt_at = :next, last_attempt_at = :previous_at
                     WHERE id = :id AND state = 'pending'",
                )?
                .execute(named_params! {
                    ":id": id, ":attempts": attempts, ":next": next, ":previous_at": previous_at,
                }),
            Outcome::Dead { why, at } => db
                .prepare_cached(
                    "UPDATE dispatches SET state = 'dead', dead_at = :at, last_error = :reason, last_answer = :answer,
                                           leased_until = NULL
                     WHERE id = :id AND state = 'pending'",
                )?
                .execute(named_params! { ":id": id, ":at": at, ":reason": why.reason, ":answer": why.answer }),
        }
        .map(|changed| changed == 1)
    }
}

impl Store {
    /// Writes down what became of dispatches: all of it or nothing. Marking one again, or after a person gave it up, changes
    /// nothing; the returned flags say which were written.
    pub async fn mark(&self, marks: Vec<Mark>) -> Result<Vec<bool>> {
        self.write(move |db| Ok(marks.iter().map(|mark| mark.write(db)).collect::<rusqlite::Result<_>>()?)).await
    }
}
