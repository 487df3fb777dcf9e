//! What `status` shows: everything counted. Each statement looks at all rows of its table: for a person, not for a loop.

use rusqlite::named_params;

use super::{Result, SinkState, Store};
use crate::choice::Lane;
use crate::clock::Timestamp;
use crate::forecast::{Counts, Forecast};
use crate::renewal::{Pace, Rules, State};

/// How many subscriptions of one provider are alike.
#[derive(Clone, Debug)]
pub struct Group {
    pub provider: String,
    pub state: State,
    pub pace: Pace,
    pub lane: Lane,
    /// Not paused, untracked or ended for good.
    pub is_asked: bool,
    pub count: i64,
}

/// The counts that a forecast is made from.
pub fn counts_of(groups: &[Group], provider: &str) -> Counts {
    let mut counts = Counts::default();
    for group in groups.iter().filter(|group| group.provider == provider && group.is_asked) {
        let of = match (group.pace, group.lane) {
            (Pace::Regular, Lane::Urgent) => &mut counts.urgent,
            (Pace::Regular, _) => &mut counts.regular,
            (Pace::Daily, _) => &mut counts.daily,
            (Pace::Monthly, _) => &mut counts.monthly,
        };
        *of += group.count;
    }
    counts
}

/// Watched subscriptions of one provider that need a look, or patience.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Late {
    /// Last answer older than 1.1 × its interval, and not because the budget is too small.
    pub overdue: i64,
    /// As old, but no older than the budget makes one expect.
    pub delayed: i64,
    /// The provider refused the last request.
    pub refused: i64,
}

/// Renewals whose order data is awaited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Waiting {
    pub renewals: i64,
    pub oldest_detected_at: Option<Timestamp>,
}

impl Store {
    pub async fn subscription_groups(&self) -> Result<Vec<Group>> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT provider, state, pace, lane, due_at IS NOT NULL, count(*) FROM subscriptions
                 GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(Group {
                    provider: row.get(0)?,
                    state: row.get(1)?,
                    pace: row.get(2)?,
                    lane: Lane::from_rank(row.get(3)?),
                    is_asked: row.get(4)?,
                    count: row.get(5)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Tells overdue subscriptions from those that `forecast` makes wait. One that was asked in vain is never merely delayed.
    pub async fn count_late(&self, provider: &str, rules: &Rules, forecast: &Forecast, now: Timestamp) -> Result<Late> {
        let provider = provider.to_owned();
        let late = |wait: std::time::Duration| now - wait.mul_f64(1.1);
        let (regular, daily) = (rules.interval(Pace::Regular), rules.interval(Pace::Daily));
        let (urgent_wait, other_wait) = (forecast.urgent_wait(), forecast.other_wait());
        let (regular, daily, urgent_expected, regular_expected, daily_expected) =
            (late(regular), late(daily), late(urgent_wait), late(other_wait), late(other_wait.max(daily)));
        self.read(move |db| {
            Ok(db
                .prepare_cached(
                    "SELECT coalesce(sum(late AND NOT expected), 0), coalesce(sum(late AND expected), 0),
                            coalesce(sum(refused), 0)
                     FROM (SELECT coalesce(last_outcome = 'refused', 0) AS refused,
                                  coalesce(last_answer_at, tracked_at) < CASE pace WHEN 'regular' THEN :regular ELSE :daily END
                                  AND NOT EXISTS (SELECT 1 FROM renewals r WHERE r.subscription = subscriptions.id
                                                  AND r.state = 'awaiting_order_data') AS late,
                                  failures = 0 AND coalesce(last_answer_at, tracked_at) >=
                                      CASE WHEN lane = 1 THEN :urgent_expected
                                           WHEN pace = 'regular' THEN :regular_expected ELSE :daily_expected END AS expected
                           FROM subscriptions WHERE provider = :provider AND state = 'watching')",
                )?
                .query_row(
                    named_params! {
                        ":provider": provider, ":regular": regular, ":daily": daily,
                        ":urgent_expected": urgent_expected, ":regular_expected": regular_expected,
                        ":daily_expected": daily_expected,
                    },
                    |row| Ok(Late { overdue: row.get(0)?, delayed: row.get(1)?, refused: row.get(2)? }),
                )?)
        })
        .await
    }

    pub async fn count_waiting(&self, provider: &str) -> Result<Waiting> {
        let provider = provider.to_owned();
        self.read(move |db| {
            Ok(db
                .prepare_cached(
                    "SELECT count(*), min(detected_at) FROM renewals
                     WHERE provider = :provider AND state = 'awaiting_order_data'",
                )?
                .query_row(named_params! { ":provider": provider }, |row| {
                    Ok(Waiting { renewals: row.get(0)?, oldest_detected_at: row.get(1)? })
                })?)
        })
        .await
    }

    /// Every sink that was ever in use.
    pub async fn sink_states(&self) -> Result<Vec<SinkState>> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT sink, failures, blocked_since, blocked_until, last_error, last_success_at FROM sinks ORDER BY sink",
            )?;
            let rows = statement.query_map([], super::dispatches::sink_state)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// What the renewals so far taught: how many were seen so long after the expiry then known, and how many had readable order
    /// data so long after they were seen. Each list counts the seconds below its first bound, below its second, …, and the rest.
    pub async fn count_renewals(&self, after_expiry: Vec<i64>, readable: Vec<i64>) -> Result<(Vec<i64>, Vec<i64>)> {
        self.read(move |db| {
            Ok((
                tally(
                    db,
                    "SELECT seconds_after_expiry FROM renewals WHERE seconds_after_expiry IS NOT NULL",
                    &after_expiry,
                )?,
                // What `refetch` asked for again was readable before.
                tally(
                    db,
                    "SELECT settled_at - detected_at FROM renewals WHERE state = 'queued' AND revision = 0",
                    &readable,
                )?,
            ))
        })
        .await
    }

    /// The size of the database as SQLite sees it, without its log.
    pub async fn bytes(&self) -> Result<i64> {
        self.read(|db| {
            Ok(db.query_row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", [], |row| {
                row.get(0)
            })?)
        })
        .await
    }
}

/// One number for each span between the bounds, the open ends included.
fn tally(db: &rusqlite::Connection, query: &str, bounds: &[i64]) -> Result<Vec<i64>> {
    let mut counts = vec![0; bounds.len() + 1];
    let mut statement = db.prepare_cached(query)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let seconds: i64 = row.get(0)?;
        counts[bounds.partition_point(|bound| *bound <= seconds)] += 1;
    }
    Ok(counts)
}
