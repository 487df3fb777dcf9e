//! The message (design section 8): one [`Event`] about one subscription, as a CloudEvent with an id that is the same for
//! ever. `schema.json` beside this file describes every field for the receiver.
//!
//! Who gets a message, when and how often belongs to the store and the relay.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::{Uuid, uuid};

use super::{Delivery, DownloadManager, Line, Warning};
use crate::clock::Timestamp;

/// The namespace of all message ids: UUIDv5 of the URL namespace and `https://renewald.example/message`.
pub const NAMESPACE: Uuid = uuid!("6e7ab877-90d0-51e9-9339-0745a78e0177");

/// Every event's name as the settings write it: without prefix and version.
pub const EVENTS: [&str; 5] = [
    "renewal.ready",
    "renewal.failed",
    "subscription.status_changed",
    "subscription.ended",
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

/// The subscription as every message shows it.
#[derive(Clone, Serialize, Deserialize)]
pub struct About {
    pub provider: String,
    pub territory: String,
    /// The original: without the suffix of a renewal.
    pub partner_order_number: String,
    pub subscription_id: i64,
    /// The reseller's own JSON object, stored when the subscription was tracked.
    #[serde(serialize_with = "without_whitespace")]
    pub metadata: Box<RawValue>,
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
        generation: i64,
        /// 0, raised by `refetch`: the id's ordinal.
        revision: i64,
        /// The renewal's own number, suffix included.
        partner_order_number: String,
        detected_at: Timestamp,
        /// Only on the newest generation of a jump.
        expires_at: Option<Timestamp>,
        delivery: Delivery,
    },
    RenewalFailed {
        generation: i64,
        /// As in [`Event::RenewalReady`].
        revision: i64,
        partner_order_number: String,
        code: Option<i64>,
        reason: FailReason,
        /// As the provider sent it: control characters are taken out when the message is written.
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
        /// As in [`Event::StatusChanged`].
        change: i64,
        reason: EndReason,
    },
    /// Once per term. A term is named by its expiry, which is the id's ordinal: where the provider moves the expiry of an
    /// unrenewed generation, the new term's message is a new one.
    NotRenewed { generation: i64, expires_at: Timestamp, technical_status: Option<String> },
}

impl Event {
    /// One of [`EVENTS`].
    pub fn name(&self) -> &'static str {
        match self {
            Self::RenewalReady { .. } => "renewal.ready",
            Self::RenewalFailed { .. } => "renewal.failed",
            Self::StatusChanged { .. } => "subscription.status_changed",
            Self::Ended { .. } => "subscription.ended",
            Self::NotRenewed { .. } => "subscription.not_renewed",
        }
    }

    pub fn generation(&self) -> i64 {
        match self {
            Self::RenewalReady { generation, .. }
            | Self::RenewalFailed { generation, .. }
            | Self::StatusChanged { generation, .. }
            | Self::Ended { generation, .. }
            | Self::NotRenewed { generation, .. } => *generation,
        }
    }

    /// What tells two events of the same type and generation apart.
    fn ordinal(&self) -> i64 {
        match self {
            Self::RenewalReady { revision, .. } | Self::RenewalFailed { revision, .. } => *revision,
            Self::StatusChanged { change, .. } | Self::Ended { change, .. } => *change,
            Self::NotRenewed { expires_at, .. } => expires_at.as_unix(),
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
            data: Data { subscription: about, generation: event.generation(), event: Fields::of(event) },
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
    let order = [about.provider.as_str(), &about.partner_order_number];
    id_of(order, about.subscription_id, event.generation(), event.name(), event.ordinal())
}

/// Of the order's provider and number, the subscription, and what happened to it.
fn id_of(order: [&str; 2], subscription_id: i64, generation: i64, event: &str, ordinal: i64) -> Uuid {
    let [provider, number] = order;
    let event = format!("renewald.{event}");
    let numbers = [subscription_id, generation, ordinal].map(|number| number.to_string());
    let [subscription_id, generation, ordinal] = &numbers;
    let name = serde_json::json!([provider, number, subscription_id, generation, event, ordinal]);
    Uuid::new_v5(&NAMESPACE, name.to_string().as_bytes())
}

/// Whether a body that was stored plain is still the one that was queued under this id, as far as the ledger can tell: it is a
/// message, the id of a renewal's names its subscription and generation, and its keys have the hash that was noted. A hash is
/// empty where there were no keys to note. Sealed bodies need no such look.
pub fn is_whole(id: Uuid, body: &[u8], noted_keys: &str) -> bool {
    let Ok(Stored { id: own, data }) = serde_json::from_slice::<Stored<'_>>(body) else { return false };
    let keys = data.lines.iter().flat_map(|line| &line.serials).map(|serial| serial.data.as_bytes());
    own.is_none_or(|own| own == id)
        && (noted_keys.is_empty() || (super::hash_of(keys) == noted_keys && data.has_id(id)))
}

/// What [`is_whole`] looks at.
#[derive(Deserialize)]
struct Stored<'a> {
    id: Option<Uuid>,
    #[serde(borrow, default)]
    data: StoredData<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StoredData<'a> {
    #[serde(borrow)]
    subscription: StoredSubscription<'a>,
    generation: i64,
    revision: i64,
    #[serde(borrow)]
    lines: Vec<StoredLine<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StoredSubscription<'a> {
    #[serde(borrow)]
    provider: Cow<'a, str>,
    #[serde(borrow)]
    partner_order_number: Cow<'a, str>,
    subscription_id: i64,
}

