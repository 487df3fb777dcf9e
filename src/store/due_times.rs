//! Moving the due times of many subscriptions, a short transaction at a time. Where to is decided in [`crate::renewal::moved`].

use std::time::Duration;

use rusqlite::{Connection, named_params};

use super::{Result, Store};
use crate::choice::Lane;
use crate::clock::Timestamp;
use crate::renewal::moved::moved;
use crate::renewal::{Pace, Rules};

/// Rows that one transaction looks at, or changes.
pub(super) const BATCH: i64 = 2000;

/// One step through the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The row to go on after.
    pub last: i64,
    pub moved: usize,
}

/// How far [`Store::bring_forward`] has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Place in [`AHEAD`].
    table: usize,
    /// The row to go on after.
    after: i64,
    pub moved: usize,
}

/// What lies ahead of the clock: table, column, which rows have it, and what is put right beside it.
const AHEAD: [(&str, &str, &str, &str); 3] = [
    ("subscriptions", "due_at", "true", LAST_POLL),
    ("renewals", "next_attempt_at", "state = 'awaiting_order_data'", ""),
    ("dispatches", "next_attempt_at", "state = 'pending'", ""),
];

/// A last answer that lies ahead would hide for as long that nobody answers any more.
pub(super) const LAST_POLL: &str =
    ", last_asked_at = min(last_asked_at, :now), last_answer_at = min(last_answer_at, :now)";

/// Asked by its interval, and not by a retry or because of a renewal.
const BY_INTERVAL: &str = "provider = :provider AND state = 'watching' AND pace <> 'monthly' AND failures = 0
    AND NOT EXISTS (SELECT 1 FROM renewals r WHERE r.subscription = subscriptions.id
                    AND r.state = 'awaiting_order_data')";

impl Store {
    /// Whether anyone who is asked at the regular pace is due only after `latest`. Reads those who are due after it, at
    /// whatever pace, and nobody else.
    pub async fn is_anyone_due_after(&self, provider: &str, latest: Timestamp) -> Result<bool> {
        let provider = provider.to_owned();
        let territories = self.territories_in_use().await?;
        self.read(move |db| {
            let mut late = db.prepare_cached(&format!(
                "SELECT 1 FROM subscriptions
                 WHERE territory = :territory AND lane = :lane AND due_at > :latest AND pace = 'regular' AND {BY_INTERVAL}
                 LIMIT 1"
            ))?;
            for (_, territory) in territories.iter().filter(|(of, _)| *of == provider) {
                for lane in Lane::ALL {
                    if late.exists(named_params! {
                        ":provider": provider, ":territory": territory, ":lane": lane.rank(), ":latest": latest,
                    })? {
                        return Ok(true);
                    }
                }
            }
            Ok(false)
        })
        .await
    }

    /// Moves the due times of some rows behind `after` from the rules `before` to `rules`; `None` behind the last row.
    pub async fn move_due_times(
        &self,
        provider: &str,
        before: Option<&Rules>,
        rules: &Rules,
        after: i64,
        now: Timestamp,
    ) -> Result<Option<Moved>> {
        let (provider, before, rules) = (provider.to_owned(), before.cloned(), rules.clone());
        self.write(move |db| {
            let last: i64 =
                db.prepare_cached("SELECT coalesce(max(id), 0) FROM subscriptions")?.query_row([], |row| row.get(0))?;
            if after >= last {
                return Ok(None);
            }
            let until = after.saturating_add(BATCH);
            let mut rows = db.prepare_cached(&format!(
                "SELECT id, due_at, last_asked_at, pace FROM subscriptions
                 WHERE id > :after AND id <= :until AND due_at > :now AND last_asked_at IS NOT NULL AND {BY_INTERVAL}"
            ))?;
            let found = rows
                .query_map(
                    named_params! { ":after": after, ":until": until, ":now": now, ":provider": provider },
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
                )?
                .collect::<rusqlite::Result<Vec<(i64, Timestamp, Timestamp, Pace)>>>()?;
            let mut update = db.prepare_cached("UPDATE subscriptions SET due_at = :due WHERE id = :id")?;
            let mut count = 0;
            for (id, due, asked, pace) in found {
                if let Some(due) = moved(due, asked, pace, before.as_ref(), &rules, now) {
                    count += update.execute(named_params! { ":id": id, ":due": due })?;
                }
            }
            Ok(Some(Moved { last: until, moved: count }))
        })
        .await
    }

