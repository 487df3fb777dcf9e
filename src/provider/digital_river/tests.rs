//! Over real loopback sockets: what is asked, in which order, and what becomes of it.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::clock::Timestamp;
use crate::delivery::{Occasion, Warning};
use crate::life::Life;
use crate::provider::tests::account::Account as Platform;
use crate::provider::{Claim, Class, Keys, Level, Payment, Seen};
use crate::tls;

const ID: &str = "DR1";
const SUBJECT: Subject<'_> = Subject {
    territory: "default",
    partner_order_number: ID,
    subscription_id: ID,
    generation: Some(0),
    memo: None,
    is_hinted: false,
};
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// So many seconds from now, as the API writes it in one of its ways.
fn at(seconds: i64) -> String {
    let second = Timestamp::from_unix(Timestamp::now().as_unix() + seconds).to_string();
    second.replace('Z', ".061+0000")
}

struct Site {
    platform: Platform,
    client: Client,
}

impl Site {
    async fn new() -> Self {
        Self::with(None, false).await
    }

    async fn with(keys_pointer: Option<&str>, invoice_links: bool) -> Self {
        let (platform, api_url) = Platform::open().await;
        let config = Config {
            api_url,
            api_key: "hush".into(),
            api_version: "2021-12-13".to_owned(),
            keys_pointer: keys_pointer.map(str::to_owned),
            invoice_links,
            connection: Connection {
                timeout: Duration::from_secs(5),
                connect_timeout: Duration::from_secs(5),
                ca_file: None,
                proxy: None,
                connection_life: tls::CONNECTION_LIFE,
                concurrency: 4,
            },
        };
        Self { platform, client: Client::new(config, Budget::new(0.0)).unwrap() }
    }

    async fn slot(&self) -> Slot {
        self.client.http.budget.slot().await
    }

    async fn look(&self, memo: Option<&str>) -> Result<Sighting, Error> {
        self.client.look(Subject { memo, ..SUBJECT }, self.slot().await).await
    }

    async fn fetch(&self, reference: &str, memo: Option<&str>) -> Part {
        let fetched = self.client.fetch(Subject { memo, ..SUBJECT }, reference, self.slot().await).await.unwrap();
        let other = fetched.part(Claim { subscription_id: "other", is_anothers: false });
        assert!(other.delivery.is_none(), "for whom it was asked, and for nobody else");
        fetched.part(Claim { subscription_id: ID, is_anothers: false })
    }

    /// In the middle of a month that is billed five days before its end, or the one after that.
    fn stands(&self, state: &str, months: i64) {
        let (from, to) = ((months * 30 - 15) * DAY, (months * 30 + 15) * DAY);
        let body = json!({"id": ID, "customerId": 520_984_250_336_u64, "state": state, "updatedTime": at(-DAY).replace(".061", ".5"),
                          "createdTime": at(-15 * DAY), "currentPeriodStartDate": at(from), "currentPeriodEndDate": at(to),
                          "nextInvoiceDate": at(to - 5 * DAY), "metadata": {"upstreamId": "SHOP-7", "key": 42}});
        self.platform.says(&["subscriptions", ID], body);
    }

    fn has_orders(&self, orders: &[Value]) {
        self.platform.says(&["orders"], json!({"hasMore": false, "data": orders}));
        for order in orders {
            self.platform.says(&["orders", order["id"].as_str().unwrap()], order.clone());
        }
    }
}

fn order(id: &str, state: &str, kind: &str, made: i64) -> Value {
    json!({"id": id, "state": state, "createdTime": at(made), "currency": "USD", "totalAmount": 26.940, "capturedAmount": 0.0,
           "email": "who@example.com", "invoicePDFs": null,
           "items": [{"skuId": "sku-1", "subscriptionInfo": {"subscriptionId": ID}}, {"skuId": "sku-2", "subscriptionInfo": {"subscriptionId": "other"}}],
           "payment": {"charges": [{"createdTime": at(made), "state": "failed", "type": kind, "failureCode": "insufficient_funds"},
                                   {"createdTime": at(made + HOUR), "state": "processing", "type": kind, "captured": true}]}})
}

