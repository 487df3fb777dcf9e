//! Subscriptions as people see them: tracked, named, listed, paused, forgotten.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{Clash, Identity, Metadata, Result, Store, polls};
use crate::choice::Lane;
use crate::clock::Timestamp;
use crate::forecast::Forecast;
use crate::provider::nexway_connect::number;
pub use crate::renewal::Subscription;
use crate::renewal::{Outcome, Pace, Rules, State};

/// What is wrong with a territory that the settings do not have, for a person.
pub const NOBODY_ASKS: &str = "not in the settings, but subscriptions are filed under it: nobody asks for them";

/// A subscription that somebody wants watched.
#[derive(Clone, Debug)]
pub struct NewSubscription {
    pub provider: String,
    pub territory: String,
    /// The original number; checked with [`number::check`].
    pub partner_order_number: String,
    pub subscription_id: i64,
    /// `None`: adopt, the first poll notes it.
    pub generation: Option<i64>,
    pub expires_at: Option<Timestamp>,
    pub metadata: Option<Metadata>,
    /// `track`, `order` or `import`.
    pub tracked_by: &'static str,
}

/// What tracking came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tracked {
    Added,
    /// Left alone.
    Already,
    /// Its attributes were changed, its generation was not.
    Updated,
    /// It had been untracked; its generation was not lowered.
    Revived,
    /// Left out: it is a renewal's number, or the original of one that is tracked.
    Clashes(Clash),
}

/// A subscription with all that is stored of it.
#[derive(Clone, Debug)]
pub struct SubscriptionRow {
    pub provider: String,
    pub metadata: Metadata,
    pub tracked_at: Timestamp,
    pub tracked_by: String,
    /// Waiting renewals.
    pub waiting: u32,
    pub subscription: Subscription,
}

/// How a person names subscriptions: an original number, a suffixed one, or a subscription id.
#[derive(Clone, Debug)]
pub struct Named {
    pub name: String,
    pub subscription_id: Option<i64>,
    pub provider: Option<String>,
    pub territory: Option<String>,
}

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
    /// What the last poll came to.
    pub outcome: Option<Outcome>,
    /// Only those of which a surprise stands.
    pub surprise: bool,
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

fn columns() -> String {
    format!(
        "{}, provider, metadata, tracked_at, tracked_by, (SELECT count(*) FROM renewals r WHERE \
         r.subscription = subscriptions.id AND r.state = 'awaiting_order_data')",
        polls::COLUMNS
    )
}

fn subscription_row(row: &Row<'_>) -> rusqlite::Result<SubscriptionRow> {
    Ok(SubscriptionRow {
        subscription: polls::subscription(row)?,
        provider: row.get("provider")?,
        metadata: Metadata::stored(row.get("metadata")?),
        tracked_at: row.get("tracked_at")?,
        tracked_by: row.get("tracked_by")?,
        waiting: row.get(28)?,
    })
}

impl Store {
    /// Tracks subscriptions in one transaction, and says for each what happened. The identity is (provider, partner order
    /// number, subscription id); one that is tracked already is left alone unless `update`, which changes its attributes. Of two
    /// that are one subscription the second is left out: [`Tracked::Clashes`].
    pub async fn track(&self, new: Vec<NewSubscription>, update: bool, now: Timestamp) -> Result<Vec<Tracked>> {
        self.track_in(new.into_iter().map(|one| (one, State::Watching)).collect(), update, now).await
    }

    /// As [`Store::track`], each in the state that an export gave it. One that is tracked already keeps its own.
    pub async fn track_in(
        &self,
        new: Vec<(NewSubscription, State)>,
        update: bool,
        now: Timestamp,
    ) -> Result<Vec<Tracked>> {
        self.write(move |db| new.iter().map(|(one, state)| track(db, one, *state, update, now)).collect()).await
    }

    /// Stops watching: waiting renewals are dropped, what is queued is still delivered. Untracking twice changes nothing.
    pub async fn untrack(&self, row: i64, now: Timestamp) -> Result<()> {
        self.write(move |db| {
            db.execute(
                "UPDATE subscriptions SET state = 'untracked', due_at = NULL, ended_at = NULL WHERE id = :id",
                named_params! { ":id": row },
            )?;
            db.execute(
                "UPDATE renewals SET state = 'dropped', next_attempt_at = NULL, settled_at = :now
                 WHERE subscription = :id AND state = 'awaiting_order_data'",
                named_params! { ":id": row, ":now": now },
            )?;
            Ok(())
        })
        .await
    }

