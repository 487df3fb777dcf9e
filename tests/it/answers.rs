//! Provider answers of any kind: each leads to a typed outcome, nobody panics, nothing is lost, and others go on.

use std::time::Duration;

use renewald::sandbox::nexway_connect::{
    AcceptedNumber, DateForm, Endpoint, ErrorBody, Fault, FaultKind, GenerationForm, ResultNames, ReturnedNumber,
    Script, Switches, UnknownSubscription,
};

use crate::harness::{DAY, HOUR, Site, numbered, numbers};
use crate::nexway_connect::order;

const GIB: u64 = 1 << 30;

fn status(status: u16) -> FaultKind {
    FaultKind::Status { status, body: ErrorBody::Html, retry_after: None }
}

fn body(body: &str) -> FaultKind {
    FaultKind::Body { body: body.to_owned() }
}

/// Every fault, and what is stored of it.
fn faults() -> Vec<(FaultKind, &'static str)> {
    let deep_object = format!("{}1{}", "{\"generation\":".repeat(10_000), "}".repeat(10_000));
    vec![
        (FaultKind::Html, "unreadable"),
        (FaultKind::EmptyBody, "unreadable"),
        (FaultKind::EmptyObject, "unreadable"),
        (FaultKind::TruncatedJson, "unreadable"),
        (FaultKind::HugeBody { bytes: GIB }, "unreadable"),
        (FaultKind::GzipBomb { bytes: 64 << 20 }, "unreadable"),
        (FaultKind::DeepJson { depth: 10_000 }, "unreadable"),
        (FaultKind::DuplicateKeys, "unreadable"), // which of the two is meant?
        (body(&deep_object), "unreadable"),
        (body("null"), "unreadable"),
        (body("[]"), "unreadable"),
        (body("\"text\""), "unreadable"),
        (body("{\"message\": \"what?\"}"), "unreadable"),
        (body("\u{0}"), "unreadable"),
        (FaultKind::CutBefore, "unreachable"),
        (FaultKind::CutMidBody, "unreachable"),
        (FaultKind::Stall, "unreachable"),
        (FaultKind::Trickle { every: Duration::from_millis(100) }, "unreachable"),
        (status(500), "unavailable"),
        (status(502), "unavailable"),
        (status(503), "unavailable"),
        (status(599), "unavailable"),
        (status(408), "unavailable"),
        (status(400), "rejected"),
        (status(405), "rejected"),
        (status(422), "rejected"),
        (FaultKind::Redirect { location: "http://127.0.0.1:1/".to_owned() }, "rejected"),
        (FaultKind::Status { status: 500, body: ErrorBody::Json, retry_after: None }, "unavailable"),
        (
            FaultKind::Status { status: 503, body: ErrorBody::Empty, retry_after: Some("99999999999999999".into()) },
            "unavailable",
        ),
        (
            FaultKind::Status { status: 503, body: ErrorBody::Empty, retry_after: Some("-1, soon".into()) },
            "unavailable",
        ),
        (FaultKind::Status { status: 403, body: ErrorBody::Json, retry_after: None }, "refused"),
    ]
}

/// `BAD` suffers, `GOOD` does not; both renewed. What is stored of `BAD` afterwards, by `query`.
fn outcome_of(fault: &FaultKind, number: &str, query: &str) -> String {
    let site = Site::with(|setup| setup.timeout = "3s");
    site.renewed_all(&["BAD", "GOOD"]);
    site.sandbox.fault(Fault::new(fault.clone()).number(number));
    let mut work = site.work();
    work.pass(site.now());
    assert_eq!(site.numbers(), ["GOOD-1"], "{fault:?}");
    let outcome = site.value::<Option<String>>(query).unwrap_or_default();
    site.sandbox.clear_faults();
    work.pass(site.now() + 2 * DAY);
    assert_eq!(site.numbers(), ["GOOD-1", "BAD-1"], "{fault:?}");
    outcome
}

