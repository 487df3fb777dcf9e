//! The receivers of messages: what every sink has, and what each kind adds in a file of its own below.

pub mod amqp;
pub mod broker;
mod exec;
pub mod nats;
mod redis;
mod smtp;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use amqp::Amqp;
pub use exec::Exec;
pub use nats::Nats;
pub use redis::Redis;
pub use smtp::Smtp;
pub use webhook::Webhook;

use super::problem::nearest;
use super::reader::Section;
use super::rules::{SECOND, TIMEOUTS, concurrency};
use super::{DEFAULT_EVENTS, EVENTS, Secret};

/// One receiver of messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    pub kind: SinkKind,
    /// Without prefix and version: `renewal.ready`; `None` = all.
    pub events: Option<Vec<String>>,
    /// Empty = all.
    pub territories: Vec<String>,
    pub concurrency: usize,
    pub timeout: Duration,
    pub max_attempts: u32,
}

/// One kind, with the keys that only it has.
#[derive(Clone, Debug, PartialEq)]
pub enum SinkKind {
    Webhook(Webhook),
    Amqp(Amqp),
    Nats(Nats),
    Redis(Redis),
    Smtp(Box<Smtp>),
    Exec(Exec),
    File { path: PathBuf },
    Stdout,
    Queue,
}

impl Sink {
    /// The names of all events that are meant for the sink.
    pub fn taken_events(&self) -> Vec<String> {
        self.events.clone().unwrap_or_else(|| EVENTS.map(str::to_owned).to_vec())
    }

    /// Whether a message of this event and territory is meant for the sink.
    pub fn takes(&self, event: &str, territory: &str) -> bool {
        self.events.as_ref().is_none_or(|events| events.iter().any(|taken| taken == event))
            && (self.territories.is_empty() || self.territories.iter().any(|taken| taken == territory))
    }
}

impl SinkKind {
    /// Every secret that this sink uses.
    pub fn secrets(&self) -> Vec<&Secret> {
        match self {
            Self::Webhook(webhook) => webhook.signing_secrets(),
            Self::Amqp(amqp) => amqp.secrets(),
            Self::Nats(nats) => nats.secrets(),
            Self::Redis(redis) => redis.secrets(),
            Self::Smtp(smtp) => smtp.account.iter().map(|(_, password)| password).collect(),
            Self::Exec(_) | Self::File { .. } | Self::Stdout | Self::Queue => Vec::new(),
        }
    }

    /// Every other file that a connection is made with: authorities and certificates, which are renewed now and then.
    pub fn certificates(&self) -> Vec<&Path> {
        match self {
            Self::Webhook(webhook) => webhook.ca_file.iter().map(PathBuf::as_path).collect(),
            Self::Amqp(amqp) => amqp.tls.plain(),
            Self::Nats(nats) => nats.tls.plain(),
            Self::Redis(redis) => redis.tls.plain(),
            Self::Smtp(smtp) => smtp.ca_file.iter().map(PathBuf::as_path).collect(),
            Self::Exec(_) | Self::File { .. } | Self::Stdout | Self::Queue => Vec::new(),
        }
    }
}

/// The kinds of sinks, each with the keys that only it has.
const KINDS: [(&str, &[&str]); 9] = [
    ("webhook", webhook::KEYS),
    ("amqp", amqp::KEYS),
    ("nats", nats::KEYS),
    ("redis", redis::KEYS),
    ("smtp", smtp::KEYS),
    ("exec", exec::KEYS),
    ("file", &["path"]),
    ("stdout", &[]),
    ("queue", &[]),
];

/// All of them, and the built-in queue where there is none. Without `territories` it is not known which there are.
pub(super) fn read(mut section: Section, territories: Option<&BTreeSet<&str>>) -> BTreeMap<String, Sink> {
    let mut sinks = BTreeMap::new();
    for name in section.names() {
        section.check_name(&name);
        sinks.insert(name.clone(), sink(section.section(&name), territories));
    }
    section.finish();
    if sinks.is_empty() {
        sinks.insert("queue".to_owned(), implied_queue());
    }
    sinks
}

