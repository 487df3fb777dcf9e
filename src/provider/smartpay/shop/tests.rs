//! What is asked for, and what is made of answers.

use super::*;
use crate::clock::Timestamp;
use crate::provider::http::answer_of;
use crate::provider::kinds::Given;

fn outcome(call: Name, status: &str) -> Option<Outcome> {
    let body = json!({ "id": "Subscription-1", "status": status }).to_string();
    let found = subscription::read(body.as_bytes(), Timestamp::constant(1_780_000_000)).unwrap();
    needless(call, &found).map(|reply| reply.outcome)
}

#[test]
fn what_is_so_already_is_not_asked_for() {
    use Outcome::{Already, Refused};
    let of = |status| [Name::Cancel, Name::Pause, Name::Resume, Name::Renew].map(|call| outcome(call, status));
    assert_eq!(of("active"), [None, None, Some(Already), None]);
    assert_eq!(of("PAUSED"), [None, Some(Already), None, Some(Refused)]);
    assert_eq!(of("overdue"), [None, None, Some(Already), None]);
    assert_eq!(of("cancelled"), [Some(Already), Some(Refused), Some(Refused), Some(Refused)]);
    assert_eq!(of("a new word"), [None; 4]);
}

fn answered(status: u16, body: &str) -> Answer {
    answer_of(Given { status, body: body.as_bytes(), at: Timestamp::constant(1_780_000_000) })
}

#[test]
fn a_success_that_shows_nothing_new_is_looked_at_again() {
    let told = |call, body: &str| shows(call, &answered(200, body), "subscription-1");
    let in_status = |status: &str| json!({ "id": "Subscription-1", "status": status }).to_string();
    let all = |body: &str| [Name::Cancel, Name::Pause, Name::Resume].map(|call| told(call, body));
    assert_eq!(all(&in_status("active")), [false, false, true]);
    assert_eq!(all(&in_status("Paused")), [false, true, false]);
    assert_eq!(all(&in_status("canceled")), [true, false, false]);
    assert_eq!(all(&in_status("frozen")), [false; 3]);
    assert_eq!(all(""), [true, false, false]);
    assert_eq!([all("<html>"), all("{}"), all(r#"{"id": "Subscription-2", "status": "canceled"}"#)], [[false; 3]; 3]);
    let then = |call, status: &str| {
        let answer = answered(200, &in_status(status));
        outcome_of(call, &subscription::read(&answer.body, answer.at).unwrap(), &answer)
    };
    use Outcome::{Done, Later, Refused};
    assert_eq!([then(Name::Pause, "paused"), then(Name::Pause, "active")], [Done, Later]);
    assert_eq!([then(Name::Resume, "overdue"), then(Name::Resume, "expired")], [Done, Refused]);
    assert_eq!(then(Name::Cancel, "frozen"), Later);
}

fn outcome_of(call: Name, found: &Subscription, answer: &Answer) -> Outcome {
    super::outcome(call, found, answer).outcome
}

#[test]
fn a_no_is_told_in_the_platforms_words() {
    for status in [400, 402, 405, 409, 410, 415, 422] {
        let no = refusal_in(&answered(status, r#"{"errorCode": "E1", "errorMessage": "not now"}"#)).unwrap();
        assert_eq!((no.outcome, no.code, no.message.as_str()), (Outcome::Refused, status.into(), "E1 not now"));
    }
    for status in [200, 401, 403, 404, 408, 425, 429, 500] {
        assert!(refusal_in(&answered(status, "{}")).is_none(), "{status}");
    }
    let again = again_in_vain(refusal_in(&answered(409, "<html>")).unwrap());
    assert!(again.message.ends_with("once no automatic retry is left"), "{}", again.message);
    assert_eq!(again_in_vain(Reply::bare(Outcome::NotFound, 404, String::new())).outcome, Outcome::Later);
}
