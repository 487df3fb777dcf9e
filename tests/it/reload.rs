//! SIGHUP: what may change does, what is in hand is finished, and nobody else notices.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;

use renewald::sandbox::nexway_connect::{Endpoint, Fault, FaultKind, Request, Sandbox};

use crate::fake_receiver::{Answer, FakeReceiver, Received};
use crate::harness::{Daemon, HOUR, PATIENCE, Provider, Setup, Site, eventually, number, numbered};
use crate::nexway_connect::{order, sandbox};
use crate::servers::authority::Authority;

/// Tracks so many subscriptions, all of them renewed.
fn renewed(site: &Site, count: usize) {
    let numbers = numbered("N", count);
    site.renewed_all(&numbers);
}

fn ids(messages: &[Received]) -> BTreeSet<String> {
    messages.iter().map(|message| message.id.clone()).collect()
}

fn asked(sandbox: &Sandbox, endpoint: Endpoint) -> usize {
    sandbox.requests().iter().filter(|request| request.endpoint == endpoint).count()
}

#[test]
fn a_shorter_interval_counts_at_once_and_the_token_stays() {
    let site = Site::without_sink();
    site.order("A");
    let daemon = Daemon::spawn(&site);
    eventually("it is asked", || (site.texts("SELECT last_outcome FROM subscriptions") == ["ok"]).then_some(()));
    assert!(site.value::<bool>("SELECT due_at > unixepoch() + 3600 FROM subscriptions"));
    site.change(|setup| setup.every = "2s");
    daemon.reload();
    let is_poll = |request: &Request| request.endpoint == Endpoint::Status;
    site.sandbox
        .wait_for(|request| is_poll(request) && request.seq >= 3, PATIENCE)
        .expect("it is asked again and again");
    assert_eq!(asked(&site.sandbox, Endpoint::Token), 1);
    daemon.drain();
}

#[test]
fn a_longer_interval_moves_what_is_due() {
    let site = Site::without_sink();
    site.order("A");
    let daemon = Daemon::spawn(&site);
    eventually("it is asked", || (site.texts("SELECT last_outcome FROM subscriptions") == ["ok"]).then_some(()));
    site.change(|setup| setup.every = "40h");
    daemon.reload();
    daemon.wait_for_log("due times follow the new settings");
    let ahead: i64 = site.value("SELECT due_at - last_asked_at FROM subscriptions");
    assert!((20 * 3600..=40 * 3600).contains(&ahead), "{ahead}");
}

#[test]
fn another_rate_makes_no_burst() {
    let site = Site::without_sink_and(|setup| setup.requests_per_second = 20.0);
    renewed(&site, 150);
    let daemon = Daemon::spawn(&site);
    let arrived = |count| site.sandbox.wait_for(|request| request.seq + 1 >= count, PATIENCE).expect("requests go on");
    arrived(20);
    site.change(|setup| setup.requests_per_second = 5.0);
    daemon.reload();
    let slower = site.sandbox.request_count();
    arrived(slower + 12);
    site.change(|setup| setup.requests_per_second = 20.0);
    daemon.reload();
    arrived(slower + 50);
    // Stamped on arrival: a machine that pauses for a tenth of a second pushes what was sent meanwhile into the next.
    assert!(site.sandbox.busiest_second() <= 23, "{} in one second", site.sandbox.busiest_second());
    let requests = site.sandbox.requests();
    let first = slower as usize + 2; // one may have been on its way
    let apart = requests[first + 8].at.duration_since(requests[first].at);
    assert!(apart.as_secs_f64() > 1.3, "eight of them at five a second took {apart:?}");
}