fn bought() -> Value {
    order("100", "fulfilled", "customer_initiated", -15 * DAY)
}

fn references(sighting: &Sighting) -> Vec<String> {
    let Seen::Listed { first: 0, deliveries, .. } = &sighting.seen else { panic!("{:?}", sighting.seen) };
    deliveries.iter().map(|one| one.reference.clone()).collect()
}

#[tokio::test]
async fn a_first_look_lists_what_was_paid_and_the_next_asks_for_nothing_else() {
    let site = Site::new().await;
    site.stands("active", 0);
    let foreign =
        json!({"id": "900", "state": "accepted", "items": [{"subscriptionInfo": {"subscriptionId": "other"}}]});
    let orders = ["pending_payment", "in_review", "blocked", "cancelled"]
        .map(|state| order(state, state, "merchant_initiated", -HOUR));
    site.has_orders(
        &[&[foreign, order("101", "new_word", "merchant_initiated", -HOUR), bought()], &orders[..]].concat(),
    );
    let seen = site.look(None).await.unwrap();
    assert_eq!(references(&seen), ["100", "101"]);
    let Seen::Listed { deliveries, doubt, .. } = &seen.seen else { unreachable!() };
    assert_eq!([deliveries[0].occasion, deliveries[1].occasion], [Occasion::Purchase, Occasion::Renewal]);
    assert_eq!(
        (seen.life, seen.words.as_deref(), &seen.payment, doubt),
        (Some(Life::Running), Some("active"), &Payment::Fine, &None)
    );
    assert_eq!(seen.partner_reference.as_deref(), Some("SHOP-7"));
    let rest = seen.next_look.unwrap().as_secs() as i64;
    assert!((9 * DAY..10 * DAY - 3 * HOUR).contains(&rest), "until four hours before it is billed: {rest}");
    let asked = site.platform.asked();
    assert_eq!(asked[0], "/orders?customerId=520984250336&limit=100", "others' came: it was no filter");
    assert_eq!(asked[1..], ["/orders?subscriptionId=DR1&limit=100", "/subscriptions/DR1"]);
    assert!(!seen.memo.as_ref().unwrap().contains("who@"));

    let again = site.look(seen.memo.as_deref()).await.unwrap();
    assert_eq!(references(&again), Vec::<String>::new());
    assert_eq!(site.platform.asked(), ["/subscriptions/DR1"]);
    let subject = Subject { memo: seen.memo.as_deref(), is_hinted: true, ..SUBJECT };
    site.client.look(subject, site.slot().await).await.unwrap();
    assert_eq!(
        site.platform.asked(),
        ["/orders?customerId=520984250336&limit=100", "/subscriptions/DR1"],
        "remembered"
    );
}

