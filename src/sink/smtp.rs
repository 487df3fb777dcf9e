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
    /// For how long a connection serves further mails: a server that has moved is found with a new one.
    pub connection_life: Duration,
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
    connection_life: Duration,
    idle: Mutex<Vec<Idle>>,
}

/// A connection between two mails.
struct Idle {
    connection: AsyncSmtpConnection,
    opened_at: Instant,
    since: Instant,
}

impl Smtp {
    /// Tries the templates; opens no connection.
    pub fn new(config: SmtpConfig) -> Result<Self, Error> {
        let templates = Templates::parse(&config.templates).map_err(Error::Template)?;
        templates.try_on(config.events.iter().map(String::as_str)).map_err(Error::Template)?;
        let security = security(&config)?;
        let SmtpConfig { host, port, account, from, reply_to, timeout, connection_life, .. } = config;
        let credentials = account.map(|(user, password)| Credentials::new(user, password.expose_secret().to_owned()));
        let server = Server { host, port, security, credentials };
        Ok(Self {
            server,
            writer: Writer { from, reply_to, templates },
            timeout,
            connection_life,
            idle: Mutex::default(),
        })
    }

    async fn send(&self, letter: &Letter) -> Result<(), Failure> {
        if let Some(Idle { connection, opened_at, .. }) = self.take_idle() {
            match self.send_over(connection, opened_at, letter).await {
                Ok(()) => return Ok(()),
                Err(Trouble::Failed(failure)) => return Err(failure),
                Err(Trouble::Lost(_)) => {} // closed while nobody looked
            }
        }
        let connection = self.server.connect().await.map_err(Failure::surely_of_sink)?;
        self.send_over(connection, Instant::now(), letter).await.map_err(|trouble| match trouble {
            Trouble::Failed(failure) => failure,
            Trouble::Lost(reason) => Failure::of_sink(reason),
        })
    }

    /// Keeps the connection where it can serve the next mail, too.
    async fn send_over(
        &self,
        mut connection: AsyncSmtpConnection,
        opened_at: Instant,
        letter: &Letter,
    ) -> Result<(), Trouble> {
        let outcome = hand_over(&mut connection, &self.writer, letter).await;
        let is_usable = match &outcome {
            Ok(()) => true,
            Err(Trouble::Failed(_)) => forget(&mut connection).await.is_ok(),
            Err(Trouble::Lost(_)) => false,
        };
        if is_usable {
            self.keep(connection, opened_at);
        }
        outcome
    }

    fn take_idle(&self) -> Option<Idle> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|one| one.since.elapsed() < LONGEST_IDLE && one.opened_at.elapsed() < self.connection_life);
        idle.pop()
    }

    fn keep(&self, connection: AsyncSmtpConnection, opened_at: Instant) {
        let idle = Idle { connection, opened_at, since: Instant::now() };
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(idle);
    }

    async fn look(&self) -> Result<(), String> {
        let mut connection = self.server.connect().await?;
        let opened_at = Instant::now();
        look(&mut connection, &self.writer).await?;
        self.keep(connection, opened_at);
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};

    use super::sample;
    use super::template::{DEFAULT_SUBJECT, DEFAULT_TEXT, Source};
    use super::*;

    /// Takes every mail of one connection.
    async fn serve(stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let (mut line, mut is_mail) = (String::new(), false);
        stream.write_all(b"220 here\r\n").await.unwrap();
        while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
            let answer = match line.trim_end() {
                "." => "250 taken",
                _ if is_mail => "",
                "DATA" => "354 go on",
                _ => "250 well",
            };
            is_mail = (is_mail || answer.starts_with("354")) && !answer.ends_with("taken");
            if !answer.is_empty() {
                stream.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
            }
            line.clear();
        }
    }

    /// How many connections three mails take.
    async fn connections(connection_life: Duration) -> usize {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let source = |text: &str| Source { name: "x".to_owned(), text: text.to_owned() };
        let smtp = Smtp::new(SmtpConfig {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
            encryption: Encryption::None,
            ca_file: None,
            account: None,
            from: "licences@acme.example".parse().unwrap(),
            reply_to: None,
            templates: Sources {
                to: source("customer@example.com"),
                subject: source(DEFAULT_SUBJECT),
                text: source(DEFAULT_TEXT),
                html: None,
            },
            events: Vec::new(),
            timeout: Duration::from_secs(30),
            connection_life,
        });
        let (smtp, message) = (smtp.unwrap(), sample::message("renewal.ready"));
        let mails = async {
            for _ in 0..3 {
                smtp.publish(&message).await.unwrap();
            }
        };
        let mut servers = tokio::task::JoinSet::new();
        tokio::pin!(mails);
        loop {
            tokio::select! {
                accepted = listener.accept() => drop(servers.spawn(serve(accepted.unwrap().0))),
                () = &mut mails => return servers.len(),
            }
        }
    }

    #[tokio::test]
    async fn a_connection_serves_its_time_and_no_longer() {
        assert_eq!(connections(tls::CONNECTION_LIFE).await, 1);
        assert_eq!(connections(Duration::ZERO).await, 3);
    }
}
