//! What an answer with order data means for one waiting renewal: whose lines are ours, deliver, ask again, or give up.

use std::time::Duration;

use super::Rules;
use super::poll::{clip, describe};
use crate::clock::Timestamp;
use crate::delivery::{Delivery, FailReason, Line, Serial, Warning};
use crate::provider::{Class, Error, LineItem, OrderData, OrderLine, Verdict};
use crate::retry;

/// A success with nothing in it, or with a key that is blank, is asked again this often before it is believed.
const EMPTY_ANSWERS: u32 = 4;
/// The most that the time between two answers in a row counts towards the end of patience: a daily catch-up run counts in full, a
/// clock that jumped by a year does not.
const LONGEST_GAP: Duration = Duration::from_secs(26 * 3600);

/// Answers of one class so far, and the time between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub answers: u32,
    pub seconds: i64,
}

/// What a renewal has been through.
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

/// Whose renewal is being decided on.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub order_number: &'a str,
    pub subscription_id: i64,
    /// Another tracked subscription has this very number as its original.
    pub original_of_another: bool,
}

/// Decides on one attempt for one renewal.
pub fn decide(
    asked: Asked<'_>,
    before: &Patience,
    answer: &Result<OrderData, Error>,
    rules: &Rules,
    now: Timestamp,
) -> Step {
    let attempt = Attempt { before, rules, now };
    match answer {
        Ok(order) => attempt.answered(asked, order),
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
    fn answered(&self, asked: Asked<'_>, order: &OrderData) -> Step {
        if order.partner_order_number.as_deref().is_some_and(|returned| returned != asked.order_number) {
            return self.not_ours("answered for another order number");
        }
        if matches!(order.verdict.class, Class::NotFound | Class::Configuration) {
            return self.settle(&order.verdict, None);
        }
        let Some(ours) = ours(asked, order) else {
            return match not_yet(order) {
                Some(verdict) => self.settle(verdict, None),
                None => self.not_ours("the answer holds another subscription's lines only"),
            };
        };
        // Only now: another's cancelled order ends nothing of ours.
        if order.verdict.class == Class::Permanent {
            return self.settle(&order.verdict, None);
        }
        let (verdict, dropped) = combine(&order.verdict, &ours);
        if verdict.class != Class::Success {
            return self.settle(&verdict, partial_delivery(verdict.class, &ours, order));
        }
        let delivery = deliver(&ours, order);
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

    /// As "not found": a number composed wrongly, or one that belongs to somebody else.
    fn not_ours(&self, why: &str) -> Step {
        let verdict = Verdict { class: Class::NotFound, code: 1010, message: why.into() };
        self.not_ready(&verdict, FailReason::NotFound, None)
    }

    fn settle(&self, verdict: &Verdict, partial: Option<Delivery>) -> Step {
        match verdict.class {
            // What was ready beside it has been delivered by now: see `combine`.
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

/// Our part of an order.
struct Ours<'a> {
    lines: Vec<(&'a OrderLine, Vec<&'a LineItem>)>,
    /// No line named any subscription.
    unmatched: bool,
}

/// Picks the lines of one subscription; `None` when the order is not ours.
fn ours<'a>(asked: Asked<'_>, order: &'a OrderData) -> Option<Ours<'a>> {
    let mut ids = order.lines.iter().flat_map(|line| &line.items).filter_map(|item| item.subscription_id).peekable();
    if ids.peek().is_none() {
        // Nobody is named. Lines of a number that is another's original are another's lines.
        let lines = order.lines.iter().map(|line| (line, line.items.iter().collect())).collect();
        return (!asked.original_of_another).then_some(Ours { lines, unmatched: true });
    }
    let lines: Vec<(&OrderLine, Vec<&LineItem>)> = order
        .lines
        .iter()
        .map(|line| (line, line.items.iter().filter(|i| i.subscription_id == Some(asked.subscription_id)).collect()))
        .filter(|(_, items): &(_, Vec<_>)| !items.is_empty())
        .collect();
    (!lines.is_empty()).then_some(Ours { lines, unmatched: false })
}

/// Why an order that names others only may come to name us: it says "not yet" itself, or of something that names nobody.
fn not_yet(order: &OrderData) -> Option<&Verdict> {
    let of_nobody = order.lines.iter().flat_map(|line| {
        let items: Vec<_> = line.items.iter().filter(|item| item.subscription_id.is_none()).collect();
        let line_names_nobody = line.items.is_empty() || !items.is_empty();
        line_names_nobody.then_some(&line.verdict).into_iter().chain(items.into_iter().map(|item| &item.verdict))
    });
    let passing = |verdict: &&Verdict| matches!(verdict.class, Class::Waiting | Class::Transient);
    std::iter::once(&order.verdict).chain(of_nobody).filter(passing).reduce(worse)
}

/// The class that counts, over the order level and our lines and items; and the permanent code of what was left out, if other
/// parts are ready without it. A permanent code speaks for its own line or item only.
fn combine(order: &Verdict, ours: &Ours<'_>) -> (Verdict, Option<Verdict>) {
    let mut worst = order.clone();
    let mut dropped = None;
    let mut ready = 0;
    for (line, items) in &ours.lines {
        // A line's own code concerns all of its items.
        let parts = match (line.verdict.class, items.is_empty()) {
            (Class::Permanent, _) | (_, true) => vec![&line.verdict],
            _ => items.iter().map(|item| worse(&line.verdict, &item.verdict)).collect(),
        };
        for part in parts {
            match part.class {
                Class::Permanent => dropped = Some(part.clone()),
                Class::Success => ready += 1,
                _ => worst = worse(&worst, part).clone(),
            }
        }
    }
    match dropped {
        Some(permanent) if ready == 0 && worst.class == Class::Success => (permanent, None),
        other => (worst, other),
    }
}

/// The worse of two; the first where they are alike.
fn worse<'a>(one: &'a Verdict, other: &'a Verdict) -> &'a Verdict {
    if severity(other.class) > severity(one.class) { other } else { one }
}

/// Among those that pass by themselves the most patient wins: the others are given up sooner.
fn severity(class: Class) -> u8 {
    match class {
        Class::Success => 0,
        Class::NotFound => 1,
        Class::Transient => 2,
        Class::Waiting => 3,
        Class::Configuration => 4,
        Class::Permanent => 5,
    }
}

fn deliver(ours: &Ours<'_>, order: &OrderData) -> Delivery {
    let ready = |verdict: &Verdict| verdict.class == Class::Success;
    let lines: Vec<Line> = ours
        .lines
        .iter()
        .filter(|(line, _)| ready(&line.verdict))
        .filter(|(_, items)| items.is_empty() || items.iter().any(|item| ready(&item.verdict)))
        .map(|(line, items)| to_line(line, items.iter().copied().filter(|item| ready(&item.verdict))))
        .collect();
    let items = ours
        .lines
        .iter()
        .flat_map(|(line, items)| std::iter::once(&line.verdict).chain(items.iter().map(|i| &i.verdict)));
    let mut warnings = Vec::new();
    if items.into_iter().any(|verdict| !ready(verdict)) || !ready(&order.verdict) {
        warnings.push(Warning::Partial);
    }
    let serials = || lines.iter().flat_map(|line| &line.serials);
    // A key that is announced and blank is still to come. No key at all is right for some products.
    if lines.iter().all(is_empty) || serials().any(|serial| serial.data.is_blank()) {
        warnings.push(Warning::Empty);
    }
    if serials().any(|serial| !known_encoding(serial)) {
        warnings.push(Warning::UnknownEncoding);
    }
    if ours.unmatched {
        warnings.push(Warning::LinesUnmatched);
    }
    Delivery { order_number: order.order_number, lines, download_manager: order.download_manager.clone(), warnings }
}

/// What could be handed over at the end of patience: something with content, or nothing.
fn partial_delivery(class: Class, ours: &Ours<'_>, order: &OrderData) -> Option<Delivery> {
    // What waits as a whole may be unpaid, whatever lies in it.
    if order.verdict.class == Class::Waiting {
        return None;
    }
    let mut delivery = deliver(ours, order);
    if class == Class::Transient && delivery.lines.iter().all(is_empty) {
        // Trouble beside the keys, such as 1040 (download link), leaves them usable. Not so an unpaid line.
        let every = ours.lines.iter().map(|(line, items)| to_line(line, items.iter().copied()));
        delivery.lines = every.filter(|line| !line.serials.iter().all(|serial| serial.data.is_blank())).collect();
        delivery.warnings.retain(|warning| *warning != Warning::Empty);
    }
    (!delivery.lines.iter().all(is_empty)).then_some(delivery)
}

fn to_line<'a>(line: &OrderLine, items: impl Iterator<Item = &'a LineItem>) -> Line {
    Line {
        product_ref: line.product_ref,
        remark: line.remark.clone(),
        digital_locker_link: line.digital_locker_link.clone(),
        download_until: line.download_until.clone(),
        serials: items.flat_map(|item| item.serials.iter().cloned()).collect(),
        files: line.files.clone(),
    }
}

fn is_empty(line: &Line) -> bool {
    line.serials.iter().all(|serial| serial.data.is_blank())
        && line.files.iter().all(|file| file.url.trim().is_empty())
        && line.digital_locker_link.trim().is_empty()
        && line.remark.trim().is_empty()
}

fn known_encoding(serial: &Serial) -> bool {
    let encoding = serial.encoding.as_str();
    encoding.is_empty() || encoding.eq_ignore_ascii_case("text") || encoding.eq_ignore_ascii_case("base64")
}

#[cfg(test)]
mod tests;
