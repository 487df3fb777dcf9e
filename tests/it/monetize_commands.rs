//! Nexway Monetize from the command line: tracking, refetching, explaining, checking, and an account of another kind beside it.

use std::fs;

use renewald::sandbox::nexway_monetize::{
    Endpoint, ErrorBody, Fault, FaultKind, NewSubscriptions, Product, Revision, Sandbox, Script, Step,
};
use serde_json::json;

use crate::harness::{Daemon, HOUR, Provider as _, Site, about, keys};
use crate::nexway_connect;
use crate::nexway_monetize::{site, site_of_all_types, site_with};

fn upgraded(site: &Site<Sandbox>) -> (String, String) {
    let id = site.subscribe();
    site.catch_up();
    let order = site.sandbox.upgrade(&id, Product::bigger(), Script::default()).unwrap();
    site.renew(&id);
    site.let_pass(5 * HOUR);
    site.catch_up();
    (id, order)
}

#[test]
fn a_delivery_is_fetched_again_by_its_generation_or_by_its_order() {
    let site = site();
    let (id, order) = upgraded(&site);
    assert_eq!(site.messages().len(), 2);
    for (choice, reference) in [(["--generation", "1"], "1"), (["--reference", &order], &order)] {
        let told = site.command(&["refetch", &id, choice[0], choice[1], "--json"]).expect_code(0).json();
        assert_eq!((&told["reference"], &told["outcome"]), (&json!(reference), &json!("reopened")));
    }
    site.catch_up();
    let messages = site.messages();
    assert_eq!(messages.len(), 4);
    for again in &messages[2..] {
        let data = again.data();
        let first = messages[..2].iter().find(|first| first.data()["reference"] == data["reference"]).unwrap();
        assert_eq!((&data["revision"], keys(again)), (&json!(1), keys(first)));
        assert_ne!(again.id, first.id);
    }
    let unknown = site.command(&["refetch", &id, "--reference", "40M63XUA7GU"]).expect_code(65);
    assert!(unknown.stderr.contains("no delivery"), "{unknown:?}");
}

#[test]
fn what_is_exported_and_imported_is_delivered_no_second_time() {
    let site = site();
    let (id, _) = upgraded(&site);
    let trial = site.subscribe_as(NewSubscriptions { generation: -1, ..Default::default() }).remove(0);
    let exported = site.command(&["export"]).expect_code(0).stdout;
    let other = site.again();
    fs::write(other.path("all.jsonl"), &exported).unwrap();
    other.command(&["import", other.path("all.jsonl").to_str().unwrap()]).expect_code(0);
    assert_eq!(other.command(&["export"]).expect_code(0).stdout, exported);
    other.catch_up();
    assert_eq!(site.messages().len(), 2, "nothing new");
    site.renew(&trial);
    site.renew(&id);
    other.let_pass(5 * HOUR);
    other.catch_up();
    let told: Vec<_> = site.messages()[2..].iter().map(|message| message.data()["reference"].clone()).collect();
    assert_eq!((about(&site.messages(), &trial).len(), about(&site.messages(), &id).len()), (1, 3), "{told:?}");
}

#[test]
fn an_id_is_all_that_tracking_needs() {
    let site = site();
    let ids = site.sandbox.create(NewSubscriptions { count: 3, ..Default::default() }).unwrap();
    ids.iter().for_each(|id| site.renew(id));
    site.command(&["track", &ids[0].to_uppercase(), "--generation", "0"]).expect_code(0);
    let rows = format!("subscription_id,generation\n{},0\n", ids[1].to_uppercase());
    fs::write(site.path("new.csv"), rows).unwrap();
    site.command(&["import", site.path("new.csv").to_str().unwrap()]).expect_code(0);
    site.command(&["track", "OURS-17", &ids[2], "--adopt"]).expect_code(0);
    site.catch_up();
    assert_eq!(site.messages().len(), 2, "what is adopted has had it");
    for id in &ids[..2] {
        let message = &about(&site.messages(), id)[0];
        assert_eq!(keys(message), site.sandbox.expected_keys(&site.renewed_by(id)));
        assert_eq!(message.data()["subscription"]["partner_order_number"], **id);
    }
    site.command(&["poll", &ids[0].to_uppercase()]).expect_code(0);
    let twice = site.command(&["track", &ids[0], "--generation", "0", "--json"]).expect_code(0).json();
    assert_eq!(twice["subscriptions"][0]["outcome"], "already_tracked");
}

