//! What a person must know: the alerts that stand, and the last heartbeat. What is due at all.

use std::fmt;

use rusqlite::named_params;

use super::{Result, Store};
use crate::clock::Timestamp;

/// One thing that needs a person; the same thing has the same kind and subject every time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub kind: String,
    pub subject: String,
    pub text: String,
}

impl Alert {
    /// All kinds there are.
    pub const KINDS: [&str; 10] =
        ["damaged", "dead", "encryption", "overdue", "refused", "sink", "surprise", "territory", "unknown", "waiting"];

    pub fn new(kind: &str, subject: &str, text: &str) -> Self {
        debug_assert!(Self::KINDS.contains(&kind), "{kind} is not among the kinds");
        Self { kind: kind.to_owned(), subject: subject.to_owned(), text: text.to_owned() }
    }

    /// Whether it is about the same thing; the text may tell another number.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.kind, &self.subject) == (&other.kind, &other.subject)
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.kind, self.subject, self.text)
    }
}

/// What changed when alerts were replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertChange {
    pub raised: Vec<Alert>,
    pub cleared: Vec<Alert>,
}

/// How much is due, over all providers and sinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DueCounts {
    pub polls: i64,
    pub order_data: i64,
    pub dispatches: i64,
}

impl Store {
    /// Counts what is due by `until`. Walks the index of due subscriptions: for a person, not for a loop.
    pub async fn count_due(&self, until: Timestamp) -> Result<DueCounts> {
        self.read(move |db| {
            let count = |query: &str| -> Result<i64> {
                Ok(db.prepare_cached(query)?.query_row(named_params! { ":until": until }, |row| row.get(0))?)
            };
            Ok(DueCounts {
                polls: count("SELECT count(*) FROM subscriptions WHERE due_at <= :until")?,
                order_data: count(
                    "SELECT count(*) FROM renewals WHERE state = 'awaiting_order_data' AND next_attempt_at <= :until",
                )?,
                dispatches: count(
                    "SELECT count(*) FROM dispatches WHERE state = 'pending' AND next_attempt_at <= :until",
                )?,
            })
        })
        .await
    }

    /// How many dead dispatches each sink has that could still be sent.
    pub async fn dead_messages(&self) -> Result<Vec<(String, i64)>> {
        self.read(|db| {
            let mut sinks = db.prepare_cached(
                "SELECT d.sink, count(*) FROM dispatches d JOIN messages m ON m.seq = d.message
                 WHERE d.state = 'dead' AND m.body IS NOT NULL GROUP BY d.sink ORDER BY d.sink",
            )?;
            let rows = sinks.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// The alerts that stand, and since when.
    pub async fn alerts(&self) -> Result<Vec<(Alert, Timestamp)>> {
        self.read(|db| {
            let mut alerts =
                db.prepare_cached("SELECT kind, subject, text, raised_at FROM alerts ORDER BY kind, subject")?;
            let rows = alerts.query_map([], |row| {
                Ok((Alert { kind: row.get(0)?, subject: row.get(1)?, text: row.get(2)? }, row.get(3)?))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Makes these the alerts that stand, and says which were not there before and which are over. One that stood keeps its time,
    /// and says what is so now.
    pub async fn replace_alerts(&self, alerts: Vec<Alert>, now: Timestamp) -> Result<AlertChange> {
        self.write(move |db| {
            let mut statement = db.prepare_cached("SELECT kind, subject, text FROM alerts ORDER BY kind, subject")?;
            let stood = statement
                .query_map([], |row| Ok(Alert { kind: row.get(0)?, subject: row.get(1)?, text: row.get(2)? }))?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let missing = |from: &[Alert], one: &Alert| !from.iter().any(|other| other.is_same(one));
            let change = AlertChange {
                raised: alerts.iter().filter(|alert| missing(&stood, alert)).cloned().collect(),
                cleared: stood.iter().filter(|alert| missing(&alerts, alert)).cloned().collect(),
            };
            for alert in &change.cleared {
                db.execute(
                    "DELETE FROM alerts WHERE kind = :kind AND subject = :subject",
                    named_params! { ":kind": alert.kind, ":subject": alert.subject },
                )?;
            }
            for alert in &alerts {
                db.execute(
                    "INSERT INTO alerts (kind, subject, text, raised_at) VALUES (:kind, :subject, :text, :now)
                     ON CONFLICT (kind, subject) DO UPDATE SET text = excluded.text WHERE text <> excluded.text",
                    named_params! {
                        ":kind": alert.kind, ":subject": alert.subject, ":text": alert.text, ":now": now,
                    },
                )?;
            }
            Ok(change)
        })
        .await
    }

    /// When the last heartbeat went out, here or in another process.
    pub async fn last_heartbeat(&self) -> Result<Option<Timestamp>> {
        self.read(|db| Ok(db.query_row("SELECT max(sent_at) FROM heartbeat", [], |row| row.get(0))?)).await
    }

    pub async fn note_heartbeat(&self, now: Timestamp) -> Result<()> {
        self.write(move |db| {
            db.execute(
                "INSERT INTO heartbeat (only, sent_at) VALUES (1, :now) ON CONFLICT (only) DO UPDATE SET sent_at = :now",
                named_params! { ":now": now },
            )?;
            Ok(())
        })
        .await
    }
}