#[test]
fn any_status_answer_has_a_typed_outcome_and_loses_nothing() {
    for (fault, expected) in faults() {
        let query = "SELECT last_outcome FROM subscriptions WHERE partner_order_number = 'BAD'";
        assert_eq!(outcome_of(&fault, "BAD", query), expected, "{fault:?}");
    }
}

#[test]
fn any_order_data_answer_has_a_typed_outcome_and_loses_nothing() {
    for (fault, expected) in faults() {
        let query = "SELECT last_outcome FROM renewals WHERE reference = 'BAD-1'";
        let expected = match expected {
            "unreadable" | "rejected" => "failed",
            other => other,
        };
        assert_eq!(outcome_of(&fault, "BAD-1", query), expected, "{fault:?}");
    }
}

#[test]
fn a_byte_order_mark_does_not_matter() {
    let site = Site::new();
    site.renewed("A");
    site.sandbox.fault(Fault::new(FaultKind::ByteOrderMark));
    site.work().pass(site.now());
    assert_eq!(site.numbers(), ["A-1"]);
}

#[test]
fn values_of_wrong_types_deliver_nothing_and_lose_nothing() {
    let site = Site::new();
    site.renewed_all(&["A", "B"]);
    site.sandbox.fault(Fault::new(FaultKind::WrongTypes).number("A"));
    site.sandbox.fault(Fault::new(FaultKind::WrongTypes).number("B-1"));
    let mut work = site.work();
    work.pass(site.now());
    assert_eq!(site.messages().len(), 0);
    site.sandbox.clear_faults();
    work.pass(site.now() + DAY);
    assert_eq!(site.sorted_numbers(), ["A-1", "B-1"]);
}

#[test]
fn a_token_service_in_any_trouble_loses_nothing() {
    for (fault, _) in faults() {
        let site = Site::with(|setup| setup.timeout = "3s");
        site.renewed("A");
        site.sandbox.fault(Fault::new(fault.clone()).at(Endpoint::Token));
        let report = site.work().sweep(site.now());
        assert_eq!((report.polls, report.answers), (1, 0), "{fault:?}");
        site.sandbox.clear_faults();
        site.work().pass(site.now() + DAY);
        assert_eq!(site.numbers(), ["A-1"], "{fault:?}");
    }
}

#[test]
fn too_many_requests_with_an_absurd_retry_after_delays_nobody_for_long() {
    for after in ["31536000", "99999999999999999999", "Wed, 21 Oct 9999 07:28:00 GMT", "tomorrow", "-5", ""] {
        let site = Site::new();
        site.renewed_all(&["A", "B", "C"]);
        let limited = FaultKind::Status { status: 429, body: ErrorBody::Json, retry_after: Some(after.to_owned()) };
        site.sandbox.fault(Fault::new(limited).at(Endpoint::Status).number("B").times(1));
        let mut work = site.work();
        work.pass(site.now());
        work.pass(site.now() + 5 * HOUR);
        assert_eq!(site.sorted_numbers(), ["A-1", "B-1", "C-1"], "{after:?}");
    }
}

#[test]
fn a_limit_at_the_provider_is_kept_and_obeyed() {
    // The sandbox refuses what is above ten a second; we are told to stay at eight.
    let site = Site::with(|setup| setup.requests_per_second = 8.0);
    site.sandbox.switch(|switches| switches.rate_limit = 10);
    site.renewed_all(&numbered("N", 10));
    site.catch_up();
    assert_eq!(site.messages().len(), 10);
    // The provider's limit. At 9 a second the tenth is sent 1.005 s after the first, and stamped on arrival.
    assert!(site.sandbox.busiest_second() <= 10, "{} in one second", site.sandbox.busiest_second());
    assert!(site.sandbox.requests().iter().all(|request| request.status != Some(429)));
}

