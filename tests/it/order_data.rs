//! Get order data in every variant, and what each class of code leads to.

use std::time::Duration;

use renewald::clock::Timestamp;
use renewald::sandbox::nexway_connect::{NewOrder, Script, Step, Variant};
use serde_json::{Value, json};

use crate::fake_receiver::Received;
use crate::harness::{DAY, HOUR, Site, Work, about, keys, number};

/// One subscription, `A`, whose generation 1 is there.
struct Renewed {
    work: Work,
    site: Site,
    id: i64,
}

impl Renewed {
    fn new(variant: Variant) -> Self {
        let site = Site::new();
        let id = site.place(NewOrder { variant, subscription_ids: vec![501], ..NewOrder::new("A") })[0];
        site.renew("A");
        Self { work: site.work(), site, id }
    }

    fn scripted(script: Script) -> Self {
        let renewed = Self::new(Variant::PlainKey);
        renewed.site.sandbox.script("A-1", script);
        renewed
    }

    /// Passes, a step apart, until there is a message; how long that took.
    fn until_message(&mut self, step: Duration, at_most: Duration) -> Duration {
        let start = self.site.now();
        let mut now = start;
        while self.site.messages().is_empty() && now.since(start) <= at_most {
            self.work.pass(now);
            now = now + step;
        }
        now.since(start).saturating_sub(step)
    }

    fn messages(&self) -> Vec<Received> {
        self.site.messages()
    }

    fn outcome(&self) -> String {
        self.site.value("SELECT last_outcome FROM renewals")
    }

    fn requests(&self) -> usize {
        self.site.sandbox.requests().iter().filter(|r| r.partner_order_number.as_deref() == Some("A-1")).count()
    }
}

fn event(message: &Received) -> String {
    message.json()["type"].as_str().unwrap().to_owned()
}

#[test]
fn every_variant_arrives_as_the_provider_sent_it() {
    use Variant::*;
    for (variant, serials, warnings) in [
        (PlainKey, 1, json!([])),
        (SeveralSerials, 3, json!([])),
        (NoSerial, 0, json!([])),
        (Locker, 0, json!([])),
        (Steam, 1, json!([])),
        (Casual, 1, json!([])),
        (KeyFile, 1, json!([])),
        (UnknownEncoding, 1, json!(["unknown_encoding"])),
        (SeveralLines, 1, json!([])),
        (SameKey, 1, json!([])),
        (NoIds, 1, json!(["lines_unmatched"])),
        (NullIds, 1, json!(["lines_unmatched"])),
    ] {
        let mut renewed = Renewed::new(variant);
        renewed.work.pass(renewed.site.now());
        let message = renewed.site.next_message();
        assert_eq!(event(&message), "renewald.renewal.ready.v1", "{variant:?}");
        assert_eq!(keys(&message).len(), serials, "{variant:?}");
        assert_eq!(keys(&message), renewed.site.sandbox.expected_keys("A-1", renewed.id), "{variant:?}");
        assert_eq!(message.data()["warnings"], warnings, "{variant:?}");
        check_content(variant, &message.data());
        assert_eq!(renewed.messages().len(), 1, "{variant:?}");
    }
}

fn check_content(variant: Variant, data: &Value) {
    let line = &data["lines"][0];
    match variant {
        Variant::Locker => {
            assert!(line["digital_locker_link"].as_str().unwrap().starts_with("http"), "{data}");
            assert_eq!(data["download_manager"], Value::Null);
        }
        Variant::Casual => {
            assert!(line["remark"].as_str().unwrap().contains("<b>Thank you</b> for your purchase &amp;"), "{data}");
            assert_eq!(line["files"][0]["size"], Value::Null, "an empty size");
        }
        Variant::Steam => assert!(line["remark"].as_str().unwrap().contains("\r\n"), "{data}"),
        Variant::KeyFile => {
            assert_eq!(line["serials"][0]["encoding"], "base64");
            assert_eq!(line["serials"][0]["file_name"], "licence.lic");
        }
        Variant::PlainKey => assert!(data["download_manager"]["pc"].is_string(), "{data}"),
        _ => {}
    }
}

#[test]
fn lines_of_other_subscriptions_only_are_given_up_after_two_days() {
    let mut renewed = Renewed::new(Variant::ForeignIds);
    let took = renewed.until_message(5 * HOUR, 30 * DAY);
    assert!((48 * HOUR..60 * HOUR).contains(&took), "{took:?}");
    let message = renewed.site.next_message();
    assert_eq!(event(&message), "renewald.renewal.failed.v1");
    assert_eq!(message.data()["reason"], "not_found");
}