#[tokio::test]
async fn a_period_without_an_order_is_told_after_six_looks_and_its_order_is_no_second_delivery() {
    let site = Site::new().await;
    let lone = |id: &str, made| {
        let mut order =
            order(id, "complete", if id == "100" { "customer_initiated" } else { "merchant_initiated" }, made);
        order["items"] = json!([{"skuId": "sku-1", "subscriptionInfo": {"subscriptionId": ID}}]);
        order
    };
    site.stands("active", 0);
    site.has_orders(&[lone("100", -15 * DAY)]);
    let mut memo = site.look(None).await.unwrap().memo;
    site.stands("active", 1);
    for count in 1..6 {
        let seen = site.look(memo.as_deref()).await.unwrap();
        assert_eq!((references(&seen), seen.next_look), (vec!["100".to_owned()], None), "look {count}");
        memo = seen.memo;
    }
    let hinted =
        site.client.look(Subject { memo: memo.as_deref(), is_hinted: true, ..SUBJECT }, site.slot().await).await;
    assert_eq!(references(&hinted.unwrap()), ["100"], "a hint counts for none");
    let told = site.look(memo.as_deref()).await.unwrap();
    let [_, period] = &references(&told)[..] else { panic!("{told:?}") };
    assert!(period.starts_with("period:20") && period.ends_with('Z'), "{period}");
    let part = site.fetch(period, told.memo.as_deref()).await;
    let delivery = part.delivery.unwrap();
    assert_eq!((part.keys, part.verdict.class, &delivery.charge), (Keys::NotExpected, Class::Success, &None));
    assert_eq!(delivery.warnings, [Warning::OrderMissing]);
    let term = delivery.period.unwrap();
    assert_eq!(term.end.unwrap().since(term.start.unwrap()), Duration::from_secs(30 * 86_400));

    site.has_orders(&[lone("101", 11 * DAY), lone("100", -15 * DAY)]);
    let found = site
        .client
        .look(Subject { memo: told.memo.as_deref(), is_hinted: true, ..SUBJECT }, site.slot().await)
        .await
        .unwrap();
    assert_eq!(references(&found), ["100", period.as_str()]);
    let delivery = site.fetch(period, found.memo.as_deref()).await.delivery.unwrap();
    assert_eq!((delivery.order_number.as_deref(), delivery.warnings.len()), (Some("101"), 0));
    assert_eq!(delivery.period, Some(term), "the order itself does not tell it");
}

#[tokio::test]
async fn an_order_is_handed_over_as_it_was_charged() {
    let site = Site::new().await;
    site.has_orders(&[order("101", "accepted", "merchant_initiated", 0)]);
    let part = site.fetch("101", None).await;
    let delivery = part.delivery.unwrap();
    let charge = delivery.charge.unwrap();
    let told = (charge.amount.as_deref(), charge.state.as_deref(), charge.attempts, charge.reference.as_deref());
    assert_eq!(told, (Some("26.94"), Some("processing"), Some(2), Some("101")));
    assert_eq!((part.keys, delivery.period, delivery.documents.len()), (Keys::NotExpected, None, 0));
    assert_eq!(delivery.lines.iter().map(|line| line.product_ref.as_deref()).collect::<Vec<_>>(), [Some("sku-1")]);
    assert_eq!(site.platform.asked(), ["/orders/101?expand=true"]);

    let exact = br#"{"id": "1", "totalAmount": 26.940, "capturedAmount": 0.00, "state": "accepted"}"#;
    let read = order::read(exact, Timestamp::now()).unwrap();
    assert_eq!(read.amount(), Some("26.940"), "digit by digit");

    let mut told = order("102", "accepted", "merchant_initiated", 0);
    told["capturedAmount"] = json!(10.5);
    told["items"][0]["subscriptionInfo"]["startTime"] = json!("2026-10-25T00:00:00Z");
    told["items"][0]["subscriptionInfo"]["endTime"] = json!("2026-11-25T00:00:00.1077785Z");
    site.has_orders(&[told]);
    let delivery = site.fetch("102", None).await.delivery.unwrap();
    assert_eq!(delivery.charge.unwrap().amount.as_deref(), Some("10.5"));
    assert_eq!(delivery.period.unwrap().end.unwrap().to_string(), "2026-11-25T00:00:00Z");
}

#[tokio::test]
async fn what_is_not_paid_not_there_or_anothers_is_not_handed_over() {
    let site = Site::new().await;
    let mut foreign = order("5", "accepted", "merchant_initiated", 0);
    foreign["items"][0]["subscriptionInfo"]["subscriptionId"] = json!("third");
    let states = ["pending_payment", "in_review", "", "blocked", "cancelled"];
    let orders = [1, 2, 3, 4, 6].iter().zip(states).map(|(id, state)| order(&id.to_string(), state, "x", 0));
    site.has_orders(&orders.chain([foreign]).collect::<Vec<_>>());
    let mut classes = Vec::new();
    for id in ["1", "2", "3", "4", "6", "5"] {
        let part = site.fetch(id, None).await;
        assert!(part.delivery.is_none());
        classes.push(part.verdict.class);
    }
    use Class::{NotFound, Permanent, Waiting};
    assert_eq!(classes, [Waiting, Waiting, Waiting, Permanent, Permanent, NotFound]);
    let told = site.fetch("1", None).await.verdict.message;
    assert_eq!(told, "order 1 is pending_payment", "its last charge did not fail");
    let body = json!({"type": "not_found", "errors": [{"code": "not_found", "parameter": "id"}]});
    site.platform.answers(&["orders", "7"], 404, body);
    assert_eq!(site.fetch("7", None).await.verdict.class, NotFound, "which is waited for");
}

