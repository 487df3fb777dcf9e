//! SIGHUP: what may change does, what is in hand is finished, and nobody else notices.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;

use renewald::sandbox::nexway_connect::{Endpoint, Fault, FaultKind, Request, Sandbox};

use crate::fake_receiver::{Answer, FakeReceiver, Received};
use crate::harness::{Daemon, PATIENCE, Setup, Site, Track, eventually, number, order, sandbox};
use crate::servers::authority::Authority;

/// Tracks so many subscriptions, all of them renewed.
fn renewed(site: &Site, sandbox: &Sandbox, count: usize) {
    let numbers: Vec<_> = (0..count).map(|n| format!("N{n}")).collect();
    let ids: Vec<_> = numbers.iter().map(|number| order(sandbox, number)).collect();
    numbers.iter().for_each(|number| sandbox.renew(number, None).unwrap());
    site.track_all(numbers.iter().zip(ids).map(|(number, id)| Track::new(number, id)));
}

fn wait_until_delivered(site: &Site, count: i64) {
    let delivered = || site.value::<i64>("SELECT count(*) FROM dispatches WHERE state = 'delivered'");
    eventually("all are delivered", || (delivered() == count).then_some(()));
}

fn ids(messages: &[Received]) -> BTreeSet<String> {
    messages.iter().map(|message| message.id.clone()).collect()
}

fn asked(sandbox: &Sandbox, endpoint: Endpoint) -> usize {
    sandbox.requests().iter().filter(|request| request.endpoint == endpoint).count()
}

#[test]
fn a_shorter_interval_counts_at_once_and_the_token_stays() {
    let sandbox = sandbox();
    let setup = Setup::new(&sandbox);
    let site = setup.install();
    site.track("A", order(&sandbox, "A"));
    let daemon = Daemon::spawn(&site);
    eventually("it is asked", || (site.texts("SELECT last_outcome FROM subscriptions") == ["ok"]).then_some(()));
    assert!(site.value::<bool>("SELECT due_at > unixepoch() + 3600 FROM subscriptions"));
    site.configure(&setup.every("2s"));
    daemon.reload();
    let is_poll = |request: &Request| request.endpoint == Endpoint::Status;
    sandbox.wait_for(|request| is_poll(request) && request.seq >= 3, PATIENCE).expect("it is asked again and again");
    assert_eq!(asked(&sandbox, Endpoint::Token), 1);
    daemon.terminate();
    daemon.wait().expect_code(0);
}

#[test]
fn a_longer_interval_moves_what_is_due() {
    let sandbox = sandbox();
    let setup = Setup::new(&sandbox);
    let site = setup.install();
    site.track("A", order(&sandbox, "A"));
    let daemon = Daemon::spawn(&site);
    eventually("it is asked", || (site.texts("SELECT last_outcome FROM subscriptions") == ["ok"]).then_some(()));
    site.configure(&setup.every("40h"));
    daemon.reload();
    daemon.wait_for_log("due times follow the new settings");
    let ahead: i64 = site.value("SELECT due_at - last_asked_at FROM subscriptions");
    assert!((20 * 3600..=40 * 3600).contains(&ahead), "{ahead}");
}

#[test]
fn another_rate_makes_no_burst() {
    let sandbox = sandbox();
    let setup = Setup::new(&sandbox).with(|setup| setup.requests_per_second = 20.0);
    let site = setup.install();
    renewed(&site, &sandbox, 150);
    let daemon = Daemon::spawn(&site);
    let arrived = |count| sandbox.wait_for(|request| request.seq + 1 >= count, PATIENCE).expect("requests go on");
    arrived(20);
    site.configure(&setup.clone().with(|setup| setup.requests_per_second = 5.0));
    daemon.reload();
    let slower = sandbox.request_count();
    arrived(slower + 12);
    site.configure(&setup);
    daemon.reload();
    arrived(slower + 50);
    // Stamped on arrival: a machine that pauses may push one more into a second.
    assert!(sandbox.busiest_second() <= 21, "{} in one second", sandbox.busiest_second());
    let requests = sandbox.requests();
    let first = slower as usize + 2; // one may have been on its way
    let apart = requests[first + 8].at.duration_since(requests[first].at);
    assert!(apart.as_secs_f64() > 1.3, "eight of them at five a second took {apart:?}");
}

