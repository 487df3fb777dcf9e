//! The Redis sink against a private Redis server, read back by redis-cli.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use renewald::clock::Timestamp;
use renewald::sandbox::nexway_connect::NewOrder;

use crate::harness::{DAY, Daemon, Finished, HOUR, Installation, Setup, Site, Track, eventually, keys_of};
use crate::nexway_connect::new_order;
use crate::queued::{assert_complete, documented_example, thousand, wait_for_delivered};
use crate::servers::authority::Authority;
use crate::servers::redis::{Entry, Redis};

const PASSWORD: &str = "CANARY-redis-password";
const CUSTOMER: &str = "CANARY-customer";

fn site(table: &str) -> Site {
    Site::without_sink_and(|setup| {
        setup.log_level = "trace";
        set(setup, table);
    })
}

fn set(setup: &mut Setup, table: &str) {
    setup.set_sink("stream", &format!("kind = \"redis\"\n{table}"));
}

fn at(redis: &Redis, more: &str) -> String {
    format!("url = \"{}\"\n{more}", redis.url())
}

/// One renewed subscription, `A`.
fn renewed(site: &Site) -> i64 {
    let metadata = format!("{{\"customer\": \"{CUSTOMER}\"}}");
    let id = site.order_as("A", |track| Track { metadata: &metadata, ..track });
    site.renew("A");
    id
}

fn secret(site: &Installation, name: &str, secret: &str) {
    fs::write(site.path("secrets").join(name), secret).unwrap();
}

fn numbers(entries: &[Entry]) -> Vec<(String, String)> {
    let number = |entry: &Entry| entry.body()["data"]["partner_order_number"].as_str().unwrap().to_owned();
    entries.iter().map(|entry| (entry.field("id").to_owned(), number(entry))).collect()
}

fn last_error(site: &Installation) -> String {
    site.value("SELECT coalesce(last_error, '') FROM sinks")
}

fn attempts(site: &Installation) -> i64 {
    site.value("SELECT sum(attempts) FROM dispatches")
}

/// Those that counted against the messages of one order.
fn attempts_of(site: &Installation, number: &str) -> i64 {
    site.value(&format!(
        "SELECT max(attempts) FROM dispatches d JOIN subscriptions s ON s.id = d.subscription
         WHERE s.partner_order_number = '{number}' AND d.state = 'pending'"
    ))
}

fn assert_no_canary(finished: &Finished, keys: &[String]) {
    for canary in [PASSWORD, CUSTOMER].into_iter().chain(keys.iter().map(String::as_str)) {
        assert!(!finished.stderr.contains(canary) && !finished.stdout.contains(canary), "{canary}: {finished:?}");
    }
}

#[test]
fn the_readmes_example_puts_a_renewal_into_the_stream() {
    let Some(redis) = Redis::new() else { return };
    redis.cli(&["ACL", "SETUSER", "renewald", "on", &format!(">{PASSWORD}"), "~renewals", "+xadd"]);
    let example = documented_example("redis").replace("rediss://redis.example:6379", &redis.url());
    let site = site(&example.replace("kind = \"redis\"\n", ""));
    secret(&site, "redis-password", PASSWORD);
    let id = renewed(&site);
    let checked = site.command(&["check", "--online"]).expect_code(0);
    assert!(checked.stdout.contains("sink stream: would take messages"), "{checked:?}");
    assert_eq!(redis.length("renewals"), 0, "a check adds nothing");
    let finished = site.catch_up();

    let entries = redis.entries("renewals");
    let fields: Vec<_> = entries[0].fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((entries.len(), fields), (1, vec!["id", "type", "body"]));
    assert_eq!(entries[0].field("type"), "renewald.renewal.ready.v1");
    assert_eq!(entries[0].field("id"), entries[0].body()["id"]);
    assert!(entries[0].field("body").contains(CUSTOMER), "where it belongs");
    let keys = site.sandbox.expected_keys("A-1", id);
    assert_eq!(keys_of(&entries[0].body()), keys);
    assert_eq!(site.texts("SELECT CAST(body AS TEXT) FROM messages"), [entries[0].field("body")], "byte for byte");
    assert_no_canary(&finished, &keys);
    assert_no_canary(&checked, &keys);
}

