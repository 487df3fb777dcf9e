//! SmartPay, what is handed over: every captured billing cycle once, with its own charge and nobody else's.

use renewald::delivery::NAMESPACE;
use renewald::sandbox::smartpay::{
    AmountForm, Charged, CountForm, Decline, Endpoint, Fault, FaultKind, IdForm, NewSubscriptions, Sandbox, StatusForm,
    Switches,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fake_receiver::Received;
use crate::harness::{DAY, HOUR, Site, about, keys};
use crate::smartpay::{site, site_with};

/// What the messages about a subscription say of their deliveries: occasion, generation, reference, late.
fn told(messages: &[Received]) -> Vec<(String, i64, String, bool)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let one = |data: Value| {
        let generation = data["generation"].as_i64().expect("a number");
        (text(&data["occasion"]), generation, text(&data["reference"]), data["late"] == true)
    };
    messages.iter().map(|message| one(message.data())).collect()
}

fn renewal(generation: i64, charged: &Charged) -> (String, i64, String, bool) {
    ("renewal".to_owned(), generation, charged.cycle_id.to_lowercase(), false)
}

/// Each has the charge of the billing cycle that it names.
fn assert_own_charges(site: &Site<Sandbox>, messages: &[Received]) {
    let charges = site.sandbox.charges();
    for message in messages {
        let data = message.data();
        let is_it = |one: &&Charged| data["reference"] == json!(one.cycle_id.to_lowercase());
        let charged = charges.iter().find(is_it).expect("it was charged");
        let charge = json!({"amount": charged.amount, "currency": charged.currency, "state": "captured",
                            "attempts": charged.attempts, "reference": charged.settlement_id});
        assert_eq!(data["charge"], charge, "{}", message.body);
        assert_eq!(data["order_number"], json!(charged.payment_id));
        assert_eq!(data["subscription"]["subscription_id"], json!(charged.subscription_id.to_lowercase()));
        assert!(!message.body.contains("52000") && !message.body.contains("customer.example"), "{}", message.body);
    }
}

