//! Licence keys at rest: encrypted in every file, the same bytes for every receiver, and nothing lost by a key that is wrong or a
//! row that somebody has been at.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use renewald::vault::Vault;
use rusqlite::Connection;
use serde_json::json;
use uuid::Uuid;

use crate::harness::{Daemon, Installation, PATIENCE, Setup, Site, eventually, keys, keys_of};
use crate::http::{Endpoint, free_port};

/// One as base64, one as hex.
const KEY: &str = "q5j0wZVQ8kN2r7mUoXyPq0C1d3HsLb9eTgYfKiAvJzE=";
const OTHER: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
const CURRENT: &str = "encryption_key_file = \"payloads\"";

fn give(site: &Installation, name: &str, key: &str) {
    fs::write(site.path("secrets").join(name), format!("{key}\n")).unwrap();
}

/// From now on it encrypts, and has its key.
fn encrypt(site: &Installation) {
    site.change(|setup| setup.store = CURRENT.to_owned());
    give(site, "payloads", KEY);
}

/// A site that encrypts and listens, with its endpoint.
fn listening(token: &str) -> (Site, Endpoint) {
    let (site, port) = (Site::without_sink(), free_port());
    encrypt(&site);
    site.change(|setup| setup.admin = format!("listen = \"127.0.0.1:{port}\"\ntoken = \"{token}\"\nreveal = true"));
    (site, Endpoint::at(port).with_token(token))
}

/// Orders that were renewed once, or as often as it says, tracked.
fn renewed(site: &Site, orders: &[(&str, u32)]) {
    for (number, times) in orders {
        site.order(number);
        site.sandbox.renew_times(number, None, *times).unwrap();
    }
}

fn id_of(site: &Installation, number: &str, generation: i64) -> String {
    site.value(&format!(
        "SELECT m.id FROM messages m JOIN subscriptions s ON s.id = m.subscription
         WHERE s.partner_order_number = '{number}' AND m.generation = {generation}"
    ))
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|part| part == needle.as_bytes())
}

/// Database, log and a backup.
fn files(site: &Installation, backup: &str) -> Vec<u8> {
    let copy = site.path(backup);
    site.command(&["backup", copy.to_str().unwrap(), "--verify"]).expect_code(0);
    let files = [site.database(), site.path("renewald.db-wal"), copy];
    files.iter().flat_map(|file| fs::read(file).unwrap_or_default()).collect()
}

fn change_body(site: &Installation, id: &str, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let db = Connection::open(site.database()).unwrap();
    let before: Vec<u8> = db.query_row("SELECT body FROM messages WHERE id = ?1", [id], |row| row.get(0)).unwrap();
    let mut body = before.clone();
    change(&mut body);
    db.execute("UPDATE messages SET body = ?1 WHERE id = ?2", (body, id)).unwrap();
    before
}

#[test]
fn files_hold_no_key_and_receivers_get_the_same_bytes() {
    let plain = Site::new();
    renewed(&plain, &[("A", 2), ("B", 1)]);
    let site = Site::at(plain.sandbox.clone(), Setup::webhook);
    encrypt(&site);
    ["A", "B"].iter().for_each(|number| site.track(number, plain.id_of(number)));
    let now = site.now();
    let works = [&plain, &site].map(|site| {
        let mut work = site.work();
        work.pass(now);
        work.relay(now);
        work
    });
    let bodies = |site: &Site| {
        let mut bodies: Vec<_> = site.messages().into_iter().map(|message| (message.id, message.body)).collect();
        bodies.sort();
        bodies
    };
    assert_eq!(bodies(&plain).len(), 3);
    assert_eq!(bodies(&plain), bodies(&site));
    // While both work: the logs hold everything that was written.
    let (plain_bytes, bytes) = (files(&plain, "copy.db"), files(&site, "copy.db"));
    for key in plain.messages().iter().flat_map(keys) {
        assert!(contains(&plain_bytes, &key), "what is not encrypted is found");
        assert!(!contains(&bytes, &key), "{key}");
    }
    assert!(!contains(&bytes, KEY));
    assert_eq!(site.value::<i64>("SELECT count(DISTINCT key_id) FROM messages WHERE body_bytes < length(body)"), 1);
    drop(works);
    for text in ["--json", "-vvv"] {
        let shown = site.command(&["check", text]).expect_code(0);
        assert!(!shown.stdout.contains(KEY) && shown.stdout.contains("all payloads are encrypted"), "{shown:?}");
    }
    let warned = plain.command(&["check"]).expect_code(0).stdout;
    assert!(warned.contains("warning  encryption: store.encryption_key_file is not given"), "{warned}");
}

