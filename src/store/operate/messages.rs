//! The ledger of messages: what was queued and when, and its payload where it is asked for.

use rusqlite::named_params;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::store::rows::{self, Body};
use crate::store::{Result, Store};

/// A message as the ledger shows it: never its body.
#[derive(Clone, Debug)]
pub struct MessageRow {
    pub id: Uuid,
    pub seq: i64,
    pub event: String,
    pub provider: String,
    pub territory: String,
    pub partner_order_number: String,
    pub subscription_id: String,
    pub generation: i64,
    pub reference: String,
    pub queued_at: Timestamp,
    pub body_bytes: i64,
    pub keys_hash: String,
    pub wiped_at: Option<Timestamp>,
}

impl Store {
    pub async fn message(&self, id: Uuid) -> Result<Option<MessageRow>> {
        self.read(move |db| {
            rows::first(
                db,
                "FROM messages m JOIN subscriptions s ON s.id = m.subscription WHERE m.id = :id",
                named_params! { ":id": id.to_string() },
            )
        })
        .await
    }

    /// The messages of one subscription, in the order of queueing.
    pub async fn messages_of(&self, subscription: i64) -> Result<Vec<MessageRow>> {
        self.read(move |db| {
            rows::all(
                db,
                "FROM messages m JOIN subscriptions s ON s.id = m.subscription
                 WHERE m.subscription = :subscription ORDER BY m.seq",
                named_params! { ":subscription": subscription },
            )
        })
        .await
    }

    /// The body as it was queued, keys included; `None` when unknown or wiped.
    pub async fn message_body(&self, id: Uuid) -> Result<Option<Vec<u8>>> {
        let vault = self.vault.clone();
        self.read(move |db| {
            let of_this = "FROM messages m WHERE m.id = :id AND m.body IS NOT NULL";
            let stored: Option<Body> = rows::first(db, of_this, named_params! { ":id": id.to_string() })?;
            Ok(stored.map(|stored| vault.open(id, stored)).transpose()?)
        })
        .await
    }
}
