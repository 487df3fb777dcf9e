//! What only the metrics count. Who has waited longest takes a look at all subscriptions: ask on a connection of your own.

use rusqlite::named_params;

use super::{Result, Store};
use crate::clock::Timestamp;

/// How one provider's watched subscriptions fare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// The last answer of the one that has waited longest, or when it was tracked; not of those awaiting order data.
    pub oldest_at: Option<Timestamp>,
    /// Their term ended without a renewal.
    pub not_renewed: i64,
}

/// One sink's dispatches by state. Of the dead only those count that could still be sent again: nobody can do anything about a
/// wiped one, and what alerts on them would never end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispatchCounts {
    pub sink: String,
    pub pending: i64,
    pub delivered: i64,
    pub dead: i64,
}

impl Store {
    pub async fn answers(&self, provider: &str) -> Result<Answers> {
        let provider = provider.to_owned();
        self.read(move |db| {
            Ok(db
                .prepare_cached(
                    "SELECT min(CASE WHEN NOT EXISTS (SELECT 1 FROM renewals r WHERE r.subscription = subscriptions.id
                                                      AND r.state = 'awaiting_order_data')
                                     THEN coalesce(last_answer_at, tracked_at) END),
                            coalesce(sum(not_renewed_term = expires_at), 0)
                     FROM subscriptions WHERE provider = :provider AND state = 'watching'",
                )?
                .query_row(named_params! { ":provider": provider }, |row| {
                    Ok(Answers { oldest_at: row.get(0)?, not_renewed: row.get(1)? })
                })?)
        })
        .await
    }

    /// For each sink that ever had a dispatch, from counts that the database keeps itself but for the dead, which are few.
    pub async fn dispatch_counts(&self) -> Result<Vec<DispatchCounts>> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT sink, sum(iif(state = 'pending', count, 0)), sum(iif(state = 'delivered', count, 0)),
                        (SELECT count(*) FROM dispatches d JOIN messages m ON m.seq = d.message
                         WHERE d.state = 'dead' AND d.sink = dispatch_counts.sink AND m.wiped_at IS NULL)
                 FROM dispatch_counts GROUP BY sink ORDER BY sink",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(DispatchCounts {
                    sink: row.get(0)?,
                    pending: row.get(1)?,
                    delivered: row.get(2)?,
                    dead: row.get(3)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// When the daemon last looked at the clock; `None` on a new database.
    pub async fn noted_time(&self) -> Result<Option<Timestamp>> {
        use rusqlite::OptionalExtension;
        self.read(|db| Ok(db.query_row("SELECT seen_at FROM clock", [], |row| row.get(0)).optional()?)).await
    }
}