#[test]
fn messages_wait_for_the_right_key_and_keep_their_id() {
    let port = free_port();
    let site = Site::with(|setup| setup.listen(format_args!("127.0.0.1:{port}")));
    encrypt(&site);
    renewed(&site, &[("A", 1)]);
    site.work().sweep(site.now());
    let id = id_of(&site, "A", 1);
    let endpoint = Endpoint::at(port);
    let not_ready = |part: &str| {
        let reasons = eventually("it is not ready", || {
            let answer = endpoint.get("/readyz");
            (answer.status == 503).then(|| answer.json()["reasons"].to_string())
        });
        assert!(reasons.contains(part), "{reasons}");
    };
    let key_id: String = site.value("SELECT key_id FROM messages");
    give(&site, "payloads", OTHER);
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("alert: 1 message waits: encrypted with key");
    not_ready(&format!("encrypted with key {key_id}"));
    let log = daemon.drain().stderr;
    assert_eq!(log.matches("ERROR").count(), 1, "{log}");

    fs::remove_file(site.path("secrets/payloads")).unwrap();
    let asked = site.sandbox.request_count();
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("admin endpoint is open");
    not_ready("store.encryption_key_file: there is no file");
    daemon.drain();
    assert_eq!(site.sandbox.request_count(), asked, "what it learned could not be stored");
    let refused = site.command(&["once"]).expect_code(78);
    assert!(refused.stderr.contains("there is no file"), "{refused:?}");
    let dispatch = "SELECT count(*) FROM dispatches WHERE state = 'pending' AND attempts = 0 AND last_error IS NULL";
    assert_eq!((site.messages().len(), site.value::<i64>(dispatch)), (0, 1));
    site.command(&["queue", "show", &id]).expect_code(0);
    site.command(&["list"]).expect_code(0);
    site.command(&["explain", "A"]).expect_code(0);
    site.command(&["queue", "show", &id, "--reveal"]).expect_code(78);

    give(&site, "payloads", KEY);
    let daemon = Daemon::spawn(&site);
    assert_eq!(site.next_message().id, id);
    daemon.wait_for_log("the alert is over");
    eventually("it is ready", || (endpoint.get("/readyz").status == 200).then_some(()));
}

#[test]
fn exchanged_and_damaged_rows_are_named_and_hold_up_nobody() {
    let site = Site::new();
    encrypt(&site);
    renewed(&site, &[("A", 2), ("B", 1), ("C", 1), ("D", 1), ("E", 1)]);
    site.work().sweep(site.now());
    let [a, b, c, d] = ["A", "B", "C", "D"].map(|number| id_of(&site, number, 1));
    let of_a = change_body(&site, &a, |_| {});
    let of_b = change_body(&site, &b, |body| *body = of_a.clone());
    change_body(&site, &a, |body| *body = of_b.clone());
    let of_c = change_body(&site, &c, |body| *body.last_mut().unwrap() ^= 1);
    let of_d = change_body(&site, &d, |body| body.truncate(body.len() - 16));
    let finished = site.catch_up();
    assert_eq!(site.sorted_numbers(), ["A-2", "E-1"]);
    for id in [&a, &b, &c, &d] {
        let line = finished.stderr.lines().find(|line| line.contains("ERROR") && line.contains(id.as_str()));
        assert!(line.is_some_and(|line| line.contains("is damaged")), "{}", finished.stderr);
        let told = site.command(&["queue", "show", id, "--reveal"]).expect_code(1).stderr;
        assert!(told.contains("is damaged"), "{told}");
    }
    assert_eq!(site.value::<i64>("SELECT count(*) FROM dispatches WHERE state = 'pending' AND attempts = 0"), 4);
    assert!(site.command(&["check"]).expect_code(1).stdout.contains(&c));
    // As they were, from a backup say.
    for (id, body) in [(&a, of_a), (&b, of_b), (&c, of_c)] {
        change_body(&site, id, |stored| *stored = body);
        site.command(&["queue", "retry", id]).expect_code(0);
    }
    // One cannot be brought back: its content is fetched again, under a new id.
    assert!(of_d.len() > 16);
    site.command(&["refetch", "D", "--generation", "1"]).expect_code(0);
    site.command(&["queue", "purge", &d, "--undelivered", "--yes"]).expect_code(0);
    let finished = site.catch_up();
    assert_eq!(site.sorted_numbers(), ["A-1", "A-2", "B-1", "C-1", "D-1", "E-1"]);
    assert!(site.messages().iter().any(|message| message.id == a));
    assert_eq!(finished.stderr.matches("the alert is over").count(), 4, "{}", finished.stderr);
}

