//! Bodies as the APIs send them: JSON, or why it cannot be read.

use serde::Deserialize;

use super::lenient::Scalar;
use crate::provider::Error;

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
