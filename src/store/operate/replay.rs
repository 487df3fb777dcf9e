//! Sent again, or elsewhere, because a person said so.

use rusqlite::named_params;
use uuid::Uuid;

use super::messages::MessageRow;
use crate::clock::Timestamp;
use crate::store::{Result, Store, rows};

/// What retrying all dead dispatches came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    pub due: usize,
    /// Still dead: nothing is left to send.
    pub wiped: usize,
}

impl Store {
    /// Makes a message's dispatches due now, dead ones included, with all their attempts before them; delivered ones stay
    /// delivered. Whether a damaged one is whole again shows when it is opened. Returns how many.
    pub async fn retry_message(&self, id: Uuid, sink: Option<String>, now: Timestamp) -> Result<usize> {
        self.write(move |db| {
            db.execute(
                "UPDATE messages SET damaged_at = NULL WHERE id = :id AND damaged_at IS NOT NULL",
                named_params! { ":id": id.to_string() },
            )?;
            Ok(db.execute(
                "UPDATE dispatches SET state = 'pending', dead_at = NULL, attempts = 0, failing_seconds = 0, failed_at = NULL,
                                       next_attempt_at = :now, leased_until = NULL
                 WHERE message = (SELECT seq FROM messages WHERE id = :id AND body IS NOT NULL)
                   AND state <> 'delivered' AND (:sink IS NULL OR sink = :sink)",
                named_params! { ":id": id.to_string(), ":sink": sink, ":now": now },
            )?)
        })
        .await
    }

    /// Makes all dead dispatches, or those of one sink, due now, as [`Store::retry_message`] does for one message.
    pub async fn retry_dead(&self, sink: Option<String>, now: Timestamp) -> Result<Retried> {
        self.write(move |db| {
            let due = db.execute(
                "UPDATE dispatches SET state = 'pending', dead_at = NULL, attempts = 0, failing_seconds = 0, failed_at = NULL,
                                       next_attempt_at = :now, leased_until = NULL
                 WHERE state = 'dead' AND (:sink IS NULL OR sink = :sink)
                   AND EXISTS (SELECT 1 FROM messages m WHERE m.seq = dispatches.message AND m.body IS NOT NULL)",
                named_params! { ":sink": sink, ":now": now },
            )?;
            let wiped: i64 = db.query_row(
                "SELECT count(*) FROM dispatches WHERE state = 'dead' AND (:sink IS NULL OR sink = :sink)",
                named_params! { ":sink": sink },
                |row| row.get(0),
            )?;
            Ok(Retried { due, wiped: usize::try_from(wiped).unwrap_or_default() })
        })
        .await
    }

    /// Makes delivered dispatches due once more: the same body, the same id, one replay more. Those that are not delivered, or
    /// whose payload is wiped, are left alone. Returns how many.
    pub async fn replay(&self, dispatches: Vec<i64>, now: Timestamp) -> Result<usize> {
        self.write(move |db| {
            // As if never attempted: a sink that fails now is in trouble, and not this message.
            let mut again = db.prepare_cached(
                "UPDATE dispatches SET state = 'pending', first_delivered_at = coalesce(first_delivered_at, delivered_at),
                                       delivered_at = NULL, replays = replays + 1, replayed_at = :now, attempts = 0,
                                       failing_seconds = 0, failed_at = NULL, last_attempt_at = NULL, next_attempt_at = :now
                 WHERE id = :id AND state = 'delivered'
                   AND EXISTS (SELECT 1 FROM messages m WHERE m.seq = dispatches.message AND m.body IS NOT NULL)",
            )?;
            let mut replayed = 0;
            for id in &dispatches {
                replayed += again.execute(named_params! { ":id": id, ":now": now })?;
            }
            Ok(replayed)
        })
        .await
    }

    /// Messages that a sink was never to get, queued since, from behind `after`; wiped ones too.
    pub async fn without_dispatch(
        &self,
        sink: &str,
        since: Timestamp,
        after: i64,
        limit: usize,
    ) -> Result<Vec<MessageRow>> {
        let (sink, limit) = (sink.to_owned(), i64::try_from(limit).unwrap_or(i64::MAX));
        self.read(move |db| {
            rows::all(
                db,
                "FROM messages m JOIN subscriptions s ON s.id = m.subscription
                 WHERE m.seq > :after AND m.queued_at >= :since
                   AND NOT EXISTS (SELECT 1 FROM dispatches d WHERE d.message = m.seq AND d.sink = :sink)
                 ORDER BY m.seq LIMIT :limit",
                named_params! { ":sink": sink, ":since": since, ":after": after, ":limit": limit },
            )
        })
        .await
    }

    /// Gives a sink messages that were queued before it was there; what it has already, or what is wiped, is left alone.
    /// Returns how many.
    pub async fn backfill(&self, sink: &str, messages: Vec<i64>, now: Timestamp) -> Result<usize> {
        let sink = sink.to_owned();
        self.write(move |db| {
            let mut give = db.prepare_cached(
                "INSERT INTO dispatches (message, sink, subscription, ordered, next_attempt_at)
                 SELECT seq, :sink, subscription, reference <> '', :now FROM messages
                 WHERE seq = :seq AND body IS NOT NULL
                 ON CONFLICT (message, sink) DO NOTHING",
            )?;
            let mut given = 0;
            for seq in &messages {
                given += give.execute(named_params! { ":sink": sink, ":seq": seq, ":now": now })?;
            }
            Ok(given)
        })
        .await
    }

    /// Moves undelivered dispatches to another sink, where they are due now. One that the other sink has already is only
    /// removed here; one whose payload is wiped stays. Returns how many left their sink.
    ///
    /// The rows are new: whoever still has an old one in hand marks nothing.
    pub async fn move_dispatches(&self, dispatches: Vec<i64>, to: &str, now: Timestamp) -> Result<usize> {
        let to = to.to_owned();
        self.write(move |db| {
            let mut copy = db.prepare_cached(
                "INSERT INTO dispatches (message, sink, subscription, ordered, next_attempt_at)
                 SELECT d.message, :to, d.subscription, d.ordered, :now
                 FROM dispatches d JOIN messages m ON m.seq = d.message
                 WHERE d.id = :id AND d.state <> 'delivered' AND m.body IS NOT NULL
                 ON CONFLICT (message, sink) DO NOTHING",
            )?;
            let mut remove = db.prepare_cached(
                "DELETE FROM dispatches WHERE id = :id AND state <> 'delivered'
                   AND EXISTS (SELECT 1 FROM dispatches e WHERE e.message = dispatches.message AND e.sink = :to)",
            )?;
            let mut moved = 0;
            for id in &dispatches {
                copy.execute(named_params! { ":id": id, ":to": to, ":now": now })?;
                moved += remove.execute(named_params! { ":id": id, ":to": to })?;
            }
            Ok(moved)
        })
        .await
    }
}
