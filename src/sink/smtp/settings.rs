//! The keys of a sink of kind `smtp`.

use std::path::PathBuf;

use lettre::message::Mailbox;

use super::Encryption;
use super::address::with_ascii_domain;
use super::template::{DEFAULT_SUBJECT, DEFAULT_TEXT, Source, Sources, check_syntax, with_double_braces};
use crate::settings::problem::{nearest, shown};
use crate::settings::reader::{Section, is_loopback_host};
use crate::settings::secret::{Secret, read_at_most};
use crate::sink::broker;
use crate::sink::domain::{self, NOT_ASCII};

#[derive(Clone, Debug, PartialEq)]
pub struct Smtp {
    pub host: String,
    pub port: u16,
    pub encryption: Encryption,
    pub ca_file: Option<PathBuf>,
    /// User and password.
    pub account: Option<(String, Secret)>,
    /// The domain is in ASCII, here and in `reply_to`.
    pub from: Mailbox,
    pub reply_to: Option<Mailbox>,
    pub templates: Sources,
}

pub(crate) const KEYS: &[&str] = &[
    "host",
    "port",
    "tls",
    broker::CA_FILE,
    "user",
    "password",
    "password_file",
    "from",
    "reply_to",
    "to",
    "subject",
    "text",
    "text_file",
    "html",
    "html_file",
];

/// More is no mail for a person.
const MAX_TEMPLATE_BYTES: u64 = 256 * 1024;

pub(crate) fn read(section: &mut Section) -> Smtp {
    let host = host(section);
    let encryption = encryption(section, &host);
    let usual = match encryption {
        Encryption::Starttls => 587,
        Encryption::Tls => 465,
        Encryption::None => 25,
    };
    let port = u16::try_from(section.integer("port", usual, 1..=65_535)).unwrap_or_default();
    let ca_file = section.path(broker::CA_FILE);
    if ca_file.is_some() && encryption == Encryption::None {
        section.problem("ca_file", "is of no use with tls = \"none\"");
    }
    let account = broker::account(section);
    let from = match section.required("from", "the sender, such as \"Acme <licences@acme.example>\"") {
        Some(text) => mailbox(section, "from", &text),
        None => None,
    };
    let reply_to = section.text("reply_to").ok().flatten().and_then(|text| mailbox(section, "reply_to", &text));
    let templates = templates(section);
    let from = from.unwrap_or_else(stand_in);
    Smtp { host, port, encryption, ca_file, account, from, reply_to, templates }
}

fn host(section: &mut Section) -> String {
    let host = section.required("host", "the mail server's name, such as \"mail.acme.example\"").unwrap_or_default();
    if host.contains(|c: char| matches!(c, '/' | '@') || c.is_whitespace() || c.is_control()) {
        section.problem("host", "must be a name or an address alone; port and tls are keys of their own");
        return host;
    }
    match domain::ascii(&host) {
        Some(ascii) => ascii.into_owned(),
        None => {
            section.problem("host", NOT_ASCII);
            host
        }
    }
}

fn encryption(section: &mut Section, host: &str) -> Encryption {
    match section.text("tls").ok().flatten().as_deref() {
        None | Some("starttls") => Encryption::Starttls,
        Some("tls") => Encryption::Tls,
        Some("none") => {
            if !is_loopback_host(host) {
                section.warning("tls", "\"none\" sends the password and licence keys in plain text");
            }
            Encryption::None
        }
        Some(other) => {
            let known = ["starttls", "tls", "none"];
            let near = nearest(other, known).map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            section.problem("tls", format!("{other:?} is unknown{near}; known are {}", known.join(", ")));
            Encryption::Starttls
        }
    }
}

fn mailbox(section: &mut Section, key: &str, text: &str) -> Option<Mailbox> {
    let parsed = text.parse::<Mailbox>().ok().filter(|_| !text.contains(char::is_control));
    // The parser stops at what it does not understand: a second address, for one.
    let whole = parsed.filter(|mailbox| text.trim_end().trim_end_matches('>').ends_with(&mailbox.email.to_string()));
    let Some(mailbox) = whole else {
        section.problem(key, "is not one mail address; write \"name@host\" or \"Name <name@host>\"");
        return None;
    };
    let Some(email) = with_ascii_domain(&mailbox.email) else {
        section.problem(key, NOT_ASCII);
        return None;
    };
    Some(Mailbox::new(mailbox.name, email))
}

fn templates(section: &mut Section) -> Sources {
    let to = section.required("to", "the recipient, such as \"{metadata.email}\"").unwrap_or_default();
    if !to.is_empty() && !to.contains('{') {
        match to.parse::<lettre::Address>() {
            Err(_) => {
                section.problem("to", "is neither one mail address nor a template such as \"{metadata.email}\"");
            }
            Ok(address) if with_ascii_domain(&address).is_none() => section.problem("to", NOT_ASCII),
            Ok(_) => {}
        }
    }
    let to = checked(section, "to", Source { name: "to".to_owned(), text: with_double_braces(&to) });
    let built_in = |name: &str, text: &str| Source { name: name.to_owned(), text: text.to_owned() };
    let subject = inline(section, "subject").unwrap_or_else(|| built_in("subject", DEFAULT_SUBJECT));
    let text = template(section, "text").unwrap_or_else(|| built_in("text", DEFAULT_TEXT));
    Sources { to, subject, text, html: template(section, "html") }
}

/// Written under `key`, or in the file named under `key_file`.
fn template(section: &mut Section, key: &str) -> Option<Source> {
    let file_key = format!("{key}_file");
    let inline = inline(section, key);
    let Some(path) = section.path(&file_key) else { return inline };
    if inline.is_some() {
        section.problem(key, format!("given twice: {key} and {file_key}; keep one"));
        return inline;
    }
    match read_at_most(&path, MAX_TEMPLATE_BYTES) {
        Err(error) => section.problem(&file_key, format!("{}: {error}", shown(&path))),
        Ok(bytes) => match String::from_utf8(bytes.to_vec()) {
            Err(_) => section.problem(&file_key, format!("{} is not UTF-8 text", shown(&path))),
            Ok(text) => return Some(checked(section, &file_key, Source { name: shown(&path), text })),
        },
    }
    None
}

fn inline(section: &mut Section, key: &str) -> Option<Source> {
    let text = section.text(key).ok().flatten()?;
    Some(checked(section, key, Source { name: key.to_owned(), text }))
}

/// In a file the line is named with the file, in the settings within the value.
fn checked(section: &mut Section, key: &str, source: Source) -> Source {
    if let Err(mistake) = check_syntax(&source.text) {
        let place = if key.ends_with("_file") { format!("{}:", source.name) } else { "line ".to_owned() };
        section.problem(key, format!("{place}{mistake}"));
    }
    source
}

/// Takes the place of an address whose absence has been reported.
fn stand_in() -> Mailbox {
    Mailbox::new(None, lettre::Address::new_dangerous("nobody", "localhost"))
}
