//! A shop's calls at Digital River: cancel, and activate a draft (digital-river.md, section 8). How it stands is looked at first: what
//! is so already is not asked for again.

use serde_json::json;
use serde_json::value::RawValue;

use super::Client;
use super::requests::{Asked, Failure, SUBSCRIPTION, not_the_provider, sorted, subscription_path, word};
use super::sighting::unusable;
use super::subscription::{self, State, Subscription};
use crate::budget::Slot;
use crate::call::{Call, Name};
use crate::convention::Shop;
use crate::json::{self, Members};
use crate::provider::http::Answer;
use crate::provider::shop::{Outcome, Reply};
use crate::provider::{Error, Verdict, body};

pub static SHOP: Shop = Shop { calls: &[Name::Cancel, Name::Renew], order: None, retail: None };

/// What is handed on of a subscription: nothing that may be about a person.
const SHOWN: [&str; 8] = [
    "id",
    "state",
    "planId",
    "currency",
    "updatedTime",
    "currentPeriodStartDate",
    "currentPeriodEndDate",
    "nextInvoiceDate",
];

impl Client {
    pub(super) async fn make(&self, call: &Call, slot: Slot) -> Result<Reply, Error> {
        let (of, state) = match call {
            Call::Cancel(of) => (of, "cancelled"),
            Call::Renew(of) => (of, "active"),
            _ => return Ok(Reply::bare(Outcome::Refused, 0, "not offered".to_owned())),
        };
        let (name, id) = (call.name(), of.subscription_id.as_str());
        match self.standing(id, slot).await? {
            Ok((found, _)) => {
                if let Some(reply) = needless(name, &found) {
                    return Ok(reply);
                }
            }
            Err(verdict) => return Ok(unknown(verdict)),
        }
        let (body, slot) = (json!({ "state": state }), self.http.further_slot().await?);
        let answer = self.post(SUBSCRIPTION, &subscription_path(id), &body, slot).await?;
        if let Some(reply) = refusal(&answer)? {
            return Ok(reply);
        }
        let answer = match sorted(answer).map_err(of_writing)? {
            Ok(answer) => answer,
            Err(verdict) => return Ok(unknown(verdict)),
        };
        let told = subscription::read(&answer.body, answer.at).ok();
        if told.is_some_and(|told| unusable(id, &told).is_none() && is_so(name, told.state)) {
            return Ok(done(&answer));
        }
        // A success that does not show it is none yet.
        Ok(match self.standing(id, self.http.further_slot().await?).await? {
            Ok((found, shown)) => outcome(name, &found, &shown),
            Err(verdict) => unknown(verdict),
        })
    }

    /// As it stands, with the answer that says so.
    async fn standing(&self, id: &str, slot: Slot) -> Asked<(Subscription, Answer)> {
        let answer = match self.get(SUBSCRIPTION, &subscription_path(id), slot).await? {
            Ok(answer) => answer,
            Err(verdict) => return Ok(Err(verdict)),
        };
        let found = subscription::read(&answer.body, answer.at)?;
        match unusable(id, &found) {
            None => Ok(Ok((found, answer))),
            Some(_) => Err(body::unreadable("it is about another subscription")),
        }
    }
}

/// What is so already, and what cannot become so any more. A state that nobody knows may: it is asked for.
fn needless(call: Name, found: &Subscription) -> Option<Reply> {
    let word = found.word.as_deref().unwrap_or("of no state");
    let (outcome, why) = match (call, found.state) {
        (Name::Cancel, State::Cancelled) => (Outcome::Already, String::new()),
        (Name::Cancel, state) if state.is_terminal() => {
            (Outcome::Refused, format!("it is {word}: it has ended, and nothing is left to cancel"))
        }
        (Name::Cancel, _) | (_, State::Draft | State::Unknown) => return None,
        // Said again, after an answer that was lost.
        (_, state) if !state.is_terminal() => (Outcome::Already, format!("it is {word}")),
        _ => (Outcome::Refused, format!("it is {word}: only a draft is activated")),
    };
    Some(Reply::bare(outcome, 0, why))
}