/// Every open question of the reference, answered either way.
#[test]
fn a_renewal_is_seen_however_the_provider_spells_it() {
    let switched: &[fn(&mut Switches)] = &[
        |s| s.returned_number = ReturnedNumber::Original,
        |s| s.returned_number = ReturnedNumber::Missing,
        |s| s.generation = GenerationForm::String,
        |s| s.generation = GenerationForm::Missing,
        |s| s.generation = GenerationForm::Null,
        |s| s.result_names = ResultNames::ResponseCode,
        |s| s.technical_status = Some("NEVER HEARD OF".to_owned()),
        |s| s.technical_status = Some("SUSPENDED".to_owned()),
        |s| s.accepted_number = AcceptedNumber::Both,
        |s| s.refresh_token = false,
        |s| s.dates = DateForm::Utc,
        |s| s.dates = DateForm::OffsetWithoutColon,
        |s| s.dates = DateForm::Space,
        |s| s.dates = DateForm::DateOnly,
        |s| s.dates = DateForm::UnixSeconds,
        |s| s.dates = DateForm::UnixMillis,
        |s| s.dates = DateForm::Unreadable,
        |s| s.dates = DateForm::Null,
    ];
    for (n, switch) in switched.iter().enumerate() {
        let site = Site::new();
        site.order("A");
        let mut work = site.work();
        let start = site.now();
        work.pass(start);
        site.sandbox.switch(switch);
        site.renew("A");
        work.pass(start + 5 * HOUR);
        work.pass(start + 10 * HOUR);
        assert_eq!(site.numbers(), ["A-1"], "switch {n}");
        let outcome = site.texts("SELECT last_outcome FROM subscriptions");
        assert_eq!(outcome, ["ok"], "switch {n}");
    }
}

/// After a renewal the provider may want the number of the newest one.
#[test]
fn an_original_that_is_unknown_after_a_renewal_is_asked_by_its_last_number() {
    let site = Site::new();
    site.renewed("A");
    let mut work = site.work();
    work.pass(site.now());
    site.sandbox.switch(|switches| switches.accepted_number = AcceptedNumber::LastSuffixed);
    work.pass(site.now() + 5 * HOUR);
    let outcome = || site.value::<String>("SELECT last_outcome FROM subscriptions");
    assert_eq!(outcome(), "ok");
    assert_eq!(site.numbers(), ["A-1"]);
    // Trouble with the second question is no "unknown", which would be asked again only a day later.
    site.sandbox.fault(Fault::new(FaultKind::Html).number("A-1"));
    work.pass(site.now() + 10 * HOUR);
    assert_eq!(outcome(), "unreadable");
    site.sandbox.clear_faults();
    work.pass(site.now() + 10 * HOUR + Duration::from_secs(60));
    assert_eq!(outcome(), "ok");
}

