//! The message against the design's example, another implementation's ids and its own schema.

use serde_json::{Value, json};

use super::super::tests::{delivery, line};
use super::*;
use crate::delivery::Warning;

const QUEUED_AT: i64 = 1_795_291_200; // 2026-11-21T20:00:00Z

fn about(metadata: &str) -> About {
    About {
        provider: "nexway".to_owned(),
        territory: "eu".to_owned(),
        partner_order_number: "PARTNER689".to_owned(),
        subscription_id: "5618577".to_owned(),
        partner_reference: None,
        is_numbered: true,
        metadata: RawValue::from_string(metadata.to_owned()).unwrap(),
    }
}

fn renewal(generation: i64, revision: i64) -> Renewal {
    let reference = format!("PARTNER689-{generation}");
    Renewal { generation, revision, partner_order_number: Some(reference.clone()), reference }
}

fn ready(delivery: Delivery) -> Event {
    Event::RenewalReady {
        renewal: renewal(1, 0),
        occasion: Occasion::Renewal,
        late: false,
        detected_at: Timestamp::from_unix(QUEUED_AT - 60),
        expires_at: Some(Timestamp::from_unix(QUEUED_AT + 31_536_000)),
        delivery,
    }
}

fn failed(provider_message: &str) -> Event {
    Event::RenewalFailed {
        renewal: renewal(2, 1),
        code: Some(1010),
        reason: FailReason::NotFound,
        provider_message: provider_message.to_owned(),
    }
}

fn not_renewed(expires_at: i64) -> Event {
    Event::NotRenewed { generation: 0, expires_at: Timestamp::from_unix(expires_at), technical_status: None }
}

fn due(expires_at: i64) -> Event {
    Event::RenewalDue { generation: 0, expires_at: Timestamp::from_unix(expires_at), technical_status: None }
}

fn failing(since: Option<i64>, episode: i64) -> Event {
    let (since, reason) = (since.map(Timestamp::from_unix), "PAYMENT_REFUSED".to_owned());
    Event::PaymentFailing { generation: 2, since, will_retry: None, reason, episode }
}

fn offer(state: OfferState, discount: Option<Discount>) -> Event {
    Event::Offer { generation: 1, order_number: "42WRN".to_owned(), state, discount }
}

fn message(event: &Event) -> Message {
    Message::new(&about("{}"), event, Timestamp::from_unix(QUEUED_AT))
}

fn data(event: &Event) -> Value {
    let body: Value = serde_json::from_slice(&message(event).body).unwrap();
    body["data"].clone()
}

#[test]
fn renewal_ready_is_the_example_of_the_design() {
    let message = message(&ready(delivery(vec![line(&["XXXX-YYYY"])])));
    let expected = include_str!("../../../tests/data/renewal-ready.json");
    assert_eq!(String::from_utf8(message.body).unwrap(), expected.trim_end());
}

/// The expected ids were computed with Python's `uuid.uuid5`.
#[test]
fn ids_are_those_of_another_implementation() {
    let id = message(&ready(delivery(vec![]))).id;
    assert_eq!(id, uuid!("97084a54-52fc-5ba5-a0c7-cc716ffdeb9e"));

    let about =
        About { partner_order_number: "NEXWAY-\"Ü".to_owned(), subscription_id: "7".to_owned(), ..about("{}") };
    let message = Message::new(&about, &not_renewed(QUEUED_AT), Timestamp::from_unix(0));
    assert_eq!(message.id, uuid!("1abd039f-bee6-5129-a41e-3ec39aacccf1"));

    assert_eq!(self::message(&due(QUEUED_AT)).id, uuid!("367f11ec-a16b-5ec3-8d01-5bc4304e197d"));

    assert_eq!(self::message(&failing(Some(QUEUED_AT), 3)).id, uuid!("34992b6d-3c92-53f8-89d1-85b491495e92"));
    assert_eq!(self::message(&failing(None, 3)).id, uuid!("714fd09e-debd-524f-96a8-676bf917137e"));

    let (id, is_numbered) = ("sub-7".to_owned(), false);
    let about = About { provider: "monetize".to_owned(), subscription_id: id, is_numbered, ..self::about("{}") };
    let changed = Event::StatusChanged { generation: 0, change: 3, from: None, to: None };
    let message = Message::new(&about, &changed, Timestamp::from_unix(0));
    assert_eq!(message.id, uuid!("f77cd702-4f1e-5330-a5fa-8b0a1a27d3e0"), "the number is no part of it");
    let message = Message::new(&about, &offer(OfferState::Accepted, None), Timestamp::from_unix(0));
    assert_eq!(message.id, uuid!("9bb6af9d-9733-5537-b771-bf391efc3308"));
}

#[test]
fn the_id_depends_on_neither_the_time_nor_the_content() {
    let first = message(&ready(delivery(vec![line(&["A"])])));
    let second = Message::new(&about(r#"{"a":1}"#), &ready(delivery(vec![])), Timestamp::from_unix(0));
    assert_eq!(first.id, second.id);
    assert_ne!(message(&not_renewed(1)).id, message(&not_renewed(2)).id, "another term");
    assert_ne!(message(&not_renewed(1)).id, message(&due(1)).id);
}

#[test]
fn every_event_fits_the_schema_and_no_other() {
    let schema: Value = serde_json::from_str(json_schema()).unwrap();
    let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap();
    let mut bare = line(&[]);
    (bare.product_ref, bare.download_until, bare.files[0].size) = (None, None, None);
    let bare = Delivery {
        lines: vec![bare],
        warnings: vec![Warning::Partial, Warning::Empty, Warning::UnknownEncoding, Warning::LinesUnmatched],
        ..Delivery::default()
    };
    let rate = Some("0.2".to_owned());
    let discount = Discount { code: None, label: None, rate, amount: None, currency: None };
    let events = [
        ready(delivery(vec![line(&["XXXX-YYYY"])])),
        ready(bare),
        failed("no such order"),
        Event::StatusChanged { generation: 0, change: 1, from: None, to: Some("ACTIVE".to_owned()) },
        failing(Some(QUEUED_AT), 1),
        failing(None, 1),
        offer(OfferState::Aborted, None),
        offer(OfferState::Used, Some(discount)),
        due(QUEUED_AT),
        Event::Ended { generation: -1, expires_at: None, reason: EndReason::Cancelled },
        not_renewed(QUEUED_AT),
        Event::Discovered { created_at: None },
        Event::Discovered { created_at: Some(Timestamp::from_unix(QUEUED_AT)) },
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
    let failing =
        Event::PaymentFailing { generation: 1, since: None, will_retry: None, reason: hostile.into(), episode: 1 };
    assert_eq!(data(&failing)["reason"], json!("a[31mb cd \u{e9}"));
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
