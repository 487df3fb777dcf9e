//! Who is overdue for longer than a person's patience, and which renewals have waited for long: for a loop, so only those rows
//! are read that are late or failing.

use std::time::Duration;

use rusqlite::{Connection, named_params};

use super::{Result, Store};
use crate::choice::Lane;
use crate::clock::Timestamp;
use crate::forecast::Forecast;
use crate::renewal::{Pace, Rules};

/// How old a last answer may be.
#[derive(Clone, Debug)]
pub struct Patience {
    rules: Rules,
    alert_after: Duration,
    /// What a budget makes one wait that is too small.
    urgent_wait: Duration,
    other_wait: Duration,
}

/// Watched subscriptions whose last answer is too old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overdue {
    /// Due, and nobody has asked.
    pub unasked: i64,
    /// Asked, and nobody has answered.
    pub unanswered: i64,
    pub refused: i64,
}

/// More are not counted.
pub const MOST_COUNTED: i64 = 1000;

impl Patience {
    /// An answer may be 1.1 × its interval old, and always as old as `alert_after`.
    pub fn new(rules: Rules, alert_after: Duration) -> Self {
        Self { rules, alert_after, urgent_wait: Duration::ZERO, other_wait: Duration::ZERO }
    }

    /// Those who were not asked may wait as long as this says.
    pub fn expect(&mut self, forecast: &Forecast) {
        (self.urgent_wait, self.other_wait) = (forecast.urgent_wait(), forecast.other_wait());
    }

    fn age(&self, pace: Pace) -> Duration {
        self.rules.interval(pace).mul_f64(1.1).max(self.alert_after)
    }

    fn age_unasked(&self, pace: Pace, lane: Lane) -> Duration {
        let wait = if lane == Lane::Urgent { self.urgent_wait } else { self.other_wait.max(self.rules.interval(pace)) };
        self.age(pace).max(wait.mul_f64(1.1))
    }
}

impl Store {
    /// Subscriptions that a person must know of, each kind counted up to [`MOST_COUNTED`]. However many there are, only those
    /// are read that are late or failing.
    pub async fn count_overdue(&self, provider: &str, patience: &Patience, now: Timestamp) -> Result<Overdue> {
        let (provider, patience) = (provider.to_owned(), patience.clone());
        let territories = self.territories_in_use().await?;
        self.read(move |db| {
            let mut overdue = Overdue::default();
            let own = territories.into_iter().filter(|(of, _)| *of == provider);
            for (_, territory) in own {
                for lane in Lane::ALL {
                    overdue.unasked += unasked(db, &provider, &territory, lane, &patience, now)?;
                }
            }
            overdue.unanswered = failing(db, &provider, "last_outcome IS NOT 'refused'", &patience, now)?;
            overdue.refused = failing(db, &provider, "last_outcome = 'refused'", &patience, now)?;
            Ok(overdue)
        })
        .await
    }

    /// Renewals whose provider has answered for so long that their order data must wait.
    pub async fn count_long_waits(&self, provider: &str, longer_than: Duration) -> Result<i64> {
        let provider = provider.to_owned();
        self.read(move |db| {
            Ok(db
                .prepare_cached(
                    "SELECT count(*) FROM renewals
                     WHERE provider = :provider AND state = 'awaiting_order_data' AND waiting_seconds >= :seconds",
                )?
                .query_row(
                    named_params! { ":provider": provider, ":seconds": longer_than.as_secs() as i64 },
                    |row| row.get(0),
                )?)
        })
        .await
    }
}

/// Not while order data is awaited: then the provider wants no polls.
const EXPECTED: &str = "state = 'watching' AND NOT EXISTS (SELECT 1 FROM renewals r
    WHERE r.subscription = subscriptions.id AND r.state = 'awaiting_order_data')";

