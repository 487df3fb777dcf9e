//! The reseller's own words about a subscription: in every message and every export they are what they were.

use serde_json::{Map, Value};

use crate::json::{Members, canonical, compact};

/// The reseller's own JSON object, compact, otherwise as it was written: digits, escapes and the order of keys. Equal whatever the
/// order and the escapes. `Debug` shows none of it: it may hold customer data.
#[derive(Clone)]
pub struct Metadata(String);

/// It becomes a part of every message, and of each copy of it that a sink is sent.
const MOST_METADATA_BYTES: usize = 64 * 1024;

impl Metadata {
    /// Takes a JSON object of at most 64 KiB; the error says what it is instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        // The error's own text may quote the value.
        let wrong =
            |e: serde_json::Error| format!("metadata is not a JSON object (line {}, column {})", e.line(), e.column());
        // Read to the bottom, as templates and receivers do: what is nested too deep, or no number to them, is refused here.
        serde_json::from_str::<Map<String, Value>>(text).map_err(wrong)?;
        let members: Members<'_> = serde_json::from_str(text).map_err(wrong)?;
        if members.twice.is_some() {
            return Err("metadata has the same key twice".to_owned());
        }
        let text = compact(text);
        match text.len() {
            ..=MOST_METADATA_BYTES => Ok(Self(text)),
            bytes => Err(format!("metadata is {} KiB of JSON, and at most 64 are taken", bytes.div_ceil(1024))),
        }
    }

    pub(in crate::store) fn stored(text: String) -> Self {
        Self(text)
    }

    pub fn as_json(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || canonical(&self.0) == canonical(&other.0)
    }
}

impl Eq for Metadata {}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metadata(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        Metadata::parse(text).map(|metadata| metadata.as_json().to_owned())
    }

    #[test]
    fn only_white_space_between_tokens_is_taken_out() {
        let text =
            "{\n \"b\" : [ 1.10,\t12345678901234567890123, -0, 1E+2 ],\r\n\"a\": {\"x \\\" y\\\\\": \"\\u00e9 \\/\"} }";
        let compact = r#"{"b":[1.10,12345678901234567890123,-0,1E+2],"a":{"x \" y\\":"\u00e9 \/"}}"#;
        assert_eq!(parse(text).as_deref(), Ok(compact));
        assert_eq!(parse(compact).as_deref(), Ok(compact));
    }

    #[test]
    fn what_readers_could_not_use_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        for text in ["", "[]", "null", "{}{}", "{\"a\":1e999}", "{\"a\":\"\\ud800\"}", "{\"a\":01}", &deep] {
            assert!(parse(text).unwrap_err().starts_with("metadata is not a JSON object (line 1, column"), "{text}");
        }
        let twice = Err("metadata has the same key twice".to_owned());
        assert_eq!(
            parse(r#"{"secret": 1, "b": 2, "\u0073ecret": 1}"#),
            twice,
            "however it is spelled; it is not shown"
        );
        let most = |more: usize| format!("{{\"a\": \"{}\"}}", "x".repeat((64 << 10) - 8 + more));
        assert_eq!(parse(&most(0)).map(|text| text.len()), Ok(64 << 10));
        assert_eq!(parse(&most(1)), Err("metadata is 65 KiB of JSON, and at most 64 are taken".to_owned()));
    }

    #[test]
    fn order_and_escapes_make_no_difference_and_digits_do() {
        let equal = |a: &str, b: &str| Metadata::parse(a).unwrap() == Metadata::parse(b).unwrap();
        assert!(equal(r#"{"a": 1, "b": [{"c": "\u00e9/", "d": 2}]}"#, r#"{"b":[{"d":2,"\u0063":"é\/"}],"a":1}"#));
        for other in
            [r#"{"a":1.0}"#, r#"{"a":1}"#, r#"{"a":"1.10"}"#, r#"{"a":[1.10]}"#, r#"{"a":1.10,"b":null}"#, "{}"]
        {
            assert!(!equal(r#"{"a":1.10}"#, other), "{other}");
        }
        assert!(!equal(r#"{"a":12345678901234567890123}"#, r#"{"a":12345678901234567890124}"#));
        assert!(!equal(r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#));
    }
}
