//! What the two APIs of Nexway share: host, token service, limit, and how loosely they keep to their own types.
//!
//! What is asked and what an answer means belongs to each: `nexway_connect`, `nexway_monetize`.

pub(super) mod advice;
pub(super) mod body;
pub(super) mod http;
pub(super) mod lenient;
pub(super) mod token;

use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{ClientBuilder, Request, Url};
use secrecy::SecretString;
use tokio::time::Instant;

use crate::budget::{Budget, Slot};
use crate::clock::Timestamp;
use crate::provider::Error;
use crate::provider::connection::{ConfigError, Connection};
use crate::provider::kinds::Given;
use crate::tls;
use http::{Answer, Http};
use token::{Token, Tokens};

/// All that RFC 3986 does not call unreserved, so that a name stays one path segment or one value whatever it holds.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Idle connections are closed before the gateways at the other end do so while we send on them.
const IDLE_CONNECTION: Duration = Duration::from_secs(50);

/// Where an account is, and what opens it.
#[derive(Clone)]
pub struct Config {
    pub api_url: String,
    pub iam_url: String,
    pub realm: String,
    pub client_secret: SecretString,
    pub connection: Connection,
}

/// One kind of question.
#[derive(Clone, Copy)]
pub(super) struct Endpoint {
    /// For log lines.
    pub name: &'static str,
    /// Bytes of an answer.
    pub limit: usize,
}

/// An account: its token, and the way to its API.
pub(super) struct Account {
    pub http: Arc<Http>,
    pub tokens: Tokens,
    api: Url,
}

impl Account {
    pub fn new(config: &Config, budget: Budget) -> Result<Self, ConfigError> {
        let api = base("api_url", &config.api_url)?;
        let iam = base("iam_url", &config.iam_url)?;
        let client = client(&config.connection, &api, &iam)?;
        let http = Arc::new(Http { client, budget, timeout: config.connection.timeout });
        let tokens_url = below(&iam, "/tokens").ok_or(ConfigError::Url { key: "iam_url" })?;
        let tokens = Tokens::new(Arc::clone(&http), tokens_url, config.realm.clone(), config.client_secret.clone());
        Ok(Self { http, tokens, api })
    }

    /// Below the API's address; `path` begins with a slash, and what is not ours in it went through [`encoded`].
    pub fn url(&self, path: &str) -> Result<Url, Error> {
        below(&self.api, path).ok_or_else(|| Error::Unreadable { reason: format!("no URL: {path}") })
    }

    /// Asks once, or twice when the first answer was 401.
    pub async fn ask(&self, endpoint: Endpoint, slot: Slot, request: impl Fn() -> Request) -> Result<Answer, Error> {
        let (token, slot) = self.tokens.current(slot).await?;
        let answer = self.send(endpoint, request(), &token, slot).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        self.tokens.discard(&token);
        let (token, slot) = self.tokens.current(self.http.further_slot().await?).await?;
        self.send(endpoint, request(), &token, slot).await
    }

    /// Asks once, whatever the answer.
    pub async fn ask_once(&self, endpoint: Endpoint, slot: Slot, request: Request) -> Result<Answer, Error> {
        let (token, slot) = self.tokens.current(slot).await?;
        self.send(endpoint, request, &token, slot).await
    }

    /// Gets a token: whether realm and client secret are accepted from this machine. One request; its slot is used up, and the
    /// returned one is for the request that comes next.
    pub async fn sign_in(&self, slot: Slot) -> Result<Slot, Error> {
        let (_, slot) = self.tokens.current(slot).await?;
        Ok(slot)
    }

    async fn send(&self, endpoint: Endpoint, mut request: Request, token: &Token, slot: Slot) -> Result<Answer, Error> {
        request.headers_mut().insert(AUTHORIZATION, token.bearer.clone());
        let asked_at = Instant::now();
        let answer = self.http.send(request, endpoint.limit, slot).await?;
        tracing::debug!(endpoint = endpoint.name, status = answer.status, elapsed = ?asked_at.elapsed(), "asked");
        Ok(answer)
    }
}

/// The answer that is given; for [`crate::fuzzing`].
pub(super) fn answer_of(given: Given<'_>) -> Answer {
    Answer { status: given.status, retry_after: None, at: given.at, body: given.body.to_vec() }
}

/// How long the token of an answer is good for; for [`crate::fuzzing`].
pub(crate) fn read_token(status: u16, body: &[u8], client_secret: &SecretString) -> Result<Duration, Error> {
    let asked_at = Instant::now();
    let answer = answer_of(Given { status, body, at: Timestamp::now() });
    token::interpret(&answer, asked_at, client_secret).map(|token| token.expires_at - asked_at)
}

/// As one segment of a path, or one value of a query.
pub(super) fn encoded(name: &str) -> PercentEncode<'_> {
    utf8_percent_encode(name, SEGMENT)
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

fn below(base: &Url, path: &str) -> Option<Url> {
    Url::parse(&format!("{}{path}", base.as_str().trim_end_matches('/'))).ok()
}
