//! Alerts are told once and over once, whatever is restarted; the heartbeat goes out while there are none.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use renewald::sandbox::nexway_connect::{Fault, FaultKind, NewOrder, Script};

use crate::fake_receiver::Answer;
use crate::harness::{DAY, Daemon, HOUR, Installation, PATIENCE, Setup, Site, eventually, number};
use crate::http::Endpoint;

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

fn standing(site: &Installation) -> Vec<String> {
    site.texts("SELECT kind || ' ' || subject FROM alerts ORDER BY 1")
}

/// Lets the daemon look, by a write of another process, until there is something to be seen.
fn look_until(site: &Installation, what: &str, mut seen: impl FnMut() -> bool) {
    eventually(what, || {
        site.execute("UPDATE clock SET seen_at = seen_at; PRAGMA user_version = 1");
        seen().then_some(())
    });
}

#[test]
fn overdue_subscriptions_are_told_once_across_a_restart_and_over_once() {
    let site = Site::without_sink_and(|setup| setup.admin = "listen = \"\"\nalert_after = \"1s\"".to_owned());
    site.order("A");
    site.catch_up();
    site.let_pass(7 * HOUR);
    site.sandbox.fault(Fault::new(FaultKind::CutBefore));
    let daemon = Daemon::spawn(&site);
    look_until(&site, "the alert", || daemon.stderr().contains("alert: 1 subscription without an answer for 4h24m"));
    let told = site.command(&["status", "--json"]).expect_code(0).json();
    assert_eq!((&told["alerts"][0]["kind"], &told["alerts"][0]["subject"]), (&"overdue".into(), &"nexway".into()));
    assert!(site.command(&["status"]).stdout.contains("overdue nexway"));
    let first = daemon.drain().stderr;

    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("swept");
    site.sandbox.clear_faults();
    site.command(&["poll", "A"]).expect_code(0);
    look_until(&site, "the end", || daemon.stderr().contains("the alert is over"));
    assert_eq!(standing(&site), [""; 0]);
    let second = daemon.drain().stderr;
    let count = |part| (first.matches(part).count(), second.matches(part).count());
    assert_eq!((count("alert: "), count("the alert is over")), ((1, 0), (0, 1)));
}

fn wait_for_metric(endpoint: &Endpoint, line: &str) {
    eventually(line, || endpoint.get("/metrics").expect(200).body.lines().any(|found| found == line).then_some(()));
}

#[test]
fn a_term_that_ends_without_renewal_is_told_once_and_over_once() {
    let site = Site::new();
    site.change(|setup| setup.set_webhook("shop", &site.receiver, "events = [\"*\"]"));
    let (daemon, endpoint) = Endpoint::start(&site, "");
    let ended = NewOrder {
        expires_at: Some(site.now() - 15 * DAY),
        auto_renew: false,
        technical_status: Some("ACTIVE".to_owned()),
        ..NewOrder::new("A")
    };
    site.place(ended);
    let told = site.next_message();
    assert_eq!(told.json()["type"], "renewald.subscription.not_renewed.v1");
    wait_for_metric(&endpoint, "renewald_not_renewed_subscriptions{provider=\"nexway\"} 1");
    let poll = || {
        site.command(&["poll", "A"]).expect_code(0);
        let is_done = || site.value::<bool>("SELECT lane <> 0 FROM subscriptions").then_some(());
        eventually("it is asked", is_done);
    };
    (0..2).for_each(|_| poll());
    let listed = || site.command(&["list", "--not-renewed", "--json"]).expect_code(0).stdout;
    assert!(listed().contains("\"A\""), "{}", listed());

    site.renew("A");
    poll();
    assert_eq!(number(&site.next_message()), "A-1");
    wait_for_metric(&endpoint, "renewald_not_renewed_subscriptions{provider=\"nexway\"} 0");
    assert!(!listed().contains("\"A\""), "{}", listed());
    let log = daemon.drain().stderr;
    let count = |part| log.matches(part).count();
    assert_eq!((count(": not renewed"), count("renewed after all")), (1, 1), "{log}");
    assert_eq!(site.messages().len(), 2);
}