#[test]
fn a_sink_that_moves_in_the_middle_of_deliveries_loses_and_doubles_nothing() {
    let (sandbox, old, new) = (sandbox(), FakeReceiver::that_answers(Answer::Held(200)), FakeReceiver::start());
    let site = Setup::new(&sandbox).webhook(&old).install();
    renewed(&site, &sandbox, 40);
    let daemon = Daemon::spawn(&site);
    (0..8).for_each(|_| drop(old.next_message())); // all that it publishes at once
    site.configure(&Setup::new(&sandbox).webhook(&new));
    daemon.reload();
    old.release();
    wait_until_delivered(&site, 40);
    let (before, after) = (old.messages(), new.messages());
    assert_eq!((before.len(), after.len()), (8, 32));
    assert_eq!(ids(&[before, after].concat()).len(), 40);
    daemon.terminate();
    daemon.wait().expect_code(0);
}

#[test]
fn a_sink_that_was_put_right_is_tried_at_once() {
    let (sandbox, old, new) = (sandbox(), FakeReceiver::that_answers(Answer::Status(503)), FakeReceiver::start());
    let site = Setup::new(&sandbox).webhook(&old).install();
    renewed(&site, &sandbox, 1);
    site.command(&["once", "--max-time", "1s"]).expect_code(75);
    site.execute(
        "UPDATE sinks SET blocked_until = unixepoch() + 300; UPDATE dispatches SET next_attempt_at = unixepoch()",
    );
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("started");
    site.configure(&Setup::new(&sandbox).webhook(&new));
    daemon.reload();
    new.next_message();
    daemon.wait_for_log("sink works again");
}

#[test]
fn sinks_come_and_go_and_the_others_notice_nothing() {
    let (sandbox, shop, gone, crm) = (sandbox(), FakeReceiver::start(), FakeReceiver::start(), FakeReceiver::start());
    shop.answer(Answer::Held(200));
    gone.answer(Answer::Status(503));
    let with_shop = || Setup::new(&sandbox).webhook(&shop);
    let site = with_shop().webhook_named("gone", &gone, "").install();
    renewed(&site, &sandbox, 1);
    let daemon = Daemon::spawn(&site);
    shop.next_message();
    gone.next_message();
    site.configure(&with_shop().webhook_named("crm", &crm, ""));
    daemon.reload();
    daemon.wait_for_log("messages wait for this sink, which is not in the settings any more");
    let log = daemon.stderr();
    assert!(log.contains("changed=sinks.crm (new), sinks.gone (gone)"), "{log}");
    site.track("A", order(&sandbox, "A"));
    sandbox.renew("A", None).unwrap();
    assert_eq!(number(&crm.next_message()), "A-1", "the new sink is working");
    shop.release();
    wait_until_delivered(&site, 3);
    assert_eq!(shop.messages().len(), 2, "its publish in hand was not disturbed");
    // Put back, it goes on where it was.
    gone.answer(Answer::Status(200));
    site.let_pass(crate::harness::HOUR);
    site.configure(&with_shop().webhook_named("gone", &gone, ""));
    daemon.reload();
    wait_until_delivered(&site, 4);
}

/// These settings with an account more.
fn with_account(setup: &Setup, name: &str, sandbox: &Sandbox) -> Setup {
    let (api_url, iam_url, secret) = (sandbox.api_url(), sandbox.iam_url(), &setup.client_secret);
    let mut table = format!(
        "[providers.{name}]\nkind = \"nexway-connect\"\napi_url = \"{api_url}\"\niam_url = \"{iam_url}\"\n\
         realm = \"sandbox\"\nclient_secret = \"{secret}\"\nrequests_per_second = 0.0\n"
    );
    for (territory, secret) in &setup.territories {
        table.push_str(&format!("[providers.{name}.territories.{territory}]\nsecret = \"{secret}\"\n"));
    }
    setup.clone().with(|setup| setup.more = table)
}

