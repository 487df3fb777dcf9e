//! AMQP 0-9-1 (RabbitMQ): persistent, mandatory messages, delivered once the broker has confirmed them.
//!
//! The connection and its channels are in `amqp/link.rs`.

mod link;
pub mod settings;

use std::sync::Arc;
use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{BasicProperties, ExchangeKind};
use rustls::ClientConfig;
use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use self::link::{Link, describe};
use super::{Failure, Sink};
use crate::delivery::{AddressTemplate, Message};

const PERSISTENT: u8 = 2;

/// What RabbitMQ's deduplication plugin looks at; others ignore it.
const DEDUPLICATION_HEADER: &str = "x-deduplication-header";

#[derive(Clone)]
pub struct AmqpConfig {
    /// The nodes of one broker, tried in this order.
    pub servers: Vec<Server>,
    pub login: Login,
    pub tls: Arc<ClientConfig>,
    pub vhost: ShortString,
    pub heartbeat: Duration,
    /// Empty = the default exchange.
    pub exchange: ShortString,
    pub routing_key: AddressTemplate,
    pub queue: Option<ShortString>,
    /// Make what is missing, with an exchange of this kind: on every new connection, and once a message found it missing.
    pub declare: Option<ExchangeKind>,
    /// For a whole attempt, connecting included.
    pub timeout: Duration,
}

#[derive(Clone)]
pub struct Server {
    pub host: String,
    pub port: u16,
    pub encrypted: bool,
}

#[derive(Clone)]
pub enum Login {
    Password {
        user: String,
        password: SecretString,
    },
    /// By the client certificate (SASL EXTERNAL).
    Certificate,
}

pub struct Amqp {
    config: AmqpConfig,
    /// One connection for all publishes, made by the first that needs it.
    link: Mutex<Option<Arc<Link>>>,
}

impl Amqp {
    /// Opens no connection.
    pub fn new(config: AmqpConfig) -> Self {
        Self { config, link: Mutex::new(None) }
    }

    /// The connection that is there, or a new one.
    async fn link(&self) -> Result<Arc<Link>, String> {
        let mut held = self.link.lock().await;
        if let Some(link) = held.as_ref().filter(|link| link.is_alive() && !self.must_declare_again(link)) {
            return Ok(link.clone());
        }
        *held = None;
        let link = Arc::new(Link::connect(&self.config).await?);
        if let Some(kind) = &self.config.declare {
            self.declare(&link, kind).await.map_err(|error| describe(&error))?;
        }
        *held = Some(link.clone());
        Ok(link)
    }

    /// What was made may have been removed since.
    fn must_declare_again(&self, link: &Link) -> bool {
        self.config.declare.is_some() && link.has_led_nowhere()
    }

    /// The next publish makes a new connection.
    async fn forget(&self, link: &Arc<Link>) {
        let mut held = self.link.lock().await;
        if held.as_ref().is_some_and(|held| Arc::ptr_eq(held, link)) {
            *held = None;
        }
    }

    async fn declare(&self, link: &Link, kind: &ExchangeKind) -> lapin::Result<()> {
        let AmqpConfig { exchange, queue, .. } = &self.config;
        let channel = link.channel().await?;
        if !exchange.as_str().is_empty() {
            let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
            channel.exchange_declare(exchange.clone(), kind.clone(), durable, FieldTable::default()).await?;
        }
        let Some(queue) = queue else { return Ok(()) };
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(queue.clone(), durable, FieldTable::default()).await?;
        if !exchange.as_str().is_empty() {
            let key = binding_key(&self.config.routing_key, kind);
            let options = QueueBindOptions::default();
            channel.queue_bind(queue.clone(), exchange.clone(), key, options, FieldTable::default()).await?;
        }
        Ok(())
    }

    fn properties(message: &Message) -> BasicProperties {
        let deduplication = AMQPValue::LongString(LongString::from(message.deduplication_id()));
        let mut headers = FieldTable::default();
        headers.insert(DEDUPLICATION_HEADER.into(), deduplication);
        BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/cloudevents+json".into())
            .with_message_id(message.id.to_string().into())
            .with_type(ShortString::try_new(message.cloud_event_type()).unwrap_or_default())
            .with_app_id("renewald".into())
            .with_timestamp(u64::try_from(message.queued_at.as_unix()).unwrap_or_default())
            .with_headers(headers)
    }

    /// What is missing, each a text for people. Nothing is made, also where `declare` is set: then nothing needs to be there.
    async fn missing(&self) -> Result<Vec<String>, String> {
        let link = Link::connect(&self.config).await?;
        let AmqpConfig { exchange, queue, declare, .. } = &self.config;
        let mut missing = Vec::new();
        if !exchange.as_str().is_empty() {
            let passive = ExchangeDeclareOptions { passive: true, ..Default::default() };
            let channel = link.channel().await.map_err(|error| describe(&error))?;
            let kind = declare.clone().unwrap_or_default();
            let found = channel.exchange_declare(exchange.clone(), kind, passive, FieldTable::default()).await;
            missing.extend(found.err());
        }
        if let Some(queue) = queue {
            let passive = QueueDeclareOptions { passive: true, ..Default::default() };
            // A refusal has closed the channel before.
            let channel = link.channel().await.map_err(|error| describe(&error))?;
            missing.extend(channel.queue_declare(queue.clone(), passive, FieldTable::default()).await.err());
        }
        let is_there = missing.is_empty();
        if declare.is_some() {
            missing.retain(|error| !link::is_not_found(error));
        }
        let mut missing: Vec<_> = missing.iter().map(describe).collect();
        if is_there {
            missing.extend(self.may_write(&link).await.err());
        }
        link.close().await;
        Ok(missing)
    }

