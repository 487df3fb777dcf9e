//! What is said to a mail server, one command at a time: only so it is known which command a refusal answers.
//!
//! Refusals are told by their codes. A server's text is shown only before it has heard of a recipient: it may quote the mail.

use std::error::Error as _;

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};

use super::address::needs_utf8;
use super::letter::{Letter, Writer};
use crate::delivery::without_control_characters;
use crate::sink::Failure;

/// Longer ones are cut.
const TEXT_CHARS: usize = 120;
/// Refusals that speak of us or of the conversation, whatever they answer: unknown commands, wrong sequence, not logged in.
const ABOUT_US: [u16; 9] = [500, 501, 502, 503, 504, 530, 534, 535, 538];
/// Of these, that we must log in first, or otherwise than we did.
const NOT_LET_IN: [u16; 4] = [530, 534, 535, 538];

pub enum Security {
    /// From the first byte.
    Tls(TlsParameters),
    /// Begins in plain text, and goes no further without.
    Starttls(TlsParameters),
    None,
}

/// Where mails go.
pub struct Server {
    pub host: String,
    pub port: u16,
    pub security: Security,
    pub credentials: Option<Credentials>,
}

/// Why a mail was not handed over.
#[derive(Debug)]
pub enum Trouble {
    /// The connection was lost before the mail was given away: over another one it may go well at once.
    Lost(String),
    /// The server has said no, or nothing.
    Failed(Failure),
}

impl Server {
    /// Connects, encrypts and logs in.
    pub async fn connect(&self) -> Result<AsyncSmtpConnection, String> {
        let hello = ClientId::default();
        let from_the_start = match &self.security {
            Security::Tls(parameters) => Some(parameters.clone()),
            Security::Starttls(_) | Security::None => None,
        };
        let address = (self.host.as_str(), self.port);
        let connected = AsyncSmtpConnection::connect_tokio1(address, None, &hello, from_the_start, None).await;
        let mut connection = connected.map_err(|error| format!("could not connect: {}", with_text(&error)))?;
        if let Security::Starttls(parameters) = &self.security {
            let encrypted = connection.starttls(parameters.clone(), &hello).await;
            encrypted.map_err(|error| format!("no encryption (STARTTLS): {}", with_text(&error)))?;
        }
        if let Some(credentials) = &self.credentials {
            let welcome = connection.auth(DEFAULT_MECHANISMS, credentials).await;
            welcome.map_err(|error| format!("does not accept user and password: {}", with_text(&error)))?;
        }
        Ok(connection)
    }
}

/// Hands a mail over: `Ok` is the server's 250 after the mail's last line.
pub async fn hand_over(connection: &mut AsyncSmtpConnection, writer: &Writer, letter: &Letter) -> Result<(), Trouble> {
    announce(connection, writer, Some(&letter.recipient)).await?;
    let asked = connection.command(Rcpt::new(letter.recipient.clone(), vec![])).await;
    asked.map_err(|error| refused_recipient(&error))?;
    connection.command(Data).await.map_err(|error| refused("DATA", &error))?;
    match connection.message(&letter.bytes).await {
        Ok(_) => Ok(()),
        Err(error) => Err(match refused("the mail", &error) {
            // It may have arrived: the repeat has the same Message-ID.
            Trouble::Lost(reason) => Trouble::Failed(Failure::of_sink(reason)),
            failed => failed,
        }),
    }
}

/// Whether the server would take mail from this sender. Nothing is sent.
pub async fn look(connection: &mut AsyncSmtpConnection, writer: &Writer) -> Result<(), String> {
    match announce(connection, writer, None).await {
        Ok(()) => forget(connection).await.map_err(|error| format!("refused RSET: {}", with_text(&error))),
        Err(Trouble::Lost(reason)) => Err(reason),
        Err(Trouble::Failed(failure)) => Err(failure.to_string()),
    }
}

/// Takes back what was announced, so that the connection can serve the next mail.
pub async fn forget(connection: &mut AsyncSmtpConnection) -> Result<(), Error> {
    connection.command(Rset).await.map(drop)
}

