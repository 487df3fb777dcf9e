//! A shop's calls at SmartPay: cancel, pause, resume, and the manual retry of a charge that failed (smartpay.md, section 9). How it stands
//! is looked at first: what is so already is not asked for again.

use reqwest::{Method, Request};
use serde_json::{Value, json};

use super::Client;
use super::convention::is_same;
use super::refusal::{Asked, sorted};
use super::requests::{SUBSCRIPTION, subscription_path};
use super::subscription::{self, State, Subscription};
use crate::budget::Slot;
use crate::call::{Call, Name, OfSubscription};
use crate::convention::Shop;
use crate::provider::http::Answer;
use crate::provider::shop::{Outcome, Reply};
use crate::provider::url::{below, encoded};
use crate::provider::{Class, Error, Subject, Verdict, body};

pub static SHOP: Shop =
    Shop { calls: &[Name::Cancel, Name::Pause, Name::Resume, Name::Renew], order: None, retail: None };

/// What a manual retry gives as its reason.
const REASON: &str = "asked for by the merchant";

impl Client {
    pub(super) async fn make(&self, call: &Call, territory: &str, slot: Slot) -> Result<Reply, Error> {
        let (Call::Cancel(of) | Call::Pause(of) | Call::Resume(of) | Call::Renew(of)) = call else {
            return Ok(Reply::bare(Outcome::Refused, 0, "not offered".to_owned()));
        };
        let found = match self.subscription(subject_of(of, territory), slot).await? {
            Ok(answer) => subscription::read(&answer.body, answer.at)?,
            Err(verdict) => return Ok(refused(verdict)),
        };
        if !is_same(&found.id, &of.subscription_id) {
            return Err(body::unreadable("it is about another subscription"));
        }
        if let Some(reply) = needless(call.name(), &found) {
            return Ok(reply);
        }
        let path = subscription_path(&found.id);
        let done = match call {
            Call::Cancel(_) => self.send(Method::DELETE, &path, None).await?,
            Call::Pause(_) => self.send(Method::PATCH, &path, Some(json!({ "status": "paused" }))).await?,
            Call::Resume(_) => self.send(Method::PATCH, &path, Some(json!({ "status": "active" }))).await?,
            _ => match self.cycles(&found.id).await? {
                Err(verdict) => Err(verdict),
                Ok(cycles) => {
                    // What an older one left unpaid is carried into a later one, and would be charged twice.
                    let newest = cycles.all.iter().max_by_key(|cycle| cycle.billing_day);
                    let failed = newest.filter(|cycle| matches!(cycle.word.as_str(), "failed" | "error"));
                    let Some(cycle) = failed.filter(|_| cycles.is_whole) else {
                        let why = "the newest billing cycle has not failed: there is nothing to be charged again";
                        return Ok(Reply::bare(Outcome::Refused, 0, why.to_owned()));
                    };
                    let path = format!("{path}/billing-cycles/{}/manual-retries", encoded(&cycle.id));
                    self.send(Method::POST, &path, Some(json!({ "reason": REASON }))).await?
                }
            },
        };
        Ok(match done {
            Ok(answer) => Reply {
                body: serde_json::from_slice(&answer.body).ok(),
                ..Reply::bare(Outcome::Done, i64::from(answer.status), String::new())
            },
            Err(verdict) => refused(verdict),
        })
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Asked<Answer> {
        let url = below(&self.api, path).ok_or_else(|| body::unreadable("no URL"))?;
        let mut request = Request::new(method, url);
        *request.body_mut() = body.map(|body| body.to_string().into());
        let slot = self.http.further_slot().await?;
        sorted(self.http.send(request, SUBSCRIPTION.limit, slot).await?, self.has_authentication_key)
    }
}

fn subject_of<'a>(of: &'a OfSubscription, territory: &'a str) -> Subject<'a> {
    Subject {
        territory,
        partner_order_number: &of.partner_order_number,
        subscription_id: &of.subscription_id,
        generation: None,
        memo: None,
        is_hinted: false,
    }
}

/// What is so already, and what cannot become so any more.
fn needless(call: Name, found: &Subscription) -> Option<Reply> {
    let is_over = found.is_deleted || matches!(found.state, State::Cancelled | State::Expired);
    let outcome = match (call, found.state) {
        (Name::Cancel, _) if is_over => Outcome::Already,
        (_, _) if is_over => Outcome::Refused,
        (Name::Pause, State::Paused) => Outcome::Already,
        (Name::Resume, state) if state != State::Paused && state != State::Unknown => Outcome::Already,
        (Name::Renew, State::Paused) => Outcome::Refused,
        _ => return None,
    };
    let word = found.status.as_deref().unwrap_or("over");
    Some(Reply::bare(outcome, 0, format!("it is {word}")))
}

fn refused(verdict: Verdict) -> Reply {
    let outcome = if verdict.class == Class::NotFound { Outcome::NotFound } else { Outcome::Refused };
    Reply::bare(outcome, verdict.code, verdict.message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

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
}
