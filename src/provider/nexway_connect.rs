//! Nexway Connect: what is sent to its two endpoints, with which credentials, and what follows from an HTTP status.
//!
//! Its facts are in `docs/providers/nexway-connect.md`. The bodies and codes are in `wire`, the token in `token`; when to
//! ask and what to do with an answer is not decided here.

pub(crate) mod answers;
mod check;
pub mod convention;
mod created;
mod number;
mod order;
#[cfg(test)]
mod properties;
pub mod settings;
mod shop;
mod sighting;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;

use reqwest::header::HeaderValue;
use reqwest::{Method, Request, Url};
use secrecy::{ExposeSecret, SecretString};

use crate::budget::{Budget, Slot};
use crate::call::Call;
use crate::provider::connection::ConfigError;
use crate::provider::http;
use crate::provider::kinds::Readers;
use crate::provider::nexway::{self, Account};
use crate::provider::shop::Reply;
use crate::provider::url::encoded;
use crate::provider::{Class, Error, Fetched, Finding, LastAsked, Provider, Sighting, Subject, Verdict};
use answers::Status;
use wire::{Answer, StatusRequest};

/// An account at Nexway Connect, secrets already read.
#[derive(Clone)]
pub struct Config {
    pub account: nexway::Config,
    /// Each territory's `secret`, by its name in the settings.
    pub territories: BTreeMap<String, SecretString>,
}

/// A client for one account, to be shared by all who ask it.
pub struct Client {
    account: Account,
    subscription: Url,
    /// Each territory's `secret` header, marked sensitive.
    secrets: BTreeMap<String, HeaderValue>,
}

impl Client {
    pub fn new(config: &Config, budget: Budget) -> Result<Self, ConfigError> {
        let account = Account::new(&config.account, budget)?;
        let secrets = config.territories.iter().map(|(territory, secret)| {
            let mut value = HeaderValue::from_str(secret.expose_secret())
                .map_err(|_| ConfigError::Header { what: format!("the secret of territory `{territory}`") })?;
            value.set_sensitive(true);
            Ok((territory.clone(), value))
        });
        Ok(Self {
            subscription: account.url("/subscription").map_err(|_| ConfigError::Url { key: "api_url" })?,
            account,
            secrets: secrets.collect::<Result<_, ConfigError>>()?,
        })
    }

    /// Asks once, or twice when the first answer was 401.
    async fn ask<A: Answer>(&self, territory: &str, slot: Slot, request: impl Fn() -> Request) -> Result<A, Error> {
        let Some(secret) = self.secrets.get(territory) else { return Ok(A::refused(unknown(territory))) };
        interpret(&self.account.ask(A::ENDPOINT, slot, || with_secret(request(), secret)).await?)
    }

    fn status_request(&self, body: Vec<u8>) -> Request {
        let mut request = Request::new(Method::POST, self.subscription.clone());
        *request.body_mut() = Some(body.into());
        request
    }
}

impl Client {
    async fn status(&self, subject: Subject<'_>, number: &str, slot: Slot) -> Result<Status, Error> {
        let body = status_body(number, subject.subscription_id)?;
        self.ask(subject.territory, slot, || self.status_request(body.clone())).await
    }

    /// Asks once more, with the number of the last renewal; not boxed, it would double the size of every look.
    async fn suffixed_status(&self, subject: Subject<'_>, generation: i64) -> Result<Status, Error> {
        let suffixed = number::order_number(subject.partner_order_number, generation);
        self.status(subject, &suffixed, self.account.http.further_slot().await?).await
    }
}

impl Provider for Client {
    /// Asks with the original number; where that is unknown after a renewal, once more with the last suffixed one
    /// (nexway-connect.md, section 4.1).
    async fn look(&self, subject: Subject<'_>, slot: Slot) -> Result<Sighting, Error> {
        let original = subject.partner_order_number;
        let mut status = self.status(subject, original, slot).await?;
        let generation = subject.generation.unwrap_or(0);
        if status.verdict.class == Class::NotFound && generation > 0 {
            let again = Box::pin(self.suffixed_status(subject, generation)).await?;
            // Anything else is not "unknown", be it trouble.
            if again.verdict.class != Class::NotFound {
                status = again;
            }
        }
        Ok(sighting::sighting(original, status))
    }

    async fn fetch(&self, subject: Subject<'_>, reference: &str, slot: Slot) -> Result<Fetched, Error> {
        let url = self.account.url(&format!("/order/{}", encoded(reference)))?;
        let order = self.ask(subject.territory, slot, || Request::new(Method::GET, url.clone())).await?;
        Ok(order::fetched(reference, order))
    }

    async fn shop(&self, call: &Call, territory: &str, slot: Slot) -> Result<Reply, Error> {
        self.make(call, territory, slot).await
    }

    async fn check(&self, known: Vec<LastAsked>, budget: &Budget) -> (Vec<Finding>, bool) {
        self.examine(known, budget).await
    }
}

fn with_secret(mut request: Request, secret: &HeaderValue) -> Request {
    request.headers_mut().insert("secret", secret.clone());
    request
}

/// The API takes the id as a number, which is what [`convention::CONVENTION`] lets be tracked.
fn status_body(number: &str, subscription_id: &str) -> Result<Vec<u8>, Error> {
    let Ok(subscription_id) = subscription_id.parse() else {
        return Err(Error::Unreadable { reason: format!("no subscription id of this provider: {subscription_id:?}") });
    };
    let body = StatusRequest { partner_order_number: number, subscription_id };
    serde_json::to_vec(&body).map_err(|error| Error::Unreadable { reason: error.to_string() })
}

/// What an answer says, by its status and, where that leaves a choice, its body.
fn interpret<A: Answer>(answer: &http::Answer) -> Result<A, Error> {
    let result = if answer.is_success() {
        A::read(&answer.body, answer.at)
    } else if let (400.., Some(verdict)) = (answer.status, wire::refusal(answer.status, &answer.body, A::class)) {
        Ok(A::refused(verdict))
    } else {
        Err(answer.failure())
    };
    if let Ok(answer) = &result {
        tracing::trace!(endpoint = A::ENDPOINT.name, code = answer.verdict().code, "answered");
    }
    result
}

pub(crate) const READERS: Option<Readers> = Some(Readers {
    look: |given, subject| {
        let status = interpret(&http::answer_of(given))?;
        Ok(sighting::sighting(subject.partner_order_number, status))
    },
    fetch: |given, _, number| Ok(order::fetched(number, interpret(&http::answer_of(given))?)),
    page: None,
});

/// Cannot happen after the settings were checked, unless a territory was taken out that is still in use.
fn unknown(territory: &str) -> Verdict {
    let message = format!("territory `{territory}` has no secret in the settings");
    Verdict { class: Class::Configuration, code: 70, message }
}
