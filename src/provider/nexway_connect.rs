//! Nexway Connect: what is sent to its two endpoints, with which credentials, and what follows from an HTTP status.
//!
//! Its facts are in `docs/providers/nexway-connect.md`. The bodies and codes are in `wire`, the token in `token`; when to
//! ask and what to do with an answer is not decided here.

pub(crate) mod answers;
mod check;
pub mod convention;
mod created;
mod http;
mod lenient;
mod number;
mod order;
#[cfg(test)]
mod properties;
pub mod settings;
mod sighting;
#[cfg(test)]
mod tests;
mod token;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{ClientBuilder, Method, Request, Url};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use crate::budget::{Budget, Slot};
use crate::clock::Timestamp;
use crate::provider::connection::{ConfigError, Connection};
use crate::provider::{Class, Error, Fetched, Finding, LastAsked, Provider, Sighting, Subject, Verdict};
use crate::tls;
use answers::Status;
use http::Http;
use token::{Token, Tokens};
use wire::{Answer, StatusRequest};

/// All that RFC 3986 does not call unreserved, so that a partner order number stays one path segment whatever it holds.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Idle connections are closed before the gateways at the other end do so while we send on them.
const IDLE_CONNECTION: Duration = Duration::from_secs(50);

/// An account at Nexway Connect, secrets already read.
#[derive(Clone)]
pub struct Config {
    pub api_url: String,
    pub iam_url: String,
    pub realm: String,
    pub client_secret: SecretString,
    /// Each territory's `secret`, by its name in the settings.
    pub territories: BTreeMap<String, SecretString>,
    pub connection: Connection,
}

/// A client for one account, to be shared by all who ask it.
pub struct Client {
    http: Arc<Http>,
    tokens: Tokens,
    subscription: Url,
    /// Ends in `/order/`.
    order: String,
    /// Each territory's `secret` header, marked sensitive.
    secrets: BTreeMap<String, HeaderValue>,
}

impl Client {
    pub fn new(config: &Config, budget: Budget) -> Result<Self, ConfigError> {
        let api = base("api_url", &config.api_url)?;
        let iam = base("iam_url", &config.iam_url)?;
        let http = Arc::new(Http {
            client: client(&config.connection, &api, &iam)?,
            budget,
            timeout: config.connection.timeout,
        });
        let tokens_url = below("iam_url", &iam, "tokens")?;
        let tokens = Tokens::new(Arc::clone(&http), tokens_url, config.realm.clone(), config.client_secret.clone());
        let secrets = config.territories.iter().map(|(territory, secret)| {
            let mut value = HeaderValue::from_str(secret.expose_secret())
                .map_err(|_| ConfigError::Header { what: format!("the secret of territory `{territory}`") })?;
            value.set_sensitive(true);
            Ok((territory.clone(), value))
        });
        Ok(Self {
            http,
            tokens,
            subscription: below("api_url", &api, "subscription")?,
            order: format!("{}/order/", api.as_str().trim_end_matches('/')),
            secrets: secrets.collect::<Result<_, ConfigError>>()?,
        })
    }

    /// Asks once, or twice when the first answer was 401.
    async fn ask<A: Answer>(&self, territory: &str, slot: Slot, request: impl Fn() -> Request) -> Result<A, Error> {
        let Some(secret) = self.secrets.get(territory) else { return Ok(A::refused(unknown(territory))) };
        let (token, slot) = self.tokens.current(slot).await?;
        let mut answer = self.send::<A>(request(), secret, &token, slot).await?;
        if answer.status == 401 {
            self.tokens.discard(&token);
            let (token, slot) = self.tokens.current(self.http.further_slot().await?).await?;
            answer = self.send::<A>(request(), secret, &token, slot).await?;
        }
        interpret(&answer)
    }

    fn status_request(&self, body: Vec<u8>) -> Request {
        let mut request = Request::new(Method::POST, self.subscription.clone());
        *request.body_mut() = Some(body.into());
        request
    }

