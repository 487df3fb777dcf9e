//! What holds for any answer, and for any order in which orders become visible and periods move on.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::{Value, json};

use super::subscription::Subscription;
use super::*;
use crate::clock::Timestamp;
use crate::provider::{Listed, Seen};
use crate::renewal::properties::config;

const T0: i64 = 1_780_000_000;
const DAY: i64 = 86_400;
/// Days of a term, and how long before its beginning it is billed.
const TERM: i64 = 30;
const AHEAD: i64 = 5;

fn at(day: i64) -> Timestamp {
    Timestamp::from_unix(T0 + day * DAY)
}

/// One term after the first, in days after it was billed.
#[derive(Clone, Debug)]
struct Term {
    /// When its order is made, and how long after that it is to be seen; `None`: never.
    order: Option<(i64, i64)>,
    /// When the end of the period moves on.
    moves: i64,
    /// Its order is not paid for so long after it is to be seen.
    unpaid: i64,
}

impl Term {
    fn any() -> impl Strategy<Value = Self> {
        (prop::option::weighted(0.8, (0..8_i64, prop_oneof![4 => 0..3_i64, 1 => 0..40_i64])), 0..15_i64, 0..4_i64)
            .prop_map(|(order, moves, unpaid)| Self { order, moves, unpaid })
    }
}

fn billed(term: usize) -> i64 {
    (term as i64 + 1) * TERM - AHEAD
}

/// The days on which what the platform shows is another.
fn changes(terms: &[Term]) -> BTreeSet<i64> {
    let of = |(number, term): (usize, &Term)| {
        let seen = term.order.map(|(made, seen)| billed(number) + made + seen);
        [Some(billed(number) + term.moves), seen, seen.map(|seen| seen + term.unpaid)]
    };
    terms.iter().enumerate().flat_map(of).flatten().collect()
}

/// What the platform shows on a day: the subscription, and its orders.
fn shown(terms: &[Term], day: i64, names_terms: bool) -> (Subscription, Vec<Order>) {
    let moved = terms.iter().enumerate().filter(|(at, term)| billed(*at) + term.moves <= day).count() as i64;
    let (start, end) = (moved * TERM, (moved + 1) * TERM);
    let subscription = json!({"id": "s", "state": "active", "createdTime": at(0).to_string(), "currentPeriodStartDate": at(start).to_string(),
                              "currentPeriodEndDate": at(end).to_string(), "nextInvoiceDate": at(end - AHEAD).to_string()});
    let order = |id: String, made: i64, kind: &str, state: &str, from: i64| {
        let mut info = json!({"subscriptionId": "s"});
        if names_terms {
            info["endTime"] = json!(at(from + TERM).to_string());
        }
        let body = json!({"id": id, "state": state, "createdTime": at(made).to_string(), "items": [{"subscriptionInfo": info}],
                          "payment": {"charges": [{"type": kind}]}});
        order::read(body.to_string().as_bytes(), at(day)).unwrap()
    };
    let mut orders = vec![order("first".to_owned(), 0, "customer_initiated", "complete", 0)];
    for (number, term) in terms.iter().enumerate() {
        let Some((made, seen)) = term.order else { continue };
        let made = billed(number) + made;
        if made + seen <= day {
            let state = if made + seen + term.unpaid <= day { "accepted" } else { "pending_payment" };
            orders.push(order(format!("O{number}"), made, "merchant_initiated", state, (number as i64 + 1) * TERM));
        }
    }
    (subscription::read(subscription.to_string().as_bytes(), at(day)).unwrap(), orders)
}

/// At each turn the orders come in another order.
fn look(
    (subscription, orders): &(Subscription, Vec<Order>),
    memo: Option<&str>,
    is_hinted: bool,
    day: i64,
    turn: usize,
) -> Sighting {
    let is_read = is_hinted || Memo::read(memo).is_none_or(|memo| memo.is_stale(subscription, at(day)));
    let turned = || {
        let mut orders = orders.clone();
        let by = turn % orders.len();
        orders.rotate_left(by);
        orders
    };
    let subject = Subject {
        territory: "default",
        partner_order_number: "s",
        subscription_id: "s",
        generation: Some(0),
        memo,
        is_hinted,
    };
    sighting::sighting(subject, subscription, is_read.then(|| (turned(), false)).as_ref(), at(day))
}

fn listed(sighting: &Sighting) -> &[Listed] {
    match &sighting.seen {
        Seen::Listed { deliveries, .. } => deliveries,
        other => panic!("{other:?}"),
    }
}

