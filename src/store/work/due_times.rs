//! Moving the due times of many subscriptions because the rules or the calendar say so, a short transaction at a time. Where to is
//! decided in [`crate::renewal::moved`].

use rusqlite::{Connection, named_params};

use crate::choice::Lane;
use crate::clock::Timestamp;
use crate::renewal::moved::moved;
use crate::renewal::{Pace, Rules};
use crate::store::rows::{self, rows};
use crate::store::{Result, Store};

/// Rows that one transaction looks at, or changes.
pub(super) const BATCH: i64 = 2000;

/// One step through the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The row to go on after.
    pub last: i64,
    pub moved: usize,
}

/// One that is asked by its interval.
struct Scheduled {
    row: i64,
    due_at: Timestamp,
    last_asked_at: Timestamp,
    pace: Pace,
}

rows! {
    Scheduled { row = "id", due_at = "due_at", last_asked_at = "last_asked_at", pace = "pace" }
}

/// Asked by its interval, and not by a retry or because of a renewal.
const BY_INTERVAL: &str = "provider = :provider AND state = 'watching' AND pace <> 'monthly' AND failures = 0
    AND NOT EXISTS (SELECT 1 FROM renewals r WHERE r.subscription = subscriptions.id
                    AND r.state = 'awaiting_order_data')";

impl Store {
    /// Whether anyone who is asked at the regular pace is due only after `latest`. Reads those who are due after it, at
    /// whatever pace, and nobody else.
    pub async fn is_anyone_due_after(&self, provider: &str, latest: Timestamp) -> Result<bool> {
        let provider = provider.to_owned();
        let territories = self.territories_in_use().await?;
        self.read(move |db| {
            let mut late = db.prepare_cached(&format!(
                "SELECT 1 FROM subscriptions
                 WHERE territory = :territory AND lane = :lane AND due_at > :latest AND pace = 'regular' AND {BY_INTERVAL}
                 LIMIT 1"
            ))?;
            for (_, territory) in territories.iter().filter(|(of, _)| *of == provider) {
                for lane in Lane::ALL {
                    if late.exists(named_params! {
                        ":provider": provider, ":territory": territory, ":lane": lane.rank(), ":latest": latest,
                    })? {
                        return Ok(true);
                    }
                }
            }
            Ok(false)
        })
        .await
    }

    /// Moves the due times of some rows behind `after` from the rules `before` to `rules`; `None` behind the last row.
    pub async fn move_due_times(
        &self,
        provider: &str,
        before: Option<&Rules>,
        rules: &Rules,
        after: i64,
        now: Timestamp,
    ) -> Result<Option<Moved>> {
        let (provider, before, rules) = (provider.to_owned(), before.cloned(), rules.clone());
        self.write(move |db| {
            let last: i64 = rows::value(db, "SELECT coalesce(max(id), 0) FROM subscriptions", &[])?;
            if after >= last {
                return Ok(None);
            }
            let until = after.saturating_add(BATCH);
            let found: Vec<Scheduled> = rows::all(
                db,
                &format!(
                    "FROM subscriptions
                     WHERE id > :after AND id <= :until AND due_at > :now AND last_asked_at IS NOT NULL AND {BY_INTERVAL}"
                ),
                named_params! { ":after": after, ":until": until, ":now": now, ":provider": provider },
            )?;
            let mut update = db.prepare_cached("UPDATE subscriptions SET due_at = :due WHERE id = :id")?;
            let mut count = 0;
            for Scheduled { row, due_at, last_asked_at, pace } in found {
                if let Some(due) = moved(due_at, last_asked_at, pace, before.as_ref(), &rules, now) {
                    count += update.execute(named_params! { ":id": row, ":due": due })?;
                }
            }
            Ok(Some(Moved { last: until, moved: count }))
        })
        .await
    }

    /// Moves those whose window has opened while they wait among the others to the urgent lane.
    pub async fn promote_urgent(&self, provider: &str, rules: &Rules, now: Timestamp) -> Result<usize> {
        let provider = provider.to_owned();
        let (from, until) = (now - rules.window_after, now + rules.window_before);
        let query = "SELECT 1 FROM subscriptions WHERE provider = :provider AND lane = 3 AND pace = 'regular'
                     AND expires_at > :from AND expires_at <= :until LIMIT 1";
        let name = provider.clone();
        let any = self
            .read(move |db| {
                rows::exists(db, query, named_params! { ":provider": name, ":from": from, ":until": until })
            })
            .await?;
        if !any {
            return Ok(0);
        }
        self.in_batches(move |db| {
            Ok(db
                .prepare_cached(
                    "UPDATE subscriptions SET lane = 2
                     WHERE id IN (SELECT id FROM subscriptions
                                  WHERE provider = :provider AND lane = 3 AND pace = 'regular'
                                    AND expires_at > :from AND expires_at <= :until LIMIT :batch)",
                )?
                .execute(named_params! { ":provider": provider, ":from": from, ":until": until, ":batch": BATCH })?)
        })
        .await
    }

    /// Repeats what changes up to [`BATCH`] rows, each time in a transaction of its own, until it finds no more. Returns how many
    /// it changed.
    pub(super) async fn in_batches(
        &self,
        batch: impl Fn(&Connection) -> Result<usize> + Clone + Send + 'static,
    ) -> Result<usize> {
        let mut total = 0;
        loop {
            match self.write(batch.clone()).await? {
                0 => return Ok(total),
                changed => total += changed,
            }
        }
    }
}

#[cfg(test)]
mod tests;
