//! The texts of a mail: templates over the message's own fields, parsed once and tried on a message of every type.
//!
//! Printing what a message does not have is an error, so that no customer gets a mail with a gap. What goes into which part of
//! a mail belongs to `letter`.

use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, Serde};
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value, context};
use serde_json::Value as Json;

use super::sample;
use crate::delivery::Message;

pub const DEFAULT_SUBJECT: &str = include_str!("default_subject.txt");
pub const DEFAULT_TEXT: &str = include_str!("default_text.txt");

/// A template's text, and what it is called in errors: its key, or its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub name: String,
    pub text: String,
}

/// All texts of a mail, as the settings have them.
#[derive(Clone, Debug, PartialEq)]
pub struct Sources {
    pub to: Source,
    pub subject: Source,
    pub text: Source,
    pub html: Option<Source>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    To,
    Subject,
    Text,
    Html,
}

impl Part {
    fn key(self) -> &'static str {
        match self {
            Self::To => "to",
            Self::Subject => "subject",
            Self::Text => "text",
            Self::Html => "html",
        }
    }
}

/// The templates, ready to be filled.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    /// By [`Part`], for errors.
    names: Vec<(Part, String)>,
}

impl Templates {
    /// The error names the template and the line.
    pub fn parse(sources: &Sources) -> Result<Self, String> {
        let Sources { to, subject, text, html } = sources;
        let to = Source { text: with_double_braces(&to.text), ..to.clone() };
        let mut all = vec![(Part::To, &to), (Part::Subject, subject), (Part::Text, text)];
        all.extend(html.as_ref().map(|html| (Part::Html, html)));
        let mut environment = environment();
        for (part, source) in &all {
            let added = environment.add_template_owned(part.key(), source.text.clone());
            added.map_err(|error| describe(&source.name, &error, true))?;
        }
        Ok(Self { environment, names: all.into_iter().map(|(part, source)| (part, source.name.clone())).collect() })
    }

    pub fn has(&self, part: Part) -> bool {
        self.names.iter().any(|(known, _)| *known == part)
    }

    /// Fills one part. The error quotes nothing of the message.
    pub fn fill(&self, part: Part, fields: &Value) -> Result<String, String> {
        self.render(part, fields).map_err(|error| describe(self.name(part), &error, false))
    }

    fn render(&self, part: Part, fields: &Value) -> Result<String, minijinja::Error> {
        self.environment.get_template(part.key())?.render(fields)
    }

    fn name(&self, part: Part) -> &str {
        self.names.iter().find(|(known, _)| *known == part).map_or(part.key(), |(_, name)| name)
    }

    /// Fills everything with a made-up message of each event. Only what is wrong whatever the metadata may hold is an error.
    pub fn try_on<'a>(&self, events: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
        for event in events {
            let message = sample::message(event);
            let body = serde_json::from_slice(&message.body).map_err(|error| error.to_string())?;
            let fields = fields(&message, body, Some(Value::from_object(Anything)));
            for (part, name) in &self.names {
                match self.render(*part, &fields) {
                    Err(error) if is_mistake(error.kind()) => {
                        let error = describe(name, &error, true);
                        let advice = "ask with {% if %}, or leave it out of events";
                        return Err(format!("{error}; tried on a {event}: {advice}"));
                    }
                    Ok(_) | Err(_) => {}
                }
            }
        }
        Ok(())
    }
}

/// Whether an error is the template's own: [`Anything`] can be everything but a list or a number.
fn is_mistake(kind: ErrorKind) -> bool {
    use ErrorKind::{
        MissingArgument, TemplateNotFound, TooManyArguments, UndefinedError, UnknownFilter, UnknownFunction,
        UnknownTest,
    };
    matches!(
        kind,
        UndefinedError
            | UnknownFilter
            | UnknownFunction
            | UnknownTest
            | MissingArgument
            | TooManyArguments
            | TemplateNotFound
    )
}

/// What one template is checked for when the settings are read.
pub fn check_syntax(text: &str) -> Result<(), String> {
    let checked = environment().template_from_str(text).map(drop);
    checked.map_err(|error| describe("", &error, true))
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_auto_escape_callback(|name| match name {
        "html" => AutoEscape::Html,
        _ => AutoEscape::None,
    });
    environment
}

