//! Subscriptions as lists show them, a page at a time.

use std::collections::BTreeMap;

use rusqlite::named_params;

use super::find::SubscriptionRow;
use super::warned::WARNED_FOR;
use crate::choice::Lane;
use crate::clock::Timestamp;
use crate::forecast::Forecast;
use crate::renewal::{Outcome, Pace, Rules, State};
use crate::store::{Result, Store, rows};

/// What `list` is asked for. Empty matches everything.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    pub state: Option<State>,
    pub provider: Option<String>,
    pub territory: Option<String>,
    /// Last answer older than 1.1 × its interval and not awaiting order data, by these rules.
    pub overdue: Option<Rules>,
    /// By provider. Of those overdue, not the ones that only wait for the budget.
    pub forecasts: BTreeMap<String, Forecast>,
    pub not_renewed: bool,
    /// Only those whose payment fails.
    pub payment_failing: bool,
    /// What the last poll came to.
    pub outcome: Option<Outcome>,
    /// Only those of which a surprise stands.
    pub surprise: bool,
    /// Only those of which something was lately delivered with a warning.
    pub warned: bool,
    /// Rows behind this one.
    pub after: i64,
    pub limit: usize,
}

/// One page of [`Store::list`].
#[derive(Clone, Debug)]
pub struct Listed {
    pub items: Vec<SubscriptionRow>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<i64>,
}

impl Store {
    /// One page of subscriptions in the order in which they were tracked.
    pub async fn list(&self, filter: ListFilter, now: Timestamp) -> Result<Listed> {
        self.read(move |db| {
            let since = |(provider, forecast): (&String, &Forecast)| {
                let of = |lane, pace| now - forecast.wait(lane, pace).mul_f64(1.1);
                let by_urgency = [
                    of(Lane::Urgent, Pace::Regular),
                    of(Lane::Other, Pace::Regular),
                    of(Lane::Other, Pace::Daily),
                ];
                (provider.clone(), serde_json::Value::from_iter(by_urgency.map(Timestamp::as_unix)))
            };
            let expected = serde_json::Value::from_iter(filter.forecasts.iter().map(since)).to_string();
            let late = |pace| filter.overdue.as_ref().map(|rules| now - rules.interval(pace).mul_f64(1.1));
            let mut items: Vec<SubscriptionRow> = rows::all(
                db,
                "FROM subscriptions
                 WHERE id > :after AND (:state IS NULL OR state = :state)
                   AND (:provider IS NULL OR provider = :provider) AND (:territory IS NULL OR territory = :territory)
                   AND (:regular IS NULL OR (state = 'watching'
                        AND coalesce(last_answer_at, tracked_at) < CASE pace WHEN 'regular' THEN :regular ELSE :daily END
                        AND NOT EXISTS (SELECT 1 FROM renewals r WHERE r.subscription = subscriptions.id
                                        AND r.state = 'awaiting_order_data')
                        AND NOT (failures = 0 AND coalesce(last_answer_at, tracked_at) >= coalesce(
                            :expected ->> format('$.%s[%d]', provider,
                                                 CASE WHEN lane = 2 THEN 0 WHEN pace = 'regular' THEN 1 ELSE 2 END),
                            :now))))
                   AND (NOT :not_renewed OR (state = 'watching' AND not_renewed_term = expires_at))
                   AND (NOT :payment_failing OR (state = 'watching' AND failing_generation IS NOT NULL))
                   AND (:outcome IS NULL OR (state = 'watching' AND last_outcome = :outcome))
                   AND (NOT :surprise OR (state = 'watching' AND surprise IS NOT NULL))
                   AND (NOT :warned OR id IN (SELECT subscription FROM renewals
                                              WHERE warnings IS NOT NULL AND (settled_at IS NULL OR settled_at > :lately)))
                 ORDER BY id LIMIT :limit",
                named_params! {
                    ":after": filter.after, ":state": filter.state, ":provider": filter.provider,
                    ":territory": filter.territory, ":regular": late(Pace::Regular), ":daily": late(Pace::Daily),
                    ":expected": expected, ":now": now,
                    ":not_renewed": filter.not_renewed, ":payment_failing": filter.payment_failing, ":outcome": filter.outcome, ":surprise": filter.surprise,
                    ":warned": filter.warned, ":lately": now - WARNED_FOR,
                    ":limit": filter.limit as i64 + 1,
                },
            )?;
            let more = items.len() > filter.limit;
            items.truncate(filter.limit);
            let next = items.last().filter(|_| more).map(|last| last.subscription.row);
            Ok(Listed { items, next })
        })
        .await
    }
}
