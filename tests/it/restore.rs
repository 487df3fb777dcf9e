//! A backup in the place of the database: what is kept, what comes again, and what is refused with nothing changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::fake_receiver::Answer;
use crate::harness::{DAY, Daemon, Finished, Installation, Setup, Site};

/// The files of a database and all that is kept of others, with what they hold. The locks are empty and stay.
fn files(site: &Installation) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(site.path("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_ours = |name: &String| name.contains("renewald.db") && !name.ends_with("lock") && !name.ends_with("-shm");
    let of_ours = entries.filter(|name| is_ours(name) && !name.contains(".sock"));
    of_ours.map(|name| (name.clone(), fs::read(site.path(&name)).unwrap())).collect()
}

fn restore(site: &Installation, more: &[&str]) -> Finished {
    site.command(&[&["restore", "copy.db", "--yes"], more].concat())
}

fn numbers(items: &Value) -> Vec<&str> {
    items.as_array().unwrap().iter().map(|item| item["partner_order_number"].as_str().unwrap()).collect()
}

/// With a copy of a database in which A is tracked, and one after it in which B is tracked too.
fn with_copy() -> Site {
    let site = Site::without_sink_and(Setup::one_territory);
    site.track("A", 1);
    site.command(&["backup", "copy.db"]).expect_code(0);
    site.track("B", 2);
    site
}

fn tracked(site: &Installation) -> Vec<String> {
    site.texts("SELECT partner_order_number FROM subscriptions ORDER BY 1")
}

#[test]
fn renewals_since_the_backup_come_again_under_their_ids_and_what_it_lacks_is_named() {
    let site = Site::with(Setup::one_territory);
    site.order_all(&["A", "C"]);
    site.renew("A");
    site.catch_up();
    site.command(&["backup", "copy.db"]).expect_code(0);
    site.renew("A");
    site.let_pass(DAY);
    site.catch_up();
    site.order("B");
    site.command(&["untrack", "C", "--forget"]).expect_code(0);
    let before = site.messages();
    assert_eq!(site.numbers(), ["A-1", "A-2"]);

    let answer = restore(&site, &["--json"]).expect_code(0).json();
    assert_eq!((numbers(&answer["missing"]), numbers(&answer["returning"])), (vec!["B"], vec!["C"]));
    assert_eq!((&answer["holds"]["subscriptions"], &answer["holds"]["messages"]), (&json!(2), &json!(1)));
    assert_eq!(fs::metadata(site.database()).unwrap().permissions().mode() & 0o777, 0o600);
    site.command(&["check"]).expect_code(0);
    site.let_pass(DAY);
    site.catch_up();
    assert_eq!(site.numbers(), ["A-1", "A-2", "A-2"]);
    assert_eq!(site.messages()[2].id, before[1].id, "whoever has it already drops it");

    // What it says brings back the missing one.
    let kept = answer["kept"].as_str().unwrap();
    let elsewhere = ["env", &format!("RENEWALD__STORE__PATH={kept}")];
    site.start_through(&elsewhere, &["export", "-o", "since.jsonl"]).wait().expect_code(0);
    site.command(&["import", "since.jsonl"]).expect_code(0);
    assert_eq!(tracked(&site), ["A", "B", "C"]);
}

#[test]
fn under_a_daemon_nothing_is_restored() {
    let site = Site::with(Setup::one_territory);
    let id = site.order("A");
    site.command(&["backup", "copy.db"]).expect_code(0);
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("started");
    let names = |site: &Installation| files(site).into_keys().collect::<Vec<_>>();
    let before = names(&site);
    let refused = restore(&site, &[]).expect_code(75).stderr;
    assert!(refused.contains("another renewald works on") && refused.contains("stop it"), "{refused}");
    assert_eq!(names(&site), before);
    site.renew("A");
    site.command(&["poll", &id.to_string()]).expect_code(0);
    site.next_message();
    daemon.drain().expect_code(0);
}

/// An open connection would go on with the log of another file.
#[test]
fn beside_any_process_that_has_it_open_nothing_is_restored() {
    let site = with_copy();
    let before = fs::read(site.database()).unwrap();
    let open = Connection::open(site.database()).unwrap();
    open.query_row("SELECT count(*) FROM subscriptions", [], |_| Ok(())).unwrap();
    restore(&site, &[]).expect_code(75);
    // The same where SQLite cannot tell. By another process: one that closes the file gives up all its locks on it.
    let damage = ["if=/dev/zero", "of=renewald.db", "bs=16", "count=1", "conv=notrunc", "status=none"];
    assert!(Command::new("dd").args(damage).current_dir(site.path("")).status().unwrap().success());
    let told = restore(&site, &[]).expect_code(75).stderr;
    assert!(told.contains("is damaged") && told.contains("another renewald works on"), "{told}");
    drop(open);
    let damaged = fs::read(site.database()).unwrap();
    assert!(damaged[..16] == [0; 16] && damaged[16..] == before[16..]);
    restore(&site, &[]).expect_code(0);
    assert_eq!(tracked(&site), ["A"]);
}

#[test]
fn what_is_no_whole_backup_is_refused_and_nothing_changed() {
    let site = with_copy();
    let whole = fs::read(site.path("copy.db")).unwrap();
    let changed = |change: fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        bytes
    };
    let foreign = site.path("foreign");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE accounts (id INTEGER)").unwrap();
    let before = files(&site);
    let refused: [(Vec<u8>, i32, &str); 6] = [
        (changed(|bytes| bytes[8192..12_288].fill(0xa5)), 65, "is damaged"),
        (changed(|bytes| bytes.truncate(20_000)), 65, "is damaged"),
        (changed(|bytes| bytes[63] = 99), 78, "install the newer one"),
        (fs::read(foreign).unwrap(), 65, "is not a renewald database"),
        (b"Dear diary".to_vec(), 65, "is not a renewald database"),
        (Vec::new(), 65, "is not a renewald database"),
    ];
    for (bytes, code, part) in refused {
        fs::write(site.path("copy.db"), bytes).unwrap();
        let told = restore(&site, &[]).expect_code(code).stderr;
        assert!(told.contains(part) && told.contains("nothing was changed"), "{told}");
        assert!(files(&site) == before, "{part}: something changed");
    }
    fs::remove_file(site.path("copy.db")).unwrap();
    let told = restore(&site, &[]).expect_code(65).stderr;
    assert!(told.contains("cannot be read"), "{told}");
    fs::write(site.path("copy.db"), whole).unwrap();
    let told = site.command(&["restore", "copy.db"]).expect_code(64).stderr;
    assert!(told.contains("--yes says"), "{told}");
    site.command(&["restore", "renewald.db", "--yes"]).expect_code(65);
    assert!(files(&site) == before);
    assert_eq!(tracked(&site), ["A", "B"]);
}