    /// The wall clock has fallen behind by this much: what lies ahead comes so much earlier, as if the clock had gone on.
    /// Subscriptions, order data and dispatches of everybody, a short transaction at a time.
    ///
    /// After an error it goes on from `progress` when it is called again: nothing is moved twice.
    pub async fn bring_forward(&self, by: Duration, now: Timestamp, progress: &mut Progress) -> Result<()> {
        while let Some(&(table, column, condition, beside)) = AHEAD.get(progress.table) {
            let after = progress.after;
            let step = self.write(move |db| {
                let last: i64 =
                    db.query_row(&format!("SELECT coalesce(max(id), 0) FROM {table}"), [], |row| row.get(0))?;
                let until = after + BATCH;
                let changed = db.execute(
                    &format!(
                        "UPDATE {table} SET {column} = max({column} - :by, :now){beside}
                         WHERE id > :after AND id <= :until AND {column} > :now AND {condition}"
                    ),
                    named_params! { ":by": by.as_secs() as i64, ":now": now, ":after": after, ":until": until },
                )?;
                Ok((changed, (until < last).then_some(until)))
            });
            let (changed, next) = step.await?;
            progress.moved += changed;
            (progress.table, progress.after) = next.map_or((progress.table + 1, 0), |until| (progress.table, until));
        }
        Ok(())
    }

    /// What was refused is due now, in one territory or in all of a provider's: there is reason to believe that it will not be any
    /// more. Subscriptions and order data, a short transaction at a time.
    pub async fn ask_refused(&self, provider: &str, territory: Option<&str>, now: Timestamp) -> Result<usize> {
        const REFUSED: [&str; 2] = [
            "UPDATE subscriptions SET due_at = :now
             WHERE id IN (SELECT id FROM subscriptions
                          WHERE provider = :provider AND (:territory IS NULL OR territory = :territory) AND failures > 0
                            AND last_outcome = 'refused' AND due_at > :now LIMIT :batch)",
            "UPDATE renewals SET next_attempt_at = :now
             WHERE id IN (SELECT r.id FROM renewals r JOIN subscriptions s ON s.id = r.subscription
                          WHERE r.provider = :provider AND (:territory IS NULL OR s.territory = :territory)
                            AND r.state = 'awaiting_order_data' AND r.refusals > 0 AND r.next_attempt_at > :now
                          LIMIT :batch)",
        ];
        let mut asked = 0;
        for update in REFUSED {
            let (provider, territory) = (provider.to_owned(), territory.map(str::to_owned));
            asked += self
                .in_batches(move |db| {
                    Ok(db.prepare_cached(update)?.execute(named_params! {
                        ":provider": provider, ":territory": territory, ":now": now, ":batch": BATCH,
                    })?)
                })
                .await?;
        }
        Ok(asked)
    }

    /// Order data that is asked for again later than the longest retry allows is brought into its reach. A longer wait that the
    /// provider itself asked for stays.
    pub async fn bring_order_data_forward(&self, provider: &str, retry_max: Duration, now: Timestamp) -> Result<usize> {
        let provider = provider.to_owned();
        self.in_batches(move |db| {
            Ok(db
                .prepare_cached(
                    "UPDATE renewals SET next_attempt_at = :now + (next_attempt_at - :now) % :retry_max
                     WHERE id IN (SELECT id FROM renewals
                                  WHERE provider = :provider AND state = 'awaiting_order_data'
                                    AND next_attempt_at > :now + :retry_max AND refusals = 0
                                    AND last_outcome IS NOT 'unavailable' LIMIT :batch)",
                )?
                .execute(named_params! {
                    ":now": now, ":provider": provider, ":batch": BATCH,
                    ":retry_max": retry_max.as_secs().max(1) as i64,
                })?)
        })
        .await
    }