#[test]
fn a_server_killed_among_a_thousand_messages_loses_none() {
    let Some(mut redis) = Redis::new() else { return };
    let site = site(&at(&redis, "concurrency = 2"));
    site.change(|setup| setup.log_level = "info");
    thousand(&site);
    let daemon = Daemon::spawn(&site);
    eventually("some have arrived", || (redis.length("renewald") >= 50).then_some(()));
    redis.stop();
    daemon.wait_for_log("sink is in trouble");
    assert!(site.delivered() < 1000, "it was killed among them");
    redis.start();
    wait_for_delivered(&site, 1000);
    daemon.drain();
    assert_complete(&numbers(&redis.entries("renewald")));
}

#[test]
fn the_stream_may_be_named_by_what_a_message_is_about() {
    let Some(redis) = Redis::new() else { return };
    let site = site(&at(&redis, "stream = \"r:{provider}:{territory}:{type}\"\nmax_len = 1000"));
    renewed(&site);
    let checked = site.command(&["check", "--online"]).expect_code(0);
    assert!(checked.stdout.contains("max_len: Redis trims the oldest entries, read or not"), "{checked:?}");
    site.catch_up();
    assert_eq!(redis.length("r:nexway:eu:renewald.renewal.ready.v1"), 1);
}

/// Servers with a `timeout` close connections that say nothing for so long.
#[test]
fn a_connection_closed_while_it_was_idle_delays_nothing() {
    let Some(redis) = Redis::new() else { return };
    let site = site(&at(&redis, ""));
    renewed(&site);
    let (mut work, begin) = (site.work(), site.now());
    assert_eq!(work.pass(begin).1.delivered, 1);
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    site.renew("A");
    let (_, report) = work.pass(begin + DAY);
    assert_eq!((report.delivered, report.blocked), (1, false), "{}", last_error(&site));
    assert_eq!(redis.length("renewald"), 2);
}

/// What is one message's trouble every time, while others are taken, is no longer the sink's.
#[test]
fn a_message_that_is_never_taken_holds_up_no_other() {
    let Some(redis) = Redis::new() else { return };
    let site = site(&at(&redis, "stream = \"renewals.{territory}\""));
    redis.cli(&["SET", "renewals.us", "by another"]);
    let order = NewOrder { territory: "us".to_owned(), ..NewOrder::new("U") };
    let id = new_order(&site.sandbox, order)[0];
    site.track_all([Track { territory: "us", ..Track::new("U", id) }]);
    renewed(&site);
    site.renew("U");
    let (mut work, begin) = (site.work(), site.now());
    work.pass(begin);
    for day in 1..=6 {
        site.renew("A");
        let now = begin + day * DAY;
        work.pass(now);
        // A probe that met the one that is not taken is made again soon.
        for hours in 1..=2 {
            work.relay(now + hours * HOUR);
        }
        assert_eq!(redis.length("renewals.eu"), 1 + usize::try_from(day).unwrap());
    }
    assert!(attempts_of(&site, "U") >= 2, "they count by now: {}", attempts_of(&site, "U"));
    redis.cli(&["DEL", "renewals.us"]);
    work.relay(begin + 8 * DAY);
    assert_eq!(redis.length("renewals.us"), 1);
}

#[test]
fn a_socket_and_another_database_will_do() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("redis.sock").display().to_string();
    let arguments = |port: u16| ["--port", &port.to_string(), "--unixsocket", &socket].map(str::to_owned).to_vec();
    let Some(redis) = Redis::with(arguments) else { return };
    let by_number = format!("kind = \"redis\"\nurl = \"{}/3\"", redis.url());
    let by_socket = format!("url = \"unix://{socket}\"");
    let site = site(&by_socket);
    site.change(|setup| setup.set_sink("other", &by_number));
    renewed(&site);
    site.catch_up();
    assert_eq!(redis.length("renewald"), 1);
    assert_eq!(redis.cli(&["-n", "3", "XLEN", "renewald"]), "1");
}

/// Relays once; the sink must be blocked for this reason, and the message lose no attempt.
fn assert_blocked(site: &Installation, now: Timestamp, reason: &str) {
    let (_, report) = site.work().pass(now);
    assert_eq!((report.delivered, report.dead, report.blocked), (0, 0, true));
    let error = last_error(site);
    assert!(error.contains(reason), "{error}");
    assert_eq!(attempts(site), 0);
    let checked = site.command(&["check", "--online"]).expect_code(1);
    assert!(checked.stdout.contains(reason), "{checked:?}");
    assert_no_canary(&checked, &[]);
}

