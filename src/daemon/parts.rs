//! Makes the parts as the settings have them: clients and sinks. Secrets are read here; nothing is asked or sent.

mod brokers;

use std::time::Duration;

use super::Error;
use crate::budget::Budget;
use crate::environment::is_journal;
use crate::provider;
use crate::provider::connection::{ConfigError, Connection};
use crate::settings::{self, SinkKind};
use crate::sink::exec::{Exec, ExecConfig};
use crate::sink::file::FileSink;
use crate::sink::redis::{Redis, RedisConfig, Replicas};
use crate::sink::smtp::{Smtp, SmtpConfig};
use crate::sink::stdout::StdoutSink;
use crate::sink::webhook::{Webhook, WebhookConfig};
use crate::sink::{Configured, exec, redis, smtp, webhook};
use crate::tls::CONNECTION_LIFE;
use crate::vault::{Key, Vault};

/// The account's client, its secrets read. Nothing is asked yet.
pub fn client(name: &str, provider: &settings::Provider, budget: Budget) -> Result<provider::Configured, Error> {
    let connection = Connection {
        timeout: provider.timeout,
        connect_timeout: provider.connect_timeout,
        ca_file: provider.ca_file.clone(),
        proxy: provider.proxy.clone(),
        connection_life: CONNECTION_LIFE,
        concurrency: provider.concurrency,
    };
    provider.kind.client(connection, budget).map_err(|error| match error {
        ConfigError::Secret(error) => Error::Secret(error),
        source => Error::Provider { name: name.to_owned(), source },
    })
}

/// What opens and seals payloads, its keys read.
pub fn vault(settings: &settings::Store) -> Vault {
    let read = |secret: &Option<settings::Secret>| {
        let bytes = secret.as_ref().map(settings::Secret::read_encryption_key).transpose();
        bytes.map(|bytes| bytes.map(|bytes| Key::new(&bytes))).map_err(|error| crate::chain(&error))
    };
    Vault::with_keys(read(&settings.encryption_key), read(&settings.encryption_key_previous))
}

/// The sink as configured; `None` for the built-in queue, whose messages wait in the store until somebody pulls them.
pub fn sink(name: &str, configured: &settings::Sink) -> Result<Option<Configured>, Error> {
    let timeout = configured.timeout;
    let failed = |reason: String| Error::Sink { name: name.to_owned(), reason };
    Ok(Some(match &configured.kind {
        SinkKind::Webhook(settings) => {
            let webhook = Webhook::new(webhook(settings, timeout)?);
            Configured::Webhook(webhook.map_err(|error| failed(crate::chain(&error)))?)
        }
        SinkKind::Amqp(settings) => Configured::Amqp(brokers::amqp(name, settings, timeout)?),
        SinkKind::Nats(settings) => Configured::Nats(Box::new(brokers::nats(name, settings, configured)?)),
        SinkKind::Redis(settings) => {
            let redis = Redis::new(redis(settings, timeout)?);
            Configured::Redis(Box::new(redis.map_err(|error| failed(crate::chain(&error)))?))
        }
        SinkKind::Smtp(settings) => {
            let smtp = Smtp::new(smtp(settings, configured)?);
            Configured::Smtp(Box::new(smtp.map_err(|error| failed(crate::chain(&error)))?))
        }
        SinkKind::Exec(settings) => Configured::Exec(Exec::new(exec(settings, timeout))),
        SinkKind::File { path } => Configured::File(FileSink::new(path.clone(), timeout)),
        SinkKind::Stdout if is_journal(std::io::stdout()) => {
            return Err(failed("stdout is the journal: licence keys would land in a log".into()));
        }
        SinkKind::Stdout => Configured::Stdout(StdoutSink::new(timeout).map_err(|error| failed(error.to_string()))?),
        SinkKind::Queue => return Ok(None),
    }))
}

fn webhook(settings: &webhook::settings::Webhook, timeout: Duration) -> Result<WebhookConfig, Error> {
    // Judged here, so that the error names the key.
    let read = |secret: &settings::Secret| secret.read_signing_key().and_then(|_| secret.read());
    let secrets = settings.signing_secrets().into_iter().map(read).collect::<Result<_, _>>()?;
    Ok(WebhookConfig {
        url: settings.url.clone(),
        secrets,
        headers: settings.headers.values()?,
        timeout,
        ca_file: settings.tls.ca.clone(),
        identity: settings.tls.identity()?,
        proxy: settings.proxy.clone(),
        connection_life: CONNECTION_LIFE,
    })
}

fn redis(settings: &redis::settings::Redis, timeout: Duration) -> Result<RedisConfig, Error> {
    let wait = Replicas { count: settings.wait_replicas, timeout: settings.wait_timeout };
    Ok(RedisConfig {
        url: settings.url.clone(),
        stream: settings.stream.clone(),
        user: settings.user.clone(),
        password: settings.password.as_ref().map(settings::Secret::read).transpose()?,
        ca_file: settings.tls.ca.clone(),
        identity: settings.tls.identity()?,
        wait: (wait.count > 0).then_some(wait),
        max_len: settings.max_len,
        timeout,
    })
}

fn smtp(settings: &smtp::settings::Smtp, sink: &settings::Sink) -> Result<SmtpConfig, Error> {
    Ok(SmtpConfig {
        host: settings.host.clone(),
        port: settings.port,
        encryption: settings.encryption,
        ca_file: settings.ca_file.clone(),
        account: match &settings.account {
            Some((user, password)) => Some((user.clone(), password.read()?)),
            None => None,
        },
        from: settings.from.clone(),
        reply_to: settings.reply_to.clone(),
        templates: settings.templates.clone(),
        events: sink.taken_events(),
        timeout: sink.timeout,
        connection_life: CONNECTION_LIFE,
    })
}

fn exec(settings: &exec::settings::Exec, timeout: Duration) -> ExecConfig {
    let exec::settings::Exec { program, arguments, environment } = settings.clone();
    ExecConfig { program, arguments, environment, timeout }
}
