//! Renewals: recorded, waiting for order data, settled.

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use uuid::Uuid;

use super::messages::{self, NewMessage};
use super::{Result, Store};
use crate::clock::Timestamp;
use crate::renewal::order::{Patience, Tally};
use crate::renewal::poll::NewRenewal;
use crate::vault::Vault;

/// A renewal whose order data is due.
#[derive(Clone, Debug)]
pub struct DueRenewal {
    pub row: i64,
    /// Row of its subscription.
    pub subscription: i64,
    pub territory: String,
    pub partner_order_number: String,
    pub subscription_id: i64,
    pub metadata: String,
    pub generation: i64,
    pub revision: i64,
    pub order_number: String,
    pub detected_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub next_attempt_at: Timestamp,
    pub patience: Patience,
}

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
    Waiting { at: Timestamp, patience: Patience, outcome: &'static str, detail: String },
    /// Handed over: `messages` are queued in the same transaction.
    Queued { messages: Vec<NewMessage> },
    /// Given up: `messages` tell of it.
    Abandoned { messages: Vec<NewMessage>, detail: String },
}

/// A renewal as `explain` shows it.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = Renewal)]
pub struct RenewalRow {
    pub generation: i64,
    pub order_number: String,
    pub state: String,
    pub revision: i64,
    pub detected_at: Timestamp,
    pub settled_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub seconds_after_expiry: Option<i64>,
    pub next_attempt_at: Option<Timestamp>,
    pub last_attempt_at: Option<Timestamp>,
    pub attempts: u32,
    pub last_outcome: Option<String>,
    pub last_detail: Option<String>,
}

const DUE_COLUMNS: &str = "r.id, r.subscription, s.territory, s.partner_order_number, s.subscription_id, s.metadata, \
     r.generation, r.revision, r.order_number, r.detected_at, r.expires_at, r.next_attempt_at, r.attempts, \
     r.answered_at, r.refusals, r.empty_answers, r.not_found_answers, r.not_found_seconds, r.waiting_answers, \
     r.waiting_seconds, r.transient_answers, r.transient_seconds, r.unanswered";

fn due_renewal(row: &Row<'_>) -> rusqlite::Result<DueRenewal> {
    let tally = |at: usize| Ok::<_, rusqlite::Error>(Tally { answers: row.get(at)?, seconds: row.get(at + 1)? });
    Ok(DueRenewal {
        row: row.get(0)?,
        subscription: row.get(1)?,
        territory: row.get(2)?,
        partner_order_number: row.get(3)?,
        subscription_id: row.get(4)?,
        metadata: row.get(5)?,
        generation: row.get(6)?,
        revision: row.get(7)?,
        order_number: row.get(8)?,
        detected_at: row.get(9)?,
        expires_at: row.get(10)?,
        next_attempt_at: row.get(11)?,
        patience: Patience {
            attempts: row.get(12)?,
            answered_at: row.get(13)?,
            refusals: row.get(14)?,
            empty_answers: row.get(15)?,
            not_found: tally(16)?,
            waiting: tally(18)?,
            transient: tally(20)?,
            unanswered: row.get(22)?,
        },
    })
}

