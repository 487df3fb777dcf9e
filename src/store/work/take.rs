//! What is due for one sink, in the order of its subscriptions: taken with its attempt on disk before it is made.

use std::time::Duration;

use rusqlite::{Connection, Rows, named_params};
use uuid::Uuid;

use super::messages::mark_damaged;
use crate::clock::Timestamp;
use crate::delivery::Message;
use crate::retry;
use crate::store::rows::{self, Body, Columns, rows};
use crate::store::{Result, Store};
use crate::vault::{self, Vault};

/// How many are taken, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// So many at the most, in the order in which they are due.
    UpTo(usize),
    /// So many, to see how a sink in trouble is doing: first those of subscriptions that have not failed there.
    Probe(usize),
}

/// A dispatch taken for publishing: its attempt is on disk already.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub dispatch: i64,
    pub message: Message,
    pub subscription: i64,
    /// Whom it is about, for people: the delivery, or where it is about none the order, and the subscription's id.
    pub order_number: String,
    pub subscription_id: String,
    /// This attempt's number, from 1.
    pub number: u32,
    pub failing_seconds: i64,
    /// The last attempt that counted against the message.
    pub failed_at: Option<Timestamp>,
    /// The attempt before this one, whatever it came to.
    pub previous_at: Option<Timestamp>,
}

/// Pending, and about no delivery or the first one of its subscription: the order is kept by never looking past that one. A damaged message may
/// never be whole again: it holds up nobody. One whose key is not given does; that is over once it is.
pub(super) const ELIGIBLE: &str = "d.sink = :sink AND d.state = 'pending'
    AND (d.ordered = 0 OR NOT EXISTS (
         SELECT 1 FROM dispatches e
         WHERE e.sink = d.sink AND e.subscription = d.subscription AND e.state = 'pending' AND e.ordered = 1
           AND e.message < d.message
           AND NOT EXISTS (SELECT 1 FROM messages b WHERE b.seq = e.message AND b.damaged_at IS NOT NULL)))";

/// Whole as far as anybody knows, and plain or encrypted with a key that is given.
pub(super) const READABLE: &str =
    "m.damaged_at IS NULL AND (m.key_id IS NULL OR m.key_id = :current_key OR m.key_id = :previous_key)";

/// Nothing of its subscription that waits for this sink was tried yet.
const UNTRIED: &str = "d.last_attempt_at IS NULL AND NOT EXISTS (
    SELECT 1 FROM dispatches t
    WHERE t.sink = d.sink AND t.subscription = d.subscription AND t.state = 'pending' AND t.last_attempt_at IS NOT NULL)";

/// A probe is one of so many: finding them takes a few milliseconds, however many wait behind them.
const PROBED_AMONG: usize = 1000;

/// Bodies taken at once, and in stock when more are taken; one more may begin below it. A licence file may have 16 MiB.
pub const MOST_BODY_BYTES: usize = 16 << 20;

/// The furthest ahead that a next attempt is ever set; what lies beyond was written under a wrong clock.
const FURTHEST: Duration = Duration::from_secs(27 * 3600);

impl Store {
    /// Takes due dispatches of one sink, none of `in_hand`, and commits their attempt numbers and next times before returning:
    /// dying while publishing loses an attempt, never a message. `grace` is how long a publish may take.
    pub async fn take_due(
        &self,
        sink: &str,
        take: Take,
        in_hand: Vec<i64>,
        grace: Duration,
        max_attempts: u32,
        now: Timestamp,
    ) -> Result<Vec<Attempt>> {
        let (sink, in_hand) = (sink.to_owned(), serde_json::Value::from(in_hand).to_string());
        let vault = self.vault.clone();
        self.write(move |db| {
            let due = Due { db, vault: &vault, sink: &sink, in_hand: &in_hand, now };
            let attempts = due.choose(take)?;
            let mut take = db.prepare_cached(
                "UPDATE dispatches SET attempts = :number, last_attempt_at = :now, next_attempt_at = :next
                 WHERE id = :id AND state = 'pending'",
            )?;
            for attempt in &attempts {
                take.execute(named_params! {
                    ":number": attempt.number, ":now": now, ":id": attempt.dispatch,
                    ":next": now + grace + retry::dispatch(attempt.number, max_attempts),
                })?;
            }
            Ok(attempts)
        })
        .await
    }

    /// For the start of a process: makes due what the last one was sending when it was cut off, and says how much that was. Only a
    /// first attempt: a message that is there each time the process dies may be the reason, and waits.
    pub async fn resume_interrupted(&self, now: Timestamp) -> Result<usize> {
        self.write(move |db| {
            Ok(db
                .prepare_cached(
                    "UPDATE dispatches SET next_attempt_at = :now
                     WHERE state = 'pending' AND attempts = 1 AND last_error IS NULL AND leased_until IS NULL
                       AND next_attempt_at > :now",
                )?
                .execute(named_params! { ":now": now })?)
        })
        .await
    }

    /// When the next dispatch of a sink is due; `None` when nothing is pending that could be opened.
    pub async fn next_dispatch_due(&self, sink: &str) -> Result<Option<Timestamp>> {
        let (sink, vault) = (sink.to_owned(), self.vault.clone());
        self.read(move |db| {
            rows::value(
                db,
                &format!(
                    "SELECT min(d.next_attempt_at) FROM dispatches d
                     WHERE {ELIGIBLE} AND EXISTS (SELECT 1 FROM messages m WHERE m.seq = d.message AND {READABLE})"
                ),
                named_params! {
                    ":sink": sink, ":current_key": vault.current_id(), ":previous_key": vault.previous_id(),
                },
            )
        })
        .await
    }
}

