//! The outbox by hand: listed, sent again, given to other sinks, with the daemon running beside.

use renewald::sandbox::nexway_connect::Sandbox;
use serde_json::{Value, json};

use crate::fake_receiver::{Answer, FakeReceiver};
use crate::harness::{DAY, Daemon, Finished, Setup, Site, keys, numbers, order, sandbox};

pub fn json_of(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

pub fn ids(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

/// A with two renewals and B with one, all delivered to the sink `shop`.
fn delivered(receiver: &FakeReceiver) -> (Sandbox, Setup, Site) {
    let sandbox = sandbox();
    let setup = Setup::new(&sandbox).webhook(receiver);
    let site = setup.install();
    for (number, renewals) in [("A", 2), ("B", 1)] {
        site.track(number, order(&sandbox, number));
        sandbox.renew_times(number, None, renewals).unwrap();
    }
    site.catch_up();
    assert_eq!(receiver.messages().len(), 3);
    (sandbox, setup, site)
}

#[test]
fn a_replay_reaches_the_receiver_of_a_running_daemon_with_the_same_ids_and_bytes() {
    let receiver = FakeReceiver::start();
    let (_sandbox, _, site) = delivered(&receiver);
    let first = receiver.messages();
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("started");
    let finished = site.command(&["queue", "replay", "--sink", "shop", "--since", "1h"]).expect_code(0);
    assert_eq!(finished.stdout, "3 messages are due again now\n");
    for told in ["replayed 3 messages to sink shop", "uid=", "user="] {
        assert!(finished.stderr.contains(told), "the audit line: {finished:?}");
    }
    let again: Vec<_> = (0..6).map(|_| receiver.next_message()).skip(3).collect();
    let of_a = |messages: &[crate::fake_receiver::Received]| {
        let of_a = messages.iter().filter(|message| message.body.contains("\"A-"));
        of_a.map(|message| (message.id.clone(), message.body.clone())).collect::<Vec<_>>()
    };
    assert_eq!(of_a(&again), of_a(&first), "byte for byte and in order");
    daemon.terminate();
    daemon.wait().expect_code(0);
    let shown = json_of(&site.command(&["queue", "show", &first[0].id, "--json"]).expect_code(0));
    let dispatch = &shown["dispatches"][0];
    assert_eq!((dispatch["state"].as_str(), dispatch["replays"].as_i64()), (Some("delivered"), Some(1)));
    assert!(dispatch["replayed_at"].is_string() && dispatch["first_delivered_at"].is_string(), "{dispatch}");
    let story = site.command(&["explain", "B"]).expect_code(0).stdout;
    assert!(story.contains("sent again once, last "), "{story}");
}

#[test]
fn a_dry_run_lists_and_changes_nothing() {
    let receiver = FakeReceiver::start();
    let (_sandbox, _, site) = delivered(&receiver);
    let replay = ["queue", "replay", "--sink", "shop", "--dry-run", "--json"];
    let all = json_of(&site.command(&replay).expect_code(0));
    assert_eq!((all["due"].as_i64(), all["items"].as_array().unwrap().len()), (Some(3), 3));
    for event in ["renewal.failed", "renewald.renewal.failed.v1"] {
        let none = json_of(&site.command(&[&replay[..], &["--type", event]].concat()).expect_code(0));
        assert_eq!(none["due"], 0, "{event}");
    }
    site.execute(&format!("UPDATE dispatches SET delivered_at = delivered_at - {}", 3 * DAY.as_secs()));
    for (since, due) in [("2d", 0), ("4d", 3), ("2020-01-01T00:00:00Z", 3)] {
        let found = json_of(&site.command(&[&replay[..], &["--since", since]].concat()).expect_code(0));
        assert_eq!(found["due"], due, "{since}");
    }
    assert_eq!(site.value::<i64>("SELECT count(*) FROM dispatches WHERE state <> 'delivered' OR replays > 0"), 0);
    for wrong in [&["--sink", "nosuch"][..], &["--sink", "shop", "--since", "soon"], &["--type", "renewal.ready"]] {
        site.command(&[&["queue", "replay"][..], wrong].concat()).expect_code(64);
    }
}

#[test]
fn what_is_wiped_is_listed_and_the_rest_is_replayed() {
    let receiver = FakeReceiver::start();
    let (_sandbox, _, site) = delivered(&receiver);
    site.execute(
        "UPDATE messages SET body = NULL, wiped_at = queued_at
         WHERE subscription = (SELECT id FROM subscriptions WHERE partner_order_number = 'B')",
    );
    let finished = site.command(&["queue", "replay", "--sink", "shop"]).expect_code(1);
    assert!(
        finished.stdout.contains("2 messages are due again") && finished.stdout.contains("refetch"),
        "{finished:?}"
    );
    assert!(finished.stdout.lines().any(|line| line.contains("B/")), "{finished:?}");
    site.catch_up();
    let numbers = numbers(&receiver.messages());
    assert_eq!(numbers[3..], ["A-1", "A-2"]);
    // By id, wherever it was delivered to.
    let id = receiver.messages()[3].id.clone();
    let one = json_of(&site.command(&["queue", "replay", &id, "--json"]).expect_code(0));
    assert_eq!((one["due"].as_i64(), one["items"][0]["sink"].as_str()), (Some(1), Some("shop")));
    let again = json_of(&site.command(&["queue", "replay", &id, "--json"]).expect_code(1));
    assert_eq!(again["not_delivered"], json!([id]), "it is pending now");
    site.command(&["queue", "replay", "00000000-0000-4000-8000-000000000000"]).expect_code(65);
}

#[test]
fn a_built_in_queue_hands_replayed_messages_out_again() {
    let sandbox = sandbox();
    let site = Setup::new(&sandbox).install();
    site.track("A", order(&sandbox, "A"));
    sandbox.renew_times("A", None, 2).unwrap();
    site.catch_up();
    let pull = || site.command(&["queue", "pull"]).expect_code(0).stdout;
    let acknowledge = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        site.command(&["queue", "ack", event["id"].as_str().unwrap()]).expect_code(0);
    };
    let mut first = Vec::new();
    for _ in 0..2 {
        first.push(pull());
        acknowledge(first.last().unwrap());
    }
    site.command(&["queue", "replay", "--sink", "queue"]).expect_code(0);
    for before in &first {
        assert_eq!(pull(), *before);
        acknowledge(before);
    }
    assert_eq!(pull(), "");
}

#[test]
fn a_sink_added_later_is_filled_once_with_what_it_takes() {
    let (receiver, late) = (FakeReceiver::start(), FakeReceiver::start());
    let (_sandbox, setup, site) = delivered(&receiver);
    site.configure(&setup.clone().webhook_named("late", &late, "events = [\"renewal.failed\"]\n"));
    let backfill = ["queue", "backfill", "--sink", "late", "--since", "1d"];
    assert!(site.command(&backfill).expect_code(0).stdout.contains("nothing that late takes"));
    site.configure(&setup.webhook_named("late", &late, ""));
    site.catch_up();
    assert_eq!(late.messages().len(), 0, "it starts with new messages");
    let dry = json_of(&site.command(&[&backfill[..], &["--dry-run", "--json"]].concat()).expect_code(0));
    assert_eq!((dry["due"].as_i64(), dry["items"].as_array().unwrap().len()), (Some(3), 3));
    site.command(&backfill).expect_code(0);
    site.command(&backfill).expect_code(0);
    site.catch_up();
    let bodies = |receiver: &FakeReceiver| {
        let mut bodies: Vec<_> = receiver.messages().into_iter().map(|message| (message.id, message.body)).collect();
        bodies.sort();
        bodies
    };
    assert_eq!(bodies(&late), bodies(&receiver));
    let late = numbers(&late.messages());
    let position = |number: &str| late.iter().position(|one| one == number);
    assert!(position("A-1") < position("A-2"), "{late:?}");
}

#[test]
fn messages_of_a_sink_taken_out_are_named_and_moved() {
    let (sandbox, old, new) = (sandbox(), FakeReceiver::that_answers(Answer::Status(503)), FakeReceiver::start());
    let setup = Setup::new(&sandbox);
    let site = setup.clone().webhook_named("old", &old, "").install();
    site.track("A", order(&sandbox, "A"));
    sandbox.renew_times("A", None, 2).unwrap();
    let mut work = site.work();
    work.pass(sandbox.now());
    drop(work);
    site.command(&["queue", "move", "--from", "old", "--to", "old"]).expect_code(64);
    site.configure(&setup.webhook_named("new", &new, ""));
    for command in ["check", "status"] {
        let told = site.command(&[command]).stdout;
        let line = told.lines().find(|line| line.contains("old") && line.contains("queue move"));
        assert!(line.is_some_and(|line| line.contains("not in the settings")), "{command}: {told}");
    }
    let status = json_of(&site.command(&["status", "--json"]).expect_code(0));
    assert_eq!(status["sinks"][1]["configured"], false, "{status}");
    site.command(&["queue", "move", "--from", "nosuch", "--to", "new"]).expect_code(64);
    let relocate = ["queue", "move", "--from", "old", "--to", "new"];
    let dry = json_of(&site.command(&[&relocate[..], &["--dry-run", "--json"]].concat()).expect_code(0));
    assert_eq!((dry["moved"].as_i64(), ids(&dry["items"]).len()), (Some(2), 2));
    assert!(site.command(&relocate).expect_code(0).stdout.contains("2 messages moved"));
    site.catch_up();
    assert_eq!(numbers(&new.messages()), ["A-1", "A-2"]);
    assert!(!site.command(&["check"]).stdout.contains("sink old"), "nothing is left for it");
}

#[test]
fn a_test_message_says_what_it_is_and_leaves_the_outbox_alone() {
    let receiver = FakeReceiver::start();
    let sandbox = sandbox();
    let queue = "kind = \"queue\"\n";
    let site = Setup::new(&sandbox).webhook(&receiver).sink("scripts", queue).install();
    let test = ["queue", "test", "--sink", "shop", "--metadata", r#"{"email": "me@example.com"}"#, "--json"];
    let answer = json_of(&site.command(&test).expect_code(0));
    let message = receiver.next_message();
    assert_eq!((answer["id"].as_str(), &answer["delivered"]), (Some(message.id.as_str()), &json!(true)));
    let event = message.json();
    assert_eq!((event["type"].as_str(), event["id"].as_str()), (Some("renewald.test.v1"), Some(message.id.as_str())));
    assert_eq!(event["data"]["subscription"]["metadata"], json!({"email": "me@example.com"}));
    assert!(message.is_signed_with(crate::harness::SIGNING_SECRET));
    receiver.answer(Answer::Status(401));
    let refused = site.command(&["queue", "test", "--sink", "shop"]).expect_code(1);
    assert!(refused.stdout.contains("401"), "{refused:?}");
    let refused = json_of(&site.command(&test).expect_code(1));
    assert!(refused["reason"].as_str().unwrap().contains("401"), "{refused}");
    assert_ne!(refused["id"], answer["id"], "another one each time");
    site.command(&["queue", "test", "--sink", "scripts"]).expect_code(64);
    assert!(!site.database().exists(), "no store is needed");
}

#[test]
fn the_list_is_filtered_by_subscription_time_and_type() {
    let receiver = FakeReceiver::start();
    let (_sandbox, _, site) = delivered(&receiver);
    let list = |arguments: &[&str]| {
        let finished = site.command(&[&["queue", "list", "--json"], arguments].concat()).expect_code(0);
        let page = json_of(&finished);
        ids(&page["items"]).len()
    };
    assert_eq!((list(&[]), list(&["--subscription", "A"]), list(&["--subscription", "B-1"])), (3, 2, 1));
    assert_eq!((list(&["--since", "1h"]), list(&["--since", "1h", "--state", "pending"])), (3, 0));
    site.execute(&format!("UPDATE messages SET queued_at = queued_at - {}", 2 * DAY.as_secs()));
    assert_eq!((list(&["--since", "1d"]), list(&["--since", "3d", "--type", "renewald.renewal.ready.v1"])), (0, 3));
    site.command(&["queue", "list", "--subscription", "NOBODY"]).expect_code(65);
    let id = receiver.messages()[0].id.clone();
    let key = keys(&receiver.messages()[0]).remove(0);
    let shown = |arguments: &[&str]| site.command(&[&["queue", "show", &id], arguments].concat()).expect_code(0).stdout;
    assert!(!shown(&[]).contains(&key) && !shown(&["--json"]).contains(&key));
    assert!(shown(&[]).contains("--reveal shows it") && !shown(&["--reveal"]).contains("--reveal shows it"));
    assert!(shown(&["--reveal"]).contains(&key) && shown(&["--reveal", "--json"]).contains(&key));
}

/// A script that forgets a customer must not hang on a question, nor must keys vanish without a word.
#[test]
fn what_is_forgotten_undelivered_is_told() {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::that_answers(Answer::Status(503)));
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    for number in ["A", "B"] {
        site.track(number, order(&sandbox, number));
    }
    sandbox.renew_times("A", None, 2).unwrap();
    site.work().pass(sandbox.now());
    let finished = site.command(&["untrack", "A", "--forget"]).expect_code(0);
    assert!(finished.stderr.contains("forgotten with it: 2 messages that somebody has not received"), "{finished:?}");
    let finished = site.command(&["untrack", "B", "--forget", "--yes"]).expect_code(0);
    assert!(!finished.stderr.contains("forgotten with it"), "{finished:?}");
    site.command(&["untrack", "B", "--yes"]).expect_code(64);
}

#[test]
fn what_could_not_be_printed_is_handed_out_again_at_once() {
    let sandbox = sandbox();
    let site = Setup::new(&sandbox).install();
    site.track("A", order(&sandbox, "A"));
    sandbox.renew("A", None).unwrap();
    site.catch_up();
    let full = site.start_through(&["sh", "-c", "exec \"$0\" \"$@\" >/dev/full"], &["queue", "pull"]);
    let finished = full.wait().expect_code(1);
    assert!(finished.stderr.contains("cannot write the answer"), "{finished:?}");
    let pulled = site.command(&["queue", "pull"]).expect_code(0);
    assert_eq!(json_of(&pulled)["data"]["partner_order_number"], "A-1");
    assert_eq!(site.command(&["queue", "pull"]).expect_code(0).stdout, "", "now it is leased");
}