/// So many more messages with the body of the one that is there.
fn copy_message(site: &Installation, count: u64) {
    let mut db = Connection::open(site.database()).unwrap();
    let body: Vec<u8> = db.query_row("SELECT body FROM messages", [], |row| row.get(0)).unwrap();
    let (vault, copying) = (Vault::without_key(), db.transaction().unwrap());
    for id in (1..=count).map(|n| Uuid::from_u64_pair(1, n)) {
        let checksum = vault.seal(id, &body).unwrap().checksum;
        let insert = "INSERT INTO messages (id, subscription, type, territory, generation, reference, queued_at, checksum, body,
                                            body_bytes, keys_hash)
                      SELECT ?1, subscription, type, territory, generation, reference, queued_at, ?2, body, body_bytes, keys_hash
                      FROM messages WHERE seq = 1";
        copying.execute(insert, (id.to_string(), checksum)).unwrap();
    }
    copying.commit().unwrap();
}

#[test]
fn a_rotation_that_was_killed_is_finished_by_the_next() {
    const MESSAGES: i64 = 3000;
    let site = Site::new();
    renewed(&site, &[("A", 1)]);
    site.work().sweep(site.now());
    copy_message(&site, MESSAGES as u64 - 1);
    site.command(&["keys", "rotate"]).expect_code(78);
    encrypt(&site);
    let rotating = site.start(&["keys", "rotate"]);
    let is_sealed = "SELECT count(*) FROM messages WHERE key_id IS NOT NULL";
    eventually("it has begun", || (site.value::<i64>(is_sealed) > 0).then_some(()));
    let db = Connection::open(site.database()).unwrap();
    db.busy_timeout(PATIENCE).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    rotating.kill();
    drop(db);
    let sealed: i64 = site.value(is_sealed);
    assert!((1..MESSAGES).contains(&sealed), "{sealed}");
    let rotated = site.command(&["keys", "rotate", "--json"]).expect_code(0).json();
    assert_eq!((rotated["rotated"].as_i64(), &rotated["file_clean"]), (Some(MESSAGES - sealed), &json!(true)));
    let bytes = files(&site, "copy.db");

    // To another key; the messages go on to be what they were.
    let first = rotated["key_id"].as_str().unwrap();
    give(&site, "payloads", OTHER);
    give(&site, "previous", KEY);
    let both = format!("{CURRENT}\nencryption_key_previous_file = \"previous\"");
    site.change(|setup| setup.store = both);
    assert!(site.command(&["check"]).expect_code(0).stdout.contains("3000 payloads are not encrypted with key"));
    site.catch_up();
    let key = keys(&site.next_message()).remove(0);
    assert!(!contains(&bytes, &key), "{key}");
    site.command(&["keys", "rotate"]).expect_code(0);
    assert_eq!(site.value::<i64>(&format!("SELECT count(*) FROM messages WHERE key_id = '{first}'")), 0);
    fs::write(site.path("secrets/previous"), format!("{}\n", "00".repeat(32))).unwrap();
    let id = id_of(&site, "A", 1);
    assert!(site.command(&["queue", "show", &id, "--reveal"]).expect_code(0).stdout.contains(&key));
    // The first key is no longer needed, and is no longer enough.
    give(&site, "payloads", KEY);
    let left = site.command(&["keys", "rotate"]).expect_code(1);
    assert!(left.stderr.contains("3000 payloads are encrypted with a key that is not given"), "{left:?}");
}