#[test]
fn a_long_wait_for_order_data_is_told_once_across_a_restart_and_over_once() {
    let site = Site::without_sink();
    site.renewed("A");
    site.sandbox.script("A-1", Script::codes([1051; 1000]));
    site.command(&["once", "--max-time", "1s"]);
    site.execute("UPDATE renewals SET waiting_seconds = 259201");
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("alert: renewals whose order data has been awaited for more than 3d");
    let first = daemon.drain().stderr;
    assert_eq!(standing(&site), ["waiting nexway"]);

    site.let_pass(HOUR);
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("asked endpoint=\"order data\"");
    assert_eq!(standing(&site), ["waiting nexway"]);
    site.sandbox.script("A-1", Script::default());
    look_until(&site, "the end", || {
        site.execute("UPDATE renewals SET next_attempt_at = unixepoch() WHERE state = 'awaiting_order_data'");
        daemon.stderr().contains("the alert is over")
    });
    let second = daemon.drain().stderr;
    let count = |part| (first.matches(part).count(), second.matches(part).count());
    assert_eq!((count("alert: "), count("the alert is over")), ((1, 0), (0, 1)));
    assert_eq!(site.texts("SELECT state FROM renewals"), ["queued"]);
}

#[test]
fn who_is_unknown_or_answered_for_wrongly_is_shown_counted_and_told() {
    let site = Site::without_sink();
    site.track("WRONG", 4711);
    site.order("FAR");
    site.renew_times("FAR", 40);
    site.execute("UPDATE subscriptions SET tracked_at = unixepoch()");
    let once = site.command(&["once"]).expect_code(0).stdout;
    assert!(once.contains("1 unknown to the provider, 1 surprise"), "{once}");
    let status = site.command(&["status"]).stdout;
    assert!(status.contains("list --unknown") && status.contains("list --surprise"), "{status}");
    for (flag, number) in [("--unknown", "WRONG"), ("--surprise", "FAR"), ("--refused", "")] {
        let listed = site.command(&["list", flag, "--json"]).stdout;
        let listed: serde_json::Value = serde_json::from_str(&listed).expect("an object");
        let numbers: Vec<_> =
            listed["items"].as_array().unwrap().iter().map(|item| &item["partner_order_number"]).collect();
        assert_eq!(numbers, if number.is_empty() { vec![] } else { vec![number] }, "{flag}");
    }
    assert_eq!(standing(&site), [""; 0], "tracked a moment ago");
    site.let_pass(25 * HOUR);
    site.execute("UPDATE subscriptions SET tracked_at = unixepoch() - 7 * 3600");
    site.catch_up();
    assert_eq!(standing(&site), ["surprise nexway", "unknown nexway"]);
    site.command(&["untrack", "WRONG"]).expect_code(0);
    site.command(&["refetch", "FAR", "--generation", "40"]).expect_code(0);
    site.catch_up();
    site.command(&["poll", "FAR"]).expect_code(0);
    site.catch_up();
    assert_eq!(standing(&site), [""; 0]);
}

#[test]
fn order_data_that_is_refused_again_and_again_is_told_until_it_is_answered_for() {
    let site = Site::without_sink();
    site.renewed("A");
    site.sandbox.script("A-1", Script::codes([70; 3]));
    site.command(&["once", "--max-time", "1s"]);
    let ask = "UPDATE renewals SET next_attempt_at = unixepoch() WHERE state = 'awaiting_order_data'";
    site.execute(ask);
    site.command(&["once", "--max-time", "1s"]);
    assert_eq!(standing(&site), [""; 0], "twice may be a mistake of a moment");

    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("started");
    site.execute(ask);
    look_until(&site, "the alert", || daemon.stderr().contains("or refused 3 times in a row: 1"));
    assert_eq!(standing(&site), ["waiting nexway"]);
    site.execute(ask);
    look_until(&site, "the end", || daemon.stderr().contains("the alert is over"));
    assert_eq!(site.texts("SELECT state FROM renewals"), ["queued"]);
}

#[test]
fn a_stopped_territory_is_told_once_and_over_once() {
    let site = Site::without_sink();
    let right = site.setup();
    site.change(|setup| setup.secret("us", "wrong"));
    for n in 0..8 {
        site.place(NewOrder { territory: "us".to_owned(), ..NewOrder::new(format!("US{n}")) });
    }
    let lines = |log: &str, part: &str| {
        log.lines().filter(|line| line.contains(part) && line.contains("kind=territory subject=nexway/us")).count()
    };
    let daemon = Daemon::spawn(&site);
    look_until(&site, "the alert", || lines(&daemon.stderr(), "alert: refuses every subscription") == 1);
    let first = daemon.drain().stderr;
    assert!(standing(&site).contains(&"territory nexway/us".to_owned()));

    site.configure(&right);
    site.let_pass(25 * HOUR);
    let daemon = Daemon::spawn(&site);
    look_until(&site, "the end", || lines(&daemon.stderr(), "the alert is over") == 1);
    let second = daemon.drain().stderr;
    assert_eq!(
        ["alert: ", "the alert is over"].map(|part| (lines(&first, part), lines(&second, part))),
        [(1, 0), (0, 1)]
    );
    assert!(!standing(&site).contains(&"territory nexway/us".to_owned()));
}