/// What is due for one sink, and how it is opened.
struct Due<'a> {
    db: &'a Connection,
    vault: &'a Vault,
    sink: &'a str,
    in_hand: &'a str,
    now: Timestamp,
}

impl Due<'_> {
    fn choose(&self, take: Take) -> Result<Vec<Attempt>> {
        match take {
            Take::UpTo(limit) => self.in_order(limit),
            Take::Probe(limit) => {
                let mut attempts = self.untried(limit)?;
                if attempts.len() < limit {
                    let untried: Vec<_> = attempts.iter().map(|attempt| attempt.dispatch).collect();
                    let others = self.in_order(limit)?.into_iter();
                    attempts.extend(others.filter(|other| !untried.contains(&other.dispatch)));
                    attempts.truncate(limit);
                }
                Ok(attempts)
            }
        }
    }

    fn in_order(&self, limit: usize) -> Result<Vec<Attempt>> {
        let mut attempts = self.read("d.next_attempt_at <= :bound", self.now, limit)?;
        if attempts.len() < limit {
            let left = limit - attempts.len();
            attempts.extend(self.read("d.next_attempt_at > :bound", self.now + FURTHEST, left)?);
        }
        Ok(attempts)
    }

    /// Any of the first ones: many that fail alike may have been queued one after the other.
    fn untried(&self, limit: usize) -> Result<Vec<Attempt>> {
        let waiting = waiting();
        let any = format!(
            "d.id IN (SELECT id FROM (
                 SELECT d.id {waiting} AND d.next_attempt_at <= :bound AND {UNTRIED}
                 ORDER BY d.next_attempt_at, d.id LIMIT {PROBED_AMONG}) ORDER BY random() LIMIT :limit)"
        );
        self.read(&any, self.now, limit)
    }

    /// Reads what is due by one end of the index or beyond legal delays by the other, and no more bodies than memory should
    /// hold. Where all that was found is damaged, there may be more behind it.
    fn read(&self, range: &str, bound: Timestamp, limit: usize) -> Result<Vec<Attempt>> {
        loop {
            let Opened { attempts, damaged } = self.step(range, bound, limit)?;
            if !attempts.is_empty() || damaged == 0 {
                return Ok(attempts);
            }
        }
    }

    fn step(&self, range: &str, bound: Timestamp, limit: usize) -> Result<Opened> {
        let due = format!("{} AND {range} ORDER BY d.next_attempt_at, d.id LIMIT :limit", waiting());
        let mut statement = rows::select::<Found>(self.db, &due)?;
        let rows = statement.query(named_params! {
            ":sink": self.sink, ":bound": bound, ":in_hand": self.in_hand, ":limit": limit as i64,
            ":current_key": self.vault.current_id(), ":previous_key": self.vault.previous_id(),
        })?;
        open(self.db, self.vault, rows, self.now)
    }
}

fn waiting() -> String {
    format!(
        "FROM dispatches d JOIN messages m ON m.seq = d.message JOIN subscriptions s ON s.id = d.subscription
         WHERE {ELIGIBLE} AND {READABLE} AND m.body IS NOT NULL AND d.id NOT IN (SELECT value FROM json_each(:in_hand))"
    )
}

/// What was found, its payload unopened.
pub(super) struct Found {
    taken: Taken,
    stored: Body,
}

rows! {
    Found { taken: Taken, stored: Body }
}

/// A dispatch with what its message says of itself.
pub(in crate::store) struct Taken {
    pub dispatch: i64,
    pub subscription: i64,
    pub attempts: u32,
    pub failing_seconds: i64,
    pub failed_at: Option<Timestamp>,
    pub previous_at: Option<Timestamp>,
    pub id: Uuid,
    pub event: String,
    pub queued_at: Timestamp,
    pub replays: i64,
    pub partner_order_number: String,
    pub subscription_id: String,
    pub reference: String,
    pub seq: i64,
}

impl Taken {
    fn opened(self, body: Vec<u8>) -> Attempt {
        Attempt {
            dispatch: self.dispatch,
            subscription: self.subscription,
            order_number: if self.reference.is_empty() { self.partner_order_number } else { self.reference },
            subscription_id: self.subscription_id,
            number: self.attempts.saturating_add(1),
            failing_seconds: self.failing_seconds,
            failed_at: self.failed_at,
            previous_at: self.previous_at,
            message: Message { id: self.id, event: self.event, queued_at: self.queued_at, body, replays: self.replays },
        }
    }
}

/// What was found, opened.
pub(super) struct Opened {
    pub attempts: Vec<Attempt>,
    /// So many were not what they were when they were stored. They are marked, and found no more.
    pub damaged: usize,
}

/// Opens the bodies of rows of [`Found`], as many as memory should hold.
pub(super) fn open(db: &Connection, vault: &Vault, mut rows: Rows<'_>, now: Timestamp) -> Result<Opened> {
    let (mut attempts, mut damaged, mut body_bytes) = (Vec::new(), Vec::<i64>::new(), 0);
    while let Some(row) = rows.next()?.filter(|_| body_bytes < MOST_BODY_BYTES) {
        let Found { taken, stored } = Found::read(row)?;
        body_bytes += stored.body.len();
        match vault.open(taken.id, stored) {
            Ok(body) => attempts.push(taken.opened(body)),
            Err(vault::Error::Damaged { .. }) => damaged.push(taken.seq),
            Err(error) => return Err(error.into()),
        }
    }
    drop(rows);
    for seq in &damaged {
        mark_damaged(db, *seq, now)?;
    }
    Ok(Opened { attempts, damaged: damaged.len() })
}
