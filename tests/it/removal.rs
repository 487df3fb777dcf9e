//! Payloads and customers removed by hand: gone from every file, with the daemon running beside; the ledger stays.

use std::fs;

use rusqlite::Connection;
use serde_json::json;

use crate::fake_receiver::Answer;
use crate::harness::{Daemon, HOUR, Installation, PATIENCE, Site, Track, eventually, keys};
use crate::http::Endpoint;
use crate::queue::ids;

/// The files that hold these bytes: the database, its log, and a backup made now.
pub fn holding(site: &Installation, needle: &str) -> Vec<String> {
    let backup = site.path("backup.db");
    fs::remove_file(&backup).ok();
    let db = Connection::open(site.database()).unwrap();
    db.busy_timeout(PATIENCE).unwrap();
    db.execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    let files = ["renewald.db", "renewald.db-wal", "renewald.db-shm", "backup.db"];
    let holds = |name: &&str| {
        let bytes = fs::read(site.path(name)).unwrap_or_default();
        bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
    };
    files.into_iter().filter(holds).map(str::to_owned).collect()
}

const CUSTOMER: &str = "ms-canary@customer.example";

/// Two subscriptions with one delivered renewal each; the number and the key of the one that is about the canary.
fn with_a_customer() -> (Site, String) {
    let site = Site::new();
    let metadata = json!({"email": CUSTOMER}).to_string();
    site.order_as("CANARY-NUMBER", |track| Track { metadata: &metadata, ..track });
    site.renew("CANARY-NUMBER");
    site.renewed("OTHER");
    site.catch_up();
    let key = site.messages().iter().filter(|message| message.body.contains("CANARY")).flat_map(keys).next().unwrap();
    (site, key)
}

#[test]
fn a_forgotten_customer_is_in_no_file_while_the_daemon_runs() {
    let (site, key) = with_a_customer();
    let message = site.messages().into_iter().find(|message| message.body.contains("CANARY")).unwrap();
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("started");
    for needle in [CUSTOMER, &key, "CANARY-NUMBER"] {
        assert!(holding(&site, needle).contains(&"backup.db".to_owned()), "{needle}");
    }
    let finished = site.command(&["untrack", "CANARY-NUMBER", "--forget", "--json"]).expect_code(0);
    let answer = finished.json();
    assert_eq!((&answer["file_clean"], &answer["log_clean"]), (&json!(true), &json!(true)));
    assert!(finished.stderr.contains("forgot a subscription") && !finished.stderr.contains("CANARY"), "{finished:?}");
    for needle in [CUSTOMER, &key, "CANARY-NUMBER"] {
        assert_eq!(holding(&site, needle), Vec::<String>::new(), "{needle}");
    }
    // The ledger: whoever knows the message's id learns when it was delivered, and which keys by their hash.
    let ledger = site.command(&["queue", "show", &message.id, "--json"]).expect_code(0).json();
    let entry = &ledger["forgotten"][0];
    assert_eq!((entry["sink"].as_str(), entry["generation"].as_i64()), (Some("shop"), Some(1)), "{ledger}");
    assert!(entry["delivered_at"].is_string() && entry["keys_hash"].as_str().unwrap().len() == 64, "{ledger}");
    assert!(site.command(&["queue", "show", &message.id]).expect_code(0).stdout.contains("forgotten"));
    site.command(&["explain", "CANARY-NUMBER"]).expect_code(65);
    // The others are as they were, and the daemon goes on.
    assert_eq!(site.texts("SELECT partner_order_number FROM subscriptions"), ["OTHER"]);
    site.command(&["queue", "replay", "--sink", "shop"]).expect_code(0);
    std::iter::repeat_with(|| site.next_message()).take(3).for_each(drop);
    daemon.drain();
}

