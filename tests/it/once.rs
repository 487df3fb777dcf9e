//! `renewald once`: what it prints, when it is silent, and what it leaves alone.

use renewald::sandbox::nexway_connect::{Endpoint, ErrorBody, Fault, FaultKind, NewOrder, Script};
use serde_json::{Value, json};

use crate::fake_receiver::{Answer, FakeReceiver};
use crate::harness::{DAY, HOUR, Setup, new_order, order, sandbox};

#[test]
fn a_dry_run_asks_sends_and_changes_nothing() {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    site.track("A", order(&sandbox, "A"));
    sandbox.renew("A", None).unwrap();
    let finished = site.command(&["once", "--dry-run", "--json"]).expect_code(0);
    let told: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(told, json!({"polls": 1, "order_data": 0, "dispatches": 0}));
    assert_eq!(sandbox.request_count(), 0);
    assert_eq!(site.texts("SELECT last_asked_at FROM subscriptions"), [""]);
}

#[test]
fn a_dry_run_counts_what_would_be_sent_and_creates_nothing() {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let setup = Setup::new(&sandbox);
    let site = setup.clone().webhook(&receiver).sink("pulled", "kind = \"queue\"").install();
    let dispatches = || {
        let told = site.command(&["once", "--dry-run", "--json"]).expect_code(0).stdout;
        serde_json::from_str::<Value>(&told).unwrap()["dispatches"].clone()
    };
    assert_eq!(dispatches(), 0);
    assert!(!site.database().exists());
    site.track("A", order(&sandbox, "A"));
    sandbox.renew("A", None).unwrap();
    receiver.answer(Answer::Status(503));
    site.command(&["once", "--max-time", "2s"]).expect_code(75);
    site.let_pass(HOUR);
    assert_eq!(site.texts("SELECT sink FROM dispatches WHERE state = 'pending' ORDER BY sink"), ["pulled", "shop"]);
    assert_eq!(dispatches(), 1, "nobody sends what is pulled");
    site.configure(&setup.sink("pulled", "kind = \"queue\""));
    assert_eq!(dispatches(), 0, "nor what is for a sink that is gone");
}

#[test]
fn json_is_one_object_on_stdout() {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    site.track("A", order(&sandbox, "A"));
    sandbox.renew_times("A", None, 2).unwrap();
    let finished = site.command(&["once", "--json"]).expect_code(0);
    let told: Value = serde_json::from_str(&finished.stdout).unwrap();
    for (name, count) in [("polls", 1), ("renewals", 2), ("queued", 2), ("delivered", 2), ("dead", 0), ("abandoned", 0)]
    {
        assert_eq!(told[name], count, "{name} in {told}");
    }
    assert_eq!(told["work_left"], false);
}

#[test]
fn cron_is_told_of_changes_only() {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    site.track("A", order(&sandbox, "A"));
    let cron = || {
        let finished = site.command(&["once", "--cron", "--max-time", "2s"]);
        site.let_pass(5 * HOUR);
        (finished.code, finished.stdout, finished.stderr)
    };
    assert_eq!(cron(), (Some(0), String::new(), String::new()));
    sandbox.renew("A", None).unwrap();
    assert_eq!(cron(), (Some(0), String::new(), String::new()), "a delivery is no news");

    sandbox.renew("A", None).unwrap();
    receiver.answer(Answer::Status(503));
    let (code, stdout, stderr) = cron();
    assert_eq!((code, stderr.as_str()), (Some(75), ""));
    assert!(stdout.contains("alert") && stdout.contains("shop"), "{stdout}");
    let (code, stdout, stderr) = cron();
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(75), "", ""), "nothing new");
    receiver.answer(Answer::Status(200));
    let (code, stdout, stderr) = cron();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains("over") && stdout.contains("shop"), "{stdout}");
}

#[test]
fn cron_is_told_once_of_a_term_that_was_not_renewed() {
    let sandbox = sandbox();
    let site = Setup::new(&sandbox).install();
    let now = sandbox.now();
    let past = NewOrder { expires_at: Some(now - 15 * DAY), auto_renew: false, ..NewOrder::new("A") };
    site.track("A", new_order(&sandbox, past)[0]);
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
        let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
        let site = Setup::new(&sandbox).webhook(&receiver).install();
        let numbers: Vec<_> = (0..5).map(|n| format!("N{n}")).collect();
        for number in &numbers {
            site.track(number, order(&sandbox, number));
            sandbox.renew(number, None).unwrap();
        }
        sandbox.fault(fault);
        site.command(&["once"]).expect_code(0);
        assert_eq!(receiver.messages().len(), 5);
    }
}

#[test]
fn what_was_given_up_makes_exit_1() {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    site.track("A", order(&sandbox, "A"));
    sandbox.renew("A", None).unwrap();
    sandbox.script("A-1", Script::codes([1062]));
    let finished = site.command(&["once", "--cron"]).expect_code(1);
    assert!(finished.stdout.contains("abandoned"), "{finished:?}");
    // Once is enough.
    site.let_pass(5 * HOUR);
    site.catch_up();
}

#[test]
fn one_provider_call_in_vain_among_others_is_no_failure() {
    let sandbox = sandbox();
    let site = Setup::new(&sandbox).install();
    for number in ["A", "B"] {
        site.track(number, order(&sandbox, number));
    }
    sandbox.fault(Fault::new(FaultKind::CutBefore).number("A"));
    site.catch_up();
}

#[test]
fn it_says_once_for_each_provider_why_nothing_answered() {
    let sandbox = sandbox();
    let site = Setup::at("http://127.0.0.1:9", &sandbox.iam_url()).install();
    for number in ["A", "B"] {
        site.track(number, order(&sandbox, number));
    }
    let finished = site.command(&["once", "-q"]).expect_code(69);
    let told: Vec<_> = finished.stderr.lines().filter(|line| line.contains("without a usable answer")).collect();
    assert_eq!(told.len(), 1, "{finished:?}");
    assert!(told[0].contains("nexway") && told[0].contains("refused"), "{told:?}");
    assert!(!told[0].contains("127.0.0.1"), "no address: {told:?}");
}

#[test]
fn without_a_sink_messages_wait_in_the_queue() {
    let sandbox = sandbox();
    let site = Setup::new(&sandbox).install();
    site.track("A", order(&sandbox, "A"));
    sandbox.renew("A", None).unwrap();
    site.catch_up();
    assert_eq!(site.texts("SELECT sink || ' ' || state FROM dispatches"), ["queue pending"]);
}

#[test]
fn an_outage_of_the_provider_sends_no_mail_each_time() {
    let sandbox = sandbox();
    let site = Setup::new(&sandbox).install();
    for n in 0..15 {
        let number = format!("N{n}");
        site.track(&number, order(&sandbox, &number));
    }
    sandbox.fault(Fault::new(FaultKind::CutBefore));
    let finished = site.command(&["once", "--cron", "--max-time", "2s"]);
    assert!(matches!(finished.code, Some(69 | 75)), "{finished:?}");
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("", ""));
}