#[test]
fn a_server_that_takes_no_writes_is_the_sinks_trouble() {
    let Some(redis) = Redis::new() else { return };
    let site = site(&at(&redis, ""));
    renewed(&site);
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_blocked(&site, site.now(), "answered OOM: its memory is full");
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(site.work().relay(site.now() + HOUR).delivered, 0);
    assert!(last_error(&site).contains("answered READONLY: it is a replica"), "{}", last_error(&site));
    redis.cli(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(site.work().relay(site.now() + 2 * HOUR).delivered, 1, "the same process needs no restart either");
    assert_eq!(redis.length("renewald"), 1);
}

#[test]
fn a_key_of_another_type_is_the_sinks_trouble() {
    let Some(redis) = Redis::new() else { return };
    let site = site(&at(&redis, "stream = \"taken\""));
    renewed(&site);
    redis.cli(&["SET", "taken", "by another"]);
    let (_, report) = site.work().pass(site.now());
    assert_eq!((report.delivered, report.blocked, attempts(&site)), (0, true, 0));
    assert!(last_error(&site).contains("WRONGTYPE"), "{}", last_error(&site));
    let checked = site.command(&["check", "--online"]).expect_code(1);
    assert!(checked.stdout.contains("the key \"taken\" holds a \"string\", not a stream"), "{checked:?}");
    redis.cli(&["DEL", "taken"]);
    assert_eq!(site.work().relay(site.now() + HOUR).delivered, 1);
}

#[test]
fn credentials_and_permissions_are_the_sinks_trouble() {
    let Some(redis) = Redis::new() else { return };
    let account = "user = \"shop\"\npassword_file = \"redis\"";
    let site = site(&at(&redis, account));
    secret(&site, "redis", PASSWORD);
    renewed(&site);
    assert_blocked(&site, site.now(), "does not accept user and password");
    let set = |rights: &[&str]| {
        redis.cli(&[&["ACL", "SETUSER", "shop", "reset", "on", &format!(">{PASSWORD}")], rights].concat());
    };
    for (rights, hours) in [(&["~*", "+ping"][..], 1), (&["~other", "+xadd"], 2)] {
        set(rights);
        assert_blocked(&site, site.now() + hours * HOUR, "answered NOPERM");
    }
    set(&["~renewald", "+xadd"]);
    assert_eq!(site.work().relay(site.now() + 3 * HOUR).delivered, 1);
    redis.cli(&["CONFIG", "SET", "requirepass", PASSWORD]);
    let anonymous = self::site(&at(&redis, ""));
    anonymous.renewed("B");
    assert_blocked(&anonymous, anonymous.now(), "answered NOAUTH: it wants a password");
}

#[test]
fn replicas_are_waited_for() {
    let Some(redis) = Redis::new() else { return };
    let site = site(&at(&redis, "wait_replicas = 1\nwait_timeout = \"1s\""));
    renewed(&site);
    assert_blocked(&site, site.now(), "0 of 1 replicas have it");
    let port = redis.port().to_string();
    let of = |own: u16| ["--port", &own.to_string(), "--replicaof", "127.0.0.1", &port].map(str::to_owned).to_vec();
    let Some(replica) = Redis::with(of) else { return };
    eventually("the replica follows", || redis.cli(&["INFO", "replication"]).contains("state=online").then_some(()));
    assert_eq!(site.work().relay(site.now() + HOUR).delivered, 1);
    let entries = replica.entries("renewald");
    assert!(entries.len() >= 2 && entries.iter().all(|entry| *entry == entries[0]), "the same id: {entries:?}");
    let checked = site.command(&["check", "--online"]).expect_code(0);
    assert!(checked.stdout.contains("would take messages"), "{checked:?}");
}

#[test]
fn an_encrypted_connection_shows_and_wants_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let Some(authority) = Authority::create(dir.path()) else { return };
    let tls = |port: u16| {
        let (certificate, key, ca) =
            (authority.file("server.pem"), authority.file("server.key"), authority.file("authority.pem"));
        let words = ["--port", "0", "--tls-port", &port.to_string(), "--tls-cert-file", &certificate];
        let more = ["--tls-key-file", &key, "--tls-ca-cert-file", &ca, "--tls-auth-clients", "yes"];
        [&words[..], &more].concat().into_iter().map(str::to_owned).collect()
    };
    let Some(mut redis) = Redis::with(tls) else { return };
    let file = |name: &str| authority.file(name);
    let words =
        ["--tls", "--cacert", &file("authority.pem"), "--cert", &file("client.pem"), "--key", &file("client.key")];
    redis.client_arguments = words.map(str::to_owned).to_vec();
    let url = format!("url = \"rediss://localhost:{}\"\n", redis.port());
    let ca = format!("{url}ca_file = \"{}\"\n", file("authority.pem"));
    let client = format!(
        "{ca}client_certificate_file = \"{}\"\nclient_key_file = \"{}\"",
        file("client.pem"),
        file("client.key")
    );
    let site = site(&url);
    renewed(&site);
    assert_blocked(&site, site.now(), "UnknownIssuer");
    site.change(|setup| set(setup, &ca));
    assert_eq!(site.work().relay(site.now() + HOUR).delivered, 0, "a client certificate is wanted");
    site.change(|setup| set(setup, &client));
    assert_eq!(site.work().relay(site.now() + 2 * HOUR).delivered, 1);
    assert_eq!(redis.length("renewald"), 1);
}

