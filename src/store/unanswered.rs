//! Why requests had no usable answer, as the last of them told it.

use rusqlite::named_params;

use super::{Result, Store};
use crate::clock::Timestamp;

impl Store {
    /// For each provider that left a request since `begun` without a usable answer: what went wrong with the last one.
    pub async fn last_failures(&self, begun: Timestamp) -> Result<Vec<(String, String)>> {
        self.read(move |db| {
            // With max() the other columns are those of its row.
            let mut statement = db.prepare_cached(
                "SELECT provider, detail, max(at) FROM (
                     SELECT provider, last_detail AS detail, last_asked_at AS at FROM subscriptions
                     WHERE failures > 0 AND last_outcome <> 'refused'
                     UNION ALL
                     SELECT provider, last_detail, last_attempt_at FROM renewals
                     WHERE state = 'awaiting_order_data' AND unanswered > 0)
                 WHERE at >= :begun AND detail IS NOT NULL GROUP BY provider ORDER BY provider",
            )?;
            let rows = statement.query_map(named_params! { ":begun": begun }, |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}
