//! From a subscription, and its billing cycles where they were read, to what the core is told (smartpay.md, sections 4 and 5).

use std::time::Duration;

use super::convention::is_same;
use super::cycle::{Cycle, Cycles};
use super::memo::{Episode, Memo};
use super::subscription::{State, Subscription};
use crate::clock::Timestamp;
use crate::delivery::Occasion;
use crate::life::Life;
use crate::provider::{Failing, Listed, Payment, Seen, Sighting};
use crate::text::visible;

/// Characters of a foreign id that are shown.
const SHOWN: usize = 100;

/// What was known before this look.
#[derive(Clone, Copy)]
pub struct Before<'a> {
    pub memo: Option<&'a Memo>,
    /// The highest label there is.
    pub generation: Option<i64>,
    /// The label of the first captured billing cycle.
    pub first: i64,
}

impl Before<'_> {
    /// Whether the billing cycles have to be read.
    pub fn needs_cycles(self, subscription: &Subscription, now: Timestamp) -> bool {
        self.generation.is_none()
            || subscription.is_on_the_move()
            || subscription.is_due(now)
            || self.memo.is_none_or(|memo| !memo.is_settled(now) || memo.differs_from(subscription))
    }

    /// The label that the next one gets, once these are labelled.
    fn next_label(self, captured: i64) -> i64 {
        let highest = match (self.memo, self.generation) {
            (Some(memo), Some(generation)) => generation + (captured - memo.captured).max(0),
            (_, generation) => generation.unwrap_or(i64::MIN).max(self.first + captured - 1),
        };
        highest.max(self.first - 1) + 1
    }
}

/// An answer for somebody else, if it is one.
pub fn foreign(asked: &str, subscription: &Subscription) -> Option<Seen> {
    let is_ours = is_same(asked, &subscription.id);
    (!is_ours).then(|| {
        let shown = visible(&subscription.id.chars().take(SHOWN).collect::<String>());
        Seen::Foreign(format!("answered for the foreign subscription {shown:?}"))
    })
}

/// What a usable answer tells. `cycles`: where they were read.
pub fn sighting(s: &Subscription, cycles: Option<&Cycles>, before: Before<'_>, now: Timestamp) -> Sighting {
    let is_whole = cycles.is_some_and(|cycles| is_whole(cycles, before.memo));
    if (before.memo.is_none() || before.generation.is_none()) && !is_whole {
        // By what is listed first it is decided what the customer has had: one that is left out would count for another.
        return Sighting::of(Seen::Unclear("the list of billing cycles is not whole"));
    }
    let (payment, failing) = payment(s, cycles, before, now);
    let mut memo = noted(s, cycles, is_whole, before.memo, now);
    memo.failing = failing;
    Sighting {
        words: s.words(),
        life: s.life(),
        expires_at: s.expires_at(now),
        as_of: s.updated_at,
        next_look: next_look(s, &memo, now),
        memo: memo.written(),
        partner_reference: s.partner_reference().map(Into::into),
        payment,
        ..Sighting::of(Seen::Listed {
            first: before.first,
            deliveries: cycles.map(|cycles| deliveries(s, cycles, before)).unwrap_or_default(),
            doubt: doubt(s, cycles),
        })
    }
}

/// What a person should look at.
fn doubt(s: &Subscription, cycles: Option<&Cycles>) -> Option<&'static str> {
    let any = |is: fn(&Cycle) -> bool| cycles.is_some_and(|cycles| cycles.all.iter().any(is));
    if any(|one| one.is_paid() && one.reference.is_none()) {
        return Some("a captured billing cycle has an id that cannot be asked for");
    }
    if any(Cycle::is_paid_by_another_word) {
        return Some("a billing cycle that was paid has a status that is not known: it is not delivered");
    }
    (s.state == State::Unknown).then_some("its status is not one that is known")
}

/// How it stands, and what its billing cycles have told.
fn noted(s: &Subscription, cycles: Option<&Cycles>, is_whole: bool, before: Option<&Memo>, now: Timestamp) -> Memo {
    let mut memo = before.cloned().unwrap_or_default();
    if let Some(cycles) = cycles {
        memo.listed_at = (is_whole && !cycles.is_short).then_some(now.as_unix());
        memo.has_unpaid = cycles.all.iter().any(|cycle| cycle.is_unpaid(&s.zone, now));
        memo.captured = if is_whole { captured(cycles) } else { memo.captured };
    }
    memo.noting(s)
}