#[derive(Deserialize)]
struct StoredLine<'a> {
    #[serde(borrow)]
    serials: Vec<StoredSerial<'a>>,
}

#[derive(Deserialize)]
struct StoredSerial<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
}

impl StoredData<'_> {
    /// As a `renewal.ready`: no other message has keys.
    fn has_id(&self, id: Uuid) -> bool {
        let StoredSubscription { provider, partner_order_number, subscription_id } = &self.subscription;
        id_of([provider, partner_order_number], *subscription_id, self.generation, "renewal.ready", self.revision) == id
    }
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
    generation: i64,
    #[serde(flatten)]
    event: Fields<'a>,
}

/// What each type has beside `subscription` and `generation`.
#[derive(Serialize)]
#[serde(untagged)]
enum Fields<'a> {
    RenewalReady {
        revision: i64,
        partner_order_number: &'a str,
        order_number: Option<i64>,
        detected_at: Timestamp,
        expires_at: Option<Timestamp>,
        warnings: &'a [Warning],
        lines: &'a [Line],
        download_manager: Option<&'a DownloadManager>,
    },
    RenewalFailed {
        revision: i64,
        partner_order_number: &'a str,
        code: Option<i64>,
        reason: FailReason,
        provider_message: String,
    },
    StatusChanged {
        from: Option<&'a str>,
        to: Option<&'a str>,
    },
    Ended {
        reason: EndReason,
    },
    NotRenewed {
        expires_at: Timestamp,
        technical_status: Option<&'a str>,
    },
}

