//! The built-in queue: messages handed to a consumer for a while, and taken off it.

use std::time::Duration;

use rusqlite::{Connection, named_params};
use uuid::Uuid;

use super::take::{ELIGIBLE, Found, Opened, READABLE, open};
use crate::clock::Timestamp;
use crate::delivery::Message;
use crate::store::{Result, Store, rows};
use crate::vault::Vault;

/// A lease that began further ahead than this was given under a wrong clock, and is over. Small corrections of the clock end none.
const CLOCK_STEP: Duration = Duration::from_secs(60);

/// A message handed to a consumer of the built-in queue until `until`.
#[derive(Clone, Debug)]
pub struct Leased {
    pub message: Message,
    pub until: Timestamp,
}

impl Store {
    /// Leases up to `max` messages of a built-in queue, longest queued first. Until the lease is over nobody else gets them,
    /// nor a later one about a delivery of their subscriptions. The leases are on disk when this returns.
    pub async fn lease(&self, sink: &str, max: usize, lease: Duration, now: Timestamp) -> Result<Vec<Leased>> {
        let (sink, vault) = (sink.to_owned(), self.vault.clone());
        let until = now + lease;
        self.write(move |db| {
            let rows = loop {
                let Opened { attempts, damaged } = available(db, &vault, &sink, max, now)?;
                if !attempts.is_empty() || damaged == 0 {
                    break attempts;
                }
            };
            let mut take = db.prepare_cached(
                "UPDATE dispatches SET leased_until = :until, last_attempt_at = :now, attempts = :number
                 WHERE id = :id AND state = 'pending'",
            )?;
            for row in &rows {
                take.execute(named_params! {
                    ":until": until, ":now": now, ":id": row.dispatch, ":number": row.number,
                })?;
            }
            Ok(rows.into_iter().map(|row| Leased { message: row.message, until }).collect())
        })
        .await
    }

    /// Ends the leases of messages that could not be handed over: whoever asks next gets them. One that somebody else holds by
    /// now is left alone.
    pub async fn release(&self, sink: &str, leased: &[Leased]) -> Result<()> {
        let sink = sink.to_owned();
        let leases: Vec<_> = leased.iter().map(|one| (one.message.id.to_string(), one.until)).collect();
        self.write(move |db| {
            let mut release = db.prepare_cached(
                "UPDATE dispatches SET leased_until = NULL
                 WHERE state = 'pending' AND sink = :sink AND leased_until = :until
                   AND message = (SELECT seq FROM messages WHERE id = :id)",
            )?;
            for (id, until) in &leases {
                release.execute(named_params! { ":sink": sink, ":id": id, ":until": until })?;
            }
            Ok(())
        })
        .await
    }

    /// Marks leased messages of a built-in queue delivered; the lease may be over. Acknowledging twice changes nothing.
    /// Returns the ids that this queue does not know; if there are any, nothing is acknowledged.
    pub async fn acknowledge(&self, sink: &str, ids: Vec<Uuid>, now: Timestamp) -> Result<Vec<Uuid>> {
        let sink = sink.to_owned();
        self.write(move |db| {
            let known = |id: &Uuid| {
                rows::exists(
                    db,
                    "SELECT 1 FROM dispatches d JOIN messages m ON m.seq = d.message WHERE m.id = :id AND d.sink = :sink",
                    named_params! { ":id": id.to_string(), ":sink": sink },
                )
            };
            let mut unknown = Vec::new();
            for id in &ids {
                if !known(id)? {
                    unknown.push(*id);
                }
            }
            if unknown.is_empty() {
                for id in &ids {
                    acknowledge(db, &sink, *id, now)?;
                }
            }
            Ok(unknown)
        })
        .await
    }
}

fn available(db: &Connection, vault: &Vault, sink: &str, max: usize, now: Timestamp) -> Result<Opened> {
    // In the order of the index: however many wait, only those that are taken are read.
    let available = format!(
        "FROM dispatches d JOIN messages m ON m.seq = d.message JOIN subscriptions s ON s.id = d.subscription
         WHERE {ELIGIBLE} AND {READABLE} AND m.body IS NOT NULL
           AND (d.leased_until IS NULL OR d.leased_until <= :now OR d.last_attempt_at > :now + :clock_step)
         ORDER BY d.next_attempt_at, d.id LIMIT :max"
    );
    let mut statement = rows::select::<Found>(db, &available)?;
    let rows = statement.query(named_params! {
        ":sink": sink, ":now": now, ":max": max as i64, ":clock_step": CLOCK_STEP.as_secs() as i64,
        ":current_key": vault.current_id(), ":previous_key": vault.previous_id(),
    })?;
    open(db, vault, rows, now)
}

fn acknowledge(db: &Connection, sink: &str, id: Uuid, now: Timestamp) -> Result<()> {
    db.prepare_cached(
        "UPDATE dispatches SET state = 'delivered', delivered_at = :now, leased_until = NULL, last_error = NULL,
                               last_answer = NULL
         WHERE state = 'pending' AND sink = :sink AND message = (SELECT seq FROM messages WHERE id = :id)",
    )?
    .execute(named_params! { ":id": id.to_string(), ":sink": sink, ":now": now })?;
    Ok(())
}
