//! What an answer with order data meant for the renewals that it served: written with the messages that tell of it.

use rusqlite::{Connection, named_params};

use super::messages::{self, NewMessage};
use super::renewals::DueRenewal;
use crate::clock::Timestamp;
use crate::renewal::order::Patience;
use crate::store::{Result, Store};
use crate::vault::Vault;

/// How one attempt at a renewal's order data ended.
#[derive(Debug)]
pub struct Settlement {
    pub renewal: DueRenewal,
    pub outcome: Settled,
    pub at: Timestamp,
    /// When polls go on once nothing waits any more.
    pub polls_resume_at: Timestamp,
}

#[derive(Debug)]
pub enum Settled {
    /// Asked again later.
    AskedAgain { at: Timestamp, patience: Patience, outcome: &'static str, detail: String },
    /// Handed over: `messages` are queued in the same transaction.
    Queued { messages: Vec<NewMessage> },
    /// Given up: `messages` tell of it.
    Abandoned { messages: Vec<NewMessage>, detail: String },
}

impl Settled {
    /// What is queued with it.
    pub fn messages(&self) -> &[NewMessage] {
        match self {
            Self::AskedAgain { .. } => &[],
            Self::Queued { messages } | Self::Abandoned { messages, .. } => messages,
        }
    }
}

impl Store {
    /// Writes what an answer meant for the renewals it served: for each, state, messages and dispatches together or not at
    /// all. One that somebody settled or reopened meanwhile is left alone; the returned flags say which were written.
    pub async fn settle_renewals(&self, settlements: Vec<Settlement>) -> Result<Vec<bool>> {
        let vault = self.vault.clone();
        self.write(move |db| settlements.iter().map(|s| settle(db, &vault, s)).collect()).await
    }
}

/// The provider has given this generation's order data: there is one, also where no poll has seen it yet and only a person has named
/// it. One that was adopted and not asked yet still notes its own.
fn confirm(db: &Connection, renewal: &DueRenewal) -> rusqlite::Result<usize> {
    db.prepare_cached("UPDATE subscriptions SET generation = :generation WHERE id = :id AND generation < :generation")?
        .execute(named_params! { ":generation": renewal.generation, ":id": renewal.subscription })
}

fn settle(db: &Connection, vault: &Vault, settlement: &Settlement) -> Result<bool> {
    let Settlement { renewal, outcome, at, polls_resume_at } = settlement;
    let written = match outcome {
        Settled::AskedAgain { at: next, patience, outcome, detail } => {
            ask_again(db, renewal, *at, *next, patience, outcome, detail)?
        }
        Settled::Queued { .. } => close(db, renewal, "queued", "ok", None, *at)?,
        Settled::Abandoned { detail, .. } => close(db, renewal, "abandoned", "abandoned", Some(detail), *at)?,
    };
    if !written {
        return Ok(false);
    }
    if let Settled::Queued { .. } = outcome {
        confirm(db, renewal)?;
    }
    if let Settled::Queued { messages } | Settled::Abandoned { messages, .. } = outcome {
        for message in messages {
            messages::insert(db, vault, message)?;
        }
        resume_polls(db, renewal.subscription, *polls_resume_at)?;
    }
    Ok(true)
}

fn ask_again(
    db: &Connection,
    renewal: &DueRenewal,
    now: Timestamp,
    next: Timestamp,
    patience: &Patience,
    outcome: &str,
    detail: &str,
) -> Result<bool> {
    let changed = db
        .prepare_cached(
            "UPDATE renewals SET
                 next_attempt_at = :next, last_attempt_at = :now, attempts = :attempts, answered_at = :answered_at,
                 unanswered = :unanswered, refusals = :refusals, empty_answers = :empty_answers,
                 not_found_answers = :not_found_answers, not_found_seconds = :not_found_seconds,
                 waiting_answers = :waiting_answers, waiting_seconds = :waiting_seconds,
                 transient_answers = :transient_answers, transient_seconds = :transient_seconds,
                 last_outcome = :outcome, last_detail = :detail
             WHERE id = :id AND state = 'awaiting_order_data' AND revision = :revision",
        )?
        .execute(named_params! {
            ":next": next, ":now": now, ":attempts": patience.attempts, ":answered_at": patience.answered_at,
            ":unanswered": patience.unanswered, ":refusals": patience.refusals,
            ":empty_answers": patience.empty_answers,
            ":not_found_answers": patience.not_found.answers, ":not_found_seconds": patience.not_found.seconds,
            ":waiting_answers": patience.waiting.answers, ":waiting_seconds": patience.waiting.seconds,
            ":transient_answers": patience.transient.answers, ":transient_seconds": patience.transient.seconds,
            ":outcome": outcome, ":detail": detail, ":id": renewal.row, ":revision": renewal.revision,
        })?;
    Ok(changed == 1)
}

fn close(
    db: &Connection,
    renewal: &DueRenewal,
    state: &str,
    outcome: &str,
    detail: Option<&String>,
    now: Timestamp,
) -> Result<bool> {
    let changed = db
        .prepare_cached(
            "UPDATE renewals SET state = :state, settled_at = :now, next_attempt_at = NULL, last_attempt_at = :now,
                                 attempts = attempts + 1, last_outcome = :outcome, last_detail = :detail
             WHERE id = :id AND state = 'awaiting_order_data' AND revision = :revision",
        )?
        .execute(named_params! {
            ":state": state, ":now": now, ":outcome": outcome, ":detail": detail, ":id": renewal.row,
            ":revision": renewal.revision,
        })?;
    Ok(changed == 1)
}

/// Nothing waits any more: polls go on at their interval, not a day later.
fn resume_polls(db: &Connection, subscription: i64, at: Timestamp) -> Result<()> {
    db.prepare_cached(
        "UPDATE subscriptions SET due_at = min(due_at, :at)
         WHERE id = :subscription AND due_at IS NOT NULL AND pace = 'regular'
           AND NOT EXISTS (SELECT 1 FROM renewals WHERE subscription = :subscription AND state = 'awaiting_order_data')",
    )?
    .execute(named_params! { ":subscription": subscription, ":at": at })?;
    Ok(())
}