#[test]
fn consumers_of_the_queue_get_it_open() {
    let (site, endpoint) = listening("a-token-of-some-length");
    renewed(&site, &[("A", 1), ("B", 1)]);
    site.work().sweep(site.now());
    give(&site, "payloads", OTHER);
    let refused = site.command(&["queue", "pull"]).expect_code(78);
    assert!(refused.stdout.is_empty() && refused.stderr.contains("2 messages wait"), "{refused:?}");
    give(&site, "payloads", KEY);
    // Whichever of the two was answered for first.
    let pulled = site.command(&["queue", "pull", "--max", "1"]).expect_code(0).json();
    assert_eq!(keys_of(&pulled), site.expected_keys(&pulled));
    let _daemon = Daemon::spawn(&site);
    let claimed = eventually("the endpoint is open", || {
        std::net::TcpStream::connect(("127.0.0.1", endpoint.port)).ok()?;
        Some(endpoint.send("/v1/queue:claim", json!({})).expect(200).json())
    });
    let message = &claimed["messages"][0];
    assert_eq!(keys_of(&message["event"]).len(), 1);
    let path = format!("/v1/messages/{}?reveal=true", message["id"].as_str().unwrap());
    assert_eq!(endpoint.get(&path).expect(200).json()["body"], message["event"]);
}

#[test]
fn a_generated_key_is_for_its_owner_alone_and_replaces_none() {
    let site = Site::without_sink_and(|setup| setup.store = CURRENT.to_owned());
    let file = site.path("secrets/payloads");
    let generate = ["keys", "generate", file.to_str().unwrap()];
    let told = site.command(&generate).expect_code(0).stdout;
    let key = fs::read_to_string(&file).unwrap();
    assert_eq!((key.trim_end().len(), fs::metadata(&file).unwrap().permissions().mode() & 0o777), (44, 0o600));
    assert!(!told.contains(key.trim_end()));
    site.command(&generate).expect_code(73);
    assert_eq!(fs::read_to_string(&file).unwrap(), key);
    site.command(&["check"]).expect_code(0);
    for wrong in ["too-short-4711", &key.trim_end()[1..], &"g".repeat(64)] {
        give(&site, "payloads", wrong);
        let told = site.command(&["check"]).expect_code(1).stdout;
        assert!(told.contains("must be 32 bytes as base64 or hex"), "{told}");
        assert!(!told.contains(wrong), "{told}");
    }
}

/// What pulls from the built-in queue gets what can be opened; what cannot is named, and waits for the right key.
#[test]
fn the_api_names_what_it_cannot_open_and_hands_out_the_rest() {
    let (site, endpoint) = listening("a-token-of-some-length");
    renewed(&site, &[("A", 1), ("B", 1), ("C", 1)]);
    site.work().sweep(site.now());
    let [a, b, c] = ["A", "B", "C"].map(|number| id_of(&site, number, 1));
    let of_a = change_body(&site, &a, |_| {});
    change_body(&site, &b, |body| *body = of_a);
    let reveal = |id: &str| endpoint.get(&format!("/v1/messages/{id}?reveal=true"));

    give(&site, "payloads", OTHER);
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("admin endpoint is open");
    for id in [&a, &b, &c] {
        assert!(reveal(id).expect_problem(503).contains("is encrypted with key"));
        endpoint.get(&format!("/v1/messages/{id}")).expect(200);
    }
    assert_eq!(endpoint.send("/v1/queue:claim", json!({})).expect(200).json(), json!({"messages": []}), "they wait");
    let ready = endpoint.get("/readyz").expect(503).body;
    assert!(ready.contains("encrypted with key"), "{ready}");
    daemon.drain();
    let waiting = "SELECT count(*) FROM dispatches WHERE state = 'pending' AND attempts = 0";
    assert_eq!(site.value::<i64>(waiting), 3, "they lost no attempt");

    give(&site, "payloads", KEY);
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("admin endpoint is open");
    assert!(reveal(&b).expect_problem(500).contains(&format!("message {b} is damaged")));
    let claimed = endpoint.send("/v1/queue:claim", json!({})).expect(200).json();
    let claimed: Vec<_> = claimed["messages"].as_array().unwrap().iter().map(|message| message["id"].clone()).collect();
    assert!(claimed.len() == 2 && claimed.contains(&json!(a)) && claimed.contains(&json!(c)), "{claimed:?}");
    drop(daemon);
}
