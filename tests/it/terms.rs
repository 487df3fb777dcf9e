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