#[test]
fn a_sink_that_moves_in_the_middle_of_deliveries_loses_and_doubles_nothing() {
    let (site, new) = (Site::new(), FakeReceiver::start());
    site.receiver.answer(Answer::Held(200));
    renewed(&site, 40);
    let daemon = Daemon::spawn(&site);
    (0..8).for_each(|_| drop(site.next_message())); // all that it publishes at once
    site.change(|setup| setup.set_webhook("shop", &new, ""));
    daemon.reload();
    site.receiver.release();
    site.wait_until_delivered(40);
    let (before, after) = (site.messages(), new.messages());
    assert_eq!((before.len(), after.len()), (8, 32));
    assert_eq!(ids(&[before, after].concat()).len(), 40);
    daemon.drain();
}

#[test]
fn a_sink_that_was_put_right_is_tried_at_once() {
    let (site, new) = (Site::new(), FakeReceiver::start());
    site.receiver.answer(Answer::Status(503));
    renewed(&site, 1);
    site.command(&["once", "--max-time", "1s"]).expect_code(75);
    site.execute(
        "UPDATE sinks SET blocked_until = unixepoch() + 300; UPDATE dispatches SET next_attempt_at = unixepoch()",
    );
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("started");
    site.change(|setup| setup.set_webhook("shop", &new, ""));
    daemon.reload();
    new.next_message();
    daemon.wait_for_log("sink works again");
}

#[test]
fn sinks_come_and_go_and_the_others_notice_nothing() {
    let (gone, crm) = (FakeReceiver::that_answers(Answer::Status(503)), FakeReceiver::start());
    let site = Site::with(|setup| setup.set_webhook("gone", &gone, ""));
    let before = site.setup();
    site.receiver.answer(Answer::Held(200));
    renewed(&site, 1);
    let daemon = Daemon::spawn(&site);
    site.next_message();
    gone.next_message();
    site.change(|setup| {
        setup.drop_sink("gone");
        setup.set_webhook("crm", &crm, "");
    });
    daemon.reload();
    daemon.wait_for_log("messages wait for this sink, which is not in the settings any more");
    let log = daemon.stderr();
    assert!(log.contains("changed=sinks.crm (new), sinks.gone (gone)"), "{log}");
    site.renewed("A");
    assert_eq!(number(&crm.next_message()), "A-1", "the new sink is working");
    site.receiver.release();
    site.wait_until_delivered(3);
    assert_eq!(site.messages().len(), 2, "its publish in hand was not disturbed");
    // Put back, it goes on where it was.
    gone.answer(Answer::Status(200));
    site.let_pass(HOUR);
    site.configure(&before);
    daemon.reload();
    site.wait_until_delivered(4);
}

#[test]
fn accounts_come_and_go_and_the_others_notice_nothing() {
    let (site, second) = (Site::new(), sandbox());
    let alone = site.setup();
    let both = alone.clone().with(|setup| setup.accounts.push(second.account("second")));
    site.order("A");
    let daemon = Daemon::spawn(&site);
    site.sandbox.wait_for(|request| request.endpoint == Endpoint::Status, PATIENCE).expect("it is asked");
    site.configure(&both);
    daemon.reload();
    daemon.wait_for_log("changed=providers.second (new)");
    let id = order(&second, "B").to_string();
    second.renew("B", None).expect("an order");
    let narrow = ["--provider", "second", "--territory", "eu", "--generation", "0"];
    site.command(&[&["track", "B", &id], &narrow[..]].concat()).expect_code(0);
    assert_eq!(number(&site.next_message()), "B-1", "the new account is working");

    // Taken away while a request hangs.
    second.fault(Fault::new(FaultKind::Hold).at(Endpoint::Order));
    second.renew("B", None).expect("an order");
    site.command(&["poll", "B"]).expect_code(0);
    let is_held = |request: &Request| request.partner_order_number.as_deref() == Some("B-2");
    second.wait_for(is_held, PATIENCE).expect("order data is asked for");
    site.configure(&alone);
    daemon.reload();
    site.renew("A");
    site.command(&["poll", "A"]).expect_code(0);
    assert_eq!(number(&site.next_message()), "A-1", "the other one goes on");
    daemon.wait_for_log("alert: not in the settings, but subscriptions are filed under it: nobody asks for them");
    assert!(daemon.stderr().contains("kind=territory subject=second/eu"));
    assert_eq!(
        site.texts("SELECT state FROM renewals WHERE provider = 'second' ORDER BY generation")[1],
        "awaiting_order_data"
    );

    // Put back, it goes on where it was.
    second.clear_faults();
    second.release();
    site.configure(&both);
    daemon.reload();
    assert_eq!(number(&site.next_message()), "B-2");
    site.wait_until_delivered(3);
    daemon.drain();
    assert_eq!(site.messages().len(), 3);
    assert_eq!(asked(&site.sandbox, Endpoint::Token), 1, "nothing was changed about the first");
}

