//! Payloads that are old enough, wiped in steps so that nobody waits long for a transaction.

use rusqlite::{Connection, named_params};

use crate::clock::Timestamp;
use crate::store::rows::{self, rows};
use crate::store::{Result, Store};

/// Messages looked at in one transaction, and about how many bytes of payloads it wipes.
const STEP: usize = 500;
const STEP_BYTES: i64 = 4 << 20;

/// What a round of wiping removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Every dispatch delivered.
    pub delivered: usize,
    /// Dead, or left behind by a sink that is no longer configured: not every sink received these.
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

/// A payload that is still there.
struct Kept {
    queued_at: i64,
    seq: i64,
    body_bytes: i64,
}

impl Kept {
    fn place(&self) -> Place {
        (self.queued_at, self.seq)
    }
}

// The length of a body is known without reading it; `body_bytes` lies behind it.
rows! {
    Kept { queued_at = "queued_at", seq = "seq", body_bytes = "length(body)" }
}

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
        self.database.shrink().await?;
        Ok(total)
    }
}

/// Looks at the next few messages behind `after`; returns where to go on, if there may be more.
fn step(db: &Connection, bounds: &Bounds, after: Place) -> Result<(Purged, Option<Place>)> {
    let oldest = bounds.delivered_before.max(bounds.dead_before);
    let found: Vec<Kept> = rows::all(
        db,
        "FROM messages
         WHERE body IS NOT NULL AND queued_at <= :oldest AND (queued_at, seq) > (:at, :seq)
         ORDER BY queued_at, seq LIMIT :limit",
        named_params! { ":oldest": oldest, ":at": after.0, ":seq": after.1, ":limit": STEP as i64 },
    )?;
    let (mut purged, mut bytes) = (Purged::default(), 0);
    for kept in &found {
        let wiped = wipe(db, bounds, kept.seq)?;
        purged.delivered += wiped.delivered;
        purged.undelivered += wiped.undelivered;
        bytes += if wiped == Purged::default() { 0 } else { kept.body_bytes };
        if bytes >= STEP_BYTES {
            return Ok((purged, Some(kept.place())));
        }
    }
    Ok((purged, found.last().map(Kept::place).filter(|_| found.len() == STEP)))
}

/// Wipes a message if it is old enough. One at a time: an UPDATE of many keeps each page that it frees in memory until it is
/// through.
fn wipe(db: &Connection, bounds: &Bounds, seq: i64) -> Result<Purged> {
    let wiped = Purged { delivered: wipe_delivered(db, bounds, seq)?, undelivered: wipe_undelivered(db, bounds, seq)? };
    if wiped.undelivered > 0 {
        bury_orphans(db, bounds, seq)?;
    }
    Ok(wiped)
}

fn wipe_delivered(db: &Connection, bounds: &Bounds, seq: i64) -> Result<usize> {
    let mut wipe = db.prepare_cached(
        "UPDATE messages SET body = NULL, checksum = NULL, wiped_at = :now
         WHERE seq = :seq AND body IS NOT NULL AND queued_at <= :before
           AND EXISTS (SELECT 1 FROM dispatches d WHERE d.message = messages.seq)
           AND NOT EXISTS (SELECT 1 FROM dispatches d WHERE d.message = messages.seq
                           AND (d.state <> 'delivered' OR d.delivered_at > :before))",
    )?;
    Ok(wipe.execute(named_params! { ":seq": seq, ":now": bounds.now, ":before": bounds.delivered_before })?)
}

fn wipe_undelivered(db: &Connection, bounds: &Bounds, seq: i64) -> Result<usize> {
    let mut wipe = db.prepare_cached(
        "UPDATE messages SET body = NULL, checksum = NULL, wiped_at = :now
         WHERE seq = :seq AND body IS NOT NULL AND queued_at <= :before
           AND EXISTS (SELECT 1 FROM dispatches d WHERE d.message = messages.seq AND d.state <> 'delivered')
           AND NOT EXISTS (SELECT 1 FROM dispatches d WHERE d.message = messages.seq
               AND ((d.state = 'pending' AND d.sink IN (SELECT value FROM json_each(:configured)))
                    OR d.delivered_at > :before OR d.dead_at > :before))",
    )?;
    Ok(wipe.execute(named_params! {
        ":seq": seq, ":now": bounds.now, ":before": bounds.dead_before, ":configured": bounds.configured,
    })?)
}

/// What was left behind by sinks that are not configured, of a message that was just wiped.
fn bury_orphans(db: &Connection, bounds: &Bounds, seq: i64) -> Result<()> {
    db.prepare_cached(
        "UPDATE dispatches SET state = 'dead', dead_at = :now, leased_until = NULL,
                               last_error = 'its sink was not configured until the payload was wiped'
         WHERE message = :seq AND state = 'pending' AND sink NOT IN (SELECT value FROM json_each(:configured))",
    )?
    .execute(named_params! { ":seq": seq, ":now": bounds.now, ":configured": bounds.configured })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixtures;

    const NOW: Timestamp = Timestamp::constant(1_795_291_200);

    #[tokio::test]
    async fn large_payloads_are_wiped_a_few_at_a_time() {
        let (store, _dir) = fixtures::opened();
        let insert = "INSERT INTO subscriptions (provider, partner_order_number, subscription_id, is_numbered, territory, tracked_at,
                                                 tracked_by, lane)
                      VALUES ('nexway', 'P', '1', 1, 'eu', 0, 'track', 3);
                      WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
                      INSERT INTO messages (id, subscription, type, territory, generation, reference, queued_at, checksum, body, body_bytes,
                                            keys_hash)
                      SELECT i, 1, 'renewal.ready', 'eu', i, 'P-' || i, 0, x'00', zeroblob(1048576), 1048576, '' FROM n;
                      INSERT INTO dispatches (message, sink, subscription, ordered, state, next_attempt_at, delivered_at)
                      SELECT seq, 'shop', 1, 1, 'delivered', 0, 0 FROM messages";
        store.write(move |db| Ok(db.execute_batch(insert)?)).await.unwrap();
        let bounds = Bounds { delivered_before: NOW, dead_before: NOW, configured: "[\"shop\"]".to_owned(), now: NOW };
        let (first, next) = store.write(move |db| step(db, &bounds, (i64::MIN, 0))).await.unwrap();
        assert_eq!((first, next), (Purged { delivered: 4, undelivered: 0 }, Some((0, 4))));
        let rest = store.wipe_payloads(NOW, NOW, vec!["shop".to_owned()], NOW).await.unwrap();
        assert_eq!(rest, Purged { delivered: 46, undelivered: 0 });
    }
}
