//! What a status answer, or its absence, changes about a subscription.

use std::time::Duration;

use super::number::{self, Observed, Unusable};
use super::{DAY, Outcome, Pace, Rules, State, Subscription};
use crate::choice::Lane;
use crate::clock::{Clock, Timestamp};
use crate::delivery::{EndReason, Event};
use crate::provider::{Class, Error, Status, Verdict};
use crate::retry;

/// While order data is awaited the provider wants no polls; after this long we ask all the same.
const NO_POLL_WHILE_WAITING: Duration = DAY;
/// A terminal status must be seen again this much later before it ends anything.
const TERMINAL_AGAIN: Duration = DAY;
/// How long an ended subscription is still asked, monthly.
const ENDED_ASKED_FOR: Duration = Duration::from_secs(365 * 86_400);
/// What is kept of a provider's message for `explain`.
const DETAIL_CHARS: usize = 200;

/// A generation to be recorded before its order data is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRenewal {
    pub generation: i64,
    pub order_number: String,
    pub expires_at: Option<Timestamp>,
    pub seconds_after_expiry: Option<i64>,
}

/// What follows from one poll.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The row as it is to be stored.
    pub after: Subscription,
    /// Oldest first; empty for an uneventful poll.
    pub renewals: Vec<NewRenewal>,
    pub events: Vec<Event>,
    /// Set when `after.surprise` is not the one that stood before: to be logged once.
    pub new_surprise: bool,
}

/// Decides on one poll's answer. `before` is the row as it was when the request was chosen. While the `clock` is doubted no end of
/// a term is told: that cannot be taken back, and a later poll tells it.
pub fn decide(
    before: &Subscription,
    answer: &Result<Status, Error>,
    rules: &Rules,
    now: Timestamp,
    clock: Clock,
) -> Decision {
    let mut poll = Poll {
        after: Subscription { last_asked_at: Some(now), ..before.clone() },
        before,
        rules,
        now,
        clock,
        renewals: Vec::new(),
        events: Vec::new(),
    };
    let delay = match answer {
        Ok(status) => match status.verdict.class {
            Class::Success => poll.answered(status),
            Class::NotFound => poll.not_found(&status.verdict),
            Class::Configuration => poll.refused(&status.verdict),
            Class::Transient | Class::Waiting | Class::Permanent => {
                poll.failed(Outcome::Failed, describe(&status.verdict))
            }
        },
        Err(error) => poll.no_answer(error),
    };
    poll.due_after(delay);
    let new_surprise = poll.after.surprise.is_some() && poll.after.surprise != before.surprise;
    Decision { after: poll.after, renewals: poll.renewals, events: poll.events, new_surprise }
}

struct Poll<'a> {
    before: &'a Subscription,
    after: Subscription,
    rules: &'a Rules,
    now: Timestamp,
    clock: Clock,
    renewals: Vec<NewRenewal>,
    events: Vec<Event>,
}

