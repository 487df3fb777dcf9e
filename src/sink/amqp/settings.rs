//! The keys of a sink of kind `amqp`.

use std::time::Duration;

use reqwest::Url;

use crate::delivery::AddressTemplate;
use crate::settings::reader::{SECOND, Section};
use crate::settings::secret::Secret;
use crate::sink::broker::{self, TlsFiles};

#[derive(Clone, Debug, PartialEq)]
pub struct Amqp {
    /// The nodes of one broker, tried in this order.
    pub urls: Vec<Url>,
    /// User and password; none = the certificate where there is one, otherwise the broker's guest.
    pub account: Option<(String, Secret)>,
    pub vhost: String,
    /// Empty = the default exchange, which routes to the queue of the key's name.
    pub exchange: String,
    pub exchange_type: ExchangeType,
    pub routing_key: AddressTemplate,
    pub queue: Option<String>,
    /// Whether exchange, queue and binding are made where they are missing.
    pub declare: bool,
    pub heartbeat: Duration,
    pub tls: TlsFiles,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeType {
    Topic,
    Direct,
    Fanout,
}

impl Amqp {
    pub fn secrets(&self) -> Vec<&Secret> {
        self.account.iter().map(|(_, password)| password).chain(self.tls.secret()).collect()
    }
}

pub(crate) const KEYS: &[&str] = &[
    "url",
    "user",
    "password",
    "password_file",
    "vhost",
    "exchange",
    "exchange_type",
    "routing_key",
    "queue",
    "declare",
    "heartbeat",
    broker::CA_FILE,
    broker::CERTIFICATE_FILE,
    broker::KEY_FILE,
];

const SCHEMES: [&str; 2] = ["amqp", "amqps"];

/// The protocol's limit for the names of exchanges, queues and routing keys.
const NAME_BYTES: usize = 255;

pub(crate) fn read(section: &mut Section) -> Amqp {
    let urls = broker::urls(section, SCHEMES, "amqps://rabbit.example");
    broker::warn_of_plain_text(section, &urls, SCHEMES);
    let tls = TlsFiles::read(section);
    if !tls.is_empty() && urls.iter().any(|url| url.scheme() == "amqp") {
        section.problem("url", "must begin with amqps:// where certificates are given");
    }
    let exchange = name(section, "exchange").unwrap_or_default();
    let queue = name(section, "queue");
    let default = match &queue {
        Some(queue) if exchange.is_empty() => AddressTemplate::literal(queue),
        _ => AddressTemplate::of_type(),
    };
    let routing_key = broker::template(section, "routing_key", default);
    if routing_key.longest().len() > NAME_BYTES {
        section.problem("routing_key", format!("may become longer than {NAME_BYTES} bytes, the protocol's limit"));
    }
    let amqp = Amqp {
        urls,
        account: broker::account(section),
        vhost: name(section, "vhost").unwrap_or_else(|| "/".to_owned()),
        exchange_type: exchange_type(section),
        exchange,
        routing_key,
        queue,
        declare: section.flag("declare", false),
        heartbeat: section.duration("heartbeat", 30 * SECOND, SECOND..=600 * SECOND),
        tls,
    };
    check_route(section, &amqp);
    amqp
}

fn name(section: &mut Section, key: &str) -> Option<String> {
    let name = section.text(key).ok().flatten()?;
    if name.len() > NAME_BYTES {
        section.problem(key, format!("must be at most {NAME_BYTES} bytes long"));
        return None;
    }
    Some(name)
}

fn exchange_type(section: &mut Section) -> ExchangeType {
    match section.text("exchange_type").ok().flatten().as_deref() {
        None | Some("topic") => ExchangeType::Topic,
        Some("direct") => ExchangeType::Direct,
        Some("fanout") => ExchangeType::Fanout,
        Some(other) => {
            section.problem("exchange_type", format!("{other:?} is unknown; known are topic, direct, fanout"));
            ExchangeType::Topic
        }
    }
}

fn check_route(section: &mut Section, amqp: &Amqp) {
    if amqp.exchange.is_empty() && amqp.queue.is_none() {
        section.problem("exchange", "missing; give exchange, or queue alone to send straight to that queue");
    }
    if !amqp.declare {
        return;
    }
    if amqp.queue.is_none() {
        section.problem("queue", "missing; declare = true makes a queue, give its name");
    }
    if amqp.exchange_type == ExchangeType::Direct && !amqp.exchange.is_empty() && !amqp.routing_key.is_fixed() {
        let text = "direct exchanges know no patterns: use topic, or a routing_key without placeholders";
        section.problem("exchange_type", text);
    }
}
