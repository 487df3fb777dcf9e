//! How patience with a renewal's order data ends.

use super::*;
use crate::renewal::fixtures::rules;
use crate::renewal::{DAY, HOUR};

const NOW: Timestamp = Timestamp::constant(1_800_000_000);

fn refused_at(class: Class, code: i64) -> Part {
    Part { verdict: Verdict { class, code, message: String::new() }, delivery: None, dropped: None }
}

/// Asks until given up, `gap` apart, and says after how many answers that was.
fn answers_until_given_up(class: Class, gap: Duration) -> u32 {
    let (mut patience, mut now) = (Patience::default(), NOW);
    for answers in 1.. {
        match decide(&patience, Ok(refused_at(class, 1)), &rules(), now) {
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
