//! Redis Streams: one `XADD` for each message. Its reply is the delivery, or that of `WAIT` where replicas are to have it too.
//!
//! All publishes under way share one connection, each without waiting for the others' replies. After any failure the next
//! publish connects anew: a lost connection, a server that has become a replica and a changed password need nothing else. One
//! that was kept may have been closed since by a server that closes idle ones: then the same publish connects anew.

mod answer;
pub mod settings;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, IntoConnectionInfo, RedisError, TlsCertificates};
use secrecy::{ExposeSecret, SecretString};

use self::answer::{Permitted, failure, permitted};
use super::{Failure, Sink, unreadable};
use crate::delivery::{AddressTemplate, Message};
use crate::tls::{self, Identity};

pub struct RedisConfig {
    /// `redis://`, `rediss://` or `unix://`, without user and password.
    pub url: String,
    /// The stream's key.
    pub stream: AddressTemplate,
    pub user: Option<String>,
    pub password: Option<SecretString>,
    pub ca_file: Option<PathBuf>,
    pub identity: Option<Identity>,
    pub wait: Option<Replicas>,
    /// `MAXLEN ~`: trims what may not have been read.
    pub max_len: Option<u64>,
    /// For a whole attempt, connecting included.
    pub timeout: Duration,
}

/// So many replicas must have a message before it counts as delivered.
#[derive(Clone, Copy, Debug)]
pub struct Replicas {
    pub count: u32,
    /// How long the server waits for them.
    pub timeout: Duration,
}

