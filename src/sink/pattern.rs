//! Names that differ by message: a stream's key with placeholders for whom and what the message is about.

use super::Failure;
use crate::delivery::Message;

/// What may stand between braces.
pub const PLACEHOLDERS: [&str; 3] = ["provider", "territory", "type"];

/// Text with placeholders, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Provider,
    Territory,
    Type,
}

impl Pattern {
    /// Takes `{provider}`, `{territory}` and `{type}` out of the text. The error says what else stands there.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(brace) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(brace);
            let inner = from.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let Some((name, after)) = inner else { return Err("has a brace without its other".to_owned()) };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(match name {
                "provider" => Part::Provider,
                "territory" => Part::Territory,
                "type" => Part::Type,
                _ => {
                    let known = PLACEHOLDERS.map(|name| format!("{{{name}}}")).join(", ");
                    return Err(format!("{{{name}}} is unknown; known are {known}"));
                }
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// The text, where it is the same for every message.
    pub fn fixed(&self) -> Option<&str> {
        match &self.0[..] {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text for this message.
    pub fn fill(&self, message: &Message) -> Result<String, Failure> {
        let asks = self.0.iter().any(|part| matches!(part, Part::Provider | Part::Territory));
        let about = if asks { Some(message.about().map_err(unreadable)?) } else { None };
        let (provider, territory) = about.map(|about| (about.provider, about.territory)).unwrap_or_default();
        Ok(self.fill_with(&provider, &territory, &message.cloud_event_type()))
    }

    pub fn fill_with(&self, provider: &str, territory: &str, cloud_event_type: &str) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Provider => provider.to_owned(),
            Part::Territory => territory.to_owned(),
            Part::Type => cloud_event_type.to_owned(),
        };
        self.0.iter().map(part).collect()
    }
}

/// Without the parser's words, which may quote the body.
pub(super) fn unreadable(_: serde_json::Error) -> Failure {
    Failure::Final { reason: "the body is not the message that its schema describes".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled() {
        let fill = |text| Pattern::parse(text).unwrap().fill_with("nexway", "eu", "renewald.renewal.ready.v1");
        assert_eq!(fill("renewals"), "renewals");
        assert_eq!(fill("{territory}"), "eu");
        assert_eq!(fill("r:{provider}:{territory}:{type}!"), "r:nexway:eu:renewald.renewal.ready.v1!");
        assert_eq!(Pattern::parse("renewals").unwrap().fixed(), Some("renewals"));
        assert_eq!(Pattern::parse("{type}").unwrap().fixed(), None);
    }

    #[test]
    fn what_is_no_placeholder_is_named() {
        for (text, part) in
            [("{teritory}", "{teritory} is unknown"), ("a{type", "brace"), ("a}", "brace"), ("{}", "{}")]
        {
            let error = Pattern::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn only_what_is_asked_for_is_read_from_the_body() {
        let message = super::super::tests::message("no JSON");
        assert_eq!(Pattern::parse("a.{type}").unwrap().fill(&message).unwrap(), "a.renewald.renewal.ready.v1");
        let failure = Pattern::parse("{provider}").unwrap().fill(&message).unwrap_err();
        assert!(matches!(failure, Failure::Final { .. }), "{failure:?}");
    }
}
