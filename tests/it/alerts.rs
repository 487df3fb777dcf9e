//! Alerts are told once and over once, whatever is restarted; the heartbeat goes out while there are none.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use renewald::sandbox::{Fault, FaultKind};
use serde_json::Value;

use crate::fake_receiver::FakeReceiver;
use crate::harness::{DAY, Daemon, HOUR, PATIENCE, Setup, Site, eventually, order, sandbox};

/// What listens to heartbeats: it tells the request lines, and answers with the same status always.
struct Switch {
    address: SocketAddr,
    beats: Receiver<String>,
}

impl Switch {
    fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (heard, beats) = channel();
        thread::spawn(move || {
            // Until the test is over, and with it the process.
            for stream in listener.incoming() {
                let line = answer(stream.expect("a connection"), status);
                if heard.send(line).is_err() {
                    return;
                }
            }
        });
        Self { address, beats }
    }

    fn setting(&self) -> String {
        format!("listen = \"\"\nheartbeat_url = \"http://{}/ping/CANARY-4711\"\nalert_after = \"1s\"", self.address)
    }
}

fn answer(mut stream: TcpStream, status: u16) -> String {
    let mut lines = BufReader::new(stream.try_clone().expect("a copy")).lines();
    let first = lines.next().expect("a line").expect("text");
    lines.find(|line| line.as_ref().is_ok_and(String::is_empty));
    write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").expect("an answer");
    first
}

fn standing(site: &Site) -> Vec<String> {
    site.texts("SELECT kind || ' ' || subject FROM alerts ORDER BY 1")
}

/// Lets the daemon look, by a write of another process, until there is something to be seen.
fn look_until(site: &Site, what: &str, mut seen: impl FnMut() -> bool) {
    eventually(what, || {
        site.execute("UPDATE clock SET seen_at = seen_at; PRAGMA user_version = 1");
        seen().then_some(())
    });
}

#[test]
fn overdue_subscriptions_are_told_once_across_a_restart_and_over_once() {
    let sandbox = sandbox();
    let site =
        Setup::new(&sandbox).with(|setup| setup.admin = "listen = \"\"\nalert_after = \"1s\"".to_owned()).install();
    site.track("A", order(&sandbox, "A"));
    site.catch_up();
    site.let_pass(7 * HOUR);
    sandbox.fault(Fault::new(FaultKind::CutBefore));
    let daemon = Daemon::spawn(&site);
    look_until(&site, "the alert", || daemon.stderr().contains("alert: 1 subscriptions without an answer for 4h24m"));
    let told: Value = serde_json::from_str(&site.command(&["status", "--json"]).expect_code(0).stdout).unwrap();
    assert_eq!((&told["alerts"][0]["kind"], &told["alerts"][0]["subject"]), (&"overdue".into(), &"nexway".into()));
    assert!(site.command(&["status"]).stdout.contains("overdue nexway"));
    daemon.terminate();
    let first = daemon.wait().expect_code(0).stderr;

    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("swept");
    sandbox.clear_faults();
    site.command(&["poll", "A"]).expect_code(0);
    look_until(&site, "the end", || daemon.stderr().contains("the alert is over"));
    assert_eq!(standing(&site), [""; 0]);
    daemon.terminate();
    let second = daemon.wait().expect_code(0).stderr;
    let count = |part| (first.matches(part).count(), second.matches(part).count());
    assert_eq!((count("alert: "), count("the alert is over")), ((1, 0), (0, 1)));
}

#[test]
fn what_is_overdue_after_an_absence_is_caught_up_before_anybody_is_told() {
    let sandbox = sandbox();
    let site = Setup::new(&sandbox).install();
    site.track("A", order(&sandbox, "A"));
    site.catch_up();
    site.let_pass(3 * DAY);
    sandbox.fault(Fault::new(FaultKind::Hold));
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("started");
    // It has looked, and the answer is still to come.
    look_until(&site, "a look", || {
        site.value::<bool>("SELECT last_answer_at < unixepoch() - 200000 FROM subscriptions")
    });
    sandbox.clear_faults();
    sandbox.release();
    eventually("it is caught up", || {
        site.value::<bool>("SELECT last_answer_at > unixepoch() - 3600 FROM subscriptions").then_some(())
    });
    daemon.terminate();
    assert!(!daemon.wait().expect_code(0).stderr.contains("alert: "));
    assert_eq!(standing(&site), [""; 0]);
}