#[test]
fn a_server_that_never_answers_costs_the_timeout() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(); // the kernel connects, and nobody reads
    let table = format!("kind = \"redis\"\nurl = \"redis://{}\"", silent.local_addr().unwrap());
    let site = Site::with_sink("stream", &table);
    site.change(|setup| setup.sink_timeout = "1s");
    renewed(&site);
    let (_, report) = site.work().pass(site.now());
    assert_eq!((report.delivered, report.blocked, attempts(&site)), (0, true, 0));
    assert!(
        last_error(&site).contains(&format!("no answer within {:?}", Duration::from_secs(1))),
        "{}",
        last_error(&site)
    );
}

#[test]
fn mistakes_in_its_settings_are_named() {
    let refused = |table: &str| site(table).command(&["check"]).expect_code(78).stderr;
    for (table, part) in [
        ("", "url: missing; give the server's address"),
        ("url = \"http://h\"", "url: must begin with rediss://, redis:// or unix://"),
        ("url = \"redis://u:CANARY-x@h\"", "url: must not hold a user name or password"),
        ("url = \"redis://h/zero\"", "url: after the host only the database's number may follow"),
        ("url = \"redis://h:99999\"", "url: not a URL"),
        (
            "url = \"redis://h\"\nstream = \"{teritory}\"",
            "stream: unknown placeholder \"{teritory}\"; known are {type}, {provider}, {territory}",
        ),
        ("url = \"redis://h\"\nuser = \"u\"", "password_file: missing; user needs a password"),
        ("url = \"redis://h\"\nca_file = \"ca.pem\"", "url: is not encrypted, but certificates are given"),
        ("url = \"rediss://h\"\nclient_certificate_file = \"c.pem\"", "client_key_file: missing"),
        ("url = \"redis://h\"\nwait_replica = 1", "wait_replica: unknown key; did you mean \"wait_replicas\"?"),
        ("url = \"redis://h\"\nwait_replicas = -1", "wait_replicas: must be a whole number from 0 to 100"),
        ("url = \"redis://h\"\nmax_len = 0", "max_len: must be a whole number from 1"),
        ("url = \"redis://h\"\ncommand = [\"/x\"]", "command: a key of kind \"exec\"; this sink is of kind \"redis\""),
    ] {
        let stderr = refused(table);
        assert!(stderr.contains(&format!("sinks.stream.{part}")), "{table}: {stderr}");
        assert!(!stderr.contains("CANARY"), "{stderr}");
    }
    let site = site("url = \"redis://redis.example\"\nwait_replicas = 1\nwait_timeout = \"15s\"");
    let checked = site.command(&["check"]).expect_code(1);
    assert!(checked.stdout.contains("url: redis:// sends the password and licence keys in plain text"), "{checked:?}");
    assert!(checked.stdout.contains("wait_timeout must be shorter than timeout"), "{checked:?}");
}
