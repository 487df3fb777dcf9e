//! Payloads and whole subscriptions that a person wants removed, and what stays of them: the ledger.
//!
//! Rows are changed here; that no copy is left in the file is the business of `erase`.

use rusqlite::{Connection, ToSql, named_params};
use uuid::Uuid;

use super::dispatches::{Wanted, conditions, some};
use super::messages::MessageRow;
use crate::clock::Timestamp;
use crate::store::rows::{self, rows};
use crate::store::{Result, Store};

/// Which messages' payloads are meant. Empty matches everything.
#[derive(Clone, Debug, Default)]
pub struct PurgeFilter {
    pub message: Option<Uuid>,
    /// Row of the subscription.
    pub subscription: Option<i64>,
    pub sink: Option<String>,
    /// That of the message at `sink`, which must be given too.
    pub state: Option<String>,
    pub queued_before: Option<Timestamp>,
    /// Messages behind this one.
    pub after: i64,
    pub limit: usize,
}

/// A message whose payload is there, and for how many sinks it is in which state.
#[derive(Clone, Debug)]
pub struct Purgeable {
    pub message: MessageRow,
    pub dispatches: i64,
    pub pending: i64,
    pub dead: i64,
}

rows! {
    Purgeable {
        message: MessageRow,
        dispatches = "(SELECT count(*) FROM dispatches d WHERE d.message = m.seq)",
        pending = "(SELECT count(*) FROM dispatches d WHERE d.message = m.seq AND d.state = 'pending')",
        dead = "(SELECT count(*) FROM dispatches d WHERE d.message = m.seq AND d.state = 'dead')",
    }
}

/// What the ledger says of a message whose subscription was forgotten, for each sink that it was meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgottenRow {
    pub event: String,
    pub generation: i64,
    pub queued_at: Timestamp,
    pub keys_hash: String,
    pub sink: Option<String>,
    pub delivered_at: Option<Timestamp>,
    pub forgotten_at: Timestamp,
}

impl Store {
    /// Messages whose payloads could be purged, in the order of queueing.
    pub async fn purgeable(&self, filter: PurgeFilter) -> Result<Vec<Purgeable>> {
        self.read(move |db| {
            let message = filter.message.map(|id| id.to_string());
            let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
            let wanted: [Wanted<'_>; 5] = [
                (":message", "m.id = :message", some(&message)),
                (":subscription", "m.subscription = :subscription", some(&filter.subscription)),
                (":queued_before", "m.queued_at < :queued_before", some(&filter.queued_before)),
                (":sink", ":sink IN (SELECT d.sink FROM dispatches d WHERE d.message = m.seq)", some(&filter.sink)),
                (
                    ":state",
                    ":state IN (SELECT d.state FROM dispatches d WHERE d.message = m.seq AND d.sink = :sink)",
                    some(&filter.state),
                ),
            ];
            let (conditions, mut values) = conditions(wanted);
            values.extend([(":after", &filter.after as &dyn ToSql), (":limit", &limit)]);
            let found = format!(
                "FROM messages m JOIN subscriptions s ON s.id = m.subscription
                 WHERE m.seq > :after AND m.body IS NOT NULL{conditions} ORDER BY m.seq LIMIT :limit"
            );
            rows::all(db, &found, &values)
        })
        .await
    }

    /// Removes payloads; rows, times and hashes stay. What was still to be sent is dead, as "purged"; such a message is left
    /// alone unless `undelivered`. Returns how many were removed.
    pub async fn purge(&self, messages: Vec<i64>, undelivered: bool, now: Timestamp) -> Result<usize> {
        self.write(move |db| {
            let mut purged = 0;
            for seq in &messages {
                purged += purge(db, *seq, undelivered, now)?;
            }
            Ok(purged)
        })
        .await
    }

    /// Removes a subscription with its renewals, messages and dispatches, delivered or not. The ledger keeps what names nobody.
    pub async fn forget(&self, row: i64, now: Timestamp) -> Result<()> {
        self.write(move |db| forget(db, row, now)).await
    }

    /// What is left of a message whose subscription was forgotten; nothing where there is no such message.
    pub async fn forgotten(&self, id: Uuid) -> Result<Vec<ForgottenRow>> {
        self.read(move |db| {
            rows::all(
                db,
                "FROM forgotten WHERE message_id = :id ORDER BY rowid",
                named_params! { ":id": id.to_string() },
            )
        })
        .await
    }
}

pub(in crate::store) fn forget(db: &Connection, row: i64, now: Timestamp) -> Result<()> {
    db.execute(
        "INSERT INTO forgotten (message_id, type, generation, queued_at, keys_hash, sink, delivered_at, forgotten_at)
         SELECT m.id, m.type, m.generation, m.queued_at, m.keys_hash, d.sink,
                coalesce(d.first_delivered_at, d.delivered_at), :now
         FROM messages m LEFT JOIN dispatches d ON d.message = m.seq WHERE m.subscription = :id
         ORDER BY m.seq, d.id",
        named_params! { ":id": row, ":now": now },
    )?;
    db.execute("DELETE FROM subscriptions WHERE id = :id", named_params! { ":id": row })?;
    Ok(())
}

fn purge(db: &Connection, seq: i64, undelivered: bool, now: Timestamp) -> Result<usize> {
    let purged = db
        .prepare_cached(
            "UPDATE messages SET body = NULL, checksum = NULL, wiped_at = :now
             WHERE seq = :seq AND body IS NOT NULL
               AND (:undelivered OR NOT EXISTS (SELECT 1 FROM dispatches d
                                                WHERE d.message = messages.seq AND d.state = 'pending'))",
        )?
        .execute(named_params! { ":seq": seq, ":now": now, ":undelivered": undelivered })?;
    if purged > 0 {
        db.prepare_cached(
            "UPDATE dispatches SET state = 'dead', dead_at = :now, last_error = 'purged', leased_until = NULL
             WHERE message = :seq AND state = 'pending'",
        )?
        .execute(named_params! { ":seq": seq, ":now": now })?;
    }
    Ok(purged)
}
