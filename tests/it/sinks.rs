//! Sinks in trouble and messages in trouble: what waits, what counts, and what goes on beside it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::fake_receiver::{Answer, FakeReceiver};
use crate::harness::{DAY, Daemon, HOUR, Installation, Site, Work, eventually, keys_of, number, numbered, numbers};

/// So many subscriptions `A0`, `A1`, …, each renewed once, tracked.
fn renewed(site: &Site, count: usize) {
    site.renewed_all(&numbered("A", count));
}

fn attempts(site: &Installation) -> Vec<i64> {
    let list: String = site.value("SELECT group_concat(attempts) FROM (SELECT attempts FROM dispatches ORDER BY id)");
    list.split(',').map(|n| n.parse().unwrap()).collect()
}

#[test]
fn while_a_receiver_is_down_messages_wait_and_lose_no_attempt() {
    let site = Site::new();
    renewed(&site, 2);
    site.renew("A0");
    let address = site.receiver.stop();
    let mut work = site.work();
    let start = site.now();
    work.sweep(start);
    for days in 0..100 {
        let report = work.relay(start + days * DAY);
        assert_eq!((report.delivered, report.dead), (0, 0));
        assert!(report.blocked);
    }
    assert_eq!(attempts(&site), [0, 0, 0]);
    assert_eq!(site.value::<i64>("SELECT blocked_since FROM sinks"), start.as_unix());
    let receiver = FakeReceiver::start_at(address);
    let report = work.relay(start + 100 * DAY);
    assert_eq!(report.delivered, 3);
    let of_a0: Vec<_> = numbers(&receiver.messages()).into_iter().filter(|n| n.starts_with("A0")).collect();
    assert_eq!(of_a0, ["A0-1", "A0-2"], "in order");
    assert_eq!(site.texts("SELECT blocked_since FROM sinks"), [""]);
}

#[test]
fn a_daemon_delivers_by_itself_once_the_receiver_is_back() {
    let site = Site::new();
    renewed(&site, 2);
    let address = site.receiver.stop();
    let daemon = Daemon::spawn(&site);
    eventually("the sink is seen to be down", || (site.value::<i64>("SELECT count(*) FROM sinks") > 0).then_some(()));
    let receiver = FakeReceiver::start_at(address);
    let mut arrived = [receiver.next_message(), receiver.next_message()].map(|m| number(&m));
    arrived.sort();
    assert_eq!(arrived, ["A0-1", "A1-1"]);
    daemon.drain();
}

#[test]
fn a_receiver_that_asks_for_time_is_given_it() {
    let site = Site::new();
    site.receiver.answer(Answer::RetryAfter(429, "7200".to_owned()));
    renewed(&site, 1);
    let mut work = site.work();
    let start = site.now();
    work.pass(start);
    assert_eq!(site.messages().len(), 1);
    work.relay(start + HOUR);
    assert_eq!(site.messages().len(), 1, "too early");
    site.receiver.answer(Answer::Status(200));
    work.relay(start + 3 * HOUR);
    assert_eq!(site.messages().len(), 2);
    assert_eq!(site.messages()[0].body, site.messages()[1].body, "byte for byte the same");
}

#[test]
fn a_message_refused_for_ever_holds_up_no_other_subscription() {
    let site = Site::new();
    site.receiver.answer_to("A1-1", Answer::Status(400));
    renewed(&site, 4);
    site.renew("A1");
    let mut work = site.work();
    let start = site.now();
    let (_, report) = work.pass(start);
    assert_eq!(report.delivered, 3);
    assert!(!report.blocked, "it is the message's trouble");

    let mut days = 0;
    while work.relay(start + days * DAY).dead == 0 {
        days += 1;
        assert!(days < 200, "it is given up some day");
        assert!(!site.numbers().contains(&"A1-2".to_owned()), "the later one waits for the earlier");
    }
    assert!(days >= 30, "given up after {days} days");
    work.relay(start + days * DAY);
    assert!(site.numbers().contains(&"A1-2".to_owned()), "the dead hold up nobody");
    assert_eq!(site.delivered(), 4);
}

#[test]
fn one_message_that_breaks_the_receiver_does_not_block_the_sink_for_ever() {
    let site = Site::new();
    site.receiver.answer_to("A1-1", Answer::Status(500));
    renewed(&site, 12);
    let mut work = site.work();
    let start = site.now();
    let minutes = |work: &mut Work, from, count| {
        (0..count)
            .map(|n| work.relay(from + n * HOUR / 60))
            .fold((0, 0), |sum, r| (sum.0 + r.delivered, sum.1 + r.dead))
    };
    work.sweep(start);
    assert_eq!(minutes(&mut work, start, 20), (11, 0));
    // What comes later is not held up either; its success shows that the trouble is the message's.
    for day in 1..10 {
        site.renew("A5");
        work.sweep(start + day * DAY);
        assert_eq!(minutes(&mut work, start + day * DAY, 8), (1, 0), "day {day}");
    }
    let counted = *attempts(&site).iter().max().unwrap();
    assert!(counted >= 5, "{counted} attempts against the message");
    site.receiver.answer_to("A1-1", Answer::Status(200));
    assert_eq!(minutes(&mut work, start + 11 * DAY, 8), (1, 0));
}

