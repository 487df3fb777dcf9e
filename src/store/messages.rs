//! The outbox: messages with their dispatches, and what is kept of them. Payloads are removed in the files below: by age, or
//! because a person asks for it.

pub(super) mod purge;
mod wipe;

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use uuid::Uuid;

use super::renewals::message_id;
use super::{Result, Store};
use crate::clock::Timestamp;
use crate::delivery::Message;
use crate::vault::{Stored, Vault};

pub use purge::{ForgottenRow, PurgeFilter, Purgeable};
pub use wipe::Purged;

/// A message to be queued with one dispatch for each sink.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub message: Message,
    /// Row of the subscription.
    pub subscription: i64,
    pub territory: String,
    pub generation: i64,
    pub keys_hash: String,
    pub sinks: Vec<String>,
}

/// A message as the ledger shows it: never its body.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = Message)]
pub struct MessageRow {
    #[schema(value_type = String, format = "uuid")]
    pub id: Uuid,
    #[serde(skip)]
    pub seq: i64,
    #[serde(rename = "type")]
    pub event: String,
    pub provider: String,
    pub territory: String,
    pub partner_order_number: String,
    pub subscription_id: i64,
    pub generation: i64,
    pub queued_at: Timestamp,
    pub body_bytes: i64,
    pub keys_hash: String,
    pub wiped_at: Option<Timestamp>,
}

pub(super) const COLUMNS: &str = "m.id, m.seq, m.type, s.provider, m.territory, s.partner_order_number, s.subscription_id, \
     m.generation, m.queued_at, m.body_bytes, m.keys_hash, m.wiped_at";

pub(super) fn message_row(row: &Row<'_>) -> rusqlite::Result<MessageRow> {
    Ok(MessageRow {
        id: message_id(row, 0)?,
        seq: row.get(1)?,
        event: row.get(2)?,
        provider: row.get(3)?,
        territory: row.get(4)?,
        partner_order_number: row.get(5)?,
        subscription_id: row.get(6)?,
        generation: row.get(7)?,
        queued_at: row.get(8)?,
        body_bytes: row.get(9)?,
        keys_hash: row.get(10)?,
        wiped_at: row.get(11)?,
    })
}

/// A body from the columns `key_id`, `checksum` and `body`, which stand at these places.
pub(super) fn stored(row: &Row<'_>, [key_id, checksum, body]: [usize; 3]) -> rusqlite::Result<Stored<'static>> {
    Ok(Stored {
        key_id: row.get::<_, Option<String>>(key_id)?.map(Into::into),
        checksum: row.get(checksum)?,
        body: row.get::<_, Vec<u8>>(body)?.into(),
    })
}

impl Store {
    pub async fn message(&self, id: Uuid) -> Result<Option<MessageRow>> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM messages m JOIN subscriptions s ON s.id = m.subscription WHERE m.id = :id"
            ))?;
            Ok(statement.query_row(named_params! { ":id": id.to_string() }, message_row).optional()?)
        })
        .await
    }

    /// The messages of one subscription, in the order of queueing.
    pub async fn messages_of(&self, subscription: i64) -> Result<Vec<MessageRow>> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM messages m JOIN subscriptions s ON s.id = m.subscription
                 WHERE m.subscription = :subscription ORDER BY m.seq"
            ))?;
            let rows = statement.query_map(named_params! { ":subscription": subscription }, message_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// The body as it was queued, keys included; `None` when unknown or wiped.
    pub async fn message_body(&self, id: Uuid) -> Result<Option<Vec<u8>>> {
        let vault = self.vault.clone();
        self.read(move |db| {
            let stored = db
                .prepare_cached("SELECT key_id, checksum, body FROM messages WHERE id = :id AND body IS NOT NULL")?
                .query_row(named_params! { ":id": id.to_string() }, |row| stored(row, [0, 1, 2]))
                .optional()?;
            Ok(stored.map(|stored| vault.open(id, stored)).transpose()?)
        })
        .await
    }

    /// Notes the time of the wall clock, and returns what was noted before.
    pub async fn note_time(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        self.write(move |db| {
            let before = db.query_row("SELECT seen_at FROM clock", [], |row| row.get(0)).optional()?;
            db.execute(
                "INSERT INTO clock (only, seen_at) VALUES (1, :now) ON CONFLICT (only) DO UPDATE SET seen_at = :now",
                named_params! { ":now": now },
            )?;
            Ok(before)
        })
        .await
    }

    /// As if the clock had last been looked at before all time: the next start does not believe it either.
    pub async fn forget_time(&self) -> Result<()> {
        self.note_time(Timestamp::from_unix(i64::MIN)).await.map(drop)
    }
}

/// Queues a message once: an id that is there already changes nothing.
pub(super) fn insert(db: &Connection, vault: &Vault, new: &NewMessage) -> Result<()> {
    let NewMessage { message, .. } = new;
    let stored = vault.seal(message.id, &message.body)?;
    let inserted = db
        .prepare_cached(
            "INSERT INTO messages (id, subscription, type, territory, generation, queued_at, key_id, checksum, body,
                                   body_bytes, keys_hash)
             VALUES (:id, :subscription, :type, :territory, :generation, :queued_at, :key_id, :checksum, :body,
                     :body_bytes, :keys_hash)
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute(named_params! {
            ":id": message.id.to_string(), ":subscription": new.subscription, ":type": message.event,
            ":territory": new.territory, ":generation": new.generation, ":queued_at": message.queued_at,
            ":key_id": stored.key_id, ":checksum": stored.checksum, ":body": stored.body,
            ":body_bytes": message.body.len() as i64, ":keys_hash": new.keys_hash,
        })?;
    if inserted == 0 {
        return Ok(());
    }
    let seq = db.last_insert_rowid();
    let ordered = message.event.starts_with("renewal.");
    let mut statement = db.prepare_cached(
        "INSERT INTO dispatches (message, sink, subscription, ordered, next_attempt_at)
         VALUES (:message, :sink, :subscription, :ordered, :now)",
    )?;
    for sink in &new.sinks {
        statement.execute(named_params! {
            ":message": seq, ":sink": sink, ":subscription": new.subscription, ":ordered": ordered,
            ":now": message.queued_at,
        })?;
    }
    Ok(())
}
