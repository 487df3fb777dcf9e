//! What `status` shows, counted. Which subscriptions are late is in `late.rs`.

use rusqlite::named_params;

use super::{Result, SinkState, Store};
use crate::choice::Lane;
use crate::clock::Timestamp;
use crate::forecast::Counts;
use crate::renewal::{Pace, State};

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Waiting {
    pub renewals: i64,
    pub oldest_detected_at: Option<Timestamp>,
}

impl Store {
    /// From counts that the database keeps itself: however many subscriptions there are, a handful of rows is read.
    pub async fn subscription_groups(&self) -> Result<Vec<Group>> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT provider, state, pace, lane, is_asked, count FROM subscription_counts WHERE count > 0
                 ORDER BY provider, state, pace, lane, is_asked",
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

    /// How many renewals, over all providers, are asked for by `until`, and when the next of them is.
    pub async fn renewals_due(&self, until: Timestamp) -> Result<(i64, Option<Timestamp>)> {
        self.read(move |db| {
            Ok(db
                .prepare_cached(
                    "SELECT count(*), min(next_attempt_at) FROM renewals
                     WHERE state = 'awaiting_order_data' AND next_attempt_at <= :until",
                )?
                .query_row(named_params! { ":until": until }, |row| Ok((row.get(0)?, row.get(1)?)))?)
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