    /// Repeats what changes up to [`BATCH`] rows, each time in a transaction of its own, until it finds no more. Returns how many
    /// it changed.
    pub(super) async fn in_batches(
        &self,
        batch: impl Fn(&Connection) -> Result<usize> + Clone + Send + 'static,
    ) -> Result<usize> {
        let mut total = 0;
        loop {
            match self.write(batch.clone()).await? {
                0 => return Ok(total),
                changed => total += changed,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::{Counts, Forecast};
    use crate::renewal::{HOUR, fixtures};
    use crate::store::{Access, Patience};

    /// 2026-11-21T20:00:00Z
    const NOW: Timestamp = Timestamp::constant(1_795_291_200);

    fn rules(every: Duration) -> Rules {
        Rules { every, ..fixtures::rules() }
    }

    /// Five thousand subscriptions, asked one after the other within the last day, each due a day after that.
    async fn asked_daily(dir: &tempfile::TempDir) -> Store {
        let store = Store::open(&dir.path().join("renewald.db"), Access::Command).unwrap();
        let insert = format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
             INSERT INTO subscriptions (provider, partner_order_number, subscription_id, territory, generation, tracked_at,
                                        tracked_by, lane, due_at, last_asked_at, last_answer_at, last_outcome)
             SELECT 'nexway', 'P' || i, i, 'eu', 0, 0, 'track', 2, {now} + i * 17, {now} + i * 17 - 86400,
                    {now} + i * 17 - 86400, 'ok' FROM n;
             UPDATE subscriptions SET failures = 3 WHERE id = 4000;
             UPDATE subscriptions SET pace = 'monthly' WHERE id = 4001",
            now = NOW.as_unix()
        );
        store.write(move |db| Ok(db.execute_batch(&insert)?)).await.unwrap();
        store
    }

    async fn all(store: &Store, before: Option<&Rules>, rules: &Rules) -> usize {
        let (mut after, mut moved, mut steps) = (0, 0, 0);
        while let Some(batch) = store.move_due_times("nexway", before, rules, after, NOW).await.unwrap() {
            (after, moved, steps) = (batch.last, moved + batch.moved, steps + 1);
        }
        assert_eq!(steps, 3, "a short transaction at a time");
        moved
    }

    async fn due_within(store: &Store, time: Duration) -> i64 {
        let latest = NOW + time;
        let count = "SELECT count(*) FROM subscriptions WHERE due_at <= ?1";
        store.read(move |db| Ok(db.query_row(count, [latest], |row| row.get(0))?)).await.unwrap()
    }

    #[tokio::test]
    async fn a_shorter_interval_brings_everybody_within_it_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let store = asked_daily(&dir).await;
        let (before, after) = (rules(24 * HOUR), rules(4 * HOUR));
        assert!(store.is_anyone_due_after("nexway", NOW + after.every).await.unwrap());
        assert!(all(&store, Some(&before), &after).await > 3000);
        assert_eq!(due_within(&store, 4 * HOUR).await, 4998, "a retry and the monthly one stay");
        // The same share in each hour.
        let hours =
            [due_within(&store, HOUR).await, due_within(&store, 2 * HOUR).await, due_within(&store, 3 * HOUR).await];
        for (hour, count) in (1..).zip(hours) {
            assert!((hour * 1000..=hour * 1600).contains(&count), "{hours:?}");
        }
        assert!(!store.is_anyone_due_after("nexway", NOW + after.every).await.unwrap());
        assert_eq!(all(&store, None, &after).await, 0, "as after a restart");
    }

    #[tokio::test]
    async fn a_clock_set_back_by_an_hour_puts_nobody_off() {
        let dir = tempfile::tempdir().unwrap();
        let store = asked_daily(&dir).await;
        let (before, now) = (due_within(&store, 2 * HOUR).await, NOW - HOUR);
        // By the clock that was set back, the same subscriptions were due an hour later.
        store.bring_forward(HOUR, now, &mut Progress::default()).await.unwrap();
        assert_eq!(due_within(&store, HOUR).await, before);
        assert!(due_within(&store, Duration::ZERO).await > 0);
    }

    #[tokio::test]
    async fn a_write_that_fails_half_way_moves_nobody_twice() {
        let dir = tempfile::tempdir().unwrap();
        let store = asked_daily(&dir).await;
        let (before, now) = (due_within(&store, 2 * HOUR).await, NOW - HOUR);
        fails_at_4500(&store, true).await;
        let mut progress = Progress::default();
        for _ in 0..2 {
            store.bring_forward(HOUR, now, &mut progress).await.unwrap_err();
            assert_eq!(progress.moved, 4000);
        }
        fails_at_4500(&store, false).await;
        store.bring_forward(HOUR, now, &mut progress).await.unwrap();
        assert_eq!((progress.moved, due_within(&store, HOUR).await), (5000, before));
    }

    #[tokio::test]
    async fn an_interval_that_was_shortened_while_nobody_ran_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let store = asked_daily(&dir).await;
        assert!(all(&store, None, &rules(4 * HOUR)).await > 3000);
        assert_eq!(due_within(&store, 4 * HOUR).await, 4998);
    }

