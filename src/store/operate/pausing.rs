//! Pausing: a paused subscription is not polled, and nothing else about it changes. Order data that is awaited is still asked
//! for, what is queued is still delivered.

use rusqlite::{OptionalExtension, named_params};

use crate::clock::Timestamp;
use crate::renewal::State;
use crate::store::{Result, Store};

/// What pausing or resuming came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused {
    Done,
    /// It was so before.
    Already,
    /// In this state it can be neither paused nor resumed: nothing was changed.
    Not(State),
    /// It was forgotten meanwhile.
    Gone,
}

impl Store {
    /// Stops the polls of a watched subscription. The answer of one that is under way is dropped.
    pub async fn pause(&self, row: i64) -> Result<Paused> {
        self.write(move |db| {
            let changed = db
                .prepare_cached(
                    "UPDATE subscriptions SET state = 'paused', due_at = NULL WHERE id = :id AND state = 'watching'",
                )?
                .execute(named_params! { ":id": row })?;
            outcome(db, row, changed, State::Paused)
        })
        .await
    }

    /// Goes on with the polls of a paused subscription: it is due now, in the lane it had.
    pub async fn resume(&self, row: i64, now: Timestamp) -> Result<Paused> {
        self.write(move |db| {
            let changed = db
                .prepare_cached(
                    "UPDATE subscriptions SET state = 'watching', due_at = :now WHERE id = :id AND state = 'paused'",
                )?
                .execute(named_params! { ":id": row, ":now": now })?;
            outcome(db, row, changed, State::Watching)
        })
        .await
    }

    /// Makes a watched subscription due now, ahead of all that nobody asked for.
    pub async fn ask_now(&self, row: i64, now: Timestamp) -> Result<bool> {
        self.write(move |db| {
            Ok(db.execute(
                "UPDATE subscriptions SET lane = 0, due_at = :now WHERE id = :id AND state IN ('watching', 'ended')",
                named_params! { ":id": row, ":now": now },
            )? == 1)
        })
        .await
    }
}

fn outcome(db: &rusqlite::Connection, row: i64, changed: usize, wanted: State) -> Result<Paused> {
    if changed > 0 {
        return Ok(Paused::Done);
    }
    let state: Option<State> = db
        .prepare_cached("SELECT state FROM subscriptions WHERE id = :id")?
        .query_row(named_params! { ":id": row }, |row| row.get(0))
        .optional()?;
    Ok(match state {
        None => Paused::Gone,
        Some(state) if state == wanted => Paused::Already,
        Some(state) => Paused::Not(state),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{ListFilter, SubscriptionRow, fixtures};

    const NOW: Timestamp = Timestamp::constant(1_800_000_000);

    async fn tracked() -> (Store, i64, tempfile::TempDir) {
        let (store, dir) = fixtures::opened();
        store.track(vec![fixtures::subscription("P", 7)], false, NOW).await.unwrap();
        let row = only(&store).await.subscription.row;
        (store, row, dir)
    }

    async fn only(store: &Store) -> SubscriptionRow {
        store.list(ListFilter { limit: 1, ..ListFilter::default() }, NOW).await.unwrap().items.remove(0)
    }

    #[tokio::test]
    async fn a_paused_subscription_is_due_again_only_when_it_is_resumed() {
        let (store, row, _dir) = tracked().await;
        assert_eq!(store.resume(row, NOW).await.unwrap(), Paused::Already);
        assert_eq!(store.pause(row).await.unwrap(), Paused::Done);
        assert_eq!(store.pause(row).await.unwrap(), Paused::Already);
        let paused = only(&store).await.subscription;
        assert_eq!((paused.state, paused.due_at), (State::Paused, None));
        assert!(!store.ask_now(row, NOW).await.unwrap());
        assert_eq!(store.resume(row, NOW).await.unwrap(), Paused::Done);
        let resumed = only(&store).await.subscription;
        assert_eq!((resumed.state, resumed.due_at, resumed.lane), (State::Watching, Some(NOW), paused.lane));
    }

    #[tokio::test]
    async fn what_is_not_watched_can_be_neither_paused_nor_resumed() {
        let (store, row, _dir) = tracked().await;
        store.untrack(row, NOW).await.unwrap();
        assert_eq!(store.pause(row).await.unwrap(), Paused::Not(State::Untracked));
        assert_eq!(store.resume(row, NOW).await.unwrap(), Paused::Not(State::Untracked));
        store.forget(row, NOW).await.unwrap();
        assert_eq!(store.pause(row).await.unwrap(), Paused::Gone);
    }
}
