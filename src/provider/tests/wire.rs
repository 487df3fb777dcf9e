//! What the kinds of these tests share: one GET, and what its status says.

use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;

use crate::provider::connection::{ConfigError, Connection};
use crate::provider::{Class, Error, Finding, LastAsked, Level, Verdict};
use crate::tls;

pub struct Wire {
    client: reqwest::Client,
    url: String,
}

pub struct Answer {
    pub verdict: Verdict,
    /// With success.
    pub body: Option<Body>,
}

pub struct Body(Vec<u8>);

impl Body {
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.0).map_err(|error| Error::Unreadable { reason: error.to_string() })
    }
}

impl Wire {
    pub fn new(url: &str, connection: &Connection) -> Result<Self, ConfigError> {
        let builder = tls::client_builder(connection.ca_file.as_deref(), Some(""))?.timeout(connection.timeout);
        let client = builder.build().map_err(|error| tls::Error::Client(error.without_url()))?;
        Ok(Self { client, url: url.to_owned() })
    }

    pub async fn get(&self, segments: &[&str], query: Option<String>) -> Result<Answer, Error> {
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let unreachable = |error: reqwest::Error| Error::Unreachable(Arc::new(error.without_url()));
        let url = format!("{}{}{query}", self.url, path(segments));
        let response = self.client.get(url).send().await.map_err(unreachable)?;
        let status = response.status().as_u16();
        let class = match status {
            200 => Class::Success,
            403 => Class::Configuration,
            404 => Class::NotFound,
            409 => Class::Waiting,
            410 => Class::Permanent,
            500.. => return Err(Error::Unavailable { status, retry_after: None }),
            _ => return Err(Error::Rejected { status }),
        };
        let body = response.bytes().await.map_err(unreachable)?.to_vec();
        let verdict = Verdict { class, code: i64::from(status), message: String::new() };
        Ok(Answer { verdict, body: (class == Class::Success).then_some(Body(body)) })
    }

    /// Asks for the subscriptions that were asked about last.
    pub async fn check(&self, known: Vec<LastAsked>, what: &str) -> (Vec<Finding>, bool) {
        let (mut findings, mut is_answered) = (Vec::new(), true);
        for LastAsked { territory, last_asked } in known {
            let Some((_, id)) = last_asked else { continue };
            let answer = self.get(&[what, &id], None).await;
            is_answered &= answer.is_ok();
            let level = match &answer {
                Ok(Answer { body: Some(_), .. }) => Level::Ok,
                _ => Level::Problem,
            };
            findings.push(Finding { level, text: format!("{id} of {territory} was asked for") });
        }
        (findings, is_answered)
    }
}

/// Each segment stays one, whatever it holds.
pub fn path(segments: &[&str]) -> String {
    segments.iter().map(|segment| format!("/{}", utf8_percent_encode(segment, NON_ALPHANUMERIC))).collect()
}