    async fn send<A: Answer>(
        &self,
        mut request: Request,
        secret: &HeaderValue,
        token: &Token,
        slot: Slot,
    ) -> Result<http::Answer, Error> {
        request.headers_mut().insert(AUTHORIZATION, token.bearer.clone());
        request.headers_mut().insert("secret", secret.clone());
        let asked_at = Instant::now();
        let answer = self.http.send(request, A::LIMIT, slot).await?;
        tracing::debug!(endpoint = A::ENDPOINT, status = answer.status, elapsed = ?asked_at.elapsed(), "asked");
        Ok(answer)
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
        self.status(subject, &suffixed, self.http.further_slot().await?).await
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
        let url = format!("{}{}", self.order, utf8_percent_encode(reference, SEGMENT));
        let Ok(url) = Url::parse(&url) else { return Err(Error::Unreadable { reason: format!("no URL: {url}") }) };
        let order = self.ask(subject.territory, slot, || Request::new(Method::GET, url.clone())).await?;
        Ok(order::fetched(reference, order))
    }

    async fn check(&self, known: Vec<LastAsked>, budget: &Budget) -> (Vec<Finding>, bool) {
        self.examine(known, budget).await
    }
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
        tracing::trace!(endpoint = A::ENDPOINT, code = answer.verdict().code, "answered");
    }
    result
}

/// What an answer about the subscription with this original number says; for [`crate::fuzzing`].
pub(crate) fn read_status(status: u16, body: &[u8], original: &str, at: Timestamp) -> Result<Sighting, Error> {
    let status = interpret(&http::Answer { status, retry_after: None, at, body: body.to_vec() })?;
    Ok(sighting::sighting(original, status))
}

/// What an answer with the data of this order says; for [`crate::fuzzing`].
pub(crate) fn read_order(status: u16, body: &[u8], number: &str, at: Timestamp) -> Result<Fetched, Error> {
    let order = interpret(&http::Answer { status, retry_after: None, at, body: body.to_vec() })?;
    Ok(order::fetched(number, order))
}

/// How long the token of an answer is good for; for [`crate::fuzzing`].
pub(crate) fn read_token(status: u16, body: &[u8], client_secret: &SecretString) -> Result<Duration, Error> {
    let (at, asked_at) = (Timestamp::now(), Instant::now());
    let answer = http::Answer { status, retry_after: None, at, body: body.to_vec() };
    token::interpret(&answer, asked_at, client_secret).map(|token| token.expires_at - asked_at)
}

/// Cannot happen after the settings were checked, unless a territory was taken out that is still in use.
fn unknown(territory: &str) -> Verdict {
    let message = format!("territory `{territory}` has no secret in the settings");
    Verdict { class: Class::Configuration, code: 70, message }
}

fn client(connection: &Connection, api: &Url, iam: &Url) -> Result<tls::Client, tls::Error> {
    let json = HeaderValue::from_static("application/json");
    let headers = HeaderMap::from_iter([(ACCEPT, json.clone()), (CONTENT_TYPE, json)]);
    // The environment's proxy is meant for the world outside: a sandbox on this machine is not reached through it.
    let here = [api, iam].iter().all(|url| is_loopback(url));
    let proxy = connection.proxy.as_deref().or(here.then_some(""));
    let Connection { timeout, connect_timeout, concurrency, .. } = *connection;
    let shape = move |builder: ClientBuilder| {
        builder
            .default_headers(headers.clone())
            .timeout(timeout)
            .connect_timeout(connect_timeout)
            .pool_max_idle_per_host(concurrency)
            .pool_idle_timeout(IDLE_CONNECTION)
    };
    tls::Client::new(tls::client_config(connection.ca_file.as_deref(), None)?, proxy, connection.connection_life, shape)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn base(key: &'static str, url: &str) -> Result<Url, ConfigError> {
    let usable = |url: &Url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() && url.fragment().is_none()
    };
    Url::parse(url).ok().filter(usable).ok_or(ConfigError::Url { key })
}

fn below(key: &'static str, base: &Url, path: &str) -> Result<Url, ConfigError> {
    Url::parse(&format!("{}/{path}", base.as_str().trim_end_matches('/'))).map_err(|_| ConfigError::Url { key })
}
