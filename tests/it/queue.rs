//! The outbox by hand: listed, sent again, given to other sinks, with the daemon running beside.

use serde_json::{Value, json};

use crate::fake_receiver::{Answer, FakeReceiver, Received};
use crate::harness::{DAY, Daemon, SIGNING_SECRET, Site, keys, numbers};

pub fn ids(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

/// A with two renewals and B with one, all delivered to the sink `shop`.
fn delivered() -> Site {
    let site = Site::new();
    for (number, renewals) in [("A", 2), ("B", 1)] {
        site.order(number);
        site.renew_times(number, renewals);
    }
    site.catch_up();
    assert_eq!(site.messages().len(), 3);
    site
}

#[test]
fn a_replay_reaches_the_receiver_of_a_running_daemon_with_the_same_ids_and_bytes() {
    let site = delivered();
    let first = site.messages();
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("started");
    let finished = site.command(&["queue", "replay", "--sink", "shop", "--since", "1h"]).expect_code(0);
    assert_eq!(finished.stdout, "3 messages are due again now\n");
    for told in ["replayed 3 messages to sink shop", "uid=", "user="] {
        assert!(finished.stderr.contains(told), "the audit line: {finished:?}");
    }
    let again: Vec<_> = (0..6).map(|_| site.next_message()).skip(3).collect();
    let of_a = |messages: &[Received]| {
        let of_a = messages.iter().filter(|message| message.body.contains("\"A-"));
        of_a.map(|message| (message.id.clone(), message.body.clone())).collect::<Vec<_>>()
    };
    assert_eq!(of_a(&again), of_a(&first), "byte for byte and in order");
    daemon.drain();
    let shown = site.command(&["queue", "show", &first[0].id, "--json"]).expect_code(0).json();
    let dispatch = &shown["dispatches"][0];
    assert_eq!((dispatch["state"].as_str(), dispatch["replays"].as_i64()), (Some("delivered"), Some(1)));
    assert!(dispatch["replayed_at"].is_string() && dispatch["first_delivered_at"].is_string(), "{dispatch}");
    let story = site.command(&["explain", "B"]).expect_code(0).stdout;
    assert!(story.contains("sent again once, last "), "{story}");
}

#[test]
fn a_dry_run_lists_and_changes_nothing() {
    let site = delivered();
    let replay = ["queue", "replay", "--sink", "shop", "--dry-run", "--json"];
    let all = site.command(&replay).expect_code(0).json();
    assert_eq!((all["due"].as_i64(), all["items"].as_array().unwrap().len()), (Some(3), 3));
    for event in ["renewal.failed", "renewald.renewal.failed.v1"] {
        let none = site.command(&[&replay[..], &["--type", event]].concat()).expect_code(0).json();
        assert_eq!(none["due"], 0, "{event}");
    }
    site.execute(&format!("UPDATE dispatches SET delivered_at = delivered_at - {}", 3 * DAY.as_secs()));
    for (since, due) in [("2d", 0), ("4d", 3), ("2020-01-01T00:00:00Z", 3)] {
        let found = site.command(&[&replay[..], &["--since", since]].concat()).expect_code(0).json();
        assert_eq!(found["due"], due, "{since}");
    }
    assert_eq!(site.value::<i64>("SELECT count(*) FROM dispatches WHERE state <> 'delivered' OR replays > 0"), 0);
    for wrong in [&["--sink", "nosuch"][..], &["--sink", "shop", "--since", "soon"], &["--type", "renewal.ready"]] {
        site.command(&[&["queue", "replay"][..], wrong].concat()).expect_code(64);
    }
}

#[test]
fn what_is_wiped_is_listed_and_the_rest_is_replayed() {
    let site = delivered();
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
    let numbers = site.numbers();
    assert_eq!(numbers[3..], ["A-1", "A-2"]);
    // By id, wherever it was delivered to.
    let id = site.messages()[3].id.clone();
    let one = site.command(&["queue", "replay", &id, "--json"]).expect_code(0).json();
    assert_eq!((one["due"].as_i64(), one["items"][0]["sink"].as_str()), (Some(1), Some("shop")));
    let again = site.command(&["queue", "replay", &id, "--json"]).expect_code(1).json();
    assert_eq!(again["not_delivered"], json!([id]), "it is pending now");
    site.command(&["queue", "replay", "00000000-0000-4000-8000-000000000000"]).expect_code(65);
}

#[test]
fn a_built_in_queue_hands_replayed_messages_out_again() {
    let site = Site::without_sink();
    site.order("A");
    site.renew_times("A", 2);
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
    let (site, late) = (delivered(), FakeReceiver::start());
    site.change(|setup| setup.set_webhook("late", &late, "events = [\"renewal.failed\"]\n"));
    let backfill = ["queue", "backfill", "--sink", "late", "--since", "1d"];
    assert!(site.command(&backfill).expect_code(0).stdout.contains("nothing that late takes"));
    site.change(|setup| setup.set_webhook("late", &late, ""));
    site.catch_up();
    assert_eq!(late.messages().len(), 0, "it starts with new messages");
    let dry = site.command(&[&backfill[..], &["--dry-run", "--json"]].concat()).expect_code(0).json();
    assert_eq!((dry["due"].as_i64(), dry["items"].as_array().unwrap().len()), (Some(3), 3));
    site.command(&backfill).expect_code(0);
    site.command(&backfill).expect_code(0);
    site.catch_up();
    let bodies = |receiver: &FakeReceiver| {
        let mut bodies: Vec<_> = receiver.messages().into_iter().map(|message| (message.id, message.body)).collect();
        bodies.sort();
        bodies
    };
    assert_eq!(bodies(&late), bodies(&site.receiver));
    let late = numbers(&late.messages());
    let position = |number: &str| late.iter().position(|one| one == number);
    assert!(position("A-1") < position("A-2"), "{late:?}");
}

#[test]
fn messages_of_a_sink_taken_out_are_named_and_moved() {
    let (old, new) = (FakeReceiver::that_answers(Answer::Status(503)), FakeReceiver::start());
    let site = Site::without_sink_and(|setup| setup.set_webhook("old", &old, ""));
    site.order("A");
    site.renew_times("A", 2);
    let mut work = site.work();
    work.pass(site.now());
    drop(work);
    site.command(&["queue", "move", "--from", "old", "--to", "old"]).expect_code(64);
    site.change(|setup| {
        setup.drop_sink("old");
        setup.set_webhook("new", &new, "");
    });
    for command in ["check", "status"] {
        let told = site.command(&[command]).stdout;
        let line = told.lines().find(|line| line.contains("old") && line.contains("queue move"));
        assert!(line.is_some_and(|line| line.contains("not in the settings")), "{command}: {told}");
    }
    let status = site.command(&["status", "--json"]).expect_code(0).json();
    assert_eq!(status["sinks"][1]["configured"], false, "{status}");
    site.command(&["queue", "move", "--from", "nosuch", "--to", "new"]).expect_code(64);
    let relocate = ["queue", "move", "--from", "old", "--to", "new"];
    let dry = site.command(&[&relocate[..], &["--dry-run", "--json"]].concat()).expect_code(0).json();
    assert_eq!((dry["moved"].as_i64(), ids(&dry["items"]).len()), (Some(2), 2));
    assert!(site.command(&relocate).expect_code(0).stdout.contains("2 messages moved"));
    site.catch_up();
    assert_eq!(numbers(&new.messages()), ["A-1", "A-2"]);
    assert!(!site.command(&["check"]).stdout.contains("sink old"), "nothing is left for it");
}

#[test]
fn a_test_message_says_what_it_is_and_leaves_the_outbox_alone() {
    let site = Site::with(|setup| setup.set_sink("scripts", "kind = \"queue\"\n"));
    let test = ["queue", "test", "--sink", "shop", "--metadata", r#"{"email": "me@example.com"}"#, "--json"];
    let answer = site.command(&test).expect_code(0).json();
    let message = site.next_message();
    assert_eq!((answer["id"].as_str(), &answer["delivered"]), (Some(message.id.as_str()), &json!(true)));
    let event = message.json();
    assert_eq!((event["type"].as_str(), event["id"].as_str()), (Some("renewald.test.v1"), Some(message.id.as_str())));
    assert_eq!(event["data"]["subscription"]["metadata"], json!({"email": "me@example.com"}));
    assert!(message.is_signed_with(SIGNING_SECRET));
    site.receiver.answer(Answer::Status(401));
    let refused = site.command(&["queue", "test", "--sink", "shop"]).expect_code(1);
    assert!(refused.stdout.contains("401"), "{refused:?}");
    let refused = site.command(&test).expect_code(1).json();
    assert!(refused["reason"].as_str().unwrap().contains("401"), "{refused}");
    assert_ne!(refused["id"], answer["id"], "another one each time");
    site.command(&["queue", "test", "--sink", "scripts"]).expect_code(64);
    assert!(!site.database().exists(), "no store is needed");
}

#[test]
fn the_list_is_filtered_by_subscription_time_and_type() {
    let site = delivered();
    let list = |arguments: &[&str]| {
        let finished = site.command(&[&["queue", "list", "--json"], arguments].concat()).expect_code(0);
        let page = finished.json();
        ids(&page["items"]).len()
    };
    assert_eq!((list(&[]), list(&["--subscription", "A"]), list(&["--subscription", "B-1"])), (3, 2, 1));
    assert_eq!((list(&["--since", "1h"]), list(&["--since", "1h", "--state", "pending"])), (3, 0));
    site.execute(&format!("UPDATE messages SET queued_at = queued_at - {}", 2 * DAY.as_secs()));
    assert_eq!((list(&["--since", "1d"]), list(&["--since", "3d", "--type", "renewald.renewal.ready.v1"])), (0, 3));
    site.command(&["queue", "list", "--subscription", "NOBODY"]).expect_code(65);
    let id = site.messages()[0].id.clone();
    let key = keys(&site.messages()[0]).remove(0);
    let shown = |arguments: &[&str]| site.command(&[&["queue", "show", &id], arguments].concat()).expect_code(0).stdout;
    assert!(!shown(&[]).contains(&key) && !shown(&["--json"]).contains(&key));
    assert!(shown(&[]).contains("--reveal shows it") && !shown(&["--reveal"]).contains("--reveal shows it"));
    assert!(shown(&["--reveal"]).contains(&key) && shown(&["--reveal", "--json"]).contains(&key));
}

/// A script that forgets a customer must not hang on a question, nor must keys vanish without a word.
#[test]
fn what_is_forgotten_undelivered_is_told() {
    let site = Site::new();
    site.receiver.answer(Answer::Status(503));
    site.order_all(&["A", "B"]);
    site.renew_times("A", 2);
    site.work().pass(site.now());
    let finished = site.command(&["untrack", "A", "--forget"]).expect_code(0);
    assert!(finished.stderr.contains("forgotten with it: 2 messages that somebody has not received"), "{finished:?}");
    let finished = site.command(&["untrack", "B", "--forget", "--yes"]).expect_code(0);
    assert!(!finished.stderr.contains("forgotten with it"), "{finished:?}");
    site.command(&["untrack", "B", "--yes"]).expect_code(64);
}

#[test]
fn what_could_not_be_printed_is_handed_out_again_at_once() {
    let site = Site::without_sink();
    site.renewed("A");
    site.catch_up();
    let full = site.start_through(&["sh", "-c", "exec \"$0\" \"$@\" >/dev/full"], &["queue", "pull"]);
    let finished = full.wait().expect_code(1);
    assert!(finished.stderr.contains("cannot write the answer"), "{finished:?}");
    let pulled = site.command(&["queue", "pull"]).expect_code(0);
    assert_eq!(pulled.json()["data"]["partner_order_number"], "A-1");
    assert_eq!(site.command(&["queue", "pull"]).expect_code(0).stdout, "", "now it is leased");
}
