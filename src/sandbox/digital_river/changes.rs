//! What a seller changes of a subscription: it is activated, or cancelled. Other changes are not played.

use serde_json::{Map, Value, json};

use super::books::{Books, Error, State};
use super::calls::{Endpoint, Subject};
use super::platform::{DigitalRiver, bad_request, refusal};
use crate::clock::Timestamp;
use crate::sandbox::call::{Answer, Call};

impl DigitalRiver {
    /// `POST /subscriptions/{id}`
    pub(super) fn change(&mut self, call: &Call<Endpoint, Subject>, now: Timestamp) -> Answer {
        let Ok(at) = self.books.find(call.about.subscription_id.as_deref().unwrap_or_default()) else {
            return refusal(404, "not_found", "not_found", "there is none");
        };
        let Ok(wanted) = serde_json::from_slice::<Map<String, Value>>(&call.body) else {
            return refusal(400, "bad_request", "invalid_request", "the body is no object");
        };
        let done = match wanted.get("state").map(Value::as_str) {
            None => return refusal(400, "bad_request", "missing_parameter", "state is missing"),
            Some(_) if wanted.len() > 1 => {
                return refusal(409, "conflict", "restricted_update", "with state nothing else may be changed");
            }
            Some(Some("active")) => self.books.activate(at, now),
            Some(Some("cancelled")) => self.books.cancel(at, now),
            Some(_) => return bad_request("state"),
        };
        self.books.stir();
        self.tell();
        match done {
            Ok(()) => {
                let one = &self.books.subscriptions[at];
                Answer::json(200, &self.view().subscription(one, one.state))
            }
            Err(error) => {
                let error = json!({"code": "invalid_state", "parameter": "state", "message": error.to_string()});
                Answer::json(409, &json!({"type": "conflict", "errors": [error]}))
            }
        }
    }
}

impl Books {
    /// A draft begins to run.
    pub(super) fn activate(&mut self, at: usize, now: Timestamp) -> Result<(), Error> {
        let one = &mut self.subscriptions[at];
        if one.state != State::Draft {
            return Err(Error::NotNow { state: one.state });
        }
        (one.start, one.end) = (now, one.terms.period.after(now));
        one.next_invoice_at = one.end - one.terms.billed_before;
        let state = if one.terms.free { State::ActiveFree } else { State::Active };
        self.turn(at, state, now);
        Ok(())
    }

    /// At once, and for good. An invoice that is open is void.
    fn cancel(&mut self, at: usize, now: Timestamp) -> Result<(), Error> {
        let one = &mut self.subscriptions[at];
        if !one.state.is_running() {
            return Err(Error::NotNow { state: one.state });
        }
        one.attempts.clear();
        self.turn(at, State::Cancelled, now);
        Ok(())
    }

    fn turn(&mut self, at: usize, state: State, now: Timestamp) {
        self.subscriptions[at].shown_state = None;
        self.set_state(at, state, now);
        self.tell(at, "updated", None, now);
    }
}
