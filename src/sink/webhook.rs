//! Webhook: one POST per message, signed as Standard Webhooks describe, and what each answer says.
//!
//! The signature covers id, time and body, so a receiver can refuse a replayed or altered request. The time is that of the
//! attempt, not of the message.

pub mod headers;
pub mod settings;

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{ClientBuilder, Method, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::{Answer, Failure, Sink, answer};
use crate::clock::Timestamp;
use crate::delivery::{Message, without_control_characters};
use crate::retry;
use crate::tls::{self, Client, Identity};

/// What is read of an answer, so that its connection can serve the next message. More, or slower, costs the connection.
const ANSWER_BYTES: usize = 16 * 1024;
const ANSWER_TIME: Duration = Duration::from_secs(1);

pub struct WebhookConfig {
    pub url: String,
    /// The current signing secret, then the previous one while receivers change over; none = unsigned.
    pub secrets: Vec<SecretString>,
    /// What a gate before the receiver wants to see, marked sensitive.
    pub headers: HeaderMap,
    /// For a whole attempt, connecting included.
    pub timeout: Duration,
    pub ca_file: Option<PathBuf>,
    pub identity: Option<Identity>,
    pub proxy: Option<String>,
    /// For how long a connection serves further messages.
    pub connection_life: Duration,
}

/// Why a webhook cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("url is not an http or https URL")]
    Url,
    #[error("signing secret is not whsec_ followed by the base64 of 24 to 64 bytes")]
    Secret,
    #[error(transparent)]
    Tls(#[from] tls::Error),
}

pub struct Webhook {
    client: Client,
    url: Url,
    keys: Vec<SigningKey>,
    timeout: Duration,
    /// What an answer may quote of a request, and nobody may read.
    hidden: Vec<SecretString>,
}

impl Webhook {
    /// Opens no connection.
    pub fn new(config: WebhookConfig) -> Result<Self, Error> {
        let url = Url::parse(&config.url).map_err(|_| Error::Url)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::Url);
        }
        let tls = tls::client_config(config.ca_file.as_deref(), config.identity.as_ref())?;
        let mut hidden = headers::spoken(&config.headers);
        // A path may be as secret as a query; that of nobody is none.
        hidden.extend([url.path().trim_end_matches('/'), url.query().unwrap_or_default()].map(SecretString::from));
        let (headers, timeout) = (config.headers, config.timeout);
        let shape = move |builder: ClientBuilder| builder.default_headers(headers.clone()).timeout(timeout);
        let client = Client::new(tls, config.proxy.as_deref(), config.connection_life, shape)?;
        let keys = config.secrets.iter().map(SigningKey::decode).collect::<Result<_, _>>()?;
        Ok(Self { client, url, keys, timeout, hidden })
    }

    /// What went wrong below HTTP, without the URL, which may hold a token.
    fn unreachable(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() {
            return format!("no answer within {:?}", self.timeout);
        }
        let mut innermost: &dyn std::error::Error = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        let what = if error.is_connect() { "could not connect" } else { "connection broke" };
        without_control_characters(&format!("{what}: {innermost}"))
    }

    async fn outcome(&self, mut response: Response, message: &Message, now: Timestamp) -> Result<(), Failure> {
        let status = response.status();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|header| header.to_str().ok())
            .and_then(|header| retry::parse_retry_after(header, now));
        let beginning = read_rest(&mut response).await;
        let hidden = self.hidden.iter().map(ExposeSecret::expose_secret);
        classify(status, retry_after).map_err(|failure| failure.with_answer(Answer::quote(&beginning, message, hidden)))
    }
}

impl Sink for Webhook {
    async fn publish(&self, message: &Message) -> Result<(), Failure> {
        let (id, now) = (message.id.to_string(), Timestamp::now());
        let mut request = self
            .client
            .get()
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/cloudevents+json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", now.as_unix());
        if !self.keys.is_empty() {
            request = request.header("webhook-signature", signatures(&self.keys, &id, now, &message.body));
        }
        match request.body(message.body.clone()).send().await {
            Ok(response) => self.outcome(response, message, now).await,
            Err(error) if error.is_connect() => Err(Failure::surely_of_sink(self.unreachable(&error.without_url()))),
            Err(error) => Err(Failure::of_sink(self.unreachable(&error.without_url()))),
        }
    }

    /// Any HTTP answer will do: whether the receiver likes messages is only known from one.
    async fn check(&self) -> Result<(), String> {
        let request = self.client.get().request(Method::OPTIONS, self.url.clone());
        request.send().await.map(drop).map_err(|error| self.unreachable(&error.without_url()))
    }
}

/// Reads what is left of a short answer: HTTP/1.1 gives the connection back only then. Returns how a refusal begins; otherwise the
/// status has said all.
async fn read_rest(response: &mut Response) -> Vec<u8> {
    let is_refusal = response.status().is_client_error();
    let mut beginning = Vec::new();
    let rest = async {
        let mut read = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            if is_refusal && beginning.len() < answer::READ_BYTES {
                beginning.extend_from_slice(&chunk);
            }
            read += chunk.len();
            if read > ANSWER_BYTES {
                break;
            }
        }
    };
    if tokio::time::timeout(ANSWER_TIME, rest).await.is_err() {
        tracing::debug!("the rest of an answer did not come, its connection is dropped");
    }
    beginning
}

