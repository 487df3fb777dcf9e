//! `kill -9` at every step of a renewal, then a restart: the receiver has each generation, under one id for ever.

use std::collections::BTreeMap;
use std::process::Command;

use renewald::sandbox::nexway_connect::{Endpoint, Fault, FaultKind, Sandbox};

use crate::fake_receiver::{FakeReceiver, Received};
use crate::harness::{Daemon, HOUR, PATIENCE, Setup, Site, eventually, keys, number, numbers, order, sandbox};

/// `A`, renewed once, tracked.
fn renewed(receiver: &FakeReceiver) -> (Sandbox, Site, i64) {
    let sandbox = sandbox();
    let id = order(&sandbox, "A");
    sandbox.renew("A", None).unwrap();
    let site = Setup::new(&sandbox).webhook(receiver).install();
    site.track("A", id);
    (sandbox, site, id)
}

/// After a second crash an attempt counts as made until its time is over.
fn restart(site: &Site) {
    site.let_pass(5 * HOUR);
    site.catch_up();
}

#[test]
fn killed_while_the_status_is_asked() {
    let receiver = FakeReceiver::start();
    let (sandbox, site, _) = renewed(&receiver);
    sandbox.fault(Fault::new(FaultKind::Hold).at(Endpoint::Status));
    let daemon = Daemon::spawn(&site);
    sandbox.wait_for(|request| request.endpoint == Endpoint::Status, PATIENCE).expect("it is asked");
    daemon.kill();
    sandbox.clear_faults();
    restart(&site);
    assert_eq!(numbers(&receiver.messages()), ["A-1"]);
}

#[test]
fn killed_between_record_and_fetch() {
    let receiver = FakeReceiver::start();
    let (sandbox, site, id) = renewed(&receiver);
    sandbox.fault(Fault::new(FaultKind::Hold).at(Endpoint::Order));
    let daemon = Daemon::spawn(&site);
    sandbox.wait_for(|request| request.endpoint == Endpoint::Order, PATIENCE).expect("it is asked");
    daemon.kill();
    assert_eq!(site.texts("SELECT state FROM renewals"), ["awaiting_order_data"], "recorded before it was asked for");
    sandbox.clear_faults();
    restart(&site);
    let message = receiver.next_message();
    assert_eq!(keys(&message), sandbox.expected_keys("A-1", id));
    assert_eq!(receiver.messages().len(), 1);
}

#[test]
fn killed_in_the_middle_of_the_order_data() {
    let receiver = FakeReceiver::start();
    let (sandbox, site, _) = renewed(&receiver);
    sandbox.fault(Fault::new(FaultKind::Stall).at(Endpoint::Order));
    let daemon = Daemon::spawn(&site);
    sandbox.wait_for(|request| request.endpoint == Endpoint::Order, PATIENCE).expect("it is asked");
    daemon.kill();
    sandbox.clear_faults();
    restart(&site);
    assert_eq!(numbers(&receiver.messages()), ["A-1"]);
}

#[test]
fn killed_between_fetch_and_publish() {
    let receiver = FakeReceiver::start();
    let (sandbox, site, id) = renewed(&receiver);
    let address = receiver.stop();
    let daemon = Daemon::spawn(&site);
    eventually("the sink is seen to be down", || (site.value::<i64>("SELECT count(*) FROM sinks") > 0).then_some(()));
    daemon.kill();
    let receiver = FakeReceiver::start_at(address);
    let asked = sandbox.request_count();
    site.let_pass(HOUR);
    site.catch_up();
    let message = receiver.next_message();
    assert_eq!(keys(&message), sandbox.expected_keys("A-1", id));
    let order_data = sandbox.requests().iter().any(|r| r.seq >= asked && r.endpoint == Endpoint::Order);
    assert!(!order_data, "the stored message was sent");
}

#[test]
fn killed_between_publish_and_answer_sends_the_same_message_again() {
    let silent = FakeReceiver::that_never_answers();
    let (_sandbox, site, _) = renewed(&silent);
    let daemon = Daemon::spawn(&site);
    let first = silent.next_message(); // on the wire, its answer never heard
    daemon.kill(); // SIGKILL: no destructor runs
    let receiver = FakeReceiver::start_at(silent.stop());
    let restarted = site.catch_up();
    assert!(restarted.stderr.contains("cut off while it sent"), "at once: {}", restarted.stderr);
    let again = receiver.next_message();
    assert_eq!((again.id, again.body), (first.id, first.body));
    assert_eq!(receiver.messages().len(), 1);
}

#[test]
fn killed_after_the_answer() {
    let receiver = FakeReceiver::start();
    let (_sandbox, site, _) = renewed(&receiver);
    let daemon = Daemon::spawn(&site);
    receiver.next_message();
    daemon.kill(); // whether the mark is on disk or not
    restart(&site);
    assert_one_id_each(&receiver.messages(), 1);
}

/// Killed at each request of a longer work, whatever it is just doing.
#[test]
fn killed_again_and_again() {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    for n in 0..6 {
        let number = format!("K{n}");
        site.track(&number, order(&sandbox, &number));
        sandbox.renew_times(&number, None, 2).unwrap();
    }
    for requests in 1..=12 {
        let until = sandbox.request_count() + requests;
        let mut daemon = Daemon::spawn(&site);
        eventually("some requests", || (sandbox.request_count() >= until || is_idle(&site, &mut daemon)).then_some(()));
        daemon.kill();
        site.let_pass(HOUR);
    }
    restart(&site);
    assert_one_id_each(&receiver.messages(), 12);
    assert_eq!(site.texts("SELECT DISTINCT state FROM dispatches"), ["delivered"]);
    assert_eq!(site.value::<String>("PRAGMA integrity_check"), "ok");
}

fn is_idle(site: &Site, daemon: &mut Daemon) -> bool {
    assert!(daemon.status().is_none(), "it runs on");
    site.value::<i64>("SELECT count(*) FROM dispatches WHERE state = 'delivered'") == 12
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
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let site = Setup::new(&sandbox).with(|setup| setup.log_level = "info").every("1s").webhook(&receiver).install();
    site.track("A", order(&sandbox, "A"));
    // Beyond the limit a write fails, where the signal that comes with it is ignored.
    let mut daemon = site.start_through(&["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""], &["run"]);
    let limit = |bytes: &str| {
        let arguments = [&format!("--fsize={bytes}:unlimited"), "--pid", &daemon.id().to_string()].map(str::to_owned);
        assert!(Command::new("prlimit").args(arguments).status().expect("prlimit").success());
    };
    sandbox.wait_for(|request| request.endpoint == Endpoint::Status, PATIENCE).expect("it works");
    limit("8192");
    sandbox.renew("A", None).unwrap();
    daemon.wait_for_log("cannot write to the database");
    limit("unlimited");
    let message = receiver.next_message();
    assert_eq!(number(&message), "A-1");
    assert!(daemon.status().is_none(), "it runs on");
    daemon.terminate();
    daemon.wait().expect_code(0);
    assert_one_id_each(&receiver.messages(), 1);
}
