//! What came of a poll: the writing half of the sweep's hot path.

use rusqlite::{Connection, named_params};

use super::feeds::{self, PageRecord};
use super::messages::{self, NewMessage};
use super::renewals;
use crate::clock::Timestamp;
use crate::renewal::news::{KnownDelivery, NewRenewal};
use crate::renewal::{Subscription, hint};
use crate::store::{Result, Store};
use crate::vault::Vault;

/// One poll's result, to be written.
#[derive(Debug)]
pub struct PollRecord {
    pub before: Subscription,
    pub after: Subscription,
    pub renewals: Vec<NewRenewal>,
    /// Deliveries that the customer has had.
    pub had: Vec<KnownDelivery>,
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

impl Store {
    /// Writes the results of polls, all of them or none. A generation is raised in the transaction that inserts its
    /// renewal, so that it is never seen and then forgotten; recording a generation twice is harmless.
    pub async fn record_polls(&self, records: Vec<PollRecord>, now: Timestamp) -> Result<Vec<Recorded>> {
        self.record_pages(records, Vec::new(), now).await
    }

    /// The same for answers that came on pages of the provider's lists, with what else the pages came to: a walk goes on behind a
    /// page once everything on it is on disk, and not before.
    pub async fn record_pages(
        &self,
        records: Vec<PollRecord>,
        pages: Vec<PageRecord>,
        now: Timestamp,
    ) -> Result<Vec<Recorded>> {
        let vault = self.vault.clone();
        self.write(move |db| {
            let recorded = records.iter().map(|record| record_poll(db, &vault, record, now)).collect::<Result<_>>()?;
            pages.iter().try_for_each(|page| feeds::record_page(db, page, now))?;
            Ok(recorded)
        })
        .await
    }
}

fn record_poll(db: &Connection, vault: &Vault, record: &PollRecord, now: Timestamp) -> Result<Recorded> {
    let (before, after) = (&record.before, &record.after);
    // It may have become urgent meanwhile; somebody who wants it asked now, or a hint, does not mean this poll.
    let touched = if is_quiet(record) { touch(db, before, after)? } else { 0 };
    let changed = if touched > 0 { touched } else { replace(db, before, after)? };
    if changed == 0 {
        return Ok(Recorded::Overtaken);
    }
    for renewal in &record.renewals {
        renewals::insert(db, after.row, renewal, now)?;
    }
    for known in &record.had {
        renewals::insert_known(db, after.row, known, now)?;
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
        && record.had.is_empty()
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
         WHERE id = ?4 AND state = ?5 AND generation IS ?6 AND territory = ?7 AND (lane = ?8 OR lane > 1) AND hints = ?9",
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
        before.hints,
    ))
}