#[test]
fn the_heartbeat_waits_until_no_alert_stands() {
    let (sandbox, shop, switch) = (sandbox(), FakeReceiver::start(), Switch::start(200));
    let site = Setup::new(&sandbox).with(|setup| setup.admin = switch.setting()).webhook(&shop).install();
    site.track("A", order(&sandbox, "A"));
    sandbox.renew("A", None).unwrap();
    site.catch_up();
    let beat = switch.beats.recv_timeout(PATIENCE).expect("a good run beats");
    assert!(beat.starts_with("GET /ping/CANARY-4711 "), "{beat}");
    site.execute(
        "UPDATE dispatches SET state = 'dead', dead_at = unixepoch(), delivered_at = NULL; DELETE FROM heartbeat",
    );

    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("alert: 1 messages nobody received");
    assert_eq!(standing(&site), ["dead shop"]);
    assert!(switch.beats.try_recv().is_err(), "an alert stands");
    site.command(&["queue", "retry", "--all-dead"]).expect_code(0);
    look_until(&site, "the end", || daemon.stderr().contains("the alert is over"));
    switch.beats.recv_timeout(PATIENCE).expect("all is well");
    daemon.terminate();
    let log = daemon.wait().expect_code(0).stderr;
    assert!(log.contains("heartbeat sent") && !log.contains("CANARY"), "{log}");

    // At most hourly, whoever sends it.
    site.let_pass(5 * HOUR);
    site.catch_up();
    assert!(switch.beats.try_recv().is_err());
    site.execute("UPDATE heartbeat SET sent_at = sent_at - 3600");
    site.let_pass(5 * HOUR);
    site.catch_up();
    switch.beats.recv_timeout(PATIENCE).expect("an hour is over");
}

#[test]
fn a_heartbeat_that_does_not_get_through_is_told_once_without_its_address() {
    let (sandbox, switch) = (sandbox(), Switch::start(500));
    let site = Setup::new(&sandbox).with(|setup| setup.admin = switch.setting()).install();
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("the heartbeat does not get through");
    site.execute("UPDATE heartbeat SET sent_at = sent_at - 3600");
    (0..2).for_each(|_| drop(switch.beats.recv_timeout(PATIENCE).expect("it is tried again")));
    daemon.wait_for_log("still does not get through");
    daemon.terminate();
    let log = daemon.wait().expect_code(0).stderr;
    assert_eq!(log.matches("the heartbeat does not get through").count(), 1);
    assert!(!log.contains("CANARY") && !log.contains(&switch.address.to_string()), "{log}");
}

#[test]
fn a_run_that_gave_something_up_does_not_beat() {
    let (sandbox, switch) = (sandbox(), Switch::start(200));
    let site = Setup::new(&sandbox).with(|setup| setup.admin = switch.setting()).install();
    site.track("A", order(&sandbox, "A"));
    sandbox.renew("A", None).unwrap();
    sandbox.script("A-1", renewald::sandbox::Script::codes([1062]));
    site.command(&["once"]).expect_code(1);
    assert!(switch.beats.try_recv().is_err());
}

/// One subscription's life can be found by its id, and nothing is told of a poll that brought nothing.
#[test]
fn the_log_tells_a_life_and_keeps_quiet_between() {
    let (sandbox, shop) = (sandbox(), FakeReceiver::start());
    let site = Setup::new(&sandbox).with(|setup| setup.log_level = "info").webhook(&shop).install();
    let id = order(&sandbox, "A");
    site.track("A", id);
    site.track("B", order(&sandbox, "B"));
    sandbox.renew("A", None).unwrap();
    let daemon = Daemon::spawn(&site);
    shop.next_message();
    daemon.wait_for_log("delivered");
    daemon.wait_for_log("swept");
    daemon.terminate();
    let log = daemon.wait().expect_code(0).stderr;
    let life: Vec<_> = log.lines().filter(|line| line.contains(&format!("subscription={id} "))).collect();
    for (line, event) in life.iter().zip(["renewal seen", "renewal queued", "delivered"]) {
        assert!(line.contains(event) && line.contains("order=A-1"), "{event}: {line}");
    }
    assert_eq!(life.len(), 3, "{log}");
    assert!(log.contains("swept provider=nexway polls=2 renewals=1 queued=1"), "{log}");
    assert!(!log.contains("order=B"), "{log}");
}