#[tokio::test]
async fn of_a_term_whose_order_is_not_paid_for_nothing_is_told() {
    for state in ["pending_payment", "blocked", "cancelled"] {
        let site = Site::new().await;
        site.stands("active", 0);
        site.has_orders(&[bought()]);
        let mut memo = site.look(None).await.unwrap().memo;
        site.stands("active", 1);
        site.has_orders(&[bought(), order("101", state, "merchant_initiated", 11 * DAY)]);
        for _ in 0..8 {
            let seen = site.look(memo.as_deref()).await.unwrap();
            assert_eq!(references(&seen), ["100"], "{state}");
            memo = seen.memo;
        }
        site.has_orders(&[bought(), order("101", "accepted", "merchant_initiated", 11 * DAY)]);
        assert_eq!(references(&site.look(memo.as_deref()).await.unwrap()), ["100", "101"], "{state}");
    }
}

#[tokio::test]
async fn however_many_orders_there_are_none_of_the_old_ones_is_a_new_terms() {
    let site = Site::new().await;
    site.stands("active", 0);
    let old: Vec<_> =
        (0..30).map(|n| order(&format!("{}", 100 + n), "complete", "merchant_initiated", -(900 - n) * DAY)).collect();
    site.has_orders(&old);
    let mut memo = site.look(None).await.unwrap().memo;
    site.stands("active", 1);
    for count in 1..=6 {
        let seen = site.look(memo.as_deref()).await.unwrap();
        assert_eq!(references(&seen).len(), if count < 6 { 30 } else { 31 }, "look {count}");
        memo = seen.memo;
    }
}

#[tokio::test]
async fn keys_are_read_where_the_pointer_leads_and_waited_for() {
    let site = Site::with(Some("/key"), true).await;
    let mut with_key = order("1", "accepted", "x", 0);
    with_key["items"][0]["metadata"] = json!({"key": ["K-1", "K-2", ""]});
    with_key["items"][1]["metadata"] = json!({"key": "OTHERS"});
    with_key["metadata"] = json!({"key": "EVERYBODYS"});
    with_key["invoicePDFs"] = json!(["f1", {"id": "f2"}]);
    site.has_orders(&[with_key, order("2", "accepted", "x", 0)]);
    let part = site.fetch("1", None).await;
    let delivery = part.delivery.unwrap();
    assert_eq!(delivery.serials().map(|serial| serial.data.reveal()).collect::<Vec<_>>(), ["K-1", "K-2"]);
    assert_eq!(
        (part.keys, delivery.documents.len()),
        (Keys::Expected, 0),
        "an invoice without an address holds up nothing"
    );
    assert_eq!(site.platform.asked(), ["/file-links", "/file-links", "/orders/1?expand=true"]);

    site.stands("active", 0);
    let delivery = site.fetch("2", None).await.delivery.unwrap();
    assert_eq!(
        delivery.serials().map(|serial| serial.data.reveal()).collect::<Vec<_>>(),
        ["42"],
        "the subscription's own"
    );
    site.platform.says(&["subscriptions", ID], json!({"id": ID, "state": "active"}));
    let part = site.fetch("2", None).await;
    assert!(part.keys == Keys::Expected && part.delivery.unwrap().is_empty());
}

