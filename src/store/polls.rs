//! What is asked next and what came of it: the statements of the sweep's hot path.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::due_times::{BATCH, LAST_POLL};
use super::{Result, Store, messages, renewals, subscriptions};
use crate::choice::Lane;
use crate::clock::Timestamp;
use crate::renewal::poll::NewRenewal;
use crate::renewal::{HOUR, Pace, Rules, Subscription};
use crate::vault::Vault;

use super::messages::NewMessage;

/// Where a page of due subscriptions begins.
#[derive(Clone, Debug)]
pub struct DuePage {
    pub provider: String,
    pub territory: String,
    pub lane: Lane,
    /// Rows due at or before this.
    pub until: Timestamp,
    /// Only rows behind this one: (due, row).
    pub after: (i64, i64),
    pub limit: usize,
}

/// One poll's result, to be written.
#[derive(Debug)]
pub struct PollRecord {
    pub before: Subscription,
    pub after: Subscription,
    pub renewals: Vec<NewRenewal>,
    pub messages: Vec<NewMessage>,
}

/// What recording a poll came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    Done,
    /// Somebody paused, untracked or changed the subscription while it was asked, or wants it asked now: the answer is dropped, it
    /// will be asked again when it is due.
    Overtaken,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct StoppedTerritory {
    pub provider: String,
    pub territory: String,
    pub stopped_at: Timestamp,
    pub reason: String,
}

pub(super) const COLUMNS: &str = "id, territory, partner_order_number, subscription_id, state, generation, expires_at, \
     expiry_reported, ended_at, lane, due_at, pace, last_asked_at, last_answer_at, failures, refusals, last_outcome, \
     last_detail, technical_status, status_changes, terminal_since, surprise, surprises, not_renewed_term";

/// Reads the columns above, in their order.
pub(super) fn subscription(row: &Row<'_>) -> rusqlite::Result<Subscription> {
    Ok(Subscription {
        row: row.get(0)?,
        territory: row.get(1)?,
        partner_order_number: row.get(2)?,
        subscription_id: row.get(3)?,
        state: row.get(4)?,
        generation: row.get(5)?,
        expires_at: row.get(6)?,
        expiry_reported: row.get(7)?,
        ended_at: row.get(8)?,
        lane: Lane::from_rank(row.get(9)?),
        due_at: row.get(10)?,
        pace: row.get(11)?,
        last_asked_at: row.get(12)?,
        last_answer_at: row.get(13)?,
        failures: row.get(14)?,
        refusals: row.get(15)?,
        last_outcome: row.get(16)?,
        last_detail: row.get(17)?,
        technical_status: row.get(18)?,
        life: None,
        memo: None,
        status_changes: row.get(19)?,
        terminal_since: row.get(20)?,
        surprise: row.get(21)?,
        surprises: row.get(22)?,
        not_renewed_term: row.get(23)?,
    })
}