impl<'a> Fields<'a> {
    fn of(event: &'a Event) -> Self {
        match event {
            Event::RenewalReady { revision, partner_order_number, detected_at, expires_at, delivery, .. } => {
                Self::RenewalReady {
                    revision: *revision,
                    partner_order_number,
                    order_number: delivery.order_number,
                    detected_at: *detected_at,
                    expires_at: *expires_at,
                    warnings: &delivery.warnings,
                    lines: &delivery.lines,
                    download_manager: delivery.download_manager.as_ref(),
                }
            }
            Event::RenewalFailed { revision, partner_order_number, code, reason, provider_message, .. } => {
                Self::RenewalFailed {
                    revision: *revision,
                    partner_order_number,
                    code: *code,
                    reason: *reason,
                    provider_message: without_control_characters(provider_message),
                }
            }
            Event::StatusChanged { from, to, .. } => Self::StatusChanged { from: from.as_deref(), to: to.as_deref() },
            Event::Ended { reason, .. } => Self::Ended { reason: *reason },
            Event::NotRenewed { expires_at, technical_status, .. } => {
                Self::NotRenewed { expires_at: *expires_at, technical_status: technical_status.as_deref() }
            }
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
    let mut in_text = false;
    let mut escaped = false;
    let compact = json.get().chars().filter(|&c| {
        if in_text {
            in_text = escaped || c != '"';
            escaped = !escaped && c == '\\';
            return true;
        }
        in_text = c == '"';
        !matches!(c, ' ' | '\t' | '\n' | '\r')
    });
    RawValue::from_string(compact.collect()).map_err(serde::ser::Error::custom)?.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{delivery, line};
    use super::*;

    const QUEUED_AT: i64 = 1_795_291_200; // 2026-11-21T20:00:00Z

    fn about(metadata: &str) -> About {
        About {
            provider: "nexway".to_owned(),
            territory: "eu".to_owned(),
            partner_order_number: "PARTNER689".to_owned(),
            subscription_id: 5_618_577,
            metadata: RawValue::from_string(metadata.to_owned()).unwrap(),
        }
    }

    fn ready(delivery: Delivery) -> Event {
        Event::RenewalReady {
            generation: 1,
            revision: 0,
            partner_order_number: "PARTNER689-1".to_owned(),
            detected_at: Timestamp::from_unix(QUEUED_AT - 60),
            expires_at: Some(Timestamp::from_unix(QUEUED_AT + 31_536_000)),
            delivery,
        }
    }

    fn failed(provider_message: &str) -> Event {
        Event::RenewalFailed {
            generation: 2,
            revision: 1,
            partner_order_number: "PARTNER689-2".to_owned(),
            code: Some(1010),
            reason: FailReason::NotFound,
            provider_message: provider_message.to_owned(),
        }
    }

    fn not_renewed(expires_at: i64) -> Event {
        Event::NotRenewed { generation: 0, expires_at: Timestamp::from_unix(expires_at), technical_status: None }
    }

    fn message(event: &Event) -> Message {
        Message::new(&about("{}"), event, Timestamp::from_unix(QUEUED_AT))
    }

    fn data(event: &Event) -> Value {
        let body: Value = serde_json::from_slice(&message(event).body).unwrap();
        body["data"].clone()
    }

    #[test]
    fn a_stored_body_that_was_changed_is_told_from_a_whole_one() {
        let delivery = || delivery(vec![line(&["XXXX-YYYY", "with \"quotes\""])]);
        let noted = crate::delivery::keys_hash(&delivery());
        let Message { id, body, .. } = message(&ready(delivery()));
        assert!(is_whole(id, &body, &noted));
        let text = String::from_utf8(body).unwrap();
        for (from, to) in [
            ("XXXX-YYYY", "XXXX-YYYX"),
            ("\"subscription_id\":5618577", "\"subscription_id\":5618576"),
            ("\"partner_order_number\":\"PARTNER689\"", "\"partner_order_number\":\"PARTNER688\""),
            ("\"generation\":1", "\"generation\":3"),
            ("{\"specversion", "zspecversion"),
        ] {
            assert!(text.contains(from), "{from}");
            assert!(!is_whole(id, text.replacen(from, to, 1).as_bytes(), &noted), "{from}");
        }
        // What has no keys has nothing noted; it must be a message all the same.
        assert!(is_whole(Uuid::nil(), b"{}", ""));
        assert!(!is_whole(id, b"{", ""));
    }

    #[test]
    fn renewal_ready_is_the_example_of_the_design() {
        let message = message(&ready(delivery(vec![line(&["XXXX-YYYY"])])));
        let expected = include_str!("../../tests/data/renewal-ready.json");
        assert_eq!(String::from_utf8(message.body).unwrap(), expected.trim_end());
    }

    /// The expected ids were computed with Python's `uuid.uuid5`.
    #[test]
    fn ids_are_those_of_another_implementation() {
        let id = message(&ready(delivery(vec![]))).id;
        assert_eq!(id, uuid!("ca7413ce-2f68-51bc-b542-7a17d45b4d6b"));

        let about = About { partner_order_number: "NEXWAY-\"Ü".to_owned(), subscription_id: 7, ..about("{}") };
        let message = Message::new(&about, &not_renewed(QUEUED_AT), Timestamp::from_unix(0));
        assert_eq!(message.id, uuid!("d870477d-ca44-5cfd-839f-d8307963909c"));
    }

    #[test]
    fn the_id_depends_on_neither_the_time_nor_the_content() {
        let first = message(&ready(delivery(vec![line(&["A"])])));
        let second = Message::new(&about(r#"{"a":1}"#), &ready(delivery(vec![])), Timestamp::from_unix(0));
        assert_eq!(first.id, second.id);
        assert_ne!(message(&not_renewed(1)).id, message(&not_renewed(2)).id, "another term");
    }

    #[test]
    fn every_event_fits_the_schema_and_no_other() {
        let schema: Value = serde_json::from_str(json_schema()).unwrap();
        let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap();
        let mut bare = line(&[]);
        (bare.product_ref, bare.download_until, bare.files[0].size) = (None, None, None);
        let bare = Delivery {
            order_number: None,
            lines: vec![bare],
            download_manager: None,
            warnings: vec![Warning::Partial, Warning::Empty, Warning::UnknownEncoding, Warning::LinesUnmatched],
        };
        let events = [
            ready(delivery(vec![line(&["XXXX-YYYY"])])),
            ready(bare),
            failed("no such order"),
            Event::StatusChanged { generation: 0, change: 1, from: None, to: Some("ACTIVE".to_owned()) },
            Event::Ended { generation: 0, change: 2, reason: EndReason::Cancelled },
            not_renewed(QUEUED_AT),
        ];
        for event in events {
            let mut body: Value = serde_json::from_slice(&message(&event).body).unwrap();
            let errors: Vec<_> = validator.iter_errors(&body).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:?}\n{body:#}", event.name());
            assert!(EVENTS.contains(&event.name()));
            body["data"]["surprise"] = json!(1);
            assert!(!validator.is_valid(&body), "{}: additional field accepted", event.name());
        }
    }

    #[test]
    fn the_schema_names_the_namespace_of_the_ids() {
        let schema: Value = serde_json::from_str(json_schema()).unwrap();
        let comment = schema["$comment"].as_str().unwrap();
        assert!(comment.contains(&NAMESPACE.to_string()), "{comment}");
        assert_eq!(NAMESPACE, Uuid::new_v5(&Uuid::NAMESPACE_URL, b"https://renewald.example/message"));
    }

    #[test]
    fn unknown_fields_are_present_and_null() {
        let data = data(&not_renewed(QUEUED_AT));
        assert_eq!(data["technical_status"], Value::Null);
        assert!(data.as_object().unwrap().contains_key("technical_status"));
        assert_eq!(data["expires_at"], json!("2026-11-21T20:00:00Z"));
    }

    #[test]
    fn provider_text_is_passed_on_and_only_the_failure_message_is_cleaned() {
        let hostile = "a\u{1b}[31m\u{202e}b\nc\u{9b}\u{7f}d \u{e9}";
        assert_eq!(data(&failed(hostile))["provider_message"], json!("a[31mb cd \u{e9}"));
        let mut line = line(&[hostile]);
        line.remark = hostile.to_owned();
        let ready = data(&ready(delivery(vec![line])));
        assert_eq!(ready["lines"][0]["remark"], json!(hostile));
        assert_eq!(ready["lines"][0]["serials"][0]["data"], json!(hostile));
    }

    #[test]
    fn metadata_keeps_everything_but_whitespace_between_tokens() {
        let about = about("{\n \"b\" : [ 1.0,\t12345678901234567890123 ],\r\n \"a\": \"x \\\" y \\\\\" , \"c\":\" \"}");
        let body = Message::new(&about, &failed(""), Timestamp::from_unix(0)).body;
        let body = String::from_utf8(body).unwrap();
        let expected = r#""metadata":{"b":[1.0,12345678901234567890123],"a":"x \" y \\","c":" "}}"#;
        assert!(body.contains(expected), "{body}");
        assert!(!body.contains(['\n', '\r']));
        assert!(!format!("{about:?}").contains("123456"), "metadata in Debug");
    }
}
