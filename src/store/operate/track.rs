//! Tracking: what somebody wants watched, watched again, or watched no more.

use rusqlite::{Connection, named_params};

use super::identity::{Clash, IS_IT, Identity};
use super::metadata::Metadata;
use crate::choice::Lane;
use crate::clock::Timestamp;
use crate::convention::Convention;
use crate::renewal::news::KnownDelivery;
use crate::renewal::{State, Subscription};
use crate::store::rows::{self, rows};
use crate::store::work::renewals::insert_known;
use crate::store::{Result, Store};

/// A subscription that somebody wants watched.
#[derive(Clone, Debug)]
pub struct NewSubscription {
    pub provider: String,
    /// Of the provider's kind.
    pub convention: &'static Convention,
    pub territory: String,
    /// The original number, as [`Convention::number`] gives it.
    pub partner_order_number: String,
    /// As [`Convention::subscription_id`] gives it.
    pub subscription_id: String,
    /// `None`: adopt, the first poll notes it.
    pub generation: Option<i64>,
    /// Deliveries that the customer has had, where the provider names them itself.
    pub known: Vec<KnownDelivery>,
    /// As [`Subscription::known_before`]. `None`: until it is tracked.
    pub known_before: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub metadata: Option<Metadata>,
    /// `track`, `order`, `import` or `discovery`.
    pub tracked_by: &'static str,
}

impl NewSubscription {
    /// The given order number, where it is an attribute and not what is stored. One that was left out is the subscription id.
    pub fn other_number(&self, stored: &Subscription) -> Option<&str> {
        let number = self.partner_order_number.as_str();
        (number != self.subscription_id && number != stored.partner_order_number).then_some(number)
    }

    /// The given expiry, where it is not what is stored and should be: a reported one beats it, and after a renewal it is of a
    /// term that is over.
    pub fn other_expiry(&self, stored: &Subscription) -> Option<Timestamp> {
        let has_renewed = self.generation.zip(stored.generation).is_some_and(|(given, stored)| given < stored);
        let counts = !stored.expiry_reported && !has_renewed;
        self.expires_at.filter(|at| counts && Some(*at) != stored.expires_at)
    }
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

    /// Stops watching: waiting renewals are dropped, and nobody looks any more for what others lack; what is queued is still
    /// delivered. Untracking twice changes nothing.
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
            db.execute(
                "UPDATE renewals SET look_again_at = NULL WHERE subscription = :id AND look_again_at IS NOT NULL",
                named_params! { ":id": row },
            )?;
            Ok(())
        })
        .await
    }
}

/// One that was tracked before.
struct Known {
    row: i64,
    state: State,
    is_elsewhere: bool,
}

rows! {
    Known { row = "id", state = "state", is_elsewhere = "territory <> :territory" }
}

pub(super) fn track(
    db: &Connection,
    new: &NewSubscription,
    state: State,
    update: bool,
    now: Timestamp,
) -> Result<Tracked> {
    if let Some(clash) = Clash::find(db, &Identity::of(new), new.convention)? {
        return Ok(Tracked::Clashes(clash));
    }
    let metadata = new.metadata.as_ref().map(Metadata::as_json);
    let adopt = new.generation.is_none();
    let inserted = db
        .prepare_cached(
            "INSERT INTO subscriptions (provider, partner_order_number, subscription_id, is_numbered, territory, generation,
                                        expires_at, metadata, tracked_at, known_before, tracked_by, lane, state, due_at, ended_at, pace)
             VALUES (:provider, :number, :subscription_id, :is_numbered, :territory, :generation, :expires_at,
                     coalesce(:metadata, '{}'), :now, :known_before, :tracked_by, :lane, :state,
                     CASE WHEN :state IN ('watching', 'ended') THEN :now END,
                     CASE WHEN :state = 'ended' THEN :now END,
                     CASE WHEN :state = 'ended' THEN 'monthly' ELSE 'regular' END)
             ON CONFLICT DO NOTHING",
        )?
        .execute(named_params! {
            ":provider": new.provider, ":number": new.partner_order_number, ":subscription_id": new.subscription_id,
            ":is_numbered": new.convention.is_numbered(), ":territory": new.territory, ":generation": new.generation,
            ":expires_at": new.expires_at, ":metadata": metadata, ":now": now, ":known_before": new.known_before,
            ":tracked_by": new.tracked_by,
            ":lane": if adopt { Lane::AskedFor } else { Lane::Other }.rank(),
            ":state": state,
        })?;
    if inserted == 1 {
        let row = db.last_insert_rowid();
        new.known.iter().try_for_each(|known| insert_known(db, row, known, now))?;
        db.prepare_cached("DELETE FROM discovered WHERE provider = :provider AND subscription_id = :subscription_id")?
            .execute(named_params! { ":provider": new.provider, ":subscription_id": new.subscription_id })?;
        return Ok(Tracked::Added);
    }
    let Known { row, state: stands, is_elsewhere } = rows::only(
        db,
        &format!("FROM subscriptions WHERE {IS_IT}"),
        named_params! {
            ":provider": new.provider, ":number": new.partner_order_number,
            ":subscription_id": new.subscription_id, ":territory": new.territory,
        },
    )?;
    let revive = stands == State::Untracked && state != State::Untracked;
    if revive {
        revive_row(db, row, state, new, now)?;
        new.known.iter().try_for_each(|known| insert_known(db, row, known, now))?;
    }
    if revive || update {
        db.prepare_cached(
            "UPDATE subscriptions SET territory = :territory,
                 partner_order_number = CASE WHEN :number <> subscription_id THEN :number ELSE partner_order_number END,
                 metadata = coalesce(:metadata, metadata),
                 expires_at = CASE WHEN expiry_reported = 1 THEN expires_at ELSE coalesce(:expires_at, expires_at) END,
                 due_at = CASE WHEN due_at IS NOT NULL AND territory <> :territory THEN :now ELSE due_at END,
                 refusals = CASE WHEN territory <> :territory THEN 0 ELSE refusals END
             WHERE id = :id",
        )?
        .execute(named_params! {
            ":territory": new.territory, ":metadata": metadata, ":expires_at": new.expires_at, ":id": row, ":now": now,
            ":number": new.partner_order_number,
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
fn revive_row(db: &Connection, row: i64, state: State, new: &NewSubscription, now: Timestamp) -> Result<()> {
    let generation = new.generation;
    db.execute(
        "UPDATE subscriptions SET state = :state, terminal_since = NULL, not_renewed_term = NULL,
             tracked_at = :now, known_before = :known_before, tracked_by = :tracked_by,
             due_at = CASE WHEN :state IN ('watching', 'ended') THEN :now END,
             ended_at = CASE WHEN :state = 'ended' THEN :now END,
             pace = CASE WHEN :state = 'ended' THEN 'monthly' ELSE 'regular' END,
             lane = CASE WHEN :generation IS NULL THEN 0 ELSE 3 END,
             generation = CASE WHEN :generation IS NULL THEN NULL
                               ELSE max(coalesce(generation, :generation), :generation) END
         WHERE id = :id AND state = 'untracked'",
        named_params! {
            ":id": row, ":now": now, ":generation": generation, ":state": state, ":tracked_by": new.tracked_by,
            ":known_before": new.known_before,
        },
    )?;
    db.execute(
        "UPDATE renewals SET state = 'awaiting_order_data', settled_at = NULL, next_attempt_at = :now
         WHERE subscription = :id AND state = 'dropped' AND generation > :generation",
        named_params! { ":id": row, ":now": now, ":generation": generation },
    )?;
    Ok(())
}
