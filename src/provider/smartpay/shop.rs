//! A shop's calls at SmartPay: cancel, pause, resume, and the manual retry of a charge that failed (smartpay.md, section 9). How it stands
//! is looked at first: what is so already is not asked for again.

mod shown;
#[cfg(test)]
mod tests;

use reqwest::{Method, Request};
use serde_json::{Value, json};

use super::Client;
use super::convention::is_same;
use super::refusal::{self, sorted};
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

/// What was asked for, or what is told instead.
type Told<T> = Result<Result<T, Reply>, Error>;

impl Client {
    pub(super) async fn make(&self, call: &Call, territory: &str, slot: Slot) -> Result<Reply, Error> {
        let (Call::Cancel(of) | Call::Pause(of) | Call::Resume(of) | Call::Renew(of)) = call else {
            return Ok(Reply::bare(Outcome::Refused, 0, "not offered".to_owned()));
        };
        let (name, subject) = (call.name(), subject_of(of, territory));
        let found = match self.standing(subject, slot).await? {
            Ok((found, _)) => found,
            Err(verdict) => return refused(verdict),
        };
        if let Some(reply) = needless(name, &found) {
            return Ok(reply);
        }
        let path = subscription_path(&found.id);
        let sent = match name {
            Name::Renew => return self.charge_again(&found).await,
            Name::Cancel => self.send(Method::DELETE, &path, None).await?,
            Name::Pause => self.send(Method::PATCH, &path, Some(json!({ "status": "paused" }))).await?,
            _ => self.send(Method::PATCH, &path, Some(json!({ "status": "active" }))).await?,
        };
        let answer = match sent {
            Ok(answer) => answer,
            Err(reply) => return Ok(reply),
        };
        if shows(name, &answer, &found.id) {
            return Ok(done(&answer));
        }
        // A success that does not show it is none yet.
        match self.standing(subject, self.http.further_slot().await?).await? {
            Ok((found, answer)) => Ok(outcome(name, &found, &answer)),
            // What is cancelled may be deleted.
            Err(verdict) if name == Name::Cancel && verdict.class == Class::NotFound => Ok(done(&answer)),
            Err(verdict) => refused(verdict),
        }
    }

    /// As it stands, with the answer that says so.
    async fn standing(
        &self,
        subject: Subject<'_>,
        slot: Slot,
    ) -> Result<Result<(Subscription, Answer), Verdict>, Error> {
        let answer = match self.subscription(subject, slot).await? {
            Ok(answer) => answer,
            Err(verdict) => return Ok(Err(verdict)),
        };
        let found = subscription::read(&answer.body, answer.at)?;
        if is_same(&found.id, subject.subscription_id) {
            Ok(Ok((found, answer)))
        } else {
            Err(body::unreadable("it is about another subscription"))
        }
    }

    /// Has what failed charged once more.
    async fn charge_again(&self, found: &Subscription) -> Result<Reply, Error> {
        let cycles = match self.cycles(&found.id).await? {
            Ok(cycles) => cycles,
            Err(verdict) => return not_there_yet(verdict),
        };
        // What an older one left unpaid is carried into a later one, and would be charged twice.
        let newest = cycles.all.iter().max_by_key(|cycle| cycle.billing_day);
        let failed = newest.filter(|cycle| matches!(cycle.word.as_str(), "failed" | "error"));
        let Some(cycle) = failed.filter(|_| cycles.is_whole) else {
            let why = "the newest billing cycle has not failed: there is nothing to be charged again";
            return Ok(Reply::bare(Outcome::Refused, 0, why.to_owned()));
        };
        let path = format!("{}/billing-cycles/{}/manual-retries", subscription_path(&found.id), encoded(&cycle.id));
        let answer = match self.send(Method::POST, &path, Some(json!({ "reason": REASON }))).await? {
            Ok(answer) => answer,
            Err(reply) => return Ok(again_in_vain(reply)),
        };
        let is_told = !answer.body.trim_ascii().is_empty();
        let told = if is_told { shown::status(&answer.body)? } else { None };
        let mut reply = done(&answer);
        if told.as_deref() != Some("captured") {
            reply.notes.push("it is charged once more: whether it is paid, a later look tells".to_owned());
        }
        Ok(reply)
    }