#[test]
fn somebody_elses_database_is_not_replaced() {
    let site = with_copy();
    ["renewald.db", "renewald.db-wal", "renewald.db-shm"]
        .iter()
        .for_each(|name| drop(fs::remove_file(site.path(name))));
    Connection::open(site.database()).unwrap().execute_batch("CREATE TABLE accounts (id INTEGER)").unwrap();
    let before = files(&site);
    let told = restore(&site, &[]).expect_code(78).stderr;
    assert!(told.contains("another program's database"), "{told}");
    assert!(files(&site) == before);
}

#[test]
fn a_damaged_database_is_kept_as_it_is_with_its_log() {
    let site = with_copy();
    site.command(&["export", "-o", "since.jsonl"]).expect_code(0);
    // As who copies a backup there and forgets the log.
    let open = Connection::open(site.database()).unwrap();
    open.execute_batch("PRAGMA wal_autocheckpoint = 0; UPDATE subscriptions SET due_at = due_at + 1").unwrap();
    let log = fs::read(site.path("renewald.db-wal")).unwrap();
    drop(open);
    let copy = fs::read(site.path("copy.db")).unwrap();
    fs::write(site.database(), &copy).unwrap();
    fs::write(site.path("renewald.db-wal"), &log).unwrap();
    site.command(&["status"]).expect_code(70);

    let told = restore(&site, &["--export", "since.jsonl"]).expect_code(0);
    for part in [
        "is damaged",
        "1 subscription tracked since",
        "  B, subscription 2 (nexway/eu)",
        "`renewald import since.jsonl`",
    ] {
        assert!(told.stderr.contains(part), "{part}: {told:?}");
    }
    let kept: Vec<_> = files(&site).into_iter().filter(|(name, _)| name.starts_with("renewald.db.")).collect();
    assert!(kept[0].1 == copy && kept[1].1 == log && kept[1].0 == format!("{}-wal", kept[0].0), "{:?}", kept.len());
    assert!(told.stdout.contains(&kept[0].0), "{told:?}");
    site.command(&["check"]).expect_code(0);

    // Nothing but rubbish, and nothing at all.
    fs::write(site.database(), "Dear diary").unwrap();
    let told = restore(&site, &[]).expect_code(0).stderr;
    assert!(told.contains("cannot be told"), "{told}");
    fs::remove_file(site.database()).unwrap();
    let answer = restore(&site, &["--json"]).expect_code(0).json();
    assert_eq!((&answer["kept"], &answer["missing"]), (&Value::Null, &Value::Null));
    assert_eq!(tracked(&site), ["A"]);
}

