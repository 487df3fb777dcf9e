//! What a receiver said when it refused a message: kept for the operator's eyes, and in no log.

use std::fmt;

use serde_json::Value as Json;

use crate::delivery::{Message, without_control_characters};

/// What of an answer is worth reading from the wire.
pub const READ_BYTES: usize = 4 * 1024;
const SHOWN_CHARS: usize = 300;
/// So much of a secret's beginning is masked like the whole: answers are cut, by receivers and here.
const TELLING_BYTES: usize = 8;
const MASK: &str = "***";

/// `Debug` prints `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer(String);

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Answer {
    /// The beginning of an answer to this message, on one line, with `***` in the place of its licence keys and of `secrets`.
    /// `None`: it says nothing.
    pub fn quote<'a>(body: &[u8], message: &Message, secrets: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        if body.is_empty() {
            return None;
        }
        let mut hidden: Vec<_> = secrets.into_iter().flat_map(forms).collect();
        hidden.extend(keys(message)?.iter().flat_map(|key| forms(key)));
        let text = String::from_utf8_lossy(&body[..body.len().min(READ_BYTES)]);
        let masked = masked(&without_control_characters(&text), &hidden);
        let line = masked.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown: String = line.chars().take(SHOWN_CHARS).collect();
        (!shown.is_empty()).then_some(Self(shown))
    }

    pub fn into_text(self) -> String {
        self.0
    }
}

/// The licence keys in a message; `None` where they cannot be told, and so cannot be masked.
fn keys(message: &Message) -> Option<Vec<String>> {
    let body: Json = serde_json::from_slice(&message.body).ok()?;
    let lines = body["data"]["lines"].as_array().into_iter().flatten();
    let serials = lines.flat_map(|line| line["serials"].as_array().into_iter().flatten());
    Some(serials.filter_map(|serial| serial["data"].as_str().map(str::to_owned)).collect())
}

/// As it may stand in an answer: as it is, and as JSON has it.
fn forms(secret: &str) -> impl Iterator<Item = String> {
    let plain = without_control_characters(secret);
    let json = Json::from(secret).to_string();
    let quoted = json[1..json.len() - 1].to_owned();
    [plain, quoted].into_iter().filter(|form| !form.is_empty())
}

fn masked(text: &str, hidden: &[String]) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = hidden.iter().map(|secret| hidden_length(rest, secret)).max().unwrap_or(0);
        if length > 0 {
            masked.push_str(MASK);
            rest = &rest[length..];
        } else {
            masked.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    masked
}

/// How much of the beginning of `text` is this secret, or a telling part of it.
fn hidden_length(text: &str, secret: &str) -> usize {
    let same = text.chars().zip(secret.chars()).take_while(|(one, other)| one == other);
    let length: usize = same.map(|(c, _)| c.len_utf8()).sum();
    if length == secret.len() || length >= TELLING_BYTES { length } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(keys: &[&str]) -> Message {
        let serials: Vec<_> = keys.iter().map(|key| serde_json::json!({"data": key})).collect();
        let body = serde_json::json!({"data": {"lines": [{"serials": []}, {"serials": serials}]}});
        crate::sink::tests::message(&body.to_string())
    }

    fn quoted(body: &[u8], keys: &[&str], secrets: &[&str]) -> String {
        Answer::quote(body, &message(keys), secrets.iter().copied()).map(Answer::into_text).unwrap_or_default()
    }

    #[test]
    fn it_is_one_short_line() {
        assert_eq!(quoted(b" {\n\t\"error\":  \"no\x1b[31m\"\r\n}\n", &[], &[]), "{ \"error\": \"no[31m\" }");
        assert_eq!(quoted(b"caf\xe9 \xff", &[], &[]), "caf\u{fffd} \u{fffd}");
        assert_eq!(quoted("\u{e9}".repeat(9999).as_bytes(), &[], &[]), "\u{e9}".repeat(300));
        assert_eq!(quoted(b" \n\0", &[], &[]), "");
    }

    #[test]
    fn keys_and_secrets_are_masked_however_they_are_written() {
        let keys = ["AAAA-BBBB-CCCC", "x/\"y\nz", "K"];
        assert_eq!(quoted(b"bad AAAA-BBBB-CCCC, AAAA-BBBB-CCCC", &keys[..2], &["hush"]), "bad ***, ***");
        assert_eq!(quoted(br#"{"got":"x/\"y\nz"} hush"#, &keys[..2], &["hush"]), r#"{"got":"***"} ***"#);
        assert_eq!(quoted(b"x/\"y\nz", &keys, &[]), "***");
        assert_eq!(quoted(b"a K", &keys, &[""]), "a ***", "however short");
        assert_eq!(quoted(b"AAAA-BBBB-CC...", &keys, &[]), "***...", "cut by the receiver");
        assert_eq!(quoted(b"AAAA is not one", &keys[..1], &[]), "AAAA is not one");
    }

    #[test]
    fn a_key_that_is_cut_here_stays_hidden() {
        let key = "0123456789".repeat(2000);
        for blanks in [0, 1, 295, READ_BYTES - 20, READ_BYTES - 9] {
            let body = format!("{}{key}", " ".repeat(blanks) + &"-".repeat(usize::from(blanks == 295) * 295));
            assert!(!quoted(body.as_bytes(), &[&key], &[]).contains("01234567"), "{blanks}");
        }
    }

    #[test]
    fn nothing_is_shown_that_could_not_be_masked_nor_by_debug() {
        assert_eq!(Answer::quote(b"x", &crate::sink::tests::message("no JSON"), []), None);
        assert_eq!(format!("{:?}", Answer::quote(b"x", &message(&[]), [])), "Some(***)");
    }
}
