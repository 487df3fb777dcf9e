//! What is told of orders, and when: each thing once.

use serde_json::{Value, json};

use super::*;
use crate::provider::nexway_monetize::{order, subscription};

const NOW: Timestamp = Timestamp::constant(1_780_000_000);
const DAY: i64 = 86_400;

fn at(days: i64) -> i64 {
    (NOW.as_unix() + days * DAY) * 1000
}

fn after(days: i64) -> Option<Timestamp> {
    Some(Timestamp::from_unix(NOW.as_unix() + days * DAY))
}

fn order(id: &str, source: &str, status: &str, generation: i64, fields: Value) -> Order {
    let mut body = json!({"id": id, "subscriptionId": "s", "source": source, "status": status,
                          "generationId": generation.to_string(), "createDate": at(-10)});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    order::read(body.to_string().as_bytes(), NOW).unwrap()
}

fn subscribed(lifecycle: Value) -> Subscription {
    subscription::read(json!({"id": "s", "lifecycle": lifecycle}).to_string().as_bytes(), NOW).unwrap()
}

fn whole(all: &[&Order]) -> Orders {
    Orders { all: all.iter().map(|order| (*order).clone()).collect(), is_whole: true }
}

/// The news of a subscription in its first paid term.
fn told(orders: &Orders, memo: Option<&Memo>) -> News {
    read(orders, 0, &subscribed(json!({"status": "Active"})), memo, NOW)
}

fn names(news: &News) -> Vec<&str> {
    news.besides.iter().map(|listed| listed.reference.as_str()).collect()
}

fn states(news: &News) -> Vec<(&str, OfferState)> {
    news.offers.iter().map(|offer| (offer.order_number.as_str(), offer.state)).collect()
}

#[test]
fn an_upgrade_is_listed_once_it_is_paid_for_and_looked_for_until_then() {
    for (status, is_listed, is_settled) in [
        ("CREATED", false, false),
        ("PAYMENT_PENDING", false, false),
        ("PAYMENT_REFUSED", false, false),
        ("PARTIAL_COMPLETED", true, false),
        ("COMPLETED", true, true),
        ("FORCE_COMPLETED", true, true),
        ("ABORTED", false, true),
        ("CANCELED", false, true),
    ] {
        for source in ["MID_TERM_UPGRADE", "UPGRADE"] {
            let news = told(&whole(&[&order("U", source, status, 0, json!({"updateDate": at(-1)}))]), None);
            assert_eq!((names(&news).len() == 1, news.memo.listed_at.is_some()), (is_listed, is_settled), "{status}");
            assert!(news.besides.iter().all(|one| one.completed_at == after(-1) && one.occasion == Occasion::Upgrade));
        }
    }
    let others = ["PURCHASE", "SUBSCRIPTION", "OFFER", "MANUAL_RENEWAL", "BILLING_PLAN", "UNKNOWN", ""];
    let others: Vec<_> = others
        .iter()
        .map(|source| order(&format!("O{source}"), source, "COMPLETED", 0, json!({})))
        .chain(None)
        .collect();
    assert_eq!(names(&told(&Orders { all: others, is_whole: true }, None)), [""; 0]);
    assert_eq!(
        told(&Orders::default(), None).memo.listed_at,
        None,
        "a list that was not read to its end is read again"
    );
}

#[test]
fn the_order_of_the_coming_term_alone_says_nothing() {
    for status in ["CREATED", "PAYMENT_PENDING", "FRAUD_PENDING", "PENDING", "COMPLETED", "ABORTED", "NEW", ""] {
        let news = told(&whole(&[&order("N", "SUBSCRIPTION", status, 1, json!({}))]), Some(&Memo::default()));
        assert_eq!((news.payment, news.besides.len(), news.offers.len()), (Payment::Fine, 0, 0), "{status}");
    }
}

#[test]
fn a_payment_fails_on_the_platforms_word_and_for_the_coming_term_only() {
    let refused =
        |generation| order("R", "SUBSCRIPTION", "PAYMENT_REFUSED", generation, json!({"paymentDeadline": at(5)}));
    let news = told(&whole(&[&refused(1)]), None);
    let failing =
        Failing { generation: 1, since: after(-10), will_retry: Some(true), reason: "PAYMENT_REFUSED".to_owned() };
    assert_eq!(news.payment, Payment::Failing(Box::new(failing)));
    for other in [0, 2] {
        assert_eq!(told(&whole(&[&refused(other)]), None).payment, Payment::Fine, "{other}");
    }
    let upgrade = order("U", "MID_TERM_UPGRADE", "PAYMENT_REFUSED", 1, json!({}));
    assert_eq!(told(&whole(&[&upgrade]), None).payment, Payment::Fine);
    let paid = order("G", "MANUAL_RENEWAL", "COMPLETED", 1, json!({}));
    assert_eq!(told(&whole(&[&refused(1), &paid]), None).payment, Payment::Fine);
    let dunning = read(&whole(&[]), 0, &subscribed(json!({"status": "Dunning"})), None, NOW);
    assert_eq!(dunning.payment, Payment::Fine, "being charged is a normal step");
    let unpaid = read(&Orders::default(), 0, &subscribed(json!({"status": "unpaid"})), None, NOW);
    assert!(
        matches!(unpaid.payment, Payment::Failing(failing) if failing.reason == "unpaid" && failing.generation == 1)
    );
}