fn replace(db: &Connection, before: &Subscription, after: &Subscription) -> rusqlite::Result<usize> {
    let (failing, offer) = (after.failing.as_deref(), after.offer.as_deref());
    // Whoever was hinted at meanwhile is looked at once more: the answer may have been made before.
    let again = after.due_at.zip(after.last_asked_at).map(|(due, asked)| hint::due_again(due, asked));
    db.prepare_cached(
        "UPDATE subscriptions SET
             state = :state, generation = :generation,
             expires_at = CASE WHEN :expiry_changed THEN :expires_at ELSE expires_at END, expiry_reported = :expiry_reported,
             ended_at = :ended_at,
             lane = CASE WHEN hints = :hints OR :again IS NULL THEN :lane ELSE 1 END,
             due_at = CASE WHEN hints = :hints OR :again IS NULL THEN :due_at ELSE :again END, pace = :pace, last_asked_at = :last_asked_at,
             hinted_at = CASE :expected_lane WHEN 1 THEN :last_asked_at ELSE hinted_at END,
             last_answer_at = :last_answer_at, failures = :failures, refusals = :refusals,
             last_outcome = :last_outcome, last_detail = :last_detail, technical_status = :technical_status,
             life = :life, memo = :memo,
             status_changes = :status_changes, terminal_since = :terminal_since, surprise = :surprise,
             surprises = :surprises, past_surprise = :past_surprise, past_surprise_at = :past_surprise_at,
             partner_reference = :partner_reference, failing_generation = :failing_generation,
             failing_since = :failing_since, failing_seen_at = :failing_seen_at, failing_reason = :failing_reason,
             payment_failures = :payment_failures, offer_order_number = :offer_order_number, offer_state = :offer_state,
             offer_seen_at = :offer_seen_at, renewal_due_term = :renewal_due_term, not_renewed_term = :not_renewed_term
         WHERE id = :id AND state = :expected_state AND generation IS :expected_generation
           AND territory = :expected_territory AND (lane = :expected_lane OR lane > 1)",
    )?
    .execute(named_params! {
        ":state": after.state, ":generation": after.generation, ":expires_at": after.expires_at,
        // Otherwise a person may have changed it while we asked.
        ":expiry_changed": after.expires_at != before.expires_at,
        ":expiry_reported": after.expiry_reported, ":ended_at": after.ended_at, ":lane": after.lane.rank(),
        ":due_at": after.due_at, ":hints": before.hints, ":again": again, ":pace": after.pace, ":last_asked_at": after.last_asked_at,
        ":last_answer_at": after.last_answer_at, ":failures": after.failures, ":refusals": after.refusals,
        ":last_outcome": after.last_outcome, ":last_detail": after.last_detail,
        ":technical_status": after.technical_status, ":life": after.life, ":memo": after.memo,
        ":status_changes": after.status_changes,
        ":terminal_since": after.terminal_since, ":surprise": after.surprise, ":surprises": after.surprises,
        ":past_surprise": after.past_surprise, ":past_surprise_at": after.past_surprise_at,
        ":partner_reference": after.partner_reference,
        ":failing_generation": failing.map(|one| one.generation), ":failing_since": failing.and_then(|one| one.since),
        ":failing_seen_at": failing.map(|one| one.seen_at), ":failing_reason": failing.map(|one| &one.reason),
        ":payment_failures": after.payment_failures,
        ":offer_order_number": offer.map(|one| &one.order_number), ":offer_state": offer.map(|one| one.state),
        ":offer_seen_at": offer.map(|one| one.seen_at),
        ":renewal_due_term": after.renewal_due_term, ":not_renewed_term": after.not_renewed_term,
        ":id": before.row, ":expected_state": before.state, ":expected_generation": before.generation,
        ":expected_territory": before.territory, ":expected_lane": before.lane.rank(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::Lane;
    use crate::renewal::{self, HOUR, State};
    use crate::store::{DuePage, ListFilter, NewSubscription, Tracked, fixtures};

    const NOW: Timestamp = Timestamp::constant(1_795_291_200);

    /// `P`, expected to end then.
    fn order(expires_at: Option<Timestamp>) -> NewSubscription {
        NewSubscription { expires_at, ..fixtures::subscription("P", 1) }
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
        let (store, _dir) = fixtures::opened();
        store.track(vec![order(None)], false, NOW).await.unwrap();
        let polled = async |reported: Option<Timestamp>| {
            let before = store.due_subscriptions(page()).await.unwrap().remove(0);
            let updated = store.track(vec![order(Some(NOW + HOUR))], true, NOW).await.unwrap();
            assert_eq!(updated, [Tracked::Updated]);
            let mut after = Subscription { technical_status: Some("ACTIVE".into()), ..before.clone() };
            if reported.is_some() {
                (after.expires_at, after.expiry_reported) = (reported, true);
            }
            let record = PollRecord { before, after, renewals: vec![], had: vec![], messages: vec![] };
            assert_eq!(store.record_polls(vec![record], NOW).await.unwrap(), [Recorded::Done]);
            store.due_subscriptions(page()).await.unwrap().remove(0).expires_at
        };
        assert_eq!(polled(None).await, Some(NOW + HOUR));
        assert_eq!(polled(Some(NOW)).await, Some(NOW), "what the provider reports beats what we were given");
    }

    #[tokio::test]
    async fn the_last_poll_of_an_ended_subscription_is_counted() {
        let (store, _dir) = fixtures::opened();
        store.track_in(vec![(order(None), State::Ended)], false, NOW).await.unwrap();
        let before = store.due_subscriptions(page()).await.unwrap().remove(0);
        let now = NOW + HOUR;
        let after =
            Subscription { due_at: None, last_asked_at: Some(now), last_answer_at: Some(now), ..before.clone() };
        let record = PollRecord { before, after, renewals: vec![], had: vec![], messages: vec![] };
        assert_eq!(store.record_polls(vec![record], now).await.unwrap(), [Recorded::Done]);
        let groups = store.subscription_groups().await.unwrap();
        let groups: Vec<_> = groups.iter().map(|group| (group.state, group.is_asked, group.count)).collect();
        assert_eq!(groups, [(State::Ended, false, 1)], "as the table has it");
        store.ask_now(1, now).await.unwrap();
        store.untrack(1, now).await.unwrap();
    }

    #[tokio::test]
    async fn who_is_asked_for_during_a_poll_is_polled_again_and_who_became_urgent_is_not() {
        let (store, _dir) = fixtures::opened();
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
            let record = PollRecord { before, after, renewals: vec![], had: vec![], messages: vec![] };
            store.record_polls(vec![record], NOW).await.unwrap().remove(0)
        };
        assert_eq!(store.promote_urgent("nexway", &renewal::fixtures::rules(), NOW).await.unwrap(), 1);
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
