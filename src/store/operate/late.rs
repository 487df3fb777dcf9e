//! Which watched subscriptions have waited too long for an answer, told from those that the budget makes wait; and which
//! renewals have waited too long for their order data.
//!
//! Nothing here looks at all rows: `status`, metrics and alerts ask often, and a reseller may track a million. While all goes
//! well next to nothing is read; when nearly everybody is late, no more than [`MOST_COUNTED`] are.

use std::time::Duration;

use rusqlite::{Connection, named_params};

use crate::choice::Lane;
use crate::clock::Timestamp;
use crate::forecast::Forecast;
use crate::renewal::{Pace, Rules};
use crate::store::rows::{self, rows};
use crate::store::work::territories::territories_of;
use crate::store::{Result, Store};

/// More are not counted, of each kind: who has so many late subscriptions needs no exact number, but needs it at once.
pub const MOST_COUNTED: i64 = 20_000;

/// Such a count, for a person.
pub fn counted(found: i64) -> String {
    if found >= MOST_COUNTED { format!("{MOST_COUNTED} or more") } else { found.to_string() }
}

/// How old a last answer may be.
#[derive(Clone, Debug)]
pub struct Leeway {
    rules: Rules,
    forecast: Forecast,
    at_least: Duration,
}

impl Leeway {
    /// An answer may be 1.1 × its interval old, and always as old as `at_least`. Who was not asked yet may also wait as long as
    /// `forecast` makes one expect; one that was asked in vain may not.
    pub fn new(rules: Rules, forecast: Forecast, at_least: Duration) -> Self {
        Self { rules, forecast, at_least }
    }

    fn asked(&self, pace: Pace) -> Duration {
        self.rules.interval(pace).mul_f64(1.1).max(self.at_least)
    }

    fn unasked(&self, pace: Pace, lane: Lane) -> Duration {
        self.asked(pace).max(self.forecast.wait(lane, pace).mul_f64(1.1))
    }
}

/// Watched subscriptions of one provider that need a look, or patience; each kind counted up to a bound (`MOST_COUNTED`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Late {
    /// Overdue: nobody has asked, and not because the budget is too small.
    pub unasked: i64,
    /// Overdue: asked, and nobody has answered.
    pub unanswered: i64,
    /// Overdue: asked, and refused.
    pub refused_for_long: i64,
    /// Due for longer than a tenth of its interval, and not overdue.
    pub delayed: i64,
    /// The provider refused the last request, however fresh the last answer is.
    pub refused: i64,
    /// The last request brought no usable answer, however fresh the last one is.
    pub failing: i64,
}

impl Late {
    pub fn overdue(&self) -> i64 {
        (self.unasked + self.unanswered + self.refused_for_long).min(MOST_COUNTED)
    }
}

/// The last answer lies before the first; who was not asked has then been due since before the second.
#[derive(Clone, Copy)]
struct Bounds {
    answered: Timestamp,
    due: Timestamp,
}

impl Bounds {
    fn new(leeway: &Leeway, pace: Pace, lane: Lane, now: Timestamp) -> Self {
        let answered = now - leeway.unasked(pace, lane);
        Self { answered, due: answered + leeway.rules.interval(pace) }
    }
}

impl Store {
    /// Counts who is late. Not while order data is awaited: then the provider wants no polls.
    pub async fn count_late(&self, provider: &str, leeway: &Leeway, now: Timestamp) -> Result<Late> {
        let (provider, leeway) = (provider.to_owned(), leeway.clone());
        let interval = leeway.rules.interval(Pace::Regular);
        let late_due = now - interval.mul_f64(1.1) + interval;
        self.read(move |db| {
            let failing = failing(db, &provider, &leeway, late_due, now)?;
            let mut unasked = slow_unasked(db, &provider, Bounds::new(&leeway, Pace::Daily, Lane::Other, now))?;
            let mut due = 0;
            for territory in territories_of(db, &provider)? {
                for lane in Lane::ALL {
                    let (territory, bounds) = (territory.as_str(), Bounds::new(&leeway, Pace::Regular, lane, now));
                    due += due_before(db, &provider, territory, lane, late_due, MOST_COUNTED - due)?;
                    unasked += regular_unasked(db, &provider, territory, lane, bounds, MOST_COUNTED - unasked)?;
                }
            }
            Ok(Late {
                unasked,
                unanswered: failing.unanswered,
                refused_for_long: failing.refused_for_long,
                delayed: (due - unasked - failing.due).max(0),
                refused: failing.refused,
                failing: failing.failing,
            })
        })
        .await
    }