/// Whose fault a status is (design section 4).
fn classify(status: StatusCode, retry_after: Option<Duration>) -> Result<(), Failure> {
    if status.is_success() {
        return Ok(());
    }
    let reason = format!("answered {status}"); // the phrase is ours, not the receiver's
    // Whoever asks for time, or does not know us, does not speak of what was sent. A 403 may: filters look at content.
    let surely = retry_after.is_some() || matches!(status.as_u16(), 401 | 407 | 429);
    match status.as_u16() {
        300..=399 => {
            let reason = format!("{reason}; redirects are not followed, set the new url");
            Err(Failure::Sink { reason, answer: None, retry_after, surely })
        }
        401 | 403 | 407 | 408 | 410 | 425 | 429 => Err(Failure::Sink { reason, answer: None, retry_after, surely }),
        400..=499 => Err(Failure::Message { reason, answer: None, retry_after }),
        _ => Err(Failure::Sink { reason, answer: None, retry_after, surely }),
    }
}

/// A decoded signing secret, ready to sign.
struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    fn decode(secret: &SecretString) -> Result<Self, Error> {
        let encoded = secret.expose_secret().strip_prefix("whsec_").ok_or(Error::Secret)?;
        let key = BASE64_STANDARD.decode(encoded).map_err(|_| Error::Secret)?;
        if !(24..=64).contains(&key.len()) {
            return Err(Error::Secret);
        }
        Hmac::new_from_slice(&key).map(Self).map_err(|_| Error::Secret)
    }

    fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(format!("{id}.{}.", at.as_unix()).as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// One signature per secret: a receiver that knows either accepts the message.
fn signatures(keys: &[SigningKey], id: &str, at: Timestamp, body: &[u8]) -> String {
    keys.iter().map(|key| key.sign(id, at, body)).collect::<Vec<_>>().join(" ")
}

/// Whether [`Webhook::new`] would take this signing secret, for checking settings.
pub fn is_signing_secret(secret: &SecretString) -> bool {
    SigningKey::decode(secret).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &str) -> Result<SigningKey, Error> {
        SigningKey::decode(&SecretString::from(secret.to_owned()))
    }

    fn whsec(bytes: usize) -> String {
        format!("whsec_{}", BASE64_STANDARD.encode(vec![7; bytes]))
    }

    #[test]
    fn signs_the_published_test_vector() {
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let at = Timestamp::from_unix(1_614_265_330);
        let signed =
            |keys: &[SigningKey]| signatures(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, br#"{"test": 2432232314}"#);
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let previous = SigningKey(key.0.clone());
        assert_eq!(signed(&[key]), signature);
        assert_eq!(signed(&[SigningKey(previous.0.clone()), previous]), format!("{signature} {signature}"));
    }

    #[test]
    fn secrets_have_a_prefix_and_24_to_64_bytes() {
        assert!(key(&whsec(24)).is_ok() && key(&whsec(64)).is_ok());
        for bad in [whsec(23), whsec(65), whsec(32).replace("whsec_", ""), "whsec_".to_owned(), "whsec_%%%".to_owned()]
        {
            assert!(matches!(key(&bad), Err(Error::Secret)), "{bad}");
        }
    }

    #[test]
    fn a_url_must_be_http() {
        for bad in ["", "shop.example/hook", "ftp://shop.example/", "file:///etc/passwd"] {
            let config = WebhookConfig {
                url: bad.to_owned(),
                secrets: vec![],
                headers: HeaderMap::new(),
                timeout: Duration::from_secs(1),
                ca_file: None,
                identity: None,
                proxy: None,
                connection_life: tls::CONNECTION_LIFE,
            };
            assert!(matches!(Webhook::new(config), Err(Error::Url)), "{bad}");
        }
    }

    #[test]
    fn each_status_is_somebodys_fault() {
        let after = Some(Duration::from_secs(7));
        let outcome = |status| classify(StatusCode::from_u16(status).unwrap(), after);
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(outcome(status), Ok(()));
        }
        for status in [301, 302, 304, 307, 401, 403, 407, 408, 410, 425, 429, 500, 502, 503, 504, 599, 600, 999] {
            assert!(
                matches!(outcome(status), Err(Failure::Sink { retry_after, .. }) if retry_after == after),
                "{status}"
            );
        }
        for status in [400, 402, 404, 405, 406, 409, 411, 413, 415, 422, 451] {
            assert!(matches!(outcome(status), Err(Failure::Message { .. })), "{status}");
        }
        assert_eq!(outcome(503).unwrap_err().to_string(), "answered 503 Service Unavailable");
        let is_sure = |status, after| {
            let outcome = classify(StatusCode::from_u16(status).unwrap(), after);
            matches!(outcome, Err(Failure::Sink { surely: true, .. }))
        };
        assert!([401, 407, 429].into_iter().all(|status| is_sure(status, None)));
        assert!(![308, 403, 408, 410, 425, 500, 502, 503, 504].into_iter().any(|status| is_sure(status, None)));
        assert!(is_sure(503, after), "it asks for time");
    }
}