impl Store {
    /// Waiting renewals of these territories whose next attempt is due, oldest first, from behind `after` (next attempt, row).
    pub async fn due_renewals(
        &self,
        provider: &str,
        territories: &[String],
        until: Timestamp,
        after: (i64, i64),
        limit: usize,
    ) -> Result<Vec<DueRenewal>> {
        let (provider, territories) = (provider.to_owned(), serde_json::Value::from(territories).to_string());
        self.read(move |db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {DUE_COLUMNS} FROM renewals r JOIN subscriptions s ON s.id = r.subscription
                 WHERE r.provider = :provider AND r.state = 'awaiting_order_data'
                   AND s.territory IN (SELECT value FROM json_each(:territories))
                   AND r.next_attempt_at <= :until AND (r.next_attempt_at, r.id) > (:after_at, :after_id)
                 ORDER BY r.next_attempt_at, r.id LIMIT :limit"
            ))?;
            let rows = statement.query_map(
                named_params! {
                    ":provider": provider, ":territories": territories, ":until": until, ":after_at": after.0,
                    ":after_id": after.1, ":limit": limit as i64,
                },
                due_renewal,
            )?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// When the next waiting renewal of these territories is due.
    pub async fn next_renewal_due(&self, provider: &str, territories: &[String]) -> Result<Option<Timestamp>> {
        let (provider, territories) = (provider.to_owned(), serde_json::Value::from(territories).to_string());
        self.read(move |db| {
            Ok(db
                .prepare_cached(
                    "SELECT r.next_attempt_at FROM renewals r
                     WHERE r.provider = :provider AND r.state = 'awaiting_order_data'
                       AND EXISTS (SELECT 1 FROM subscriptions s WHERE s.id = r.subscription
                                   AND s.territory IN (SELECT value FROM json_each(:territories)))
                     ORDER BY r.next_attempt_at LIMIT 1",
                )?
                .query_row(named_params! { ":provider": provider, ":territories": territories }, |row| row.get(0))
                .optional()?)
        })
        .await
    }

    /// All renewals of one territory that wait for the same order number: one answer serves them all.
    pub async fn waiting_for(&self, provider: &str, territory: &str, order_number: &str) -> Result<Vec<DueRenewal>> {
        let (provider, territory) = (provider.to_owned(), territory.to_owned());
        let order_number = order_number.to_owned();
        self.read(move |db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {DUE_COLUMNS} FROM renewals r JOIN subscriptions s ON s.id = r.subscription
                 WHERE r.order_number = :order_number AND r.state = 'awaiting_order_data'
                   AND r.provider = :provider AND s.territory = :territory ORDER BY r.id"
            ))?;
            let rows = statement.query_map(
                named_params! { ":order_number": order_number, ":provider": provider, ":territory": territory },
                due_renewal,
            )?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Whether `number` is the original number of a subscription other than `row` that is, or was, tracked.
    pub async fn is_original_of_another(&self, provider: &str, number: &str, row: i64) -> Result<bool> {
        let (provider, number) = (provider.to_owned(), number.to_owned());
        self.read(move |db| {
            Ok(db
                .prepare_cached(
                    "SELECT 1 FROM subscriptions
                     WHERE provider = :provider AND partner_order_number = :number AND id <> :row",
                )?
                .exists(named_params! { ":provider": provider, ":number": number, ":row": row })?)
        })
        .await
    }

    /// Writes what an answer meant for the renewals it served: for each, state, messages and dispatches together or not at
    /// all. One that somebody settled or reopened meanwhile is left alone; the returned flags say which were written.
    pub async fn settle_renewals(&self, settlements: Vec<Settlement>) -> Result<Vec<bool>> {
        let vault = self.vault.clone();
        self.write(move |db| settlements.iter().map(|s| settle(db, &vault, s)).collect()).await
    }

