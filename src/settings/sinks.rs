//! The receivers of messages: what every sink has, whatever its kind; the keys of each kind are read beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::problem::nearest;
use super::reader::{SECOND, Section, TIMEOUTS};
use super::rules::concurrency;
use super::{DEFAULT_EVENTS, EVENTS};
use crate::sink::kinds::{self, SinkKind};

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
    let kind = kinds::read(section);
    Sink { kind, events, territories, concurrency, timeout, max_attempts }
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