#[test]
fn accounts_come_and_go_and_the_others_notice_nothing() {
    let (first, second, shop) = (sandbox(), sandbox(), FakeReceiver::start());
    let alone = Setup::new(&first).webhook(&shop);
    let both = with_account(&alone, "second", &second);
    let site = alone.install();
    site.track("A", order(&first, "A"));
    let daemon = Daemon::spawn(&site);
    first.wait_for(|request| request.endpoint == Endpoint::Status, PATIENCE).expect("it is asked");
    site.configure(&both);
    daemon.reload();
    daemon.wait_for_log("changed=providers.second (new)");
    let id = order(&second, "B").to_string();
    second.renew("B", None).unwrap();
    let narrow = ["--provider", "second", "--territory", "eu", "--generation", "0"];
    site.command(&[&["track", "B", &id], &narrow[..]].concat()).expect_code(0);
    assert_eq!(number(&shop.next_message()), "B-1", "the new account is working");

    // Taken away while a request hangs.
    second.fault(Fault::new(FaultKind::Hold).at(Endpoint::Order));
    second.renew("B", None).unwrap();
    site.command(&["poll", "B"]).expect_code(0);
    let is_held = |request: &Request| request.partner_order_number.as_deref() == Some("B-2");
    second.wait_for(is_held, PATIENCE).expect("order data is asked for");
    site.configure(&alone);
    daemon.reload();
    first.renew("A", None).unwrap();
    site.command(&["poll", "A"]).expect_code(0);
    assert_eq!(number(&shop.next_message()), "A-1", "the other one goes on");
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
    assert_eq!(number(&shop.next_message()), "B-2");
    wait_until_delivered(&site, 3);
    daemon.terminate();
    daemon.wait().expect_code(0);
    assert_eq!(shop.messages().len(), 3);
    assert_eq!(asked(&first, Endpoint::Token), 1, "nothing was changed about the first");
}

#[test]
fn a_rotated_signing_secret_signs_from_then_on() {
    const ROTATED: &str = "whsec_cm90YXRlZC1yb3RhdGVkLXJvdGF0ZWQtcm90YXRlZA==";
    let (sandbox, shop) = (sandbox(), FakeReceiver::start());
    let site = Setup::new(&sandbox).webhook(&shop).install();
    site.track("A", order(&sandbox, "A"));
    sandbox.renew("A", None).unwrap();
    let daemon = Daemon::spawn(&site);
    assert!(!shop.next_message().is_signed_with(ROTATED));
    fs::write(site.path("secrets/signing"), ROTATED).unwrap();
    daemon.reload();
    sandbox.renew("A", None).unwrap();
    site.command(&["poll", "A"]).expect_code(0);
    assert!(shop.next_message().is_signed_with(ROTATED));
    assert_eq!(asked(&sandbox, Endpoint::Token), 1, "the account is the same");
}