#[test]
fn the_usual_codes_before_the_order_data_only_delay_it() {
    let mut renewed = Renewed::scripted(Script::codes([1010, 1060, 1051]));
    let mut outcomes = Vec::new();
    let mut now = renewed.site.now();
    while renewed.messages().is_empty() {
        outcomes.push({
            renewed.work.pass(now);
            renewed.outcome()
        });
        now = now + HOUR;
        assert!(outcomes.len() < 10, "{outcomes:?}");
    }
    assert_eq!(outcomes[..3], ["not_found", "waiting", "waiting"]);
    assert_eq!(outcomes.len(), 4);
    assert_eq!(keys(&renewed.messages()[0]), renewed.site.sandbox.expected_keys("A-1", renewed.id));
    let polls =
        renewed.site.sandbox.requests().iter().filter(|r| r.partner_order_number.as_deref() == Some("A")).count();
    assert_eq!(polls, 1, "while order data is awaited the provider wants no polls");
}

/// Through the binary, which waits for what is due soon.
#[test]
fn one_catch_up_run_outlasts_short_delays() {
    let site = Site::new();
    site.order("A");
    site.sandbox.script("A-1", Script::codes([1010, 1051]));
    site.renew("A");
    site.catch_up();
    assert_eq!(number(&site.next_message()), "A-1");
}

#[test]
fn transient_codes_of_any_level_pass() {
    for code in [1000, 1030, 1031, 1034, 1040, 1052, 1065, 1063, 3011, 4242, -7, 1051, 1060, 1061, 1010] {
        for step in [Step::order(code), Step::line(code), Step::item(code)] {
            let mut renewed = Renewed::scripted(Script::steps([step.clone(), step.clone()]));
            renewed.until_message(HOUR, 4 * HOUR);
            let message = renewed.site.next_message();
            assert_eq!(event(&message), "renewald.renewal.ready.v1", "{step:?}");
            assert_eq!(keys(&message), renewed.site.sandbox.expected_keys("A-1", renewed.id), "{step:?}");
            assert_eq!(renewed.requests(), 3, "{step:?}");
        }
    }
}

#[test]
fn permanent_codes_of_any_level_fail_at_once_and_once() {
    for code in [1062, 1064, 1020] {
        for step in [Step::order(code), Step::line(code), Step::item(code)] {
            let mut renewed = Renewed::scripted(Script::steps([step.clone().forever()]));
            renewed.work.pass(renewed.site.now());
            let message = renewed.site.next_message();
            assert_eq!(event(&message), "renewald.renewal.failed.v1", "{step:?}");
            assert_eq!(message.data()["reason"], "refused", "{step:?}");
            assert_eq!(message.data()["code"], code, "{step:?}");
            renewed.work.pass(renewed.site.now() + 5 * HOUR);
            assert_eq!(renewed.messages().len(), 1, "{step:?}");
            assert_eq!(renewed.requests(), 1, "{step:?}");
        }
    }
}

#[test]
fn codes_that_never_pass_are_given_up_at_the_bound_of_their_class() {
    for (code, bound, reason) in
        [(1010, 48 * HOUR, "not_found"), (1052, 72 * HOUR, "too_late"), (1051, 30 * DAY, "too_late")]
    {
        let mut renewed = Renewed::scripted(Script::steps([Step::order(code).forever()]));
        let took = renewed.until_message(5 * HOUR, 60 * DAY);
        assert!((bound..bound + 10 * HOUR).contains(&took), "{code}: {took:?}");
        let message = renewed.site.next_message();
        assert_eq!(event(&message), "renewald.renewal.failed.v1");
        assert_eq!((&message.data()["reason"], &message.data()["code"]), (&json!(reason), &json!(code)));
        assert_eq!(renewed.site.texts("SELECT state FROM renewals"), ["abandoned"]);
    }
}

#[test]
fn a_subscription_whose_renewal_was_given_up_is_asked_again_and_delivers_the_next() {
    let mut renewed = Renewed::scripted(Script::codes([1062; 1]));
    renewed.work.pass(renewed.site.now());
    renewed.site.renew("A");
    renewed.work.pass(renewed.site.now() + 5 * HOUR);
    let events: Vec<_> = renewed.messages().iter().map(|m| (event(m), number(m))).collect();
    assert_eq!(events[1], ("renewald.renewal.ready.v1".to_owned(), "A-2".to_owned()));
}

#[test]
fn configuration_codes_never_give_up_a_renewal() {
    for code in [70, 71] {
        let mut renewed = Renewed::scripted(Script::steps(std::iter::repeat_n(Step::order(code), 40)));
        let took = renewed.until_message(25 * HOUR, 90 * DAY);
        assert!(took > 30 * DAY, "{took:?}");
        assert_eq!(event(&renewed.site.next_message()), "renewald.renewal.ready.v1", "{code}");
    }
}

