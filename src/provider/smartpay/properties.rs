//! What holds for any answer: nothing panics, and whatever the lists come to, each captured cycle is delivered once, under a label that
//! never changes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::subscription::Subscription;
use super::*;
use crate::clock::Timestamp;
use crate::provider::Payment;

const NOW: Timestamp = Timestamp::constant(1_780_000_000);

/// Values as they should be, and of every wrong type.
fn odd() -> impl Strategy<Value = Value> {
    let plain = select(vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(""),
        json!("Captured"),
        json!("Failed"),
        json!("overdue"),
        json!("canceled"),
        json!("2026-05-01"),
        json!("2026-05-01T10:00:00.12Z"),
        json!("Europe/Berlin"),
        json!("a"),
    ]);
    plain.prop_recursive(3, 16, 4, |inner| {
        let key = select(vec!["id", "status", "amount", "key"]);
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
    "status",
    "createdAt",
    "updatedAt",
    "deletedAt",
    "nextBillingDate",
    "trialEndDate",
    "timezone",
    "billingCyclesRemaining",
    "externalMerchantId",
    "customerAccountId",
    "merchantMetadata",
    "planId",
];
const CYCLE_KEYS: &[&str] = &[
    "id",
    "status",
    "paidAt",
    "updatedAt",
    "billingDate",
    "billingPeriodStart",
    "billingPeriodEnd",
    "amount",
    "currency",
    "subscriptionId",
    "transactions",
];

fn subscription(status: &str, version: usize) -> Subscription {
    let body = json!({"id": "a", "status": status, "updatedAt": format!("2026-05-01T10:00:{:02}.00Z", version % 60)});
    subscription::read(body.to_string().as_bytes(), NOW).unwrap()
}

/// How one of ten cycles stands by then: unpaid, or captured at some time.
fn cycles(states: &[Option<i64>], is_whole: bool) -> Cycles {
    let one = |(n, paid): (usize, &Option<i64>)| {
        let at = |hours: i64| Timestamp::from_unix(NOW.as_unix() - hours * 3600).to_string();
        let status = if paid.is_some() { "Captured" } else { "Failed" };
        let body =
            json!({"id": format!("C{n}"), "status": status, "paidAt": paid.map(at), "billingDate": "2026-05-01"});
        Cycle::of(&serde_json::from_str(&body.to_string()).unwrap(), NOW).unwrap()
    };
    Cycles { all: states.iter().enumerate().map(one).collect(), is_whole, is_short: !is_whole }
}

proptest! {
    #[test]
    fn no_answer_panics(body in object(SUBSCRIPTION_KEYS), rows in prop::collection::vec(object(CYCLE_KEYS), 0..6), is_whole: bool) {
        if let Ok(subscription) = subscription::read(body.to_string().as_bytes(), NOW) {
            let cycle = |row: &Value| Cycle::of(&serde_json::from_str(&row.to_string()).unwrap(), NOW);
            let cycles = Cycles { all: rows.iter().filter_map(cycle).collect(), is_whole, is_short: false };
            let mut memo = None;
            for _ in 0..2 {
                let before = Before { memo: memo.as_ref(), generation: Some(0), first: 0 };
                let seen = sighting::sighting(&subscription, Some(&cycles), before, NOW);
                prop_assert!(seen.memo.as_ref().is_none_or(|memo| memo.len() < 2048));
                prop_assert!(is_whole || memo.is_some() || seen.memo.is_none(), "what is not whole is no beginning");
                memo = Memo::read(seen.memo.as_deref()).or(memo);
            }
        }
        for row in &rows {
            let text = row.to_string();
            for reference in ["a", "billingcycle-a"] {
                drop(read_fetch(Given { status: 200, body: text.as_bytes(), at: NOW }, SUBJECT, reference));
            }
        }
    }

    #[test]
    fn no_body_panics(bytes: Vec<u8>, text in "[\\[{\"a-z:,0-9}\\]]*") {
        for body in [&bytes[..], text.as_bytes()] {
            drop(subscription::read(body, NOW));
            drop(page::Page::read(body));
            drop(read_look(Given { status: 200, body, at: NOW }, SUBJECT));
        }
    }

    /// Looks at ten cycles in any order of capture, some of which see a part of the list, and some none: once a whole list was seen each
    /// capture is told, none before it is captured, and a payment that fails is that of a label which nothing has.
    #[test]
    fn each_capture_is_told_and_no_label_is_promised_twice(
        captured in prop::collection::vec(prop::option::of(0..2000_i64), 10),
        looks in prop::collection::vec((0..=10_usize, 0..10_usize, any::<bool>()), 1..12),
    ) {
        let mut labels: BTreeMap<String, i64> = BTreeMap::new();
        let (mut memo, mut generation) = (None::<Memo>, None::<i64>);
        for (version, (upto, from, is_overdue)) in looks.into_iter().enumerate() {
            let (from, is_whole) = (from.min(upto), from == 0);
            let all = cycles(&captured[from..upto], is_whole);
            let status = if is_overdue { "overdue" } else { "active" };
            let before = Before { memo: memo.as_ref(), generation, first: 0 };
            let seen = sighting::sighting(&subscription(status, version), Some(&all), before, NOW);
            let Seen::Listed { deliveries, .. } = seen.seen else {
                prop_assert!(memo.is_none() && !is_whole);
                continue;
            };
            let paid: BTreeSet<_> = all.paid().into_iter().map(|(reference, _)| reference.to_owned()).collect();
            let told: BTreeSet<_> = deliveries.iter().map(|one| one.reference.clone()).collect();
            prop_assert_eq!(&told, &paid);
            for one in deliveries {
                let next = labels.values().max().map_or(0, |highest| highest + 1);
                labels.entry(one.reference).or_insert(next);
            }
            generation = labels.values().max().copied().or(Some(-1));
            if let Payment::Failing(failing) = seen.payment && is_whole {
                prop_assert!(Some(failing.generation) > generation, "{failing:?} of {labels:?}");
            }
            memo = Memo::read(seen.memo.as_deref()).or(memo);
        }
    }
}

const SUBJECT: Subject<'_> = Subject {
    territory: "default",
    partner_order_number: "a",
    subscription_id: "a",
    generation: Some(0),
    memo: None,
    is_hinted: false,
};
