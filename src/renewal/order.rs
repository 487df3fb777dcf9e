//! What an answer with order data means for one waiting renewal: deliver, ask again, or give up.

use std::time::Duration;

use super::Rules;
use super::poll::{clip, describe};
use crate::clock::Timestamp;
use crate::delivery::{Delivery, FailReason, Warning};
use crate::provider::{Class, Error, Keys, Part, Verdict};
use crate::retry;

/// The most that the time between two answers in a row counts towards the end of patience: a daily catch-up run counts in full, a
/// clock that jumped by a year does not.
const LONGEST_GAP: Duration = Duration::from_secs(26 * 3600);

/// Answers of one class so far, and the time between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub answers: u32,
    pub seconds: i64,
}

/// How much of our patience with a renewal is used up: what it has been through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patience {
    /// Attempts that brought an answer.
    pub attempts: u32,
    /// The last attempt, if it brought an answer: an outage in between makes it `None`.
    pub answered_at: Option<Timestamp>,
    /// Attempts in a row that brought none.
    pub unanswered: u32,
    pub refusals: u32,
    pub not_found: Tally,
    pub waiting: Tally,
    pub empty: Tally,
    pub transient: Tally,
}

impl Patience {
    /// Seconds for which the provider has answered that there is nothing yet.
    pub fn kept_waiting(&self) -> i64 {
        self.waiting.seconds + self.empty.seconds
    }
}

/// What happens to a renewal after an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// `partial`: queue a `renewal.failed` beside it.
    Deliver {
        delivery: Delivery,
        partial: Option<Failed>,
    },
    AskAgain {
        at: Timestamp,
        patience: Patience,
        outcome: &'static str,
        detail: String,
    },
    GiveUp(Failed),
}

/// Why a renewal, or a part of it, will not be delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct Failed {
    pub reason: FailReason,
    pub code: Option<i64>,
    pub message: String,
}

/// Decides on one attempt for one renewal.
pub fn decide(before: &Patience, answer: Result<Part, &Error>, rules: &Rules, now: Timestamp) -> Step {
    let attempt = Attempt { before, rules, now };
    match answer {
        Ok(part) => attempt.answered(complete(part)),
        Err(Error::Unreadable { reason }) => attempt.not_ready(
            &Verdict { class: Class::Transient, code: 0, message: reason.clone() },
            FailReason::Unreadable,
            None,
        ),
        Err(Error::Rejected { status }) => attempt.not_ready(
            &Verdict { class: Class::Transient, code: i64::from(*status), message: "rejected".into() },
            FailReason::Unreadable,
            None,
        ),
        Err(error) => attempt.no_answer(error),
    }
}

struct Attempt<'a> {
    before: &'a Patience,
    rules: &'a Rules,
    now: Timestamp,
}