fn lived_through(terms: &[Term], hints: &[bool], names_terms: bool) -> Result<(), TestCaseError> {
    let (changes, mut platform) = (changes(terms), shown(terms, 0, names_terms));
    let mut memo: Option<String> = None;
    // As the core does it: by the first look at which each was listed.
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for day in 1..=(terms.len() as i64 + 3) * TERM {
        let turn = day as usize;
        let is_hinted = hints[turn % hints.len()] && turn.is_multiple_of(3);
        if changes.contains(&day) {
            platform = shown(terms, day, names_terms);
        }
        let seen = look(&platform, memo.as_deref(), is_hinted, day, turn);
        let mut new: Vec<_> = listed(&seen).iter().filter(|one| !known.contains_key(&one.reference)).collect();
        new.sort_by_key(|one| (one.completed_at, one.reference.clone()));
        for one in new {
            known.insert(one.reference.clone(), known.len());
        }
        prop_assert!(seen.memo.as_ref().is_some_and(|memo| memo.len() < 4096));
        memo = seen.memo;
    }
    prop_assert_eq!(known.get("first"), Some(&0));
    let periods = Memo::read(memo.as_deref()).unwrap().periods;
    let of_told: BTreeSet<_> =
        periods.iter().filter(|period| period.told).filter_map(|period| period.order.clone()).collect();
    let mut beside = 0;
    for (number, term) in terms.iter().enumerate() {
        let (order, end) = (format!("O{number}"), at((number as i64 + 2) * TERM));
        let (by_period, by_order) = (known.contains_key(&Reference::of_period(end)), known.contains_key(&order));
        match term.order {
            Some((made, seen)) if by_period && by_order => {
                let (moved, paid) = (billed(number) + term.moves, billed(number) + made + seen + term.unpaid);
                prop_assert!(paid >= moved + 28, "{order} was looked for when it came: {known:?}");
                beside += 1;
            }
            Some(_) => prop_assert!(by_order != of_told.contains(&order), "{order} in {known:?}, {of_told:?}"),
            None => prop_assert!(by_period, "{end} in {known:?}"),
        }
    }
    prop_assert_eq!(known.len(), terms.len() + 1 + beside, "{:?}", known);
    Ok(())
}

/// However late orders appear, in whichever order, and whether a term has one at all: each term is delivered exactly once, and no
/// order under two names; but for one that comes when its term was told a month ago, which nobody looks for any more. A case is months
/// with a look a day, ten thousand of which would take longer than all other properties together: so many are tried, whatever is asked
/// for, which the macro would not allow.
#[test]
fn each_term_is_delivered_exactly_once() {
    let cases = (prop::collection::vec(Term::any(), 1..7), prop::collection::vec(any::<bool>(), 16), any::<bool>());
    let mut runner = TestRunner::new(ProptestConfig { cases: 256, ..config() });
    let tried = runner.run(&cases, |(terms, hints, names_terms)| lived_through(&terms, &hints, names_terms));
    tried.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Values as they should be, and of every wrong type.
fn odd() -> impl Strategy<Value = Value> {
    let plain = select(vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(26.94),
        json!(1_786_780_800_000_i64),
        json!(u64::MAX),
        json!(""),
        json!("active"),
        json!("activePendingInvoice"),
        json!("accepted"),
        json!("2026-08-15T08:00:00Z"),
        json!("2026-08-15T08:00:00.123+0000"),
        json!("s"),
        json!("other"),
    ]);
    plain.prop_recursive(3, 16, 4, |inner| {
        let key = select(vec!["id", "state", "subscriptionId", "endTime", "charges", "failureCode", "key"]);
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
    "state",
    "stateTransitions",
    "customerId",
    "updatedTime",
    "createdTime",
    "currentPeriodStartDate",
    "currentPeriodEndDate",
    "nextInvoiceDate",
    "metadata",
];
const ORDER_KEYS: &[&str] =
    &["state", "createdTime", "currency", "totalAmount", "capturedAmount", "payment", "invoicePDFs", "metadata"];

/// An item whose key says whom it is for.
fn item() -> impl Strategy<Value = Value> {
    select(vec![json!("s"), json!("S"), json!("other"), json!(null), json!(["s"]), json!({})]).prop_map(
        |owner| json!({"subscriptionInfo": {"subscriptionId": owner}, "metadata": {"key": format!("of {owner}")}}),
    )
}

proptest! {
    #[test]
    fn no_answer_panics(bytes: Vec<u8>, mut body in object(SUBSCRIPTION_KEYS), orders in prop::collection::vec(object(ORDER_KEYS), 0..4),
                        items in prop::collection::vec(item(), 0..3)) {
        drop(subscription::read(&bytes, at(0)));
        drop(order::read(&bytes, at(0)));
        body["id"] = json!("s");
        let orders = orders.into_iter().enumerate().map(|(at, mut order)| {
            (order["id"], order["items"]) = (json!(format!("O{at}")), json!(items));
            order
        });
        let orders = orders.map(|order| order::read(order.to_string().as_bytes(), at(0)).unwrap()).collect::<Vec<_>>();
        let shown = (subscription::read(body.to_string().as_bytes(), at(0)).unwrap(), orders);
        if shown.1.is_empty() {
            return Ok(());
        }
        let mut memo = None;
        for turn in 0..3 {
            let seen = look(&shown, memo.as_deref(), false, turn as i64, turn);
            prop_assert!(listed(&seen).len() <= shown.1.len(), "nothing moves, and nothing is made up");
            memo = seen.memo;
        }
    }

    #[test]
    fn only_our_keys_come_out(mut order in object(ORDER_KEYS), items in prop::collection::vec(item(), 0..4)) {
        (order["id"], order["items"], order["state"]) = (json!("O"), json!(items), json!("accepted"));
        order["metadata"] = json!({"key": "of the order"});
        let order = order::read(order.to_string().as_bytes(), at(0)).unwrap();
        let is_whole = order.items.iter().all(|item| item.subscription.as_deref() == Some("s"));
        let (subscription, keys_pointer) = (json!({"key": "of the subscription"}), Some("/key".to_owned()));
        let answer = Answer { order, keys_pointer, subscription, documents: Vec::new(), period: None };
        let part = part::part(&answer, "s");
        for serial in part.delivery.iter().flat_map(|delivery| delivery.serials()) {
            let key = serial.data.reveal();
            prop_assert!(key == "of \"s\"" || key == "of the subscription" || (key == "of the order" && is_whole), "{}", key);
        }
    }
}