    /// The subscriptions that a name may mean.
    pub async fn find(&self, named: Named) -> Result<Vec<SubscriptionRow>> {
        self.read(move |db| {
            let mut originals = vec![named.name.clone()];
            if let Some((before, digits)) = named.name.rsplit_once('-')
                && number::generation_in(before, &named.name).is_some()
                && !digits.is_empty()
            {
                originals.push(before.to_owned());
            }
            let by_id: Option<i64> = named.name.parse().ok();
            let mut statement = db.prepare_cached(&format!(
                "SELECT {} FROM subscriptions
                 WHERE id IN (SELECT id FROM subscriptions WHERE subscription_id = :by_id
                              UNION SELECT s.id FROM json_each(:originals) o
                              JOIN subscriptions s ON s.partner_order_number = o.value)
                   AND (:provider IS NULL OR provider = :provider) AND (:territory IS NULL OR territory = :territory)
                   AND (:subscription_id IS NULL OR subscription_id = :subscription_id)
                 ORDER BY id LIMIT 100",
                columns()
            ))?;
            let rows = statement.query_map(
                named_params! {
                    ":by_id": by_id, ":originals": serde_json::Value::from(originals).to_string(),
                    ":provider": named.provider, ":territory": named.territory,
                    ":subscription_id": named.subscription_id,
                },
                subscription_row,
            )?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Those of these that are tracked, in the same order.
    pub async fn subscriptions(&self, identities: Vec<Identity>) -> Result<Vec<Option<SubscriptionRow>>> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {} FROM subscriptions
                 WHERE provider = :provider AND partner_order_number = :number AND subscription_id = :subscription_id",
                columns()
            ))?;
            let mut one = |identity: &Identity| {
                let Identity { provider, partner_order_number, subscription_id } = identity;
                let named = named_params! {
                    ":provider": provider, ":number": partner_order_number, ":subscription_id": subscription_id,
                };
                Ok(statement.query_row(named, subscription_row).optional()?)
            };
            identities.iter().map(&mut one).collect()
        })
        .await
    }

    /// A subscription's metadata, as JSON; `None` when it was forgotten meanwhile.
    pub async fn metadata(&self, row: i64) -> Result<Option<String>> {
        self.read(move |db| {
            Ok(db
                .prepare_cached("SELECT metadata FROM subscriptions WHERE id = :id")?
                .query_row(named_params! { ":id": row }, |row| row.get(0))
                .optional()?)
        })
        .await
    }

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
            let mut statement = db.prepare_cached(&format!(
                "SELECT {} FROM subscriptions
                 WHERE id > :after AND (:state IS NULL OR state = :state)
                   AND (:provider IS NULL OR provider = :provider) AND (:territory IS NULL OR territory = :territory)
                   AND (:regular IS NULL OR (state = 'watching'
                        AND coalesce(last_answer_at, tracked_at) < CASE pace WHEN 'regular' THEN :regular ELSE :daily END
                        AND NOT EXISTS (SELECT 1 FROM renewals r WHERE r.subscription = subscriptions.id
                                        AND r.state = 'awaiting_order_data')
                        AND NOT (failures = 0 AND coalesce(last_answer_at, tracked_at) >= coalesce(
                            :expected ->> format('$.%s[%d]', provider,
                                                 CASE WHEN lane = 1 THEN 0 WHEN pace = 'regular' THEN 1 ELSE 2 END),
                            :now))))
                   AND (NOT :not_renewed OR (state = 'watching' AND not_renewed_term = expires_at))
                   AND (:outcome IS NULL OR (state = 'watching' AND last_outcome = :outcome))
                   AND (NOT :surprise OR (state = 'watching' AND surprise IS NOT NULL))
                 ORDER BY id LIMIT :limit",
                columns()
            ))?;
            let rows = statement.query_map(
                named_params! {
                    ":after": filter.after, ":state": filter.state, ":provider": filter.provider,
                    ":territory": filter.territory, ":regular": late(Pace::Regular), ":daily": late(Pace::Daily),
                    ":expected": expected, ":now": now,
                    ":not_renewed": filter.not_renewed, ":outcome": filter.outcome, ":surprise": filter.surprise,
                    ":limit": filter.limit as i64 + 1,
                },
                subscription_row,
            )?;
            let mut items = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            let more = items.len() > filter.limit;
            items.truncate(filter.limit);
            let next = items.last().filter(|_| more).map(|last| last.subscription.row);
            Ok(Listed { items, next })
        })
        .await
    }

    /// The pairs of provider and territory that subscriptions are filed under.
    pub async fn territories_in_use(&self) -> Result<Vec<(String, String)>> {
        self.read(|db| {
            // Steps from one to the next along the index: a handful of look-ups, however many rows there are. Not with
            // `(provider, territory) > (..)`: for that SQLite reads every row of the pair it starts from.
            let mut next = db.prepare_cached(
                "SELECT min(provider) FROM subscriptions WHERE due_at IS NOT NULL AND provider > :provider",
            )?;
            let (mut pairs, mut provider) = (Vec::new(), String::new());
            while let Some(found) = next.query_row(named_params! { ":provider": provider }, |row| row.get(0))? {
                provider = found;
                let territories = territories_of(db, &provider)?;
                pairs.extend(territories.into_iter().map(|territory| (provider.clone(), territory)));
            }
            Ok(pairs)
        })
        .await
    }

    /// Of the territories in use those that are not among `asked`, and those with a renewal that is due, whatever became of its
    /// subscription: [`NOBODY_ASKS`].
    pub async fn territories_beside(
        &self,
        asked: BTreeSet<(String, String)>,
        now: Timestamp,
    ) -> Result<Vec<(String, String)>> {
        let mut pairs = BTreeSet::from_iter(self.territories_in_use().await?);
        pairs.extend(self.read(move |db| renewed_territories(db, now)).await?);
        Ok(pairs.difference(&asked).cloned().collect())
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

/// The pairs of provider and territory with a renewal that has long been due. Where it is asked for it does not stay among the first.
fn renewed_territories(db: &Connection, now: Timestamp) -> Result<Vec<(String, String)>> {
    const FIRST: i64 = 1000;
    let mut next = db.prepare_cached(
        "SELECT min(provider) FROM renewals WHERE state = 'awaiting_order_data' AND provider > :provider",
    )?;
    let mut first = db.prepare_cached(
        "SELECT DISTINCT s.territory
         FROM (SELECT subscription FROM renewals
               WHERE provider = :provider AND state = 'awaiting_order_data' AND next_attempt_at <= :now
               ORDER BY next_attempt_at LIMIT :first) r JOIN subscriptions s ON s.id = r.subscription",
    )?;
    let (mut pairs, mut provider) = (Vec::new(), String::new());
    while let Some(found) = next.query_row(named_params! { ":provider": provider }, |row| row.get(0))? {
        provider = found;
        let mut rows = first.query(named_params! { ":provider": provider, ":now": now, ":first": FIRST })?;
        while let Some(row) = rows.next()? {
            pairs.push((provider.clone(), row.get(0)?));
        }
    }
    Ok(pairs)
}

/// The territories with subscriptions that are asked.
pub(super) fn territories_of(db: &Connection, provider: &str) -> rusqlite::Result<Vec<String>> {
    let mut next = db.prepare_cached(
        "SELECT min(territory) FROM subscriptions
         WHERE due_at IS NOT NULL AND provider = ?1 AND territory > ?2",
    )?;
    let (mut territories, mut territory) = (Vec::new(), String::new());
    let parameters = |territory: &str| [provider.to_owned(), territory.to_owned()];
    while let Some(found) = next.query_row(parameters(&territory), |row| row.get::<_, Option<String>>(0))? {
        territories.push(found.clone());
        territory = found;
    }
    Ok(territories)
}

fn track(db: &Connection, new: &NewSubscription, state: State, update: bool, now: Timestamp) -> Result<Tracked> {
    if let Some(clash) = Clash::find(db, &Identity::of(new))? {
        return Ok(Tracked::Clashes(clash));
    }
    let metadata = new.metadata.as_ref().map(Metadata::as_json);
    let adopt = new.generation.is_none();
    let inserted = db
        .prepare_cached(
            "INSERT INTO subscriptions (provider, partner_order_number, subscription_id, territory, generation, expires_at,
                                        metadata, tracked_at, tracked_by, lane, state, due_at, ended_at, pace)
             VALUES (:provider, :number, :subscription_id, :territory, :generation, :expires_at,
                     coalesce(:metadata, '{}'), :now, :tracked_by, :lane, :state,
                     CASE WHEN :state IN ('watching', 'ended') THEN :now END,
                     CASE WHEN :state = 'ended' THEN :now END,
                     CASE WHEN :state = 'ended' THEN 'monthly' ELSE 'regular' END)
             ON CONFLICT (partner_order_number, subscription_id, provider) DO NOTHING",
        )?
        .execute(named_params! {
            ":provider": new.provider, ":number": new.partner_order_number, ":subscription_id": new.subscription_id,
            ":territory": new.territory, ":generation": new.generation, ":expires_at": new.expires_at,
            ":metadata": metadata, ":now": now, ":tracked_by": new.tracked_by, ":lane": if adopt { 0 } else { 2 },
            ":state": state,
        })?;
    if inserted == 1 {
        return Ok(Tracked::Added);
    }
    let (row, stands, is_elsewhere): (i64, State, bool) = db
        .prepare_cached(
            "SELECT id, state, territory <> :territory FROM subscriptions
             WHERE provider = :provider AND partner_order_number = :number AND subscription_id = :subscription_id",
        )?
        .query_row(
            named_params! {
                ":provider": new.provider, ":number": new.partner_order_number,
                ":subscription_id": new.subscription_id, ":territory": new.territory,
            },
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
    let revive = stands == State::Untracked && state != State::Untracked;
    if revive {
        revive_row(db, row, state, new.generation, now)?;
    }
    if revive || update {
        db.prepare_cached(
            "UPDATE subscriptions SET territory = :territory, metadata = coalesce(:metadata, metadata),
                 expires_at = CASE WHEN expiry_reported = 1 THEN expires_at ELSE coalesce(:expires_at, expires_at) END,
                 due_at = CASE WHEN due_at IS NOT NULL AND territory <> :territory THEN :now ELSE due_at END,
                 refusals = CASE WHEN territory <> :territory THEN 0 ELSE refusals END
             WHERE id = :id",
        )?
        .execute(named_params! {
            ":territory": new.territory, ":metadata": metadata, ":expires_at": new.expires_at, ":id": row, ":now": now,
        })?;
        if is_elsewhere {
            // What the wrong territory refused is asked for by the right one at once.
            db.prepare_cached(
                "UPDATE renewals SET next_attempt_at = :now, refusals = 0
                 WHERE subscription = :id AND state = 'awaiting_order_data'",
            )?
            .execute(named_params! { ":id": row, ":now": now })?;
        }
    }
    Ok(match (revive, update) {
        (true, _) => Tracked::Revived,
        (false, true) => Tracked::Updated,
        (false, false) => Tracked::Already,
    })
}

/// Tracks an untracked subscription again, in this state. Renewals that were dropped meanwhile are wanted again where the caller says that it has
/// only an earlier generation; an adopting caller wants none of them, nor of those that came since: the first poll notes what is.
fn revive_row(db: &Connection, row: i64, state: State, generation: Option<i64>, now: Timestamp) -> Result<()> {
    db.execute(
        "UPDATE subscriptions SET state = :state, terminal_since = NULL,
             due_at = CASE WHEN :state IN ('watching', 'ended') THEN :now END,
             ended_at = CASE WHEN :state = 'ended' THEN :now END,
             pace = CASE WHEN :state = 'ended' THEN 'monthly' ELSE 'regular' END,
             lane = CASE WHEN :generation IS NULL THEN 0 ELSE 2 END,
             generation = CASE WHEN :generation IS NULL THEN NULL
                               ELSE max(coalesce(generation, 0), :generation) END
         WHERE id = :id AND state = 'untracked'",
        named_params! { ":id": row, ":now": now, ":generation": generation, ":state": state },
    )?;
    db.execute(
        "UPDATE renewals SET state = 'awaiting_order_data', settled_at = NULL, next_attempt_at = :now
         WHERE subscription = :id AND state = 'dropped' AND generation > :generation",
        named_params! { ":id": row, ":now": now, ":generation": generation },
    )?;
    Ok(())
}
