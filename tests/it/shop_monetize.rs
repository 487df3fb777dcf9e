//! A shop's offers, upgrades and carts at Nexway Monetize through the real binary: what is told before anything is charged, what comes of
//! it, and that nothing about a person stays.

use std::fs;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use renewald::sandbox::nexway_monetize::{
    DataStep, DeeplinkSpelling, Endpoint as Asked, ErrorBody, Fault, FaultKind, NewSubscriptions, Product, Request,
    Sandbox, Script, Source, Step,
};
use serde_json::{Value, json};

use crate::harness::{DAY, Daemon, Finished, HOUR, PATIENCE, Site, about, eventually, keys};
use crate::http::Endpoint;
use crate::nexway_monetize::{site, site_of_all_types, site_with};

/// The only store of the fake platform.
const STORE: &str = "a3c9e5d1-2b47-4e1f-8c36-90d7f1b2c302";
/// For what must not happen.
const A_MOMENT: Duration = Duration::from_millis(500);
/// What nothing but the provider may ever have.
const PERSONAL: [&str; 3] = ["jane.canary@example.org", "Canary-Street 5", "Canaryson"];

fn shop(site: &Site<Sandbox>, arguments: &[&str]) -> Finished {
    site.command(&[&["shop"], arguments, &["--json"]].concat())
}

fn done(site: &Site<Sandbox>, arguments: &[&str]) -> Value {
    shop(site, arguments).expect_code(0).json()
}

/// What the call says to somebody at a terminal.
fn told(site: &Site<Sandbox>, arguments: &[&str]) -> String {
    site.command(&[&["shop"], arguments].concat()).expect_code(0).stdout
}

fn refused(site: &Site<Sandbox>, arguments: &[&str], code: i32) -> String {
    shop(site, arguments).expect_code(code).stderr
}

/// How often it was asked there.
fn asked(site: &Site<Sandbox>, at: Asked) -> usize {
    site.sandbox.requests().iter().filter(|request| request.endpoint == at).count()
}

/// The ids of the orders of this source.
fn orders(site: &Site<Sandbox>, id: &str, source: Source) -> Vec<String> {
    let orders = site.sandbox.orders(id).unwrap().into_iter();
    orders.filter(|order| order.source == source).map(|order| order.order_id).collect()
}

fn offered(site: &Site<Sandbox>, id: &str) -> String {
    done(site, &["offer", id])["answer"]["cartId"].as_str().expect("a cart").to_owned()
}

fn accept<'a>(id: &'a str, cart: &'a str) -> [&'a str; 5] {
    ["offer-accept", id, "--cart", cart, "--yes"]
}

fn status(status: u16) -> FaultKind {
    FaultKind::Status { status, body: ErrorBody::Json, retry_after: None }
}

#[test]
fn an_offer_is_told_taken_and_used_by_the_renewal() {
    let site = site_of_all_types();
    let id = site.subscribe();
    site.catch_up();
    let words = told(&site, &["offer", &id]);
    let expected = "the next renewal costs 43.2 EUR instead of 54.0 EUR: 20 % less";
    assert!(words.starts_with("offer: done (code 201)\ncart ") && words.contains(expected), "{words}");
    assert!(orders(&site, &id, Source::Offer).is_empty(), "nothing is made before it is taken");
    let cart = offered(&site, &id);
    let unsaid = site.command(&["shop", "offer-accept", &id, "--cart", &cart]).expect_code(64);
    assert!(unsaid.stderr.contains("the next renewal is charged by it"), "{}", unsaid.stderr);

    let taken = done(&site, &accept(&id, &cart));
    let order = orders(&site, &id, Source::Offer).remove(0);
    assert_eq!((&taken["outcome"], &taken["order_number"]), (&json!("done"), &json!(order)));
    assert_eq!(taken["notes"], json!([format!("order {order}: the next renewal costs 43.2 EUR")]));
    // It has one: there is no second, and no cart for one.
    let carts = asked(&site, Asked::OfferCart);
    for again in [&["offer", &id][..], &accept(&id, &cart)] {
        let again = done(&site, again);
        assert_eq!((&again["outcome"], &again["order_number"]), (&json!("already"), &json!(order)));
    }
    assert_eq!((asked(&site, Asked::OfferCart), asked(&site, Asked::AcceptOffer)), (carts, 1));
    let story = site.command(&["explain", &id, "--json"]).expect_code(0).json();
    let calls: Vec<_> = story["shop_calls"].as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
    assert_eq!(calls, ["done", "already"]);
    assert_eq!(story["shop_calls"][0]["call"], "offer-accept");

    site.catch_up();
    let offer = site.next_message();
    assert_eq!((&offer.data()["state"], &offer.data()["order_number"]), (&json!("accepted"), &json!(order)));
    site.renew(&id);
    site.let_pass(5 * HOUR);
    site.catch_up();
    let messages = about(&site.messages(), &id);
    let renewal = messages.iter().find(|message| message.data()["charge"].is_object()).expect("the renewal");
    assert_eq!((&renewal.data()["order_number"], &renewal.data()["charge"]["amount"]), (&json!(order), &json!("43.2")));
    assert_eq!(keys(renewal), site.sandbox.expected_keys(&order));
    assert!(messages.iter().any(|message| message.data()["state"] == "used"));
    let next = told(&site, &["offer", &id]);
    assert!(next.contains(expected), "{next}");
}

