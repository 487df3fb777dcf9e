//! Due times that lie where they should not: ahead of a clock that was put right, or behind a refusal that is over. Many are
//! moved a short transaction at a time.

use std::time::Duration;

use rusqlite::named_params;

use super::due_times::BATCH;
use super::territories::territories_of;
use crate::clock::Timestamp;
use crate::renewal::{HOUR, Pace, Rules};
use crate::store::{Result, Store};

/// How far [`Store::bring_forward`] has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reached {
    /// Place in [`AHEAD`].
    table: usize,
    /// The row to go on after.
    after: i64,
    pub moved: usize,
}

/// What lies ahead of the clock: table, column, which rows have it, and what is put right beside it.
const AHEAD: [(&str, &str, &str, &str); 4] = [
    ("subscriptions", "due_at", "true", LAST_POLL),
    ("renewals", "next_attempt_at", "state = 'awaiting_order_data'", ""),
    ("renewals", "look_again_at", "true", ""),
    ("dispatches", "next_attempt_at", "state = 'pending'", ""),
];

/// A last answer that lies ahead would hide for as long that nobody answers any more.
const LAST_POLL: &str = ", last_asked_at = min(last_asked_at, :now), last_answer_at = min(last_answer_at, :now)";

impl Store {
    /// The wall clock has fallen behind by this much: what lies ahead comes so much earlier, as if the clock had gone on.
    /// Subscriptions, order data and dispatches of everybody, a short transaction at a time.
    ///
    /// After an error it goes on from `reached` when it is called again: nothing is moved twice.
    pub async fn bring_forward(&self, by: Duration, now: Timestamp, reached: &mut Reached) -> Result<()> {
        while let Some(&(table, column, condition, beside)) = AHEAD.get(reached.table) {
            let after = reached.after;
            let step = self.write(move |db| {
                let last: i64 =
                    db.query_row(&format!("SELECT coalesce(max(id), 0) FROM {table}"), [], |row| row.get(0))?;
                let until = after + BATCH;
                let changed = db.execute(
                    &format!(
                        "UPDATE {table} SET {column} = max({column} - :by, :now){beside}
                         WHERE id > :after AND id <= :until AND {column} > :now AND {condition}"
                    ),
                    named_params! { ":by": by.as_secs() as i64, ":now": now, ":after": after, ":until": until },
                )?;
                Ok((changed, (until < last).then_some(until)))
            });
            let (changed, next) = step.await?;
            reached.moved += changed;
            (reached.table, reached.after) = next.map_or((reached.table + 1, 0), |until| (reached.table, until));
        }
        Ok(())
    }

