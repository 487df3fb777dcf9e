//! Builds the sinks that talk to brokers, their secrets read.

use std::sync::Arc;
use std::time::Duration;

use lapin::ExchangeKind;
use lapin::types::ShortString;
use rustls::ClientConfig;

use crate::daemon::Error;
use crate::settings;
use crate::sink::amqp::settings::{self as amqp, ExchangeType};
use crate::sink::amqp::{Amqp, AmqpConfig, Login, Server};
use crate::sink::broker::TlsFiles;
use crate::sink::nats::settings::{self as nats, NatsAuth};
use crate::sink::nats::{Auth, Nats, NatsConfig};
use crate::tls;

/// What a RabbitMQ lets in from its own machine when no account is given.
const GUEST: &str = "guest";

pub(super) fn amqp(name: &str, settings: &amqp::Amqp, timeout: Duration) -> Result<Amqp, Error> {
    let login = match &settings.account {
        Some((user, password)) => Login::Password { user: user.clone(), password: password.read()? },
        None if settings.tls.identity.is_some() => Login::Certificate,
        None => Login::Password { user: GUEST.to_owned(), password: GUEST.to_owned().into() },
    };
    let servers = settings.urls.iter().map(|url| {
        let encrypted = url.scheme() == "amqps";
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        Server { host: host.to_owned(), port: url.port().unwrap_or(if encrypted { 5671 } else { 5672 }), encrypted }
    });
    let kind = match settings.exchange_type {
        ExchangeType::Topic => ExchangeKind::Topic,
        ExchangeType::Direct => ExchangeKind::Direct,
        ExchangeType::Fanout => ExchangeKind::Fanout,
    };
    let short = |text: &String| ShortString::try_new(text.as_str()).map_err(|error| failed(name, &error));
    Ok(Amqp::new(AmqpConfig {
        servers: servers.collect(),
        login,
        tls: Arc::new(client_config(name, &settings.tls)?),
        vhost: short(&settings.vhost)?,
        heartbeat: settings.heartbeat,
        exchange: short(&settings.exchange)?,
        routing_key: settings.routing_key.clone(),
        queue: settings.queue.as_ref().map(short).transpose()?,
        declare: settings.declare.then_some(kind),
        timeout,
    }))
}

pub(super) fn nats(name: &str, settings: &nats::Nats, sink: &settings::Sink) -> Result<Nats, Error> {
    let auth = match &settings.auth {
        NatsAuth::None => Auth::None,
        NatsAuth::Password { user, password } => Auth::Password { user: user.clone(), password: password.read()? },
        NatsAuth::Token(token) => Auth::Token(token.read()?),
        NatsAuth::Credentials(credentials) => Auth::Credentials(credentials.read()?),
    };
    let config = NatsConfig {
        urls: settings.urls.iter().map(ToString::to_string).collect(),
        auth,
        tls: client_config(name, &settings.tls)?,
        require_tls: settings.tls.ca.is_some() || settings.tls.identity.is_some(),
        subject: settings.subject.clone(),
        stream: settings.stream.clone(),
        events: sink.taken_events(),
        timeout: sink.timeout,
    };
    Nats::new(config).map_err(|error| failed(name, &error))
}

fn client_config(name: &str, files: &TlsFiles) -> Result<ClientConfig, Error> {
    let identity = files.identity()?;
    tls::client_config(files.ca.as_deref(), identity.as_ref()).map_err(|error| failed(name, &error))
}

fn failed(name: &str, error: &dyn std::error::Error) -> Error {
    Error::Sink { name: name.to_owned(), reason: crate::chain(error) }
}
