//! What a status answer, or its absence, changes about a subscription.

use std::time::Duration;

use super::news::{self, News};
use super::{DAY, Outcome, Pace, Rules, State, Subscription, aside};
use crate::choice::Lane;
use crate::clock::{Clock, Timestamp};
use crate::convention::Convention;
use crate::delivery::{EndReason, Event, Occasion};
use crate::life::Life;
use crate::provider::{Class, Error, Payment, Sighting, Verdict};
use crate::retry;

pub use super::news::{KnownDelivery, NewRenewal};

/// Where the provider wants no polls while order data is awaited: after this long we ask all the same.
const NO_POLL_WHILE_WAITING: Duration = DAY;
/// A terminal status must be seen again this much later before it ends anything.
const TERMINAL_AGAIN: Duration = DAY;
/// How long an ended subscription is still asked, monthly.
const ENDED_ASKED_FOR: Duration = Duration::from_secs(365 * 86_400);
/// An end that moves by no more than this is corrected: the same term. The shortest terms that are sold are longer.
const CORRECTED_BY: Duration = Duration::from_secs(3 * 86_400);
/// What is kept of a provider's message for `explain`.
const DETAIL_CHARS: usize = 200;

/// One look and what was known before it.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The row as it was when the request was chosen.
    pub before: &'a Subscription,
    /// The deliveries that are recorded, where the answer lists any.
    pub known: &'a [KnownDelivery],
    pub answer: &'a Result<Sighting, Error>,
    pub now: Timestamp,
    /// When a look at anybody of the account last brought a success.
    pub account_answered_at: Option<Timestamp>,
    /// While it is doubted no end of a term is told: that cannot be taken back, and a later poll tells it.
    pub clock: Clock,
}

/// What follows from one poll.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The row as it is to be stored.
    pub after: Subscription,
    /// Oldest first; empty for an uneventful poll.
    pub renewals: Vec<NewRenewal>,
    /// Deliveries that the customer has had: recorded, and never fetched.
    pub had: Vec<KnownDelivery>,
    pub events: Vec<Event>,
    /// Set when `after.surprise` is not the one that stood before: to be logged once.
    pub new_surprise: Option<Surprising>,
}

/// What becomes of an answer that is a surprise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surprising {
    /// It cannot be right, and nothing of it is used.
    Dropped,
    /// It contradicts itself, and what can be right is used as ever.
    Used,
}

/// Decides on one poll's answer.
pub fn decide(look: Look<'_>, rules: &Rules, convention: &Convention) -> Decision {
    let Look { before, answer, now, .. } = look;
    let mut poll = Poll {
        after: Subscription { last_asked_at: Some(now), ..before.clone() },
        look,
        rules,
        convention,
        renewals: Vec::new(),
        had: Vec::new(),
        events: Vec::new(),
        surprising: None,
        rests: false,
    };
    let delay = match answer {
        Ok(sighting) => match sighting.verdict.class {
            Class::Success => poll.answered(sighting),
            Class::NotFound => poll.not_found(&sighting.verdict),
            Class::Configuration => poll.refused(&sighting.verdict),
            Class::Transient | Class::Waiting | Class::Permanent => {
                poll.failed(Outcome::Failed, describe(&sighting.verdict))
            }
        },
        Err(error) => poll.no_answer(error),
    };
    poll.due_after(delay);
    let new_surprise = poll.surprising.filter(|_| poll.after.surprise != before.surprise);
    Decision { after: poll.after, renewals: poll.renewals, had: poll.had, events: poll.events, new_surprise }
}

struct Poll<'a> {
    look: Look<'a>,
    after: Subscription,
    rules: &'a Rules,
    convention: &'a Convention,
    renewals: Vec<NewRenewal>,
    had: Vec<KnownDelivery>,
    events: Vec<Event>,
    surprising: Option<Surprising>,
    /// Nothing can happen before it is asked next.
    rests: bool,
}

