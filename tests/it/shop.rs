//! A shop's calls, through the real binary: an order is placed once and tracked whatever happens to its answer, what is changed stands
//! in the story, and nothing about a person stays.

use std::fs;
use std::os::unix::net::UnixStream;

use renewald::sandbox::nexway_connect::{Endpoint as Asked, Fault, FaultKind, NewOrder, Request};
use serde_json::{Value, json};

use crate::harness::{DAY, Daemon, Finished, PATIENCE, Setup, Site, eventually, keys};
use crate::http::Endpoint;
use crate::nexway_connect::order;

const TOKEN: &str = "another-token-of-some-length";
/// What nothing but the provider may ever have.
const PERSONAL: [&str; 4] = ["jane.canary@example.org", "Canary-Street 5", "Canaryson", "TX-CANARY-99"];

/// An order for one subscription.
pub fn body(number: &str) -> Value {
    let location = json!({ "firstName": "Jane", "lastName": PERSONAL[2], "address1": PERSONAL[1], "country": "FR" });
    json!({
        "partnerOrderNumber": number, "orderDate": "2018-01-18T15:40:21+01:00", "currency": "EUR",
        "orderLines": [{ "productRef": 811_537, "quantity": 1 }],
        "customer": { "email": PERSONAL[0], "language": "fr_FR", "locationDelivery": location, "locationInvoice": location },
        "payment": { "paymentMethod": "External Payment", "transactionId": PERSONAL[3] } })
}

fn place(site: &Site, number: &str, more: &[&str]) -> Finished {
    fs::write(site.path("order.json"), body(number).to_string()).unwrap();
    site.command(&[&["shop", "order", "order.json", "--json"], more].concat())
}

fn created(site: &Site) -> usize {
    site.sandbox.requests().iter().filter(|request| request.endpoint == Asked::Create).count()
}

fn tracked(site: &Site) -> Vec<String> {
    site.texts(
        "SELECT partner_order_number || ' ' || territory || ' ' || tracked_by || ' ' || generation FROM subscriptions",
    )
}

/// A daemon whose socket is there.
fn serving(site: &Site) -> Daemon {
    let daemon = Daemon::spawn(site);
    eventually("it serves calls", || UnixStream::connect(site.path("renewald.db.sock")).ok());
    daemon
}

fn site() -> Site {
    Site::with(Setup::one_territory)
}

