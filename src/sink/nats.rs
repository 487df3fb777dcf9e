//! NATS JetStream: a message is delivered once a stream has acknowledged it with its sequence.
//!
//! The connection is in `nats/link.rs`.

mod link;
pub mod settings;

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::{ConnectOptions, HeaderMap, Request, RequestError, RequestErrorKind, ServerAddr};
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout_at};

use self::link::Link;
use super::{Failure, Sink};
use crate::delivery::{AddressTemplate, Message};
use crate::text::visible;

#[derive(Clone)]
pub struct NatsConfig {
    /// `nats://` or `tls://`: the servers of one cluster, tried in this order.
    pub urls: Vec<String>,
    pub auth: Auth,
    pub tls: ClientConfig,
    /// Whether plain text is refused whatever the scheme.
    pub require_tls: bool,
    pub subject: AddressTemplate,
    /// The stream that must take the messages; none = whichever has the subject.
    pub stream: Option<String>,
    /// What comes, by the names of the settings.
    pub events: Vec<String>,
    /// For a whole attempt, connecting included.
    pub timeout: Duration,
}

/// How we say who we are.
#[derive(Clone)]
pub enum Auth {
    None,
    Password {
        user: String,
        password: SecretString,
    },
    Token(SecretString),
    /// The content of a credentials file.
    Credentials(SecretString),
}

/// Why the sink cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("url is not a nats or tls URL")]
    Url,
    #[error("credentials_file does not hold a JWT and an NKey seed")] // its parser's error is not shown
    Credentials,
}

pub struct Nats {
    servers: Vec<ServerAddr>,
    options: ConnectOptions,
    subject: AddressTemplate,
    stream: Option<String>,
    events: Vec<String>,
    timeout: Duration,
    /// One connection for all publishes, made by the first that needs it.
    link: Mutex<Option<Arc<Link>>>,
}

impl Nats {
    /// Opens no connection.
    pub fn new(config: NatsConfig) -> Result<Self, Error> {
        let parsed = config.urls.iter().map(|url| url.parse::<ServerAddr>().map_err(|_| Error::Url));
        let servers = parsed.collect::<Result<Vec<_>, _>>()?;
        let share = config.timeout / u32::try_from(servers.len()).unwrap_or(1).max(1);
        let options = ConnectOptions::new()
            .name("renewald")
            .tls_client_config(config.tls)
            .require_tls(config.require_tls)
            .connection_timeout(share)
            .retain_servers_order()
            // After a lost connection each server is tried once; then the next publish makes a new connection.
            .max_reconnects(servers.len());
        let options = with_auth(options, config.auth)?;
        let NatsConfig { subject, stream, events, timeout, .. } = config;
        Ok(Self { servers, options, subject, stream, events, timeout, link: Mutex::new(None) })
    }

    /// The connection that is there, or a new one.
    async fn link(&self) -> Result<Arc<Link>, String> {
        let mut held = self.link.lock().await;
        if let Some(link) = held.as_ref().filter(|link| link.is_alive()) {
            return Ok(link.clone());
        }
        *held = None;
        let link = Arc::new(Link::connect(&self.servers, self.options.clone()).await?);
        *held = Some(link.clone());
        Ok(link)
    }

    /// The next publish makes a new connection.
    async fn forget(&self, link: &Arc<Link>) {
        let mut held = self.link.lock().await;
        if held.as_ref().is_some_and(|held| Arc::ptr_eq(held, link)) {
            *held = None;
        }
    }

    fn request(&self, message: &Message) -> Request {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", message.deduplication_id());
        headers.insert("Content-Type", "application/cloudevents+json");
        if let Some(stream) = &self.stream {
            headers.insert("Nats-Expected-Stream", stream.as_str());
        }
        Request::new().headers(headers).payload(message.body.clone().into()).timeout(None)
    }

