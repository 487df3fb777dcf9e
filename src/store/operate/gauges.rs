//! What only the metrics count. Who has waited longest takes a look at all subscriptions: ask on a connection of your own.

use rusqlite::named_params;

use crate::clock::Timestamp;
use crate::store::rows::{self, rows};
use crate::store::{Result, Store};

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

rows! {
    Answers {
        oldest_at = "min(CASE WHEN NOT EXISTS (SELECT 1 FROM renewals r WHERE r.subscription = subscriptions.id
                                               AND r.state = 'awaiting_order_data')
                              THEN coalesce(last_answer_at, tracked_at) END)",
        not_renewed = "coalesce(sum(not_renewed_term = expires_at), 0)",
    }

    // From counts that the database keeps itself but for the dead, which are few.
    DispatchCounts {
        sink = "sink",
        pending = "sum(iif(state = 'pending', count, 0))",
        delivered = "sum(iif(state = 'delivered', count, 0))",
        dead = "(SELECT count(*) FROM dispatches d JOIN messages m ON m.seq = d.message
                 WHERE d.state = 'dead' AND d.sink = dispatch_counts.sink AND m.wiped_at IS NULL)",
    }
}

impl Store {
    pub async fn answers(&self, provider: &str) -> Result<Answers> {
        let provider = provider.to_owned();
        self.read(move |db| {
            rows::only(
                db,
                "FROM subscriptions WHERE provider = :provider AND state = 'watching'",
                named_params! { ":provider": provider },
            )
        })
        .await
    }

    /// For each sink that ever had a dispatch.
    pub async fn dispatch_counts(&self) -> Result<Vec<DispatchCounts>> {
        self.read(|db| rows::all(db, "FROM dispatch_counts GROUP BY sink ORDER BY sink", &[])).await
    }
}
