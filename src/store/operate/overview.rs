//! What `status` shows, counted. Which subscriptions are late is in `late.rs`.

use rusqlite::named_params;

use crate::choice::Lane;
use crate::clock::Timestamp;
use crate::forecast::Counts;
use crate::renewal::{Pace, State};
use crate::store::rows::{self, rows};
use crate::store::{Result, Store};

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

/// Renewals whose order data is awaited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Awaited {
    pub renewals: i64,
    pub oldest_detected_at: Option<Timestamp>,
}

rows! {
    Group {
        provider = "provider",
        state = "state",
        pace = "pace",
        lane = "lane" => Lane::from_rank,
        is_asked = "is_asked",
        count = "count",
    }

    Awaited { renewals = "count(*)", oldest_detected_at = "min(detected_at)" }
}

/// The renewals that were seen on one day, and how many of these were delivered so soon after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenewalDay {
    /// Since 1970-01-01, in UTC.
    pub day: i64,
    pub seen: i64,
    pub delivered: i64,
    pub within_minute: i64,
    pub within_hour: i64,
    pub within_day: i64,
}

rows! {
    RenewalDay {
        day = "day",
        seen = "sum(seen)",
        delivered = "sum(delivered)",
        within_minute = "sum(within_minute)",
        within_hour = "sum(within_hour)",
        within_day = "sum(within_day)",
    }
}

impl Store {
    /// Of all providers, from this day on; days without one are missing.
    pub async fn renewal_days(&self, since: i64) -> Result<Vec<RenewalDay>> {
        self.read(move |db| {
            let named = named_params! { ":since": since };
            rows::all(db, "FROM renewal_days WHERE day >= :since GROUP BY day ORDER BY day", named)
        })
        .await
    }

    /// How old the last answers of those are that are asked at the usual pace: how many are younger than the first of these seconds,
    /// than the second, …, and the rest. Reads all subscriptions.
    pub async fn count_ages(&self, provider: &str, bounds: Vec<i64>, now: Timestamp) -> Result<Vec<i64>> {
        let provider = provider.to_owned();
        self.read(move |db| {
            let query = "SELECT :now - coalesce(last_answer_at, tracked_at) FROM subscriptions
                         WHERE provider = :provider AND state = 'watching' AND pace = 'regular'";
            tally(db, query, named_params! { ":now": now, ":provider": provider }, &bounds)
        })
        .await
    }

    /// From counts that the database keeps itself: however many subscriptions there are, a handful of rows is read.
    pub async fn subscription_groups(&self) -> Result<Vec<Group>> {
        self.read(|db| {
            rows::all(
                db,
                "FROM subscription_counts WHERE count > 0 ORDER BY provider, state, pace, lane, is_asked",
                &[],
            )
        })
        .await
    }

    pub async fn count_awaited(&self, provider: &str) -> Result<Awaited> {
        let provider = provider.to_owned();
        self.read(move |db| {
            rows::only(
                db,
                "FROM renewals WHERE provider = :provider AND state = 'awaiting_order_data'",
                named_params! { ":provider": provider },
            )
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
                    &[],
                    &after_expiry,
                )?,
                // What `refetch` asked for again was readable before.
                tally(
                    db,
                    "SELECT settled_at - detected_at FROM renewals WHERE state = 'queued' AND revision = 0",
                    &[],
                    &readable,
                )?,
            ))
        })
        .await
    }
}

/// One number for each span between the bounds, the open ends included.
fn tally(
    db: &rusqlite::Connection,
    query: &str,
    named: &[(&str, &dyn rusqlite::ToSql)],
    bounds: &[i64],
) -> Result<Vec<i64>> {
    let mut counts = vec![0; bounds.len() + 1];
    let mut statement = db.prepare_cached(query)?;
    let mut rows = statement.query(named)?;
    while let Some(row) = rows.next()? {
        let seconds: i64 = row.get(0)?;
        counts[bounds.partition_point(|bound| *bound <= seconds)] += 1;
    }
    Ok(counts)
}
