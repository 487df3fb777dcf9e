//! What a customer gets: [`Delivery`] and its parts. The [`Message`] that carries it, its id and its JSON Schema are in
//! `delivery/message.rs`, what may be odd about it in `delivery/warning.rs`.
//!
//! Licence keys exist in memory only inside these types. A key may also sit in a remark or behind a link, so `Debug`
//! shows none of those either.

mod address;
mod message;
mod warning;

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;

pub use address::AddressTemplate;
use message::cloud_event_type;
pub use message::{
    About, Discount, EVENTS, EndReason, Event, FailReason, Message, NAMESPACE, Occasion, OfferState, Renewal,
    json_schema, without_control_characters,
};
pub use warning::{Warned, Warning};

/// A serial's data: a licence key, or the encoded content of a licence file. `Debug` prints `***`.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LicenceKey(String);

impl LicenceKey {
    pub fn new(data: String) -> Self {
        Self(data)
    }

    /// The key itself. For the message body and its hash only: never for a log line or an error.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing that anybody could use.
    pub fn is_blank(&self) -> bool {
        self.0.trim().is_empty()
    }
}

impl fmt::Debug for LicenceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// One serial, its four fields as the provider sent them (nexway-connect.md, section 5.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Serial {
    pub data: LicenceKey,
    pub encoding: String,
    pub charset: String,
    pub file_name: String,
}

/// A file to download. `size` has no unit: the reference contradicts itself.
#[derive(Clone, PartialEq, Serialize)]
pub struct File {
    pub label: String,
    pub r#type: String,
    pub url: String,
    pub size: Option<f64>,
    pub group: String,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({:?}, {:?})", self.label, self.r#type)
    }
}

/// Where the download manager is to be had, for the whole order.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct DownloadManager {
    pub pc: Option<String>,
    pub mac: Option<String>,
}

impl fmt::Debug for DownloadManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DownloadManager(pc: {}, mac: {})", self.pc.is_some(), self.mac.is_some())
    }
}

/// One order line as the customer needs it.
#[derive(Clone, PartialEq, Serialize)]
pub struct Line {
    pub product_ref: Option<String>,
    pub remark: String,
    pub digital_locker_link: String,
    pub download_until: Option<String>,
    pub serials: Vec<Serial>,
    pub files: Vec<File>,
}

impl Line {
    /// Whether it holds nothing that anybody could use.
    fn is_empty(&self) -> bool {
        self.serials.iter().all(|serial| serial.data.is_blank())
            && self.files.iter().all(|file| file.url.trim().is_empty())
            && self.digital_locker_link.trim().is_empty()
            && self.remark.trim().is_empty()
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({:?}, {} serials, {} files)", self.product_ref, self.serials.len(), self.files.len())
    }
}

/// The term that was paid for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Period {
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
}

/// What was paid for it, as the provider tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Charge {
    /// A decimal number, digit by digit as it was sent.
    pub amount: Option<String>,
    pub currency: Option<String>,
    pub state: Option<String>,
    pub attempts: Option<i64>,
    /// The payment's name at the provider.
    pub reference: Option<String>,
}

/// An invoice or the like.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Document {
    pub label: String,
    pub url: String,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({:?})", self.label)
    }
}

/// Everything that one delivery brings for one subscription, in the order in which the message shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Delivery {
    pub order_number: Option<String>,
    pub period: Option<Period>,
    /// Rare, and boxed so that it does not swell every delivery.
    pub charge: Option<Box<Charge>>,
    pub documents: Vec<Document>,
    pub warnings: Vec<Warning>,
    pub lines: Vec<Line>,
    pub download_manager: Option<DownloadManager>,
}

impl Delivery {
    /// Every serial of every line, in the order of the answer.
    pub fn serials(&self) -> impl Iterator<Item = &Serial> {
        self.lines.iter().flat_map(|line| &line.serials)
    }

    /// Whether it has neither key nor what may stand for one: file, link or remark.
    pub fn is_empty(&self) -> bool {
        self.lines.iter().all(Line::is_empty)
    }

    /// Adds a warning once, in its place.
    pub fn warn(&mut self, warning: Warning) {
        self.warnings.push(warning);
        self.warnings.sort_unstable();
        self.warnings.dedup();
    }
}

/// What the ledger keeps of the keys once the payload is wiped: it tells whether a key shown by somebody is the one that
/// was delivered, and gives none away.
///
/// SHA-256, in hexadecimal, of `renewald keys v1` and a zero byte, then for each key in order its length in bytes (64
/// bits, big endian) and the key. Stored for years: it must never change.
pub fn keys_hash(delivery: &Delivery) -> String {
    let mut hash = Sha256::new();
    hash.update(b"renewald keys v1\0");
    for key in delivery.serials().map(|serial| serial.data.reveal().as_bytes()) {
        hash.update((key.len() as u64).to_be_bytes());
        hash.update(key);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub fn serial(data: &str) -> Serial {
        Serial {
            data: LicenceKey::new(data.to_owned()),
            encoding: "text".to_owned(),
            charset: "utf-8".to_owned(),
            file_name: String::new(),
        }
    }

    pub fn line(keys: &[&str]) -> Line {
        Line {
            product_ref: Some("811537".to_owned()),
            remark: String::new(),
            digital_locker_link: String::new(),
            download_until: Some("2026-12-12".to_owned()),
            serials: keys.iter().copied().map(serial).collect(),
            files: vec![File {
                label: "Setup".to_owned(),
                r#type: "install".to_owned(),
                url: "https://dl.example/setup.exe?token=SECRET".to_owned(),
                size: Some(0.96),
                group: String::new(),
            }],
        }
    }

    pub fn delivery(lines: Vec<Line>) -> Delivery {
        Delivery {
            order_number: Some("12567638".to_owned()),
            lines,
            download_manager: Some(DownloadManager {
                pc: Some("https://dl.example/pc?SECRET".to_owned()),
                mac: Some("https://dl.example/mac?SECRET".to_owned()),
            }),
            ..Delivery::default()
        }
    }

    #[test]
    fn debug_shows_no_key_remark_or_link() {
        let mut with_remark = line(&["SECRET"]);
        with_remark.remark = "Your key: SECRET".to_owned();
        with_remark.digital_locker_link = "https://locker.example/SECRET".to_owned();
        let shown =
            format!("{:?} {:?}", delivery(vec![with_remark.clone()]), (&with_remark.serials, &with_remark.files));
        assert!(shown.contains("1 serials") && shown.contains("***"), "{shown}");
        assert!(!shown.contains("SECRET"), "{shown}");
    }

    #[test]
    fn keys_hash_is_the_documented_one() {
        // python3: sha256(b"renewald keys v1\0" + b"".join(len(k).to_bytes(8, "big") + k for k in (b"AB", b"C")))
        let expected = "c76e117187438ec8ef119d16b860fe095a0c2d7d4ecffbea0e5919ebee49e5d2";
        assert_eq!(keys_hash(&delivery(vec![line(&["AB"]), line(&["C"])])), expected);
        assert_eq!(keys_hash(&delivery(vec![line(&["AB", "C"])])), expected, "lines are not part of it");
        assert_ne!(keys_hash(&delivery(vec![line(&["A", "BC"])])), expected);
    }
}