#[test]
fn explain_tells_of_orders_offers_and_payments() {
    let site = site_of_all_types();
    let new = NewSubscriptions { external_ref_id: Some("PARTNER-2024-7".into()), ..Default::default() };
    let id = site.subscribe_as(new).remove(0);
    site.catch_up();
    let upgrade = site.sandbox.upgrade(&id, Product::bigger(), Script::default()).unwrap();
    let offer = site.sandbox.accept_offer(&id, 0.1).unwrap();
    let waiting = site.subscribe();
    let fraud = Script::steps([Step::status("FRAUD_PENDING").forever()]);
    site.sandbox.script(&waiting, 1, fraud).unwrap();
    site.renew(&waiting);
    let refused = site.subscribe();
    site.sandbox.refuse_payment(&refused, None).unwrap();
    site.let_pass(5 * HOUR);
    site.command(&["once", "--max-time", "2s"]);
    let story = |id: &str| site.command(&["explain", id]).expect_code(0).stdout;
    let told = story(&id);
    let parts = [
        format!("generation 0 as {upgrade}, upgrade"),
        format!("accepted as order {offer}"),
        "your reference  PARTNER-2024-7".to_owned(),
        "status          Active".to_owned(),
    ];
    parts.iter().for_each(|part| assert!(told.contains(part), "{part} in {told}"));
    assert!(keys(&site.messages()[0]).iter().all(|key| !told.contains(key)));
    let told = story(&waiting);
    assert!(told.contains(&format!("order {} is FRAUD_PENDING", site.renewed_by(&waiting))), "{told}");
    let told = story(&refused);
    assert!(told.contains("PAYMENT_REFUSED") && told.contains("Dunning"), "{told}");
}

#[test]
fn a_check_says_in_words_what_the_account_may_read() {
    let site = site();
    let id = site.subscribe();
    site.catch_up();
    let check = |code| site.command(&["check", "--online"]).expect_code(code).stdout;
    let told = check(0);
    let order = &site.sandbox.orders(&id).unwrap()[0].order_id;
    for part in [
        "token service: gave a token".to_owned(),
        "list of subscriptions: may be read, 1 in all".to_owned(),
        format!("orders: may be read; the newest of {id} is {order}, status COMPLETED"),
    ] {
        assert!(told.contains(&part), "{part} in {told}");
    }
    let forbidden = |endpoint| {
        let status = FaultKind::Status { status: 403, body: ErrorBody::Json, retry_after: None };
        site.sandbox.clear_faults();
        site.sandbox.fault(Fault::new(status).at(endpoint));
    };
    forbidden(Endpoint::OrderOfGeneration);
    let told = check(1);
    assert!(
        told.contains("list of subscriptions: may be read") && told.contains("ask the provider for the right"),
        "{told}"
    );
    forbidden(Endpoint::Subscriptions);
    assert!(check(1).contains("list of subscriptions: answered 403"));
}

#[test]
fn an_older_revision_has_its_paths_in_the_settings() {
    let site = site_with(|setup| {
        setup.accounts[0]
            .keys
            .push_str("subscriptions_path = \"/subscriptions\"\nlicences_path = \"/license-manager/licenses\"\n");
    });
    site.sandbox.switch(|switches| switches.revision = Revision::Older);
    let (id, _) = upgraded(&site);
    assert_eq!(about(&site.messages(), &id).len(), 2);
    assert!(site.command(&["check", "--online"]).expect_code(0).stdout.contains("1 in all"));
    assert!(site.command(&["check"]).expect_code(0).stdout.contains("requests a day, if its list answers for nobody"));
}

#[test]
fn accounts_of_two_kinds_work_side_by_side() {
    let reseller = nexway_connect::sandbox();
    let site = site_with(|setup| {
        setup.every = "1s";
        setup.accounts.push(reseller.account("reseller"));
    });
    let number = nexway_connect::order(&reseller, "PARTNER689").to_string();
    let place = ["--provider", "reseller", "--territory", "eu", "--generation", "0"];
    site.command(&[&["track", "PARTNER689", &number][..], &place].concat()).expect_code(0);
    let id = site.subscribe();
    let daemon = Daemon::spawn(&site);
    reseller.renew_times("PARTNER689", None, 1).unwrap();
    site.renew(&id);
    let mut sources = [(); 2].map(|()| site.next_message().json()["source"].as_str().unwrap().to_owned());
    sources.sort();
    assert_eq!(sources, ["/renewald/nexway/default", "/renewald/reseller/eu"]);
    // One that is out of order is no trouble to the other.
    site.sandbox.fault(Fault::new(FaultKind::CutBefore));
    daemon.wait_for_log("provider does not answer");
    reseller.renew_times("PARTNER689", None, 1).unwrap();
    assert_eq!(site.next_message().data()["reference"], "PARTNER689-2");
    site.sandbox.clear_faults();
    site.renew(&id);
    assert_eq!(site.next_message().data()["reference"], "2");
    daemon.drain();
}