    async fn count(store: &Store, condition: &str) -> i64 {
        let count = format!("SELECT count(*) FROM subscriptions WHERE {condition}");
        store.read(move |db| Ok(db.query_row(&count, [], |row| row.get(0))?)).await.unwrap()
    }

    /// Makes the write of the 4,500th fail, or no more.
    async fn fails_at_4500(store: &Store, fails: bool) {
        let change = if fails {
            "CREATE TRIGGER full BEFORE UPDATE ON subscriptions WHEN new.id = 4500
             BEGIN SELECT raise(ABORT, 'disk full'); END"
        } else {
            "DROP TRIGGER full"
        };
        store.write(move |db| Ok(db.execute_batch(change)?)).await.unwrap();
    }

    #[tokio::test]
    async fn many_are_promoted_and_healed_a_short_transaction_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = asked_daily(&dir).await;
        let rules = rules(4 * HOUR);
        let (promoted, year) = ("lane = 1", "due_at > 1800000000");
        let ahead = "UPDATE subscriptions SET expires_at = 1795291200, pace = 'regular', due_at = 1826827200";
        store.write(move |db| Ok(db.execute_batch(ahead)?)).await.unwrap();
        fails_at_4500(&store, true).await;
        store.promote_urgent("nexway", &rules, NOW).await.unwrap_err();
        assert_eq!(count(&store, promoted).await, 4000);
        store.heal_due_times("nexway", &rules, NOW).await.unwrap_err();
        assert!((1..=3000).contains(&count(&store, year).await));
        fails_at_4500(&store, false).await;
        assert_eq!(store.promote_urgent("nexway", &rules, NOW).await.unwrap(), 1000);
        assert_eq!(count(&store, promoted).await, 5000);
        store.heal_due_times("nexway", &rules, NOW).await.unwrap();
        assert_eq!((count(&store, year).await, due_within(&store, Duration::ZERO).await), (0, 5000));
    }

    #[tokio::test]
    async fn an_answer_from_a_clock_that_was_ahead_hides_nobody_who_is_late() {
        let year = 365 * 24 * HOUR;
        let (rules, later) = (rules(24 * HOUR), NOW + 48 * HOUR);
        let forecast = Forecast::new(Counts { regular: 5000, ..Counts::default() }, &rules, 5.0);
        let patience = Patience::new(rules.clone(), forecast, Duration::ZERO);
        for is_running in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let store = asked_daily(&dir).await;
            let ahead = "UPDATE subscriptions SET due_at = due_at + 31536000, last_asked_at = last_asked_at + 31536000,
                             last_answer_at = last_answer_at + 31536000;
                         UPDATE subscriptions SET last_answer_at = NULL WHERE id = 7";
            store.write(move |db| Ok(db.execute_batch(ahead)?)).await.unwrap();
            if is_running {
                store.bring_forward(year, NOW, &mut Progress::default()).await.unwrap();
            } else {
                store.heal_due_times("nexway", &rules, NOW).await.unwrap();
            }
            let late = store.count_late("nexway", &patience, later).await.unwrap();
            assert_eq!(late.overdue(), 5000, "{late:?}");
            assert_eq!(count(&store, "last_asked_at > 1795291200 OR last_answer_at > 1795291200").await, 0);
            assert_eq!(count(&store, "last_answer_at IS NULL").await, 1);
        }
    }
}