#[test]
fn surprises_are_counted_deliver_nothing_and_stop_nothing() {
    let site = Site::new();
    site.order_all(&["FOREIGN", "BACK", "JUMP", "GOOD"]);
    let mut work = site.work();
    let start = site.now();
    for number in ["BACK", "GOOD"] {
        site.renew_times(number, 2);
    }
    work.pass(start);
    assert_eq!(site.messages().len(), 4);

    site.sandbox
        .script("FOREIGN", Script::status_body(r#"{"partnerOrderNumber": "OTHER-3", "generation": 3, "code": 0}"#));
    site.sandbox.set_generation("BACK", None, 1).unwrap();
    site.sandbox.set_generation("JUMP", None, 25).unwrap();
    for passes in 1..4 {
        work.pass(start + passes * 5 * HOUR);
    }
    assert_eq!(site.messages().len(), 4, "nothing came of it");
    let surprised = site.texts("SELECT partner_order_number FROM subscriptions WHERE surprise IS NOT NULL ORDER BY 1");
    assert_eq!(surprised, ["BACK", "FOREIGN", "JUMP"]);
    assert_eq!(site.value::<i64>("SELECT min(surprises) FROM subscriptions WHERE surprise IS NOT NULL"), 3);
    assert_eq!(
        site.texts("SELECT generation || '' FROM subscriptions ORDER BY partner_order_number"),
        ["2", "0", "2", "0"]
    );

    // All of it was passing: what follows is delivered.
    site.sandbox.script("FOREIGN", Script::default());
    site.sandbox.set_generation("JUMP", None, 0).unwrap();
    site.sandbox.set_generation("BACK", None, 2).unwrap();
    ["FOREIGN", "BACK", "JUMP"].iter().for_each(|number| site.renew(number));
    work.pass(start + 25 * HOUR);
    let mut arrived = numbers(&site.messages()[4..]);
    arrived.sort();
    assert_eq!(arrived, ["BACK-3", "FOREIGN-1", "JUMP-1"]);
}

/// What a one-shot run logs of what is due now.
fn logged(site: &Site) -> String {
    site.command(&["once", "--max-time", "30s"]).stderr
}

fn count(log: &str, part: &str) -> usize {
    log.matches(part).count()
}

#[test]
fn an_answer_that_contradicts_itself_is_told_as_what_it_is_and_delivered() {
    let site = Site::without_sink();
    site.renewed("A3");
    let odd = r#"{"partnerOrderNumber": "A3-1", "generation": 0, "code": 0}"#;
    site.sandbox.script("A3", Script::status_body(odd));
    let log = logged(&site);
    assert_eq!(site.texts("SELECT reference FROM messages"), ["A3-1"]);
    assert_eq!(count(&log, "nothing is delivered from it"), 0, "{log}");
    let told = "an answer outside the contract; it is used all the same order=A3 ";
    assert_eq!((count(&log, told), count(&log, "disagree; 1 was taken")), (1, 1), "{log}");
}

#[test]
fn what_was_delivered_once_and_is_refused_when_it_is_fetched_again_was_delivered() {
    let site = Site::without_sink();
    site.renewed_all(&["HAD", "LOST"]);
    site.sandbox.script("LOST-1", Script::codes([1064]));
    let log = logged(&site);
    assert_eq!(
        count(&log, "renewal abandoned: nothing is delivered for it; `renewald refetch` asks again order=LOST-1"),
        1
    );

    site.sandbox.script("HAD-1", Script::codes([1064]));
    site.command(&["refetch", "HAD", "--generation", "1"]).expect_code(0);
    let log = logged(&site);
    assert_eq!(count(&log, "renewal abandoned"), 1, "{log}");
    assert_eq!(count(&log, "as it was fetched again: what was queued before stays"), 1, "{log}");
    assert_eq!(count(&log, "no key") + count(&log, "nothing is delivered"), 0, "{log}");
}

#[test]
fn a_generation_that_was_gone_for_a_while_leaves_a_trace_until_somebody_looks() {
    let site = Site::without_sink();
    site.renewed("A");
    logged(&site);
    let explained = || site.command(&["explain", "A"]).expect_code(0).stdout;
    let shown = || site.command(&["explain", "A", "--json"]).json()["subscription"].clone();
    let poll = |generation| {
        site.sandbox.set_generation("A", None, generation).unwrap();
        site.command(&["poll", "A"]).expect_code(0);
        logged(&site)
    };
    let advice = "its order data may hold another key: `renewald refetch --generation 1` asks for it";
    assert_eq!(count(&(poll(0) + &poll(0)), advice), 1, "told once");
    assert!(explained().contains("surprise        generation went back from 1 to 0"), "{}", explained());

    let log = poll(1);
    assert_eq!((count(&log, "answered for within the contract again"), count(&log, advice)), (1, 1), "{log}");
    assert_eq!(count(&poll(1), advice), 0, "told once");
    let story = explained().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(story.contains("surprise, over generation went back from 1 to 0; "), "{story}");
    assert!(story.contains(advice) && story.contains("(2 so far, the last of these "), "{story}");
    assert!(shown()["surprise"].is_null() && shown()["past_surprise"].is_string(), "{}", shown());
    let status = site.command(&["status"]).stdout;
    assert!(!status.contains("surprise"), "what is over is nothing to look at now: {status}");

    site.command(&["refetch", "A", "--generation", "1"]).expect_code(0);
    assert!(shown()["past_surprise"].is_null() && shown()["past_surprise_at"].is_null(), "{}", shown());
    assert!(!explained().contains("surprise"), "{}", explained());
}

#[test]
fn a_jump_that_was_accepted_is_no_surprise_and_leaves_no_trace() {
    let site = Site::without_sink();
    site.order("A");
    site.renew_times("A", 40);
    logged(&site);
    assert_eq!(site.value::<i64>("SELECT count(*) FROM subscriptions WHERE surprise IS NOT NULL"), 1);
    site.command(&["refetch", "A", "--generation", "40"]).expect_code(0);
    logged(&site);
    site.command(&["poll", "A"]).expect_code(0);
    let log = logged(&site);
    assert_eq!(
        (count(&log, "contract"), site.texts("SELECT reference FROM messages")),
        (0, vec!["A-40".to_owned()]),
        "{log}"
    );
    let odd = "SELECT count(*) FROM subscriptions WHERE coalesce(surprise, past_surprise) IS NOT NULL";
    assert_eq!(site.value::<i64>(odd), 0);
}

#[test]
fn a_renewal_makes_what_was_odd_before_it_nothing_to_look_at() {
    let site = Site::without_sink();
    site.renewed("A");
    logged(&site);
    let traced = || {
        site.command(&["poll", "A"]).expect_code(0);
        logged(&site);
        site.value::<bool>("SELECT past_surprise IS NOT NULL FROM subscriptions")
    };
    site.sandbox.set_generation("A", None, 0).unwrap();
    assert!(!traced(), "it stands");
    site.sandbox.set_generation("A", None, 1).unwrap();
    assert!(traced());
    site.renew("A");
    assert!(!traced(), "its keys are new");
}

#[test]
fn when_one_that_is_unknown_is_asked_again_is_told_as_it_is() {
    let site = Site::without_sink();
    site.track("LATE", 5_618_577);
    site.command(&["once"]);
    site.execute(
        "UPDATE subscriptions SET state = 'ended', ended_at = unixepoch(), pace = 'monthly', last_outcome = 'ok'",
    );
    site.command(&["poll", "LATE"]).expect_code(0);
    let log = logged(&site);
    let next = site.texts("SELECT strftime('%Y-%m-%dT%H:%M:%SZ', due_at, 'unixepoch') FROM subscriptions").remove(0);
    assert!(site.value::<bool>("SELECT due_at > unixepoch() + 20 * 86400 FROM subscriptions"), "monthly");
    assert_eq!(count(&log, &format!("does not know this subscription; asked again at {next}")), 1, "{log}");
}

#[test]
fn an_unknown_subscription_is_asked_daily_and_found_again() {
    for unknown in [UnknownSubscription::Code, UnknownSubscription::Status] {
        let site = Site::new();
        site.sandbox.switch(|switches| switches.unknown_subscription = unknown);
        site.track("LATE", 5_618_577);
        let mut work = site.work();
        let start = site.now();
        work.pass(start);
        assert_eq!(site.texts("SELECT last_outcome FROM subscriptions"), ["not_found"], "{unknown:?}");
        let asked = site.sandbox.request_count();
        work.pass(start + 5 * HOUR);
        assert_eq!(site.sandbox.request_count(), asked, "daily");
        order(&site.sandbox, "LATE");
        site.renew("LATE");
        work.pass(start + 25 * HOUR);
        assert_eq!(site.numbers(), ["LATE-1"], "{unknown:?}");
    }
}
