//! The message (design section 8): one [`Event`] about one subscription, as a CloudEvent with an id that is the same for
//! ever. `schema.json` beside this file describes every field for the receiver.
//!
//! Who gets a message, when and how often belongs to the store and the relay.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::{Uuid, uuid};

use super::Delivery;
use crate::clock::Timestamp;
use crate::json::compact;
use crate::text::forms::text_forms;

/// The namespace of all message ids: UUIDv5 of the URL namespace and `https://renewald.example/message`.
pub const NAMESPACE: Uuid = uuid!("6e7ab877-90d0-51e9-9339-0745a78e0177");

/// Every event's name as the settings write it: without prefix and version.
pub const EVENTS: [&str; 9] = [
    "renewal.ready",
    "renewal.failed",
    "renewal.payment_failing",
    "subscription.status_changed",
    "subscription.renewal_due",
    "subscription.offer",
    "subscription.ended",
    "subscription.discovered",
    "subscription.not_renewed",
];

/// The JSON Schema (2020-12) of every message, printed by `renewald schema`.
pub fn json_schema() -> &'static str {
    include_str!("schema.json")
}

/// Why a renewal was given up: `data.reason` of `renewal.failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailReason {
    /// The provider did not know the order number, long after it had told us of it.
    NotFound,
    /// The provider answered with a code that never passes.
    Refused,
    /// It said "not yet" until the bound of that code was reached.
    TooLate,
    /// Its answers could not be used.
    Unreadable,
    /// Some lines were delivered, the others never became ready.
    Partial,
}

/// Why a subscription ended: `data.reason` of `subscription.ended`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    Cancelled,
    Expired,
}

/// Why there is something to deliver: `data.occasion` of `renewal.ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Another term was paid for.
    Renewal,
    /// Another product in the middle of a term.
    Upgrade,
    /// The first term that was paid for, after a trial.
    TrialConversion,
    Purchase,
}

text_forms!(Occasion {
    Renewal = "renewal",
    Upgrade = "upgrade",
    TrialConversion = "trial_conversion",
    Purchase = "purchase",
});

/// What became of an accepted offer: `data.state` of `subscription.offer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferState {
    /// The next renewal will be charged with its discount.
    Accepted,
    Aborted,
    /// A renewal was charged with it.
    Used,
}

text_forms!(OfferState { Accepted = "accepted", Aborted = "aborted", Used = "used" });

/// How much cheaper the renewal is, as far as the provider tells. Numbers are decimal, digit by digit as they were sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Discount {
    pub code: Option<String>,
    pub label: Option<String>,
    /// A fraction: `0.2` is 20 %.
    pub rate: Option<String>,
    /// What is to be paid, taxes included.
    pub amount: Option<String>,
    pub currency: Option<String>,
}

/// The subscription as every message shows it.
#[derive(Clone, Serialize, Deserialize)]
pub struct About {
    pub provider: String,
    pub territory: String,
    /// The original: without the suffix of a renewal.
    pub partner_order_number: String,
    pub subscription_id: String,
    /// What the reseller called it at the provider, where the provider tells.
    pub partner_reference: Option<String>,
    /// The reseller's own JSON object, stored when the subscription was tracked.
    #[serde(serialize_with = "without_whitespace")]
    pub metadata: Box<RawValue>,
    /// The number belongs to the identity, and so to the ids of messages; not written, and false in what was read.
    #[serde(skip)]
    pub is_numbered: bool,
}

/// Shows no metadata: it may name the customer.
impl fmt::Debug for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { provider, territory, partner_order_number, subscription_id, .. } = self;
        write!(f, "About({provider}/{territory} {partner_order_number:?}/{subscription_id})")
    }
}