/// Nobody asks there, and so nobody would ever hear of it.
#[test]
fn a_territory_that_left_the_settings_is_told_as_long_as_something_is_to_be_asked_in_it() {
    let switch = Switch::start(200);
    let site = Site::without_sink_and(|setup| setup.admin = switch.setting());
    let both = site.setup();
    site.place(NewOrder { territory: "us".to_owned(), ..NewOrder::new("US") });
    site.renew("US");
    site.sandbox.script("US-1", Script::codes([1051; 1000]));
    site.command(&["once", "--max-time", "1s"]);
    switch.beats.recv_timeout(PATIENCE).expect("a good run beats");
    site.execute("DELETE FROM heartbeat; UPDATE renewals SET next_attempt_at = unixepoch() + 3600");

    site.change(Setup::one_territory);
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("alert: not in the settings, but subscriptions are filed under it: nobody asks for them");
    assert_eq!(standing(&site), ["territory nexway/us"]);
    assert!(switch.beats.try_recv().is_err(), "an alert stands");
    site.command(&["pause", "US"]).expect_code(0);
    look_until(&site, "the first end", || daemon.stderr().contains("the alert is over"));
    site.execute("UPDATE renewals SET next_attempt_at = unixepoch()");
    look_until(&site, "the renewal", || standing(&site) == ["territory nexway/us"]);
    let told = site.command(&["check"]).expect_code(1).stdout;
    assert!(told.contains("territory nexway/us: not in the settings"), "{told}");
    site.configure(&both);
    daemon.reload();
    look_until(&site, "the end", || standing(&site).is_empty());
    let log = daemon.drain().stderr;
    assert_eq!((log.matches("alert: ").count(), log.matches("the alert is over").count()), (2, 2), "{log}");
}

#[test]
fn a_sink_in_trouble_for_long_is_told_and_over_once_it_takes_messages() {
    let site = Site::new();
    site.receiver.answer(Answer::Status(503));
    let (daemon, endpoint) = Endpoint::start(&site, "");
    site.renewed("A");
    daemon.wait_for_log("sink is in trouble");
    let first = daemon.drain().stderr;
    assert!(!first.contains("alert: "), "a receiver that is restarted is no alert: {first}");

    site.let_pass(Duration::from_secs(120));
    let daemon = Daemon::spawn(&site);
    look_until(&site, "the alert", || daemon.stderr().contains("alert: in trouble, its messages wait"));
    assert_eq!(standing(&site), ["sink shop"]);
    wait_for_metric(&endpoint, "renewald_sink_blocked{sink=\"shop\"} 1");
    wait_for_metric(&endpoint, "renewald_alerts{kind=\"sink\"} 1");
    site.receiver.answer(Answer::Status(200));
    look_until(&site, "the end", || daemon.stderr().contains("the alert is over"));
    wait_for_metric(&endpoint, "renewald_sink_blocked{sink=\"shop\"} 0");
    wait_for_metric(&endpoint, "renewald_alerts{kind=\"sink\"} 0");
    let log = daemon.drain().stderr;
    assert_eq!((log.matches("alert: ").count(), log.matches("the alert is over").count()), (1, 1), "{log}");
}

/// Nobody would try it any more, and so nobody could say that it is over.
#[test]
fn a_sink_in_trouble_that_nothing_waits_for_is_no_alert() {
    let site = Site::new();
    site.receiver.answer(Answer::Status(503));
    site.renewed("A");
    site.command(&["once", "--max-time", "1s"]).expect_code(75);
    site.let_pass(Duration::from_secs(120));
    let daemon = Daemon::spawn(&site);
    look_until(&site, "the alert", || standing(&site) == ["sink shop"]);
    site.command(&["untrack", "A", "--forget"]).expect_code(0);
    look_until(&site, "the end", || daemon.stderr().contains("the alert is over"));
    assert_eq!(standing(&site), [""; 0]);
}

#[test]
fn what_is_overdue_after_an_absence_is_caught_up_before_anybody_is_told() {
    let site = Site::without_sink();
    site.order("A");
    site.catch_up();
    site.let_pass(3 * DAY);
    site.sandbox.fault(Fault::new(FaultKind::Hold));
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("started");
    // It has looked, and the answer is still to come.
    look_until(&site, "a look", || {
        site.value::<bool>("SELECT last_answer_at < unixepoch() - 200000 FROM subscriptions")
    });
    site.sandbox.clear_faults();
    site.sandbox.release();
    eventually("it is caught up", || {
        site.value::<bool>("SELECT last_answer_at > unixepoch() - 3600 FROM subscriptions").then_some(())
    });
    daemon.terminate();
    assert!(!daemon.wait().expect_code(0).stderr.contains("alert: "));
    assert_eq!(standing(&site), [""; 0]);
}

