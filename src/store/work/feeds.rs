//! What the providers list by themselves: how far it has been read, and which ways of listing are not to be believed.

use rusqlite::{Connection, named_params};

use crate::clock::Timestamp;
use crate::renewal::Subscription;
use crate::renewal::walk::{End, Walk};
use crate::renewal::ways::Distrusted;
use crate::store::operate::hint_rows;
use crate::store::rows::{self, rows};
use crate::store::{Result, Store};

/// Strangers of an account that are kept: more than anybody reads.
const MOST_STRANGERS: i64 = 10_000;

/// The walks over one account's changes, or over everything: the one that is under way or was the last, and what came of those
/// before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRow {
    /// The latest of the provider's times that a whole walk has seen.
    pub watermark: Option<Timestamp>,
    /// The last walk that saw all of it: when it ended, its pages, and how many of it nobody tracked.
    pub whole_at: Option<Timestamp>,
    pub whole_pages: Option<u32>,
    pub whole_untracked: Option<u32>,
    /// When rows were last held against single looks.
    pub sampled_at: Option<Timestamp>,
    pub walk: Walk,
    /// `None`: it is under way.
    pub ended: Option<End>,
}

rows! {
    FeedRow {
        watermark = "watermark",
        whole_at = "whole_at",
        whole_pages = "whole_pages",
        whole_untracked = "whole_untracked",
        sampled_at = "sampled_at",
        walk: Walk,
        ended = "ended",
    }

    Walk {
        what = "walk",
        way = "way",
        begun_at = "begun_at",
        since = "since",
        until = "until",
        next = "next",
        pages = "pages",
        pages_told = "pages_told",
        newest = "newest",
        newest_before = "newest_before",
        stale = "stale",
        untracked = "untracked",
    }

    Distrusted { way = "way", trust = "trust", why = "why", since = "since", seen_at = "seen_at" }
}

/// All that is known of one account's lists. The default: they have never been read.
#[derive(Clone, Debug, Default)]
pub struct FeedState {
    pub rows: Vec<FeedRow>,
    pub distrusted: Vec<Distrusted>,
    /// When subscriptions that nobody tracks were to be tracked for the first time.
    pub discovery_began_at: Option<Timestamp>,
    /// When one that nobody tracks was last said to be there.
    pub stranger_hinted_at: Option<Timestamp>,
}

/// What one page came to beside the answers on it: written with them, or not at all.
#[derive(Debug)]
pub struct PageRecord {
    pub provider: String,
    pub feed: FeedRow,
    /// Rows of subscriptions to be looked at.
    pub hints: Vec<i64>,
    pub strangers: Vec<Stranger>,
    /// Ways of listing that turned out not to do what they should.
    pub distrusted: Vec<Distrusted>,
    /// One that does what it should, whatever it did before.
    pub trusted: Option<String>,
}

/// A subscription that is listed and that nobody tracks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    pub subscription_id: String,
    /// The reseller's own number for it.
    pub number: Option<String>,
    /// At the provider.
    pub created_at: Option<Timestamp>,
}

impl Store {
    pub async fn feed(&self, provider: &str) -> Result<FeedState> {
        let provider = provider.to_owned();
        self.read(move |db| {
            let named = named_params! { ":provider": provider };
            let [began, hinted] = ["began_at", "hinted_at"]
                .map(|column| format!("SELECT max({column}) FROM discoveries WHERE provider = :provider"));
            Ok(FeedState {
                rows: rows::all(db, "FROM feeds WHERE provider = :provider ORDER BY walk", named)?,
                distrusted: rows::all(db, "FROM feed_ways WHERE provider = :provider ORDER BY way", named)?,
                discovery_began_at: rows::value(db, &began, named)?,
                stranger_hinted_at: rows::value(db, &hinted, named)?,
            })
        })
        .await
    }

    /// Those of these ids that are, or were, tracked at a provider where ids are unique: in one statement for a whole page.
    pub async fn listed(&self, provider: &str, subscription_ids: Vec<String>) -> Result<Vec<Subscription>> {
        let (provider, ids) = (provider.to_owned(), serde_json::Value::from(subscription_ids).to_string());
        self.read(move |db| {
            rows::all(
                db,
                "FROM subscriptions
                 WHERE subscription_id IN (SELECT value FROM json_each(:ids)) AND provider = :provider AND is_numbered = 0",
                named_params! { ":provider": provider, ":ids": ids },
            )
        })
        .await
    }

