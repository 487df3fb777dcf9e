//! A shop's calls at Nexway Monetize (nexway-monetize.md, section 8): what is offered, and what all of them have in common. How a
//! subscription stands is looked at first: what is so already, or against a rule that is known, is not asked for.

mod cart;
mod change;
mod coming;
mod found;
mod link;
mod money;
mod offer;
mod order_data;
mod refusal;
mod retail;
mod upgrade;

use reqwest::{Method, Request};
use serde_json::value::RawValue;

use super::Client;
use crate::budget::Slot;
use crate::call::{Call, Name};
use crate::convention::Shop;
use crate::provider::Error;
use crate::provider::http::{Answer, Endpoint, MIB};
use crate::provider::shop::{Outcome, Placed, Reply};

pub static SHOP: Shop = Shop {
    calls: &[
        Name::OrderData,
        Name::Cancel,
        Name::Suspend,
        Name::Reactivate,
        Name::Offer,
        Name::OfferAccept,
        Name::Upgrade,
        Name::Retail,
    ],
    order: None,
    retail: Some(retail::check),
};

const SHOP_ENDPOINT: Endpoint = Endpoint { name: "shop", limit: 4 * MIB };

/// How an attempt at a call ended.
enum Attempt {
    Told(Reply),
    /// Somebody else has changed it since it was read.
    Stale(Reply),
}

/// What a request was answered with; `Err`: the attempt is over.
type Posted = Result<Result<Answer, Attempt>, Error>;

impl Client {
    /// A version that is no longer the newest is read again, once.
    pub(super) async fn make(&self, call: &Call, slot: Slot) -> Result<Reply, Error> {
        match Box::pin(self.attempt(call, slot)).await? {
            Attempt::Told(reply) => return Ok(reply),
            Attempt::Stale(_) => tracing::debug!(call = %call.name(), "changed in between, and is read again"),
        }
        match Box::pin(self.attempt(call, self.further().await?)).await? {
            Attempt::Told(reply) | Attempt::Stale(reply) => Ok(reply),
        }
    }

    async fn attempt(&self, call: &Call, slot: Slot) -> Result<Attempt, Error> {
        match call {
            Call::OrderData(of) => self.order_data(of, slot).await.map(Attempt::Told),
            Call::Cancel(of) | Call::Suspend(of) | Call::Reactivate(of) => self.change(call, of, slot).await,
            Call::Offer(of) => self.offer(call, of, slot).await,
            Call::OfferAccept(of) => self.accept_offer(call, of, slot).await,
            Call::Upgrade(of) => self.upgrade(call, of, slot).await,
            Call::Retail(body) => self.retail(call, body, slot).await,
            _ => Ok(Attempt::Told(Reply::bare(Outcome::Refused, 0, "not offered".to_owned()))),
        }
    }

    async fn post(&self, call: &Call, path: &str, body: Option<String>, slot: Slot) -> Posted {
        let url = self.account.url(path)?;
        let request = || {
            let mut request = Request::new(Method::POST, url.clone());
            *request.body_mut() = body.clone().map(Into::into);
            request
        };
        let answer = self.account.ask(SHOP_ENDPOINT, slot, request).await?;
        if answer.is_success() {
            return Ok(Ok(answer));
        }
        match refusal::read(call, &answer) {
            Some(reply) if matches!(answer.status, 409 | 412) => Ok(Err(Attempt::Stale(reply))),
            Some(reply) => Ok(Err(Attempt::Told(reply))),
            None => Err(answer.failure()),
        }
    }
}

/// Nobody was asked: a rule that is known.
fn against_the_rules(why: String) -> Attempt {
    Attempt::Told(Reply::bare(Outcome::Refused, 0, why))
}

fn done(answer: &Answer, body: Option<Box<RawValue>>, notes: Vec<String>) -> Reply {
    Reply { body, notes, ..Reply::bare(Outcome::Done, i64::from(answer.status), String::new()) }
}

fn placed(order_number: String) -> Placed {
    Placed { order_number: Some(order_number), ..Placed::default() }
}

/// An object of members that are JSON already; `None` is left out.
fn object<const N: usize>(members: [(&str, Option<String>); N]) -> Option<Box<RawValue>> {
    let member = |(name, value): (&str, Option<String>)| Some(format!("{}:{}", serde_json::Value::from(name), value?));
    let members: Vec<_> = members.into_iter().filter_map(member).collect();
    RawValue::from_string(format!("{{{}}}", members.join(","))).ok()
}