#[test]
fn an_episode_keeps_its_beginning_through_every_attempt() {
    let lifecycle = json!({"status": "Dunning", "firstChargeAttemptDate": at(-3), "nextBillingDate": at(2)});
    let look = |status: &str, memo: Option<&Memo>, lifecycle: &Value| {
        let orders = whole(&[&order("R", "SUBSCRIPTION", status, 1, json!({}))]);
        read(&orders, 0, &subscribed(lifecycle.clone()), memo, NOW)
    };
    let first = look("PAYMENT_REFUSED", None, &lifecycle);
    let Payment::Failing(failing) = &first.payment else { panic!("{:?}", first.payment) };
    assert_eq!((failing.since, failing.will_retry), (after(-3), Some(true)));
    let charging = look("PAYMENT_PENDING", Some(&first.memo), &lifecycle);
    assert_eq!((charging.payment, charging.memo.failing), (Payment::Untold, first.memo.failing));
    let moved = json!({"status": "Dunning", "firstChargeAttemptDate": at(-1)});
    let again = look("PAYMENT_REFUSED", Some(&charging.memo), &moved);
    assert!(matches!(again.payment, Payment::Failing(failing) if failing.since == after(-3)));
    let paid = look("COMPLETED", Some(&again.memo), &moved);
    assert_eq!((paid.payment, paid.memo.failing), (Payment::Fine, None));
    let ended = look("PAYMENT_REFUSED", Some(&first.memo), &json!({"status": "Expired"}));
    assert!(matches!(ended.payment, Payment::Failing(failing) if failing.will_retry == Some(false)));
}

#[test]
fn an_order_without_a_generation_is_the_coming_ones_while_it_is_the_newest() {
    let unnamed =
        |days| order("R", "SUBSCRIPTION", "PAYMENT_REFUSED", 0, json!({"generationId": null, "createDate": at(days)}));
    assert!(matches!(told(&whole(&[&unnamed(-3)]), None).payment, Payment::Failing(_)));
    let newer = order("G", "SUBSCRIPTION", "COMPLETED", 0, json!({"createDate": at(-2)}));
    assert_eq!(told(&whole(&[&unnamed(-3), &newer]), None).payment, Payment::Fine);
}

#[test]
fn what_becomes_of_an_offer_is_told_once() {
    let line = json!([{"discountRate": "0.20", "price": {"discountedPrice": {"discountCode": "STAY"}}}]);
    let fields = json!({"offerSubSource": "SUSPEND", "totalAmount": "39.90", "currency": "EUR", "lineItems": line});
    let look = |status: &str, count: i64, memo: Option<&Memo>| {
        let orders = whole(&[&order("O", "OFFER", status, 1, fields.clone())]);
        read(&orders, count, &subscribed(json!({"status": "Active"})), memo, NOW)
    };
    let accepted = look("CREATED", 0, None);
    assert_eq!(states(&accepted), [("O", OfferState::Accepted)]);
    let discount = Discount {
        code: Some("STAY".to_owned()),
        label: None,
        rate: Some("0.20".to_owned()),
        amount: Some("39.90".to_owned()),
        currency: Some("EUR".to_owned()),
    };
    assert_eq!(accepted.offers[0].discount, Some(discount));
    for (status, count) in [("CREATED", 0), ("PAYMENT_REFUSED", 0), ("COMPLETED", 0)] {
        assert_eq!(states(&look(status, count, Some(&accepted.memo))), [], "{status}");
    }
    let used = look("COMPLETED", 1, Some(&accepted.memo));
    assert_eq!(states(&used), [("O", OfferState::Used)]);
    assert_eq!(states(&look("COMPLETED", 1, Some(&used.memo))), []);
    let aborted = look("ABORTED", 0, Some(&accepted.memo));
    assert_eq!(states(&aborted), [("O", OfferState::Aborted)]);
    assert_eq!(states(&look("CREATED", 0, Some(&aborted.memo))), [], "what is over does not begin again");
}

#[test]
fn an_offer_that_was_over_before_the_first_look_is_never_told() {
    let old = order("O", "OFFER", "COMPLETED", 0, json!({}));
    let aborted = order("A", "OFFER", "ABORTED", 0, json!({}));
    let first = told(&whole(&[&old, &aborted]), None);
    assert_eq!(states(&first), []);
    assert_eq!(states(&told(&whole(&[&old, &aborted]), Some(&first.memo))), []);
    let spelled = order("o", "OFFER", "CREATED", 1, json!({}));
    assert_eq!(states(&told(&whole(&[&spelled]), Some(&first.memo))), [], "in another case it is no other");
    // Between two looks it may be accepted and over.
    let quick = order("Q", "OFFER", "ABORTED", 1, json!({}));
    assert_eq!(states(&told(&whole(&[&old, &aborted, &quick]), Some(&first.memo))), [("Q", OfferState::Aborted)]);
    let comeback = order("B", "OFFER", "CREATED", 1, json!({"offerSubSource": "RESUME"}));
    assert_eq!(states(&told(&whole(&[&comeback]), Some(&first.memo))), []);
    // A list that lacks them this time makes them no news the next.
    let gap = told(&Orders::default(), Some(&first.memo));
    assert_eq!(states(&told(&whole(&[&old, &aborted]), Some(&gap.memo))), []);
}

#[test]
fn thousands_of_offers_fit_into_the_memo() {
    let many: Vec<_> = (0..2000)
        .map(|n| order(&format!("O{n}"), "OFFER", "CREATED", 1, json!({"createDate": at(-4000 + n)})))
        .collect();
    let news = told(&Orders { all: many, is_whole: true }, None);
    assert_eq!((news.offers.len(), news.memo.offers.len()), (MOST_OFFERS, MOST_OFFERS));
    assert!(news.memo.written().unwrap().len() < 2048);
}