/// What each answer changes. Those that decide on a whole answer return how long it is until the next poll.
impl Poll<'_> {
    fn answered(&mut self, sighting: &Sighting) -> Duration {
        let Look { before, known, now, .. } = self.look;
        let possible = match news::read(&sighting.seen, before, known, self.rules, self.convention, now) {
            Ok(possible) => possible,
            Err(why) => return self.failed(Outcome::Unreadable, why.into()),
        };
        self.usable(Outcome::Ok, None);
        match possible {
            Ok(news) => {
                self.expiry(sighting);
                self.news(news, sighting.expires_at);
                self.words(sighting);
                self.events.extend(aside::note(&mut self.after, sighting, self.look.now));
                self.end_of_term(sighting);
                self.renewal_due();
                self.after.memo = sighting.memo.clone().or(self.after.memo.take());
                if let Some(rest) = self.rest(sighting) {
                    return rest;
                }
            }
            // Nothing in an answer that cannot be right is used, its expiry and status least of all: they could end ours.
            Err(why_not) => self.surprise(why_not, Surprising::Dropped),
        }
        self.interval()
    }

    /// One that nothing can happen to before its next look counts as asked daily: by that it is late or not, too.
    fn rest(&mut self, sighting: &Sighting) -> Option<Duration> {
        let is_regular = self.after.pace == Pace::Regular && self.renewals.is_empty();
        let rest = sighting.next_look.filter(|rest| is_regular && *rest > self.rules.every)?;
        self.after.pace = Pace::Daily;
        self.rests = true;
        Some(rest.min(self.interval()))
    }

    fn interval(&self) -> Duration {
        self.rules.interval(self.after.pace)
    }

    /// A usable answer: whatever went wrong before is over.
    fn usable(&mut self, outcome: Outcome, detail: Option<String>) {
        let after = &mut self.after;
        after.last_answer_at = Some(self.look.now);
        after.failures = 0;
        after.refusals = 0;
        after.last_outcome = Some(outcome);
        after.last_detail = detail;
        if let Some(over) = after.surprise.take() {
            (after.past_surprise, after.past_surprise_at) =
                (Some(over.into()), Some(self.look.before.last_answer_at.unwrap_or(self.look.now)));
        }
        after.pace = if after.state == State::Ended { Pace::Monthly } else { Pace::Regular };
    }

    fn expiry(&mut self, sighting: &Sighting) {
        if let Some(reported) = sighting.expires_at {
            self.after.expires_at = Some(reported);
            self.after.expiry_reported = true;
        }
    }

    fn news(&mut self, news: News, expires_at: Option<Timestamp>) {
        let News { generation, renewals, had, doubt } = news;
        // Who was adopted had nothing yet to contradict.
        if let Some(doubt) = doubt.filter(|_| self.look.before.generation.is_some()) {
            self.surprise(doubt, Surprising::Used);
        }
        (self.renewals, self.had) = (renewals, had);
        let is_renewed = self.renewals.iter().any(|one| !one.late);
        if self.look.before.generation.is_some_and(|known| generation > known) && is_renewed {
            self.new_term(expires_at);
        }
        self.after.generation = Some(generation);
    }

    /// `expires_at` is what this very answer tells: what was known before it is the end of a term that is over.
    fn new_term(&mut self, expires_at: Option<Timestamp>) {
        let late = self.look.before.expires_at.map(|end| self.look.now.as_unix() - end.as_unix());
        if let Some(oldest) = self.renewals.iter_mut().find(|one| !one.late) {
            // Only the oldest was due at the expiry we knew. Those that come late are of terms before it.
            oldest.seconds_after_expiry = late;
        }
        let is_term = |one: &&mut NewRenewal| one.occasion != Occasion::Upgrade;
        if let Some(newest) = self.renewals.iter_mut().rfind(is_term) {
            newest.expires_at = expires_at;
        }
        self.paid_for();
        let after = &mut self.after;
        if expires_at.is_none() {
            // The term that was known has been renewed, and nothing may be told of it any more; when the new one ends is not
            // known until the provider or a person says so.
            after.expires_at = None;
            after.expiry_reported = false;
            after.not_renewed_term = None;
        }
        after.state = if after.state == State::Ended { State::Watching } else { after.state };
        after.ended_at = None;
        after.terminal_since = None;
        after.pace = Pace::Regular;
        (after.past_surprise, after.past_surprise_at) = (None, None);
    }

    /// Nothing is due any more at the end that was near, though answers may still name it. One that is far ahead is the next one's:
    /// some tell that before they count the renewal.
    fn paid_for(&mut self) {
        let before = self.look.before;
        let is_renewal = self.renewals.iter().any(|one| !one.late && one.occasion != Occasion::Upgrade);
        if is_renewal && before.expiry_reported && self.rules.in_window(before.expires_at, self.look.now) {
            self.after.renewal_due_term = before.expires_at;
        }
    }

    fn words(&mut self, sighting: &Sighting) {
        let Some(to) = &sighting.words else { return };
        let from = self.after.technical_status.replace(to.clone());
        if from.as_ref().is_some_and(|from| !from.eq_ignore_ascii_case(to)) {
            self.after.status_changes += 1;
            self.events.push(Event::StatusChanged {
                generation: self.after.generation.unwrap_or(0),
                change: self.after.status_changes,
                from,
                to: Some(to.clone()),
            });
        }
    }

    /// Cancelled, expired, or simply not renewed: slower asking and, in time, the end.
    fn end_of_term(&mut self, sighting: &Sighting) {
        let before = self.after.life;
        self.after.life = sighting.life.or(before);
        let Some(reason) = sighting.life.and_then(Life::end) else {
            if sighting.life.is_some() {
                self.after.terminal_since = None;
                self.revive();
                if sighting.life == Some(Life::Paused) {
                    // No renewal is missed where none is to come.
                    return self.slow_down();
                }
            } else if before == Some(Life::Cancelled) {
                return; // who tells no status does not take back that it was cancelled
            }
            return self.not_renewed();
        };
        let is_over = self.ends(reason, &sighting.payment);
        if !is_over && self.after.state != State::Ended && reason == EndReason::Expired {
            self.not_renewed();
        }
    }

    /// The provider says that nothing comes any more. True once that was said long enough for it to be over, for this time.
    fn ends(&mut self, reason: EndReason, payment: &Payment) -> bool {
        // A time that lies ahead was stored under a wrong clock, and under a doubtful one none is.
        let since = self.after.terminal_since.filter(|since| *since <= self.look.now).unwrap_or(self.look.now);
        self.after.terminal_since = (self.look.clock == Clock::Believed).then_some(since);
        if self.after.state == State::Ended {
            return false;
        }
        self.after.pace = Pace::Daily;
        let is_over = self.look.clock == Clock::Believed
            && self.renewals.is_empty()
            && self.look.now.since(since) >= TERMINAL_AGAIN
            && self.look.now >= self.after.expires_at.unwrap_or(since) + self.rules.ended_after;
        if is_over {
            self.after.state = State::Ended;
            self.after.ended_at = Some(self.look.now);
            self.after.pace = Pace::Monthly;
            let (generation, expires_at) = (self.after.generation.unwrap_or(0), self.after.expires_at);
            self.events.push(Event::Ended { generation, expires_at, reason });
            self.events.extend(aside::refused(&self.after, payment, self.convention));
        }
        is_over
    }

    /// An ended subscription that is active again may renew again.
    fn revive(&mut self) {
        if self.after.state == State::Ended {
            self.after.state = State::Watching;
            self.after.ended_at = None;
            self.after.pace = Pace::Regular;
        }
    }

    /// Tells once per term that its end is near, for a payment to be taken before it. Late, where nobody asked in time, as long as it
    /// has not passed.
    fn renewal_due(&mut self) {
        let Some(end) = self.after.expires_at else { return };
        if self.after.renewal_due_term.is_some_and(|term| is_corrected(term, end)) {
            // It goes along, or an end that moves day by day would become a new term in time.
            self.after.renewal_due_term = Some(end);
            return;
        }
        let now = self.look.now;
        // A clock that was set may be wrong, but a notice that waits for its day of doubt must not come too late.
        let doubted = self.look.clock == Clock::Doubted && now + DAY < end;
        let may_renew =
            !self.after.life.is_some_and(|life| life != Life::Running) && self.after.state == State::Watching;
        let is_near = end - self.rules.notify_before <= now && now < end;
        if doubted || !may_renew || !is_near || !self.renewals.is_empty() {
            return;
        }
        self.after.renewal_due_term = Some(end);
        self.events.push(Event::RenewalDue {
            generation: self.after.generation.unwrap_or(0),
            expires_at: end,
            technical_status: self.after.technical_status.clone(),
        });
    }

    /// Tells once per term that its end and the window after it have passed without a renewal.
    fn not_renewed(&mut self) {
        let Some(end) = self.after.expires_at else { return };
        if self.look.clock == Clock::Doubted
            || self.after.state != State::Watching
            || !self.renewals.is_empty()
            // Of a term that was over before anybody wanted it watched nothing is known: the date may be an old one.
            || end < self.after.tracked_at
            || self.look.now < end + self.rules.window_after
            || self.after.not_renewed_term == Some(end)
        {
            return;
        }
        self.after.not_renewed_term = Some(end);
        self.events.push(Event::NotRenewed {
            generation: self.after.generation.unwrap_or(0),
            expires_at: end,
            technical_status: self.after.technical_status.clone(),
        });
    }

    /// The provider does not know it: an answer, and a reason to look, but not to stop; unless that is how it tells of what was
    /// deleted, and it still knows others: also in the second of the look before, as those who are asked together are. Else an address
    /// that is wrong would end everybody.
    fn not_found(&mut self, verdict: &Verdict) -> Duration {
        let Look { before, account_answered_at, .. } = self.look;
        self.usable(Outcome::NotFound, Some(describe(verdict)));
        self.slow_down();
        let others_answered = account_answered_at.is_some_and(|at| Some(at) >= before.last_asked_at);
        if self.convention.unknown_is_deleted && others_answered {
            self.ends(EndReason::Cancelled, &Payment::Untold);
        }
        self.interval()
    }

    /// Wrong territory, wrong secret, or an address that is not allowed.
    fn refused(&mut self, verdict: &Verdict) -> Duration {
        self.after.refusals = self.look.before.refusals.saturating_add(1);
        self.unusable(Outcome::Refused, describe(verdict));
        self.slow_down();
        retry::refused(self.after.refusals)
    }

    fn slow_down(&mut self) {
        if self.after.state != State::Ended {
            self.after.pace = Pace::Daily;
        }
    }

    fn no_answer(&mut self, error: &Error) -> Duration {
        let outcome = match error {
            Error::Unreachable(_) => Outcome::Unreachable,
            Error::Unavailable { .. } | Error::NotTheProvider { .. } | Error::TooManyRequests { .. } => {
                Outcome::Unavailable
            }
            Error::Unreadable { .. } => Outcome::Unreadable,
            Error::Rejected { .. } => Outcome::Rejected,
            Error::Unauthorized { .. } => Outcome::Unauthorized,
        };
        let delay = self.failed(outcome, clip(&crate::chain(error)));
        match error {
            // The same request soon would be rejected again.
            Error::Rejected { .. } => self.interval(),
            Error::Unavailable { retry_after, .. } | Error::TooManyRequests { retry_after } => {
                retry::with_retry_after(delay, *retry_after)
            }
            _ => delay,
        }
    }

    fn failed(&mut self, outcome: Outcome, detail: String) -> Duration {
        self.unusable(outcome, detail);
        let interval = self.interval();
        retry::poll(self.after.failures).map_or(interval, |soon| soon.min(interval))
    }

    fn unusable(&mut self, outcome: Outcome, detail: String) {
        let before = self.look.before;
        let rested = before.state == State::Watching
            && before.last_outcome == Some(Outcome::Ok)
            && before.life == Some(Life::Running);
        if rested {
            // Its day has come: it rests no more until somebody says that it may.
            self.after.pace = Pace::Regular;
        }
        self.after.failures = self.look.before.failures.saturating_add(1);
        self.after.last_outcome = Some(outcome);
        self.after.last_detail = Some(detail);
    }

    fn surprise(&mut self, text: String, what: Surprising) {
        let before = self.look.before;
        if before.surprise.as_ref() == Some(&text) {
            // It goes on.
            self.after.past_surprise = before.past_surprise.clone();
            self.after.past_surprise_at = before.past_surprise_at;
        }
        self.after.surprises += 1;
        self.after.surprise = Some(text);
        self.surprising = Some(what);
    }

    /// Sets when and in which lane it is asked next.
    fn due_after(&mut self, delay: Duration) {
        let after = &mut self.after;
        let mut delay = delay;
        if !self.renewals.is_empty() && self.convention.rests_while_waiting {
            delay = NO_POLL_WHILE_WAITING;
        } else if self.look.before.last_asked_at.is_none() && after.failures == 0 {
            // Once: so that what was imported together is not asked together for ever.
            delay = delay.saturating_sub(spread(after.row, self.rules.every / 2));
        }
        let due = self.look.now + delay;
        let stopped = match (after.state, after.ended_at) {
            (State::Watching, _) => false,
            (State::Ended, Some(ended)) => due > ended + ENDED_ASKED_FOR,
            _ => true,
        };
        after.due_at = (!stopped).then_some(due);
        let urgent = (after.pace == Pace::Regular || self.rests) && self.rules.in_window(after.expires_at, due);
        after.lane = match self.look.before.lane {
            // Who asked for it still waits for an answer, and what was hinted at is still to be seen.
            lane @ (Lane::AskedFor | Lane::Hinted) if after.failures > 0 && retry::poll(after.failures).is_some() => {
                lane
            }
            _ if urgent => Lane::Urgent,
            _ => Lane::Other,
        };
    }
}

/// Whether these are the end of one term, told anew.
fn is_corrected(told: Timestamp, end: Timestamp) -> bool {
    told.since(end).max(end.since(told)) <= CORRECTED_BY
}

/// A stable share of `most`. Neighbours in the table stay together, 64 at a time: the rows one commit touches then lie side
/// by side, which costs a tenth of scattered ones, and 64 requests are nothing to a budget.
fn spread(row: i64, most: Duration) -> Duration {
    // Multiplicative hashing by 2^64 / golden ratio.
    let hashed = (row as u64 >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    most.mul_f64(hashed as f64 / u64::MAX as f64)
}

/// `code 1000: internal error`, the provider's text made harmless.
pub(super) fn describe(verdict: &Verdict) -> String {
    if verdict.message.is_empty() {
        format!("code {}", verdict.code)
    } else {
        format!("code {}: {}", verdict.code, clip(&verdict.message))
    }
}

pub(super) fn clip(text: &str) -> String {
    crate::text::visible(&text.chars().take(DETAIL_CHARS).collect::<String>())
}

#[cfg(test)]
mod tests;