#[test]
fn a_rotated_signing_secret_signs_from_then_on() {
    const ROTATED: &str = "whsec_cm90YXRlZC1yb3RhdGVkLXJvdGF0ZWQtcm90YXRlZA==";
    let site = Site::new();
    site.renewed("A");
    let daemon = Daemon::spawn(&site);
    assert!(!site.next_message().is_signed_with(ROTATED));
    fs::write(site.path("secrets/signing"), ROTATED).unwrap();
    daemon.reload();
    site.renew("A");
    site.command(&["poll", "A"]).expect_code(0);
    assert!(site.next_message().is_signed_with(ROTATED));
    assert_eq!(asked(&site.sandbox, Endpoint::Token), 1, "the account is the same");
}

#[test]
fn a_renewed_certificate_is_loaded_and_one_that_stayed_disturbs_nobody() {
    let (site, second) = (Site::new(), sandbox());
    let mutual = "kind = \"redis\"\nurl = \"rediss://127.0.0.1:1\"\nca_file = \"authority.pem\"\n\
                  client_certificate_file = \"client.pem\"\nclient_key_file = \"client.key\"";
    let mut account = second.account("second");
    account.keys.push_str("ca_file = \"server.pem\"\n");
    site.change(|setup| {
        setup.accounts.push(account);
        setup.set_webhook("shop", &site.receiver, "ca_file = \"server.pem\"");
        setup.set_sink("stream", mutual);
    });
    let Some(_) = Authority::create(&site.path("")) else { return };
    fs::rename(site.path("client.key"), site.path("secrets/client.key")).unwrap();
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("started");
    let renew =
        |name: &str| fs::OpenOptions::new().append(true).open(site.path(name)).unwrap().write_all(b"\n").unwrap();
    daemon.reload();
    daemon.wait_for_log("changed=nothing");
    renew("client.pem");
    daemon.reload();
    daemon.wait_for_log("changed=sinks.stream\n");
    renew("server.pem");
    daemon.reload();
    daemon.wait_for_log("changed=sinks.shop, providers.second\n");
}

/// A site whose secret for `eu` is wrong, with so many subscriptions there, and the right settings.
fn refused(count: usize) -> (Site, Setup) {
    let site = Site::new();
    let right = site.setup();
    site.change(|setup| setup.secret("eu", "wrong"));
    renewed(&site, count);
    (site, right)
}

const REFUSED: &str = "SELECT count(*) FROM subscriptions WHERE last_outcome = 'refused'";

#[test]
fn a_corrected_secret_is_tried_at_once() {
    let (site, right) = refused(3);
    let daemon = Daemon::spawn(&site);
    eventually("all are refused", || (site.value::<i64>(REFUSED) == 3).then_some(()));
    site.configure(&right);
    daemon.reload();
    site.wait_until_delivered(3);
    daemon.drain();
}

#[test]
fn the_first_who_is_answered_brings_along_all_who_were_refused() {
    let (site, right) = refused(8);
    site.command(&["once"]).expect_code(1);
    assert!(site.value::<i64>(REFUSED) >= 5, "they wait for hours");
    site.configure(&right);
    site.command(&["poll", "N0"]).expect_code(0);
    site.command(&["once"]).expect_code(0);
    site.wait_until_delivered(8);
    assert_eq!(site.texts("SELECT territory FROM territories"), [""; 0]);
}