    /// Asks JetStream whether a stream takes the messages of each event, and whether we may publish them.
    async fn look(&self) -> Result<(), String> {
        let link = Link::connect(&self.servers, self.options.clone()).await?;
        for subject in self.subject.wildcards(&self.events) {
            let streams = link.streams(&subject).await?;
            match &self.stream {
                None if streams.is_empty() => return Err(format!("no stream takes the subject {subject}")),
                Some(stream) if !streams.contains(stream) => {
                    let found = if streams.is_empty() { "none".to_owned() } else { visible(&streams.join(", ")) };
                    return Err(format!("stream {stream} does not take the subject {subject}; that take it: {found}"));
                }
                _ => {}
            }
            // Permissions are looked at for whole subjects.
            if !subject.contains('*') {
                may_publish(&link, &subject).await?;
            }
        }
        Ok(())
    }
}

impl Sink for Nats {
    async fn publish(&self, message: &Message) -> Result<(), Failure> {
        let deadline = Instant::now() + self.timeout;
        let unreadable = |_| Failure::unsent("the body names no subscription".to_owned());
        let subject = self.subject.render(message).map_err(unreadable)?;
        let link = match timeout_at(deadline, self.link()).await {
            Ok(link) => link.map_err(Failure::surely_of_sink)?,
            Err(_) => return Err(Failure::surely_of_sink(format!("not connected within {:?}", self.timeout))),
        };
        let reason = tokio::select! {
            biased;
            answer = link.request(&subject, self.request(message)) => return judge(answer, &subject),
            reason = link.refused(&subject) => reason,
            () = sleep_until(deadline) => format!("not acknowledged within {:?}", self.timeout),
        };
        self.forget(&link).await;
        Err(Failure::of_sink(reason))
    }

    async fn check(&self) -> Result<(), String> {
        let looked = tokio::time::timeout(self.timeout, self.look()).await;
        looked.map_err(|_| format!("no answer within {:?}", self.timeout))?
    }
}

fn with_auth(options: ConnectOptions, auth: Auth) -> Result<ConnectOptions, Error> {
    Ok(match auth {
        Auth::None => options,
        Auth::Password { user, password } => options.user_and_password(user, password.expose_secret().to_owned()),
        Auth::Token(token) => options.token(token.expose_secret().to_owned()),
        Auth::Credentials(text) => {
            // Its parser wants an end for the last line, which a secret that was read has no more.
            let text = SecretString::from(format!("{}\n", text.expose_secret()));
            options.credentials(text.expose_secret()).map_err(|_| Error::Credentials)?
        }
    })
}

/// Whose fault an answer is. A duplicate has been stored before: it is delivered.
fn judge(answer: Result<async_nats::Message, RequestError>, subject: &str) -> Result<(), Failure> {
    let answer = answer.map_err(|error| match error.kind() {
        RequestErrorKind::NoResponders => {
            Failure::of_sink(format!("no stream takes the subject {subject}, or JetStream is off"))
        }
        RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::InvalidSubject => {
            Failure::of_message(crate::chain(&error))
        }
        RequestErrorKind::TimedOut | RequestErrorKind::Other => Failure::of_sink("connection lost".to_owned()),
    })?;
    match serde_json::from_slice(&answer.payload) {
        Ok(Response::Ok(PublishAck { stream, sequence, .. })) if !stream.is_empty() && sequence > 0 => Ok(()),
        Ok(Response::Err { error }) if error.error_code() == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => {
            Err(Failure::of_message(visible(&error.to_string())))
        }
        Ok(Response::Err { error }) => {
            Err(Failure::of_sink(format!("JetStream refused it: {}", visible(&error.to_string()))))
        }
        Ok(Response::Ok(_)) | Err(_) => Err(Failure::of_sink(format!("what answers on {subject} is no stream"))),
    }
}

/// Publishes what no stream takes: it expects a stream of another name. Who may not publish is told so, and nothing is stored.
async fn may_publish(link: &Link, subject: &str) -> Result<(), String> {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Expected-Stream", "renewald-check-of-permission");
    tokio::select! {
        biased;
        _ = link.request(subject, Request::new().headers(headers).timeout(None)) => Ok(()),
        reason = link.refused(subject) => Err(reason),
    }
}