impl Store {
    /// The next page of one lane and territory, most overdue first.
    pub async fn due_subscriptions(&self, page: DuePage) -> Result<Vec<Subscription>> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM subscriptions
                 WHERE provider = :provider AND territory = :territory AND lane = :lane
                   AND due_at <= :until AND (due_at, id) > (:after_due, :after_id)
                 ORDER BY due_at, id LIMIT :limit"
            ))?;
            let rows = statement.query_map(
                named_params! {
                    ":provider": page.provider, ":territory": page.territory, ":lane": page.lane.rank(),
                    ":until": page.until, ":after_due": page.after.0, ":after_id": page.after.1,
                    ":limit": page.limit as i64,
                },
                subscription,
            )?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// When the next subscription of a provider is due; `None` when nobody is.
    pub async fn next_poll_due(&self, provider: &str, territories: Vec<String>) -> Result<Option<Timestamp>> {
        let provider = provider.to_owned();
        self.read(move |db| {
            let mut earliest: Option<Timestamp> = None;
            let mut statement = db.prepare_cached(
                "SELECT min(due_at) FROM subscriptions
                 WHERE provider = :provider AND territory = :territory AND lane = :lane AND due_at IS NOT NULL",
            )?;
            for territory in territories {
                for lane in Lane::ALL {
                    let due: Option<Timestamp> = statement.query_row(
                        named_params! { ":provider": provider, ":territory": territory, ":lane": lane.rank() },
                        |row| row.get(0),
                    )?;
                    earliest = earliest.into_iter().chain(due).min();
                }
            }
            Ok(earliest)
        })
        .await
    }

    /// When the next subscription of these territories whose last poll was not answered is due; looks at all of these.
    pub async fn next_retry_due(&self, provider: &str, territories: &[String]) -> Result<Option<Timestamp>> {
        let (provider, territories) = (provider.to_owned(), serde_json::Value::from(territories).to_string());
        self.read(move |db| {
            let mut next = db.prepare_cached(
                "SELECT min(due_at) FROM subscriptions
                 WHERE provider = :provider AND failures > 0
                   AND territory IN (SELECT value FROM json_each(:territories))",
            )?;
            Ok(next.query_row(named_params! { ":provider": provider, ":territories": territories }, |row| row.get(0))?)
        })
        .await
    }

    /// The watched subscription that was asked last, or one that never was; looks at all of them: not for a loop.
    pub async fn last_asked(&self, provider: &str, territories: Vec<String>) -> Result<Option<Subscription>> {
        let provider = provider.to_owned();
        self.read(move |db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM subscriptions
                 WHERE provider = :provider AND due_at IS NOT NULL
                   AND territory IN (SELECT value FROM json_each(:territories))
                 ORDER BY last_asked_at DESC LIMIT 1"
            ))?;
            let territories = serde_json::Value::from(territories).to_string();
            Ok(statement
                .query_row(named_params! { ":provider": provider, ":territories": territories }, subscription)
                .optional()?)
        })
        .await
    }

    /// Moves those whose window has opened while they wait among the others to the urgent lane.
    pub async fn promote_urgent(&self, provider: &str, rules: &Rules, now: Timestamp) -> Result<usize> {
        let provider = provider.to_owned();
        let (from, until) = (now - rules.window_after, now + rules.window_before);
        let query = "SELECT 1 FROM subscriptions WHERE provider = :provider AND lane = 2 AND pace = 'regular'
                     AND expires_at > :from AND expires_at <= :until LIMIT 1";
        let name = provider.clone();
        let any = self
            .read(move |db| {
                Ok(db
                    .prepare_cached(query)?
                    .exists(named_params! { ":provider": name, ":from": from, ":until": until })?)
            })
            .await?;
        if !any {
            return Ok(0);
        }
        self.in_batches(move |db| {
            Ok(db
                .prepare_cached(
                    "UPDATE subscriptions SET lane = 1
                     WHERE id IN (SELECT id FROM subscriptions
                                  WHERE provider = :provider AND lane = 2 AND pace = 'regular'
                                    AND expires_at > :from AND expires_at <= :until LIMIT :batch)",
                )?
                .execute(named_params! { ":provider": provider, ":from": from, ":until": until, ":batch": BATCH })?)
        })
        .await
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
            let territories = serde_json::Value::from(subscriptions::territories_of(db, &name)?).to_string();
            Ok(db
                .prepare_cached(&format!(
                    // With territories and lanes the index leads to the next batch; without, each looks at all that were healed
                    // before it.
                    "UPDATE subscriptions SET due_at = :now{LAST_POLL}
                     WHERE id IN (SELECT id FROM subscriptions
                                  WHERE provider = :provider AND territory IN (SELECT value FROM json_each(:territories))
                                    AND lane IN (0, 1, 2) AND due_at > :soonest
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
        Ok(polls + renewals.await?)
    }

    /// Writes the results of polls, all of them or none. A generation is raised in the transaction that inserts its
    /// renewal, so that it is never seen and then forgotten; recording a generation twice is harmless.
    pub async fn record_polls(&self, records: Vec<PollRecord>, now: Timestamp) -> Result<Vec<Recorded>> {
        let vault = self.vault.clone();
        self.write(move |db| records.iter().map(|record| record_poll(db, &vault, record, now)).collect()).await
    }

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
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT provider, territory, stopped_at, reason FROM territories ORDER BY provider, territory",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(StoppedTerritory {
                    provider: row.get(0)?,
                    territory: row.get(1)?,
                    stopped_at: row.get(2)?,
                    reason: row.get(3)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

fn record_poll(db: &Connection, vault: &Vault, record: &PollRecord, now: Timestamp) -> Result<Recorded> {
    let (before, after) = (&record.before, &record.after);
    // It may have become urgent meanwhile; somebody who wants it asked now does not mean this poll.
    let changed = if is_quiet(record) { touch(db, before, after)? } else { replace(db, before, after)? };
    if changed == 0 {
        return Ok(Recorded::Overtaken);
    }
    for renewal in &record.renewals {
        renewals::insert(db, after.row, renewal, now)?;
    }
    for message in &record.messages {
        messages::insert(db, vault, message)?;
    }
    Ok(Recorded::Done)
}

/// Whether only times changed: nearly always, and cheaper by an index. Whether it is asked again at all is counted, and no mere time.
fn is_quiet(record: &PollRecord) -> bool {
    let (before, after) = (&record.before, &record.after);
    record.renewals.is_empty()
        && record.messages.is_empty()
        && before.due_at.is_some() == after.due_at.is_some()
        && *after
            == Subscription {
                due_at: after.due_at,
                last_asked_at: after.last_asked_at,
                last_answer_at: after.last_answer_at,
                ..before.clone()
            }
}

fn touch(db: &Connection, before: &Subscription, after: &Subscription) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "UPDATE subscriptions SET due_at = ?1, last_asked_at = ?2, last_answer_at = ?3
         WHERE id = ?4 AND state = ?5 AND generation IS ?6 AND territory = ?7 AND (lane = ?8 OR lane <> 0)",
    )?
    .execute((
        after.due_at,
        after.last_asked_at,
        after.last_answer_at,
        before.row,
        before.state,
        before.generation,
        &before.territory,
        before.lane.rank(),
    ))
}

fn replace(db: &Connection, before: &Subscription, after: &Subscription) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "UPDATE subscriptions SET
             state = :state, generation = :generation,
             expires_at = CASE WHEN :expiry_changed THEN :expires_at ELSE expires_at END, expiry_reported = :expiry_reported,
             ended_at = :ended_at, lane = :lane, due_at = :due_at, pace = :pace, last_asked_at = :last_asked_at,
             last_answer_at = :last_answer_at, failures = :failures, refusals = :refusals,
             last_outcome = :last_outcome, last_detail = :last_detail, technical_status = :technical_status,
             status_changes = :status_changes, terminal_since = :terminal_since, surprise = :surprise,
             surprises = :surprises, not_renewed_term = :not_renewed_term
         WHERE id = :id AND state = :expected_state AND generation IS :expected_generation
           AND territory = :expected_territory AND (lane = :expected_lane OR lane <> 0)",
    )?
    .execute(named_params! {
        ":state": after.state, ":generation": after.generation, ":expires_at": after.expires_at,
        // Otherwise a person may have changed it while we asked.
        ":expiry_changed": after.expires_at != before.expires_at,
        ":expiry_reported": after.expiry_reported, ":ended_at": after.ended_at, ":lane": after.lane.rank(),
        ":due_at": after.due_at, ":pace": after.pace, ":last_asked_at": after.last_asked_at,
        ":last_answer_at": after.last_answer_at, ":failures": after.failures, ":refusals": after.refusals,
        ":last_outcome": after.last_outcome, ":last_detail": after.last_detail,
        ":technical_status": after.technical_status, ":status_changes": after.status_changes,
        ":terminal_since": after.terminal_since, ":surprise": after.surprise, ":surprises": after.surprises,
        ":not_renewed_term": after.not_renewed_term,
        ":id": before.row, ":expected_state": before.state, ":expected_generation": before.generation,
        ":expected_territory": before.territory, ":expected_lane": before.lane.rank(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::renewal::{HOUR, State, fixtures};
    use crate::store::{Access, ListFilter, NewSubscription, Tracked};

    const NOW: Timestamp = Timestamp::constant(1_795_291_200);

    /// `P`, expected to end then.
    fn order(expires_at: Option<Timestamp>) -> NewSubscription {
        NewSubscription {
            provider: "nexway".to_owned(),
            territory: "eu".to_owned(),
            partner_order_number: "P".to_owned(),
            subscription_id: 1,
            generation: Some(0),
            expires_at,
            metadata: None,
            tracked_by: "track",
        }
    }

    fn page() -> DuePage {
        DuePage {
            provider: "nexway".to_owned(),
            territory: "eu".to_owned(),
            lane: Lane::Other,
            until: NOW + HOUR,
            after: (i64::MIN, i64::MIN),
            limit: 1,
        }
    }

    #[tokio::test]
    async fn what_a_person_changes_during_a_poll_stays_unless_the_provider_says_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("renewald.db"), Access::Command).unwrap();
        store.track(vec![order(None)], false, NOW).await.unwrap();
        let polled = async |reported: Option<Timestamp>| {
            let before = store.due_subscriptions(page()).await.unwrap().remove(0);
            let updated = store.track(vec![order(Some(NOW + HOUR))], true, NOW).await.unwrap();
            assert_eq!(updated, [Tracked::Updated]);
            let mut after = Subscription { technical_status: Some("ACTIVE".into()), ..before.clone() };
            if reported.is_some() {
                (after.expires_at, after.expiry_reported) = (reported, true);
            }
            let record = PollRecord { before, after, renewals: vec![], messages: vec![] };
            assert_eq!(store.record_polls(vec![record], NOW).await.unwrap(), [Recorded::Done]);
            store.due_subscriptions(page()).await.unwrap().remove(0).expires_at
        };
        assert_eq!(polled(None).await, Some(NOW + HOUR));
        assert_eq!(polled(Some(NOW)).await, Some(NOW), "what the provider reports beats what we were given");
    }

    #[tokio::test]
    async fn the_last_poll_of_an_ended_subscription_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("renewald.db"), Access::Command).unwrap();
        store.track_in(vec![(order(None), State::Ended)], false, NOW).await.unwrap();
        let before = store.due_subscriptions(page()).await.unwrap().remove(0);
        let now = NOW + HOUR;
        let after =
            Subscription { due_at: None, last_asked_at: Some(now), last_answer_at: Some(now), ..before.clone() };
        let record = PollRecord { before, after, renewals: vec![], messages: vec![] };
        assert_eq!(store.record_polls(vec![record], now).await.unwrap(), [Recorded::Done]);
        let groups = store.subscription_groups().await.unwrap();
        let groups: Vec<_> = groups.iter().map(|group| (group.state, group.is_asked, group.count)).collect();
        assert_eq!(groups, [(State::Ended, false, 1)], "as the table has it");
        store.ask_now(1, now).await.unwrap();
        store.untrack(1, now).await.unwrap();
    }

    #[tokio::test]
    async fn who_is_asked_for_during_a_poll_is_polled_again_and_who_became_urgent_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("renewald.db"), Access::Command).unwrap();
        store.track(vec![order(Some(NOW + HOUR))], false, NOW).await.unwrap();
        let lane_and_due = async || {
            let row = store.list(ListFilter { limit: 1, ..ListFilter::default() }, NOW).await.unwrap().items.remove(0);
            (row.subscription.lane, row.subscription.due_at)
        };
        let before = store.due_subscriptions(page()).await.unwrap().remove(0);
        let quiet = Subscription { due_at: Some(NOW + HOUR), last_answer_at: Some(NOW), ..before.clone() };
        let told = Subscription { technical_status: Some("ACTIVE".into()), ..quiet.clone() };
        let record = async |before: &Subscription, after: &Subscription| {
            let (before, after) = (before.clone(), after.clone());
            let record = PollRecord { before, after, renewals: vec![], messages: vec![] };
            store.record_polls(vec![record], NOW).await.unwrap().remove(0)
        };
        assert_eq!(store.promote_urgent("nexway", &fixtures::rules(), NOW).await.unwrap(), 1);
        assert_eq!(record(&before, &quiet).await, Recorded::Done);
        assert_eq!(lane_and_due().await, (Lane::Urgent, quiet.due_at));
        store.ask_now(before.row, NOW).await.unwrap();
        for after in [&quiet, &told] {
            assert_eq!(record(&before, after).await, Recorded::Overtaken);
            assert_eq!(lane_and_due().await, (Lane::AskedFor, Some(NOW)));
        }
        let asked_for = Subscription { lane: Lane::AskedFor, ..before };
        assert_eq!(record(&asked_for, &told).await, Recorded::Done, "that was the poll somebody asked for");
    }
}
