//! Which subscriptions are due: the reading half of the sweep's hot path.

use rusqlite::named_params;

use crate::choice::Lane;
use crate::clock::Timestamp;
use crate::renewal::Subscription;
use crate::store::{Result, Store, rows};

/// Where a page of due subscriptions begins.
#[derive(Clone, Debug)]
pub struct DuePage {
    pub provider: String,
    pub territory: String,
    pub lane: Lane,
    /// Rows due at or before this.
    pub until: Timestamp,
    /// Only rows behind this one: (due, row).
    pub after: (i64, i64),
    pub limit: usize,
}

impl Store {
    /// The next page of one lane and territory, most overdue first.
    pub async fn due_subscriptions(&self, page: DuePage) -> Result<Vec<Subscription>> {
        self.read(move |db| {
            rows::all(
                db,
                "FROM subscriptions
                 WHERE provider = :provider AND territory = :territory AND lane = :lane
                   AND due_at <= :until AND (due_at, id) > (:after_due, :after_id)
                 ORDER BY due_at, id LIMIT :limit",
                named_params! {
                    ":provider": page.provider, ":territory": page.territory, ":lane": page.lane.rank(),
                    ":until": page.until, ":after_due": page.after.0, ":after_id": page.after.1,
                    ":limit": page.limit as i64,
                },
            )
        })
        .await
    }

    /// When the next subscription of a provider is due; `None` when nobody is.
    pub async fn next_poll_due(&self, provider: &str, territories: Vec<String>) -> Result<Option<Timestamp>> {
        let provider = provider.to_owned();
        self.read(move |db| {
            let mut earliest: Option<Timestamp> = None;
            for territory in territories {
                for lane in Lane::ALL {
                    let due: Option<Timestamp> = rows::value(
                        db,
                        "SELECT min(due_at) FROM subscriptions
                         WHERE provider = :provider AND territory = :territory AND lane = :lane AND due_at IS NOT NULL",
                        named_params! { ":provider": provider, ":territory": territory, ":lane": lane.rank() },
                    )?;
                    earliest = earliest.into_iter().chain(due).min();
                }
            }
            Ok(earliest)
        })
        .await
    }

    /// When the next subscription of these territories whose last poll was not answered is due; looks at all of these.
    pub async fn next_retry_due(&self, provider: &str, territories: &[String]) -> Result<Option<Timestamp>> {
        let (provider, territories) = (provider.to_owned(), serde_json::Value::from(territories).to_string());
        self.read(move |db| {
            rows::value(
                db,
                "SELECT min(due_at) FROM subscriptions
                 WHERE provider = :provider AND failures > 0
                   AND territory IN (SELECT value FROM json_each(:territories))",
                named_params! { ":provider": provider, ":territories": territories },
            )
        })
        .await
    }
}
