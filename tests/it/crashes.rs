//! `kill -9` at every step of a renewal, then a restart: the receiver has each generation, under one id for ever.

use std::collections::BTreeMap;
use std::process::Command;

use renewald::sandbox::nexway_connect::{Endpoint, Fault, FaultKind};

use crate::fake_receiver::{Answer, FakeReceiver, Received};
use crate::harness::{Daemon, HOUR, Installation, PATIENCE, Site, eventually, keys, number};

/// `A`, renewed once, tracked.
fn renewed() -> (Site, i64) {
    let site = Site::new();
    let id = site.renewed("A");
    (site, id)
}

/// After a second crash an attempt counts as made until its time is over.
fn restart(site: &Installation) {
    site.let_pass(5 * HOUR);
    site.catch_up();
}

#[test]
fn killed_while_the_status_is_asked() {
    let (site, _) = renewed();
    site.sandbox.fault(Fault::new(FaultKind::Hold).at(Endpoint::Status));
    let daemon = Daemon::spawn(&site);
    site.sandbox.wait_for(|request| request.endpoint == Endpoint::Status, PATIENCE).expect("it is asked");
    daemon.kill();
    site.sandbox.clear_faults();
    restart(&site);
    assert_eq!(site.numbers(), ["A-1"]);
}

#[test]
fn killed_between_record_and_fetch() {
    let (site, id) = renewed();
    site.sandbox.fault(Fault::new(FaultKind::Hold).at(Endpoint::Order));
    let daemon = Daemon::spawn(&site);
    site.sandbox.wait_for(|request| request.endpoint == Endpoint::Order, PATIENCE).expect("it is asked");
    daemon.kill();
    assert_eq!(site.texts("SELECT state FROM renewals"), ["awaiting_order_data"], "recorded before it was asked for");
    site.sandbox.clear_faults();
    restart(&site);
    let message = site.next_message();
    assert_eq!(keys(&message), site.sandbox.expected_keys("A-1", id));
    assert_eq!(site.messages().len(), 1);
}

#[test]
fn killed_in_the_middle_of_the_order_data() {
    let (site, _) = renewed();
    site.sandbox.fault(Fault::new(FaultKind::Stall).at(Endpoint::Order));
    let daemon = Daemon::spawn(&site);
    site.sandbox.wait_for(|request| request.endpoint == Endpoint::Order, PATIENCE).expect("it is asked");
    daemon.kill();
    site.sandbox.clear_faults();
    restart(&site);
    assert_eq!(site.numbers(), ["A-1"]);
}

#[test]
fn killed_between_fetch_and_publish() {
    let (site, id) = renewed();
    let address = site.receiver.stop();
    let daemon = Daemon::spawn(&site);
    eventually("the sink is seen to be down", || (site.value::<i64>("SELECT count(*) FROM sinks") > 0).then_some(()));
    daemon.kill();
    let receiver = FakeReceiver::start_at(address);
    let asked = site.sandbox.request_count();
    site.let_pass(HOUR);
    site.catch_up();
    let message = receiver.next_message();
    assert_eq!(keys(&message), site.sandbox.expected_keys("A-1", id));
    let order_data = site.sandbox.requests().iter().any(|r| r.seq >= asked && r.endpoint == Endpoint::Order);
    assert!(!order_data, "the stored message was sent");
}

#[test]
fn killed_between_publish_and_answer_sends_the_same_message_again() {
    let (site, _) = renewed();
    site.receiver.answer(Answer::Never);
    let daemon = Daemon::spawn(&site);
    let first = site.next_message(); // on the wire, its answer never heard
    daemon.kill(); // SIGKILL: no destructor runs
    let receiver = FakeReceiver::start_at(site.receiver.stop());
    let restarted = site.catch_up();
    assert!(restarted.stderr.contains("cut off while it sent"), "at once: {}", restarted.stderr);
    let again = receiver.next_message();
    assert_eq!((again.id, again.body), (first.id, first.body));
    assert_eq!(receiver.messages().len(), 1);
}

#[test]
fn killed_after_the_answer() {
    let (site, _) = renewed();
    let daemon = Daemon::spawn(&site);
    site.next_message();
    daemon.kill(); // whether the mark is on disk or not
    restart(&site);
    assert_one_id_each(&site.messages(), 1);
}

/// Killed at each request of a longer work, whatever it is just doing.
#[test]
fn killed_again_and_again() {
    let site = Site::new();
    for n in 0..6 {
        let number = format!("K{n}");
        site.order(&number);
        site.renew_times(&number, 2);
    }
    for requests in 1..=12 {
        let until = site.sandbox.request_count() + requests;
        let mut daemon = Daemon::spawn(&site);
        eventually("some requests", || {
            (site.sandbox.request_count() >= until || is_idle(&site, &mut daemon)).then_some(())
        });
        daemon.kill();
        site.let_pass(HOUR);
    }
    restart(&site);
    assert_one_id_each(&site.messages(), 12);
    assert_eq!(site.texts("SELECT DISTINCT state FROM dispatches"), ["delivered"]);
    assert_eq!(site.value::<String>("PRAGMA integrity_check"), "ok");
}

fn is_idle(site: &Installation, daemon: &mut Daemon) -> bool {
    assert!(daemon.status().is_none(), "it runs on");
    site.delivered() == 12
}

/// All generations have arrived, each under one id of its own.
fn assert_one_id_each(messages: &[Received], expected: usize) {
    let mut ids: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for message in messages {
        ids.entry(number(message)).or_default().push(&message.id);
    }
    assert_eq!(ids.len(), expected, "{ids:?}");
    for (number, mut ids) in ids {
        ids.dedup();
        assert_eq!(ids.len(), 1, "{number}: {ids:?}");
    }
}

/// A file may not grow any more, as on a full disk; later it may again.
#[test]
fn a_full_disk_stops_the_work_and_loses_nothing() {
    let site = Site::with(|setup| {
        setup.log_level = "info";
        setup.every = "1s";
    });
    site.order("A");
    // Beyond the limit a write fails, where the signal that comes with it is ignored.
    let mut daemon = site.start_through(&["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""], &["run"]);
    let limit = |bytes: &str| {
        let arguments = [&format!("--fsize={bytes}:unlimited"), "--pid", &daemon.id().to_string()].map(str::to_owned);
        assert!(Command::new("prlimit").args(arguments).status().expect("prlimit").success());
    };
    site.sandbox.wait_for(|request| request.endpoint == Endpoint::Status, PATIENCE).expect("it works");
    limit("8192");
    site.renew("A");
    daemon.wait_for_log("cannot write to the database");
    limit("unlimited");
    let message = site.next_message();
    assert_eq!(number(&message), "A-1");
    assert!(daemon.status().is_none(), "it runs on");
    daemon.drain();
    assert_one_id_each(&site.messages(), 1);
}
