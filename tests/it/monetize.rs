//! Nexway Monetize, what is handed over: every generation and upgrade once, from its own order, with its own keys and nobody else's.

use renewald::delivery::NAMESPACE;
use renewald::sandbox::nexway_monetize::{
    CurrencyForm, DataStep, DateForm, GenerationForm, IdForm, LastForm, Licence, NewSubscriptions, NoOrder,
    OrderOfGeneration, PrebillingGeneration, Product, Sandbox, Script, Step, Switches, TotalsForm,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fake_receiver::Received;
use crate::harness::{DAY, HOUR, Site, about, keys};
use crate::nexway_monetize::{site, site_of_all_types};

/// What the messages about a subscription say of their deliveries: occasion, generation, reference.
fn told(messages: &[Received]) -> Vec<(String, i64, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let one = |data: Value| (text(&data["occasion"]), data["generation"].as_i64().unwrap(), text(&data["reference"]));
    messages.iter().map(|message| one(message.data())).collect()
}

fn renewals(generations: impl IntoIterator<Item = i64>) -> Vec<(String, i64, String)> {
    generations.into_iter().map(|n| ("renewal".to_owned(), n, n.to_string())).collect()
}

/// Each has the keys of the order that it names.
fn assert_own_keys(site: &Site<Sandbox>, messages: &[Received]) {
    for message in messages {
        assert_eq!(keys(message), site.expected_keys(&message.json()), "{}", message.body);
    }
}

/// Design section 11, computed here.
fn message_id(id: &str, reference: &str, ordinal: &str) -> String {
    let name = format!(r#"["nexway","{id}","{id}","{reference}","renewald.renewal.ready","{ordinal}"]"#);
    Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string()
}

#[test]
fn a_renewal_arrives_once_with_its_keys_under_its_id() {
    let site = site();
    let id = site.subscribe();
    let mut work = site.work();
    let now = site.now();
    work.pass(now);
    // The order of the coming term is there, and says nothing.
    site.sandbox.prebill(&id).unwrap();
    work.pass(now + 5 * HOUR);
    assert_eq!(site.messages().len(), 0);
    site.renew(&id);
    for hours in [10, 15, 20] {
        work.pass(now + hours * HOUR);
    }
    let message = site.next_message();
    assert_eq!(site.messages().len(), 1);
    assert_eq!(message.id, message_id(&id, "1", "0"));
    let (order, event) = (site.renewed_by(&id), message.json());
    assert_eq!((keys(&message), keys(&message).len()), (site.sandbox.expected_keys(&order), 1));
    let expected = json!({"provider": "nexway", "territory": "default", "partner_order_number": id,
                          "subscription_id": id, "partner_reference": null, "metadata": {}});
    assert_eq!(event["data"]["subscription"], expected);
    assert_eq!(event["source"], "/renewald/nexway/default");
    let data = message.data();
    assert_eq!((&data["order_number"], &data["partner_order_number"]), (&json!(order), &Value::Null));
    assert_eq!((&data["occasion"], &data["reference"], &data["late"]), (&json!("renewal"), &json!("1"), &json!(false)));
    let charge = json!({"amount": "54.0", "currency": "EUR", "state": "COMPLETED", "attempts": 1, "reference": format!("{order}1")});
    assert_eq!(data["charge"], charge);
    let end = site.sandbox.subscriptions()[0].expires_at.to_string();
    assert_eq!((&data["expires_at"], &data["period"]), (&json!(end), &json!({"start": null, "end": end})));
    assert_eq!(data["lines"][0]["product_ref"], "SAMPLE-SEC-1Y");
}

#[test]
fn each_run_of_an_order_ends_with_its_keys() {
    let site = site();
    let partly = || Step::status("PARTIAL_COMPLETED").lasting(3 * DAY);
    let of = |licence| Script { licence: Some(licence), ..Script::default() };
    let scripts = [
        Script::statuses(["CREATED", "PAYMENT_PENDING", "FRAUD_PENDING", "PENDING", "PENDING_WITH_ERROR"]),
        Script::steps([Step::status("FRAUD_PENDING").lasting(6 * DAY)]),
        Script::statuses(["PAYMENT_REFUSED", "PAYMENT_REFUSED"]),
        Script::steps([Step::status("CANCELED").lasting(DAY)]),
        Script::steps([Step::status("ABORTED").lasting(DAY)]),
        Script::steps([Step::status("CANCEL_PENDING").lasting(DAY)]),
        Script::steps([partly()]),
        Script::steps([Step::status("SOMETHING_NEW").lasting(DAY), Step::status("FORCE_COMPLETED").forever()]),
        Script::data([DataStep::missing(), DataStep::status("PENDING"), DataStep::status("FAILURE")]),
        Script::data([DataStep::missing().lasting(2 * DAY)]),
        of(Licence::SameKey),
        of(Licence::KeyAndLink),
    ];
    let new = NewSubscriptions { count: scripts.len() as u32, auto_renew: false, ..Default::default() };
    let ids = site.subscribe_as(new);
    for (id, script) in ids.iter().zip(scripts) {
        site.sandbox.script(id, 1, script).unwrap();
        site.renew(id);
    }
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    let first = site.messages().len();
    assert_eq!(first, 2, "only what is complete");
    for hours in (1..24).chain((24..8 * 24).step_by(5)) {
        site.sandbox.set_now(now + hours * HOUR);
        work.pass(now + hours * HOUR);
    }
    for (n, id) in ids.iter().enumerate() {
        let messages = about(&site.messages(), id);
        assert_eq!(told(&messages), renewals([1]), "script {n}");
        assert_eq!(messages[0].data()["warnings"], json!([]), "script {n}");
        assert_own_keys(&site, &messages);
    }
    let second = about(&site.messages(), &ids[11])[0].data();
    assert_eq!(second["lines"][0]["files"][0]["type"], "activation");
}

#[test]
fn what_stays_partial_is_delivered_at_the_bound_with_its_warning() {
    let site = site();
    let product = Product { units: 2, ..Product::default() };
    let id = site.subscribe_as(NewSubscriptions { product, auto_renew: false, ..Default::default() }).remove(0);
    site.sandbox.script(&id, 1, Script::steps([Step::status("PARTIAL_COMPLETED").forever()])).unwrap();
    site.renew(&id);
    let (mut work, now) = (site.work(), site.now());
    (0..29).for_each(|day| drop(work.pass(now + day * DAY)));
    assert_eq!(site.messages().len(), 0);
    (29..33).for_each(|day| drop(work.pass(now + day * DAY)));
    let types: Vec<_> = site.messages().iter().map(|message| message.json()["type"].clone()).collect();
    assert_eq!(types, ["renewald.renewal.ready.v1", "renewald.renewal.failed.v1"]);
    let messages = site.messages();
    assert_eq!(messages[0].data()["warnings"], json!(["partial"]));
    assert_eq!(keys(&messages[0]), site.sandbox.expected_keys(&site.renewed_by(&id))[..1]);
    assert_eq!(messages[1].data()["reason"], "partial");
}

#[test]
fn an_order_that_is_made_anew_is_the_one_that_counts() {
    let site = site();
    let ids = site.subscribe_as(NewSubscriptions { count: 2, ..Default::default() });
    let (mut work, now) = (site.work(), site.now());
    for (id, status) in ids.iter().zip(["CANCELED", "ABORTED"]) {
        site.sandbox.script(id, 1, Script::steps([Step::status(status).forever()])).unwrap();
        site.renew(id);
    }
    for hours in 0..10 {
        work.pass(now + hours * HOUR);
    }
    assert_eq!(site.messages().len(), 0);
    ids.iter().for_each(|id| drop(site.sandbox.reorder(id, 1).unwrap()));
    work.pass(now + 20 * HOUR);
    for id in &ids {
        let messages = about(&site.messages(), id);
        assert_eq!(told(&messages), renewals([1]));
        assert_eq!(messages[0].data()["order_number"], site.renewed_by(id));
        assert_own_keys(&site, &messages);
    }
}

#[test]
fn skipped_generations_and_a_trial_arrive_one_by_one_each_with_its_own_keys() {
    let site = site();
    let skipped = site.subscribe();
    let trial = site.subscribe_as(NewSubscriptions { generation: -1, ..Default::default() }).remove(0);
    let mut work = site.work();
    work.pass(site.now());
    site.sandbox.renew_times(&skipped, 4).unwrap();
    site.sandbox.renew_times(&trial, 2).unwrap();
    work.pass(site.now() + 5 * HOUR);
    let messages = about(&site.messages(), &skipped);
    assert_eq!(told(&messages), renewals(1..=4));
    assert_own_keys(&site, &messages);
    let messages = about(&site.messages(), &trial);
    assert_eq!(told(&messages), [vec![("trial_conversion".into(), 0, "0".into())], renewals([1])].concat());
    assert_own_keys(&site, &messages);
}

#[test]
fn an_upgrade_arrives_exactly_once_with_the_new_products_keys() {
    let site = site_of_all_types();
    let id = site.subscribe();
    site.sandbox.suspend(&id).unwrap();
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    let product = Product { units: 2, ..Product::bigger() };
    let script = Script::statuses(["CREATED", "PAYMENT_PENDING", "PAYMENT_PENDING"]);
    let order = site.sandbox.upgrade(&id, product, script).unwrap();
    for hours in (5..40).step_by(5) {
        work.pass(now + hours * HOUR);
    }
    let messages = site.messages();
    let types: Vec<_> = messages.iter().map(|message| message.json()["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(types, ["renewald.subscription.status_changed.v1", "renewald.renewal.ready.v1"], "running again");
    let upgrade = &messages[1];
    assert_eq!(told(&messages[1..]), [("upgrade".to_owned(), 0, order.clone())]);
    assert_eq!(upgrade.id, message_id(&id, &order, "0"));
    assert_eq!((keys(upgrade), keys(upgrade).len()), (site.sandbox.expected_keys(&order), 2));
    assert_eq!(upgrade.data()["lines"][0]["product_ref"], "SAMPLE-SEC-C-1Y");
    // The next renewal is of the new product, and its generation is not the upgrade's.
    site.sandbox.switch(|switches| switches.order_of_generation = OrderOfGeneration::Newest);
    site.renew(&id);
    site.sandbox
        .upgrade(&id, Product { id: "p3".into(), price: 200.0, ..Product::bigger() }, Script::default())
        .unwrap();
    work.pass(now + 50 * HOUR);
    let mut messages = site.messages().split_off(2);
    messages.sort_by_key(|message| message.data()["occasion"].as_str().map(str::to_owned));
    assert_eq!(told(&messages[..1]), renewals([1]));
    assert_eq!(told(&messages)[1].0, "upgrade");
    assert_own_keys(&site, &messages);
}

/// However the platform answers, each gets its own and nothing twice.
#[test]
fn each_way_to_answer_brings_the_same_deliveries() {
    type Change = fn(&mut Switches);
    let ways: &[Change] = &[
        |s| s.filters_honoured = false,
        |s| (s.filters_honoured, s.order_of_generation) = (false, OrderOfGeneration::Newest),
        |s| s.foreign_lines = true,
        |s| (s.foreign_lines, s.subscription_named) = (true, true),
        |s| s.ids = IdForm::OtherCase,
        |s| s.dates = DateForm::Iso,
        |s| s.dates = DateForm::MillisText,
        |s| s.dates = DateForm::IsoOffset,
        |s| s.dates = DateForm::Unreadable,
        |s| s.dates = DateForm::Null,
        |s| s.currency = CurrencyForm::Object,
        |s| s.generation = GenerationForm::Text,
        |s| s.sort_honoured = false,
        |s| s.order_of_generation = OrderOfGeneration::Newest,
        |s| s.no_order = NoOrder::Empty,
        |s| s.no_order = NoOrder::Null,
        |s| s.prebilling_generation = PrebillingGeneration::Current,
        |s| s.prebilling_generation = PrebillingGeneration::Missing,
        |s| (s.last, s.totals) = (LastForm::AlwaysFalse, TotalsForm::TooMany),
        |s| (s.last, s.totals) = (LastForm::Missing, TotalsForm::Missing),
        |s| (s.last, s.totals) = (LastForm::AlwaysTrue, TotalsForm::TooFew),
        |s| s.empty_page = Some(1),
        |s| s.renewal_touches_subscription = false,
    ];
    let wrong: Vec<_> = ways.iter().enumerate().filter_map(|(n, way)| Some((n, deliveries(*way)?))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What three subscriptions get of a platform that answers so, if it is not what it should be.
fn deliveries(way: fn(&mut Switches)) -> Option<Vec<Vec<(String, i64, String)>>> {
    let site = site();
    let ids = site.subscribe_as(NewSubscriptions { count: 3, ..Default::default() });
    site.sandbox.switch(way);
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    let order = site.sandbox.upgrade(&ids[0], Product::bigger(), Script::default()).unwrap();
    site.sandbox.renew_times(&ids[0], 2).unwrap();
    site.renew(&ids[1]);
    ids[1..].iter().for_each(|id| drop(site.sandbox.prebill(id).unwrap()));
    for hours in [5, 10, 35] {
        work.pass(now + hours * HOUR);
    }
    let messages = site.messages();
    assert_own_keys(&site, &messages);
    let mut got: Vec<_> = ids.iter().map(|id| told(&about(&messages, id))).collect();
    got[0].sort();
    let upgrade = ("upgrade".to_owned(), 2, order);
    let expected = [[renewals([1, 2]), vec![upgrade]].concat(), renewals([1]), vec![]];
    (got != expected).then_some(got)
}