    /// Makes due what a clock that has since been put right had scheduled further ahead than any rule allows, a short transaction
    /// at a time. For the start of a pass and after a step of the clock.
    pub async fn heal_due_times(&self, provider: &str, rules: &Rules, now: Timestamp) -> Result<usize> {
        let ahead = |pace| now + rules.interval(pace).max(25 * HOUR) + HOUR;
        let (regular, monthly) = (ahead(Pace::Regular).max(ahead(Pace::Daily)), ahead(Pace::Monthly));
        let soonest = regular.min(monthly);
        let order_data = now + rules.retry_max.mul_f64(1.2).max(25 * HOUR);
        let name = provider.to_owned();
        let polls = self.in_batches(move |db| {
            let territories = serde_json::Value::from(territories_of(db, &name)?).to_string();
            Ok(db
                .prepare_cached(&format!(
                    // With territories and lanes the index leads to the next batch; without, each looks at all that were healed
                    // before it.
                    "UPDATE subscriptions SET due_at = :now{LAST_POLL}
                     WHERE id IN (SELECT id FROM subscriptions
                                  WHERE provider = :provider AND territory IN (SELECT value FROM json_each(:territories))
                                    AND lane IN (0, 1, 2, 3) AND due_at > :soonest
                                    AND due_at > CASE pace WHEN 'monthly' THEN :monthly ELSE :regular END LIMIT :batch)"
                ))?
                .execute(named_params! {
                    ":now": now, ":provider": name, ":territories": territories, ":soonest": soonest,
                    ":monthly": monthly, ":regular": regular, ":batch": BATCH,
                })?)
        });
        let polls = polls.await?;
        let name = provider.to_owned();
        let renewals = self.in_batches(move |db| {
            Ok(db
                .prepare_cached(
                    "UPDATE renewals SET next_attempt_at = :now
                     WHERE id IN (SELECT id FROM renewals
                                  WHERE provider = :provider AND state = 'awaiting_order_data'
                                    AND next_attempt_at > :order_data LIMIT :batch)",
                )?
                .execute(named_params! {
                    ":now": now, ":provider": name, ":order_data": order_data, ":batch": BATCH,
                })?)
        });
        let renewals = renewals.await?;
        let name = provider.to_owned();
        let looks = self.in_batches(move |db| {
            Ok(db
                .prepare_cached(
                    "UPDATE renewals SET look_again_at = :now
                     WHERE id IN (SELECT id FROM renewals
                                  WHERE provider = :provider AND look_again_at > :latest LIMIT :batch)",
                )?
                .execute(named_params! {
                    ":now": now, ":provider": name, ":latest": now + 25 * HOUR, ":batch": BATCH,
                })?)
        });
        Ok(polls + renewals + looks.await?)
    }

    /// What was refused is due now, in one territory or in all of a provider's: there is reason to believe that it will not be any
    /// more. Subscriptions and order data, a short transaction at a time.
    pub async fn ask_refused(&self, provider: &str, territory: Option<&str>, now: Timestamp) -> Result<usize> {
        const REFUSED: [&str; 2] = [
            "UPDATE subscriptions SET due_at = :now
             WHERE id IN (SELECT id FROM subscriptions
                          WHERE provider = :provider AND (:territory IS NULL OR territory = :territory) AND failures > 0
                            AND last_outcome = 'refused' AND due_at > :now LIMIT :batch)",
            "UPDATE renewals SET next_attempt_at = :now
             WHERE id IN (SELECT r.id FROM renewals r JOIN subscriptions s ON s.id = r.subscription
                          WHERE r.provider = :provider AND (:territory IS NULL OR s.territory = :territory)
                            AND r.state = 'awaiting_order_data' AND r.refusals > 0 AND r.next_attempt_at > :now
                          LIMIT :batch)",
        ];
        let mut asked = 0;
        for update in REFUSED {
            let (provider, territory) = (provider.to_owned(), territory.map(str::to_owned));
            asked += self
                .in_batches(move |db| {
                    Ok(db.prepare_cached(update)?.execute(named_params! {
                        ":provider": provider, ":territory": territory, ":now": now, ":batch": BATCH,
                    })?)
                })
                .await?;
        }
        Ok(asked)
    }

    /// Order data that is asked for again later than the longest retry allows is brought into its reach. A longer wait that the
    /// provider itself asked for stays.
    pub async fn bring_order_data_forward(&self, provider: &str, retry_max: Duration, now: Timestamp) -> Result<usize> {
        let provider = provider.to_owned();
        self.in_batches(move |db| {
            Ok(db
                .prepare_cached(
                    "UPDATE renewals SET next_attempt_at = :now + (next_attempt_at - :now) % :retry_max
                     WHERE id IN (SELECT id FROM renewals
                                  WHERE provider = :provider AND state = 'awaiting_order_data'
                                    AND next_attempt_at > :now + :retry_max AND refusals = 0
                                    AND last_outcome IS NOT 'unavailable' LIMIT :batch)",
                )?
                .execute(named_params! {
                    ":now": now, ":provider": provider, ":batch": BATCH,
                    ":retry_max": retry_max.as_secs().max(1) as i64,
                })?)
        })
        .await
    }
}
