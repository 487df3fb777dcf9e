//! One mail from one message: its recipient, its headers, its texts, and licence files as attachments.
//!
//! Nothing that a provider or a customer wrote gets further than the part it was meant for: headers are one line of text, and
//! there is one recipient.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Body, Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message as Mail};
use serde_json::Value as Json;

use super::address::{needs_utf8, with_ascii_domain};
use super::template::{Part, Templates, fields};
use crate::clock::Timestamp;
use crate::delivery::{Message, without_control_characters};
use crate::sink::{Failure, unreadable};

/// What a mail server may cut, or refuse.
const SUBJECT_CHARS: usize = 250;

/// Writes mails. The domains of its addresses are in ASCII.
#[derive(Debug)]
pub struct Writer {
    pub from: Mailbox,
    pub reply_to: Option<Mailbox>,
    pub templates: Templates,
}

/// A mail, ready to be handed over.
pub struct Letter {
    /// Its domain is in ASCII.
    pub recipient: Address,
    /// Headers and body: ASCII, but for what stands before the `@` of an address.
    pub bytes: Vec<u8>,
}

impl Writer {
    /// Whether only a server with SMTPUTF8 takes its mails, whoever they go to.
    pub fn needs_utf8(&self) -> bool {
        self.reply_to.iter().chain([&self.from]).any(|mailbox| needs_utf8(&mailbox.email))
    }

    /// What is wrong with the message is final, for it will not change. A template that does not fit it may be mended. The reason
    /// quotes neither address nor text.
    pub fn write(&self, message: &Message, now: Timestamp) -> Result<Letter, Failure> {
        let body: Json = serde_json::from_slice(&message.body).map_err(unreadable)?;
        let attachments = attachments(&body);
        let fields = fields(message, body, None);
        let fill = |part| self.templates.fill(part, &fields).map_err(Failure::unsent);
        let filled = self.templates.fill(Part::To, &fields);
        let recipient = filled.and_then(|filled| recipient(&filled));
        let recipient = recipient.map_err(|reason| Failure::never_sent(format!("no recipient: {reason}")))?;
        let subject: String = one_line(&fill(Part::Subject)?).chars().take(SUBJECT_CHARS).collect();
        let text = SinglePart::plain(readable(&fill(Part::Text)?));
        let html = match self.templates.has(Part::Html) {
            true => Some(SinglePart::html(readable(&fill(Part::Html)?))),
            false => None,
        };
        let mut head = Mail::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, recipient.clone()))
            .subject(subject)
            .message_id(Some(self.message_id(message)))
            .date(SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_unix().unsigned_abs()))
            .raw_header(automatic());
        if let Some(reply_to) = &self.reply_to {
            head = head.reply_to(reply_to.clone());
        }
        let mail = match (html, attachments.is_empty()) {
            (None, true) => head.singlepart(text),
            (Some(html), true) => head.multipart(alternative(text, html)),
            (None, false) => head.multipart(attach(MultiPart::mixed().singlepart(text), attachments)),
            (Some(html), false) => {
                head.multipart(attach(MultiPart::mixed().multipart(alternative(text, html)), attachments))
            }
        };
        let mail = mail.map_err(|error| Failure::never_sent(format!("no mail can be made of it: {error}")))?;
        Ok(Letter { recipient, bytes: mail.formatted() })
    }

    /// The same for every attempt: mail servers and programs show a repeat once. One sent again on purpose differs.
    fn message_id(&self, message: &Message) -> String {
        format!("<{}@{}>", message.deduplication_id(), self.from.email.domain())
    }
}

/// Says that no person wrote it, so that no absence note answers (RFC 3834).
fn automatic() -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned())
}

fn alternative(text: SinglePart, html: SinglePart) -> MultiPart {
    MultiPart::alternative().singlepart(text).singlepart(html)
}

fn attach(mail: MultiPart, attachments: Vec<SinglePart>) -> MultiPart {
    attachments.into_iter().fold(mail, MultiPart::singlepart)
}

