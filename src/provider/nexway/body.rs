//! Bodies as every service of the platform sends them: a JSON object, or why there is none.

use serde::Deserialize;

use super::lenient::Scalar;
use crate::provider::{Class, Error, Verdict};

/// Characters. The provider's texts are for people: nobody reads more than this.
const LONGEST_MESSAGE: usize = 500;

/// Parses a JSON object. The error names the place, never the content: it may be a key.
pub fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    let body = trimmed(body);
    if !body.starts_with(b"{") {
        return Err(unreadable(if body.is_empty() { "empty" } else { "not a JSON object" }));
    }
    read(body)
}

/// The same for a list.
pub fn parse_list<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    read(trimmed(body))
}

pub fn is_list(body: &[u8]) -> bool {
    trimmed(body).starts_with(b"[")
}

fn trimmed(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body).trim_ascii()
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| {
        let kind = if error.is_data() { "unexpected JSON" } else { "broken JSON" };
        unreadable(&format!("{kind} at line {} column {}", error.line(), error.column()))
    })
}

pub fn unreadable(reason: &str) -> Error {
    Error::Unreadable { reason: reason.to_owned() }
}

/// The first text that is there, cut to a length that people read.
pub fn message(texts: [&Scalar<'_>; 2]) -> String {
    let text = texts.iter().find_map(|text| text.text()).unwrap_or_default();
    text.chars().take(LONGEST_MESSAGE).collect()
}

/// Why an answer with a 4xx or 5xx status was refused, as far as its body or its status tells: a 401 that a new token did not
/// cure, 403, or something that does not exist. A 404 without the platform's body is a wrong address instead, which must not pass
/// for a missing order.
pub fn refusal(status: u16, body: &[u8]) -> Option<Verdict> {
    let code = i64::from(status);
    let body = parse::<ErrorBody<'_>>(body).unwrap_or_default();
    let is_the_platforms = || body.status.integer() == Some(code) || body.error.text().is_some();
    let class = match status {
        401 | 403 => Class::Configuration,
        404 if is_the_platforms() => Class::NotFound,
        _ => return None,
    };
    Some(Verdict { class, code, message: message([&body.message, &body.error]) })
}

/// What all services have in common of it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody<'a> {
    #[serde(borrow)]
    status: Scalar<'a>,
    #[serde(borrow)]
    error: Scalar<'a>,
    #[serde(borrow)]
    message: Scalar<'a>,
}