#[test]
fn a_copy_that_has_a_log_is_restored_with_it_and_stays_as_it_is() {
    let site = with_copy();
    let open = Connection::open(site.database()).unwrap();
    open.execute_batch(
        "PRAGMA wal_autocheckpoint = 0; UPDATE subscriptions SET partner_order_number = 'LOGGED' WHERE id = 1",
    )
    .unwrap();
    for (from, to) in [("renewald.db", "copy.db"), ("renewald.db-wal", "copy.db-wal")] {
        fs::copy(site.path(from), site.path(to)).unwrap();
    }
    drop(open);
    let copy = || ["copy.db", "copy.db-wal"].map(|name| fs::read(site.path(name)).unwrap());
    let before = copy();
    restore(&site, &[]).expect_code(0);
    assert_eq!(tracked(&site), ["B", "LOGGED"]);
    assert!(copy() == before);
}

/// Killed between its steps it leaves these: a part of the copy, and a second name of what is still in its place.
#[test]
fn what_a_restore_that_was_cut_off_left_hinders_nobody_and_is_removed() {
    let site = with_copy();
    fs::write(site.path(".renewald.db.restoring"), "a part").unwrap();
    fs::write(site.path(".renewald.db.restoring-wal"), "a part").unwrap();
    let second = site.path("renewald.db.2026-01-01T000000Z");
    fs::hard_link(site.database(), &second).unwrap();
    // Kept by an earlier one that came to its end.
    fs::write(site.path("renewald.db.2025-01-01T000000Z"), "kept").unwrap();
    site.track("D", 4);
    assert_eq!(tracked(&site), ["A", "B", "D"]);
    let answer = restore(&site, &["--json"]).expect_code(0).json();
    let kept = answer["kept"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let names: Vec<_> = files(&site).into_keys().collect();
    assert_eq!(names, ["renewald.db", "renewald.db.2025-01-01T000000Z", &kept]);
    assert_eq!(tracked(&site), ["A"]);
}

#[test]
fn messages_that_will_wait_for_a_key_are_told_of_before() {
    let site = Site::with(|setup| {
        setup.one_territory();
        setup.store = "encryption_key_file = \"payloads\"".to_owned();
    });
    site.command(&["keys", "generate", "secrets/payloads"]).expect_code(0);
    site.receiver.answer(Answer::Status(503));
    site.renewed("A");
    site.work().pass(renewald::clock::Timestamp::now());
    site.command(&["backup", "copy.db"]).expect_code(0);
    assert_eq!(restore(&site, &["--json"]).expect_code(0).json()["key_trouble"], json!([]));
    fs::remove_file(site.path("secrets/payloads")).unwrap();
    site.command(&["keys", "generate", "secrets/payloads"]).expect_code(0);
    let told = restore(&site, &[]).expect_code(0).stderr;
    assert!(told.contains("1 message waits: encrypted with key"), "{told}");
}
