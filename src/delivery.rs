//! What a customer gets: [`Delivery`] and its parts, and the [`Message`] that carries it (design section 8).
//!
//! Licence keys exist in memory only inside these types, whose `Debug` shows none of them.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;

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
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct File {
    pub label: String,
    pub r#type: String,
    pub url: String,
    pub size: Option<f64>,
    pub group: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DownloadManager {
    pub pc: Option<String>,
    pub mac: Option<String>,
}

/// One order line as the customer needs it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    pub product_ref: Option<i64>,
    pub remark: String,
    pub digital_locker_link: String,
    pub download_until: Option<String>,
    pub serials: Vec<Serial>,
    pub files: Vec<File>,
}

/// What goes with a delivery that is not quite as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// Some lines never became ready; `renewal.failed` with reason `partial` is queued beside it.
    Partial,
    /// Success, yet neither serial nor file nor locker nor remark, asked several times.
    Empty,
    /// A serial's encoding is neither `text` nor `base64`; its data is passed on as it is.
    UnknownEncoding,
    /// No line named a subscription: all lines were taken.
    LinesUnmatched,
}

/// Everything that one generation's order data brings for one subscription.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    pub order_number: Option<i64>,
    pub lines: Vec<Line>,
    pub download_manager: Option<DownloadManager>,
    pub warnings: Vec<Warning>,
}

/// Why a renewal was given up: `data.reason` of `renewal.failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailReason {
    NotFound,
    Refused,
    TooLate,
    Unreadable,
    Partial,
}

/// The subscription as every message shows it.
#[derive(Clone, Debug, Serialize)]
pub struct About {
    pub provider: String,
    pub territory: String,
    pub partner_order_number: String,
    pub subscription_id: i64,
    /// The reseller's own JSON object, stored when the subscription was tracked.
    pub metadata: Box<serde_json::value::RawValue>,
}

/// What happened, with the data that its type carries.
#[derive(Clone, Debug)]
pub enum Event {
    RenewalReady {
        generation: i64,
        revision: i64,
        partner_order_number: String,
        detected_at: Timestamp,
        expires_at: Option<Timestamp>,
        delivery: Delivery,
    },
    RenewalFailed {
        generation: i64,
        revision: i64,
        partner_order_number: String,
        code: Option<i64>,
        reason: FailReason,
        provider_message: String,
    },
    StatusChanged {
        generation: i64,
        /// How many changes there were, this one included: the id's ordinal.
        change: i64,
        from: Option<String>,
        to: Option<String>,
    },
    Ended {
        generation: i64,
        change: i64,
        reason: EndReason,
    },
    NotRenewed {
        generation: i64,
        expires_at: Timestamp,
        technical_status: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    Cancelled,
    Expired,
}

/// One outbox row, ready to be sent: the same id and the same bytes on every attempt.
#[derive(Clone)]
pub struct Message {
    pub id: Uuid,
    /// Without prefix and version: `renewal.ready`.
    pub event: String,
    pub queued_at: Timestamp,
    /// The CloudEvent, structured JSON.
    pub body: Vec<u8>,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({}, {}, {} bytes)", self.id, self.event, self.body.len())
    }
}
