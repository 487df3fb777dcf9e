//! The access token: one request however many calls need it, renewed before it expires (nexway-connect.md, section 2.2).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Method, Request, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::budget::Slot;
use crate::provider::Error;
use crate::provider::body;
use crate::provider::http::{Answer, Http, MIB};
use crate::provider::lenient::Scalar;

/// A token is renewed this long before it expires; a short-lived one after half of its life.
const RENEWED_BEFORE: Duration = Duration::from_secs(30);

/// When `expires_in` is missing or senseless: what the provider's own plugin assumes.
const DEFAULT_LIFE: Duration = Duration::from_secs(240);
const DEFAULT_REFRESH_LIFE: Duration = Duration::from_secs(1740);
const SHORTEST_LIFE: Duration = Duration::from_secs(5);
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// When a renewal failed but the token is still good, it is tried again after this.
const RENEWED_AGAIN_AFTER: Duration = Duration::from_secs(10);

pub struct Token {
    /// `Bearer …`, marked sensitive.
    pub bearer: HeaderValue,
    renew_at: Instant,
    pub expires_at: Instant,
    refresh: Option<Refresh>,
}

struct Refresh {
    token: SecretString,
    expires_at: Instant,
}

pub struct Tokens {
    http: Arc<Http>,
    url: Url,
    realm: String,
    client_secret: SecretString,
    state: Mutex<State>,
    /// Held by the call that renews the token.
    renewing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// The newest token, expired or not: it may still be refreshed.
    token: Option<Arc<Token>>,
    not_renewed_before: Option<Instant>,
    /// How many renewals failed, and how the last one did.
    failures: u64,
    failure: Option<Error>,
}

impl Tokens {
    pub fn new(http: Arc<Http>, url: Url, realm: String, client_secret: SecretString) -> Self {
        let (state, renewing) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { http, url, realm, client_secret, state, renewing }
    }

    /// A valid token, and a slot for the request that needs it: the given one when there was no waiting, else a new one, because
    /// calls that waited together must not go out together.
    pub async fn current(&self, slot: Slot) -> Result<(Arc<Token>, Slot), Error> {
        let held = match self.held() {
            Some((token, false)) => return Ok((token, slot)),
            Some((token, true)) => Some(token),
            None => None,
        };
        let token = match (self.renewing.try_lock(), held) {
            (Ok(_renewing), _) => self.renew(slot).await?,
            // Another call renews it; until then this one is good.
            (Err(_), Some(token)) => return Ok((token, slot)),
            (Err(_), None) => self.wait_for_another().await?,
        };
        Ok((token, self.http.further_slot().await?))
    }

    /// After a 401: exactly this token is never used again, nor is what belongs to its session.
    pub fn discard(&self, token: &Arc<Token>) {
        self.lock().token.take_if(|held| Arc::ptr_eq(held, token));
    }

    /// The token while it is valid, and whether it is time to renew it.
    fn held(&self) -> Option<(Arc<Token>, bool)> {
        let now = Instant::now();
        let state = self.lock();
        let token = state.token.as_ref().filter(|token| now < token.expires_at)?;
        let due = now >= token.renew_at && state.not_renewed_before.is_none_or(|at| now >= at);
        Some((Arc::clone(token), due))
    }

    /// Waits for the call that is renewing the token and shares its luck.
    async fn wait_for_another(&self) -> Result<Arc<Token>, Error> {
        let failures = self.lock().failures;
        let _renewing = self.renewing.lock().await;
        if let Some((token, _)) = self.held() {
            return Ok(token);
        }
        let shared =
            Some(self.lock()).filter(|state| state.failures > failures).and_then(|state| state.failure.clone());
        match shared {
            Some(error) => Err(error),
            // It was cancelled.
            None => self.renew(self.http.further_slot().await?).await,
        }
    }