#[test]
fn an_order_is_placed_tracked_delivered_and_renewed() {
    let site = site();
    let placed = place(&site, "PARTNER689", &["--deliver", "--metadata", r#"{"customer": 17}"#]).expect_code(0).json();
    assert_eq!((placed["outcome"].as_str(), placed["subscriptions"].as_array().map(Vec::len)), (Some("done"), Some(1)));
    assert_eq!(placed["answer"]["partnerOrderNumber"], "PARTNER689");
    assert_eq!(tracked(&site), ["PARTNER689 eu order 0"]);

    site.catch_up();
    let first = site.next_message();
    assert_eq!((first.data()["occasion"].as_str(), first.data()["generation"].as_i64()), (Some("purchase"), Some(0)));
    assert_eq!(first.data()["subscription"]["metadata"], json!({"customer": 17}));
    let id: i64 = placed["subscriptions"][0].as_str().unwrap().parse().unwrap();
    assert_eq!(keys(&first), site.sandbox.expected_keys("PARTNER689", id));
    site.renew("PARTNER689");
    site.let_pass(DAY);
    site.catch_up();
    assert_eq!(site.numbers(), ["PARTNER689", "PARTNER689-1"]);
}

#[test]
fn what_is_sent_again_is_answered_and_not_made_again() {
    let site = site();
    place(&site, "PARTNER689", &[]).expect_code(0);
    let again = place(&site, "PARTNER689", &[]).expect_code(0).json();
    assert_eq!((again["outcome"].as_str(), created(&site)), (Some("already"), 1));
    let mut other = body("PARTNER689");
    other["orderLines"][0]["quantity"] = json!(2);
    fs::write(site.path("other.json"), other.to_string()).unwrap();
    let refused = site.command(&["shop", "order", "other.json"]).expect_code(1);
    assert!(refused.stderr.contains("another order was placed under this number"), "{}", refused.stderr);
    assert_eq!((created(&site), tracked(&site).len()), (1, 1));
}

#[test]
fn an_answer_that_is_lost_is_found_out_at_once() {
    for lost in [FaultKind::CutMidBody, FaultKind::TruncatedJson] {
        let site = site();
        site.sandbox.fault(Fault::new(lost.clone()).at(Asked::Create).times(1));
        let placed = place(&site, "PARTNER689", &[]).expect_code(0).json();
        assert_eq!((placed["outcome"].as_str(), created(&site)), (Some("done"), 1), "{lost:?}");
        assert_eq!(tracked(&site), ["PARTNER689 eu order 0"], "{lost:?}");
    }
}

/// What the provider says of an order that it has made.
#[test]
fn an_answer_that_does_not_tell_is_not_taken_for_one_that_does() {
    let lines = |id: Value| json!([{ "productRef": 5, "lineItems": [{ "subscriptionId": id, "responseCode": 0 }] }]);
    let about =
        |number: &str, code: i64| json!({ "partnerOrderNumber": number, "orderNumber": 5, "responseCode": code });
    let with = |mut body: Value, lines: Value| {
        body["orderLines"] = lines;
        body
    };
    for (status, answer) in [
        (500, about("PARTNER689", 120)),
        (503, json!({})),
        (201, json!({ "responseCode": 0 })),
        (201, with(about("PARTNER690", 0), lines(json!(900)))),
        (201, with(about("PARTNER689", 0), lines(json!("none")))),
        (201, about("PARTNER689", 777)),
    ] {
        let site = site();
        let fault = FaultKind::DoneBut { status, body: answer.to_string() };
        site.sandbox.fault(Fault::new(fault).at(Asked::Create).times(1));
        let placed = place(&site, "PARTNER689", &[]).expect_code(0).json();
        assert_eq!((placed["outcome"].as_str(), created(&site)), (Some("done"), 1), "{answer}");
        assert_eq!(tracked(&site), ["PARTNER689 eu order 0"], "{answer}");
        assert_eq!(placed["subscriptions"][0], site.sandbox.subscriptions()[0].subscription_id.to_string());
    }
}

/// Of two subscriptions one waits for its licence: the other is served at once, and this one as soon as it has a name.
#[test]
fn what_an_order_is_still_to_bring_is_tracked_when_it_is_named() {
    let site = site();
    let mut order = body("PARTNER689");
    order["orderLines"][0]["quantity"] = json!(2);
    fs::write(site.path("order.json"), order.to_string()).unwrap();
    let items = |second: Value| {
        let items = json!([{ "subscriptionId": 5_618_577, "responseCode": 0 }, second]);
        json!({ "partnerOrderNumber": "PARTNER689", "orderNumber": 5, "responseCode": 0,
                "orderLines": [{ "productRef": 5, "lineItems": items }] })
    };
    let first = items(json!({ "subscriptionId": 0, "responseCode": 1051 })).to_string();
    let fault = FaultKind::DoneBut { status: 201, body: first };
    site.sandbox.fault(Fault::new(fault).at(Asked::Create).times(1));
    let placed = site.command(&["shop", "order", "order.json", "--json"]).expect_code(0).json();
    assert_eq!((placed["outcome"].as_str(), tracked(&site).len()), (Some("waiting"), 1));
    assert!(placed["notes"][0].as_str().unwrap().contains("tracked as soon as"), "{placed}");
    site.execute("UPDATE shop_orders SET next_look_at = 0");
    let daemon = serving(&site);
    eventually("both are tracked", || (tracked(&site).len() == 2).then_some(()));
    daemon.drain();
    assert_eq!(site.texts("SELECT state FROM shop_orders"), ["placed"]);
}

#[test]
fn one_that_was_cancelled_before_it_was_found_is_looked_for_no_more() {
    let site = site();
    site.sandbox.fault(Fault::new(FaultKind::CutMidBody).at(Asked::Create).times(1));
    let cancelled = json!({ "partnerOrderNumber": "PARTNER689", "orderNumber": 0, "responseCode": 1062 });
    site.sandbox.fault(Fault::new(FaultKind::Body { body: cancelled.to_string() }).at(Asked::Order));
    let refused = place(&site, "PARTNER689", &[]).expect_code(1);
    assert!(refused.stderr.contains("the provider refused it"), "{}", refused.stderr);
    assert_eq!(site.texts("SELECT state || coalesce(next_look_at, '') FROM shop_orders"), ["placed"]);
}

#[test]
fn what_cannot_be_found_out_at_once_is_found_out_by_the_daemon_alone() {
    let site = site();
    let daemon = serving(&site);
    site.sandbox.fault(Fault::new(FaultKind::CutMidBody).at(Asked::Create).times(1));
    let away = FaultKind::Status { status: 503, body: Default::default(), retry_after: None };
    site.sandbox.fault(Fault::new(away).at(Asked::Order).times(1));
    let unclear = place(&site, "PARTNER689", &[]).expect_code(75);
    assert!(unclear.stderr.contains("sending the same again is safe"), "{}", unclear.stderr);
    eventually("its subscription is tracked", || (!tracked(&site).is_empty()).then_some(()));
    assert_eq!((created(&site), tracked(&site)), (1, vec!["PARTNER689 eu order 0".to_owned()]));
    daemon.drain();
}

#[test]
fn an_order_that_stays_unclear_is_told() {
    let site = site();
    site.sandbox.fault(Fault::new(FaultKind::CutMidBody).at(Asked::Create).times(1));
    let away = FaultKind::Status { status: 503, body: Default::default(), retry_after: None };
    site.sandbox.fault(Fault::new(away).at(Asked::Order));
    place(&site, "PARTNER689", &[]).expect_code(75);
    let standing =
        || site.command(&["status", "--json"]).expect_code(0).json()["providers"]["nexway"]["orders"].clone();
    assert_eq!(standing(), json!({ "unclear": 1, "waiting": 0 }));
    let said = site.command(&["status"]).expect_code(0).stdout;
    assert!(said.contains("1 not known to be placed, 0 waiting at the provider"), "{said}");
    site.execute("UPDATE shop_orders SET sent_at = sent_at - 1200, next_look_at = next_look_at + 3600");
    let told = site.command(&["once", "--cron"]).stdout;
    assert!(told.contains("orders nexway: 1 order sent more than 15m ago and not known to be placed"), "{told}");
    site.sandbox.clear_faults();
    place(&site, "PARTNER689", &[]).expect_code(0);
    let told = site.command(&["once", "--cron"]).stdout;
    assert!(told.contains("over: orders nexway"), "{told}");
    assert_eq!(standing(), json!({ "unclear": 0, "waiting": 0 }));
}

#[test]
fn killed_before_the_answer_the_next_run_tracks_what_was_ordered() {
    let site = site();
    let daemon = serving(&site);
    site.sandbox.fault(Fault::new(FaultKind::Hold).at(Asked::Create).times(1));
    fs::write(site.path("order.json"), body("PARTNER689").to_string()).unwrap();
    let asking = site.start(&["shop", "order", "order.json"]);
    let is_it = |request: &Request| request.endpoint == Asked::Create;
    site.sandbox.wait_for(is_it, PATIENCE).expect("it is on the wire");
    daemon.kill();
    // What was on the wire has arrived, whoever sent it.
    site.sandbox.create_order(NewOrder::new("PARTNER689")).unwrap();
    assert_eq!(asking.wait().code, Some(75));
    // It looks for it when its time has come: ten seconds after it was sent.
    let daemon = serving(&site);
    eventually("its subscription is tracked", || (!tracked(&site).is_empty()).then_some(()));
    assert_eq!(created(&site), 1);
    daemon.drain();
}

/// What was never sent waits for nothing to be found out.
#[test]
fn an_order_that_reached_nobody_may_be_sent_again_at_once() {
    let site = site();
    let setup = site.setup();
    site.change(|setup| {
        let api = setup.accounts[0].keys.lines().find(|line| line.starts_with("api_url")).unwrap().to_owned();
        setup.accounts[0].keys = setup.accounts[0].keys.replace(&api, "api_url = \"http://127.0.0.1:1/connect\"");
    });
    let unsent = place(&site, "PARTNER689", &[]).expect_code(75);
    assert!(unsent.stderr.contains("could not be reached"), "{}", unsent.stderr);
    site.configure(&setup);
    assert_eq!(place(&site, "PARTNER689", &[]).expect_code(0).json()["outcome"], "done");
    assert_eq!((created(&site), tracked(&site).len()), (1, 1));
}

#[test]
fn an_order_of_somebody_else_is_neither_shown_nor_tracked() {
    let site = site();
    site.sandbox.create_order(NewOrder::new("PARTNER689")).unwrap();
    let refused = place(&site, "PARTNER689", &[]).expect_code(1);
    assert!(refused.stderr.contains("not placed here") && refused.stdout.is_empty(), "{refused:?}");
    assert_eq!(tracked(&site), Vec::<String>::new());
    let id = order(&site.sandbox, "TRACKED").to_string();
    site.track("TRACKED", id);
    let refused = place(&site, "TRACKED", &[]).expect_code(1);
    assert!(refused.stderr.contains("a subscription is tracked that was ordered under this number"), "{refused:?}");
}

#[test]
fn what_is_wrong_with_an_order_is_said_before_it_is_sent() {
    let site = site();
    let mut order = body("PARTNER689");
    order["customer"]["locationInvoice"]["country"] = json!("US");
    order["currency"] = json!("euro");
    fs::write(site.path("order.json"), order.to_string()).unwrap();
    let refused = site.command(&["shop", "order", "order.json"]).expect_code(65);
    for field in ["currency: must be", "customer.locationInvoice.province: must be given"] {
        assert!(refused.stderr.contains(field), "{}", refused.stderr);
    }
    fs::write(site.path("order.json"), format!("{{\"customer\": \"{}\"", PERSONAL[0])).unwrap();
    let refused = site.command(&["shop", "order", "order.json"]).expect_code(65);
    assert!(refused.stderr.contains("order.json: not JSON (line 1"), "{}", refused.stderr);
    assert!(!refused.stderr.contains(PERSONAL[0]), "{}", refused.stderr);
    let twice = body("PARTNER689").to_string().replacen('{', "{\"partnerOrderNumber\": \"PARTNER690\", ", 1);
    fs::write(site.path("order.json"), twice).unwrap();
    let refused = site.command(&["shop", "order", "order.json"]).expect_code(65);
    assert!(refused.stderr.contains("partnerOrderNumber: is there twice"), "{}", refused.stderr);
    let elsewhere = site.command(&["shop", "categories", "--language", ".."]).expect_code(65);
    assert!(elsewhere.stderr.contains("language: must be a language"), "{}", elsewhere.stderr);
    assert_eq!((created(&site), site.sandbox.requests().len()), (0, 0));
}

#[test]
fn cancelling_must_be_meant_and_stands_in_the_story() {
    let site = site();
    let id = order(&site.sandbox, "PARTNER689");
    site.track("PARTNER689", id);
    let unsaid = site.command(&["shop", "cancel", "PARTNER689"]).expect_code(64);
    assert!(unsaid.stderr.contains("--yes says that this is meant: cancel PARTNER689"), "{}", unsaid.stderr);
    let done = site.command(&["shop", "cancel", "PARTNER689", "--yes"]).expect_code(0);
    assert!(done.stdout.starts_with("cancel: done (code 0), order "), "{}", done.stdout);
    let story = site.command(&["explain", "PARTNER689"]).expect_code(0).stdout;
    assert!(story.contains("asked for by") && story.contains(": done (code 0)"), "{story}");
    let story = site.command(&["explain", "PARTNER689", "--json"]).expect_code(0).json();
    assert_eq!(
        (&story["shop_calls"][0]["call"], &story["shop_calls"][0]["outcome"]),
        (&json!("cancel"), &json!("done"))
    );
}

#[test]
fn a_kind_says_what_it_offers() {
    let site = site();
    let id = order(&site.sandbox, "PARTNER689");
    site.track("PARTNER689", id);
    let refused = site.command(&["shop", "pause", "PARTNER689", "--yes"]).expect_code(65);
    assert!(
        refused.stderr.contains("nexway-connect has no call `pause`; it has stock, cross-sell"),
        "{}",
        refused.stderr
    );
}

#[test]
fn over_http_the_shop_has_a_token_of_its_own() {
    let site = site();
    let (_daemon, endpoint) = Endpoint::start(&site, &format!("token = \"{TOKEN}-2\"\nshop_token = \"{TOKEN}\""));
    let wanted = json!({ "order": body("PARTNER689"), "deliver": true });
    let path = "/v1/shop/nexway/order";
    let admin = endpoint.with_token(&format!("{TOKEN}-2"));
    admin.send(path, wanted.clone()).expect_problem(401);
    let endpoint = endpoint.with_token(TOKEN);
    let placed = endpoint.send(path, wanted.clone()).expect(200).json();
    assert_eq!((placed["call"].as_str(), placed["outcome"].as_str()), (Some("order"), Some("done")));
    assert_eq!(endpoint.send(path, wanted.clone()).expect(200).json()["outcome"], "already");
    endpoint.send("/v1/shop/nexway/nothing", json!({})).expect_problem(404);
    endpoint.send("/v1/shop/nowhere/systems", json!({})).expect_problem(404);
    endpoint.send("/v1/shop/nexway/order", json!({ "order": 5 })).expect_problem(422);
    endpoint.get("/v1/status").expect_problem(401);
    assert_eq!(site.next_message().data()["occasion"], "purchase");
    let metrics = admin.get("/metrics").expect(200).body;
    for (outcome, count) in [("done", 1), ("already", 1), ("mend", 0)] {
        let line =
            format!("renewald_shop_calls_total{{provider=\"nexway\",call=\"order\",outcome=\"{outcome}\"}} {count}");
        assert_eq!(metrics.contains(&line), count > 0, "{line}\n{metrics}");
    }
    assert!(!metrics.contains("nowhere"), "{metrics}");
}

#[test]
fn nothing_about_a_person_stays() {
    let site = site();
    site.change(|setup| setup.log_level = "trace");
    let daemon = serving(&site);
    place(&site, "PARTNER689", &["--deliver"]).expect_code(0);
    let answer = json!({ "responseCode": 321, "responseMessage": format!("no mail goes to {}", PERSONAL[0]) });
    site.sandbox.fault(Fault::new(FaultKind::Body { body: answer.to_string() }).at(Asked::Create).times(1));
    let refused = place(&site, "PARTNER690", &[]).expect_code(65);
    assert!(refused.stderr.contains("customer.email"), "who sent it is told: {}", refused.stderr);
    site.next_message();
    let log = daemon.drain().stderr;
    site.assert_keeps_nothing_of(&PERSONAL, &log);
    assert!(log.contains("call=order") && log.contains("PARTNER690"), "{log}");
}

/// Shop and sweep take turns: neither waits for more than a moment.
#[test]
fn a_call_is_made_while_a_sweep_has_all_slots_to_itself() {
    let site = Site::with(|setup| {
        setup.one_territory();
        setup.requests_per_second = 5.0;
    });
    let numbers: Vec<_> = (0..60).map(|n| format!("BUSY{n}")).collect();
    for number in &numbers {
        let id = order(&site.sandbox, number);
        site.track(number, id);
    }
    let daemon = serving(&site);
    site.sandbox.wait_for(|request: &Request| request.endpoint == Asked::Status, PATIENCE).expect("it polls");
    place(&site, "PARTNER689", &[]).expect_code(0);
    let requests = site.sandbox.requests();
    let ordered = requests.iter().position(|request| request.endpoint == Asked::Create).unwrap();
    let polls = requests[..ordered].iter().filter(|request| request.endpoint == Asked::Status).count();
    assert!(polls < 60, "it waited until the sweep was done: {polls}");
    daemon.drain();
}