    /// Sends a change. A no is told in the platform's words.
    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Told<Answer> {
        let url = below(&self.api, path).ok_or_else(|| body::unreadable("no URL"))?;
        let mut request = Request::new(method, url);
        *request.body_mut() = body.map(|body| body.to_string().into());
        let slot = self.http.further_slot().await?;
        let answer = self.http.send(request, SUBSCRIPTION.limit, slot).await?;
        if let Some(reply) = refusal_in(&answer) {
            return Ok(Err(reply));
        }
        match sorted(answer, self.has_authentication_key)? {
            Ok(answer) => Ok(Ok(answer)),
            Err(verdict) => refused(verdict).map(Err),
        }
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
    let is_over = is_over(found);
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

fn is_over(found: &Subscription) -> bool {
    found.is_deleted || matches!(found.state, State::Cancelled | State::Expired)
}

/// Whether it has become what was asked for.
fn is_so(call: Name, found: &Subscription) -> bool {
    match call {
        Name::Cancel => is_over(found),
        Name::Pause => !is_over(found) && found.state == State::Paused,
        _ => !is_over(found) && !matches!(found.state, State::Paused | State::Unknown),
    }
}

/// Whether a success tells that it is done. Of what is deleted nothing need be told.
fn shows(call: Name, answer: &Answer, id: &str) -> bool {
    match subscription::read(&answer.body, answer.at) {
        Ok(told) => is_same(&told.id, id) && is_so(call, &told),
        Err(_) => call == Name::Cancel && answer.body.trim_ascii().is_empty(),
    }
}

/// What came of it, by a look behind an answer that did not tell.
fn outcome(call: Name, found: &Subscription, answer: &Answer) -> Reply {
    if is_so(call, found) {
        return done(answer);
    }
    let outcome = if is_over(found) { Outcome::Refused } else { Outcome::Later };
    let word = found.words().unwrap_or_else(|| "of no status".to_owned());
    Reply::bare(outcome, i64::from(answer.status), format!("the request was accepted, and it is {word} all the same"))
}

fn done(answer: &Answer) -> Reply {
    Reply { body: shown::shown(&answer.body), ..Reply::bare(Outcome::Done, i64::from(answer.status), String::new()) }
}

/// What is not known, and what our settings are to blame for.
fn refused(verdict: Verdict) -> Result<Reply, Error> {
    match verdict.class {
        Class::Configuration => Err(Error::Unauthorized {
            reason: verdict.code.to_string(),
            look_at: "merchant_key_file, and whether authentication_key_file is set and needed",
        }),
        Class::NotFound => Ok(Reply::bare(Outcome::NotFound, verdict.code, verdict.message)),
        _ => Ok(Reply::bare(Outcome::Refused, verdict.code, verdict.message)),
    }
}

/// Of what was there a moment ago.
fn not_there_yet(verdict: Verdict) -> Result<Reply, Error> {
    refused(verdict).map(again_in_vain)
}

/// The platform's own no, in its words: a request that is ours alone nobody else can mend.
fn refusal_in(answer: &Answer) -> Option<Reply> {
    let is_no = (400..500).contains(&answer.status) && !matches!(answer.status, 401 | 403 | 404 | 408 | 425 | 429);
    is_no.then(|| Reply::bare(Outcome::Refused, i64::from(answer.status), refusal::text(&answer.body)))
}

/// Why nothing is charged again.
fn again_in_vain(reply: Reply) -> Reply {
    match reply.outcome {
        // It was listed.
        Outcome::NotFound => Reply { outcome: Outcome::Later, ..reply },
        Outcome::Refused => {
            let why = "only what failed for good is charged by hand, once no automatic retry is left";
            let said = Some(reply.message.as_str()).filter(|said| !said.is_empty());
            Reply { message: said.map_or_else(|| why.to_owned(), |said| format!("{why}: {said}")), ..reply }
        }
        _ => reply,
    }
}
