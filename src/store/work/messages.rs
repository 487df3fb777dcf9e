//! Queueing: a message and its dispatches enter the outbox together.

use rusqlite::{Connection, named_params};

use crate::clock::Timestamp;
use crate::delivery::Message;
use crate::store::Result;
use crate::vault::Vault;

/// A message to be queued with one dispatch for each sink.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub message: Message,
    /// Row of the subscription.
    pub subscription: i64,
    pub territory: String,
    pub generation: i64,
    /// Of the delivery; empty for what is about none.
    pub reference: String,
    pub keys_hash: String,
    pub sinks: Vec<String>,
}

/// Queues a message once: an id that is there already changes nothing.
pub(in crate::store) fn insert(db: &Connection, vault: &Vault, new: &NewMessage) -> Result<()> {
    let NewMessage { message, .. } = new;
    let stored = vault.seal(message.id, &message.body)?;
    let inserted = db
        .prepare_cached(
            "INSERT INTO messages (id, subscription, type, territory, generation, reference, queued_at, key_id, checksum, body,
                                   body_bytes, keys_hash)
             VALUES (:id, :subscription, :type, :territory, :generation, :reference, :queued_at, :key_id, :checksum, :body,
                     :body_bytes, :keys_hash)
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute(named_params! {
            ":id": message.id.to_string(), ":subscription": new.subscription, ":type": message.event,
            ":territory": new.territory, ":generation": new.generation, ":reference": new.reference,
            ":queued_at": message.queued_at,
            ":key_id": stored.key_id, ":checksum": stored.checksum, ":body": stored.body,
            ":body_bytes": message.body.len() as i64, ":keys_hash": new.keys_hash,
        })?;
    if inserted == 0 {
        return Ok(());
    }
    let seq = db.last_insert_rowid();
    // What a customer gets, or why it does not come. Nothing else may hold that up.
    let ordered = !new.reference.is_empty();
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

/// From now on it waits, and the messages behind it do not.
pub(in crate::store) fn mark_damaged(db: &Connection, seq: i64, now: Timestamp) -> Result<()> {
    db.prepare_cached("UPDATE messages SET damaged_at = :now WHERE seq = :seq AND damaged_at IS NULL")?
        .execute(named_params! { ":seq": seq, ":now": now })?;
    Ok(())
}
