//! A shop's calls at Nexway Monetize: cancel, suspend, reactivate (nexway-monetize.md, section 8). How it stands is looked at first: what
//! is so already is not asked for again.

use reqwest::{Method, Request};

use super::Client;
use super::requests::{SUBSCRIPTION, sorted};
use super::subscription::{self, Subscription};
use crate::budget::Slot;
use crate::call::{Call, Name};
use crate::convention::Shop;
use crate::provider::shop::{Outcome, Reply};
use crate::provider::{Class, Error, Verdict};

pub static SHOP: Shop = Shop { calls: &[Name::Cancel, Name::Suspend, Name::Reactivate], order: None };

impl Client {
    pub(super) async fn make(&self, call: &Call, slot: Slot) -> Result<Reply, Error> {
        let (of, step) = match call {
            Call::Cancel(of) => (of, "cancel"),
            Call::Suspend(of) => (of, "suspend"),
            Call::Reactivate(of) => (of, "reactivate"),
            _ => return Ok(Reply::bare(Outcome::Refused, 0, "not offered".to_owned())),
        };
        let path = self.subscription_path(&of.subscription_id);
        let found = match self.get(SUBSCRIPTION, &path, slot).await? {
            Ok(answer) => subscription::read(&answer.body, answer.at)?,
            Err(verdict) => return Ok(refused(verdict)),
        };
        if let Some(reply) = needless(call.name(), &found) {
            return Ok(reply);
        }
        let (url, slot) = (self.account.url(&format!("{path}/{step}"))?, self.account.http.further_slot().await?);
        let answer = match self.account.ask(SUBSCRIPTION, slot, || Request::new(Method::POST, url.clone())).await? {
            // It may not, as it stands: a rule of the platform.
            answer if matches!(answer.status, 400 | 405 | 422) => {
                let why = format!("as it stands ({}) it may not", found.status.as_deref().unwrap_or("not told"));
                return Ok(Reply::bare(Outcome::Refused, i64::from(answer.status), why));
            }
            answer => answer,
        };
        Ok(match sorted(answer)? {
            Ok(answer) => Reply {
                body: serde_json::from_slice(&answer.body).ok(),
                ..Reply::bare(Outcome::Done, i64::from(answer.status), String::new())
            },
            Err(verdict) => refused(verdict),
        })
    }
}

/// What is so already, and what cannot become so any more. Whether a cancelled one can be reactivated the sources tell differently: it
/// is asked for.
fn needless(call: Name, found: &Subscription) -> Option<Reply> {
    let is_over = found.is("canceled") || found.is("expired");
    let outcome = match call {
        Name::Cancel if is_over => Outcome::Already,
        Name::Suspend if found.is("suspended") => Outcome::Already,
        Name::Suspend if is_over => Outcome::Refused,
        Name::Reactivate if found.is("active") => Outcome::Already,
        Name::Reactivate if found.is("expired") => Outcome::Refused,
        _ => return None,
    };
    Some(Reply::bare(outcome, 0, format!("it is {}", found.status.as_deref().unwrap_or("over"))))
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
        let body = serde_json::json!({ "id": "x", "lifecycle": { "status": status, "generation": 0 } }).to_string();
        let found = subscription::read(body.as_bytes(), Timestamp::constant(1_780_000_000)).unwrap();
        needless(call, &found).map(|reply| reply.outcome)
    }

    #[test]
    fn what_is_so_already_is_not_asked_for() {
        use Outcome::{Already, Refused};
        let of = |status| [Name::Cancel, Name::Suspend, Name::Reactivate].map(|call| outcome(call, status));
        assert_eq!(of("Active"), [None, None, Some(Already)]);
        assert_eq!(of("SUSPENDED"), [None, Some(Already), None]);
        assert_eq!(of("Canceled"), [Some(Already), Some(Refused), None]);
        assert_eq!(of("Expired"), [Some(Already), Some(Refused), Some(Refused)]);
        assert_eq!(of("Renewing"), [None; 3]);
    }
}