#[test]
fn an_offer_whose_answer_is_lost_is_taken_once() {
    let lost = [
        FaultKind::CutMidBody,
        FaultKind::TruncatedJson,
        FaultKind::DoneBut { status: 503, body: String::new() },
        FaultKind::DoneBut { status: 201, body: "{}".to_owned() },
    ];
    for fault in lost {
        let site = site();
        let id = site.subscribe();
        let cart = offered(&site, &id);
        site.sandbox.fault(Fault::new(fault.clone()).at(Asked::AcceptOffer).times(1));
        assert_eq!(done(&site, &accept(&id, &cart))["outcome"], "done", "{fault:?}");
        assert_eq!((orders(&site, &id, Source::Offer).len(), asked(&site, Asked::AcceptOffer)), (1, 1), "{fault:?}");
    }
    // Never arrived: nothing is there, and sending it again is safe.
    let site = site();
    let id = site.subscribe();
    let cart = offered(&site, &id);
    site.sandbox.fault(Fault::new(status(503)).at(Asked::AcceptOffer).times(1));
    shop(&site, &accept(&id, &cart)).expect_code(75);
    assert_eq!(done(&site, &accept(&id, &cart))["outcome"], "done");
    assert_eq!(orders(&site, &id, Source::Offer).len(), 1);
}

#[test]
fn an_offer_that_is_taken_twice_at_once_is_taken_once() {
    let site = site();
    let id = site.subscribe();
    let (_daemon, endpoint) = Endpoint::start(&site, "shop_token = \"a-token-of-some-length\"");
    let endpoint = &endpoint.with_token("a-token-of-some-length");
    let cart = offered(&site, &id);
    const UNSEEN: &str = "SELECT count(*) FROM subscriptions WHERE last_answer_at IS NULL";
    eventually("its own look is over", || (site.value::<i64>(UNSEEN) == 0).then_some(()));
    let take = || {
        let body = json!({ "subscription_id": id, "cart": cart });
        endpoint.send("/v1/shop/nexway/offer-accept", body).expect(200).json()["outcome"].as_str().unwrap().to_owned()
    };
    let seen = site.sandbox.request_count();
    let next = |at, within| site.sandbox.wait_for(|one: &Request| one.seq >= seen && one.endpoint == at, within);
    site.sandbox.fault(Fault::new(FaultKind::Hold).at(Asked::Orders).times(1));
    let mut outcomes = std::thread::scope(|scope| {
        let first = scope.spawn(take);
        next(Asked::Orders, PATIENCE).expect("the first looks for an order");
        let second = scope.spawn(take);
        assert_eq!(next(Asked::AcceptOffer, A_MOMENT).map(|one| one.seq), None, "the second waits for the first");
        site.sandbox.release();
        [first.join().unwrap(), second.join().unwrap()]
    });
    outcomes.sort();
    assert_eq!((outcomes, orders(&site, &id, Source::Offer).len()), (["already".into(), "done".into()], 1));
}