#[test]
fn the_heartbeat_waits_until_no_alert_stands() {
    let switch = Switch::start(200);
    let site = Site::with(|setup| setup.admin = switch.setting());
    site.renewed("A");
    site.catch_up();
    let beat = switch.beats.recv_timeout(PATIENCE).expect("a good run beats");
    assert!(beat.starts_with("GET /ping/CANARY-4711 "), "{beat}");
    site.execute(
        "UPDATE dispatches SET state = 'dead', dead_at = unixepoch(), delivered_at = NULL; DELETE FROM heartbeat",
    );

    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("alert: 1 message given up for this sink");
    assert_eq!(standing(&site), ["dead shop"]);
    assert!(switch.beats.try_recv().is_err(), "an alert stands");
    site.command(&["queue", "retry", "--all-dead"]).expect_code(0);
    look_until(&site, "the end", || daemon.stderr().contains("the alert is over"));
    switch.beats.recv_timeout(PATIENCE).expect("all is well");
    let log = daemon.drain().stderr;
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
fn an_alert_that_stands_says_how_it_is_now_and_is_told_once() {
    let site = Site::new();
    site.renewed_all(&["A", "B"]);
    site.catch_up();
    let die = |number: &str| {
        site.execute(&format!(
            "UPDATE dispatches SET state = 'dead', dead_at = unixepoch(), delivered_at = NULL WHERE subscription =
             (SELECT id FROM subscriptions WHERE partner_order_number = '{number}')"
        ))
    };
    die("A");
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("alert: 1 message");
    site.execute("UPDATE alerts SET raised_at = raised_at - 100");
    die("B");
    look_until(&site, "the new text", || site.value::<String>("SELECT text FROM alerts").starts_with("2 messages"));
    assert!(site.value::<bool>("SELECT raised_at <= unixepoch() - 100 FROM alerts"), "it stands since then");
    let log = daemon.drain().stderr;
    assert_eq!((log.matches("alert: ").count(), log.matches("the alert is over").count()), (1, 0), "{log}");
}

#[test]
fn a_heartbeat_that_does_not_get_through_is_told_once_without_its_address() {
    let switch = Switch::start(500);
    let site = Site::without_sink_and(|setup| setup.admin = switch.setting());
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("the heartbeat does not get through");
    site.execute("UPDATE heartbeat SET sent_at = sent_at - 3600");
    (0..2).for_each(|_| drop(switch.beats.recv_timeout(PATIENCE).expect("it is tried again")));
    daemon.wait_for_log("still does not get through");
    let log = daemon.drain().stderr;
    assert_eq!(log.matches("the heartbeat does not get through").count(), 1);
    assert!(!log.contains("CANARY") && !log.contains(&switch.address.to_string()), "{log}");
}

#[test]
fn a_run_that_gave_something_up_does_not_beat() {
    let switch = Switch::start(200);
    let site = Site::without_sink_and(|setup| setup.admin = switch.setting());
    site.renewed("A");
    site.sandbox.script("A-1", Script::codes([1062]));
    site.command(&["once"]).expect_code(1);
    assert!(switch.beats.try_recv().is_err());
}

/// One subscription's life can be found by its id, and nothing is told of a poll that brought nothing.
#[test]
fn the_log_tells_a_life_and_keeps_quiet_between() {
    let site = Site::with(|setup| setup.log_level = "info");
    let id = site.order("A");
    site.order("B");
    site.renew("A");
    let daemon = Daemon::spawn(&site);
    site.next_message();
    daemon.wait_for_log("delivered");
    daemon.wait_for_log("swept");
    let log = daemon.drain().stderr;
    let life: Vec<_> = log.lines().filter(|line| line.contains(&format!("subscription={id} "))).collect();
    for (line, event) in life.iter().zip(["renewal seen", "renewal queued", "delivered"]) {
        assert!(line.contains(event) && line.contains("order=A-1"), "{event}: {line}");
    }
    assert_eq!(life.len(), 3, "{log}");
    assert!(log.contains("swept provider=nexway polls=2 renewals=1 queued=1"), "{log}");
    assert!(!log.contains("order=B"), "{log}");
}