    /// Gets a new token; `renewing` is held. A failure is no error as long as the old one is valid.
    async fn renew(&self, slot: Slot) -> Result<Arc<Token>, Error> {
        if let Some((token, false)) = self.held() {
            return Ok(token); // another call was faster
        }
        let result = self.obtain(slot).await.map_err(everybodys);
        let held = self.held();
        let mut state = self.lock();
        match (result, held) {
            (Ok(token), _) => {
                let token = Arc::new(token);
                *state = State { token: Some(Arc::clone(&token)), failures: state.failures, ..State::default() };
                Ok(token)
            }
            (Err(error), Some((token, _))) => {
                tracing::debug!(%error, "token could not be renewed yet, it stays in use");
                state.not_renewed_before = Some(Instant::now() + RENEWED_AGAIN_AFTER);
                Ok(token)
            }
            (Err(error), None) => {
                state.failures += 1;
                state.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    /// By refresh where possible. A refusal of the refresh token means no more than that a new session is needed.
    async fn obtain(&self, slot: Slot) -> Result<Token, Error> {
        let Some(refresh_token) = self.refresh_token() else { return self.request(None, slot).await };
        match self.request(Some(&refresh_token), slot).await {
            Err(Error::Unauthorized { .. } | Error::Rejected { .. } | Error::Unreadable { .. }) => {
                self.request(None, self.http.further_slot().await?).await
            }
            result => result,
        }
    }

    fn refresh_token(&self) -> Option<SecretString> {
        let state = self.lock();
        let refresh = state.token.as_ref()?.refresh.as_ref()?;
        (Instant::now() < refresh.expires_at).then(|| refresh.token.clone())
    }

    async fn request(&self, refresh_token: Option<&SecretString>, slot: Slot) -> Result<Token, Error> {
        let body = TokenRequest {
            realm_name: &self.realm,
            client_secret: self.client_secret.expose_secret(),
            grant_type: if refresh_token.is_some() { "refresh_token" } else { "client_credentials" },
            refresh_token: refresh_token.map(|token| token.expose_secret()),
        };
        let body = serde_json::to_vec(&body).map_err(|error| Error::Unreadable { reason: error.to_string() })?;
        let mut request = Request::new(Method::POST, self.url.clone());
        *request.body_mut() = Some(body.into());
        let asked_at = Instant::now();
        let answer = self.http.send(request, MIB, slot).await?;
        tracing::debug!(endpoint = "token", status = answer.status, elapsed = ?asked_at.elapsed(), "asked");
        interpret(&answer, asked_at, &self.client_secret)
    }

    /// Makes the held token look as if it had been there for longer.
    #[cfg(test)]
    pub fn age(&self, by: Duration) {
        let mut state = self.lock();
        let token = state.token.take().map(|token| {
            let refresh = token
                .refresh
                .as_ref()
                .map(|refresh| Refresh { token: refresh.token.clone(), expires_at: refresh.expires_at });
            Arc::new(Token {
                bearer: token.bearer.clone(),
                renew_at: token.renew_at - by,
                expires_at: token.expires_at - by,
                refresh,
            })
        });
        state.token = token;
        state.not_renewed_before = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token of an answer, or why there is none. `client_secret` is ours: it is not shown, whatever the answer says.
pub fn interpret(answer: &Answer, asked_at: Instant, client_secret: &SecretString) -> Result<Token, Error> {
    if answer.is_success() {
        return read(&answer.body, asked_at, client_secret);
    }
    match answer.status {
        400 | 401 | 403 | 404 => Err(unauthorized(refusal(answer, client_secret))),
        _ => Err(answer.failure()),
    }
}

fn read(body: &[u8], asked_at: Instant, client_secret: &SecretString) -> Result<Token, Error> {
    let body: TokenBody<'_> = body::parse(body)?;
    let Some(token) = body.access_token.text().or(body.access_token_camel.text()) else {
        return Err(match body.error.text() {
            Some(_) => unauthorized(reason(200, &body, client_secret)),
            None => Error::Unreadable { reason: "no access token".to_owned() },
        });
    };
    let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| Error::Unreadable { reason: "the access token fits no header".to_owned() })?;
    bearer.set_sensitive(true);
    let life = life(&body.expires_in, &body.expires_in_camel, DEFAULT_LIFE);
    let refresh_life = life_of_refresh(&body);
    let refresh = body.refresh_token.text().or(body.refresh_token_camel.text());
    Ok(Token {
        bearer,
        renew_at: asked_at + life.saturating_sub(RENEWED_BEFORE).max(life / 2),
        expires_at: asked_at + life,
        refresh: refresh.map(|token| Refresh { token: token.into(), expires_at: asked_at + refresh_life }),
    })
}

fn refusal(answer: &Answer, client_secret: &SecretString) -> String {
    match body::parse::<TokenBody<'_>>(&answer.body) {
        Ok(body) => reason(answer.status, &body, client_secret),
        Err(_) => format!("token service answered {}", answer.status),
    }
}

/// What the token service said, as far as it is fit to be shown: no control characters, and never our own secret back.
fn reason(status: u16, body: &TokenBody<'_>, client_secret: &SecretString) -> String {
    let texts = [&body.error, &body.message, &body.error_description];
    let texts: Vec<_> = texts.into_iter().filter_map(Scalar::text).collect();
    let text: String = texts.join(": ").chars().filter(|c| !c.is_control()).take(200).collect();
    if text.is_empty() || text.contains(client_secret.expose_secret()) {
        format!("token service answered {status}")
    } else {
        format!("token service answered {status}: {text}")
    }
}

/// Without a token nobody gets on, so an answer that makes no sense must not pass for one subscription's trouble.
fn everybodys(error: Error) -> Error {
    match error {
        Error::Unreadable { reason } => unauthorized(format!("token service's answer cannot be used: {reason}")),
        Error::Rejected { status } => unauthorized(format!("token service answered {status}")),
        error => error,
    }
}

fn life_of_refresh(body: &TokenBody<'_>) -> Duration {
    life(&body.refresh_expires_in, &body.refresh_expires_in_camel, DEFAULT_REFRESH_LIFE)
}

fn life(seconds: &Scalar<'_>, camel: &Scalar<'_>, default: Duration) -> Duration {
    let seconds =
        seconds.integer().or(camel.integer()).and_then(|seconds| u64::try_from(seconds).ok()).filter(|s| *s > 0);
    seconds.map_or(default, |seconds| Duration::from_secs(seconds).clamp(SHORTEST_LIFE, LONGEST_LIFE))
}

/// In Connect's own spelling. The client secret goes along with a refresh, too: it does no harm.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenRequest<'a> {
    client_secret: &'a str,
    realm_name: &'a str,
    grant_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
}

/// Both spellings of the answer, and its errors.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenBody<'a> {
    #[serde(borrow)]
    access_token: Scalar<'a>,
    #[serde(borrow, rename = "accessToken")]
    access_token_camel: Scalar<'a>,
    #[serde(borrow)]
    expires_in: Scalar<'a>,
    #[serde(borrow, rename = "expiresIn")]
    expires_in_camel: Scalar<'a>,
    #[serde(borrow)]
    refresh_token: Scalar<'a>,
    #[serde(borrow, rename = "refreshToken")]
    refresh_token_camel: Scalar<'a>,
    #[serde(borrow)]
    refresh_expires_in: Scalar<'a>,
    #[serde(borrow, rename = "refreshExpiresIn")]
    refresh_expires_in_camel: Scalar<'a>,
    #[serde(borrow)]
    error: Scalar<'a>,
    #[serde(borrow)]
    message: Scalar<'a>,
    #[serde(borrow)]
    error_description: Scalar<'a>,
}

fn unauthorized(reason: String) -> Error {
    Error::Unauthorized { reason, look_at: "realm, client_secret_file and whether this server's address is allowed" }
}
