//! `renewald once`: what it prints, when it is silent, and what it leaves alone.

use renewald::sandbox::nexway_connect::{Endpoint, ErrorBody, Fault, FaultKind, NewOrder, Script};
use serde_json::{Value, json};

use crate::fake_receiver::Answer;
use crate::harness::{ACCOUNT, DAY, HOUR, Site, numbered};
use crate::nexway_connect::account;

#[test]
fn a_dry_run_asks_sends_and_changes_nothing() {
    let site = Site::new();
    site.renewed("A");
    let finished = site.command(&["once", "--dry-run", "--json"]).expect_code(0);
    let told = finished.json();
    assert_eq!(told, json!({"polls": 1, "order_data": 0, "dispatches": 0}));
    assert_eq!(site.sandbox.request_count(), 0);
    assert_eq!(site.texts("SELECT last_asked_at FROM subscriptions"), [""]);
}

#[test]
fn a_dry_run_counts_what_would_be_sent_and_creates_nothing() {
    let site = Site::with(|setup| setup.set_sink("pulled", "kind = \"queue\""));
    let dispatches = || {
        let told = site.command(&["once", "--dry-run", "--json"]).expect_code(0).stdout;
        serde_json::from_str::<Value>(&told).unwrap()["dispatches"].clone()
    };
    assert_eq!(dispatches(), 0);
    assert!(!site.database().exists());
    site.renewed("A");
    site.receiver.answer(Answer::Status(503));
    site.command(&["once", "--max-time", "2s"]).expect_code(75);
    site.let_pass(HOUR);
    assert_eq!(site.texts("SELECT sink FROM dispatches WHERE state = 'pending' ORDER BY sink"), ["pulled", "shop"]);
    assert_eq!(dispatches(), 1, "nobody sends what is pulled");
    site.change(|setup| setup.drop_sink("shop"));
    assert_eq!(dispatches(), 0, "nor what is for a sink that is gone");
}

#[test]
fn json_is_one_object_on_stdout() {
    let site = Site::new();
    site.order("A");
    site.renew_times("A", 2);
    let finished = site.command(&["once", "--json"]).expect_code(0);
    let told = finished.json();
    for (name, count) in [("polls", 1), ("renewals", 2), ("queued", 2), ("delivered", 2), ("dead", 0), ("abandoned", 0)]
    {
        assert_eq!(told[name], count, "{name} in {told}");
    }
    assert_eq!(told["work_left"], false);
}

#[test]
fn cron_is_told_of_changes_only() {
    let site = Site::new();
    site.order("A");
    let cron = || {
        let finished = site.command(&["once", "--cron", "--max-time", "2s"]);
        site.let_pass(5 * HOUR);
        (finished.code, finished.stdout, finished.stderr)
    };
    assert_eq!(cron(), (Some(0), String::new(), String::new()));
    site.renew("A");
    assert_eq!(cron(), (Some(0), String::new(), String::new()), "a delivery is no news");

    site.renew("A");
    site.receiver.answer(Answer::Status(503));
    let (code, stdout, stderr) = cron();
    assert_eq!((code, stderr.as_str()), (Some(75), ""));
    assert!(stdout.contains("alert") && stdout.contains("shop"), "{stdout}");
    let (code, stdout, stderr) = cron();
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(75), "", ""), "nothing new");
    site.receiver.answer(Answer::Status(200));
    let (code, stdout, stderr) = cron();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains("over") && stdout.contains("shop"), "{stdout}");
}

#[test]
fn cron_is_told_once_of_a_term_that_was_not_renewed() {
    let site = Site::without_sink();
    let now = site.now();
    let past = NewOrder { expires_at: Some(now - 15 * DAY), auto_renew: false, ..NewOrder::new("A") };
    site.place(past);
    let finished = site.command(&["once", "--cron"]).expect_code(0);
    assert!(finished.stdout.contains("1 not renewed"), "{finished:?}");
    site.let_pass(5 * HOUR);
    let finished = site.command(&["once", "--cron"]).expect_code(0);
    assert_eq!(finished.stdout, "", "once per term");
}

#[test]
fn a_failure_of_a_moment_costs_nobody_the_time_until_the_next_run() {
    let html = |status| FaultKind::Status { status, body: ErrorBody::Html, retry_after: None };
    let at_token = Fault::new(html(504)).at(Endpoint::Token).times(1);
    let at_two = Fault::new(html(502)).at(Endpoint::Status).times(2);
    for fault in [at_token, at_two] {
        let site = Site::new();
        let numbers = numbered("N", 5);
        site.renewed_all(&numbers);
        site.sandbox.fault(fault);
        site.command(&["once"]).expect_code(0);
        assert_eq!(site.messages().len(), 5);
    }
}

#[test]
fn what_was_given_up_makes_exit_1() {
    let site = Site::new();
    site.renewed("A");
    site.sandbox.script("A-1", Script::codes([1062]));
    let finished = site.command(&["once", "--cron"]).expect_code(1);
    assert!(finished.stdout.contains("abandoned"), "{finished:?}");
    // Once is enough.
    site.let_pass(5 * HOUR);
    site.catch_up();
}

#[test]
fn one_provider_call_in_vain_among_others_is_no_failure() {
    let site = Site::without_sink();
    site.order_all(&["A", "B"]);
    site.sandbox.fault(Fault::new(FaultKind::CutBefore).number("A"));
    site.catch_up();
}

#[test]
fn it_says_once_for_each_provider_why_nothing_answered() {
    let site = Site::without_sink();
    site.change(|setup| setup.accounts[0] = account(ACCOUNT, "http://127.0.0.1:9", &site.sandbox.iam_url()));
    site.order_all(&["A", "B"]);
    let finished = site.command(&["once", "-q"]).expect_code(69);
    let told: Vec<_> = finished.stderr.lines().filter(|line| line.contains("without a usable answer")).collect();
    assert_eq!(told.len(), 1, "{finished:?}");
    assert!(told[0].contains("nexway") && told[0].contains("refused"), "{told:?}");
    assert!(!told[0].contains("127.0.0.1"), "no address: {told:?}");
}

#[test]
fn without_a_sink_messages_wait_in_the_queue() {
    let site = Site::without_sink();
    site.renewed("A");
    site.catch_up();
    assert_eq!(site.texts("SELECT sink || ' ' || state FROM dispatches"), ["queue pending"]);
}

#[test]
fn an_outage_of_the_provider_sends_no_mail_each_time() {
    let site = Site::without_sink();
    site.order_all(&numbered("N", 15));
    site.sandbox.fault(Fault::new(FaultKind::CutBefore));
    let finished = site.command(&["once", "--cron", "--max-time", "2s"]);
    assert!(matches!(finished.code, Some(69 | 75)), "{finished:?}");
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("", ""));
}