    /// Whether the broker lets us publish. It looks at permissions first and then refuses this, because no expiration reads so.
    async fn may_write(&self, link: &Link) -> Result<(), String> {
        let AmqpConfig { exchange, routing_key, .. } = &self.config;
        let key = ShortString::try_new(routing_key.filled("renewald.renewal.ready.v1", "", "")).unwrap_or_default();
        let unacceptable = BasicProperties::default().with_expiration("never".into());
        match link.publish(exchange, key, &[], unacceptable).await {
            // Which keys are used is not known before there is a message.
            Err(Failure::Sink { reason, .. }) if reason.contains("access to topic") && !routing_key.is_fixed() => {
                Ok(())
            }
            Err(Failure::Sink { reason, .. }) => Err(reason),
            Ok(()) | Err(Failure::Message { .. } | Failure::Final { .. } | Failure::Unsent { .. }) => Ok(()),
        }
    }
}

impl Sink for Amqp {
    async fn publish(&self, message: &Message) -> Result<(), Failure> {
        let deadline = Instant::now() + self.config.timeout;
        let key = routing_key(&self.config.routing_key, message)?;
        let link = match timeout_at(deadline, self.link()).await {
            Ok(link) => link.map_err(Failure::surely_of_sink)?,
            Err(_) => return Err(Failure::surely_of_sink(format!("not connected within {:?}", self.config.timeout))),
        };
        let published = link.publish(&self.config.exchange, key, &message.body, Self::properties(message));
        if let Ok(outcome) = timeout_at(deadline, published).await {
            return outcome;
        }
        if let Some(reason) = link.blocked() {
            // It says when it works again, and the message may still be confirmed to nobody: it is sent again under its id.
            return Err(Failure::surely_of_sink(reason));
        }
        self.forget(&link).await;
        Err(Failure::of_sink(format!("not confirmed within {:?}", self.config.timeout)))
    }

    async fn check(&self) -> Result<(), String> {
        let timeout = self.config.timeout;
        let missing = tokio::time::timeout(timeout, self.missing()).await;
        let missing = missing.map_err(|_| format!("no answer within {timeout:?}"))??;
        if missing.is_empty() { Ok(()) } else { Err(missing.join("; ")) }
    }
}

fn routing_key(template: &AddressTemplate, message: &Message) -> Result<ShortString, Failure> {
    let unreadable = |_| Failure::unsent("the body names no subscription".to_owned());
    let key = template.render(message).map_err(unreadable)?;
    ShortString::try_new(key).map_err(|error| Failure::of_sink(format!("routing_key: {error}")))
}

/// The binding that takes every key of the template. Placeholders hold dots, so what has one in a word takes any number.
fn binding_key(template: &AddressTemplate, kind: &ExchangeKind) -> ShortString {
    let key = if *kind != ExchangeKind::Topic || template.is_fixed() {
        template.filled("", "", "")
    } else {
        let words = template.filled("\0", "\0", "\0");
        let words: Vec<_> = words.split('.').map(|word| if word.contains('\0') { "#" } else { word }).collect();
        words.join(".")
    };
    // No longer than what the settings have measured.
    ShortString::try_new(key).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn to(port: u16) -> Amqp {
        Amqp::new(AmqpConfig {
            servers: vec![Server { host: "127.0.0.1".to_owned(), port, encrypted: false }],
            login: Login::Certificate,
            tls: Arc::new(crate::tls::client_config(None, None).unwrap()),
            vhost: "/".into(),
            heartbeat: Duration::from_secs(30),
            exchange: ShortString::default(),
            routing_key: AddressTemplate::literal("q"),
            queue: None,
            declare: None,
            timeout: Duration::from_millis(300),
        })
    }

    fn threads_of_lapin() -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name.starts_with("lapin")).count()
    }

    /// The only test in this process that uses lapin.
    #[tokio::test]
    async fn a_broker_that_says_nothing_costs_the_timeout_and_no_thread() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let amqp = to(silent.local_addr().unwrap().port());
        let message = crate::sink::tests::message("{}");
        for _ in 0..3 {
            let failure = amqp.publish(&message).await.unwrap_err();
            assert!(matches!(&failure, Failure::Sink { .. }), "{failure:?}");
            assert!(failure.to_string().contains("within 300ms"), "{failure}");
        }
        while threads_of_lapin() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn a_binding_takes_every_key_of_its_template() {
        let key = |template| binding_key(&AddressTemplate::parse(template).unwrap(), &ExchangeKind::Topic);
        assert_eq!(key("{type}").as_str(), "#");
        assert_eq!(key("shop.{territory}.{type}").as_str(), "shop.#.#");
        assert_eq!(key("shop.x-{provider}").as_str(), "shop.#");
        assert_eq!(key("renewals").as_str(), "renewals");
        let fanout = binding_key(&AddressTemplate::parse("{type}").unwrap(), &ExchangeKind::Fanout);
        assert_eq!(fanout.as_str(), "");
    }
}