#[test]
fn a_captured_cycle_arrives_once_with_its_charge_under_its_id() {
    let site = site();
    let new = NewSubscriptions { external_merchant_id: Some("SHOP-7".to_owned()), ..NewSubscriptions::default() };
    let id = site.subscribe_as(new).remove(0);
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    assert_eq!(site.messages().len(), 0, "what was paid for before is known");
    site.sandbox.bill(&id, 1).unwrap();
    for hours in [25, 50, 75] {
        work.pass(now + hours * HOUR);
    }
    let messages = site.messages();
    let charges = site.charges(&id);
    assert_eq!(told(&messages), [renewal(1, &charges[1])]);
    assert_own_charges(&site, &messages);
    let reference = charges[1].cycle_id.to_lowercase();
    let name = format!(r#"["nexway","{id}","{id}","{reference}","renewald.renewal.ready","0"]"#);
    assert_eq!(messages[0].id, Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string());
    let data = messages[0].data();
    assert_eq!(data["subscription"]["partner_reference"], json!("SHOP-7"));
    assert_eq!((&data["lines"], &data["documents"], &data["warnings"]), (&json!([]), &json!([]), &json!([])));
    assert!(data["period"]["start"].is_string() && data["period"]["end"].is_string());
    assert_eq!(data["partner_order_number"], Value::Null);
}

#[test]
fn several_captures_arrive_oldest_first_and_a_late_one_says_so() {
    let site = site();
    let id = site.subscribe();
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    site.sandbox.bill_in_vain(&id, Decline::Error).unwrap();
    for _ in 0..2 {
        site.sandbox.advance(HOUR);
        site.sandbox.bill(&id, 1).unwrap();
    }
    work.pass(now + 25 * HOUR);
    let paid = site.charges(&id);
    assert_eq!(told(&site.messages()), [renewal(1, &paid[1]), renewal(2, &paid[2])]);
    // By a retry of the merchant's, later than those after it: by its time it is the newest.
    site.sandbox.advance(HOUR);
    site.sandbox.capture(&id).unwrap();
    work.pass(now + 50 * HOUR);
    let paid = site.charges(&id);
    assert_eq!(told(&site.messages())[2..], [renewal(3, &paid[3])]);
    assert_own_charges(&site, &site.messages());
}

#[test]
fn one_that_shows_only_after_a_newer_one_was_known_is_late() {
    let site = site();
    let id = site.subscribe();
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    site.sandbox.advance(HOUR);
    site.sandbox.bill(&id, 1).unwrap();
    let hidden = site.charges(&id)[1].cycle_id.clone();
    site.sandbox.advance(HOUR);
    site.sandbox.bill(&id, 1).unwrap();
    // For a while the list leaves the older one out.
    let newest = site.charges(&id)[2].clone();
    let row = json!({"id": newest.cycle_id, "status": "Captured", "paidAt": newest.paid_at.to_string(), "amount": 10});
    let first = &site.charges(&id)[0];
    let known = json!({"id": first.cycle_id, "status": "Captured", "paidAt": first.paid_at.to_string(), "amount": 10});
    let page = json!({"page": 0, "pageSize": 100, "count": 3, "totalPages": 1, "data": [row, known]});
    site.sandbox.fault(Fault::new(FaultKind::Body { body: page.to_string() }).at(Endpoint::BillingCycles));
    work.pass(now + 25 * HOUR);
    site.sandbox.clear_faults();
    work.pass(now + 50 * HOUR);
    work.pass(now + 75 * HOUR);
    let messages = site.messages();
    let late = ("renewal".to_owned(), 2, hidden.to_lowercase(), true);
    assert_eq!(told(&messages), [renewal(1, &newest), late]);
    assert_own_charges(&site, &messages);
}

#[test]
fn a_failed_cycle_that_is_captured_by_a_retry_has_its_attempts_and_a_carried_balance_its_amount() {
    let site = site();
    let retried = site.subscribe();
    let carried = site.subscribe_as(NewSubscriptions { retries: 0, ..NewSubscriptions::default() }).remove(0);
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    site.sandbox.refuse(&retried, Some(2)).unwrap();
    site.sandbox.refuse(&carried, Some(1)).unwrap();
    for days in [32, 34, 64, 66] {
        site.sandbox.set_now(now + days * DAY);
        work.pass(now + days * DAY);
        work.pass(now + days * DAY + HOUR / 2);
    }
    let messages = site.messages();
    assert_own_charges(&site, &messages);
    let of = |id: &str| {
        let of = about(&messages, id).into_iter().map(|message| message.data()["charge"].clone());
        of.map(|charge| (charge["amount"].clone(), charge["attempts"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(of(&retried), [(json!("10.00"), json!(3)), (json!("10.00"), json!(1))]);
    // What failed for good came with the next one: it is told as it was charged.
    assert_eq!(of(&carried), [(json!("20.00"), json!(1))]);
}

/// However the API answers, each gets its own and nothing twice.
#[test]
fn each_way_to_answer_brings_the_same_deliveries() {
    type Change = fn(&mut Switches);
    let ways: &[Change] = &[
        |s| s.cyrillic_paid_at = true,
        |s| s.paid_at_missing = true,
        |s| s.cycle_status = StatusForm::Lower,
        |s| s.amounts = AmountForm::Text,
        |s| s.short_card_num = true,
        |s| s.embedded_transactions = true,
        |s| (s.ids, s.case_sensitive) = (IdForm::AsDocumented, true),
        |s| (s.ids, s.case_sensitive) = (IdForm::Lower, true),
        |s| s.ids = IdForm::Upper,
        |s| s.count = CountForm::TooFew,
        |s| s.count = CountForm::TooMany,
        |s| s.count = CountForm::Missing,
        |s| s.page_size_max = 2,
        |s| (s.page_size_max, s.page_shift) = (2, -1),
        |s| (s.page_size_max, s.count) = (2, CountForm::Missing),
        |s| s.filters_honoured = false,
        |s| s.foreign_cycles = true,
        |s| s.billing_touches_subscription = false,
    ];
    let wrong: Vec<_> = ways.iter().enumerate().filter_map(|(n, way)| Some((n, deliveries(*way)?))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

type Told = Vec<(String, i64, String, bool)>;

/// What three subscriptions get of an API that answers so, if it is not what it should be.
fn deliveries(way: fn(&mut Switches)) -> Option<(Vec<Told>, Vec<Told>)> {
    let site = site();
    site.sandbox.switch(way);
    let ids = site.subscribe_as(NewSubscriptions { count: 3, paid: 3, ..NewSubscriptions::default() });
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    for id in [&ids[0], &ids[1], &ids[0]] {
        site.sandbox.advance(HOUR);
        site.sandbox.bill(id, 1).unwrap();
    }
    for hours in [25, 50, 75] {
        work.pass(now + hours * HOUR);
    }
    let messages = site.messages();
    assert_own_charges(&site, &messages);
    let got: Vec<_> = ids.iter().map(|id| told(&about(&messages, id))).collect();
    let charges = |id: &str| site.charges(id);
    let expected = vec![
        vec![renewal(3, &charges(&ids[0])[3]), renewal(4, &charges(&ids[0])[4])],
        vec![renewal(3, &charges(&ids[1])[3])],
        vec![],
    ];
    (got != expected).then_some((got, expected))
}

#[test]
fn the_first_payment_is_the_purchase_the_end_of_a_trial_or_a_renewal_as_the_settings_have_it() {
    let site = site();
    let trial = site.subscribe_as(NewSubscriptions { trial: true, ..NewSubscriptions::default() }).remove(0);
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    site.sandbox.bill(&trial, 1).unwrap();
    work.pass(now + 25 * HOUR);
    let told_of = |site: &Site<Sandbox>, id: &str| told(&about(&site.messages(), id));
    let of = |occasion: &str, generation, charged: &Charged| {
        vec![(occasion.to_owned(), generation, charged.cycle_id.to_lowercase(), false)]
    };
    assert_eq!(told_of(&site, &trial), of("trial_conversion", 0, &site.charges(&trial)[0]));

    let site = site_with(|setup| setup.accounts[0].keys.push_str("first_cycle_is_purchase = false\n"));
    let ids = site.sandbox.create(NewSubscriptions { paid: 0, ..NewSubscriptions::default() }).unwrap();
    site.command(&["track", &ids[0], "--generation", "0"]).expect_code(0);
    site.sandbox.bill(&ids[0], 1).unwrap();
    site.catch_up();
    let id = ids[0].to_lowercase();
    assert_eq!(told_of(&site, &id), of("renewal", 1, &site.charges(&id)[0]));
}

#[test]
fn a_key_is_handed_over_only_where_the_metadata_has_one() {
    let site = site_with(|setup| setup.accounts[0].keys.push_str("keys_pointer = \"/licence/key\"\n"));
    let with = |metadata: Value| NewSubscriptions { merchant_metadata: Some(metadata), ..NewSubscriptions::default() };
    let keyed = site.subscribe_as(with(json!({"licence": {"key": "KEY-1"}}))).remove(0);
    let bare = site.subscribe_as(with(json!({"shop": 7}))).remove(0);
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    [&keyed, &bare].into_iter().for_each(|id| site.sandbox.bill(id, 1).unwrap());
    work.pass(now + 25 * HOUR);
    assert_eq!(keys(&about(&site.messages(), &keyed)[0]), ["KEY-1"]);
    assert_eq!(about(&site.messages(), &bare)[0].data()["lines"], json!([]));
    let kept = site.texts("SELECT coalesce(memo, '') || coalesce(metadata, '') FROM subscriptions");
    assert!(!kept.iter().any(|text| text.contains("KEY-1") || text.contains("52000")), "{kept:?}");
}

#[test]
fn what_is_taken_back_before_it_is_fetched_is_waited_for() {
    let site = site();
    let id = site.subscribe();
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    site.sandbox.bill(&id, 1).unwrap();
    let charged = site.charges(&id)[1].clone();
    let failed = json!({"id": charged.cycle_id, "status": "Failed", "amount": 10});
    site.sandbox.fault(Fault::new(FaultKind::Body { body: failed.to_string() }).at(Endpoint::BillingCycle).times(2));
    work.pass(now + 25 * HOUR);
    assert_eq!(site.messages().len(), 0);
    (26..30).for_each(|hours| drop(work.pass(now + hours * HOUR)));
    assert_eq!(told(&site.messages()), [renewal(1, &charged)]);
}
