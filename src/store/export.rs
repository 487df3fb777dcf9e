//! Subscriptions as they are taken elsewhere: what a new database needs to go on without losing a key.

use rusqlite::named_params;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Result, Store};
use crate::clock::Timestamp;
use crate::renewal::State;

/// One subscription with the words of an import file.
#[derive(Debug, Serialize)]
pub struct Exported {
    #[serde(skip)]
    pub row: i64,
    pub partner_order_number: String,
    pub subscription_id: i64,
    /// The last one that needs nothing more: a renewal still waiting for order data, or for a sink, is found again by whoever
    /// imports this. `None`: adopted and not asked yet.
    #[serde(serialize_with = "adopt_when_unknown")]
    pub generation: Option<i64>,
    pub provider: String,
    pub territory: String,
    pub expires_at: Option<Timestamp>,
    pub state: State,
    pub metadata: Box<RawValue>,
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
            let mut statement = db.prepare_cached(
                "SELECT s.id, s.partner_order_number, s.subscription_id, s.provider, s.territory, s.expires_at, s.state,
                        s.metadata,
                        CASE WHEN s.generation IS NULL THEN NULL ELSE max(0, min(s.generation,
                            coalesce((SELECT min(r.generation) - 1 FROM renewals r
                                      WHERE r.subscription = s.id AND r.state = 'awaiting_order_data'), s.generation),
                            coalesce((SELECT min(m.generation) - 1 FROM dispatches d JOIN messages m ON m.seq = d.message
                                      WHERE d.subscription = s.id AND d.state = 'pending' AND m.type = 'renewal.ready'),
                                     s.generation))) END
                 FROM subscriptions s WHERE s.id > :after ORDER BY s.id LIMIT :limit",
            )?;
            let rows = statement.query_map(named_params! { ":after": after, ":limit": limit as i64 }, |row| {
                let metadata: String = row.get(7)?;
                Ok(Exported {
                    row: row.get(0)?,
                    partner_order_number: row.get(1)?,
                    subscription_id: row.get(2)?,
                    provider: row.get(3)?,
                    territory: row.get(4)?,
                    expires_at: row.get(5)?,
                    state: row.get(6)?,
                    metadata: RawValue::from_string(metadata).map_err(|error| {
                        rusqlite::Error::FromSqlConversionFailure(7, rusqlite::types::Type::Text, error.into())
                    })?,
                    generation: row.get(8)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}