#[test]
fn a_log_that_somebody_reads_is_told_of_and_emptied_later() {
    let (site, key) = with_a_customer();
    let reader = Connection::open(site.database()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM messages").unwrap();
    let finished = site.command(&["untrack", "CANARY-NUMBER", "--forget", "--json"]).expect_code(75);
    assert!(finished.stderr.contains("another process") && finished.stderr.contains("purge --finish"), "{finished:?}");
    let answer = finished.json();
    assert_eq!((&answer["outcome"], &answer["log_clean"]), (&json!("forgotten"), &json!(false)));
    drop(reader);
    let finished = site.command(&["queue", "purge", "--finish"]).expect_code(0);
    assert!(finished.stdout.contains("no copy is left"), "{finished:?}");
    assert_eq!(holding(&site, &key), Vec::<String>::new());
}

#[test]
fn a_purge_removes_the_payload_and_keeps_the_row() {
    let (site, key) = with_a_customer();
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("started");
    let message = site.messages().into_iter().find(|message| message.body.contains("CANARY")).unwrap();
    let purge = ["queue", "purge", "--subscription", "CANARY-NUMBER"];
    site.command(&purge).expect_code(64); // nobody is there to be asked
    let dry = site.command(&[&purge[..], &["--dry-run", "--json"]].concat()).expect_code(0).json();
    assert_eq!(ids(&dry["items"]), [message.id.as_str()]);
    assert!(!holding(&site, &key).is_empty());
    let finished = site.command(&[&purge[..], &["--yes", "--json"]].concat()).expect_code(0);
    assert_eq!(finished.json()["purged"], 1);
    assert!(finished.stderr.contains("purged the payloads of 1 message"), "{finished:?}");
    assert_eq!(holding(&site, &key), Vec::<String>::new());
    let shown = site.command(&["queue", "show", &message.id, "--json"]).expect_code(0).json();
    assert!(shown["message"]["wiped_at"].is_string() && shown["message"]["keys_hash"].is_string(), "{shown}");
    assert_eq!(shown["dispatches"][0]["state"], "delivered");
    let nothing = site.command(&[&purge[..], &["--yes"]].concat()).expect_code(0);
    assert!(nothing.stdout.contains("no payload to remove"), "{nothing:?}");
    site.command(&["queue", "purge"]).expect_code(64);
    site.command(&["queue", "purge", "--before", "1d", "--yes"]).expect_code(0);
    assert_eq!(site.value::<i64>("SELECT count(*) FROM messages WHERE body IS NOT NULL"), 1, "that is too new");
    daemon.drain();
}

/// An alert on the metric must end once a person has done with what is dead, and `dead_retention` ends it too.
#[test]
fn the_dead_that_are_purged_are_counted_no_more() {
    let site = Site::new();
    site.receiver.answer(Answer::Status(422));
    let (daemon, endpoint) = Endpoint::start(&site, "");
    site.renewed("DEAD");
    daemon.wait_for_log("not delivered");
    site.execute("UPDATE dispatches SET state = 'dead', dead_at = unixepoch()");
    let dead = |count: u32| {
        let line = format!("renewald_dispatches{{sink=\"shop\",state=\"dead\"}} {count}\n");
        eventually(&line, || endpoint.get("/metrics").body.contains(&line).then_some(()));
    };
    dead(1);
    site.command(&["queue", "purge", "--sink", "shop", "--state", "dead", "--yes"]).expect_code(0);
    dead(0);
    assert_eq!(site.texts("SELECT state FROM dispatches"), ["dead"], "the ledger stays");
    daemon.drain();
}

#[test]
fn what_nobody_has_received_is_purged_only_on_purpose() {
    let site = Site::new();
    site.receiver.answer(Answer::Status(422));
    site.renewed_all(&["DEAD", "PENDING"]);
    site.work().pass(site.now());
    let of = |number: &str| site.messages().into_iter().find(|m| m.body.contains(number)).unwrap().id;
    let (dead, pending) = (of("DEAD"), of("PENDING"));
    site.execute(&format!(
        "UPDATE dispatches SET state = 'dead', dead_at = 1 WHERE message = (SELECT seq FROM messages WHERE id = '{dead}')"
    ));
    let purge = |arguments: &[&str], code| {
        let finished = site.command(&[&["queue", "purge", "--yes", "--json"], arguments].concat()).expect_code(code);
        let answer = finished.json();
        (ids(&answer["items"]).join(" "), ids(&answer["kept"]).join(" "))
    };
    assert_eq!(purge(&[&dead, &pending], 1), (String::new(), format!("{dead} {pending}")));
    assert_eq!(purge(&["--sink", "shop", "--state", "dead"], 0), (dead.clone(), String::new()), "said so by the state");
    assert_eq!(purge(&["--sink", "shop", "--undelivered"], 0), (pending.clone(), String::new()));
    let told = site.texts("SELECT state || ' ' || last_error FROM dispatches WHERE dead_at > 1");
    assert_eq!(told, ["dead purged"]);
    let status = site.command(&["status", "--json"]).expect_code(0).json();
    assert_eq!(status["sinks"][0]["dead"], 0, "nobody needs to look at them any more");
    site.receiver.answer(Answer::Status(200));
    site.let_pass(5 * HOUR);
    site.catch_up();
    assert!(site.messages().len() == 2, "nothing is left to send");
    let retried = site.command(&["queue", "retry", &pending]).expect_code(65);
    assert!(retried.stderr.contains("refetch"), "{retried:?}");
}
