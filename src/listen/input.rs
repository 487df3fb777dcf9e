//! What a request brings: its query and its body. Whatever is wrong with them is said as a problem.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use super::body;
use super::problem::Problem;
use crate::text::visible;

/// The parameters behind the `?`. Each is taken once; what is left at the end is unknown, and a mistake.
#[derive(Debug)]
pub struct Query(BTreeMap<String, String>);

impl Query {
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// `what` it should be, for whoever gave something else.
    pub fn parsed<T: FromStr>(&mut self, name: &str, what: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let wrong = || Problem::bad_request(format!("{name} is {:?}; it must be {what}", visible(&text)));
        text.parse().map(Some).map_err(|_| wrong())
    }

    pub fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        Ok(self.parsed(name, "true or false")?.unwrap_or(false))
    }

    /// From 1 to 1000.
    pub fn limit(&mut self) -> Result<usize, Problem> {
        let what = "a whole number from 1 to 1000";
        match self.parsed("limit", what)?.unwrap_or(50) {
            limit @ 1..=1000 => Ok(limit),
            limit => Err(Problem::bad_request(format!("limit is {limit}; it must be {what}"))),
        }
    }

    /// Rows behind this one.
    pub fn cursor(&mut self) -> Result<i64, Problem> {
        Ok(self.parsed("cursor", "the next_cursor of a page")?.unwrap_or(0))
    }

    /// Refuses what nobody took.
    pub fn finish(self) -> Result<(), Problem> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(Problem::bad_request(format!("there is no parameter {:?} here", visible(&name)))),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = BTreeMap::new();
        for pair in parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if values.insert(name.clone(), value).is_some() {
                return Err(Problem::bad_request(format!("{:?} is given twice", visible(&name))));
            }
        }
        Ok(Self(values))
    }
}

fn decoded(text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map(std::borrow::Cow::into_owned);
    decoded.map_err(|_| Problem::bad_request("the query is not UTF-8"))
}

/// A JSON body.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        // Also what keeps the forms of other web pages out.
        if !is_json(request.headers()) {
            let detail = "the body must be JSON: Content-Type: application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let bytes = body::read(request.into_body()).await?;
        parse(&bytes).map(Self)
    }
}

pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let wrong = |error: serde_json::Error| Problem::bad_request(format!("the body: {}", visible(&error.to_string())));
    serde_json::from_slice(body).map_err(wrong)
}

fn is_json(headers: &HeaderMap) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn query(text: &str) -> Result<Query, Problem> {
        let request = axum::http::Request::get(format!("/?{text}")).body(()).unwrap();
        Query::from_request_parts(&mut request.into_parts().0, &()).await
    }

    #[tokio::test]
    async fn parameters_are_decoded_and_none_is_passed_over() {
        let mut given = query("name=a%2Fb+c&limit=7&overdue=true").await.unwrap();
        assert_eq!(given.text("name").as_deref(), Some("a/b c"));
        assert_eq!((given.limit().unwrap(), given.flag("overdue").unwrap(), given.cursor().unwrap()), (7, true, 0));
        given.finish().unwrap();
        assert!(query("x=1").await.unwrap().finish().is_err());
        assert!(query("x=1&x=2").await.is_err() && query("x=%FF").await.is_err());
        assert!(query("limit=0").await.unwrap().limit().is_err());
        assert!(query("overdue=yes").await.unwrap().flag("overdue").is_err());
    }
}
