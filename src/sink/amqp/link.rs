//! One connection to a broker, and a channel for each publish under way.
//!
//! lapin hands an unroutable message that the broker returns to whichever publish of the channel is confirmed next. So no
//! channel has more than one publish under way; that also keeps a refusal, which closes the channel, from the others.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::tcp::{AsyncTcpStream, RustlsConnector};
use lapin::types::ShortString;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind, Event};
use secrecy::ExposeSecret;

use super::{AmqpConfig, Login, Server};
use crate::sink::Failure;
use crate::text::visible;

const CONTENT_TOO_LARGE: u16 = 311;
const NOT_FOUND: u16 = 404;
/// RabbitMQ's answer to a message above its `max_message_size`.
const PRECONDITION_FAILED: u16 = 406;

pub struct Link {
    connection: Connection,
    /// Open, in confirm mode, with nothing under way.
    idle: Mutex<Vec<Channel>>,
    health: Mutex<Health>,
    /// A message has met no exchange, or no queue behind it.
    led_nowhere: AtomicBool,
    _socket: Socket,
}

struct Health {
    events: Pin<Box<dyn Stream<Item = Event> + Send>>,
    /// Why the broker takes nothing at present, in its words.
    blocked: Option<String>,
}

/// Ends the connection when dropped: lapin's thread would wait for a silent broker for ever.
#[derive(Default)]
struct Socket(Arc<Mutex<Option<TcpStream>>>);

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(stream) = lock(&self.0).take() {
            stream.shutdown(Shutdown::Both).ok(); // it may be gone already
        }
    }
}

impl Link {
    /// To the first node that lets us in, each with its share of the time.
    pub async fn connect(config: &AmqpConfig) -> Result<Self, String> {
        let share = config.timeout / u32::try_from(config.servers.len()).unwrap_or(1).max(1);
        let mut reasons = Vec::new();
        for server in &config.servers {
            let reason = match tokio::time::timeout(share, Self::open(config, server)).await {
                Ok(Ok(link)) => return Ok(link),
                Ok(Err(reason)) => reason,
                Err(_) => format!("no answer within {share:?}"),
            };
            let node = if config.servers.len() > 1 { format!("{}: ", server.host) } else { String::new() };
            reasons.push(format!("{node}{reason}"));
        }
        Err(format!("could not connect: {}", reasons.join("; ")))
    }

    async fn open(config: &AmqpConfig, server: &Server) -> Result<Self, String> {
        let found = tokio::net::lookup_host((server.host.as_str(), server.port)).await;
        let addresses: Vec<SocketAddr> = found.map_err(|error| error.to_string())?.collect();
        let socket = Socket::default();
        let (kept, host) = (Arc::downgrade(&socket.0), server.host.clone());
        let connector = server.encrypted.then(|| RustlsConnector::from(config.tls.clone()));
        let runtime = lapin::runtime::default_runtime().map_err(|error| describe(&error))?;
        let named = ConnectionProperties::default().with_connection_name("renewald".into());
        let open = Connection::connector(
            uri(config, server),
            runtime,
            async move |_, runtime| {
                let stream = AsyncTcpStream::connect(&runtime, addresses.clone()).await?;
                // Nobody waits any more: this thread must not either.
                let kept = kept.upgrade().ok_or(io::ErrorKind::ConnectionAborted).map_err(io::Error::from)?;
                if let AsyncTcpStream::Plain(plain) = &stream {
                    *lock(&kept) = Some(plain.get_ref().as_fd().try_clone_to_owned()?.into());
                }
                match &connector {
                    Some(connector) => Ok(stream.into_rustls(connector, &host).await?),
                    None => Ok(stream),
                }
            },
            named,
        );
        let connection = open.await.map_err(|error| describe(&error))?;
        let health = Health { events: Box::pin(connection.events_listener()), blocked: None };
        let (idle, health) = (Mutex::default(), Mutex::new(health));
        Ok(Self { connection, idle, health, led_nowhere: AtomicBool::new(false), _socket: socket })
    }

    pub fn is_alive(&self) -> bool {
        self.connection.status().connected()
    }

    /// Whether something that was there, or was made, for messages is gone.
    pub fn has_led_nowhere(&self) -> bool {
        self.led_nowhere.load(Ordering::Relaxed)
    }

    /// Why the broker takes nothing at present, in words for people.
    pub fn blocked(&self) -> Option<String> {
        let mut health = lock(&self.health);
        while let Some(Some(event)) = health.events.next().now_or_never() {
            match event {
                Event::ConnectionBlocked(reason) => health.blocked = Some(reason),
                Event::ConnectionUnblocked => health.blocked = None,
                _ => {}
            }
        }
        health.blocked.as_ref().map(|reason| format!("the broker is blocked: {}", visible(reason)))
    }

