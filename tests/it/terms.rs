//! A term's end: when it is believed, and what is told about it.

use renewald::clock::Timestamp;
use renewald::sandbox::nexway_connect::{NewOrder, Script};

use crate::fake_receiver::Received;
use crate::harness::{DAY, HOUR, Site, Track};

/// A site whose `shop` gets messages of every type.
fn site() -> Site {
    let site = Site::new();
    site.change(|setup| setup.set_webhook("shop", &site.receiver, "events = [\"*\"]"));
    site
}

fn active(number: &str, expires_at: Timestamp) -> NewOrder {
    let technical_status = Some("ACTIVE".to_owned());
    NewOrder { expires_at: Some(expires_at), auto_renew: false, technical_status, ..NewOrder::new(number) }
}

fn types(messages: &[Received]) -> Vec<String> {
    messages.iter().map(|message| message.json()["type"].as_str().expect("text").to_owned()).collect()
}

#[test]
fn an_impossible_date_leaves_the_known_end_alone() {
    let site = site();
    let end = site.now() + 300 * DAY;
    site.order_as("A", |track| Track { expires_at: Some(end), ..track });
    let mut work = site.work();
    let dates =
        ["\"1970-01-01T01:00:00+01:00\"", "\"0001-01-01T00:00:00\"", "\"20261231235959\"", "0", "\"9999-12-31\""];
    for (n, date) in (1..).zip(dates) {
        let answer = format!(
            r#"{{"partnerOrderNumber": "A", "generation": 0, "technicalStatus": "ACTIVE", "expiration_datetime": {date}}}"#
        );
        site.sandbox.script("A", Script::status_body(answer));
        work.pass(site.now() + n * 5 * HOUR);
        assert_eq!(site.value::<i64>("SELECT expires_at FROM subscriptions"), end.as_unix(), "{date}");
        assert_eq!(site.texts("SELECT last_outcome FROM subscriptions"), ["ok"], "{date}");
    }
    assert_eq!(types(&site.messages()), [""; 0]);
}

#[test]
fn a_term_that_was_over_before_it_was_tracked_is_neither_told_nor_counted_as_not_renewed() {
    let site = site();
    let now = site.now();
    site.place(active("REPORTED", now - 40 * DAY));
    site.place(active("GIVEN", now - 40 * DAY));
    site.place(active("SINCE", now - 20 * DAY));
    site.execute(&format!(
        "UPDATE subscriptions SET tracked_at = {};
         UPDATE subscriptions SET expires_at = {} WHERE partner_order_number = 'GIVEN'",
        (now - 30 * DAY).as_unix(),
        (now - 40 * DAY).as_unix()
    ));
    let unknown = r#"{"partnerOrderNumber": "GIVEN", "generation": 0, "technicalStatus": "ACTIVE"}"#;
    site.sandbox.script("GIVEN", Script::status_body(unknown));
    let report = site.work().pass(now).0;
    assert_eq!((report.polls, report.not_renewed), (3, 1));
    let told = site.messages();
    assert_eq!(types(&told), ["renewald.subscription.not_renewed.v1"]);
    assert_eq!(told[0].data()["subscription"]["partner_order_number"], "SINCE");
    let listed = site.command(&["list", "--not-renewed", "--json"]).expect_code(0).json();
    let listed: Vec<_> = listed["items"].as_array().unwrap().iter().map(|one| &one["partner_order_number"]).collect();
    assert_eq!(listed, ["SINCE"]);
}

#[test]
fn who_is_tracked_again_is_not_counted_by_a_term_that_was_over_before() {
    let site = site();
    let now = site.now();
    let id = site.place(active("A", now - 20 * DAY))[0];
    site.work().pass(now);
    assert_eq!(types(&site.messages()), ["renewald.subscription.not_renewed.v1"]);
    site.command(&["untrack", "A"]).expect_code(0);
    site.command(&["track", "A", &id.to_string(), "--territory", "eu", "--generation", "0"]).expect_code(0);
    let listed = || site.command(&["list", "--not-renewed", "--json"]).expect_code(0).json()["items"].clone();
    assert_eq!(listed(), serde_json::json!([]));
    site.work().pass(now + 5 * HOUR);
    assert_eq!((site.messages().len(), listed()), (1, serde_json::json!([])));
}
