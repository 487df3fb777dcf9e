//! Subscriptions as they are taken elsewhere: what a new database needs to go on without losing a key.

use rusqlite::named_params;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::renewal::State;
use crate::store::{Result, Store, rows};

/// One subscription with the words of an import file.
#[derive(Debug, Serialize)]
pub struct Exported {
    #[serde(skip)]
    pub row: i64,
    pub partner_order_number: String,
    pub subscription_id: String,
    /// The last one that needs nothing more: a renewal still waiting for order data, or for a sink, is found again by whoever
    /// imports this. `None`: adopted and not asked yet.
    #[serde(serialize_with = "adopt_when_unknown")]
    pub generation: Option<i64>,
    pub provider: String,
    pub territory: String,
    pub expires_at: Option<Timestamp>,
    pub state: State,
    /// The deliveries the customer has had, where the provider names them itself: objects with `reference` and `generation`.
    #[serde(skip_serializing_if = "is_none")]
    pub known: Option<Box<RawValue>>,
    /// What was completed before that and is none of these, the customer had before it was tracked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_before: Option<Timestamp>,
    pub metadata: Box<RawValue>,
}

fn is_none(known: &Option<Box<RawValue>>) -> bool {
    known.as_ref().is_none_or(|known| known.get() == "[]")
}

fn adopt_when_unknown<S: serde::Serializer>(generation: &Option<i64>, to: S) -> Result<S::Ok, S::Error> {
    match generation {
        Some(generation) => to.serialize_i64(*generation),
        None => to.serialize_str("adopt"),
    }
}

impl Store {
    /// Up to `limit` subscriptions behind the row `after`, in the order in which they were tracked.
    pub async fn export(&self, after: i64, limit: usize) -> Result<Vec<Exported>> {
        self.read(move |db| {
            rows::all(
                db,
                "FROM subscriptions s WHERE s.id > :after ORDER BY s.id LIMIT :limit",
                named_params! { ":after": after, ":limit": limit as i64 },
            )
        })
        .await
    }
}
