//! What an answer with order data means for one waiting renewal: whose lines are ours, deliver, ask again, or give up.

use std::time::Duration;

use super::poll::{clip, describe};
use super::{HOUR, Rules};
use crate::clock::Timestamp;
use crate::delivery::{Delivery, FailReason, Line, Serial, Warning};
use crate::provider::{Class, Error, LineItem, OrderData, OrderLine, Verdict};
use crate::retry;

/// A success with nothing in it is asked again this often before it is believed.
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
            return self.not_ours("the answer holds another subscription's lines only");
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
        if delivery.lines.iter().all(is_empty) && self.before.empty_answers + 1 < EMPTY_ANSWERS {
            return self.again(
                Patience { empty_answers: self.before.empty_answers + 1, ..self.answered_now() },
                retry::order_data(self.before.attempts + 1, self.rules.retry_first, self.rules.retry_max),
                "empty",
                "success without any content".into(),
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
                    Patience { refusals, answered_at: None, ..self.before.clone() },
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

    /// No answer: neither time nor attempt counts.
    fn no_answer(&self, error: &Error) -> Step {
        let delay = retry::order_data(self.before.attempts + 1, self.rules.retry_first, self.rules.retry_max.min(HOUR));
        let (outcome, retry_after) = match error {
            Error::Unavailable { retry_after, .. } | Error::TooManyRequests { retry_after } => {
                ("unavailable", *retry_after)
            }
            Error::Unauthorized { .. } => ("unauthorized", None),
            _ => ("unreachable", None),
        };
        self.again(
            Patience { answered_at: None, ..self.before.clone() },
            retry::with_retry_after(delay, retry_after),
            outcome,
            clip(&crate::chain(error)),
        )
    }

    fn answered_now(&self) -> Patience {
        Patience {
            attempts: self.before.attempts.saturating_add(1),
            answered_at: Some(self.now),
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
    if lines.iter().all(is_empty) {
        warnings.push(Warning::Empty);
    }
    if lines.iter().flat_map(|line| &line.serials).any(|serial| !known_encoding(serial)) {
        warnings.push(Warning::UnknownEncoding);
    }
    if ours.unmatched {
        warnings.push(Warning::LinesUnmatched);
    }
    Delivery { order_number: order.order_number, lines, download_manager: order.download_manager.clone(), warnings }
}

/// What could be handed over at the end of patience: something with content, or nothing.
fn partial_delivery(class: Class, ours: &Ours<'_>, order: &OrderData) -> Option<Delivery> {
    let mut delivery = deliver(ours, order);
    if class == Class::Transient && delivery.lines.iter().all(is_empty) {
        // Trouble beside the keys, such as 1040 (download link), leaves them usable. Not so an unpaid order.
        let every = ours.lines.iter().map(|(line, items)| to_line(line, items.iter().copied()));
        delivery.lines = every.filter(|line| !line.serials.is_empty()).collect();
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
    line.serials.is_empty() && line.files.is_empty() && line.digital_locker_link.is_empty() && line.remark.is_empty()
}

fn known_encoding(serial: &Serial) -> bool {
    let encoding = serial.encoding.as_str();
    encoding.is_empty() || encoding.eq_ignore_ascii_case("text") || encoding.eq_ignore_ascii_case("base64")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::LicenceKey;

    const NOW: Timestamp = Timestamp::constant(1_800_000_000);
    const OURS: i64 = 5_618_577;

    fn rules() -> Rules {
        Rules {
            every: 4 * HOUR,
            window_before: DAY,
            window_after: DAY,
            ended_after: DAY,
            max_generation_jump: 24,
            retry_first: Duration::from_secs(10),
            retry_max: 4 * HOUR,
        }
    }

    const DAY: Duration = Duration::from_secs(86_400);

    fn verdict(class: Class, code: i64) -> Verdict {
        Verdict { class, code, message: String::new() }
    }

    fn item(subscription_id: Option<i64>, key: &str) -> LineItem {
        let data = LicenceKey::new(key.into());
        let serial = Serial { data, encoding: "text".into(), charset: "utf-8".into(), file_name: String::new() };
        LineItem { verdict: Verdict::success(), subscription_id, serials: vec![serial] }
    }

    fn line(items: Vec<LineItem>) -> OrderLine {
        OrderLine {
            verdict: Verdict::success(),
            product_ref: Some(811_537),
            remark: String::new(),
            digital_locker_link: String::new(),
            download_until: None,
            files: Vec::new(),
            items,
        }
    }

    fn order(lines: Vec<OrderLine>) -> OrderData {
        OrderData {
            verdict: Verdict::success(),
            partner_order_number: Some("PARTNER689-1".into()),
            order_number: Some(12_567_638),
            lines,
            download_manager: None,
        }
    }

    fn refused_at(order_level: Verdict) -> OrderData {
        OrderData { verdict: order_level, ..order(Vec::new()) }
    }

    const ASKED: Asked<'_> = Asked { order_number: "PARTNER689-1", subscription_id: OURS, original_of_another: false };

    fn first(order: OrderData) -> Step {
        decide(ASKED, &Patience::default(), &Ok(order), &rules(), NOW)
    }

    fn keys(step: &Step) -> Vec<&str> {
        match step {
            Step::Deliver { delivery, .. } => delivery.serials().map(|serial| serial.data.reveal()).collect(),
            other => panic!("not delivered: {other:?}"),
        }
    }

    fn outcome(step: &Step) -> &str {
        match step {
            Step::AskAgain { outcome, .. } => outcome,
            Step::Deliver { .. } => "delivered",
            Step::GiveUp(_) => "given up",
        }
    }

    #[test]
    fn only_our_own_lines_are_taken() {
        let ours = line(vec![item(Some(OURS), "ours"), item(Some(7), "another's")]);
        assert_eq!(keys(&first(order(vec![ours, line(vec![item(Some(7), "too")])]))), ["ours"]);
        assert_eq!(outcome(&first(order(vec![line(vec![item(Some(7), "another's")])]))), "not_found");
        assert_eq!(outcome(&first(order(vec![line(vec![item(Some(7), "x"), item(None, "whose?")])]))), "not_found");
        let foreign = OrderData {
            partner_order_number: Some("PARTNER689".into()),
            ..order(vec![line(vec![item(Some(OURS), "old")])])
        };
        assert_eq!(outcome(&first(foreign)), "not_found");
    }

    #[test]
    fn lines_without_ids_are_ours_unless_the_number_is_another_subscriptions_original() {
        let nobody = || order(vec![line(vec![item(None, "key")])]);
        let step = first(nobody());
        assert_eq!(keys(&step), ["key"]);
        assert!(matches!(step, Step::Deliver { delivery, .. } if delivery.warnings == [Warning::LinesUnmatched]));
        let clash = Asked { original_of_another: true, ..ASKED };
        assert_eq!(outcome(&decide(clash, &Patience::default(), &Ok(nobody()), &rules(), NOW)), "not_found");
    }

    #[test]
    fn the_worst_of_all_levels_counts_for_our_lines_only() {
        let waiting = |id| LineItem { verdict: verdict(Class::Waiting, 1051), ..item(id, "") };
        assert_eq!(
            outcome(&first(order(vec![line(vec![item(Some(OURS), "k")]), line(vec![waiting(Some(OURS))])]))),
            "waiting"
        );
        assert_eq!(
            outcome(&first(order(vec![line(vec![item(Some(OURS), "k")]), line(vec![waiting(Some(7))])]))),
            "delivered"
        );
        let level =
            OrderData { verdict: verdict(Class::Waiting, 1060), ..order(vec![line(vec![item(Some(OURS), "k")])]) };
        assert_eq!(outcome(&first(level)), "waiting", "the order level is trusted");
    }

    #[test]
    fn a_permanent_code_gives_up_at_once_but_lets_the_other_lines_through() {
        assert_eq!(outcome(&first(refused_at(verdict(Class::Permanent, 1062)))), "given up");
        let dead = OrderLine { verdict: verdict(Class::Permanent, 1020), ..line(vec![item(Some(OURS), "dead")]) };
        let step = first(order(vec![dead.clone(), line(vec![item(Some(OURS), "good")])]));
        assert_eq!(keys(&step), ["good"]);
        let Step::Deliver { delivery, partial: Some(failed) } = step else { panic!("not partial") };
        assert_eq!((failed.reason, failed.code), (FailReason::Partial, Some(1020)));
        assert_eq!(delivery.warnings, [Warning::Partial]);
        assert_eq!(outcome(&first(order(vec![dead]))), "given up", "no key of a cancelled line goes out");
    }

    #[test]
    fn a_permanent_code_of_another_subscriptions_order_ends_nothing_of_ours() {
        let cancelled = |lines| OrderData { verdict: verdict(Class::Permanent, 1062), ..order(lines) };
        assert_eq!(outcome(&first(cancelled(vec![line(vec![item(Some(7), "another's")])]))), "not_found");
        let clash = Asked { original_of_another: true, ..ASKED };
        let step = decide(clash, &Patience::default(), &Ok(cancelled(Vec::new())), &rules(), NOW);
        assert_eq!(outcome(&step), "not_found", "the number is another's original, and so may be the order");
    }

    #[test]
    fn a_permanent_item_takes_neither_ready_nor_waiting_items_of_its_line_along() {
        let dead = || LineItem { verdict: verdict(Class::Permanent, 1062), ..item(Some(OURS), "dead") };
        let step = first(order(vec![line(vec![dead(), item(Some(OURS), "good")])]));
        assert_eq!(keys(&step), ["good"]);
        assert!(matches!(step, Step::Deliver { partial: Some(_), .. }));
        let late = LineItem { verdict: verdict(Class::Waiting, 1051), ..item(Some(OURS), "") };
        let step = first(order(vec![line(vec![dead(), late]), line(vec![item(Some(OURS), "good")])]));
        assert_eq!(outcome(&step), "waiting", "a key that is still to come is waited for");
    }

    #[test]
    fn success_without_content_is_asked_again_and_then_believed() {
        let empty = || Ok(order(vec![line(vec![LineItem { serials: Vec::new(), ..item(Some(OURS), "") }])]));
        let mut patience = Patience::default();
        for _ in 1..EMPTY_ANSWERS {
            match decide(ASKED, &patience, &empty(), &rules(), NOW) {
                Step::AskAgain { patience: after, .. } => patience = after,
                other => panic!("{other:?}"),
            }
        }
        let step = decide(ASKED, &patience, &empty(), &rules(), NOW);
        assert!(matches!(step, Step::Deliver { delivery, .. } if delivery.warnings == [Warning::Empty]));
    }

    /// Asks until given up, `gap` apart, and says after how many answers that was.
    fn answers_until_given_up(class: Class, gap: Duration) -> u32 {
        let (mut patience, mut now) = (Patience::default(), NOW);
        for answers in 1.. {
            match decide(ASKED, &patience, &Ok(refused_at(verdict(class, 1))), &rules(), now) {
                Step::AskAgain { patience: after, at, .. } => {
                    assert!(at > now && at <= now + 4 * HOUR);
                    patience = after;
                }
                Step::GiveUp(_) => return answers,
                Step::Deliver { .. } => panic!("delivered"),
            }
            now = now + gap;
        }
        unreachable!()
    }

    #[test]
    fn patience_needs_both_time_and_answers() {
        assert_eq!(answers_until_given_up(Class::NotFound, 4 * HOUR), 13, "48 h");
        assert_eq!(answers_until_given_up(Class::NotFound, DAY), 8, "a daily run asks eight times");
        assert_eq!(answers_until_given_up(Class::Transient, 4 * HOUR), 19, "72 h");
        assert_eq!(answers_until_given_up(Class::Waiting, 4 * HOUR), 181, "30 d");
        let year = 365 * DAY;
        assert!(answers_until_given_up(Class::Waiting, year) > 25, "a year's gap counts as little more than a day");
    }

    #[test]
    fn outage_and_refusal_bring_the_end_no_nearer() {
        let outage = Err(Error::Unavailable { status: 503, retry_after: None });
        let refusal = Ok(refused_at(verdict(Class::Configuration, 71)));
        let not_found = Ok(refused_at(verdict(Class::NotFound, 1010)));
        let (mut patience, mut now) = (Patience::default(), NOW);
        for round in 0..200 {
            let answer = match round % 4 {
                0 => &not_found,
                2 => &refusal,
                _ => &outage,
            };
            match decide(ASKED, &patience, answer, &rules(), now) {
                Step::AskAgain { patience: after, .. } => patience = after,
                other => panic!("round {round}: {other:?}"),
            }
            now = now + DAY;
        }
        assert_eq!((patience.not_found.seconds, patience.not_found.answers), (0, 50));
    }

    #[test]
    fn trouble_beside_the_keys_delivers_them_when_patience_ends() {
        let broken = || OrderLine { verdict: verdict(Class::Transient, 1040), ..line(vec![item(Some(OURS), "key")]) };
        let unpaid = || OrderLine { verdict: verdict(Class::Waiting, 1060), ..line(vec![item(Some(OURS), "key")]) };
        let spent = Tally { answers: 99, seconds: 99 * 86_400 };
        let patience = Patience { transient: spent, waiting: spent, ..Patience::default() };
        let last = |order| decide(ASKED, &patience, &Ok(order), &rules(), NOW);
        let step = last(order(vec![broken()]));
        assert_eq!(keys(&step), ["key"]);
        assert!(matches!(step, Step::Deliver { partial: Some(_), .. }));
        assert_eq!(outcome(&last(order(vec![unpaid()]))), "given up");
        assert_eq!(outcome(&first(order(vec![broken()]))), "failed", "not before");
    }
}