    /// The renewals of one subscription, oldest generation first.
    pub async fn renewals_of(&self, subscription: i64) -> Result<Vec<RenewalRow>> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(
                "SELECT generation, order_number, state, revision, detected_at, settled_at, expires_at,
                        seconds_after_expiry, next_attempt_at, last_attempt_at, attempts, last_outcome, last_detail
                 FROM renewals WHERE subscription = :subscription ORDER BY generation",
            )?;
            let rows = statement.query_map(named_params! { ":subscription": subscription }, |row| {
                Ok(RenewalRow {
                    generation: row.get(0)?,
                    order_number: row.get(1)?,
                    state: row.get(2)?,
                    revision: row.get(3)?,
                    detected_at: row.get(4)?,
                    settled_at: row.get(5)?,
                    expires_at: row.get(6)?,
                    seconds_after_expiry: row.get(7)?,
                    next_attempt_at: row.get(8)?,
                    last_attempt_at: row.get(9)?,
                    attempts: row.get(10)?,
                    last_outcome: row.get(11)?,
                    last_detail: row.get(12)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Asks for a generation's order data again, or for the first time: a settled renewal is reopened with its revision raised, so
    /// that its message gets a new id; one that was never recorded is recorded. The subscription's generation is raised once the
    /// provider has given that order data, and not because somebody has named a number.
    pub async fn refetch(
        &self,
        subscription: i64,
        generation: i64,
        order_number: String,
        now: Timestamp,
    ) -> Result<()> {
        self.write(move |db| {
            let update = |change: &str, state: &str| {
                db.execute(
                    &format!(
                        "UPDATE renewals SET next_attempt_at = :now {change}
                         WHERE subscription = :subscription AND generation = :generation AND state {state}"
                    ),
                    named_params! { ":subscription": subscription, ":generation": generation, ":now": now },
                )
            };
            // As if it had never been asked for.
            let reopened = format!(
                ", revision = {RAISED_REVISION}, state = 'awaiting_order_data', settled_at = NULL, attempts = 0,
                 answered_at = NULL, unanswered = 0, refusals = 0, empty_answers = 0, not_found_answers = 0,
                 not_found_seconds = 0, waiting_answers = 0, waiting_seconds = 0, transient_answers = 0,
                 transient_seconds = 0, last_outcome = NULL, last_detail = NULL"
            );
            let brought_forward = update("", "= 'awaiting_order_data'")?;
            let known = brought_forward + update(&reopened, "<> 'awaiting_order_data'")?;
            if known == 0 {
                let renewal = NewRenewal::counted(generation, order_number);
                insert(db, subscription, &renewal, now)?;
            }
            Ok(())
        })
        .await
    }
}

/// Counts the message that was queued for a renewal before: the next one gets another id.
const RAISED_REVISION: &str = "revision + (SELECT count(*) > 0 FROM messages m
     WHERE m.subscription = renewals.subscription AND m.generation = renewals.generation AND m.type LIKE 'renewal.%')";

/// Records one renewal, or leaves alone one that is recorded already. One that was given up or dropped before any poll saw its
/// generation, because a person had named it too early, begins anew, behind those recorded before this one.
pub(super) fn insert(db: &Connection, subscription: i64, renewal: &NewRenewal, now: Timestamp) -> Result<()> {
    let revision: Option<i64> = db
        .prepare_cached(&format!(
            "DELETE FROM renewals WHERE subscription = :subscription AND generation = :generation
             AND state IN ('abandoned', 'dropped') RETURNING {RAISED_REVISION}"
        ))?
        .query_row(named_params! { ":subscription": subscription, ":generation": renewal.generation }, |row| row.get(0))
        .optional()?;
    db.prepare_cached(
        "INSERT INTO renewals (subscription, provider, generation, revision, order_number, detected_at, expires_at,
                               seconds_after_expiry, next_attempt_at)
         SELECT id, provider, :generation, :revision, :order_number, :now, :expires_at, :seconds_after_expiry, :now
         FROM subscriptions WHERE id = :subscription
         ON CONFLICT (subscription, generation) DO NOTHING",
    )?
    .execute(named_params! {
        ":subscription": subscription, ":generation": renewal.generation, ":revision": revision.unwrap_or(0),
        ":order_number": renewal.reference, ":now": now, ":expires_at": renewal.expires_at,
        ":seconds_after_expiry": renewal.seconds_after_expiry,
    })?;
    Ok(())
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
        Settled::Waiting { at: next, patience, outcome, detail } => {
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

/// Reads an id that we wrote ourselves.
pub(super) fn message_id(row: &Row<'_>, at: usize) -> rusqlite::Result<Uuid> {
    let text = row.get_ref(at)?.as_str()?;
    Uuid::parse_str(text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, e.into()))
}