/// What happened, with the data that its type carries.
#[derive(Clone, Debug)]
pub enum Event {
    RenewalReady {
        renewal: Renewal,
        occasion: Occasion,
        /// Older than one that was announced before it.
        late: bool,
        detected_at: Timestamp,
        /// Only on the newest generation of a jump.
        expires_at: Option<Timestamp>,
        delivery: Delivery,
    },
    RenewalFailed {
        renewal: Renewal,
        code: Option<i64>,
        reason: FailReason,
        /// As the provider sent it: control characters are taken out when the message is written.
        provider_message: String,
    },
    /// Once per episode: from the first answer that says so until one says otherwise.
    PaymentFailing {
        /// Of the delivery that is not paid for.
        generation: i64,
        /// When it began, where the provider tells.
        since: Option<Timestamp>,
        will_retry: Option<bool>,
        /// The provider's own word: control characters are taken out when the message is written.
        reason: String,
        /// How many there were, this one included: the id's ordinal where no time is known.
        episode: i64,
    },
    StatusChanged {
        generation: i64,
        /// How many changes there were, this one included: the id's ordinal.
        change: i64,
        from: Option<String>,
        to: Option<String>,
    },
    /// Once per order and state.
    Offer { generation: i64, order_number: String, state: OfferState, discount: Option<Discount> },
    /// Once per term, ahead of its end: the shop takes its customer's payment before it.
    RenewalDue { generation: i64, expires_at: Timestamp, technical_status: Option<String> },
    /// Once per term. A term is named by its expiry, which goes into the id: where the provider moves the expiry of an
    /// unrenewed generation, the new term's message is a new one.
    Ended { generation: i64, expires_at: Option<Timestamp>, reason: EndReason },
    /// Once per term, as [`Event::Ended`].
    NotRenewed { generation: i64, expires_at: Timestamp, technical_status: Option<String> },
    /// The provider lists it, and it is tracked from now on.
    Discovered {
        /// At the provider.
        created_at: Option<Timestamp>,
    },
}

/// Which delivery a message is about.
#[derive(Clone, Debug, Serialize)]
pub struct Renewal {
    /// The label for people.
    pub generation: i64,
    /// 0, raised by `refetch` and by what comes after a message that lacked it: the id's ordinal.
    pub revision: i64,
    /// The provider's own name for it.
    pub reference: String,
    /// The renewal's own number, suffix included, where the provider has such.
    pub partner_order_number: Option<String>,
}

impl Event {
    /// One of [`EVENTS`].
    pub fn name(&self) -> &'static str {
        match self {
            Self::RenewalReady { .. } => "renewal.ready",
            Self::RenewalFailed { .. } => "renewal.failed",
            Self::PaymentFailing { .. } => "renewal.payment_failing",
            Self::Offer { .. } => "subscription.offer",
            Self::StatusChanged { .. } => "subscription.status_changed",
            Self::RenewalDue { .. } => "subscription.renewal_due",
            Self::Ended { .. } => "subscription.ended",
            Self::NotRenewed { .. } => "subscription.not_renewed",
            Self::Discovered { .. } => "subscription.discovered",
        }
    }

    pub fn generation(&self) -> i64 {
        match self {
            Self::RenewalReady { renewal, .. } | Self::RenewalFailed { renewal, .. } => renewal.generation,
            Self::PaymentFailing { generation, .. }
            | Self::StatusChanged { generation, .. }
            | Self::Offer { generation, .. }
            | Self::RenewalDue { generation, .. }
            | Self::Ended { generation, .. }
            | Self::NotRenewed { generation, .. } => *generation,
            Self::Discovered { .. } => 0,
        }
    }

    /// The delivery that it is about, if it is about one: what a customer gets, or why it does not come.
    pub fn delivery(&self) -> Option<&Renewal> {
        match self {
            Self::RenewalReady { renewal, .. } | Self::RenewalFailed { renewal, .. } => Some(renewal),
            _ => None,
        }
    }

    /// What tells two events of the same type and subscription apart: a reference, and an ordinal where there are several.
    fn distinction(&self) -> (String, String) {
        let only = || "0".to_owned();
        let term = |end: &Timestamp| (end.as_unix().to_string(), only());
        match self {
            Self::RenewalReady { renewal, .. } | Self::RenewalFailed { renewal, .. } => {
                (renewal.reference.clone(), renewal.revision.to_string())
            }
            Self::PaymentFailing { generation, since, episode, .. } => {
                (generation.to_string(), since.map_or(*episode, Timestamp::as_unix).to_string())
            }
            Self::StatusChanged { change, .. } => (String::new(), change.to_string()),
            Self::Offer { order_number, state, .. } => (order_number.clone(), state.to_string()),
            Self::Ended { expires_at, .. } => expires_at.as_ref().map_or((String::new(), only()), term),
            Self::RenewalDue { expires_at, .. } | Self::NotRenewed { expires_at, .. } => term(expires_at),
            Self::Discovered { .. } => (String::new(), only()),
        }
    }
}