/// Rules that are known are said before anybody is asked, those of the platform in its words.
#[test]
fn what_may_not_be_is_said_in_plain_words() {
    let site = site();
    let id = site.subscribe();
    let trial = site.subscribe_as(NewSubscriptions { generation: -1, ..Default::default() }).remove(0);
    let ended = site.subscribe();
    site.sandbox.cancel(&ended).unwrap();
    let soon = NewSubscriptions { expires_at: Some(site.now() + 3 * DAY), ..Default::default() };
    let billed = site.subscribe_as(soon).remove(0);
    let early = site.subscribe();
    site.sandbox.prebill(&early).unwrap();
    let bigger = Product::bigger().id;
    let upgrade = |id| ["upgrade", id, "--product", &bigger];
    for (call, why) in [
        (&["offer", &trial][..], "it is in its trial: an offer is for the renewal of a paid term"),
        (&["offer", &ended], "it is Canceled: there is no renewal to make an offer for"),
        (&["offer", &billed], "its renewal is being billed already"),
        (&["offer", &early], "its renewal is billed already as order"),
        (&upgrade(&ended), "it is Canceled: there is no term to upgrade in"),
        (&upgrade(&billed), "its renewal is being billed already"),
    ] {
        let words = refused(&site, call, 1);
        assert!(words.contains(why) && !words.contains("the provider refused"), "{call:?}: {words}");
    }
    let same = refused(&site, &["upgrade", &id, "--product", &Product::default().id], 65);
    assert!(same.contains("product: is the product that it has already"), "{same}");
    assert_eq!((asked(&site, Asked::OfferCart), asked(&site, Asked::UpgradeCart)), (0, 0));

    let early = refused(&site, &upgrade(&early), 1);
    assert!(
        early.contains("the provider refused it: ") && early.contains("upgrades are for the time before"),
        "{early}"
    );
    let cheaper = Product { id: "cheap".into(), price: 9.0, ..Product::default() };
    site.subscribe_as(NewSubscriptions { product: cheaper, ..Default::default() });
    let cheaper = refused(&site, &["upgrade", &id, "--product", "cheap"], 65);
    assert!(cheaper.contains("product: the price of the new product must be higher"), "{cheaper}");
    let unknown = refused(&site, &["upgrade", &id, "--product", "nothing"], 65);
    assert!(unknown.contains("product: PRODUCT nothing not found"), "{unknown}");
    let code = refused(&site, &["offer", &id, "--discount-code", "GO"], 65);
    assert!(code.contains("discount_code: DISCOUNT GO not found"), "{code}");
    let cart = refused(&site, &accept(&id, "5d0c2f3e-1a55-4c39-9f0e-5f1b2a6c8d01"), 65);
    assert!(cart.contains("cart: CART 5d0c2f3e"), "{cart}");
    done(&site, &["offer", &id, "--discount-code", "STAY"]);
    site.sandbox.switch(|switches| switches.offer_discount = None);
    let none = refused(&site, &["offer", &id], 1);
    assert!(none.contains("no discount is configured for offers to stay"), "{none}");
    let body = json!({ "status": 400, "message": "in\u{1b}[2J the midst" }).to_string();
    site.sandbox.fault(Fault::new(FaultKind::DoneBut { status: 400, body }).at(Asked::UpgradeCart).times(1));
    let hostile = refused(&site, &upgrade(&id), 1);
    assert!(hostile.contains("in\\u{1b}[2J the midst"), "{hostile}");
}

