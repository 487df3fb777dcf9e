//! Subscriptions that the provider lists and nobody had tracked: kept for a person to see, or tracked.

use rusqlite::named_params;

use super::track::{NewSubscription, Tracked, track};
use crate::choice::Lane;
use crate::clock::Timestamp;
use crate::renewal::State;
use crate::store::rows::{self, rows};
use crate::store::work::NewMessage;
use crate::store::work::messages;
use crate::store::{Result, Store};

/// One that is to be tracked, and the message that tells of it; whose row that is about is known once it is tracked.
#[derive(Clone, Debug)]
pub struct Discovery {
    pub new: NewSubscription,
    pub message: Option<NewMessage>,
}

/// One that nobody tracks.
#[derive(Clone, Debug)]
pub struct Discovered {
    pub provider: String,
    pub subscription_id: String,
    pub number: Option<String>,
    pub created_at: Option<Timestamp>,
    pub first_seen_at: Timestamp,
}

rows! {
    Discovered {
        provider = "d.provider",
        subscription_id = "d.subscription_id",
        number = "d.number",
        created_at = "d.created_at",
        first_seen_at = "d.first_seen_at",
    }
}

impl Store {
    /// When subscriptions that nobody tracks were to be tracked for the first time: now, unless they were before.
    pub async fn begin_discovery(&self, provider: &str, now: Timestamp) -> Result<Timestamp> {
        let provider = provider.to_owned();
        self.write(move |db| {
            let named = named_params! { ":provider": provider, ":now": now };
            db.execute(
                "INSERT INTO discoveries (provider, began_at) VALUES (:provider, :now) ON CONFLICT DO NOTHING",
                named,
            )?;
            let began = "SELECT began_at FROM discoveries WHERE provider = :provider";
            rows::value(db, began, named_params! { ":provider": provider })
        })
        .await
    }

    /// Somebody is said to be there whom nobody tracks: what has changed is read soon.
    pub async fn hint_at_stranger(&self, provider: &str, now: Timestamp) -> Result<()> {
        let provider = provider.to_owned();
        self.write(move |db| {
            db.prepare_cached("UPDATE discoveries SET hinted_at = :now WHERE provider = :provider")?
                .execute(named_params! { ":provider": provider, ":now": now })?;
            Ok(())
        })
        .await
    }

    /// Tracks them, each with its message, and returns how many were not tracked before. They are due now, behind whatever anybody
    /// waits for. One that was untracked stays so.
    pub async fn discover(&self, found: Vec<Discovery>, now: Timestamp) -> Result<usize> {
        let vault = self.vault.clone();
        self.write(move |db| {
            let mut added = 0;
            for Discovery { new, message } in &found {
                if is_known(db, new)? || track(db, new, State::Watching, false, now)? != Tracked::Added {
                    continue;
                }
                let row = rows::value(
                    db,
                    "UPDATE subscriptions SET lane = :lane WHERE subscription_id = :subscription_id AND provider = :provider
                     RETURNING id",
                    named_params! {
                        ":lane": Lane::Other.rank(), ":subscription_id": new.subscription_id, ":provider": new.provider,
                    },
                )?;
                if let Some(message) = message {
                    messages::insert(db, &vault, &NewMessage { subscription: row, ..message.clone() })?;
                }
                added += 1;
            }
            Ok(added)
        })
        .await
    }

    /// Those that nobody tracks, first seen first; of one provider, or all.
    pub async fn discovered(&self, provider: Option<&str>) -> Result<Vec<Discovered>> {
        let provider = provider.map(str::to_owned);
        self.read(move |db| {
            rows::all(
                db,
                "FROM discovered d
                 WHERE (:provider IS NULL OR d.provider = :provider)
                   AND NOT EXISTS (SELECT 1 FROM subscriptions s
                                   WHERE s.subscription_id = d.subscription_id AND s.provider = d.provider)
                 ORDER BY d.first_seen_at, d.provider, d.subscription_id",
                named_params! { ":provider": provider },
            )
        })
        .await
    }
}

/// Tracked, or untracked on purpose.
fn is_known(db: &rusqlite::Connection, new: &NewSubscription) -> Result<bool> {
    let known = "SELECT 1 FROM subscriptions WHERE subscription_id = :subscription_id AND provider = :provider";
    rows::exists(db, known, named_params! { ":subscription_id": new.subscription_id, ":provider": new.provider })
}
