//! What an answer with order data means for one waiting renewal: deliver, ask again, or give up.

use std::time::Duration;

use super::Rules;
use super::poll::{clip, describe};
use crate::clock::Timestamp;
use crate::delivery::{Delivery, FailReason, Warning};
use crate::provider::{Class, Error, Part, Verdict};
use crate::retry;

/// A success with nothing in it, or with a key that is blank, is asked again this often before it is believed.
pub(crate) const EMPTY_ANSWERS: u32 = 4;
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
    pub empty_answers: u32,
    pub not_found: Tally,
    pub waiting: Tally,
    pub transient: Tally,
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
        Ok(part) => attempt.answered(part),
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
        let Part { verdict, delivery, dropped } = part;
        let delivery = match (verdict.class, delivery) {
            (Class::Success, Some(delivery)) => delivery,
            (_, partial) => return self.settle(&verdict, partial),
        };
        if delivery.warnings.contains(&Warning::Empty) && self.before.empty_answers + 1 < EMPTY_ANSWERS {
            return self.again(
                Patience { empty_answers: self.before.empty_answers + 1, ..self.answered_now() },
                retry::order_data(self.before.attempts + 1, self.rules.retry_first, self.rules.retry_max),
                "empty",
                "success without any content, or with a blank key".into(),
            );
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
                self.again(
                    Patience { refusals, unanswered: 0, answered_at: None, ..self.before.clone() },
                    retry::refused(refusals),
                    "refused",
                    describe(verdict),
                )
            }
            Class::NotFound => self.not_ready(verdict, FailReason::NotFound, partial),
            Class::Success | Class::Transient | Class::Waiting => self.not_ready(verdict, FailReason::TooLate, partial),
        }
    }

    /// An answer that says "not yet": counted in its class, and given up only when that class is exhausted.
    fn not_ready(&self, verdict: &Verdict, reason: FailReason, partial: Option<Delivery>) -> Step {
        let mut patience = self.answered_now();
        let gap = self.before.answered_at.map_or(Duration::ZERO, |last| self.now.since(last).min(LONGEST_GAP));
        let (tally, bound, outcome) = match verdict.class {
            Class::NotFound => (&mut patience.not_found, retry::NOT_FOUND_GIVE_UP, "not_found"),
            Class::Waiting => (&mut patience.waiting, retry::WAITING_GIVE_UP, "waiting"),
            _ => (&mut patience.transient, retry::TRANSIENT_GIVE_UP, "failed"),
        };
        tally.seconds += if tally.answers == 0 { 0 } else { gap.as_secs() as i64 };
        tally.answers = tally.answers.saturating_add(1);
        if tally.answers >= retry::ORDER_DATA_MIN_ANSWERS && tally.seconds >= bound.as_secs() as i64 {
            let failed = Failed { reason, code: Some(verdict.code), message: clip(&verdict.message) };
            return match partial {
                Some(delivery) => {
                    Step::Deliver { delivery, partial: Some(Failed { reason: FailReason::Partial, ..failed }) }
                }
                None => Step::GiveUp(failed),
            };
        }
        let delay = retry::order_data(patience.attempts, self.rules.retry_first, self.rules.retry_max);
        self.again(patience, delay, outcome, describe(verdict))
    }

    /// No answer: neither time nor attempt counts. It is asked for less and less often all the same: this may be the only order
    /// that the provider fails on.
    fn no_answer(&self, error: &Error) -> Step {
        let unanswered = self.before.unanswered.saturating_add(1);
        let so_many = self.before.attempts.saturating_add(unanswered);
        let longest = self.rules.retry_max.min(retry::UNANSWERED_MAX);
        let delay = retry::order_data(so_many, self.rules.retry_first, longest);
        let (outcome, retry_after) = match error {
            Error::Unavailable { retry_after, .. } | Error::TooManyRequests { retry_after } => {
                ("unavailable", *retry_after)
            }
            Error::Unauthorized { .. } => ("unauthorized", None),
            _ => ("unreachable", None),
        };
        self.again(
            Patience { unanswered, answered_at: None, ..self.before.clone() },
            retry::with_retry_after(delay, retry_after),
            outcome,
            clip(&crate::chain(error)),
        )
    }

    fn answered_now(&self) -> Patience {
        Patience {
            attempts: self.before.attempts.saturating_add(1),
            answered_at: Some(self.now),
            unanswered: 0,
            refusals: 0,
            empty_answers: 0,
            ..self.before.clone()
        }
    }

    fn again(&self, patience: Patience, delay: Duration, outcome: &'static str, detail: String) -> Step {
        Step::AskAgain { at: self.now + delay, patience, outcome, detail }
    }
}

fn refused(verdict: &Verdict) -> Failed {
    Failed { reason: FailReason::Refused, code: Some(verdict.code), message: clip(&verdict.message) }
}

#[cfg(test)]
mod tests;