/// The embedded default: every setting as if a sink of kind `queue` were written without any.
fn implied_queue() -> Sink {
    Sink {
        kind: SinkKind::Queue,
        events: Some(default_events()),
        territories: Vec::new(),
        concurrency: 8,
        timeout: 15 * SECOND,
        max_attempts: 36,
    }
}

fn default_events() -> Vec<String> {
    DEFAULT_EVENTS.map(str::to_owned).to_vec()
}

fn sink(mut section: Section, known: Option<&BTreeSet<&str>>) -> Sink {
    let events = events(&mut section);
    let territories = territories(&mut section, known);
    let concurrency = concurrency(&mut section, 8);
    let timeout = section.duration("timeout", 15 * SECOND, TIMEOUTS);
    let max_attempts = u32::try_from(section.integer("max_attempts", 36, 1..=10_000)).unwrap_or(36);
    let kind = kind(section);
    Sink { kind, events, territories, concurrency, timeout, max_attempts }
}

fn kind(mut section: Section) -> SinkKind {
    let names = KINDS.map(|(name, _)| name);
    let name = section.required("kind", &format!("one of {}", names.join(", "))).unwrap_or_default();
    let kind = match name.as_str() {
        "webhook" => SinkKind::Webhook(webhook::read(&mut section)),
        "amqp" => SinkKind::Amqp(amqp::read(&mut section)),
        "nats" => SinkKind::Nats(nats::read(&mut section)),
        "redis" => SinkKind::Redis(redis::read(&mut section)),
        "smtp" => SinkKind::Smtp(Box::new(smtp::read(&mut section))),
        "exec" => SinkKind::Exec(exec::read(&mut section)),
        "file" => {
            let path = section.required("path", "the file to append messages to").unwrap_or_default();
            SinkKind::File { path: section.report.origins.directory().join(path) }
        }
        "stdout" => SinkKind::Stdout,
        "queue" => SinkKind::Queue,
        other => {
            if !other.is_empty() {
                let near = nearest(other, names).map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
                section.problem("kind", format!("{other:?} is unknown{near}; known are {}", names.join(", ")));
            }
            section.ignore_rest();
            SinkKind::Queue
        }
    };
    section.finish_with(|key| {
        let owners = KINDS.iter().filter(|(_, keys)| keys.contains(&key)).map(|(owner, _)| format!("{owner:?}"));
        let owners = owners.collect::<Vec<_>>().join(", ");
        (!owners.is_empty()).then(|| format!("a key of kind {owners}; this sink is of kind {name:?}"))
    });
    kind
}

fn events(section: &mut Section) -> Option<Vec<String>> {
    let Some(events) = section.list("events") else {
        return Some(default_events());
    };
    if events.is_empty() {
        section
            .problem("events", "names no event: nothing would be sent; name some, \"*\" for all, or remove the sink");
    }
    for event in events.iter().filter(|event| *event != "*" && !EVENTS.contains(&event.as_str())) {
        let near = nearest(event, EVENTS).map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
        section.problem("events", format!("unknown event {event:?}{near}; known are {}, \"*\"", EVENTS.join(", ")));
    }
    if events.iter().any(|event| event == "*") { None } else { Some(events) }
}

fn territories(section: &mut Section, known: Option<&BTreeSet<&str>>) -> Vec<String> {
    let territories = section.list("territories").unwrap_or_default();
    let unknown = |name: &&String| *name != "*" && known.is_some_and(|known| !known.contains(name.as_str()));
    for name in territories.iter().filter(unknown) {
        let list = known.into_iter().flatten().copied().collect::<Vec<_>>().join(", ");
        section.problem("territories", format!("unknown territory {name:?}; configured are: {list}"));
    }
    if territories.iter().any(|name| name == "*") { Vec::new() } else { territories }
}