#[test]
fn another_client_secret_gets_another_token() {
    let site = Site::without_sink();
    let right = site.setup();
    site.order("A");
    let daemon = Daemon::spawn(&site);
    eventually("it is asked", || (site.texts("SELECT last_outcome FROM subscriptions") == ["ok"]).then_some(()));
    site.change(|setup| setup.secret("client", "of somebody else"));
    daemon.reload();
    site.command(&["poll", "A"]).expect_code(0);
    daemon.wait_for_log("provider does not accept our credentials");
    site.configure(&right);
    daemon.reload();
    daemon.wait_for_log("provider answers again");
    assert!(!daemon.stderr().contains("of somebody else"));
}

#[test]
fn a_bad_file_changes_nothing_and_tells_all_its_mistakes() {
    let site = Site::new();
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("started");
    let right = fs::read_to_string(site.path("renewald.toml")).unwrap();
    fs::write(site.path("renewald.toml"), right.replace("every = ", "evry = ").replace("\"15s\"", "15")).unwrap();
    daemon.reload();
    let log = daemon.stderr();
    assert!(log.contains("poll.evry") && log.contains("sinks.shop.timeout"), "{log}");
    // The same for secrets that are not there.
    fs::write(site.path("renewald.toml"), &right).unwrap();
    ["client", "signing"].iter().for_each(|name| fs::remove_file(site.path("secrets").join(name)).unwrap());
    daemon.reload();
    let log = daemon.stderr();
    assert!(
        log.contains("client_secret_file: there is no file") && log.contains("signing_secret_file: there is"),
        "{log}"
    );
    assert!(!log.contains("settings reloaded"), "{log}");
    site.renewed("A");
    assert_eq!(number(&site.next_message()), "A-1");
}

#[test]
fn missing_secrets_are_all_named_at_the_start() {
    let site = Site::new();
    fs::remove_dir_all(site.path("secrets")).unwrap();
    for command in ["run", "once"] {
        let told = site.command(&[command]).expect_code(78).stderr;
        for key in ["client_secret_file", "territories.eu.secret_file", "sinks.shop.signing_secret_file"] {
            assert!(told.contains(key), "{key} in {told}");
        }
    }
}

#[test]
fn what_cannot_change_while_running_is_named_and_left() {
    let site = Site::without_sink();
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("started");
    let settings = fs::read_to_string(site.path("renewald.toml")).unwrap();
    let other = settings.replace("renewald.db", "other.db").replace("format = \"text\"", "format = \"json\"");
    fs::write(site.path("renewald.toml"), other).unwrap();
    daemon.reload();
    daemon.wait_for_log("store.path cannot change while running");
    assert!(!site.path("other.db").exists());
    let log = daemon.stderr();
    let told = log.lines().find(|line| line.contains("settings reloaded")).expect("it is told");
    let told: serde_json::Value = serde_json::from_str(told).expect("in the new format already");
    assert_eq!(told["changed"], "log", "{told}");
}

#[test]
fn a_storm_of_signals_becomes_few_reloads_and_loses_nothing() {
    let site = Site::new();
    renewed(&site, 60);
    let daemon = Daemon::spawn(&site);
    site.next_message();
    site.change(|setup| setup.every = "5h");
    daemon.signal("HUP", 200);
    daemon.signal("USR1", 20);
    site.wait_until_delivered(60);
    daemon.wait_for_log("settings reloaded");
    assert_eq!((site.messages().len(), ids(&site.messages()).len()), (60, 60));
    let reloads = daemon.stderr().matches("reading the settings again").count();
    assert!(reloads < 100, "{reloads} reloads");
    daemon.drain();
}

#[test]
fn a_signal_asks_at_once_for_what_is_due() {
    let site = Site::without_sink();
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("started");
    site.order("A");
    daemon.signal("USR1", 1);
    site.sandbox.wait_for(|request| request.endpoint == Endpoint::Status, PATIENCE).expect("it is asked");
    daemon.wait_for_log("everything that is due is asked for now");
}