impl Attempt<'_> {
    fn answered(&self, part: Part) -> Step {
        let Part { verdict, delivery, dropped, .. } = part;
        let delivery = match (verdict.class, delivery) {
            (Class::Success, Some(delivery)) => delivery,
            (_, partial) => return self.settle(&verdict, partial),
        };
        if delivery.warnings.contains(&Warning::Empty) {
            let (patience, is_spent) = self.counted(|patience| &mut patience.empty, retry::EMPTY_BELIEVED);
            if !is_spent {
                return self.later(patience, "empty", LACKS.to_owned());
            }
        }
        Step::Deliver {
            delivery,
            partial: dropped.map(|verdict| Failed { reason: FailReason::Partial, ..refused(&verdict) }),
        }
    }

    fn settle(&self, verdict: &Verdict, partial: Option<Delivery>) -> Step {
        match verdict.class {
            Class::Permanent => Step::GiveUp(refused(verdict)),
            Class::Configuration => {
                let refusals = self.before.refusals.saturating_add(1);
                let patience = Patience { refusals, unanswered: 0, answered_at: None, ..self.before.clone() };
                let (outcome, detail) = not_ready(verdict);
                self.again(patience, retry::refused(refusals), outcome, detail)
            }
            Class::NotFound => self.not_ready(verdict, FailReason::NotFound, partial),
            Class::Success | Class::Transient | Class::Waiting => self.not_ready(verdict, FailReason::TooLate, partial),
        }
    }

    /// An answer that says "not yet": counted in its class, and given up only when that class is exhausted.
    fn not_ready(&self, verdict: &Verdict, reason: FailReason, partial: Option<Delivery>) -> Step {
        let (patience, is_spent) = match verdict.class {
            Class::NotFound => self.counted(|patience| &mut patience.not_found, retry::NOT_FOUND_GIVE_UP),
            Class::Waiting => self.counted(|patience| &mut patience.waiting, retry::WAITING_GIVE_UP),
            _ => self.counted(|patience| &mut patience.transient, retry::TRANSIENT_GIVE_UP),
        };
        if is_spent {
            let failed = Failed { reason, code: Some(verdict.code), message: clip(&verdict.message) };
            return match partial {
                Some(delivery) => {
                    Step::Deliver { delivery, partial: Some(Failed { reason: FailReason::Partial, ..failed }) }
                }
                None => Step::GiveUp(failed),
            };
        }
        let (outcome, detail) = not_ready(verdict);
        self.later(patience, outcome, detail)
    }

    /// With one more answer of a class; whether patience with that is spent.
    fn counted(&self, class: impl Fn(&mut Patience) -> &mut Tally, bound: Duration) -> (Patience, bool) {
        let mut patience = self.answered_now();
        let gap = self.before.answered_at.map_or(Duration::ZERO, |last| self.now.since(last).min(LONGEST_GAP));
        let tally = class(&mut patience);
        tally.seconds += if tally.answers == 0 { 0 } else { gap.as_secs() as i64 };
        tally.answers = tally.answers.saturating_add(1);
        let is_spent = tally.answers >= retry::ORDER_DATA_MIN_ANSWERS && tally.seconds >= bound.as_secs() as i64;
        (patience, is_spent)
    }

    /// No answer: neither time nor attempt counts. It is asked for less and less often all the same: this may be the only order
    /// that the provider fails on.
    fn no_answer(&self, error: &Error) -> Step {
        let unanswered = self.before.unanswered.saturating_add(1);
        let so_many = self.before.attempts.saturating_add(unanswered);
        let longest = self.rules.retry_max.min(retry::UNANSWERED_MAX);
        let delay = retry::order_data(so_many, self.rules.retry_first, longest);
        let retry_after = match error {
            Error::Unavailable { retry_after, .. } | Error::TooManyRequests { retry_after } => *retry_after,
            _ => None,
        };
        let (outcome, detail) = no_answer(error);
        self.again(
            Patience { unanswered, answered_at: None, ..self.before.clone() },
            retry::with_retry_after(delay, retry_after),
            outcome,
            detail,
        )
    }

    fn answered_now(&self) -> Patience {
        Patience {
            attempts: self.before.attempts.saturating_add(1),
            answered_at: Some(self.now),
            unanswered: 0,
            refusals: 0,
            ..self.before.clone()
        }
    }

    fn later(&self, patience: Patience, outcome: &'static str, detail: String) -> Step {
        let delay = retry::order_data(patience.attempts, self.rules.retry_first, self.rules.retry_max);
        self.again(patience, delay, outcome, detail)
    }

    fn again(&self, patience: Patience, delay: Duration, outcome: &'static str, detail: String) -> Step {
        Step::AskAgain { at: self.now + delay, patience, outcome, detail }
    }
}

/// What a success says that does not hold what it should.
pub(super) const LACKS: &str = "success without what it should hold";

/// A delivery says itself that it has not got what belongs to it.
pub(super) fn complete(mut part: Part) -> Part {
    let keys = part.keys;
    if let Some(delivery) = &mut part.delivery
        && (keys == Keys::Outstanding || (keys == Keys::Expected && delivery.is_empty()))
    {
        delivery.warn(Warning::Empty);
    }
    part
}

/// An answer that brings nothing, as the store and `explain` name it.
pub(super) fn not_ready(verdict: &Verdict) -> (&'static str, String) {
    let outcome = match verdict.class {
        Class::NotFound => "not_found",
        Class::Waiting => "waiting",
        Class::Configuration => "refused",
        Class::Success | Class::Transient | Class::Permanent => "failed",
    };
    (outcome, describe(verdict))
}

/// The same for a request without one.
pub(super) fn no_answer(error: &Error) -> (&'static str, String) {
    let outcome = match error {
        Error::Unavailable { .. } | Error::NotTheProvider { .. } | Error::TooManyRequests { .. } => "unavailable",
        Error::Unauthorized { .. } => "unauthorized",
        Error::Unreachable(_) => "unreachable",
        Error::Unreadable { .. } => "unreadable",
        Error::Rejected { .. } => "rejected",
    };
    (outcome, clip(&crate::chain(error)))
}

fn refused(verdict: &Verdict) -> Failed {
    Failed { reason: FailReason::Refused, code: Some(verdict.code), message: clip(&verdict.message) }
}

#[cfg(test)]
mod tests;
