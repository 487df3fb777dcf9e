//! What was delivered with a warning, and what of it the provider is still looked at for.

use std::time::Duration;

use rusqlite::named_params;

use super::late::MOST_COUNTED;
use crate::clock::Timestamp;
use crate::delivery::{Warned, Warning};
use crate::store::rows::{self, rows};
use crate::store::{Result, Store};

/// What is longer ago needs nobody's look any more.
pub const WARNED_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// Of one subscription's deliveries with a warning, the newest.
#[derive(Clone, Debug, Default)]
pub struct LastWarned {
    /// Empty: there is none.
    pub warnings: Vec<Warning>,
    /// `None`: a person has asked for it again.
    pub settled_at: Option<Timestamp>,
}

impl LastWarned {
    /// Its warnings, unless that is long ago.
    pub fn lately(&self, now: Timestamp) -> &[Warning] {
        let is_late = self.settled_at.is_none_or(|at| at > now - WARNED_FOR);
        if is_late { &self.warnings } else { &[] }
    }
}

rows! {
    Warned {
        renewals = "count(*)",
        partial = "coalesce(sum(warnings LIKE '%\"partial\"%'), 0)",
        empty = "coalesce(sum(warnings LIKE '%\"empty\"%'), 0)",
        unknown_encoding = "coalesce(sum(warnings LIKE '%\"unknown_encoding\"%'), 0)",
        lines_unmatched = "coalesce(sum(warnings LIKE '%\"lines_unmatched\"%'), 0)",
        file_not_fetched = "coalesce(sum(warnings LIKE '%\"file_not_fetched\"%'), 0)",
        order_missing = "coalesce(sum(warnings LIKE '%\"order_missing\"%'), 0)",
    }
}

impl Store {
    /// How many renewals were lately delivered with a warning and have it still; the latest 20,000 are counted.
    pub async fn count_warned(&self, provider: &str, now: Timestamp) -> Result<Warned> {
        let (provider, since) = (provider.to_owned(), now - WARNED_FOR);
        self.read(move |db| {
            rows::only(
                db,
                "FROM (SELECT warnings FROM renewals
                       WHERE provider = :provider AND warnings IS NOT NULL AND settled_at > :since
                       ORDER BY settled_at DESC LIMIT :most)",
                named_params! { ":provider": provider, ":since": since, ":most": MOST_COUNTED },
            )
        })
        .await
    }

    /// How many deliveries lack something that is still looked for, or that a person has asked for again. A term without an order is
    /// none of them: it may have been free.
    pub async fn count_lacking(&self, provider: &str) -> Result<i64> {
        let provider = provider.to_owned();
        self.read(move |db| {
            rows::value(
                db,
                "SELECT (SELECT count(*) FROM (SELECT 1 FROM renewals
                                               WHERE provider = :provider AND look_again_at IS NOT NULL
                                                 AND (warnings LIKE '%\"partial\"%' OR warnings LIKE '%\"empty\"%')
                                               LIMIT :most))
                      + (SELECT count(*) FROM (SELECT 1 FROM renewals
                                               WHERE provider = :provider AND warnings IS NOT NULL AND settled_at IS NULL
                                                 AND (warnings LIKE '%\"partial\"%' OR warnings LIKE '%\"empty\"%')
                                               LIMIT :most))",
                named_params! { ":provider": provider, ":most": MOST_COUNTED },
            )
        })
        .await
    }
}
