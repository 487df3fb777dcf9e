//! One HTTP request and its answer: sent with a slot, read up to a limit, transport errors sorted.
//!
//! What an answer means is decided by who asked.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{ClientBuilder, Url};

use crate::budget::{Budget, Slot};
use crate::clock::Timestamp;
use crate::provider::Error;
use crate::provider::connection::Connection;
use crate::provider::kinds::Given;
use crate::provider::url::is_loopback;
use crate::retry;
use crate::tls::{self, Client};

pub const MIB: usize = 1 << 20;

/// Idle connections are closed before the gateways at the other end do so while we send on them.
const IDLE_CONNECTION: Duration = Duration::from_secs(50);

/// One kind of question.
#[derive(Clone, Copy)]
pub struct Endpoint {
    /// For log lines.
    pub name: &'static str,
    /// Bytes of an answer.
    pub limit: usize,
}

pub struct Http {
    pub client: Client,
    pub budget: Budget,
    /// For one request, its body included.
    pub timeout: Duration,
}

/// An answer with any status but 429.
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<Duration>,
    /// When it came.
    pub at: Timestamp,
    /// The same by the provider's own clock, where it tells.
    pub date: Option<Timestamp>,
    /// Where what was made is to be found, as it was sent.
    pub location: Option<String>,
    /// Decompressed.
    pub body: Vec<u8>,
}

impl Http {
    /// `headers` go with every request; `urls` are all that are asked.
    pub fn new(connection: &Connection, headers: HeaderMap, urls: &[&Url], budget: Budget) -> Result<Self, tls::Error> {
        Ok(Self { client: client(connection, headers, urls)?, budget, timeout: connection.timeout })
    }

    /// Uses up the slot. A body above `limit` bytes ends the reading: it makes a 2xx unreadable, and is as good as none
    /// elsewhere.
    pub async fn send(&self, request: reqwest::Request, limit: usize, _slot: Slot) -> Result<Answer, Error> {
        let response = self.client.get().execute(request).await.map_err(unreachable)?;
        let status = response.status();
        let (retry_after, date) = (retry_after(response.headers()), date(response.headers(), DATE));
        let location = response.headers().get(LOCATION).and_then(|value| Some(value.to_str().ok()?.to_owned()));
        if status == reqwest::StatusCode::TOO_MANY_REQUESTS {
            self.budget.slow_down(retry_after);
            return Err(Error::TooManyRequests { retry_after });
        }
        let body = match read(response, limit).await {
            Ok(body) => body,
            Err(error) if status.is_success() => return Err(error),
            Err(_) => Vec::new(),
        };
        Ok(Answer { status: status.as_u16(), retry_after, at: Timestamp::now(), date, location, body })
    }

    /// A further slot for the same call. A call ends some time: when the budget is paused for longer, so does this.
    pub async fn further_slot(&self) -> Result<Slot, Error> {
        let slot = tokio::time::timeout(self.timeout, self.budget.follow_up()).await;
        slot.map_err(|_| Error::TooManyRequests { retry_after: None })
    }
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The error that follows from the status alone.
    pub fn failure(&self) -> Error {
        match self.status {
            // A version that is no longer the newest: reading again is all that a question can do.
            408 | 409 | 412 | 425 | 500..=599 => {
                Error::Unavailable { status: self.status, retry_after: self.retry_after }
            }
            status => Error::Rejected { status },
        }
    }
}

fn client(connection: &Connection, mut headers: HeaderMap, urls: &[&Url]) -> Result<Client, tls::Error> {
    let json = HeaderValue::from_static("application/json");
    headers.extend([(ACCEPT, json.clone()), (CONTENT_TYPE, json)]);
    // The environment's proxy is meant for the world outside: a sandbox on this machine is not reached through it.
    let here = urls.iter().all(|url| is_loopback(url));
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
    Client::new(tls::client_config(connection.ca_file.as_deref(), None)?, proxy, connection.connection_life, shape)
}

/// The answer that is given; for [`crate::fuzzing`].
pub fn answer_of(given: Given<'_>) -> Answer {
    let body = given.body.to_vec();
    Answer { status: given.status, retry_after: None, at: given.at, date: None, location: None, body }
}

async fn read(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(body_error)? {
        if body.len() + chunk.len() > limit {
            return Err(Error::Unreadable { reason: format!("longer than {} MiB", limit / MIB) });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn unreachable(error: reqwest::Error) -> Error {
    Error::Unreachable(Arc::new(error.without_url()))
}

/// The client calls everything that ends a body "decode". Its decompressor reports plain I/O errors; what comes from the
/// connection is wrapped in an error of its own.
fn body_error(error: reqwest::Error) -> Error {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    let mut cause = error.source();
    while let Some(inner) = cause.filter(|cause| cause.is::<reqwest::Error>()) {
        cause = inner.source();
    }
    match cause.and_then(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind) {
        Some(InvalidData | InvalidInput | UnexpectedEof) => {
            Error::Unreadable { reason: "its compression is broken".to_owned() }
        }
        _ => unreachable(error),
    }
}

/// A date in it counts from the answer's own `Date`, so that our clock does not matter.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    retry::parse_retry_after(text, date(headers, DATE).unwrap_or_else(Timestamp::now))
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<Timestamp> {
    let instant = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(headers.get(name)?.as_bytes()).ok()?;
    Some(Timestamp::from_unix(instant.as_second()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn parse(retry_after: &str, date: Option<&'static str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(retry_after).unwrap());
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_static(date));
        }
        super::retry_after(&headers).map(|pause| pause.as_secs())
    }

    #[test]
    fn retry_after_comes_in_two_forms() {
        assert_eq!(parse("120", None), Some(120));
        assert_eq!(parse(" 0 ", None), Some(0));
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(parse("Sun, 06 Nov 1994 08:50:07 GMT", date), Some(30));
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:00 GMT", date), None);
        assert_eq!(parse("Sun, 06 Nov 1994 08:50:07 GMT", None), None);
        assert!(parse("Fri, 31 Dec 9999 23:59:59 GMT", None).is_none());
    }

    #[test]
    fn hostile_retry_after_is_none() {
        let hostile = ["", "-1", "1e9", "99999999999999999999999", "86401", "soon", "12 minutes", "0x10", "1.5", "+5"];
        for value in hostile {
            assert_eq!(parse(value, None), None, "{value}");
        }
    }
}