    /// Notes ways of listing that turned out not to do what they should. When that began stays.
    pub async fn distrust(&self, provider: &str, distrusted: Vec<Distrusted>) -> Result<()> {
        let provider = provider.to_owned();
        self.write(move |db| distrusted.iter().try_for_each(|one| distrust(db, &provider, one))).await
    }
}

/// Writes what a page came to.
pub(super) fn record_page(db: &Connection, page: &PageRecord, now: Timestamp) -> Result<()> {
    let PageRecord { provider, feed, hints, strangers, distrusted, trusted } = page;
    advance(db, provider, feed)?;
    hint_rows(db, hints, now)?;
    note(db, provider, strangers, now)?;
    distrusted.iter().try_for_each(|one| distrust(db, provider, one))?;
    if let Some(way) = trusted {
        db.prepare_cached("DELETE FROM feed_ways WHERE provider = :provider AND way = :way")?
            .execute(named_params! { ":provider": provider, ":way": way })?;
    }
    Ok(())
}

fn advance(db: &Connection, provider: &str, feed: &FeedRow) -> Result<()> {
    let walk = &feed.walk;
    db.prepare_cached(
        "INSERT OR REPLACE INTO feeds
             (provider, walk, watermark, whole_at, whole_pages, whole_untracked, sampled_at, way, begun_at, since, until, next,
              pages, pages_told, newest, newest_before, stale, untracked, ended)
         VALUES (:provider, :walk, :watermark, :whole_at, :whole_pages, :whole_untracked, :sampled_at, :way, :begun_at, :since,
                 :until, :next, :pages, :pages_told, :newest, :newest_before, :stale, :untracked, :ended)",
    )?
    .execute(named_params! {
        ":provider": provider, ":walk": walk.what, ":watermark": feed.watermark, ":whole_at": feed.whole_at,
        ":whole_pages": feed.whole_pages, ":whole_untracked": feed.whole_untracked, ":sampled_at": feed.sampled_at,
        ":way": walk.way, ":begun_at": walk.begun_at, ":since": walk.since, ":until": walk.until, ":next": walk.next,
        ":pages": walk.pages, ":pages_told": walk.pages_told, ":newest": walk.newest,
        ":newest_before": walk.newest_before, ":stale": walk.stale, ":untracked": walk.untracked, ":ended": feed.ended,
    })?;
    Ok(())
}

fn note(db: &Connection, provider: &str, strangers: &[Stranger], now: Timestamp) -> Result<()> {
    if strangers.is_empty() {
        return Ok(());
    }
    let named = named_params! { ":provider": provider };
    let kept: i64 = rows::value(db, "SELECT count(*) FROM discovered WHERE provider = :provider", named)?;
    let mut insert = db.prepare_cached(
        "INSERT INTO discovered (provider, subscription_id, number, created_at, first_seen_at)
         VALUES (:provider, :subscription_id, :number, :created_at, :now) ON CONFLICT DO NOTHING",
    )?;
    for stranger in strangers.iter().take(usize::try_from(MOST_STRANGERS - kept).unwrap_or(0)) {
        insert.execute(named_params! {
            ":provider": provider, ":subscription_id": stranger.subscription_id, ":number": stranger.number,
            ":created_at": stranger.created_at, ":now": now,
        })?;
    }
    Ok(())
}

fn distrust(db: &Connection, provider: &str, one: &Distrusted) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO feed_ways (provider, way, trust, why, since, seen_at)
         VALUES (:provider, :way, :trust, :why, :since, :seen_at)
         ON CONFLICT DO UPDATE SET trust = excluded.trust, why = excluded.why, seen_at = excluded.seen_at",
    )?
    .execute(named_params! {
        ":provider": provider, ":way": one.way, ":trust": one.trust, ":why": one.why, ":since": one.since,
        ":seen_at": one.seen_at,
    })?;
    Ok(())
}