/// One outbox row, ready to be sent: the same id and the same bytes on every attempt.
#[derive(Clone)]
pub struct Message {
    pub id: Uuid,
    /// Without prefix and version: `renewal.ready`.
    pub event: String,
    pub queued_at: Timestamp,
    /// The CloudEvent, structured JSON on one line without its end.
    pub body: Vec<u8>,
    /// How often it was sent again on purpose (`renewald queue replay`), the present sending included.
    pub replays: i64,
}

impl Message {
    /// Writes the message. The id follows from subscription and event alone: a rebuilt message has the same one.
    pub fn new(about: &About, event: &Event, queued_at: Timestamp) -> Self {
        let id = id(about, event);
        let cloud_event = CloudEvent {
            specversion: "1.0",
            id,
            source: format!("/renewald/{}/{}", about.provider, about.territory),
            r#type: cloud_event_type(event.name()),
            subject: format!("{}/{}", about.partner_order_number, about.subscription_id),
            time: queued_at,
            datacontenttype: "application/json",
            data: Data { subscription: about, event: Fields::of(event) },
        };
        // Licences may be files of many megabytes: room for them once, rather than copied as the body grows.
        let mut body = Vec::with_capacity(2048 + serial_bytes(event));
        serde_json::to_writer(&mut body, &cloud_event).expect("text keys and valid JSON, written to memory");
        Self { id, event: event.name().to_owned(), queued_at, body, replays: 0 }
    }

    /// The CloudEvent's `type`.
    pub fn cloud_event_type(&self) -> String {
        cloud_event_type(&self.event)
    }

    /// What a broker that drops repeated messages is told: a repeat on purpose is not to be dropped.
    pub fn deduplication_id(&self) -> String {
        if self.replays == 0 { self.id.to_string() } else { format!("{}/{}", self.id, self.replays) }
    }

    /// Whom it is about, read from the body: for sinks that route by it.
    pub fn about(&self) -> Result<About, serde_json::Error> {
        #[derive(Deserialize)]
        struct Body {
            data: Subject,
        }
        #[derive(Deserialize)]
        struct Subject {
            subscription: About,
        }
        serde_json::from_slice(&self.body).map(|body: Body| body.data.subscription)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({}, {}, {} bytes)", self.id, self.event, self.body.len())
    }
}

pub(super) fn cloud_event_type(event: &str) -> String {
    format!("renewald.{event}.v1")
}

fn id(about: &About, event: &Event) -> Uuid {
    let (reference, ordinal) = event.distinction();
    let name = serde_json::json!([
        about.provider,
        if about.is_numbered { &about.partner_order_number } else { &about.subscription_id },
        about.subscription_id,
        reference,
        format!("renewald.{}", event.name()),
        ordinal,
    ]);
    Uuid::new_v5(&NAMESPACE, name.to_string().as_bytes())
}

fn serial_bytes(event: &Event) -> usize {
    match event {
        Event::RenewalReady { delivery, .. } => delivery.serials().map(|serial| serial.data.reveal().len() + 128).sum(),
        _ => 0,
    }
}

