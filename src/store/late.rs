//! Which watched subscriptions have waited too long for an answer, told from those that the budget makes wait.
//!
//! Nothing here looks at all rows: `status`, metrics and alerts ask often, and a reseller may track a million.

use std::time::Duration;

use rusqlite::{Connection, named_params};

use super::{Result, Store, subscriptions};
use crate::choice::Lane;
use crate::clock::Timestamp;
use crate::forecast::Forecast;
use crate::renewal::{Pace, Rules};

/// Watched subscriptions of one provider that need a look, or patience.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Late {
    /// Last answer older than 1.1 × its interval, and not because the budget is too small.
    pub overdue: i64,
    /// Due for longer than a tenth of its interval, and no longer than the budget makes one expect.
    pub delayed: i64,
    /// The provider refused the last request.
    pub refused: i64,
}

/// How far back the last answer of one pace may lie, and what that says of due times, by which rows are found.
#[derive(Clone, Copy)]
struct Bounds {
    /// Answers older than this are late by their interval alone.
    late: Timestamp,
    /// Answers older than this are late whatever the budget.
    overdue: Timestamp,
    /// Who has no failure, and is late or overdue, has been due since before these.
    late_due: Timestamp,
    overdue_due: Timestamp,
}

impl Bounds {
    fn new(pace: Pace, wait: Duration, rules: &Rules, now: Timestamp) -> Self {
        let interval = rules.interval(pace);
        let (late, overdue) = (now - interval.mul_f64(1.1), now - wait.max(interval).mul_f64(1.1));
        Self { late, overdue, late_due: late + interval, overdue_due: overdue + interval }
    }
}

impl Store {
    /// Tells overdue subscriptions from those that `forecast` makes wait. One that was asked in vain is never merely delayed.
    pub async fn count_late(&self, provider: &str, rules: &Rules, forecast: &Forecast, now: Timestamp) -> Result<Late> {
        let provider = provider.to_owned();
        let urgent = Bounds::new(Pace::Regular, forecast.wait(Lane::Urgent, Pace::Regular), rules, now);
        let other = Bounds::new(Pace::Regular, forecast.wait(Lane::Other, Pace::Regular), rules, now);
        let slow = Bounds::new(Pace::Daily, forecast.wait(Lane::Other, Pace::Daily), rules, now);
        self.read(move |db| {
            let failing = failing(db, &provider, other, slow)?;
            let mut overdue = slow_overdue(db, &provider, slow)?;
            let mut due = 0;
            for territory in subscriptions::territories_of(db, &provider)? {
                for (lane, bounds) in [(Lane::AskedFor, other), (Lane::Urgent, urgent), (Lane::Other, other)] {
                    due += due_before(db, &provider, &territory, lane, bounds.late_due)?;
                    overdue += regular_overdue(db, &provider, &territory, lane, bounds)?;
                }
            }
            Ok(Late {
                overdue: overdue + failing.overdue,
                delayed: (due - overdue - failing.due).max(0),
                refused: failing.refused,
            })
        })
        .await
    }
}

struct Failing {
    overdue: i64,
    refused: i64,
    due: i64,
}

/// Those whose last request brought no usable answer.
fn failing(db: &Connection, provider: &str, regular: Bounds, slow: Bounds) -> rusqlite::Result<Failing> {
    db.prepare_cached(&format!(
        "SELECT coalesce(sum(coalesce(last_answer_at, tracked_at) <
                             CASE pace WHEN 'regular' THEN :regular ELSE :slow END AND {NOT_WAITING}), 0),
                coalesce(sum(last_outcome = 'refused'), 0), coalesce(sum(due_at < :due), 0)
         FROM subscriptions WHERE provider = :provider AND failures > 0 AND state = 'watching'"
    ))?
    .query_row(
        named_params! { ":provider": provider, ":regular": regular.late, ":slow": slow.late, ":due": regular.late_due },
        |row| Ok(Failing { overdue: row.get(0)?, refused: row.get(1)?, due: row.get(2)? }),
    )
}

/// How many of a lane have been due since before `until`: read from the index alone.
fn due_before(db: &Connection, provider: &str, territory: &str, lane: Lane, until: Timestamp) -> rusqlite::Result<i64> {
    db.prepare_cached(
        "SELECT count(*) FROM subscriptions
         WHERE provider = :provider AND territory = :territory AND lane = :lane AND due_at < :until",
    )?
    .query_row(
        named_params! { ":provider": provider, ":territory": territory, ":lane": lane.rank(), ":until": until },
        |row| row.get(0),
    )
}

fn regular_overdue(
    db: &Connection,
    provider: &str,
    territory: &str,
    lane: Lane,
    bounds: Bounds,
) -> rusqlite::Result<i64> {
    db.prepare_cached(&format!(
        "SELECT count(*) FROM subscriptions
         WHERE provider = :provider AND territory = :territory AND lane = :lane AND due_at < :due
           AND state = 'watching' AND pace = 'regular' AND failures = 0
           AND coalesce(last_answer_at, tracked_at) < :overdue AND {NOT_WAITING}"
    ))?
    .query_row(
        named_params! {
            ":provider": provider, ":territory": territory, ":lane": lane.rank(),
            ":due": bounds.overdue_due, ":overdue": bounds.overdue,
        },
        |row| row.get(0),
    )
}

/// Of those asked daily: they are few, and have an index of their own.
fn slow_overdue(db: &Connection, provider: &str, bounds: Bounds) -> rusqlite::Result<i64> {
    db.prepare_cached(&format!(
        "SELECT count(*) FROM subscriptions
         WHERE provider = :provider AND pace <> 'regular' AND due_at < :due AND state = 'watching' AND failures = 0
           AND coalesce(last_answer_at, tracked_at) < :overdue AND {NOT_WAITING}"
    ))?
    .query_row(named_params! { ":provider": provider, ":due": bounds.overdue_due, ":overdue": bounds.overdue }, |row| {
        row.get(0)
    })
}

const NOT_WAITING: &str = "NOT EXISTS (SELECT 1 FROM renewals r WHERE r.subscription = subscriptions.id \
     AND r.state = 'awaiting_order_data')";

#[cfg(test)]
mod tests;
