//! Payloads that are old enough, wiped in steps so that nobody waits long for a transaction.

use rusqlite::{Connection, named_params};

use super::super::{Result, Store};
use crate::clock::Timestamp;

/// Messages looked at in one transaction.
const STEP: usize = 500;
/// Free pages given back in one transaction: a mebibyte.
const FREED_PAGES: usize = 256;

/// What a round of wiping removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Every dispatch delivered.
    pub delivered: usize,
    /// Dead, or left behind by a sink that is no longer configured: nobody received these.
    pub undelivered: usize,
}

/// What makes a payload old.
#[derive(Clone)]
struct Bounds {
    delivered_before: Timestamp,
    dead_before: Timestamp,
    /// The sinks of the settings, as a JSON array.
    configured: String,
    now: Timestamp,
}

/// The last message of a step, in the order of queueing.
type Place = (i64, i64);

impl Store {
    /// Wipes payloads: those with every dispatch delivered before `delivered_before`, and those whose dispatches are dead, or are for
    /// none of the `configured` sinks, since before `dead_before`. A message that was never given a dispatch is kept. What was
    /// left behind is dead from then on: a sink of that name has nothing to send when it comes back, nor to wait for.
    ///
    /// The file shrinks by what became free, and the log is emptied: it still had what the file has no more. Where somebody reads
    /// the log on and on, the next round does that.
    pub async fn wipe_payloads(
        &self,
        delivered_before: Timestamp,
        dead_before: Timestamp,
        configured: Vec<String>,
        now: Timestamp,
    ) -> Result<Purged> {
        let configured = serde_json::Value::from(configured).to_string();
        let bounds = Bounds { delivered_before, dead_before, configured, now };
        let mut total = Purged::default();
        let mut after = Some((i64::MIN, 0));
        while let Some(place) = after {
            let bounds = bounds.clone();
            let (purged, last) = self.write(move |db| step(db, &bounds, place)).await?;
            total.delivered += purged.delivered;
            total.undelivered += purged.undelivered;
            after = last;
        }
        self.give_space_back().await?;
        self.empty_log().await?;
        Ok(total)
    }

    /// Shrinks the file by its free pages, a few in each transaction.
    async fn give_space_back(&self) -> Result<()> {
        let mut left = i64::MAX;
        loop {
            let free = self.write(give_back).await?;
            // A file that was made without the room for it stays as it is.
            if free == 0 || free >= left {
                return Ok(());
            }
            left = free;
        }
    }
}

/// Looks at the next few messages behind `after`; returns where to go on, if there may be more.
fn step(db: &Connection, bounds: &Bounds, after: Place) -> Result<(Purged, Option<Place>)> {
    let oldest = bounds.delivered_before.max(bounds.dead_before);
    let mut statement = db.prepare_cached(
        "SELECT queued_at, seq FROM messages
         WHERE body IS NOT NULL AND queued_at <= :oldest AND (queued_at, seq) > (:at, :seq)
         ORDER BY queued_at, seq LIMIT :limit",
    )?;
    let places = statement
        .query_map(
            named_params! { ":oldest": oldest, ":at": after.0, ":seq": after.1, ":limit": STEP as i64 },
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?
        .collect::<rusqlite::Result<Vec<Place>>>()?;
    let seqs = serde_json::Value::from(places.iter().map(|(_, seq)| *seq).collect::<Vec<_>>()).to_string();
    let purged =
        Purged { delivered: wipe_delivered(db, bounds, &seqs)?, undelivered: wipe_undelivered(db, bounds, &seqs)? };
    bury_orphans(db, bounds, &seqs)?;
    Ok((purged, places.last().copied().filter(|_| places.len() == STEP)))
}

fn wipe_delivered(db: &Connection, bounds: &Bounds, seqs: &str) -> Result<usize> {
    let mut wipe = db.prepare_cached(
        "UPDATE messages SET body = NULL, checksum = NULL, wiped_at = :now
         WHERE seq IN (SELECT value FROM json_each(:seqs)) AND body IS NOT NULL AND queued_at <= :before
           AND EXISTS (SELECT 1 FROM dispatches d WHERE d.message = messages.seq)
           AND NOT EXISTS (SELECT 1 FROM dispatches d WHERE d.message = messages.seq
                           AND (d.state <> 'delivered' OR d.delivered_at > :before))",
    )?;
    Ok(wipe.execute(named_params! { ":seqs": seqs, ":now": bounds.now, ":before": bounds.delivered_before })?)
}

fn wipe_undelivered(db: &Connection, bounds: &Bounds, seqs: &str) -> Result<usize> {
    let mut wipe = db.prepare_cached(
        "UPDATE messages SET body = NULL, checksum = NULL, wiped_at = :now
         WHERE seq IN (SELECT value FROM json_each(:seqs)) AND body IS NOT NULL AND queued_at <= :before
           AND EXISTS (SELECT 1 FROM dispatches d WHERE d.message = messages.seq AND d.state <> 'delivered')
           AND NOT EXISTS (SELECT 1 FROM dispatches d WHERE d.message = messages.seq
               AND ((d.state = 'pending' AND d.sink IN (SELECT value FROM json_each(:configured)))
                    OR d.delivered_at > :before OR d.dead_at > :before))",
    )?;
    Ok(wipe.execute(named_params! {
        ":seqs": seqs, ":now": bounds.now, ":before": bounds.dead_before, ":configured": bounds.configured,
    })?)
}

fn bury_orphans(db: &Connection, bounds: &Bounds, seqs: &str) -> Result<()> {
    db.prepare_cached(
        "UPDATE dispatches SET state = 'dead', dead_at = :now, leased_until = NULL,
                               last_error = 'its sink was not configured until the payload was wiped'
         WHERE message IN (SELECT value FROM json_each(:seqs)) AND state = 'pending'
           AND sink NOT IN (SELECT value FROM json_each(:configured))
           AND EXISTS (SELECT 1 FROM messages m WHERE m.seq = dispatches.message AND m.body IS NULL)",
    )?
    .execute(named_params! { ":seqs": seqs, ":now": bounds.now, ":configured": bounds.configured })?;
    Ok(())
}

/// Returns how many pages are still free.
fn give_back(db: &Connection) -> Result<i64> {
    // Frees one page a step, however many it was told.
    let mut vacuum = db.prepare_cached(&format!("PRAGMA incremental_vacuum({FREED_PAGES})"))?;
    let mut freed = vacuum.query([])?;
    while freed.next()?.is_some() {}
    Ok(db.query_row("PRAGMA freelist_count", [], |row| row.get(0))?)
}
