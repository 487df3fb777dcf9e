//! How patience with a renewal's order data ends.

use super::*;
use crate::renewal::fixtures::rules;
use crate::renewal::{DAY, HOUR};

const NOW: Timestamp = Timestamp::constant(1_800_000_000);

fn refused_at(class: Class, code: i64) -> Part {
    Part::bare(Verdict { class, code, message: String::new() })
}

/// A success without any line.
fn empty(keys: Keys) -> Part {
    Part { delivery: Some(Delivery::default()), keys, ..Part::bare(Verdict::success()) }
}

/// Asks until that ends, `gap` apart, and says after how many answers that was, and how.
fn answers_until_the_end(part: &Part, gap: Duration) -> (u32, Step) {
    let (mut patience, mut now) = (Patience::default(), NOW);
    for answers in 1.. {
        match decide(&patience, Ok(part.clone()), &rules(), now) {
            Step::AskAgain { patience: after, at, .. } => {
                assert!(at > now && at <= now + 4 * HOUR);
                patience = after;
            }
            end => return (answers, end),
        }
        now = now + gap;
    }
    unreachable!()
}

fn answers_until_given_up(class: Class, gap: Duration) -> u32 {
    let (answers, end) = answers_until_the_end(&refused_at(class, 1), gap);
    assert!(matches!(end, Step::GiveUp(_)), "{end:?}");
    answers
}

fn answers_until_believed(keys: Keys, gap: Duration) -> (u32, Vec<Warning>) {
    let (answers, end) = answers_until_the_end(&empty(keys), gap);
    let Step::Deliver { delivery, partial: None } = end else { panic!("{end:?}") };
    (answers, delivery.warnings)
}

#[test]
fn what_lacks_its_keys_is_believed_after_three_days_and_a_charge_at_once() {
    for keys in [Keys::Expected, Keys::Outstanding] {
        assert_eq!(answers_until_believed(keys, 4 * HOUR), (19, vec![Warning::Empty]), "72 h");
        assert_eq!(answers_until_believed(keys, DAY), (8, vec![Warning::Empty]), "a daily run asks eight times");
    }
    assert_eq!(answers_until_believed(Keys::NotExpected, HOUR), (1, vec![]));
}

#[test]
fn waiting_and_empty_answers_are_one_wait_for_whoever_looks() {
    let mut patience = Patience::default();
    for (n, part) in [refused_at(Class::Waiting, 1), empty(Keys::Expected)].iter().cycle().take(40).enumerate() {
        let step = decide(&patience, Ok(part.clone()), &rules(), NOW + n as u32 * HOUR);
        let Step::AskAgain { patience: after, outcome, .. } = step else { panic!("{step:?}") };
        assert_eq!(outcome, ["waiting", "empty"][n % 2]);
        patience = after;
    }
    let hours = |seconds: i64| seconds / 3600;
    assert_eq!((hours(patience.waiting.seconds), hours(patience.empty.seconds)), (19, 19));
    assert_eq!(hours(patience.kept_waiting()), 38);
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
    let outage = Error::Unavailable { status: 503, retry_after: None };
    let (mut patience, mut now) = (Patience::default(), NOW);
    for round in 0..200 {
        let answer = match round % 4 {
            0 => Ok(refused_at(Class::NotFound, 1)),
            2 => Ok(refused_at(Class::Configuration, 2)),
            _ => Err(&outage),
        };
        match decide(&patience, answer, &rules(), now) {
            Step::AskAgain { patience: after, .. } => patience = after,
            other => panic!("round {round}: {other:?}"),
        }
        now = now + DAY;
    }
    assert_eq!((patience.not_found.seconds, patience.not_found.answers), (0, 50));
}

#[test]
fn what_is_never_answered_is_asked_less_and_less_often() {
    let outage = Error::Unavailable { status: 500, retry_after: None };
    let (mut patience, mut delays) = (Patience::default(), Vec::new());
    for _ in 0..12 {
        let step = decide(&patience, Err(&outage), &rules(), NOW);
        let Step::AskAgain { at, patience: after, .. } = step else { panic!("{step:?}") };
        delays.push(at.since(NOW).as_secs());
        patience = after;
    }
    assert!((9..=11).contains(&delays[0]) && (36..=44).contains(&delays[2]), "{delays:?}");
    assert!((3240..=3600).contains(&delays[11]), "{delays:?}");
    let Step::AskAgain { patience: answered, .. } = decide(&patience, Ok(refused_at(Class::Waiting, 3)), &rules(), NOW)
    else {
        panic!("given up")
    };
    assert_eq!((patience.unanswered, answered.unanswered, answered.attempts), (12, 0, 1));
}