/// Whether it has become what was asked for.
fn is_so(call: Name, state: State) -> bool {
    match call {
        Name::Cancel => state == State::Cancelled,
        _ => matches!(state, State::Active | State::ActiveFree | State::PendingInvoice),
    }
}

/// What came of it, by a look behind an answer that did not tell.
fn outcome(call: Name, found: &Subscription, shown: &Answer) -> Reply {
    if is_so(call, found.state) {
        return done(shown);
    }
    let outcome = if found.state.is_terminal() { Outcome::Refused } else { Outcome::Later };
    let word = found.word.as_deref().unwrap_or("of no state");
    Reply::bare(outcome, i64::from(shown.status), format!("the request was accepted, and it is {word} all the same"))
}

fn done(answer: &Answer) -> Reply {
    Reply { body: shown(&answer.body), ..Reply::bare(Outcome::Done, i64::from(answer.status), String::new()) }
}

fn shown(body: &[u8]) -> Option<Box<RawValue>> {
    let Members { by_key, .. } = serde_json::from_slice(body).ok()?;
    let told = SHOWN.iter().filter_map(|name| Some((*name, *by_key.get(*name)?)));
    json::object(told.filter(|(_, value)| json::is_single(value)))
}

fn unknown(verdict: Verdict) -> Reply {
    Reply::bare(Outcome::NotFound, verdict.code, verdict.message)
}

/// The API's own no, in its words. Whoever says it in another language is not the provider.
fn refusal(answer: &Answer) -> Result<Option<Reply>, Error> {
    if !matches!(answer.status, 400 | 405 | 406 | 409 | 412 | 415 | 422) {
        return Ok(None);
    }
    let failure = Failure::read(&answer.body);
    if !failure.is_the_apis() && !answer.body.trim_ascii().is_empty() {
        return Err(not_the_provider(answer.status));
    }
    let code = failure.code();
    if answer.status == 400 && code.as_deref() == Some("internal_error") {
        return Ok(None);
    }
    let first = failure.errors.all.first();
    let parameter = first.and_then(|error| word(&error.parameter));
    let said = first.and_then(|error| error.message.text()).map(|said| said.trim().to_owned());
    let said = said.filter(|said| !said.is_empty());
    let named = [code, parameter.clone()].into_iter().flatten().collect::<Vec<_>>().join(", ");
    let message = match (said, named.as_str()) {
        (Some(said), "") => said,
        (Some(said), named) => format!("{said} ({named})"),
        (None, named) => named.to_owned(),
    };
    // Of what is sent the id alone is the caller's.
    let is_the_id = answer.status == 400 && matches!(parameter.as_deref(), Some("id" | "subscriptionId"));
    let (outcome, field) = if is_the_id { (Outcome::Mend, Some("subscription_id")) } else { (Outcome::Refused, None) };
    Ok(Some(Reply { field, ..Reply::bare(outcome, i64::from(answer.status), message) }))
}