    /// A channel in confirm mode with nothing under way.
    pub async fn channel(&self) -> lapin::Result<Channel> {
        let idle = lock(&self.idle).pop();
        if let Some(channel) = idle.filter(|channel| channel.status().connected()) {
            return Ok(channel);
        }
        let channel = self.connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    }

    /// Waits for the confirm. When dropped meanwhile, the channel goes with it, and with the channel a late confirm.
    pub async fn publish(
        &self,
        exchange: &ShortString,
        key: ShortString,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<(), Failure> {
        if let Some(reason) = self.blocked() {
            return Err(Failure::surely_of_sink(reason));
        }
        let channel = self.channel().await.map_err(|error| Failure::surely_of_sink(describe(&error)))?;
        let mandatory = BasicPublishOptions { mandatory: true, ..Default::default() };
        let sent = channel.basic_publish(exchange.clone(), key.clone(), mandatory, body, properties).await;
        let confirmed = match sent {
            Ok(confirm) => confirm.await,
            Err(error) => Err(error),
        };
        if leads_nowhere(&confirmed) {
            self.led_nowhere.store(true, Ordering::Relaxed);
        }
        let outcome = judge(confirmed, exchange.as_str(), key.as_str());
        if channel.status().connected() {
            lock(&self.idle).push(channel);
        }
        outcome
    }

    /// Takes leave, so that the broker's log names no lost connection.
    pub async fn close(&self) {
        if let Err(error) = self.connection.close(200, "OK".into()).await {
            tracing::debug!("connection not closed in order: {}", describe(&error));
        }
    }
}

fn leads_nowhere(confirmed: &lapin::Result<Confirmation>) -> bool {
    match confirmed {
        Ok(Confirmation::Ack(returned) | Confirmation::Nack(returned)) => returned.is_some(),
        Ok(Confirmation::NotRequested) => false,
        Err(error) => is_not_found(error),
    }
}

/// Whose fault an outcome is.
fn judge(confirmed: lapin::Result<Confirmation>, exchange: &str, key: &str) -> Result<(), Failure> {
    match confirmed {
        Ok(Confirmation::Ack(None)) => Ok(()),
        Ok(Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned))) => {
            let text = visible(returned.reply_text.as_str());
            let exchange = if exchange.is_empty() { "the default exchange".to_owned() } else { exchange.to_owned() };
            Err(Failure::of_sink(format!("unroutable ({text}): no queue is bound to {exchange} for the key {key:?}")))
        }
        Ok(Confirmation::Nack(None)) => {
            Err(Failure::of_sink("the broker did not take it (nack): a queue is full or in trouble".to_owned()))
        }
        Ok(Confirmation::NotRequested) => Err(Failure::of_sink("the broker confirms nothing".to_owned())),
        Err(error) if matches!(code(&error), Some(CONTENT_TOO_LARGE | PRECONDITION_FAILED)) => {
            Err(Failure::of_message(describe(&error)))
        }
        Err(error) => Err(Failure::of_sink(describe(&error))),
    }
}

fn uri(config: &AmqpConfig, server: &Server) -> AMQPUri {
    let (userinfo, mechanism) = match &config.login {
        Login::Password { user, password } => {
            let password = password.expose_secret().to_owned();
            (AMQPUserInfo { username: user.clone(), password }, SASLMechanism::Plain)
        }
        Login::Certificate => (AMQPUserInfo::default(), SASLMechanism::External),
    };
    AMQPUri {
        scheme: if server.encrypted { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
        authority: AMQPAuthority { userinfo, host: server.host.clone(), port: server.port },
        vhost: config.vhost.as_str().to_owned(),
        query: AMQPQueryString {
            heartbeat: Some(heartbeat(config.heartbeat)),
            auth_mechanism: Some(mechanism),
            ..Default::default()
        },
    }
}

fn heartbeat(every: Duration) -> u16 {
    u16::try_from(every.as_secs()).unwrap_or(u16::MAX)
}

pub fn is_not_found(error: &lapin::Error) -> bool {
    code(error) == Some(NOT_FOUND)
}

fn code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

/// What went wrong, in words for people and without control characters.
pub fn describe(error: &lapin::Error) -> String {
    match error.kind() {
        // RabbitMQ's text begins with the code's name.
        ErrorKind::ProtocolError(error) => visible(error.get_message().as_str()),
        ErrorKind::IOError(error) => visible(&error.to_string()),
        ErrorKind::InvalidConnectionState(_) | ErrorKind::InvalidChannelState(..) => "connection lost".to_owned(),
        _ => visible(&error.to_string()),
    }
}

fn lock<T: ?Sized>(owned: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held, and a list of channels is never half changed.
    owned.lock().unwrap_or_else(PoisonError::into_inner)
}