#[test]
fn an_upgrade_is_paid_at_the_checkout_and_its_key_delivered() {
    let site = site();
    let id = site.subscribe();
    site.catch_up();
    site.sandbox.suspend(&id).unwrap();
    let bigger = Product::bigger();
    let call = ["upgrade", &id, "--product", &bigger.id];
    let words = told(&site, &call);
    for part in [
        "EUR to be paid for what is left of the term",
        "each renewal then costs 108.0 EUR",
        "whoever pays it switches the renewal on again",
        "for one use within 3600 seconds: https://store.sandbox.example/checkout/",
    ] {
        assert!(words.contains(part), "{part} in {words}");
    }
    let made = done(&site, &call);
    let cart = made["answer"]["cart"]["id"].as_str().unwrap();
    let link = made["answer"]["checkoutLink"].as_str().unwrap();
    assert!(link.contains("?deeplinkid=") && link.ends_with(&format!("&cartid={cart}")), "{link}");
    assert_eq!(made["answer"]["linkLifeSeconds"], 3600);
    for personal in ["@example.org", "creditCards", "411111"] {
        assert!(!made.to_string().contains(personal) && !words.contains(personal), "{personal} in {made}");
    }
    assert!(site.sandbox.upgrades().is_empty(), "nothing is charged by the call");
    let paid = site.sandbox.pay(cart).unwrap().remove(0);
    site.let_pass(5 * HOUR);
    site.catch_up();
    let message = site.next_message();
    let due = made["answer"]["cart"]["totalAmount"].as_f64();
    assert_eq!((due, &message.data()["reference"]), (Some(paid.amount), &json!(paid.order_id)));
    assert_eq!((&message.data()["occasion"], message.data()["generation"].as_i64()), (&json!("upgrade"), Some(0)));
    assert_eq!(keys(&message), site.sandbox.expected_keys(&paid.order_id));
}

#[test]
fn a_link_that_signs_nobody_in_is_better_than_none() {
    let site = site();
    let id = site.subscribe();
    let call = ["upgrade", &id, "--product", &Product::bigger().id, "--discount-tag", "LOYAL", "--discount-step", "2"];
    site.sandbox.switch(|switches| switches.deeplink_spelling = DeeplinkSpelling::OpenApi);
    assert!(done(&site, &call)["answer"]["checkoutLink"].as_str().unwrap().contains("deeplinkid="));
    assert_eq!(asked(&site, Asked::Deeplink), 2, "in the other spelling");
    for fault in [status(403), status(400), FaultKind::CutBefore, FaultKind::EmptyObject] {
        site.sandbox.fault(Fault::new(fault.clone()).at(Asked::Deeplink));
        let made = done(&site, &call);
        let (answer, notes) = (&made["answer"], made["notes"].to_string());
        let cart = answer["cart"]["id"].as_str().unwrap();
        let plain = format!("https://store.sandbox.example/checkout/{cart}?cartid={cart}");
        assert_eq!((&answer["checkoutLink"], answer.get("linkLifeSeconds")), (&json!(plain), None), "{fault:?}");
        assert!(notes.contains("has to sign in"), "{fault:?}: {notes}");
        site.sandbox.clear_faults();
    }
    let alone = site.command(&["shop", "upgrade", &id, "--product", "p", "--discount-step", "2"]).expect_code(64);
    assert!(alone.stderr.contains("--discount-tag"), "{}", alone.stderr);
}

/// A cart for a boxed product, with everything about its owner.
fn boxed() -> Value {
    json!({
        "storeId": STORE,
        "endUser": { "email": PERSONAL[0], "lastName": PERSONAL[2], "firstName": "Jane", "streetAddress": PERSONAL[1],
                     "city": "Lyon", "zipCode": "69001", "country": "FR", "locale": "fr-FR", "maskedEmail": true },
        "wantedProducts": [{ "id": Product::default().id, "currentExpirationDate": 4_000_000_000_000_i64 }],
        "marketingCampaignNames": ["box"], "discountPlan": { "tag": "BOX", "discountStep": 0 },
        "country": "FR", "currency": "EUR", "locale": "fr-FR", "scenario": "subscriptionimport" })
}

fn retail(site: &Site<Sandbox>, body: &Value) -> Finished {
    fs::write(site.path("boxed.json"), body.to_string()).unwrap();
    shop(site, &["retail", "boxed.json"])
}