#[tokio::test]
async fn each_state_means_what_it_should() {
    let site = Site::new().await;
    site.has_orders(&[]);
    let failing = |seen: &Sighting| match &seen.payment {
        Payment::Failing(failing) => Some((failing.generation, failing.will_retry, failing.reason.clone())),
        _ => None,
    };
    for (state, life, expected) in [
        ("draft", Some(Life::Paused), None),
        ("activeFree", Some(Life::Running), None),
        ("activePendingInvoice", Some(Life::Running), Some((1, Some(true), "activePendingInvoice".to_owned()))),
        ("failed", Some(Life::Cancelled), Some((1, Some(false), "failed".to_owned()))),
        ("lapsed", Some(Life::Cancelled), Some((1, Some(false), "lapsed".to_owned()))),
        ("cancelled", Some(Life::Cancelled), None),
        ("ended", Some(Life::Expired), None),
        ("paused", None, None),
    ] {
        site.stands(state, 0);
        let seen = site.look(None).await.unwrap();
        assert_eq!((seen.life, failing(&seen)), (life, expected), "{state}");
        let Seen::Listed { doubt, .. } = seen.seen else { panic!() };
        assert_eq!(doubt.is_some(), state == "draft", "made fifteen days ago: {state}");
    }
    let late = |hours: i64| {
        let body =
            json!({"id": ID, "state": "active", "currentPeriodEndDate": at(DAY), "nextInvoiceDate": at(-hours * HOUR)});
        site.platform.says(&["subscriptions", ID], body);
    };
    late(5);
    assert_eq!(failing(&site.look(None).await.unwrap()), None);
    late(7);
    assert_eq!(failing(&site.look(None).await.unwrap()), Some((1, None, "source_invalid".to_owned())));
}

#[tokio::test]
async fn whoever_speaks_another_language_is_not_the_provider() {
    let site = Site::new().await;
    for (status, body) in [
        (404, json!(null)),
        (404, json!({"message": "no Route matched"})),
        (410, json!({"type": "gone"})),
        (200, json!("<html>")),
        (302, json!({})),
    ] {
        site.platform.answers(&["subscriptions", ID], status, body.clone());
        let error = site.look(None).await.unwrap_err();
        assert!(matches!(error, Error::NotTheProvider { .. }) && error.is_outage(), "{status} {body}: {error}");
    }
    for status in [401, 403] {
        let body = json!({"type": "unauthorized", "errors": [{"code": "invalid_key", "message": "no such key: hush"}]});
        site.platform.answers(&["subscriptions", ID], status, body);
        let told = site.look(None).await.unwrap_err().to_string();
        assert!(told.contains("invalid_key") && !told.contains("hush"), "{told}");
    }
    site.platform.answers(&["subscriptions", ID], 404, json!({"type": "not_found", "errors": []}));
    assert_eq!(site.look(None).await.unwrap().verdict.class, Class::NotFound);
    site.platform.answers(
        &["subscriptions", ID],
        400,
        json!({"type": "bad_request", "errors": [{"code": "internal_error"}]}),
    );
    assert!(matches!(site.look(None).await, Err(Error::Unavailable { status: 400, .. })));
    site.platform.says(&["subscriptions", ID], json!({"id": "other", "state": "active"}));
    assert!(matches!(site.look(None).await.unwrap().seen, Seen::Foreign(_)));
}

#[tokio::test]
async fn a_check_says_that_the_company_has_closed_and_which_key_is_wrong() {
    let site = Site::new().await;
    site.platform.says(&["subscriptions"], json!({"hasMore": false, "data": []}));
    site.platform.says(&["events"], json!({"hasMore": false, "data": []}));
    let (findings, is_whole) = site.client.check(Vec::new(), &site.client.http.budget).await;
    assert!(is_whole && findings[0].text.contains("has closed"), "{findings:?}");
    site.platform.answers(&["subscriptions"], 401, json!({"type": "unauthorized"}));
    let (findings, is_whole) = site.client.check(Vec::new(), &site.client.http.budget).await;
    let last = findings.last().unwrap();
    assert!(!is_whole && last.level == Level::Problem && last.text.contains("api_key_file"), "{findings:?}");
    assert!(!last.text.contains("hush"));
}