/// Why the sink cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("wait_timeout must be shorter than timeout, which includes it")]
    WaitTimeout,
    #[error(transparent)]
    Tls(#[from] tls::Error),
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the Redis client could not be built")]
    Client(#[source] RedisError),
}

pub struct Redis {
    client: Client,
    stream: AddressTemplate,
    wait: Option<Replicas>,
    max_len: Option<u64>,
    timeout: Duration,
    live: Mutex<Option<MultiplexedConnection>>,
    /// Held by the one publish that connects for all.
    connecting: tokio::sync::Mutex<()>,
}

impl Redis {
    /// Opens no connection.
    pub fn new(config: RedisConfig) -> Result<Self, Error> {
        if config.wait.is_some_and(|wait| wait.timeout >= config.timeout) {
            return Err(Error::WaitTimeout);
        }
        let client = client(&config)?;
        let RedisConfig { stream, wait, max_len, timeout, .. } = config;
        Ok(Self { client, stream, wait, max_len, timeout, live: Mutex::default(), connecting: Default::default() })
    }

    async fn within(&self, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
        let done = tokio::time::timeout(self.timeout, work).await;
        let result = done.unwrap_or_else(|_| Err(Failure::of_sink(format!("no answer within {:?}", self.timeout))));
        if result.is_err() {
            self.keep(None);
        }
        result
    }

    fn kept(&self) -> Option<MultiplexedConnection> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, connection: Option<MultiplexedConnection>) {
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    /// The one that is kept, or a new one.
    async fn connection(&self) -> Result<MultiplexedConnection, Failure> {
        if let Some(connection) = self.kept() {
            return Ok(connection);
        }
        let _turn = self.connecting.lock().await;
        if let Some(connection) = self.kept() {
            return Ok(connection); // another publish was faster
        }
        // The times are those of the whole attempt.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connected = self.client.get_multiplexed_async_connection_with_config(&config).await;
        let connection = connected.map_err(|error| Failure::surely_of_sink(answer::not_connected(&error)))?;
        self.keep(Some(connection.clone()));
        Ok(connection)
    }

    async fn append(&self, key: &str, message: &Message) -> Result<(), Failure> {
        let add = self.add(key, message);
        let is_kept = self.kept().is_some();
        let mut connection = self.connection().await?;
        let mut added = add.exec_async(&mut connection).await;
        if is_kept && added.as_ref().is_err_and(RedisError::is_io_error) {
            // What it has added all the same has the same id.
            self.keep(None);
            connection = self.connection().await?;
            added = add.exec_async(&mut connection).await;
        }
        added.map_err(|error| failure(&error))?;
        match self.wait {
            Some(wait) => replicated(&mut connection, wait).await,
            None => Ok(()),
        }
    }

    fn add(&self, key: &str, message: &Message) -> Cmd {
        let mut add = redis::cmd("XADD");
        add.arg(key);
        if let Some(max_len) = self.max_len {
            add.arg("MAXLEN").arg("~").arg(max_len);
        }
        add.arg("*").arg("id").arg(message.id.to_string()).arg("type").arg(message.cloud_event_type());
        add.arg("body").arg(&message.body[..]);
        add
    }

    async fn look(&self) -> Result<(), Failure> {
        let mut connection = self.connection().await?;
        // An id that no entry may have: the server looks at everything else first, and adds nothing.
        let key = self.stream.filled("renewald.renewal.ready.v1", "provider", "territory");
        let answered = redis::cmd("XADD").arg(&key).arg("0-0").arg("id").arg("check").exec_async(&mut connection).await;
        match permitted(answered) {
            Permitted::Yes => {}
            // The placeholders' names were made up here.
            Permitted::NotThisKey(_) if !self.stream.is_fixed() => {}
            Permitted::NotThisKey(reason) | Permitted::No(reason) => return Err(Failure::of_sink(reason)),
        }
        // Whoever may only add may not be allowed to ask.
        let kind = redis::cmd("TYPE").arg(&key).query_async::<String>(&mut connection).await;
        if let Ok(kind) = kind
            && !matches!(kind.as_str(), "none" | "stream")
        {
            let reason = format!("the key {key:?} holds a {kind:?}, not a stream: choose another with stream");
            return Err(Failure::of_sink(reason));
        }
        match self.wait {
            Some(wait) => replicated(&mut connection, wait).await,
            None => Ok(()),
        }
    }
}

impl Sink for Redis {
    async fn publish(&self, message: &Message) -> Result<(), Failure> {
        let key = self.stream.render(message).map_err(unreadable)?;
        self.within(self.append(&key, message)).await
    }

    async fn check(&self) -> Result<(), String> {
        self.within(self.look()).await.map_err(|failure| failure.to_string())
    }
}

/// What was added stays where replicas are missing: the repeat has the same id.
async fn replicated(connection: &mut MultiplexedConnection, wait: Replicas) -> Result<(), Failure> {
    let milliseconds = u64::try_from(wait.timeout.as_millis()).unwrap_or(u64::MAX);
    let asked = redis::cmd("WAIT").arg(wait.count).arg(milliseconds).query_async::<u32>(connection).await;
    match asked.map_err(|error| failure(&error))? {
        have if have >= wait.count => Ok(()),
        have => Err(Failure::of_sink(format!("{have} of {} replicas have it after {:?}", wait.count, wait.timeout))),
    }
}

fn client(config: &RedisConfig) -> Result<Client, Error> {
    let info = config.url.as_str().into_connection_info().map_err(Error::Client)?;
    let mut account = info.redis_settings().clone();
    if let Some(user) = &config.user {
        account = account.set_username(user);
    }
    if let Some(password) = &config.password {
        account = account.set_password(password.expose_secret());
    }
    let info = info.set_redis_settings(account.set_lib_name("renewald", env!("CARGO_PKG_VERSION")));
    if !config.url.starts_with("rediss:") {
        return Client::open(info).map_err(Error::Client);
    }
    tls::install_crypto_provider();
    // Its errors name the file; those of the client do not.
    tls::client_config(config.ca_file.as_deref(), config.identity.as_ref())?;
    let certificates = TlsCertificates {
        client_tls: config.identity.as_ref().map(client_certificate).transpose()?,
        root_cert: Some(tls::trusted_pem(config.ca_file.as_deref())?),
    };
    Client::build_with_tls(info, certificates).map_err(Error::Client)
}

fn client_certificate(identity: &Identity) -> Result<ClientTlsConfig, Error> {
    let read = |path: &PathBuf| std::fs::read(path).map_err(|source| Error::Read { path: path.clone(), source });
    Ok(ClientTlsConfig { client_cert: read(&identity.certificate)?, client_key: read(&identity.key)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> RedisConfig {
        RedisConfig {
            url: url.to_owned(),
            stream: AddressTemplate::parse("renewals").unwrap(),
            user: Some("shop".to_owned()),
            password: Some("hush".to_owned().into()),
            ca_file: None,
            identity: None,
            wait: None,
            max_len: None,
            timeout: Duration::from_secs(5),
        }
    }

    #[test]
    fn addresses_of_every_kind_make_a_client() {
        for url in
            ["redis://127.0.0.1", "redis://[::1]:7000/3", "rediss://redis.example:6380/0", "unix:///run/redis.sock"]
        {
            let sink = Redis::new(config(url)).unwrap();
            let account = sink.client.get_connection_info().redis_settings();
            assert_eq!((account.username(), account.password()), (Some("shop"), Some("hush")), "{url}");
        }
        let sink = Redis::new(config("redis://[::1]:7000/3")).unwrap();
        assert_eq!(sink.client.get_connection_info().redis_settings().db(), 3);
    }

    #[test]
    fn the_wait_for_replicas_fits_into_an_attempt() {
        let mut config = config("redis://127.0.0.1");
        config.wait = Some(Replicas { count: 1, timeout: config.timeout });
        assert!(matches!(Redis::new(config), Err(Error::WaitTimeout)));
    }

    #[test]
    fn an_entry_has_an_id_a_type_and_the_body() {
        let message = super::super::tests::message("{\"a\":1}");
        let plain = Redis::new(config("redis://127.0.0.1")).unwrap();
        let packed = |sink: &Redis| String::from_utf8(sink.add("renewals", &message).get_packed_command()).unwrap();
        let words: Vec<_> = packed(&plain).lines().filter(|l| !l.starts_with(['$'])).map(str::to_owned).collect();
        let id = message.id.to_string();
        let type_ = "renewald.renewal.ready.v1";
        assert_eq!(words[1..], ["XADD", "renewals", "*", "id", id.as_str(), "type", type_, "body", "{\"a\":1}"]);
        let trimmed = Redis::new(RedisConfig { max_len: Some(9), ..config("redis://127.0.0.1") }).unwrap();
        assert!(packed(&trimmed).contains("MAXLEN\r\n$1\r\n~\r\n$1\r\n9\r\n"));
    }
}
