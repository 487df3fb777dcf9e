//! What is sent after a look, and until when there are any.

use super::*;
use crate::delivery::tests::{delivery, line};
use crate::delivery::{Charge, LicenceKey, Serial};
use crate::provider::{Keys, Verdict};
use crate::renewal::{DAY, HOUR};

const NOW: Timestamp = Timestamp::constant(1_800_000_000);

fn sent(warnings: &[Warning], keys: &[&str]) -> Sent {
    let keys_hash = keys_hash(&delivery(vec![line(keys)]));
    Sent { warnings: warnings.to_vec(), keys_hash, settled_at: NOW }
}

/// A success with a line of these keys, and these warnings of the kind.
fn part(keys: &[&str], warnings: &[Warning]) -> Part {
    let delivery = Delivery { warnings: warnings.to_vec(), ..delivery(vec![line(keys)]) };
    Part { delivery: Some(delivery), ..Part::bare(Verdict::success()) }
}

/// Without a line.
fn nothing() -> Part {
    Part { delivery: Some(Delivery::default()), ..Part::bare(Verdict::success()) }
}

fn not_ready(class: Class) -> Part {
    Part::bare(Verdict { class, code: 1, message: String::new() })
}

/// The warnings of what is sent; else how it ended.
fn look(sent: &Sent, part: Part) -> Result<Vec<Warning>, &'static str> {
    match decide(sent, Ok(part)) {
        Look::Deliver(delivery) => Ok(delivery.warnings),
        Look::Nothing { is_answered, outcome, .. } => {
            assert!(is_answered);
            Err(outcome)
        }
    }
}

#[test]
fn a_key_after_none_is_sent_and_none_after_none_is_not() {
    let sent = sent(&[Warning::Empty], &[]);
    assert_eq!(look(&sent, part(&["KEY"], &[])), Ok(vec![]));
    assert_eq!(look(&sent, nothing()), Err("empty"));
    let blank = Part { keys: Keys::Outstanding, ..part(&[" "], &[]) };
    assert_eq!(look(&sent, blank), Err("empty"), "announced, and still to come");
    assert_eq!(look(&sent, part(&[], &[])), Ok(vec![]), "a file stands for a key");
}

#[test]
fn another_part_is_sent_while_there_are_more_to_come_and_the_same_is_not() {
    let sent = sent(&[Warning::Partial], &["ONE"]);
    assert_eq!(look(&sent, part(&["ONE"], &[Warning::Partial])), Err("partial"));
    assert_eq!(look(&sent, part(&["ONE", "TWO"], &[Warning::Partial])), Ok(vec![Warning::Partial]));
    assert_eq!(look(&sent, part(&["ONE"], &[])), Ok(vec![]), "what was missing had no key");
    let waiting = Part { verdict: not_ready(Class::Waiting).verdict, ..part(&["ONE", "TWO"], &[Warning::Partial]) };
    assert_eq!(look(&sent, waiting), Ok(vec![Warning::Partial]), "another line is not ready yet");
}

#[test]
fn an_order_after_none_is_sent_though_it_holds_no_key() {
    let sent = sent(&[Warning::OrderMissing], &[]);
    let of = |charge: Option<Charge>, warnings: &[Warning]| {
        let delivery = Delivery { charge: charge.map(Box::new), warnings: warnings.to_vec(), ..Delivery::default() };
        Part { delivery: Some(delivery), keys: Keys::NotExpected, ..Part::bare(Verdict::success()) }
    };
    let charge = Charge { amount: None, currency: None, state: None, attempts: None, reference: Some("O".to_owned()) };
    assert_eq!(look(&sent, of(None, &[Warning::OrderMissing])), Err("order_missing"));
    assert_eq!(look(&sent, of(Some(charge.clone()), &[])), Ok(vec![]));
    let keyless = Part { keys: Keys::Expected, ..of(Some(charge), &[]) };
    assert_eq!(look(&sent, keyless), Ok(vec![Warning::Empty]), "its key is still to come");
    assert_eq!(look(&sent, of(None, &[])), Err("ok"), "nothing has come");
}

#[test]
fn whatever_else_is_answered_sends_nothing() {
    let sent = sent(&[Warning::Partial], &["ONE"]);
    for (class, outcome) in [
        (Class::NotFound, "not_found"),
        (Class::Waiting, "waiting"),
        (Class::Configuration, "refused"),
        (Class::Transient, "failed"),
        (Class::Permanent, "failed"),
    ] {
        assert_eq!(look(&sent, not_ready(class)), Err(outcome));
    }
    let outage = Error::Unavailable { status: 503, retry_after: None };
    for (error, word) in [(outage, "unavailable"), (Error::Unreadable { reason: "no JSON".into() }, "unreadable")] {
        let looked = decide(&sent, Err(&error));
        assert!(matches!(looked, Look::Nothing { is_answered: false, outcome, .. } if outcome == word), "{looked:?}");
    }
}

#[test]
fn looks_are_a_day_apart_and_end_with_the_thirtieth_day() {
    let lacking = [Warning::LinesUnmatched, Warning::Empty];
    let (mut now, mut looks) = (NOW, 0);
    while let Some(at) = next(&lacking, NOW, now, Clock::Believed) {
        let wait = at.since(now);
        assert!(wait <= DAY && (wait >= 21 * HOUR || at == NOW + 30 * DAY), "{wait:?}");
        (now, looks) = (at, looks + 1);
    }
    assert!(now == NOW + 30 * DAY && (30..=34).contains(&looks), "{looks} until {now}");
    assert_eq!(next(&[Warning::LinesUnmatched, Warning::UnknownEncoding], NOW, NOW, Clock::Believed), None);
    assert_eq!(next(&[], NOW, NOW, Clock::Believed), None);
}

#[test]
fn a_clock_that_was_set_ends_no_looks() {
    let year = NOW + 365 * DAY;
    assert!(next(&[Warning::Partial], NOW, year, Clock::Doubted).is_some_and(|at| at > year));
    assert_eq!(next(&[Warning::Partial], NOW, year, Clock::Believed), None);
}

/// A message of a file with a blank key beside it.
#[test]
fn a_key_that_was_blank_is_news() {
    let blank = Serial { data: LicenceKey::new(" ".to_owned()), ..crate::delivery::tests::serial("") };
    let before =
        Delivery { lines: vec![crate::delivery::Line { serials: vec![blank], ..line(&[]) }], ..delivery(vec![]) };
    let sent = Sent { warnings: vec![Warning::Empty], keys_hash: keys_hash(&before), settled_at: NOW };
    let still = Part { delivery: Some(before), keys: Keys::Outstanding, ..Part::bare(Verdict::success()) };
    assert_eq!(look(&sent, still), Err("empty"));
    assert_eq!(look(&sent, part(&["KEY"], &[])), Ok(vec![]));
}
