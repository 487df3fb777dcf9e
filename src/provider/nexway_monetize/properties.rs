//! What holds for any answer: nothing panics, and no key of somebody else comes out.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::*;
use crate::clock::Timestamp;
use crate::provider::Seen;

const NOW: Timestamp = Timestamp::constant(1_780_000_000);

/// Values as they should be, and of every wrong type.
fn odd() -> impl Strategy<Value = Value> {
    let plain = select(vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(1),
        json!(1.5),
        json!(1_786_780_800_000_i64),
        json!(u64::MAX),
        json!("1"),
        json!(""),
        json!("COMPLETED"),
        json!("SUBSCRIPTION"),
        json!("OFFER"),
        json!("MID_TERM_UPGRADE"),
        json!("Dunning"),
        json!("2026-08-15T08:00:00Z"),
        json!("s"),
        json!("other"),
    ]);
    plain.prop_recursive(3, 16, 4, |inner| {
        let key = select(vec!["id", "status", "generation", "lineItemId", "subscriptionId", "url", "currencyCode"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

fn object(keys: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop::collection::btree_map(select(keys), odd(), 0..keys.len()).prop_map(|map| json!(map))
}

const SUBSCRIPTION_KEYS: &[&str] = &[
    "id",
    "lifecycle",
    "products",
    "updateDate",
    "dbVersion",
    "externalRefId",
    "paymentMethodIsNoLongerReplayable",
    "currency",
];
const ORDER_KEYS: &[&str] = &[
    "id",
    "subscriptionId",
    "generationId",
    "source",
    "offerSubSource",
    "status",
    "lifeCycleStatus",
    "paymentStatus",
    "payments",
    "lineItems",
    "currency",
    "totalAmount",
    "createDate",
    "updateDate",
    "paymentDeadline",
];

/// A row whose key says whom it is for.
fn row() -> impl Strategy<Value = Value> {
    let owner =
        select(vec![json!("s"), json!("S"), json!("other"), json!(null), json!(""), json!({"id": "s"}), json!(["s"])]);
    let order = select(vec![json!("O1"), json!("o1"), json!("O2"), json!(null), json!({})]);
    let line = select(vec![json!("l1"), json!("l2"), json!("l9"), json!(null), json!([])]);
    (owner, order, line, odd()).prop_map(|(owner, order, line, status)| {
        let key = format!("{owner}|{order}|{line}");
        json!({"subscriptionId": owner, "orderId": order, "lineItemId": line, "processingStatus": status, "activationCode": key})
    })
}

proptest! {
    #[test]
    fn no_answer_about_a_subscription_panics(mut body in object(SUBSCRIPTION_KEYS), orders in prop::collection::vec(object(ORDER_KEYS), 0..6),
                                             lifecycle in object(&["status", "generation", "anniversaryDate", "nextBillingDate"]),
                                             is_whole: bool) {
        body["lifecycle"] = lifecycle;
        if let Ok(subscription) = subscription::read(body.to_string().as_bytes(), NOW) {
            let orders = orders.iter().filter_map(|order| order::read(order.to_string().as_bytes(), NOW).ok());
            let orders = Orders { all: orders.collect(), is_whole };
            let mut memo = None;
            for _ in 0..2 {
                let seen = sighting::sighting(&subscription, Some(&orders), memo.as_ref(), NOW);
                match seen.seen {
                    Seen::Counted { generation, .. } => prop_assert_eq!(Some(generation), subscription.generation),
                    _ => prop_assert!(subscription.generation.is_none()),
                }
                prop_assert!(memo.is_none() || seen.offers.is_empty(), "each is told once");
                prop_assert!(seen.memo.as_ref().is_none_or(|memo| memo.len() < 4096));
                memo = Memo::read(seen.memo.as_deref());
            }
        }
    }

    #[test]
    fn no_body_panics(bytes: Vec<u8>, text in "[\\[{\"a-z:,0-9}\\]]*") {
        for body in [&bytes[..], text.as_bytes()] {
            drop(subscription::read(body, NOW));
            drop(order::read(body, NOW));
            drop(Page::<rows::Body<'_>>::read(body));
            drop(Page::<order::Body<'_>>::read(body));
        }
    }

    #[test]
    fn only_our_keys_come_out(order in object(ORDER_KEYS), rows in prop::collection::vec(row(), 0..8),
                              lines in prop::collection::vec(object(&["id", "subscriptionId"]), 0..3), is_ours: bool) {
        let mut order = order;
        order["id"] = json!("O1");
        order["lineItems"] = json!(lines);
        if is_ours {
            order["subscriptionId"] = json!("s");
        }
        let rows = Value::from(rows).to_string();
        let page = Page::<rows::Body<'_>>::read(rows.as_bytes()).unwrap();
        let order = order::read(order.to_string().as_bytes(), NOW).unwrap();
        let is_of_us = order.is_of("s");
        let answer = part::Answer {
            order,
            is_named: false,
            rows: page.items.all.into_iter().map(Row::of).collect(),
            file_link: None,
            known_lines: vec!["l1".to_owned()],
        };
        let part = part::part(&answer, "s");
        for serial in part.delivery.iter().flat_map(|delivery| delivery.serials()) {
            let key = serial.data.reveal();
            let (owner, rest) = key.split_once('|').unwrap();
            prop_assert!(is_of_us, "{}", key);
            prop_assert!(matches!(owner, "\"s\"" | "\"S\"" | "null" | "\"\""), "{}", key);
            prop_assert!(rest.starts_with("\"O1\"") || rest.starts_with("\"o1\"") || rest.starts_with("null"), "{}", key);
            prop_assert!(!rest.ends_with("\"l9\"") || owner.eq_ignore_ascii_case("\"s\""), "{}", key);
        }
    }
}