#[test]
fn a_renewed_certificate_is_loaded_and_one_that_stayed_disturbs_nobody() {
    let (first, second, shop) = (sandbox(), sandbox(), FakeReceiver::start());
    let mutual = "kind = \"redis\"\nurl = \"rediss://127.0.0.1:1\"\nca_file = \"authority.pem\"\n\
                  client_certificate_file = \"client.pem\"\nclient_key_file = \"client.key\"";
    let setup = Setup::new(&first).webhook_named("shop", &shop, "ca_file = \"server.pem\"").sink("stream", mutual);
    let rate = "requests_per_second = 0.0\n";
    let trusting = |table: String| table.replace(rate, &format!("{rate}ca_file = \"server.pem\"\n"));
    let setup = with_account(&setup, "second", &second).with(|setup| setup.more = trusting(setup.more.clone()));
    let site = setup.install();
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

/// A setup whose secret for `eu` is wrong, and a site with so many subscriptions there.
fn refused(right: &Setup, sandbox: &Sandbox, count: usize) -> Site {
    let wrong = right.clone().with(|setup| {
        setup.territories.iter_mut().filter(|(name, _)| name == "eu").for_each(|(_, secret)| *secret = "wrong".into());
    });
    let site = wrong.install();
    renewed(&site, sandbox, count);
    site
}

const REFUSED: &str = "SELECT count(*) FROM subscriptions WHERE last_outcome = 'refused'";

#[test]
fn a_corrected_secret_is_tried_at_once() {
    let (sandbox, shop) = (sandbox(), FakeReceiver::start());
    let right = Setup::new(&sandbox).webhook(&shop);
    let site = refused(&right, &sandbox, 3);
    let daemon = Daemon::spawn(&site);
    eventually("all are refused", || (site.value::<i64>(REFUSED) == 3).then_some(()));
    site.configure(&right);
    daemon.reload();
    wait_until_delivered(&site, 3);
    daemon.terminate();
    daemon.wait().expect_code(0);
}

#[test]
fn the_first_who_is_answered_brings_along_all_who_were_refused() {
    let (sandbox, shop) = (sandbox(), FakeReceiver::start());
    let right = Setup::new(&sandbox).webhook(&shop);
    let site = refused(&right, &sandbox, 8);
    site.command(&["once"]).expect_code(1);
    assert!(site.value::<i64>(REFUSED) >= 5, "they wait for hours");
    site.configure(&right);
    site.command(&["poll", "N0"]).expect_code(0);
    site.command(&["once"]).expect_code(0);
    wait_until_delivered(&site, 8);
    assert_eq!(site.texts("SELECT territory FROM territories"), [""; 0]);
}

#[test]
fn another_client_secret_gets_another_token() {
    let sandbox = sandbox();
    let setup = Setup::new(&sandbox);
    let site = setup.install();
    site.track("A", order(&sandbox, "A"));
    let daemon = Daemon::spawn(&site);
    eventually("it is asked", || (site.texts("SELECT last_outcome FROM subscriptions") == ["ok"]).then_some(()));
    site.configure(&setup.clone().with(|setup| setup.client_secret = "of somebody else".to_owned()));
    daemon.reload();
    site.command(&["poll", "A"]).expect_code(0);
    daemon.wait_for_log("provider does not accept our credentials");
    site.configure(&setup);
    daemon.reload();
    daemon.wait_for_log("provider answers again");
    assert!(!daemon.stderr().contains("of somebody else"));
}

#[test]
fn a_bad_file_changes_nothing_and_tells_all_its_mistakes() {
    let (sandbox, shop) = (sandbox(), FakeReceiver::start());
    let site = Setup::new(&sandbox).webhook(&shop).install();
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
    site.track("A", order(&sandbox, "A"));
    sandbox.renew("A", None).unwrap();
    assert_eq!(number(&shop.next_message()), "A-1");
}

#[test]
fn missing_secrets_are_all_named_at_the_start() {
    let (sandbox, shop) = (sandbox(), FakeReceiver::start());
    let site = Setup::new(&sandbox).webhook(&shop).install();
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
    let sandbox = sandbox();
    let site = Setup::new(&sandbox).install();
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
    let (sandbox, shop) = (sandbox(), FakeReceiver::start());
    let setup = Setup::new(&sandbox).webhook(&shop);
    let site = setup.install();
    renewed(&site, &sandbox, 60);
    let daemon = Daemon::spawn(&site);
    shop.next_message();
    site.configure(&setup.every("5h"));
    daemon.signal("HUP", 200);
    daemon.signal("USR1", 20);
    wait_until_delivered(&site, 60);
    daemon.wait_for_log("settings reloaded");
    assert_eq!((shop.messages().len(), ids(&shop.messages()).len()), (60, 60));
    let reloads = daemon.stderr().matches("reading the settings again").count();
    assert!(reloads < 100, "{reloads} reloads");
    daemon.terminate();
    daemon.wait().expect_code(0);
}

#[test]
fn a_signal_asks_at_once_for_what_is_due() {
    let sandbox = sandbox();
    let site = Setup::new(&sandbox).install();
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("started");
    site.track("A", order(&sandbox, "A"));
    daemon.signal("USR1", 1);
    sandbox.wait_for(|request| request.endpoint == Endpoint::Status, PATIENCE).expect("it is asked");
    daemon.wait_for_log("everything that is due is asked for now");
}