/// What a template can use: the message's `id`, `type`, `time` and `data`, and short forms for what is used most.
pub fn fields(message: &Message, mut body: Json, metadata: Option<Value>) -> Value {
    let data = body["data"].take();
    let subscription = data["subscription"].clone();
    let metadata = metadata.unwrap_or_else(|| Value::from(Serde(&subscription["metadata"])));
    context! {
        id => message.id.to_string(),
        type => message.cloud_event_type(),
        event => message.event.clone(),
        time => message.queued_at.to_string(),
        data => Value::from(Serde(data)),
        subscription => Value::from(Serde(subscription)),
        metadata => metadata,
    }
}

/// `{metadata.email}` is what everybody writes first: in `to` it means `{{ metadata.email }}`.
pub fn with_double_braces(text: &str) -> String {
    let mut whole = String::new();
    let mut rest = text;
    while let Some(brace) = rest.find('{') {
        let (before, from) = rest.split_at(brace);
        whole.push_str(before);
        let name = from[1..].split_once('}').map(|(name, _)| name.trim());
        let is_path = |name: &&str| {
            let path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
            name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(path)
        };
        // A template's own `{{ … }}` and `{% … %}` stay whole.
        let (taken, written) = match (name.filter(is_path), from[1..].find('}')) {
            (Some(name), Some(end)) => (end + 2, format!("{{{{ {name} }}}}")),
            _ if from.starts_with("{{") => {
                let end = from.find("}}").map_or(from.len(), |end| end + 2);
                (end, from[..end].to_owned())
            }
            _ => (1, "{".to_owned()),
        };
        whole.push_str(&written);
        rest = &from[taken..];
    }
    whole + rest
}

/// Details may quote the message: they are for samples and syntax only.
fn describe(name: &str, error: &minijinja::Error, details: bool) -> String {
    let line = error.line().map(|line| format!(":{line}")).unwrap_or_default();
    let place = if name.is_empty() { line.trim_start_matches(':').to_owned() } else { format!("{name}{line}") };
    let what = match error.kind() {
        ErrorKind::UndefinedError => "prints what this message or its metadata does not have".to_owned(),
        kind => kind.to_string(),
    };
    match error.detail().filter(|_| details && error.kind() != ErrorKind::UndefinedError) {
        Some(detail) => format!("{place}: {what}: {detail}"),
        None => format!("{place}: {what}"),
    }
}

/// Whatever a template asks of it, it has.
#[derive(Debug)]
struct Anything;