#[test]
fn a_boxed_product_becomes_a_subscription_that_is_discovered() {
    let site = site_with(|setup| setup.accounts[0].keys.push_str("discover = \"deliver\"\n"));
    site.sandbox.switch(|switches| switches.cart_status = 201);
    site.catch_up();
    let made = retail(&site, &boxed()).expect_code(0).json();
    let cart = made["answer"]["cart"]["id"].as_str().unwrap();
    assert_eq!(made["answer"]["checkoutLink"], format!("https://store.sandbox.example/checkout/{cart}"));
    let buy = "https://store.sandbox.example/checkout/add?products=7d0c2f3e-1a55-4c39-9f0e-5f1b2a6c8d01&mktop=box\
               &scenario=subscriptionimport&discountTag=BOX&discountStep=0";
    assert_eq!(made["answer"]["buyLink"], buy);
    let words = told(&site, &["retail", "boxed.json"]);
    assert!(words.contains("it costs nothing now") && words.contains(buy), "{words}");
    for personal in PERSONAL {
        assert!(!made.to_string().contains(personal) && !words.contains(personal), "{personal} in {made}");
    }
    site.sandbox.advance(HOUR);
    let order = site.sandbox.pay(cart).unwrap().remove(0);
    assert_eq!((order.source, order.amount), (Source::Purchase, 0.0));
    let (mut work, now) = (site.work(), site.now());
    for days in [1, 2] {
        work.pass(now + days * DAY);
    }
    let message = site.next_message();
    assert_eq!(
        (&message.data()["occasion"], &message.data()["order_number"]),
        (&json!("purchase"), &json!(order.order_id))
    );
    assert_eq!(keys(&message), site.sandbox.expected_keys(&order.order_id));
    assert_eq!(about(&[message], &order.subscription_id).len(), 1);
}

#[test]
fn what_is_wrong_with_a_boxed_product_is_said_before_it_is_sent() {
    let site = site();
    let mut body = boxed();
    body["scenario"] = json!("purchase");
    body["endUser"]["country"] = json!(PERSONAL[2]);
    body["wantedProducts"] = json!([{}]);
    let words = retail(&site, &body).expect_code(65).stderr;
    for part in
        ["scenario: must be subscriptionimport", "endUser.country: must be one of", "wantedProducts[0].id: must be"]
    {
        assert!(words.contains(part), "{part} in {words}");
    }
    assert!(!words.contains(PERSONAL[2]), "{words}");
    assert!(site.sandbox.requests().is_empty());
    let mut elsewhere = boxed();
    elsewhere["storeId"] = json!("x");
    let words = retail(&site, &elsewhere).expect_code(65).stderr;
    assert!(words.contains("storeId: STORE x not found"), "{words}");
    let silent = retail(&site, &{
        let mut body = boxed();
        body.as_object_mut().unwrap().remove("scenario");
        body
    });
    assert!(silent.expect_code(65).stderr.contains("the scenario is not"), "it is passed on as it stands");
    site.sandbox.fault(Fault::new(status(598)).at(Asked::RetailCart).times(1));
    retail(&site, &boxed()).expect_code(75);
}

#[test]
fn a_version_that_is_no_longer_the_newest_is_read_again_once() {
    let site = site();
    let id = site.subscribe();
    let outrun = |times| site.sandbox.switch(|switches| switches.version_conflicts = times);
    outrun(1);
    let cart = offered(&site, &id);
    let bigger = Product::bigger().id;
    for call in [&["upgrade", &id, "--product", &bigger][..], &accept(&id, &cart), &["suspend", &id, "--yes"]] {
        outrun(1);
        let reads = asked(&site, Asked::Subscription);
        assert_eq!(done(&site, call)["outcome"], "done", "{call:?}");
        assert_eq!(asked(&site, Asked::Subscription), reads + 2, "{call:?}");
    }
    outrun(2);
    let again = refused(&site, &["cancel", &id, "--yes"], 75);
    assert!(again.contains("412"), "{again}");
    site.sandbox.fault(Fault::new(status(409)).at(Asked::Cancel).times(1));
    assert_eq!(done(&site, &["cancel", &id, "--yes"])["outcome"], "done");
}