/// A refusal here is about us, not about a recipient; but who is written beyond ASCII is said before.
async fn announce(
    connection: &mut AsyncSmtpConnection,
    writer: &Writer,
    recipient: Option<&Address>,
) -> Result<(), Trouble> {
    let parameters = parameters(connection, writer, recipient).map_err(Trouble::Failed)?;
    match connection.command(Mail::new(Some(writer.from.email.clone()), parameters)).await {
        Ok(_) => Ok(()),
        Err(error) if is_over(&error) => Err(Trouble::Lost(format!("connection lost: {}", with_text(&error)))),
        Err(error) => {
            let reason = format!("refused the sender (MAIL FROM): {}", with_text(&error));
            Err(Trouble::Failed(Failure::surely_of_sink(reason)))
        }
    }
}

/// Letters beyond ASCII before the `@` are for servers with SMTPUTF8 only: in the settings they keep back every mail, in a
/// recipient this one.
fn parameters(
    connection: &AsyncSmtpConnection,
    writer: &Writer,
    recipient: Option<&Address>,
) -> Result<Vec<MailParameter>, Failure> {
    let (ours, theirs) = (writer.needs_utf8(), recipient.is_some_and(needs_utf8));
    if !ours && !theirs {
        return Ok(Vec::new());
    }
    if connection.server_info().supports_feature(Extension::SmtpUtfEight) {
        return Ok(vec![MailParameter::SmtpUtfEight]);
    }
    let lacks = |who| format!("the server takes no {who} with letters beyond ASCII before the @ (SMTPUTF8)");
    Err(match ours {
        true => Failure::surely_of_sink(lacks("from or reply_to")),
        false => Failure::Final { reason: lacks("recipient") },
    })
}

/// A mailbox that is full, busy or not taking mail now, and greylisting, are this recipient's: the next one may well be taken.
fn refused_recipient(error: &Error) -> Trouble {
    let enhanced = enhanced(error);
    let subject = enhanced.as_deref().and_then(|code| code.split('.').nth(1));
    match (refused("RCPT", error), error.status().map(u16::from), subject) {
        (Trouble::Failed(Failure::Sink { reason, .. }), Some(400..=499), Some("1" | "2"))
        | (Trouble::Failed(Failure::Sink { reason, .. }), Some(450), None) => {
            Trouble::Failed(Failure::of_message(reason))
        }
        (trouble, ..) => trouble,
    }
}

/// Whose fault a refusal is (design section 4). The text after the codes may hold the address, and is not kept.
fn refused(what: &str, error: &Error) -> Trouble {
    if is_over(error) {
        return Trouble::Lost(format!("connection lost at {what}: {}", without_text(error)));
    }
    let reason = format!("refused {what}: {}", without_text(error));
    Trouble::Failed(match error.status().map(u16::from) {
        Some(code @ 500..=599) if !ABOUT_US.contains(&code) => Failure::Final { reason },
        Some(code) if NOT_LET_IN.contains(&code) => Failure::surely_of_sink(reason),
        _ => Failure::of_sink(reason),
    })
}

/// Whether nothing more can be said over this connection: 421 announces that it is being closed.
fn is_over(error: &Error) -> bool {
    error.status().is_none_or(|code| u16::from(code) == 421)
}

/// `550 5.1.1`
fn without_text(error: &Error) -> String {
    let Some(code) = error.status() else { return transport(error) };
    enhanced(error).map_or(code.to_string(), |enhanced| format!("{code} {enhanced}"))
}

/// `5.1.1`
fn enhanced(error: &Error) -> Option<String> {
    said(error).split_whitespace().next().filter(|word| is_enhanced(word)).map(str::to_owned)
}

/// `535 5.7.8 Error: authentication failed`
fn with_text(error: &Error) -> String {
    let Some(code) = error.status() else { return transport(error) };
    let text: String = without_control_characters(&said(error)).chars().take(TEXT_CHARS).collect();
    format!("{code} {text}").trim_end().to_owned()
}

fn said(error: &Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

/// What went wrong below SMTP.
fn transport(error: &Error) -> String {
    if error.is_response() {
        return "hung up, or answered what is not SMTP".to_owned();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    without_control_characters(&innermost.to_string()).chars().take(TEXT_CHARS).collect()
}

/// The status code of RFC 3463: `5.1.1`
fn is_enhanced(word: &str) -> bool {
    let numbers: Vec<_> = word.split('.').collect();
    let is_number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    numbers.len() == 3 && numbers.iter().all(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enhanced_codes_are_three_numbers() {
        for (word, is) in [("5.1.1", true), ("4.7.651", true), ("5.1", false), ("bob@5.1.1", false), ("5..1", false)] {
            assert_eq!(is_enhanced(word), is, "{word}");
        }
    }
}