#[test]
fn a_dead_sink_holds_up_no_other_sink() {
    let dead = FakeReceiver::that_never_answers();
    let site = Site::with(|setup| {
        setup.sink_timeout = "1s";
        setup.set_webhook("dead", &dead, "");
    });
    renewed(&site, 2);
    let daemon = Daemon::spawn(&site);
    site.next_message();
    site.next_message();
    daemon.drain();
    // And at another day the other one gets the same messages.
    let back = FakeReceiver::start_at(dead.stop());
    site.let_pass(DAY);
    site.catch_up();
    let ids = |receiver: &FakeReceiver| {
        let mut ids: Vec<_> = receiver.messages().into_iter().map(|message| message.id).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&back), ids(&site.receiver));
}

#[test]
fn a_sink_gets_its_territories_and_events_only() {
    let failures = FakeReceiver::start();
    let site = Site::with(|setup| setup.set_webhook("failures", &failures, "events = [\"renewal.failed\"]"));
    renewed(&site, 2);
    site.sandbox.script("A1-1", renewald::sandbox::nexway_connect::Script::codes([1062]));
    site.work().pass(site.now());
    assert_eq!(site.messages().len(), 2);
    assert_eq!(numbers(&failures.messages()), ["A1-1"]);
}

fn lines(path: &std::path::Path) -> Vec<serde_json::Value> {
    fs::read_to_string(path).unwrap().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn the_file_sink_appends_through_rotation_and_after_a_torn_line() {
    let site = Site::with_sink("archive", "kind = \"file\"\npath = \"renewals.jsonl\"");
    let id = site.order("A");
    let path = site.path("renewals.jsonl");
    let start = site.now();
    let mut work = site.work();
    let mut renew = |n: u32| {
        site.renew("A");
        work.pass(start + n * 5 * HOUR);
    };
    renew(1);
    renew(2);
    assert_eq!(lines(&path).len(), 2);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    // Rotated by renaming, then by copying and truncating.
    fs::rename(&path, site.path("renewals.1")).unwrap();
    renew(3);
    assert_eq!(lines(&path).len(), 1);
    fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    renew(4);
    assert_eq!(lines(&path).len(), 1);

    // A crash left half a line.
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..], b"{\"torn"].concat()).unwrap();
    renew(5);
    let text = fs::read_to_string(&path).unwrap();
    let all: Vec<_> = text.lines().collect();
    assert_eq!(all.len(), 3, "{text}");
    assert_eq!(all[1], "{\"torn");
    let last: serde_json::Value = serde_json::from_str(all[2]).unwrap();
    assert_eq!(keys_of(&last), site.sandbox.expected_keys("A-5", id));
    assert!(text.ends_with('\n'));
}

#[test]
fn stdout_gets_a_line_per_message_and_stderr_the_words() {
    let site = Site::with_sink("out", "kind = \"stdout\"");
    renewed(&site, 3);
    let finished = site.catch_up();
    let messages: Vec<serde_json::Value> =
        finished.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(messages.len(), 3, "{}", finished.stdout);
    assert!(!finished.stderr.contains("specversion"));
}

#[test]
fn a_message_that_one_sink_is_given_up_for_is_not_said_to_reach_nobody() {
    let site = Site::new();
    site.change(|setup| setup.set_sink("script", "kind = \"exec\"\ncommand = [\"/bin/sh\", \"-c\", \"exit 65\"]"));
    renewed(&site, 1);
    let log = site.command(&["once"]).expect_code(1).stderr;
    assert_eq!(site.numbers(), ["A0-1"]);
    let told =
        "given up: this sink gets the message no more, unless `renewald queue retry` sends it again sink=script ";
    assert_eq!((log.matches(told).count(), log.matches("nobody").count()), (1, 0), "{log}");
    assert!(log.contains("alert: 1 message given up for this sink; "), "{log}");
}

#[test]
fn a_message_that_is_gone_meanwhile_is_not_said_to_be_tried_again() {
    let site = Site::new();
    site.receiver.answer(Answer::Held(422));
    renewed(&site, 2);
    let daemon = Daemon::spawn(&site);
    (0..2).for_each(|_| drop(site.next_message()));
    site.command(&["untrack", "A0", "--forget", "--yes"]).expect_code(0);
    site.receiver.release();
    daemon.wait_for_log("not delivered; tried again");
    eventually("both are settled", || {
        site.value::<bool>("SELECT count(*) = 1 FROM dispatches WHERE last_error IS NOT NULL").then_some(())
    });
    let log = daemon.drain().stderr;
    let told: Vec<_> = log.lines().filter(|line| line.contains("not delivered; tried again")).collect();
    assert!(!told.is_empty() && told.iter().all(|line| line.contains("order=A1-1 ")), "{log}");
}