#[test]
fn an_order_and_its_keys_are_shown_digit_by_digit() {
    let site = site();
    let id = site.subscribe();
    let first = &site.sandbox.orders(&id).unwrap()[0].order_id;
    let shown = done(&site, &["order-data", &first.to_lowercase()]);
    assert_eq!((&shown["outcome"], &shown["order_number"]), (&json!("done"), &json!(first)));
    assert_eq!((&shown["subscriptions"], &shown["answer"]["order"]["id"]), (&json!([id]), &json!(first)));
    assert_eq!(json!([shown["answer"]["lineItemData"][0]["activationCode"]]), json!(site.sandbox.expected_keys(first)));
    assert!(told(&site, &["order-data", first]).contains("\"totalAmount\": 54.0"));

    let digits = format!(r#"{{"id": "{first}", "status": "COMPLETED", "totalAmount": 54.10}}"#);
    site.sandbox.fault(Fault::new(FaultKind::Body { body: digits }).at(Asked::Order).times(1));
    assert!(shop(&site, &["order-data", first]).stdout.contains("54.10"), "not a digit is lost");
    for (script, why) in [
        (Script::statuses(["PAYMENT_PENDING"]), "is PAYMENT_PENDING"),
        (Script::data([DataStep::status("PENDING")]), "a key of it is still to come"),
        (Script::data([DataStep::missing()]), ""),
    ] {
        site.sandbox.script_order(first, script).unwrap();
        let shown = done(&site, &["order-data", first]);
        let outcome = if why.is_empty() { "done" } else { "waiting" };
        assert_eq!(shown["outcome"], outcome, "{why}");
        assert!(shown["notes"].to_string().contains(why), "{shown}");
    }
    site.sandbox.script_order(first, Script::steps([Step::status("CANCELED").forever()])).unwrap();
    let gone = refused(&site, &["order-data", first], 1);
    assert!(gone.contains(&format!("order {first} is CANCELED: it brings nothing")), "{gone}");
    refused(&site, &["order-data", "00000000000"], 65);
    refused(&site, &["order-data", ".."], 65);
}

#[test]
fn over_http_an_id_is_all_that_an_offer_needs() {
    let site = site();
    let id = site.subscribe();
    let (_daemon, endpoint) = Endpoint::start(&site, "shop_token = \"a-token-of-some-length\"");
    let endpoint = endpoint.with_token("a-token-of-some-length");
    let send = |call: &str, body: Value| endpoint.send(&format!("/v1/shop/nexway/{call}"), body);
    let made = send("offer", json!({ "subscription_id": id.to_uppercase() })).expect(200).json();
    let cart = &made["answer"]["cartId"];
    let taken = send("offer-accept", json!({ "subscription_id": id, "cart": cart })).expect(200).json();
    assert_eq!(taken["outcome"], "done");
    assert_eq!(send("offer", json!({ "subscription_id": id })).expect(200).json()["outcome"], "already");
    send("offer-accept", json!({ "subscription_id": id, "cart": "" })).expect_problem(422);
    send("offer-accept", json!({ "subscription_id": id })).expect_problem(400);
    let step = json!({ "subscription_id": id, "product": "p", "discount_step": 1 });
    send("upgrade", step).expect_problem(422);
    assert!(send("retail", boxed()).expect(200).json()["answer"]["checkoutLink"].is_string());
    send("order-data", json!({ "number": "00000000000" })).expect_problem(404);
}

#[test]
fn nothing_about_a_person_stays() {
    let site = site();
    site.change(|setup| setup.log_level = "trace");
    let id = site.subscribe();
    let daemon = Daemon::spawn(&site);
    eventually("it serves calls", || UnixStream::connect(site.path("renewald.db.sock")).ok());
    retail(&site, &boxed()).expect_code(0);
    done(&site, &["upgrade", &id, "--product", &Product::bigger().id]);
    let body = json!({ "status": 400, "message": format!("no mail goes to {}", PERSONAL[0]) }).to_string();
    site.sandbox.fault(Fault::new(FaultKind::DoneBut { status: 400, body }).at(Asked::RetailCart).times(1));
    let refused = retail(&site, &boxed()).expect_code(65);
    assert!(refused.stderr.contains(PERSONAL[0]), "who sent it is told: {}", refused.stderr);
    let log = daemon.drain().stderr;
    site.assert_keeps_nothing_of(&PERSONAL, &log);
    assert!(log.contains("call=retail") && log.contains("call=upgrade"), "{log}");
}
