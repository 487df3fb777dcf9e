//! Errors as everybody gets them: problem details (RFC 9457).

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{store, vault};

pub const CONTENT_TYPE: &str = "application/problem+json";

/// What went wrong, in the form of RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the status says what kind it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    status: u16,
    /// For a person: what, and what to do about it.
    pub detail: String,
    /// The provider's own code, where its refusal is what went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i64>,
    /// Where in what was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Box<[String]>>,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        let headers = match status {
            StatusCode::UNAUTHORIZED => vec![(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))],
            StatusCode::SERVICE_UNAVAILABLE => vec![(header::RETRY_AFTER, HeaderValue::from_static("10"))],
            _ => Vec::new(),
        };
        Self {
            kind: "about:blank",
            title,
            status: status.as_u16(),
            detail: detail.into(),
            code: None,
            fields: None,
            headers,
        }
    }

    /// With this header besides, or in place of the usual one.
    pub fn with(self, name: HeaderName, value: &'static str) -> Self {
        self.with_value(name, HeaderValue::from_static(value))
    }

    fn with_value(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.retain(|(usual, _)| *usual != name);
        self.headers.push((name, value));
        self
    }

    /// When to try again, in whole seconds.
    pub fn after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.with_value(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    pub fn of_code(self, code: Option<i64>) -> Self {
        Self { code, ..self }
    }

    pub fn in_fields(self, fields: Vec<String>) -> Self {
        Self { fields: Some(fields.into()), ..self }
    }

    /// The connection ends with it, whatever is left of the request unread.
    pub fn that_closes(self) -> Self {
        self.with(header::CONNECTION, "close")
    }

    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "this should not happen; the log says more")
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        if error.is_transient() || matches!(error, store::Error::Closed) {
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("try again later: {}", crate::chain(&error)));
        }
        match &error {
            store::Error::Vault(error @ vault::Error::Damaged { .. }) => {
                return Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
            }
            store::Error::Vault(error) => return Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            _ => {}
        }
        tracing::error!(error = %crate::chain(&error), "a request failed: the store");
        Self::internal()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Strings and a number: this cannot fail.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}
