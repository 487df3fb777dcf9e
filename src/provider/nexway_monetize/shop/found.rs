//! A subscription as a shop's call finds it, and what the rules of the platform forbid it just now (nexway-monetize.md, section 8).

use serde::Deserialize;

use crate::budget::Slot;
use crate::clock::Timestamp;
use crate::provider::Error;
use crate::provider::body::{self, unreadable};
use crate::provider::http::Answer;
use crate::provider::lenient::{Object, Objects, Scalar};
use crate::provider::nexway_monetize::Client;
use crate::provider::nexway_monetize::convention::is_same;
use crate::provider::nexway_monetize::requests::SUBSCRIPTION;
use crate::provider::nexway_monetize::subscription::{self, Subscription};
use crate::provider::shop::{Outcome, Reply};
use crate::provider::{Class, Verdict};

/// What polls have no use for.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Body<'a> {
    #[serde(borrow)]
    store_id: Scalar<'a>,
    #[serde(borrow)]
    enduser_id: Scalar<'a>,
    #[serde(borrow)]
    products: Objects<Product<'a>>,
    #[serde(borrow)]
    lifecycle: Object<Lifecycle<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Product<'a> {
    #[serde(borrow)]
    id: Scalar<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Lifecycle<'a> {
    #[serde(borrow)]
    prebilling_date: Scalar<'a>,
}

pub struct Found {
    pub subscription: Subscription,
    pub store: Option<String>,
    pub enduser: Option<String>,
    products: Vec<String>,
    prebilling_at: Option<Timestamp>,
    /// By the platform's clock, where it tells.
    now: Timestamp,
}

impl Client {
    /// `Err`: there is none, or it may not be read.
    pub(super) async fn found(&self, id: &str, slot: Slot) -> Result<Result<Found, Reply>, Error> {
        Ok(match self.get(SUBSCRIPTION, &self.subscription_path(id), slot).await? {
            Ok(answer) => Ok(Found::read(&answer, id)?),
            Err(verdict) => Err(refused(verdict)),
        })
    }
}

pub fn refused(verdict: Verdict) -> Reply {
    let outcome = if verdict.class == Class::NotFound { Outcome::NotFound } else { Outcome::Refused };
    Reply::bare(outcome, verdict.code, verdict.message)
}

impl Found {
    pub fn read(answer: &Answer, id: &str) -> Result<Self, Error> {
        let subscription = subscription::read(&answer.body, answer.at)?;
        if !is_same(&subscription.id, id) {
            return Err(unreadable("it is about another subscription"));
        }
        let body: Body<'_> = body::parse(&answer.body)?;
        let lifecycle = body.lifecycle.into_option().unwrap_or_default();
        Ok(Self {
            subscription,
            store: body.store_id.text(),
            enduser: body.enduser_id.text(),
            products: body.products.all.iter().filter_map(|product| product.id.text()).collect(),
            prebilling_at: lifecycle.prebilling_date.instant(answer.at),
            now: answer.date.unwrap_or(answer.at),
        })
    }

    /// The platform's word for it.
    pub fn word(&self) -> &str {
        self.subscription.status.as_deref().unwrap_or("not told")
    }

    pub fn is_over(&self) -> bool {
        ["Canceled", "Cancelled", "Expired"].iter().any(|status| self.subscription.is(status))
    }

    pub fn is_suspended(&self) -> bool {
        self.subscription.is("Suspended")
    }

    pub fn has(&self, product: &str) -> bool {
        self.products.iter().any(|own| is_same(own, product))
    }

    /// Why it may get no offer for its next renewal.
    pub fn without_offer(&self) -> Option<String> {
        if self.is_over() {
            return Some(format!("it is {}: there is no renewal to make an offer for", self.word()));
        }
        if self.subscription.is("Trial") || self.subscription.generation == Some(-1) {
            return Some("it is in its trial: an offer is for the renewal of a paid term".to_owned());
        }
        self.in_billing("an offer")
    }

    /// Why its product may not be another one at once.
    pub fn without_upgrade(&self) -> Option<String> {
        if self.is_over() {
            return Some(format!("it is {}: there is no term to upgrade in", self.word()));
        }
        self.in_billing("an upgrade")
    }

    fn in_billing(&self, what: &str) -> Option<String> {
        let is_charged = ["Dunning", "Renewing", "TrialConversion"].iter().any(|status| self.subscription.is(status));
        if is_charged {
            return Some(format!("its renewal is being charged ({}): {what} is for the time before", self.word()));
        }
        // One that does not renew by itself is not billed either.
        let is_billed = !self.is_suspended() && self.prebilling_at.is_some_and(|at| at <= self.now);
        is_billed.then(|| format!("its renewal is being billed already: {what} is for the time before"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::http::answer_of;
    use crate::provider::kinds::Given;

    const NOW: i64 = 1_780_000_000;

    fn found(lifecycle: Value) -> Found {
        let body = json!({ "id": "A", "storeId": "S", "products": [{ "id": "P-1" }], "lifecycle": lifecycle });
        let at = Timestamp::from_unix(NOW);
        Found::read(&answer_of(Given { status: 200, body: body.to_string().as_bytes(), at }), "a").unwrap()
    }

    /// Whether an offer and an upgrade are refused.
    fn refused(status: &str, generation: i64, prebilled_in: i64) -> (bool, bool) {
        let prebilling = (NOW + prebilled_in) * 1000;
        let found = found(json!({ "status": status, "generation": generation, "prebillingDate": prebilling }));
        (found.without_offer().is_some(), found.without_upgrade().is_some())
    }

    #[test]
    fn what_the_rules_forbid_is_known_from_the_subscription() {
        assert_eq!(refused("Active", 0, 60), (false, false));
        assert_eq!(refused("Active", 0, -60), (true, true), "it is billed");
        assert_eq!(refused("Suspended", 0, -60), (false, false), "it is not");
        assert_eq!(refused("Trial", -1, 60), (true, false));
        assert_eq!(refused("Active", -1, 60), (true, false));
        for status in ["Canceled", "EXPIRED", "Dunning", "Renewing", "TrialConversion"] {
            assert_eq!(refused(status, 0, 60), (true, true), "{status}");
        }
        assert_eq!(refused("Frozen", 0, 60), (false, false), "the platform knows better");
    }

    #[test]
    fn another_subscription_is_no_answer() {
        let at = Timestamp::from_unix(NOW);
        assert!(Found::read(&answer_of(Given { status: 200, body: br#"{"id": "B"}"#, at }), "a").is_err());
        let found = found(json!({}));
        assert!(found.has("p-1") && !found.has("p-2"));
        assert_eq!((found.store.as_deref(), found.enduser), (Some("S"), None));
    }
}