#[test]
fn a_renewal_that_is_not_ready_holds_up_no_later_one() {
    let mut renewed = Renewed::scripted(Script::steps([Step::order(1051).forever()]));
    renewed.site.renew("A");
    renewed.work.pass(renewed.site.now());
    assert_eq!(number(&renewed.site.next_message()), "A-2");
}

#[test]
fn of_two_subscriptions_the_ready_one_does_not_wait_for_the_other() {
    for (code, others) in [(1051, "renewald.renewal.ready.v1"), (1062, "renewald.renewal.failed.v1")] {
        let site = Site::new();
        let ids = site.place(NewOrder { subscriptions: 2, ..NewOrder::new("PAIR") });
        // One answer may serve both, or each its own request.
        let step = Step::item_of(ids[1], code);
        site.sandbox.script("PAIR-1", Script::steps([step.clone(), step]));
        site.renew("PAIR");
        let mut work = site.work();
        work.pass(site.now());
        let of = |id: i64| {
            let theirs = about(&site.messages(), id);
            theirs.iter().map(event).collect::<Vec<_>>()
        };
        assert_eq!(of(ids[0]), ["renewald.renewal.ready.v1"], "{code}");
        (1..4).for_each(|hours| drop(work.pass(site.now() + hours * HOUR)));
        assert_eq!(of(ids[0]).len(), 1, "{code}");
        assert_eq!(of(ids[1]), [others], "{code}");
    }
}

/// Two lines of one subscription, with these codes.
fn two_lines(first: i64, second: i64) -> String {
    let line = |code: i64, key: &str| {
        let serials = if code == 0 {
            json!([{"data": key, "encoding": "text", "charset": "utf-8", "fileName": ""}])
        } else {
            json!([])
        };
        json!({"productRef": 1, "remark": "", "responseCode": code, "responseMessage": "SAID", "files": [],
               "lineItems": [{"subscriptionId": 501, "responseCode": code, "responseMessage": "", "serials": serials}]})
    };
    json!({"partnerOrderNumber": "A-1", "orderNumber": 5, "orderLines": [line(first, "KEY-1"), line(second, "KEY-2")],
           "responseCode": 0, "responseMessage": "OK"})
    .to_string()
}

#[test]
fn a_line_that_is_refused_for_ever_does_not_withhold_the_others() {
    let mut renewed = Renewed::scripted(Script::order_body(two_lines(0, 1062)));
    renewed.work.pass(renewed.site.now());
    let (ready, failed) = (renewed.site.next_message(), renewed.site.next_message());
    assert_eq!(keys(&ready), ["KEY-1"]);
    assert_eq!(ready.data()["warnings"], json!(["partial"]));
    assert_eq!(event(&failed), "renewald.renewal.failed.v1");
    assert_eq!((&failed.data()["reason"], &failed.data()["code"]), (&json!("partial"), &json!(1062)));
    renewed.work.pass(renewed.site.now() + 5 * HOUR);
    assert_eq!(renewed.messages().len(), 2);
}

#[test]
fn a_line_that_never_becomes_ready_is_left_out_at_the_bound() {
    let mut renewed = Renewed::scripted(Script::order_body(two_lines(1052, 0)));
    let took = renewed.until_message(5 * HOUR, 10 * DAY);
    assert!(took >= 72 * HOUR, "{took:?}");
    let (ready, failed) = (renewed.site.next_message(), renewed.site.next_message());
    assert_eq!(keys(&ready), ["KEY-2"]);
    assert_eq!(failed.data()["reason"], "partial");
}

#[test]
fn an_outage_of_months_gives_nothing_up() {
    use renewald::sandbox::nexway_connect::{ErrorBody, Fault, FaultKind};
    let mut renewed = Renewed::new(Variant::PlainKey);
    let down = FaultKind::Status { status: 503, body: ErrorBody::Html, retry_after: None };
    renewed.site.sandbox.fault(Fault::new(down).number("A-1"));
    let start: Timestamp = renewed.site.now();
    (0..25u32).for_each(|n| drop(renewed.work.pass(start + n * 10 * DAY)));
    assert_eq!(renewed.messages().len(), 0);
    let (unanswered, breakers) =
        (renewed.site.value("SELECT unanswered FROM renewals"), "SELECT count(*) FROM providers");
    assert_eq!((unanswered, renewed.site.value(breakers)), (25, 0), "one order is not the provider");
    renewed.site.sandbox.clear_faults();
    renewed.work.pass(start + 250 * DAY);
    assert_eq!(event(&renewed.site.next_message()), "renewald.renewal.ready.v1");
}
