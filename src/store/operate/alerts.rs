//! What a person must know: the alerts that stand, and the last heartbeat.

use std::fmt;

use rusqlite::named_params;

use crate::clock::Timestamp;
use crate::store::rows::{self, rows};
use crate::store::{Result, Store};

/// One thing that needs a person; the same thing has the same kind and subject every time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub kind: String,
    pub subject: String,
    pub text: String,
}

impl Alert {
    /// All kinds there are.
    pub const KINDS: [&str; 13] = [
        "damaged",
        "dead",
        "encryption",
        "orders",
        "overdue",
        "provider",
        "refused",
        "sink",
        "surprise",
        "territory",
        "unknown",
        "waiting",
        "warned",
    ];

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

/// One that stands, and since when.
#[derive(Clone, Debug)]
pub struct Raised {
    pub alert: Alert,
    pub at: Timestamp,
}

rows! {
    Alert { kind = "kind", subject = "subject", text = "text" }

    Raised { alert: Alert, at = "raised_at" }
}

/// What changed when alerts were replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertChange {
    pub raised: Vec<Alert>,
    pub cleared: Vec<Alert>,
}

impl Store {
    /// The alerts that stand.
    pub async fn alerts(&self) -> Result<Vec<Raised>> {
        self.read(|db| rows::all(db, "FROM alerts ORDER BY kind, subject", &[])).await
    }

    /// Makes these the alerts that stand, and says which were not there before and which are over. One that stood keeps its time,
    /// and says what is so now.
    pub async fn replace_alerts(&self, alerts: Vec<Alert>, now: Timestamp) -> Result<AlertChange> {
        self.write(move |db| {
            let stood: Vec<Alert> = rows::all(db, "FROM alerts ORDER BY kind, subject", &[])?;
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
