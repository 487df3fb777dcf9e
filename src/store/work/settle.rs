//! What an answer with order data meant for the renewals that it served: written with the messages that tell of it.

use rusqlite::{Connection, named_params};

use super::messages::{self, NewMessage};
use super::renewals::DueRenewal;
use crate::clock::Timestamp;
use crate::delivery::Warning;
use crate::renewal::order::Patience;
use crate::store::forms::Warnings;
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
    Queued { messages: Vec<NewMessage>, sent: WithWarnings },
    /// Given up: `messages` tell of it.
    Abandoned { messages: Vec<NewMessage>, detail: String },
    /// Looked at for what was missing: another revision is handed over, where any of it has come.
    Looked {
        message: Option<NewMessage>,
        sent: WithWarnings,
        is_answered: bool,
        outcome: &'static str,
        detail: Option<String>,
    },
}

/// What is odd about what was handed over last, and when the provider is looked at for what it lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WithWarnings {
    pub warnings: Vec<Warning>,
    pub look_again_at: Option<Timestamp>,
}

impl Settled {
    /// What is queued with it.
    pub fn messages(&self) -> &[NewMessage] {
        match self {
            Self::AskedAgain { .. } => &[],
            Self::Looked { message, .. } => message.as_slice(),
            Self::Queued { messages, .. } | Self::Abandoned { messages, .. } => messages,
        }
    }

    /// Of what is handed over with it.
    pub fn warnings(&self) -> &[Warning] {
        match self {
            Self::Queued { sent, .. } | Self::Looked { message: Some(_), sent, .. } => &sent.warnings,
            Self::AskedAgain { .. } | Self::Looked { message: None, .. } | Self::Abandoned { .. } => &[],
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
/// it, and no answer that named it was wrong. One that was adopted and not asked yet still notes its own.
fn confirm(db: &Connection, renewal: &DueRenewal) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "UPDATE subscriptions SET generation = :generation, surprise = NULL, past_surprise = NULL, past_surprise_at = NULL
         WHERE id = :id AND generation < :generation",
    )?
        .execute(named_params! { ":generation": renewal.generation, ":id": renewal.subscription })
}

fn settle(db: &Connection, vault: &Vault, settlement: &Settlement) -> Result<bool> {
    let Settlement { renewal, outcome, at, polls_resume_at } = settlement;
    let written = match outcome {
        Settled::AskedAgain { at: next, patience, outcome, detail } => {
            ask_again(db, renewal, *at, *next, patience, outcome, detail)?
        }
        Settled::Queued { sent, .. } => queued(db, renewal, sent, *at)?,
        Settled::Abandoned { detail, .. } => abandoned(db, renewal, detail, *at)?,
        Settled::Looked { message, sent, is_answered, outcome, detail } => {
            let is_news = message.is_some();
            looked(db, renewal, sent, (is_news, *is_answered), (outcome, detail.as_deref()), *at)?
        }
    };
    if !written {
        return Ok(false);
    }
    for message in outcome.messages() {
        messages::insert(db, vault, message)?;
    }
    match outcome {
        Settled::Queued { .. } => {
            confirm(db, renewal)?;
            resume_polls(db, renewal.subscription, *polls_resume_at)?;
        }
        Settled::Abandoned { .. } => resume_polls(db, renewal.subscription, *polls_resume_at)?,
        // Polls never rested for it, and the generation was confirmed when it was queued.
        Settled::AskedAgain { .. } | Settled::Looked { .. } => {}
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
                 unanswered = :unanswered, refusals = :refusals,
                 not_found_answers = :not_found_answers, not_found_seconds = :not_found_seconds,
                 waiting_answers = :waiting_answers, waiting_seconds = :waiting_seconds,
                 empty_answers = :empty_answers, empty_seconds = :empty_seconds,
                 transient_answers = :transient_answers, transient_seconds = :transient_seconds,
                 last_outcome = :outcome, last_detail = :detail
             WHERE id = :id AND state = 'awaiting_order_data' AND revision = :revision",
        )?
        .execute(named_params! {
            ":next": next, ":now": now, ":attempts": patience.attempts, ":answered_at": patience.answered_at,
            ":unanswered": patience.unanswered, ":refusals": patience.refusals,
            ":not_found_answers": patience.not_found.answers, ":not_found_seconds": patience.not_found.seconds,
            ":waiting_answers": patience.waiting.answers, ":waiting_seconds": patience.waiting.seconds,
            ":empty_answers": patience.empty.answers, ":empty_seconds": patience.empty.seconds,
            ":transient_answers": patience.transient.answers, ":transient_seconds": patience.transient.seconds,
            ":outcome": outcome, ":detail": detail, ":id": renewal.row, ":revision": renewal.revision,
        })?;
    Ok(changed == 1)
}

fn queued(db: &Connection, renewal: &DueRenewal, sent: &WithWarnings, now: Timestamp) -> Result<bool> {
    let changed = db
        .prepare_cached(
            "UPDATE renewals SET state = 'queued', settled_at = :now, next_attempt_at = NULL, last_attempt_at = :now,
                 attempts = attempts + 1, last_outcome = 'ok', last_detail = NULL, warnings = :warnings,
                 look_again_at = :look_again_at
             WHERE id = :id AND state = 'awaiting_order_data' AND revision = :revision",
        )?
        .execute(named_params! {
            ":now": now, ":warnings": Warnings(&sent.warnings), ":look_again_at": sent.look_again_at,
            ":id": renewal.row, ":revision": renewal.revision,
        })?;
    Ok(changed == 1)
}

/// The warnings stay: of what was queued before a person asked for it again.
fn abandoned(db: &Connection, renewal: &DueRenewal, detail: &str, now: Timestamp) -> Result<bool> {
    let changed = db
        .prepare_cached(
            "UPDATE renewals SET state = 'abandoned', settled_at = :now, next_attempt_at = NULL, last_attempt_at = :now,
                 attempts = attempts + 1, last_outcome = 'abandoned', last_detail = :detail
             WHERE id = :id AND state = 'awaiting_order_data' AND revision = :revision",
        )?
        .execute(named_params! {
            ":now": now, ":detail": detail, ":id": renewal.row, ":revision": renewal.revision,
        })?;
    Ok(changed == 1)
}

/// `settled_at` stays: looks end a time after that.
fn looked(
    db: &Connection,
    renewal: &DueRenewal,
    sent: &WithWarnings,
    (is_news, is_answered): (bool, bool),
    (outcome, detail): (&str, Option<&str>),
    now: Timestamp,
) -> Result<bool> {
    let changed = db
        .prepare_cached(
            "UPDATE renewals SET revision = revision + :is_news, warnings = :warnings, look_again_at = :look_again_at,
                 last_attempt_at = :now, attempts = attempts + :is_answered, last_outcome = :outcome, last_detail = :detail
             WHERE id = :id AND state = 'queued' AND revision = :revision AND look_again_at IS NOT NULL",
        )?
        .execute(named_params! {
            ":is_news": is_news, ":warnings": Warnings(&sent.warnings), ":look_again_at": sent.look_again_at,
            ":now": now, ":is_answered": is_answered, ":outcome": outcome, ":detail": detail, ":id": renewal.row,
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