/// The envelope. Fields are written in the order in which they stand.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    #[serde(serialize_with = "as_text")]
    id: Uuid,
    source: String,
    r#type: String,
    subject: String,
    time: Timestamp,
    datacontenttype: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    subscription: &'a About,
    #[serde(flatten)]
    event: Fields<'a>,
}

/// What each type has beside `subscription`.
#[derive(Serialize)]
#[serde(untagged)]
enum Fields<'a> {
    RenewalReady {
        #[serde(flatten)]
        renewal: &'a Renewal,
        occasion: Occasion,
        late: bool,
        detected_at: Timestamp,
        expires_at: Option<Timestamp>,
        #[serde(flatten)]
        delivery: &'a Delivery,
    },
    RenewalFailed {
        #[serde(flatten)]
        renewal: &'a Renewal,
        code: Option<i64>,
        reason: FailReason,
        provider_message: String,
    },
    PaymentFailing {
        generation: i64,
        since: Option<Timestamp>,
        will_retry: Option<bool>,
        reason: String,
    },
    StatusChanged {
        generation: i64,
        from: Option<&'a str>,
        to: Option<&'a str>,
    },
    Offer {
        generation: i64,
        state: OfferState,
        order_number: &'a str,
        discount: Option<&'a Discount>,
    },
    Ended {
        generation: i64,
        expires_at: Option<Timestamp>,
        reason: EndReason,
    },
    /// Ahead of it, or after it.
    EndOfTerm {
        generation: i64,
        expires_at: Timestamp,
        technical_status: Option<&'a str>,
    },
    Discovered {
        created_at: Option<Timestamp>,
    },
}

impl<'a> Fields<'a> {
    fn of(event: &'a Event) -> Self {
        match event {
            Event::RenewalReady { renewal, occasion, late, detected_at, expires_at, delivery } => Self::RenewalReady {
                renewal,
                occasion: *occasion,
                late: *late,
                detected_at: *detected_at,
                expires_at: *expires_at,
                delivery,
            },
            Event::RenewalFailed { renewal, code, reason, provider_message } => Self::RenewalFailed {
                renewal,
                code: *code,
                reason: *reason,
                provider_message: without_control_characters(provider_message),
            },
            Event::PaymentFailing { generation, since, will_retry, reason, .. } => Self::PaymentFailing {
                generation: *generation,
                since: *since,
                will_retry: *will_retry,
                reason: without_control_characters(reason),
            },
            Event::Offer { generation, order_number, state, discount } => {
                Self::Offer { generation: *generation, state: *state, order_number, discount: discount.as_ref() }
            }
            Event::StatusChanged { generation, from, to, .. } => {
                Self::StatusChanged { generation: *generation, from: from.as_deref(), to: to.as_deref() }
            }
            Event::Ended { generation, expires_at, reason } => {
                Self::Ended { generation: *generation, expires_at: *expires_at, reason: *reason }
            }
            Event::RenewalDue { generation, expires_at, technical_status }
            | Event::NotRenewed { generation, expires_at, technical_status } => Self::EndOfTerm {
                generation: *generation,
                expires_at: *expires_at,
                technical_status: technical_status.as_deref(),
            },
            Event::Discovered { created_at } => Self::Discovered { created_at: *created_at },
        }
    }
}

/// Takes out C0, DEL and C1 controls and the marks that reorder text on a screen; line ends and tabs become spaces.
pub fn without_control_characters(text: &str) -> String {
    let reorders =
        |c| matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|c| if matches!(c, '\t' | '\n' | '\r') { ' ' } else { c })
        .filter(|&c| !c.is_control() && !reorders(c))
        .collect()
}

fn as_text<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// The body is one line, so the reseller's JSON loses its line ends; its numbers and the order of its keys stay as they are.
fn without_whitespace<S: Serializer>(json: &RawValue, serializer: S) -> Result<S::Ok, S::Error> {
    RawValue::from_string(compact(json.get())).map_err(serde::ser::Error::custom)?.serialize(serializer)
}

#[cfg(test)]
mod tests;