/// Whoever was not asked in time has been due for a while: a range of the index, and empty while all goes well.
fn unasked(
    db: &Connection,
    provider: &str,
    territory: &str,
    lane: Lane,
    patience: &Patience,
    now: Timestamp,
) -> Result<i64> {
    let [regular, daily] = [Pace::Regular, Pace::Daily].map(|pace| patience.age_unasked(pace, lane));
    let late = |age: Duration, pace| age.saturating_sub(patience.rules.interval(pace));
    let due = now - late(regular, Pace::Regular).min(late(daily, Pace::Daily));
    Ok(db
        .prepare_cached(&format!(
            "SELECT count(*) FROM (
                 SELECT 1 FROM subscriptions
                 WHERE provider = :provider AND territory = :territory AND lane = :lane AND due_at < :due
                   AND failures = 0 AND {EXPECTED}
                   AND coalesce(last_answer_at, tracked_at) < CASE pace WHEN 'regular' THEN :regular ELSE :daily END
                 LIMIT :most)"
        ))?
        .query_row(
            named_params! {
                ":provider": provider, ":territory": territory, ":lane": lane.rank(), ":due": due,
                ":regular": now - regular, ":daily": now - daily, ":most": MOST_COUNTED,
            },
            |row| row.get(0),
        )?)
}

fn failing(db: &Connection, provider: &str, how: &str, patience: &Patience, now: Timestamp) -> Result<i64> {
    let [regular, daily] = [Pace::Regular, Pace::Daily].map(|pace| now - patience.age(pace));
    Ok(db
        .prepare_cached(&format!(
            "SELECT count(*) FROM (
                 SELECT 1 FROM subscriptions
                 WHERE provider = :provider AND failures > 0 AND coalesce(last_answer_at, tracked_at) < :oldest
                   AND {how} AND {EXPECTED}
                   AND coalesce(last_answer_at, tracked_at) < CASE pace WHEN 'regular' THEN :regular ELSE :daily END
                 LIMIT :most)"
        ))?
        .query_row(
            named_params! {
                ":provider": provider, ":regular": regular, ":daily": daily, ":oldest": regular.max(daily),
                ":most": MOST_COUNTED,
            },
            |row| row.get(0),
        )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::renewal::{DAY, HOUR};
    use crate::store::Access;

    /// 2026-11-21T20:00:00Z
    const NOW: Timestamp = Timestamp::constant(1_795_291_200);

    /// One subscription, asked and answered for so long ago; `more` is set besides.
    async fn overdue(hours: i64, more: &str) -> Overdue {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("renewald.db"), Access::Command).unwrap();
        let answered = NOW.as_unix() - hours * 3600;
        let insert = format!(
            "INSERT INTO subscriptions (provider, partner_order_number, subscription_id, territory, generation, tracked_at,
                                        tracked_by, lane, due_at, last_asked_at, last_answer_at, last_outcome)
             VALUES ('nexway', 'P', 1, 'eu', 0, 0, 'track', 2, {answered} + 14400, {answered}, {answered}, 'ok');
             UPDATE subscriptions SET {more}"
        );
        store.write(move |db| Ok(db.execute_batch(&insert)?)).await.unwrap();
        let rules = Rules {
            every: 4 * HOUR,
            window_before: 3 * DAY,
            window_after: 14 * DAY,
            ended_after: 30 * DAY,
            max_generation_jump: 24,
            retry_first: HOUR,
            retry_max: 4 * HOUR,
        };
        store.count_overdue("nexway", &Patience::new(rules, 6 * HOUR), NOW).await.unwrap()
    }

    #[tokio::test]
    async fn an_answer_may_be_as_old_as_alert_after() {
        let plain = "generation = 0";
        assert_eq!(overdue(5, plain).await, Overdue::default(), "late, and not yet worth an alert");
        assert_eq!(overdue(7, plain).await, Overdue { unasked: 1, ..Overdue::default() });
        assert_eq!(overdue(7, "state = 'paused', due_at = NULL").await, Overdue::default());
        assert_eq!(overdue(20, "pace = 'daily', due_at = due_at + 72000").await, Overdue::default());
        assert_eq!(overdue(27, "pace = 'daily', due_at = due_at + 72000").await.unasked, 1);
    }

    #[tokio::test]
    async fn who_is_asked_in_vain_counts_whenever_it_is_asked_next() {
        let failing = "failures = 6, last_outcome = 'unreachable', due_at = due_at + 14400";
        assert_eq!(overdue(5, failing).await, Overdue::default());
        assert_eq!(overdue(7, failing).await, Overdue { unanswered: 1, ..Overdue::default() });
        let refused = "failures = 3, last_outcome = 'refused', pace = 'daily', due_at = due_at + 99999";
        assert_eq!(overdue(7, refused).await, Overdue::default());
        assert_eq!(overdue(30, refused).await, Overdue { refused: 1, ..Overdue::default() });
    }
}