/// What each answer changes. Those that decide on a whole answer return how long it is until the next poll.
impl Poll<'_> {
    fn answered(&mut self, status: &Status) -> Duration {
        let possible = match number::observe(&self.before.partner_order_number, status) {
            Ok(observed) => self.possible(observed),
            Err(Unusable::Foreign) => Err(format!(
                "answered for the foreign number {:?}",
                clip(status.partner_order_number.as_deref().unwrap_or_default())
            )),
            Err(Unusable::NoGeneration) => {
                return self.failed(Outcome::Unreadable, "the answer does not tell the generation".into());
            }
        };
        self.usable(Outcome::Ok, None);
        match possible {
            Ok(observed) => {
                self.expiry(status);
                self.generation(&observed, status.expires_at);
                self.status(status);
                self.end_of_term(status);
            }
            // Nothing in an answer that cannot be right is used, its expiry and status least of all: they could end ours.
            Err(why_not) => self.surprise(why_not),
        }
        self.interval()
    }

    /// The generation, if it can come after the one we know; else what is wrong with it.
    fn possible(&self, observed: Observed) -> Result<Observed, String> {
        let (seen, most) = (observed.generation, self.rules.max_generation_jump);
        match self.before.generation {
            Some(known) if seen < known => Err(format!("generation went back from {known} to {seen}")),
            Some(known) if seen.saturating_sub(known) > most => Err(format!(
                "generation jumped from {known} to {seen}, more than max_generation_jump = {most}; `refetch` accepts it"
            )),
            _ => Ok(observed),
        }
    }

    fn interval(&self) -> Duration {
        self.rules.interval(self.after.pace)
    }

    /// A usable answer: whatever went wrong before is over.
    fn usable(&mut self, outcome: Outcome, detail: Option<String>) {
        let after = &mut self.after;
        after.last_answer_at = Some(self.now);
        after.failures = 0;
        after.refusals = 0;
        after.last_outcome = Some(outcome);
        after.last_detail = detail;
        after.surprise = None;
        after.pace = if after.state == State::Ended { Pace::Monthly } else { Pace::Regular };
    }

    fn expiry(&mut self, status: &Status) {
        if let Some(reported) = status.expires_at {
            self.after.expires_at = Some(reported);
            self.after.expiry_reported = true;
        }
    }

    fn generation(&mut self, observed: &Observed, expires_at: Option<Timestamp>) {
        let seen = observed.generation;
        let Some(known) = self.before.generation else {
            self.after.generation = Some(seen); // adopted: noted, nothing delivered
            return;
        };
        if observed.contradicts {
            self.surprise(format!("generation field and order number disagree; {seen} was taken"));
        }
        if seen > known {
            self.renewed(known, seen, expires_at);
        }
    }

    /// Each generation was paid for and has its own keys, so none is skipped. `expires_at` is what this very answer tells: what
    /// was known before it is the end of a term that is over.
    fn renewed(&mut self, known: i64, seen: i64, expires_at: Option<Timestamp>) {
        let after = &mut self.after;
        let late = self.before.expires_at.map(|end| self.now.as_unix() - end.as_unix());
        self.renewals = (known + 1..=seen)
            .map(|generation| NewRenewal {
                generation,
                order_number: number::order_number(&after.partner_order_number, generation),
                expires_at: expires_at.filter(|_| generation == seen),
                // Only the oldest was due at the expiry we knew.
                seconds_after_expiry: late.filter(|_| generation == known + 1),
            })
            .collect();
        if expires_at.is_none() {
            // The term that was known has been renewed, and nothing may be told of it any more; when the new one ends is not
            // known until the provider or a person says so.
            after.expires_at = None;
            after.expiry_reported = false;
            after.not_renewed_term = None;
        }
        after.generation = Some(seen);
        after.state = if after.state == State::Ended { State::Watching } else { after.state };
        after.ended_at = None;
        after.terminal_since = None;
        after.pace = Pace::Regular;
    }

    fn status(&mut self, status: &Status) {
        let Some(to) = &status.technical_status else { return };
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
    fn end_of_term(&mut self, status: &Status) {
        let Some(reason) = terminal(status.technical_status.as_deref()) else {
            if status.technical_status.is_some() {
                self.after.terminal_since = None;
                self.revive();
            } else if terminal(self.after.technical_status.as_deref()) == Some(EndReason::Cancelled) {
                return; // who tells no status does not take back that it was cancelled
            }
            return self.not_renewed();
        };
        // A time that lies ahead was stored under a wrong clock, and under a doubtful one none is.
        let since = self.after.terminal_since.filter(|since| *since <= self.now).unwrap_or(self.now);
        self.after.terminal_since = (self.clock == Clock::Believed).then_some(since);
        if self.after.state == State::Ended {
            return;
        }
        self.after.pace = Pace::Daily;
        if self.clock == Clock::Believed
            && self.renewals.is_empty()
            && self.now.since(since) >= TERMINAL_AGAIN
            && self.now >= self.after.expires_at.unwrap_or(since) + self.rules.ended_after
        {
            self.after.state = State::Ended;
            self.after.ended_at = Some(self.now);
            self.after.pace = Pace::Monthly;
            self.after.status_changes += 1;
            let generation = self.after.generation.unwrap_or(0);
            self.events.push(Event::Ended { generation, change: self.after.status_changes, reason });
        } else if reason == EndReason::Expired {
            self.not_renewed();
        }
    }

    /// An ended subscription that is active again may renew again.
    fn revive(&mut self) {
        if self.after.state == State::Ended {
            self.after.state = State::Watching;
            self.after.ended_at = None;
            self.after.pace = Pace::Regular;
        }
    }

    /// Tells once per term that its end and the window after it have passed without a renewal.
    fn not_renewed(&mut self) {
        let Some(end) = self.after.expires_at else { return };
        if self.clock == Clock::Doubted
            || self.after.state != State::Watching
            || !self.renewals.is_empty()
            || self.now < end + self.rules.window_after
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

    /// The provider does not know it: an answer, and a reason to look, but not to stop.
    fn not_found(&mut self, verdict: &Verdict) -> Duration {
        self.usable(Outcome::NotFound, Some(describe(verdict)));
        self.slow_down();
        self.interval()
    }

    /// Wrong territory, wrong secret, or an address that is not allowed.
    fn refused(&mut self, verdict: &Verdict) -> Duration {
        self.after.refusals = self.before.refusals.saturating_add(1);
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
            Error::Unavailable { .. } | Error::TooManyRequests { .. } => Outcome::Unavailable,
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
        self.after.failures = self.before.failures.saturating_add(1);
        self.after.last_outcome = Some(outcome);
        self.after.last_detail = Some(detail);
    }

    fn surprise(&mut self, text: String) {
        self.after.surprises += 1;
        self.after.surprise = Some(text);
    }

    /// Sets when and in which lane it is asked next.
    fn due_after(&mut self, delay: Duration) {
        let after = &mut self.after;
        let mut delay = delay;
        if !self.renewals.is_empty() {
            delay = NO_POLL_WHILE_WAITING;
        } else if self.before.last_asked_at.is_none() && after.failures == 0 {
            // Once: so that what was imported together is not asked together for ever.
            delay = delay.saturating_sub(spread(after.row, self.rules.every / 2));
        }
        let due = self.now + delay;
        let stopped = match (after.state, after.ended_at) {
            (State::Watching, _) => false,
            (State::Ended, Some(ended)) => due > ended + ENDED_ASKED_FOR,
            _ => true,
        };
        after.due_at = (!stopped).then_some(due);
        let urgent = after.pace == Pace::Regular && self.rules.in_window(after.expires_at, due);
        after.lane = match self.before.lane {
            // Who asked for it still waits for an answer.
            Lane::AskedFor if after.failures > 0 && retry::poll(after.failures).is_some() => Lane::AskedFor,
            _ if urgent => Lane::Urgent,
            _ => Lane::Other,
        };
    }
}

/// A stable share of `most`. Neighbours in the table stay together, 64 at a time: the rows one commit touches then lie side
/// by side, which costs a tenth of scattered ones, and 64 requests are nothing to a budget.
fn spread(row: i64, most: Duration) -> Duration {
    // Multiplicative hashing by 2^64 / golden ratio.
    let hashed = (row as u64 >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    most.mul_f64(hashed as f64 / u64::MAX as f64)
}

/// Why a status is one that nothing comes after, if it is (nexway-connect.md, section 4.4: a guess, so it stops nothing by itself).
fn terminal(status: Option<&str>) -> Option<EndReason> {
    let status = status?;
    if status.eq_ignore_ascii_case("canceled") || status.eq_ignore_ascii_case("cancelled") {
        Some(EndReason::Cancelled)
    } else if status.eq_ignore_ascii_case("expired") {
        Some(EndReason::Expired)
    } else {
        None
    }
}

/// `code 1010: order not found`, the provider's text made harmless.
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