/// Exactly one address, and nothing else: no name, no list, no second line.
fn recipient(filled: &str) -> Result<Address, String> {
    let filled = filled.trim();
    if filled.is_empty() {
        return Err("to is empty for this subscription's metadata".to_owned());
    }
    let odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | ',' | ';' | '"' | '\\');
    match filled.parse::<Address>() {
        Ok(address) if !filled.contains(odd) => with_ascii_domain(&address)
            .ok_or_else(|| "the address's domain has letters that no domain may have".to_owned()),
        _ => Err("to is not one mail address for this subscription's metadata".to_owned()),
    }
}

fn one_line(text: &str) -> String {
    without_control_characters(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lines and tabs stay; what moves a terminal's cursor does not.
fn readable(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect()
}

/// Licence files: serials in base64.
fn attachments(body: &Json) -> Vec<SinglePart> {
    let lines = body["data"]["lines"].as_array().into_iter().flatten();
    let serials = lines.flat_map(|line| line["serials"].as_array().into_iter().flatten());
    let files = serials.filter(|serial| serial["encoding"] == "base64");
    files
        .map(|serial| {
            let data = serial["data"].as_str().unwrap_or_default();
            let encoded: String = data.split_ascii_whitespace().collect();
            // What is no base64 after all is attached as it is: the customer gets what the provider sent.
            let content = BASE64_STANDARD.decode(encoded).unwrap_or_else(|_| data.as_bytes().to_vec());
            let name = file_name(serial["file_name"].as_str().unwrap_or_default());
            // As it is short and its bytes are small numbers, it would be taken for a text.
            let content = Body::new_with_encoding(content, ContentTransferEncoding::Base64).unwrap_or_else(Body::new);
            let binary = ContentType::parse("application/octet-stream").unwrap_or(ContentType::TEXT_PLAIN);
            Attachment::new(name).body(content, binary)
        })
        .collect()
}

/// A name that is no path.
fn file_name(given: &str) -> String {
    let clean = one_line(given).replace(['/', '\\', '"', ':'], "_");
    let clean = clean.trim_matches(['.', ' ']);
    if clean.is_empty() { "licence".to_owned() } else { clean.chars().take(100).collect() }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::super::template::{DEFAULT_SUBJECT, DEFAULT_TEXT, Source, Sources};
    use super::*;
    use crate::delivery::EVENTS;

    fn writer(to: &str, subject: &str, text: &str, html: Option<&str>) -> Writer {
        let source = |text: &str| Source { name: "x".to_owned(), text: text.to_owned() };
        let sources = Sources { to: source(to), subject: source(subject), text: source(text), html: html.map(source) };
        let from = "Acme <licences@acme.example>".parse().unwrap();
        Writer { from, reply_to: None, templates: Templates::parse(&sources).unwrap() }
    }

    fn written(writer: &Writer, message: &Message) -> String {
        let letter = writer.write(message, Timestamp::from_unix(1_795_291_200)).unwrap();
        assert!(letter.bytes.is_ascii());
        String::from_utf8(letter.bytes).unwrap()
    }

    /// The sample with another metadata.
    fn message(metadata: &str) -> Message {
        let sample = sample::message("renewal.ready");
        let body = String::from_utf8(sample.body.clone()).unwrap();
        let with = body.replace("\"metadata\":null", &format!("\"metadata\":{metadata}"));
        assert_ne!(body, with);
        Message { body: with.into_bytes(), ..sample }
    }

    #[test]
    fn every_event_makes_a_mail() {
        let writer = writer("ops@acme.example", DEFAULT_SUBJECT, DEFAULT_TEXT, None);
        for event in EVENTS {
            let message = sample::message(event);
            let mail = written(&writer, &message);
            assert!(mail.contains("Auto-Submitted: auto-generated\r\n"), "{mail}");
            assert!(mail.contains(&format!("Message-ID: <{}@acme.example>\r\n", message.id)), "{mail}");
        }
        let ready = written(&writer, &sample::message("renewal.ready"));
        assert!(ready.contains("Subject: Your renewal ORDER-1\r\n"), "{ready}");
        assert!(ready.contains("Licence key: AAAA\r\nLicence file: attached (licence.key)\r\n"), "{ready}");
        assert!(ready.contains("Download Setup: https://download.example/\r\n"), "{ready}");
        assert!(ready.contains("Valid until: 2026-11-21\r\n"), "{ready}");
        assert!(ready.contains("Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n"), "{ready}");
        assert!(ready.contains("attachment;") && ready.contains("filename=\"licence.key\""), "{ready}");
    }

    #[test]
    fn one_sent_again_on_purpose_has_another_message_id() {
        let writer = writer("ops@acme.example", "s", "t", None);
        let again = Message { replays: 2, ..sample::message("renewal.failed") };
        assert!(written(&writer, &again).contains(&format!("<{}/2@acme.example>", again.id)));
    }

    #[test]
    fn hostile_text_stays_in_its_header() {
        let hostile = r#"{"name":"x\r\nBcc: eve@evil.example\r\n\r\nbody\u0000","email":"bob@example.com"}"#;
        let writer = writer("{metadata.email}", "Hello {{ metadata.name }}", "{{ metadata.name }}", None);
        let mail = written(&writer, &message(hostile));
        let head = mail.split("\r\n\r\n").next().unwrap();
        assert!(!head.lines().any(|line| line.to_lowercase().starts_with("bcc")), "{mail}");
        assert!(head.contains("Subject: Hello x Bcc: eve@evil.example body\r\n"), "{mail}");
    }

    #[test]
    fn a_recipient_is_one_address_or_the_message_is_refused() {
        for good in ["eve@example.com", " eve+x@sub.example.com\n", "o'neil@example.com", "\u{e9}@example.com"] {
            recipient(good).unwrap();
        }
        assert_eq!(recipient("info@m\u{fc}ller.example").unwrap().to_string(), "info@xn--mller-kva.example");
        for bad in [
            "",
            " ",
            "eve",
            "eve@",
            "@example.com",
            "a@example.com,b@example.com",
            "a@example.com b@example.com",
            "Eve <eve@example.com>",
            "eve@example.com>\r\nRCPT TO:<bob@example.com",
            "eve@example.com\r\nBcc: bob@example.com",
            "\"a b\"@example.com",
            "eve@exa\0mple.com",
            "eve@m\u{fc}ller.example\u{ff1e}",
            "eve@m\u{fc}ller\u{ff0c}bob.example",
            "eve@\u{fffe}.example",
        ] {
            let reason = recipient(bad).unwrap_err();
            assert!(!reason.contains("example"), "{reason}");
        }
    }

    #[test]
    fn a_message_without_recipient_is_final() {
        let writer = writer("{metadata.email}", "s", "t", None);
        for metadata in ["{}", r#"{"email":""}"#, r#"{"email":null}"#, r#"{"email":"nobody"}"#] {
            let failure = writer.write(&message(metadata), Timestamp::from_unix(0)).err().unwrap();
            assert!(matches!(failure, Failure::Unsent { is_final: true, .. }), "{metadata}: {failure:?}");
        }
    }

    #[test]
    fn a_template_that_does_not_fit_may_be_mended() {
        let fits = "{{ metadata.name }}";
        for (subject, text, html) in [(fits, "t", None), ("s", fits, None), ("s", "t", Some(fits))] {
            let writer = writer("ops@acme.example", subject, text, html);
            let failure = writer.write(&message("{}"), Timestamp::from_unix(0)).err().unwrap();
            assert!(matches!(failure, Failure::Unsent { is_final: false, .. }), "{failure:?}");
        }
    }

    #[test]
    fn html_has_a_text_beside_it() {
        let writer = writer("ops@acme.example", "s", "plain", Some("<p>{{ metadata.name }}</p>"));
        let mail = written(&writer, &message(r#"{"name":"<script>"}"#));
        assert!(mail.contains("multipart/alternative") && mail.contains("plain"), "{mail}");
        assert!(mail.contains("<p>&lt;script&gt;</p>"), "{mail}");
    }

    #[test]
    fn attachments_have_harmless_names() {
        assert_eq!(file_name("../../etc/passwd"), "_.._etc_passwd");
        assert_eq!(file_name("a\r\nX: \"y\".key"), "a X_ _y_.key");
        assert_eq!(file_name(" .. "), "licence");
    }
}
