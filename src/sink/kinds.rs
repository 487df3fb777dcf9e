//! The kinds of sinks, as `kind` in the settings names them, and whose keys are whose.

use std::path::{Path, PathBuf};

use super::{amqp, exec, nats, redis, smtp, webhook};
use crate::settings::problem::nearest;
use crate::settings::reader::Section;
use crate::settings::secret::Secret;

/// One kind, with the keys that only it has.
#[derive(Clone, Debug, PartialEq)]
pub enum SinkKind {
    Webhook(webhook::settings::Webhook),
    Amqp(amqp::settings::Amqp),
    Nats(nats::settings::Nats),
    Redis(redis::settings::Redis),
    Smtp(Box<smtp::settings::Smtp>),
    Exec(exec::settings::Exec),
    File { path: PathBuf },
    Stdout,
    Queue,
}

impl SinkKind {
    /// Every secret that this sink uses.
    pub fn secrets(&self) -> Vec<&Secret> {
        match self {
            Self::Webhook(webhook) => webhook.secrets(),
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
            Self::Webhook(webhook) => webhook.tls.plain(),
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
    ("webhook", webhook::settings::KEYS),
    ("amqp", amqp::settings::KEYS),
    ("nats", nats::settings::KEYS),
    ("redis", redis::settings::KEYS),
    ("smtp", smtp::settings::KEYS),
    ("exec", exec::settings::KEYS),
    ("file", &["path"]),
    ("stdout", &[]),
    ("queue", &[]),
];

/// Takes the keys of one kind out of what is left of a sink's table, and reports what is wrong with them.
pub(crate) fn read(mut section: Section) -> SinkKind {
    let names = KINDS.map(|(name, _)| name);
    let name = section.required("kind", &format!("one of {}", names.join(", "))).unwrap_or_default();
    let kind = match name.as_str() {
        "webhook" => SinkKind::Webhook(webhook::settings::read(&mut section)),
        "amqp" => SinkKind::Amqp(amqp::settings::read(&mut section)),
        "nats" => SinkKind::Nats(nats::settings::read(&mut section)),
        "redis" => SinkKind::Redis(redis::settings::read(&mut section)),
        "smtp" => SinkKind::Smtp(Box::new(smtp::settings::read(&mut section))),
        "exec" => SinkKind::Exec(exec::settings::read(&mut section)),
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
