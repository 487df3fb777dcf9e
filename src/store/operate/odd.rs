//! Watched subscriptions that the provider answers for, and not as it should: they are not overdue, and get nothing either.

use rusqlite::named_params;

use super::late::MOST_COUNTED;
use crate::clock::Timestamp;
use crate::store::rows::{self, rows};
use crate::store::{Result, Store};

/// How many of one provider; of both kinds together 20,000 at the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Odd {
    /// The provider does not know them: a wrong number, subscription id or territory.
    pub unknown: i64,
    /// The last answer cannot be right, and nothing was taken from it.
    pub surprises: i64,
}

rows! {
    Odd {
        unknown = "coalesce(sum(surprise IS NULL), 0)",
        surprises = "coalesce(sum(surprise IS NOT NULL), 0)",
    }
}

impl Store {
    /// Counts those that were tracked before this. Reads the odd ones and nobody else.
    pub async fn count_odd(&self, provider: &str, tracked_before: Timestamp) -> Result<Odd> {
        let provider = provider.to_owned();
        self.read(move |db| {
            rows::only(
                db,
                // The condition in brackets is the index's own, word for word.
                "FROM (SELECT surprise FROM subscriptions
                       WHERE provider = :provider AND (last_outcome = 'not_found' OR surprise IS NOT NULL)
                         AND state = 'watching' AND tracked_at <= :before LIMIT :most)",
                named_params! { ":provider": provider, ":before": tracked_before, ":most": MOST_COUNTED },
            )
        })
        .await
    }
}
