//! Names that a message is addressed by at a broker, made of what it is about: `renewals.{territory}`.
//!
//! Which characters such a name may hold is the broker's matter.

use std::collections::BTreeSet;

use super::{EVENTS, Message, cloud_event_type};

/// The placeholders that a template knows.
const KNOWN: &str = "{type}, {provider}, {territory}";

/// The longest name of a provider or territory that settings allow.
const NAME_BYTES: usize = 32;

/// A routing key or subject with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressTemplate(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Type,
    Provider,
    Territory,
}

impl AddressTemplate {
    /// The error says what is wrong, for the settings.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            parts.push(Part::Text(rest[..at].to_owned()));
            let end = rest[at..].find('}').filter(|_| rest[at..].starts_with('{'));
            let end = end.ok_or_else(|| format!("a brace without its counterpart; known placeholders are {KNOWN}"))?;
            parts.push(match &rest[at..=at + end] {
                "{type}" => Part::Type,
                "{provider}" => Part::Provider,
                "{territory}" => Part::Territory,
                unknown => return Err(format!("unknown placeholder {unknown:?}; known are {KNOWN}")),
            });
            rest = &rest[at + end + 1..];
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Self(parts))
    }

    /// Of this text as it is, braces included.
    pub fn literal(text: &str) -> Self {
        Self(vec![Part::Text(text.to_owned())])
    }

    /// `{type}`
    pub fn of_type() -> Self {
        Self(vec![Part::Type])
    }

    /// The message's address. An error only where its body is not a message of ours.
    pub fn render(&self, message: &Message) -> Result<String, serde_json::Error> {
        let kind = message.cloud_event_type();
        if !self.0.iter().any(|part| matches!(part, Part::Provider | Part::Territory)) {
            return Ok(self.filled(&kind, "", ""));
        }
        let about = message.about()?;
        Ok(self.filled(&kind, &about.provider, &about.territory))
    }

    /// With these in the place of the placeholders.
    pub fn filled(&self, kind: &str, provider: &str, territory: &str) -> String {
        let filled = self.0.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Type => kind,
            Part::Provider => provider,
            Part::Territory => territory,
        });
        filled.collect()
    }

    /// For each of these events, with `*` in the place of provider and territory.
    pub fn wildcards(&self, events: &[String]) -> BTreeSet<String> {
        let filled = events.iter().map(|event| self.filled(&cloud_event_type(event), "*", "*"));
        filled
            .map(|subject| {
                let words: Vec<_> =
                    subject.split('.').map(|word| if word.contains('*') { "*" } else { word }).collect();
                words.join(".")
            })
            .collect()
    }

    /// An example, for checking what the broker would think of it; as long as the longest.
    pub fn longest(&self) -> String {
        let name = "x".repeat(NAME_BYTES);
        let kinds = EVENTS.map(cloud_event_type);
        let longest = kinds.iter().max_by_key(|kind| kind.len()).map_or("", String::as_str);
        self.filled(longest, &name, &name)
    }

    /// Whether every message has the same address.
    pub fn is_fixed(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Text(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn message(body: &str) -> Message {
        Message {
            id: uuid::Uuid::nil(),
            event: "renewal.ready".to_owned(),
            queued_at: Timestamp::from_unix(0),
            body: body.into(),
            replays: 0,
        }
    }

    #[test]
    fn what_is_not_known_before_there_is_a_message_is_a_wildcard() {
        let events = ["renewal.ready", "renewal.failed"].map(str::to_owned);
        let subjects = |template| Vec::from_iter(AddressTemplate::parse(template).unwrap().wildcards(&events));
        assert_eq!(subjects("{type}"), ["renewald.renewal.failed.v1", "renewald.renewal.ready.v1"]);
        assert_eq!(subjects("shop.{territory}.x-{provider}"), ["shop.*.*"]);
    }

    #[test]
    fn placeholders_are_filled_from_the_message() {
        let body = r#"{"data":{"subscription":{"provider":"nexway","territory":"eu","partner_order_number":"A",
                       "subscription_id":"1","partner_reference":null,"metadata":{}}}}"#;
        let rendered = |template| AddressTemplate::parse(template).unwrap().render(&message(body)).unwrap();
        assert_eq!(rendered("{provider}.{territory}.{type}"), "nexway.eu.renewald.renewal.ready.v1");
        assert_eq!(rendered("a.{territory}{territory}-b"), "a.eueu-b");
        assert_eq!(rendered(""), "");
    }

    #[test]
    fn only_what_is_needed_is_read() {
        let parse = |template| AddressTemplate::parse(template).unwrap();
        assert_eq!(parse("x.{type}").render(&message("")).unwrap(), "x.renewald.renewal.ready.v1");
        assert!(parse("{territory}").render(&message("")).is_err());
        assert!(parse("x.y").is_fixed() && !parse("x.{type}").is_fixed());
    }

    #[test]
    fn a_wrong_placeholder_is_named_with_the_known_ones() {
        let error = |template| AddressTemplate::parse(template).unwrap_err();
        let known = "known are {type}, {provider}, {territory}";
        assert_eq!(error("a.{teritory}"), format!("unknown placeholder \"{{teritory}}\"; {known}"));
        for bad in ["{type", "type}", "{", "a{}}b"] {
            assert!(error(bad).contains("known"), "{bad}");
        }
    }

    #[test]
    fn the_longest_is_no_shorter_than_any() {
        let longest = AddressTemplate::parse("{type}.{provider}").unwrap().longest();
        assert_eq!(longest.len(), "renewald.subscription.status_changed.v1".len() + 1 + 32);
    }
}
