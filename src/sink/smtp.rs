//! Mail: one for each message, and delivered is the server's 250 after it. The server then has it; whether it ever arrives is
//! between the server and the recipient's.
//!
//! `template` and `letter` write the mail to an `address`, `conversation` says it to the server. Here connections are kept from one mail to the
//! next, as many as there are publishes under way at once.

mod address;
mod conversation;
mod letter;
mod sample;
pub mod settings;
pub mod template;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use self::conversation::{Security, Server, Trouble, forget, hand_over, look};
use self::letter::{Letter, Writer};
use self::template::{Sources, Templates};
use super::{Failure, Sink};
use crate::clock::Timestamp;
use crate::delivery::Message;
use crate::tls;

/// A connection that was idle for longer is not used again: many servers hang up after a minute or two.
const LONGEST_IDLE: Duration = Duration::from_secs(45);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    Starttls,
    Tls,
    None,
}

pub struct SmtpConfig {
    pub host: String,
    pub port: u16,
    pub encryption: Encryption,
    pub ca_file: Option<PathBuf>,
    /// User and password.
    pub account: Option<(String, SecretString)>,
    pub from: Mailbox,
    pub reply_to: Option<Mailbox>,
    pub templates: Sources,
    /// Those that the sink takes: the templates are tried on each.
    pub events: Vec<String>,
    /// For a whole attempt, connecting included.
    pub timeout: Duration,
}

/// Why the sink cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("template {0}")]
    Template(String),
    #[error(transparent)]
    Tls(#[from] tls::Error),
    #[error("TLS cannot be set up")]
    Parameters(#[source] lettre::transport::smtp::Error),
}

pub struct Smtp {
    server: Server,
    writer: Writer,
    timeout: Duration,
    idle: Mutex<Vec<(Instant, AsyncSmtpConnection)>>,
}

impl Smtp {
    /// Tries the templates; opens no connection.
    pub fn new(config: SmtpConfig) -> Result<Self, Error> {
        let templates = Templates::parse(&config.templates).map_err(Error::Template)?;
        templates.try_on(config.events.iter().map(String::as_str)).map_err(Error::Template)?;
        let security = security(&config)?;
        let SmtpConfig { host, port, account, from, reply_to, timeout, .. } = config;
        let credentials = account.map(|(user, password)| Credentials::new(user, password.expose_secret().to_owned()));
        let server = Server { host, port, security, credentials };
        Ok(Self { server, writer: Writer { from, reply_to, templates }, timeout, idle: Mutex::default() })
    }

    async fn send(&self, letter: &Letter) -> Result<(), Failure> {
        if let Some(connection) = self.take_idle() {
            match self.send_over(connection, letter).await {
                Ok(()) => return Ok(()),
                Err(Trouble::Failed(failure)) => return Err(failure),
                Err(Trouble::Lost(_)) => {} // closed while nobody looked
            }
        }
        let connection = self.server.connect().await.map_err(Failure::surely_of_sink)?;
        self.send_over(connection, letter).await.map_err(|trouble| match trouble {
            Trouble::Failed(failure) => failure,
            Trouble::Lost(reason) => Failure::of_sink(reason),
        })
    }

    /// Keeps the connection where it can serve the next mail, too.
    async fn send_over(&self, mut connection: AsyncSmtpConnection, letter: &Letter) -> Result<(), Trouble> {
        let outcome = hand_over(&mut connection, &self.writer, letter).await;
        let is_usable = match &outcome {
            Ok(()) => true,
            Err(Trouble::Failed(_)) => forget(&mut connection).await.is_ok(),
            Err(Trouble::Lost(_)) => false,
        };
        if is_usable {
            self.keep(connection);
        }
        outcome
    }

    fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(since, _)| since.elapsed() < LONGEST_IDLE);
        idle.pop().map(|(_, connection)| connection)
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), connection));
    }

    async fn look(&self) -> Result<(), String> {
        let mut connection = self.server.connect().await?;
        look(&mut connection, &self.writer).await?;
        self.keep(connection);
        Ok(())
    }
}

impl Sink for Smtp {
    async fn publish(&self, message: &Message) -> Result<(), Failure> {
        let letter = self.writer.write(message, Timestamp::now())?;
        let sent = tokio::time::timeout(self.timeout, self.send(&letter)).await;
        let late = |_| Failure::of_sink(format!("no answer within {:?}", self.timeout));
        sent.map_err(late)?
    }

    async fn check(&self) -> Result<(), String> {
        let looked = tokio::time::timeout(self.timeout, self.look()).await;
        looked.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.timeout)))
    }
}

fn security(config: &SmtpConfig) -> Result<Security, Error> {
    let parameters = || {
        let mut parameters = TlsParameters::builder(config.host.clone());
        if let Some(ca_file) = &config.ca_file {
            tls::client_config(Some(ca_file), None)?; // its errors name the file
            let read = std::fs::read(ca_file).map_err(|source| tls::Error::Read { path: ca_file.clone(), source })?;
            parameters = parameters.add_root_certificate(Certificate::from_pem(&read).map_err(Error::Parameters)?);
        }
        parameters.build().map_err(Error::Parameters)
    };
    Ok(match config.encryption {
        Encryption::Starttls => Security::Starttls(parameters()?),
        Encryption::Tls => Security::Tls(parameters()?),
        Encryption::None => Security::None,
    })
}
