//! The outbox: messages with their dispatches, and what is kept of them.

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use uuid::Uuid;

use super::renewals::message_id;
use super::{Result, Store};
use crate::clock::Timestamp;
use crate::delivery::Message;

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

/// What a round of wiping removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Every dispatch delivered.
    pub delivered: usize,
    /// Dead, or left behind by a sink that is no longer configured: nobody received these.
    pub undelivered: usize,
}

const COLUMNS: &str = "m.id, m.seq, m.type, s.provider, m.territory, s.partner_order_number, s.subscription_id, \
     m.generation, m.queued_at, m.body_bytes, m.keys_hash, m.wiped_at";

fn message_row(row: &Row<'_>) -> rusqlite::Result<MessageRow> {
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

    /// The stored bytes, keys included; `None` when unknown or wiped.
    pub async fn message_body(&self, id: Uuid) -> Result<Option<Vec<u8>>> {
        self.read(move |db| {
            Ok(db
                .prepare_cached("SELECT body FROM messages WHERE id = :id")?
                .query_row(named_params! { ":id": id.to_string() }, |row| row.get(0))
                .optional()?
                .flatten())
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

    /// Wipes payloads: those with every dispatch delivered before `delivered_before`, and those whose dispatches are dead, or are for
    /// none of the `configured` sinks, since before `dead_before`. A message that was never given a dispatch is kept. What was
    /// left behind is dead from then on: a sink of that name has nothing to send when it comes back, nor to wait for.
    pub async fn wipe_payloads(
        &self,
        delivered_before: Timestamp,
        dead_before: Timestamp,
        configured: Vec<String>,
        now: Timestamp,
    ) -> Result<Purged> {
        let configured = serde_json::Value::from(configured).to_string();
        self.write(move |db| {
            let delivered = db.execute(
                "UPDATE messages SET body = NULL, wiped_at = :now
                 WHERE body IS NOT NULL AND queued_at <= :before
                   AND EXISTS (SELECT 1 FROM dispatches d WHERE d.message = messages.seq)
                   AND NOT EXISTS (SELECT 1 FROM dispatches d WHERE d.message = messages.seq
                                   AND (d.state <> 'delivered' OR d.delivered_at > :before))",
                named_params! { ":now": now, ":before": delivered_before },
            )?;
            let undelivered = db.execute(
                "UPDATE messages SET body = NULL, wiped_at = :now
                 WHERE body IS NOT NULL AND queued_at <= :before
                   AND EXISTS (SELECT 1 FROM dispatches d WHERE d.message = messages.seq AND d.state <> 'delivered')
                   AND NOT EXISTS (SELECT 1 FROM dispatches d WHERE d.message = messages.seq
                       AND ((d.state = 'pending' AND d.sink IN (SELECT value FROM json_each(:configured)))
                            OR d.delivered_at > :before OR d.dead_at > :before))",
                named_params! { ":now": now, ":before": dead_before, ":configured": configured },
            )?;
            db.execute(
                "UPDATE dispatches SET state = 'dead', dead_at = :now, leased_until = NULL,
                                       last_error = 'its sink was not configured until the payload was wiped'
                 WHERE state = 'pending' AND sink NOT IN (SELECT value FROM json_each(:configured))
                   AND EXISTS (SELECT 1 FROM messages m WHERE m.seq = dispatches.message AND m.body IS NULL)",
                named_params! { ":now": now, ":configured": configured },
            )?;
            // Frees one page a step, however many it was told.
            let mut vacuum = db.prepare_cached("PRAGMA incremental_vacuum(1000)")?;
            let mut freed = vacuum.query([])?;
            while freed.next()?.is_some() {}
            Ok(Purged { delivered, undelivered })
        })
        .await
    }
}

/// Queues a message once: an id that is there already changes nothing.
pub(super) fn insert(db: &Connection, new: &NewMessage) -> Result<()> {
    let NewMessage { message, .. } = new;
    let inserted = db
        .prepare_cached(
            "INSERT INTO messages (id, subscription, type, territory, generation, queued_at, body, body_bytes, keys_hash)
             VALUES (:id, :subscription, :type, :territory, :generation, :queued_at, :body, :body_bytes, :keys_hash)
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute(named_params! {
            ":id": message.id.to_string(), ":subscription": new.subscription, ":type": message.event,
            ":territory": new.territory, ":generation": new.generation, ":queued_at": message.queued_at,
            ":body": message.body, ":body_bytes": message.body.len() as i64, ":keys_hash": new.keys_hash,
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
