//! Messages and their dispatches: what is in the outbox. Bodies, and the keys in them, only where they are asked for.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::store::{self, DispatchRow, ForgottenRow, MessageRow, QueueFilter, Store};

/// A message as the ledger shows it: never its body.
#[derive(Serialize, ToSchema)]
pub struct Message {
    #[schema(value_type = String, format = "uuid")]
    pub id: Uuid,
    #[serde(rename = "type")]
    pub event: String,
    pub provider: String,
    pub territory: String,
    pub partner_order_number: String,
    pub subscription_id: String,
    pub generation: i64,
    /// The provider's name of the delivery; empty for what is about none.
    pub reference: String,
    pub queued_at: Timestamp,
    pub body_bytes: i64,
    pub keys_hash: String,
    pub wiped_at: Option<Timestamp>,
}

impl From<MessageRow> for Message {
    fn from(row: MessageRow) -> Self {
        Self {
            id: row.id,
            event: row.event,
            provider: row.provider,
            territory: row.territory,
            partner_order_number: row.partner_order_number,
            subscription_id: row.subscription_id,
            generation: row.generation,
            reference: row.reference,
            queued_at: row.queued_at,
            body_bytes: row.body_bytes,
            keys_hash: row.keys_hash,
            wiped_at: row.wiped_at,
        }
    }
}

/// A dispatch as `queue list` shows it.
#[derive(Serialize, ToSchema)]
pub struct Dispatch {
    #[schema(value_type = String, format = "uuid")]
    pub id: Uuid,
    #[serde(rename = "type")]
    pub event: String,
    pub sink: String,
    pub state: String,
    pub provider: String,
    pub territory: String,
    pub partner_order_number: String,
    pub subscription_id: String,
    pub generation: i64,
    /// The provider's name of the delivery; empty for what is about none.
    pub reference: String,
    pub queued_at: Timestamp,
    pub attempts: u32,
    pub next_attempt_at: Option<Timestamp>,
    pub last_attempt_at: Option<Timestamp>,
    pub last_error: Option<String>,
    /// What the receiver said besides, its beginning and without licence keys; gone with the payload.
    pub last_answer: Option<String>,
    pub leased_until: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
    pub dead_at: Option<Timestamp>,
    /// How often a person had it sent again, and when last.
    pub replays: u32,
    pub replayed_at: Option<Timestamp>,
    /// Of one that was sent again; `delivered_at` is then the last time.
    pub first_delivered_at: Option<Timestamp>,
    /// The message's payload is gone since.
    pub wiped_at: Option<Timestamp>,
}

impl From<DispatchRow> for Dispatch {
    fn from(row: DispatchRow) -> Self {
        Self {
            id: row.id,
            event: row.event,
            sink: row.sink,
            state: row.state,
            provider: row.provider,
            territory: row.territory,
            partner_order_number: row.partner_order_number,
            subscription_id: row.subscription_id,
            generation: row.generation,
            reference: row.reference,
            queued_at: row.queued_at,
            attempts: row.attempts,
            next_attempt_at: row.next_attempt_at,
            last_attempt_at: row.last_attempt_at,
            last_error: row.last_error,
            last_answer: row.last_answer,
            leased_until: row.leased_until,
            delivered_at: row.delivered_at,
            dead_at: row.dead_at,
            replays: row.replays,
            replayed_at: row.replayed_at,
            first_delivered_at: row.first_delivered_at,
            wiped_at: row.wiped_at,
        }
    }
}

/// What `queue list --json` and `queue dead --json` print.
#[derive(Serialize, ToSchema)]
pub struct DispatchPage {
    pub items: Vec<Dispatch>,
    /// Asks for the next page; `null` on the last.
    pub next_cursor: Option<String>,
}

impl DispatchPage {
    /// One page of what `filter` finds.
    pub async fn read(filter: QueueFilter, store: &Store) -> Result<Self, store::Error> {
        let limit = filter.limit;
        let mut rows = store.dispatches(QueueFilter { limit: limit + 1, ..filter }).await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|last| last.row.to_string());
        Ok(Self { items: rows.into_iter().map(Dispatch::from).collect(), next_cursor })
    }
}

/// What `queue show --json` prints.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageShown)]
pub struct Shown {
    pub message: Message,
    pub dispatches: Vec<Dispatch>,
    /// The CloudEvent as stored. Only where it is asked for; then `null` when it is wiped.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub body: Option<Option<Box<RawValue>>>,
}

/// What the ledger says of a message whose subscription was forgotten, for each sink that it was meant for.
#[derive(Serialize)]
pub struct Forgotten {
    #[serde(rename = "type")]
    pub event: String,
    pub generation: i64,
    pub queued_at: Timestamp,
    pub keys_hash: String,
    pub sink: Option<String>,
    pub delivered_at: Option<Timestamp>,
    pub forgotten_at: Timestamp,
}

impl From<ForgottenRow> for Forgotten {
    fn from(row: ForgottenRow) -> Self {
        Self {
            event: row.event,
            generation: row.generation,
            queued_at: row.queued_at,
            keys_hash: row.keys_hash,
            sink: row.sink,
            delivered_at: row.delivered_at,
            forgotten_at: row.forgotten_at,
        }
    }
}

/// A stored body, byte for byte.
pub fn event(body: Vec<u8>) -> Result<Box<RawValue>, String> {
    let broken = || "the stored body is not JSON".to_owned();
    String::from_utf8(body).ok().and_then(|text| RawValue::from_string(text).ok()).ok_or_else(broken)
}