    /// Renewals whose provider has answered for so long that their order data must wait, or has given no answer, or refused it, so
    /// often in a row.
    pub async fn count_long_waits(
        &self,
        provider: &str,
        longer_than: Duration,
        unanswered: u32,
        refused: u32,
    ) -> Result<i64> {
        let provider = provider.to_owned();
        self.read(move |db| {
            rows::value(
                db,
                "SELECT count(*) FROM renewals
                 WHERE provider = :provider AND state = 'awaiting_order_data'
                   AND (waiting_seconds + empty_seconds >= :seconds OR unanswered >= :unanswered OR refusals >= :refused)",
                named_params! {
                    ":provider": provider, ":seconds": longer_than.as_secs() as i64, ":unanswered": unanswered,
                    ":refused": refused,
                },
            )
        })
        .await
    }
}

struct Failing {
    unanswered: i64,
    refused_for_long: i64,
    refused: i64,
    failing: i64,
    due: i64,
}

rows! {
    Failing {
        unanswered = "coalesce(sum(late AND NOT refused), 0)",
        refused_for_long = "coalesce(sum(late AND refused), 0)",
        refused = "coalesce(sum(refused), 0)",
        failing = "coalesce(sum(NOT refused), 0)",
        due = "coalesce(sum(due_at < :due), 0)",
    }
}

/// Those whose last request brought no usable answer, from the oldest answer on.
fn failing(db: &Connection, provider: &str, leeway: &Leeway, late_due: Timestamp, now: Timestamp) -> Result<Failing> {
    let [regular, slow] = [Pace::Regular, Pace::Daily].map(|pace| now - leeway.asked(pace));
    rows::only(
        db,
        &format!(
            "FROM (SELECT last_outcome IS 'refused' AS refused, due_at,
                          coalesce(last_answer_at, tracked_at) < CASE pace WHEN 'regular' THEN :regular ELSE :slow END
                              AND {NOT_WAITING} AS late
                   FROM subscriptions WHERE provider = :provider AND failures > 0 AND state = 'watching'
                   ORDER BY coalesce(last_answer_at, tracked_at) LIMIT :most)"
        ),
        named_params! {
            ":provider": provider, ":regular": regular, ":slow": slow, ":due": late_due, ":most": MOST_COUNTED,
        },
    )
}

/// How many of a lane have been due since before `until`: read from the index alone.
fn due_before(
    db: &Connection,
    provider: &str,
    territory: &str,
    lane: Lane,
    until: Timestamp,
    most: i64,
) -> Result<i64> {
    rows::value(
        db,
        "SELECT count(*) FROM (
             SELECT 1 FROM subscriptions
             WHERE provider = :provider AND territory = :territory AND lane = :lane AND due_at < :until LIMIT :most)",
        named_params! {
            ":provider": provider, ":territory": territory, ":lane": lane.rank(), ":until": until, ":most": most,
        },
    )
}

fn regular_unasked(
    db: &Connection,
    provider: &str,
    territory: &str,
    lane: Lane,
    bounds: Bounds,
    most: i64,
) -> Result<i64> {
    rows::value(
        db,
        &format!(
            "SELECT count(*) FROM (
                 SELECT 1 FROM subscriptions
                 WHERE provider = :provider AND territory = :territory AND lane = :lane AND due_at < :due
                   AND state = 'watching' AND pace = 'regular' AND failures = 0
                   AND coalesce(last_answer_at, tracked_at) < :answered AND {NOT_WAITING} LIMIT :most)"
        ),
        named_params! {
            ":provider": provider, ":territory": territory, ":lane": lane.rank(), ":due": bounds.due,
            ":answered": bounds.answered, ":most": most,
        },
    )
}

/// Of those asked daily: they are few, and have an index of their own.
fn slow_unasked(db: &Connection, provider: &str, bounds: Bounds) -> Result<i64> {
    rows::value(
        db,
        &format!(
            "SELECT count(*) FROM (
                 SELECT 1 FROM subscriptions
                 WHERE provider = :provider AND pace <> 'regular' AND due_at < :due AND state = 'watching' AND failures = 0
                   AND coalesce(last_answer_at, tracked_at) < :answered AND {NOT_WAITING} LIMIT :most)"
        ),
        named_params! {
            ":provider": provider, ":due": bounds.due, ":answered": bounds.answered, ":most": MOST_COUNTED,
        },
    )
}

const NOT_WAITING: &str = "NOT EXISTS (SELECT 1 FROM renewals r WHERE r.subscription = subscriptions.id \
     AND r.state = 'awaiting_order_data')";

#[cfg(test)]
mod tests;
