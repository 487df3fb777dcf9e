//! What the two APIs of Nexway share: host, token service, limit, and how loosely they keep to their own types.
//!
//! What is asked and what an answer means belongs to each: `nexway_connect`, `nexway_monetize`.

pub(super) mod advice;
pub(super) mod refusal;
pub(super) mod token;

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Request, Url};
use secrecy::SecretString;
use tokio::time::Instant;

use crate::budget::{Budget, Slot};
use crate::clock::Timestamp;
use crate::provider::Error;
use crate::provider::connection::{ConfigError, Connection};
use crate::provider::http::{Answer, Endpoint, Http, answer_of};
use crate::provider::kinds::Given;
use crate::provider::url::{base, below};
use token::{Token, Tokens};

/// Where an account is, and what opens it.
#[derive(Clone)]
pub struct Config {
    pub api_url: String,
    pub iam_url: String,
    pub realm: String,
    pub client_secret: SecretString,
    pub connection: Connection,
}

/// An account: its token, and the way to its API.
pub(super) struct Account {
    pub http: Arc<Http>,
    pub tokens: Tokens,
    api: Url,
    iam: Url,
}

impl Account {
    pub fn new(config: &Config, budget: Budget) -> Result<Self, ConfigError> {
        let api = base("api_url", &config.api_url)?;
        let iam = base("iam_url", &config.iam_url)?;
        let http = Arc::new(Http::new(&config.connection, HeaderMap::new(), &[&api, &iam], budget)?);
        let tokens_url = below(&iam, "/tokens").ok_or(ConfigError::Url { key: "iam_url" })?;
        let tokens = Tokens::new(Arc::clone(&http), tokens_url, config.realm.clone(), config.client_secret.clone());
        Ok(Self { http, tokens, api, iam })
    }

    /// Below the API's address; `path` begins with a slash, and what is not ours in it went through [`encoded`](crate::provider::url::encoded).
    pub fn url(&self, path: &str) -> Result<Url, Error> {
        below(&self.api, path).ok_or_else(|| Error::Unreadable { reason: format!("no URL: {path}") })
    }

    /// The same below the token service's.
    pub fn iam_url(&self, path: &str) -> Result<Url, Error> {
        below(&self.iam, path).ok_or_else(|| Error::Unreadable { reason: format!("no URL: {path}") })
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

/// How long the token of an answer is good for; for [`crate::fuzzing`].
pub(crate) fn read_token(status: u16, body: &[u8], client_secret: &SecretString) -> Result<Duration, Error> {
    let asked_at = Instant::now();
    let answer = answer_of(Given { status, body, at: Timestamp::now() });
    token::interpret(&answer, asked_at, client_secret).map(|token| token.expires_at - asked_at)
}
