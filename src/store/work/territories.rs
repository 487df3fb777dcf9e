//! Territories: which are in use, and which are stopped because the provider refuses all that is asked in them.

use std::collections::BTreeSet;

use rusqlite::{Connection, named_params};

use crate::clock::Timestamp;
use crate::store::{Result, Store, rows};

/// What is wrong with a territory that the settings do not have, for a person.
pub const NOBODY_ASKS: &str = "not in the settings, but subscriptions are filed under it: nobody asks for them";

/// A territory that is not asked, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoppedTerritory {
    pub provider: String,
    pub territory: String,
    pub stopped_at: Timestamp,
    pub reason: String,
}

impl Store {
    pub async fn stop_territory(&self, stopped: StoppedTerritory) -> Result<()> {
        self.write(move |db| {
            db.execute(
                "INSERT INTO territories (provider, territory, stopped_at, reason)
                 VALUES (:provider, :territory, :stopped_at, :reason) ON CONFLICT DO NOTHING",
                named_params! {
                    ":provider": stopped.provider, ":territory": stopped.territory,
                    ":stopped_at": stopped.stopped_at, ":reason": stopped.reason,
                },
            )?;
            Ok(())
        })
        .await
    }

    pub async fn open_territory(&self, provider: &str, territory: &str) -> Result<()> {
        let (provider, territory) = (provider.to_owned(), territory.to_owned());
        self.write(move |db| {
            db.execute(
                "DELETE FROM territories WHERE provider = :provider AND territory = :territory",
                named_params! { ":provider": provider, ":territory": territory },
            )?;
            Ok(())
        })
        .await
    }

    pub async fn stopped_territories(&self) -> Result<Vec<StoppedTerritory>> {
        self.read(|db| rows::all(db, "FROM territories ORDER BY provider, territory", &[])).await
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
pub(in crate::store) fn territories_of(db: &Connection, provider: &str) -> rusqlite::Result<Vec<String>> {
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