/// A key that may read all that is polled need not be one that may change anything.
fn of_writing(error: Error) -> Error {
    match error {
        Error::Unauthorized { reason, .. } => {
            Error::Unauthorized { reason, look_at: "api_key_file, and whether the key may change subscriptions" }
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::provider::http::answer_of;
    use crate::provider::kinds::Given;

    const AT: Timestamp = Timestamp::constant(1_780_000_000);

    fn in_state(state: &str) -> Subscription {
        subscription::read(json!({ "id": "DR_1", "state": state }).to_string().as_bytes(), AT).unwrap()
    }

    fn answered(status: u16, body: &str) -> Answer {
        answer_of(Given { status, body: body.as_bytes(), at: AT })
    }

    #[test]
    fn what_is_so_already_or_over_is_not_asked_for() {
        use Outcome::{Already, Refused};
        let of = |state: &str| {
            [Name::Cancel, Name::Renew].map(|call| needless(call, &in_state(state)).map(|reply| reply.outcome))
        };
        assert_eq!(of("draft"), [None, None]);
        for running in ["active", "activeFree", "active_pending_invoice"] {
            assert_eq!(of(running), [None, Some(Already)], "{running}");
        }
        assert_eq!(of("Cancelled"), [Some(Already), Some(Refused)]);
        for over in ["failed", "lapsed", "ended"] {
            assert_eq!(of(over), [Some(Refused), Some(Refused)], "{over}");
        }
        assert_eq!((of("paused"), of("")), ([None, None], [None, None]), "nobody knows");
        let why = needless(Name::Renew, &in_state("lapsed")).unwrap().message;
        assert_eq!(why, "it is lapsed: only a draft is activated");
    }

    #[test]
    fn a_no_is_told_in_the_apis_words_and_is_nobody_elses() {
        let of = |status: u16, body: &str| {
            refusal(&answered(status, body)).map(|reply| reply.map(|it| (it.outcome, it.field, it.message))).ok()
        };
        let refused = |message: &str| Some(Some((Outcome::Refused, None, message.to_owned())));
        let error = |errors: &str| format!(r#"{{"type": "conflict", "errors": [{errors}]}}"#);
        let state = error(r#"{"code": "invalid_state", "parameter": "state", "message": "not while it is a draft"}"#);
        for status in [409, 412, 422, 400] {
            assert_eq!(of(status, &state), refused("not while it is a draft (invalid_state, state)"), "{status}");
        }
        assert_eq!(of(409, &error(r#"{"code": "restricted_update"}"#)), refused("restricted_update"));
        assert_eq!(of(409, &error(r#"{"message": 7, "code": {}}"#)), refused("7 (conflict)"));
        assert_eq!(of(409, &error("")), refused("conflict"));
        assert_eq!(of(422, ""), refused(""));
        let id = error(r#"{"code": "invalid_parameter", "parameter": "id", "message": "is not valid"}"#);
        let mend = (Outcome::Mend, Some("subscription_id"), "is not valid (invalid_parameter, id)".to_owned());
        assert_eq!(of(400, &id), Some(Some(mend)));
        assert_eq!(of(400, &error(r#"{"code": "internal_error"}"#)), Some(None), "passes");
        for status in [200, 401, 403, 404, 408, 500, 503] {
            assert_eq!(of(status, &state), Some(None), "{status}");
        }
        for page in ["<html>", "[]", "{}"] {
            assert_eq!(of(409, page), None, "{page}");
        }
    }

    #[test]
    fn a_success_that_shows_nothing_new_is_not_told_as_done() {
        let of = |call, state: &str| outcome(call, &in_state(state), &answered(200, "{}")).outcome;
        let all = |state| [of(Name::Cancel, state), of(Name::Renew, state)];
        use Outcome::{Done, Later, Refused};
        assert_eq!(all("cancelled"), [Done, Refused]);
        assert_eq!(all("activeFree"), [Later, Done]);
        assert_eq!([all("draft"), all("cancelling")], [[Later, Later]; 2]);
        assert_eq!(all("failed"), [Refused, Refused]);
    }

    #[test]
    fn nothing_about_a_person_is_handed_on() {
        let body = r#"{"id": "DR_1", "state": "active", "customerId": 520984250336, "metadata": {"email": "a@b"}, "sourceId": "s",
                       "items": [{"price": 10.00}], "currency": {"name": "A Customer"}, "nextInvoiceDate": null}"#;
        assert_eq!(shown(body.as_bytes()).unwrap().get(), r#"{"id":"DR_1","nextInvoiceDate":null,"state":"active"}"#);
        assert!(shown(b"<html>").is_none());
    }
}
