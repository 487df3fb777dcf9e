//! Each of a shop's calls at Nexway Connect through the real binary, and the three ways to fail.

use renewald::sandbox::nexway_connect::{Endpoint as Asked, Fault, FaultKind, RenewMethod};
use serde_json::{Value, json};

use crate::harness::{DAY, Finished, Setup, Site};
use crate::nexway_connect::order;

fn site() -> Site {
    let site = Site::with(Setup::one_territory);
    let id = order(&site.sandbox, "PARTNER689");
    site.track("PARTNER689", id);
    site
}

fn shop(site: &Site, arguments: &[&str]) -> Finished {
    site.command(&[&["shop"], arguments, &["--json"]].concat())
}

fn done(site: &Site, arguments: &[&str]) -> Value {
    shop(site, arguments).expect_code(0).json()
}

/// The next answer there says this.
fn answers(site: &Site, at: Asked, code: i64, text: &str) {
    let body = json!({ "responseCode": code, "responseMessage": text }).to_string();
    site.sandbox.fault(Fault::new(FaultKind::Body { body }).at(at).times(1));
}

#[test]
fn the_catalogue_is_asked_for() {
    let site = site();
    let stock = done(&site, &["stock", "811537", "300", "404"]);
    let states: Vec<_> =
        stock["answer"]["productStatus"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(states, [&json!(100), &json!(300), &Value::Null]);
    let cross = done(&site, &["cross-sell", "825393=2", "--language", "EN"]);
    assert_eq!(cross["answer"]["productsReturn"][1]["type"], "backup DVD");
    let money = "{\"responseCode\":0,\"productsReturn\":[{\"amountDutyFree\":29.90}]}";
    site.sandbox.fault(Fault::new(FaultKind::Body { body: money.to_owned() }).at(Asked::CrossSell).times(1));
    assert!(shop(&site, &["cross-sell", "5"]).stdout.contains("29.90"), "not a digit is lost");
    assert_eq!(
        cross["notes"],
        json!(["Extended Download Service: a download option; with products of Microsoft it must be proposed"])
    );
    assert_eq!(done(&site, &["categories", "--language", "FR"])["answer"]["categoryList"][0]["label"], "Security (FR)");
    assert_eq!(done(&site, &["systems"])["answer"]["osList"][0]["id"], 63);
    let shown = site.command(&["shop", "systems"]).expect_code(0).stdout;
    assert!(shown.contains("\"label\": \"Win 10 32/64 bits\""), "{shown}");
}

#[test]
fn an_orders_data_and_files_are_asked_for() {
    let site = site();
    let data = done(&site, &["order-data", "PARTNER689"]);
    assert_eq!((&data["outcome"], data["subscriptions"].as_array().map(Vec::len)), (&json!("done"), Some(1)));
    assert_eq!(done(&site, &["download-info", "PARTNER689"])["answer"]["downloadEndDate"], "2026-12-24");
    for _ in 0..2 {
        let extended = done(&site, &["extend-download", "PARTNER689", "--until", "2027-01-31"]);
        assert_eq!(extended["answer"]["newDownloadEndDate"], "2027-01-31");
    }
    assert_eq!(done(&site, &["download-info", "PARTNER689"])["answer"]["downloadEndDate"], "2027-01-31");
    let wrong = shop(&site, &["extend-download", "PARTNER689", "--until", "P7D"]).expect_code(65);
    assert!(wrong.stderr.contains("until: must be a date such as 2026-12-24"), "{}", wrong.stderr);
    shop(&site, &["order-data", "NOBODYS"]).expect_code(65);
}

#[test]
fn an_order_is_cancelled_once_and_renews_no_more() {
    let site = site();
    let cancel = ["cancel-order", "PARTNER689", "--reason", "double-order"];
    let unsaid = shop(&site, &cancel).expect_code(64);
    assert!(unsaid.stderr.contains("end the licence of order PARTNER689 NOW"), "{}", unsaid.stderr);
    let cancel = [&cancel[..], &["--yes"]].concat();
    done(&site, &["cancel", "PARTNER689", "--yes"]);
    assert_eq!(done(&site, &cancel)["outcome"], "done", "that a subscription renews no more cancels no order");
    assert_eq!(done(&site, &cancel)["outcome"], "already");
    site.sandbox.advance(400 * DAY);
    assert!(site.sandbox.renewals().is_empty());
    let story = site.command(&["explain", "PARTNER689", "--json"]).expect_code(0).json();
    let outcomes: Vec<_> = story["shop_calls"].as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
    assert_eq!(outcomes, ["done", "done", "already"]);
}

#[test]
fn a_renewal_is_asked_for_by_the_method_that_is_allowed() {
    for method in [RenewMethod::Both, RenewMethod::Post, RenewMethod::Put] {
        let site = site();
        site.sandbox.switch(|switches| switches.renew_method = method);
        done(&site, &["renew", "PARTNER689", "--yes"]);
        site.catch_up();
        assert_eq!(site.numbers(), ["PARTNER689-1"], "{method:?}");
    }
}

#[test]
fn what_fails_says_which_of_three_it_is() {
    let site = site();
    let cancel = ["cancel-order", "PARTNER689", "--reason", "fraud", "--yes"];
    answers(&site, Asked::CancelOrder, 101, "reason not valid");
    let mend = shop(&site, &cancel).expect_code(65);
    assert!(mend.stderr.contains("reason: reason not valid"), "{}", mend.stderr);
    answers(&site, Asked::CancelOrder, 1000, "internal");
    let later = shop(&site, &cancel).expect_code(75);
    assert!(later.stderr.contains("code 1000: internal"), "{}", later.stderr);
    answers(&site, Asked::CancelOrder, 1020, "cancel period over\u{1b}[2J");
    let refused = shop(&site, &cancel).expect_code(1);
    assert!(refused.stderr.contains("the provider refused it: cancel period over\\u{1b}"), "{}", refused.stderr);
    let away = FaultKind::Status { status: 503, body: Default::default(), retry_after: None };
    site.sandbox.fault(Fault::new(away).at(Asked::Stock).times(1));
    shop(&site, &["stock", "5"]).expect_code(75);
    site.sandbox.fault(Fault::new(FaultKind::Html).at(Asked::Stock).times(1));
    shop(&site, &["stock", "5"]).expect_code(75);
    let nowhere = shop(&site, &["stock", "5", "--territory", "moon"]).expect_code(65);
    assert!(nowhere.stderr.contains("moon"), "{}", nowhere.stderr);
}