impl Object for Anything {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from_dyn_object(self.clone()))
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("anything@example.com")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::EVENTS;

    fn sources(to: &str, text: &str) -> Sources {
        let source = |name: &str, text: &str| Source { name: name.to_owned(), text: text.to_owned() };
        Sources {
            to: source("to", to),
            subject: source("subject", DEFAULT_SUBJECT),
            text: source("text", text),
            html: Some(source("mail.html", "<p>{{ metadata.name }}</p>")),
        }
    }

    fn metadata(json: Json) -> Value {
        context! { metadata => Value::from(Serde(json)) }
    }

    #[test]
    fn the_recipient_may_be_written_with_single_braces() {
        for text in ["{metadata.email}", "{{ metadata.email }}", "{{metadata.email}}", "{ metadata.email }"] {
            let templates = Templates::parse(&sources(text, "")).unwrap();
            let fields = metadata(serde_json::json!({"email": "eve@example.com"}));
            assert_eq!(templates.fill(Part::To, &fields).unwrap(), "eve@example.com", "{text}");
        }
        assert_eq!(with_double_braces("a{b.c}d{{ {e} }}{% if x %}{"), "a{{ b.c }}d{{ {e} }}{% if x %}{");
    }

    #[test]
    fn html_is_escaped_and_text_is_not() {
        let templates = Templates::parse(&sources("x", "{{ metadata.name }}")).unwrap();
        let fields = metadata(serde_json::json!({"name": "<b>&\""}));
        assert_eq!(templates.fill(Part::Text, &fields).unwrap(), "<b>&\"");
        assert_eq!(templates.fill(Part::Html, &fields).unwrap(), "<p>&lt;b&gt;&amp;&quot;</p>");
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let error = Templates::parse(&sources("x", "one\n{{ two\n}} {% if %}")).unwrap_err();
        assert!(error.starts_with("text:3: syntax error: "), "{error}");
        assert!(check_syntax("{{ a | nosuchfilter }}").is_ok(), "known only when it is used");
        assert!(check_syntax("a\nb {{").unwrap_err().starts_with("2: syntax error"));
    }

    #[test]
    fn a_gap_is_an_error_that_quotes_nothing() {
        let templates = Templates::parse(&sources("{metadata.email}", "a\n{{ metadata.nmae }}")).unwrap();
        let fields = metadata(serde_json::json!({"name": "SECRET"}));
        let error = templates.fill(Part::Text, &fields).unwrap_err();
        assert_eq!(error, "text:2: prints what this message or its metadata does not have");
        let filter = Templates::parse(&sources("x", "{{ metadata.name | round }}")).unwrap();
        assert!(!filter.fill(Part::Text, &fields).unwrap_err().contains("SECRET"));
    }

    #[test]
    fn what_is_built_in_suits_every_event() {
        let mut plain = sources("{metadata.email}", DEFAULT_TEXT);
        plain.html = None;
        Templates::parse(&plain).unwrap().try_on(EVENTS).unwrap();
    }

    /// What is built in, for a delivery with these warnings and these lines.
    fn built_in(warnings: Json, lines: Option<Json>) -> String {
        let message = sample::message("renewal.ready");
        let mut body: Json = serde_json::from_slice(&message.body).unwrap();
        body["data"]["warnings"] = warnings;
        if let Some(lines) = lines {
            body["data"]["lines"] = lines;
            body["data"]["download_manager"] = Json::Null;
        }
        let templates = Templates::parse(&sources("{metadata.email}", DEFAULT_TEXT)).unwrap();
        templates.fill(Part::Text, &fields(&message, body, None)).unwrap()
    }

    #[test]
    fn what_is_built_in_promises_nothing_that_is_not_there() {
        let whole = built_in(serde_json::json!(["lines_unmatched"]), None);
        assert!(whole.starts_with("Your subscription has been renewed. Here is what you need.\n\nOrder: "), "{whole}");
        let partial = built_in(serde_json::json!(["partial"]), None);
        assert!(partial.contains("a part is still to come") && partial.contains("Licence key: AAAA"), "{partial}");
        assert!(!partial.contains("Here is what you need"), "{partial}");

        let line = serde_json::json!([{"product_ref": "1", "remark": "", "digital_locker_link": "", "files": [],
            "download_until": "2026-12-12",
            "serials": [{"data": " ", "encoding": "text", "charset": "utf-8", "file_name": ""}]}]);
        for lines in [line, serde_json::json!([])] {
            let empty = built_in(serde_json::json!(["partial", "empty"]), Some(lines));
            assert!(empty.starts_with("Your subscription has been renewed and paid. The licence key is not there yet"));
            assert!(empty.contains("as soon as the provider has it.\n\nOrder: ORDER-1"), "{empty}");
            for gap in ["Here is what", "Licence key:", "Downloads"] {
                assert!(!empty.contains(gap), "{gap} in {empty}");
            }
        }
    }

    #[test]
    fn templates_are_tried_on_the_events_that_come() {
        let only_ready = "{% for line in data.lines %}{{ line.remark }}{% endfor %}";
        let templates = Templates::parse(&sources("{metadata.email}", only_ready)).unwrap();
        templates.try_on(["renewal.ready"]).unwrap();
        let error = templates.try_on(["renewal.ready", "renewal.failed"]).unwrap_err();
        assert!(error.starts_with("text:1: ") && error.contains("tried on a renewal.failed: "), "{error}");
        let typo = Templates::parse(&sources("x", "{{ data.lnies }}")).unwrap();
        assert!(typo.try_on(["renewal.ready"]).is_err());
        let filter = Templates::parse(&sources("x", "{{ id | nosuchfilter }}"));
        assert!(filter.is_err() || filter.unwrap().try_on(["renewal.ready"]).is_err());
    }

    #[test]
    fn metadata_may_be_anything_when_tried() {
        for text in [
            "{{ metadata.a.b }} {% if metadata.c %}{{ metadata.d | upper }}{% endif %}",
            "{% for one in metadata.list %}{{ one.name }}{% endfor %}",
            "{{ metadata.price * 2 }} {{ metadata.names | join(', ') }} {{ metadata['e-mail'] }}",
        ] {
            Templates::parse(&sources("{metadata.email}", text)).unwrap().try_on(["renewal.ready"]).unwrap();
        }
    }
}
