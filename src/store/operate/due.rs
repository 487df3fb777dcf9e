//! How much is due, and why it was not done: what a one-shot run tells a person. Not for a loop.

use rusqlite::named_params;

use crate::clock::Timestamp;
use crate::store::rows::{self, rows};
use crate::store::{Result, Store};

/// How much is due, over all providers and sinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DueCounts {
    pub polls: i64,
    pub order_data: i64,
    pub dispatches: i64,
}

/// Renewals that are asked for by some time.
#[derive(Clone, Copy, Debug)]
pub struct RenewalsDue {
    pub count: i64,
    /// When the next of them is.
    pub next_at: Option<Timestamp>,
}

rows! {
    RenewalsDue { count = "count(*)", next_at = "min(next_attempt_at)" }
}

/// What went wrong with the last request that had no usable answer.
#[derive(Clone, Debug)]
pub struct LastFailure {
    pub provider: String,
    pub detail: String,
    pub at: Timestamp,
}

rows! {
    // With max() the other columns are those of its row.
    LastFailure { provider = "provider", detail = "detail", at = "max(at)" }
}

impl Store {
    /// Counts what is due by `until`, over all providers and sinks. Walks the index of due subscriptions.
    pub async fn count_due(&self, until: Timestamp) -> Result<DueCounts> {
        self.read(move |db| {
            let count = |query| rows::value(db, query, named_params! { ":until": until });
            Ok(DueCounts {
                polls: count("SELECT count(*) FROM subscriptions WHERE due_at <= :until")?,
                order_data: count(
                    "SELECT (SELECT count(*) FROM renewals WHERE state = 'awaiting_order_data' AND next_attempt_at <= :until)
                          + (SELECT count(*) FROM renewals WHERE look_again_at <= :until)",
                )?,
                dispatches: count(
                    "SELECT count(*) FROM dispatches WHERE state = 'pending' AND next_attempt_at <= :until",
                )?,
            })
        })
        .await
    }

    /// How many renewals, over all providers, are asked for by `until`, and when the next of them is.
    pub async fn renewals_due(&self, until: Timestamp) -> Result<RenewalsDue> {
        self.read(move |db| {
            rows::only(
                db,
                "FROM renewals WHERE state = 'awaiting_order_data' AND next_attempt_at <= :until",
                named_params! { ":until": until },
            )
        })
        .await
    }

    /// How many dispatches of these sinks are due by `until`.
    pub async fn count_dispatches_due(&self, sinks: &[&str], until: Timestamp) -> Result<i64> {
        let sinks = serde_json::json!(sinks).to_string();
        self.read(move |db| {
            rows::value(
                db,
                "SELECT count(*) FROM dispatches WHERE state = 'pending' AND next_attempt_at <= :until
                   AND sink IN (SELECT value FROM json_each(:sinks))",
                named_params! { ":until": until, ":sinks": sinks },
            )
        })
        .await
    }

    /// For each provider that left a request since `begun` without a usable answer: what went wrong with the last one.
    pub async fn last_failures(&self, begun: Timestamp) -> Result<Vec<LastFailure>> {
        self.read(move |db| {
            rows::all(
                db,
                "FROM (
                     SELECT provider, last_detail AS detail, last_asked_at AS at FROM subscriptions
                     WHERE failures > 0 AND last_outcome <> 'refused'
                     UNION ALL
                     SELECT provider, last_detail, last_attempt_at FROM renewals
                     WHERE state = 'awaiting_order_data' AND unanswered > 0)
                 WHERE at >= :begun AND detail IS NOT NULL GROUP BY provider ORDER BY provider",
                named_params! { ":begun": begun },
            )
        })
        .await
    }
}