/// Nothing where something was is that of a list that lost its rows.
fn is_whole(cycles: &Cycles, memo: Option<&Memo>) -> bool {
    cycles.is_whole && !(cycles.all.is_empty() && memo.is_some_and(|memo| memo.captured > 0))
}

fn captured(cycles: &Cycles) -> i64 {
    i64::try_from(cycles.paid().len()).unwrap_or(i64::MAX)
}

fn deliveries(subscription: &Subscription, cycles: &Cycles, before: Before<'_>) -> Vec<Listed> {
    let is_first = |n: usize| n == 0 && before.generation.is_none_or(|generation| generation < before.first);
    let first = match (subscription.has_trial, before.first) {
        (true, _) => Occasion::TrialConversion,
        (false, 0) => Occasion::Purchase,
        (false, _) => Occasion::Renewal,
    };
    let listed = |(n, (reference, cycle)): (usize, (&str, &Cycle))| Listed {
        reference: reference.to_owned(),
        occasion: if is_first(n) { first } else { Occasion::Renewal },
        completed_at: cycle.completed_at(),
    };
    cycles.paid().into_iter().enumerate().map(listed).collect()
}

/// How the payment for the coming term stands, and what is to be remembered of it.
fn payment(
    s: &Subscription,
    cycles: Option<&Cycles>,
    before: Before<'_>,
    now: Timestamp,
) -> (Payment, Option<Episode>) {
    let known = before.memo.and_then(|memo| memo.failing);
    let trouble = cycles.and_then(|cycles| cycles.trouble(&s.zone, now));
    match s.state {
        _ if s.life().is_some_and(|life| life.end().is_some()) => match cycles {
            Some(_) if trouble.is_none() => (Payment::Fine, None),
            _ => (Payment::Untold, known),
        },
        State::Pending | State::Trial | State::Active => (Payment::Fine, None),
        State::Overdue => {
            let captured = cycles.map(captured).or(before.memo.map(|memo| memo.captured));
            // One that was watched while nothing failed begins with what has failed since, whatever older ones left.
            let newest = || cycles.and_then(|cycles| cycles.newest_trouble(&s.zone, now));
            let trouble = if known.is_none() && before.memo.is_some() { newest() } else { trouble };
            let (failing, episode) = overdue(s, trouble, known, before.next_label(captured.unwrap_or(0)), now);
            (Payment::Failing(Box::new(failing)), Some(episode))
        }
        _ => (Payment::Untold, known),
    }
}

/// One episode from when it was first told, as long as nothing got the label that is not paid for.
fn overdue(
    s: &Subscription,
    trouble: Option<&Cycle>,
    known: Option<Episode>,
    generation: i64,
    now: Timestamp,
) -> (Failing, Episode) {
    let since = || trouble.and_then(|cycle| cycle.billing_day?.begins(&s.zone, now)).map(Timestamp::as_unix);
    let known = known.filter(|episode| episode.generation >= generation);
    let episode = known.unwrap_or_else(|| Episode { generation, since: since() });
    let word = trouble.map(|cycle| cycle.word.as_str()).filter(|word| !word.is_empty());
    let failing = Failing {
        generation: episode.generation,
        since: episode.since.map(Timestamp::from_unix),
        will_retry: Some(true),
        reason: word.map_or_else(|| "overdue".to_owned(), |word| format!("overdue: {word}")),
    };
    (failing, episode)
}

/// Until the day of the next charge nothing can happen, if nothing is left unpaid.
fn next_look(subscription: &Subscription, memo: &Memo, now: Timestamp) -> Option<Duration> {
    let can_rest = subscription.is_at_rest() && subscription.life() == Some(Life::Running) && memo.is_settled(now);
    let begins = subscription.next_billing.filter(|_| can_rest)?.begins_not_before(&subscription.zone)?;
    (now < begins).then(|| begins.since(now))
}
