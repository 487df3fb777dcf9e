//! The database file: older ones are brought up to date, newer and foreign ones are refused untouched.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;

use crate::harness::{Installation, Setup, Site, Track, number};
use crate::nexway_connect::order;

/// As released; never to be changed from then on.
const VERSION_1: &str = include_str!("../data/schema-v1.sql");

/// A file of version 1 with a subscription whose generation 1 waits for its order data.
fn version_1(path: &Path, subscription_id: i64) {
    let db = Connection::open(path).unwrap();
    db.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL").unwrap();
    db.execute_batch(VERSION_1).unwrap();
    db.execute_batch(&format!(
        "PRAGMA application_id = 0x726e7764;
         PRAGMA user_version = 1;
         INSERT INTO subscriptions (id, provider, partner_order_number, subscription_id, is_numbered, territory, generation, metadata, tracked_at,
                                    tracked_by, lane, due_at, last_asked_at, last_answer_at, last_outcome)
         VALUES (7, 'nexway', 'PARTNER689', {subscription_id}, 1, 'eu', 1, '{{\"customer\":\"C-17\"}}', 1700000000, 'import', 3,
                 1700014400, 1700000000, 1700000000, 'ok');
         INSERT INTO renewals (subscription, provider, generation, reference, detected_at, next_attempt_at)
         VALUES (7, 'nexway', 1, 'PARTNER689-1', 1700000000, 1700000010);"
    ))
    .unwrap();
}

/// What SQLite knows of tables and indices, without comments and spacing.
fn schema(path: &Path) -> Vec<(String, String, String)> {
    let db = Connection::open(path).unwrap();
    let mut statement =
        db.prepare("SELECT type, name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name").unwrap();
    let rows =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, normal(&row.get::<_, String>(2)?)))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn normal(sql: &str) -> String {
    let code = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect::<Vec<_>>().join(" ");
    code.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn pragmas(path: &Path) -> Vec<i64> {
    let db = Connection::open(path).unwrap();
    let names = ["application_id", "user_version", "auto_vacuum"];
    names.map(|name| db.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).unwrap()).to_vec()
}

#[test]
fn a_file_of_version_1_becomes_what_a_new_one_is_and_works_on() {
    let old = Site::new();
    let new = old.again();
    let id = order(&old.sandbox, "PARTNER689");
    old.renew("PARTNER689");
    version_1(&old.database(), id);
    old.catch_up();
    new.catch_up();
    let (upgraded, created) = (schema(&old.database()), schema(&new.database()));
    for (upgraded, created) in upgraded.iter().zip(&created) {
        assert_eq!(upgraded, created);
    }
    assert_eq!(upgraded.len(), created.len());
    assert_eq!(pragmas(&old.database()), pragmas(&new.database()));
    let message = old.next_message();
    assert_eq!(number(&message), "PARTNER689-1");
    assert_eq!(message.data()["subscription"]["metadata"]["customer"], "C-17");
}

/// Every command that opens the database ends with this code and leaves the file as it is.
fn is_refused_untouched(site: &Installation, code: i32) {
    let before = fs::read(site.database()).unwrap();
    fs::set_permissions(site.database(), Permissions::from_mode(0o644)).unwrap();
    for arguments in [&["run"][..], &["once"], &["once", "--cron"], &["once", "--dry-run"], &["list"]] {
        let finished = site.command(arguments).expect_code(code);
        assert!(finished.stderr.contains("nothing was changed"), "{finished:?}");
        assert!(fs::read(site.database()).unwrap() == before, "{arguments:?} changed the file");
        let mode = site.database().metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o644, "{arguments:?} changed the mode");
        for left in ["-wal", "-shm", "-journal"] {
            assert!(!site.path(&format!("renewald.db{left}")).exists(), "{arguments:?} left {left}");
        }
    }
}

/// As [`is_refused_untouched`], and no lock of ours is left beside it but the one of an instance.
fn is_refused_as_foreign(site: &Installation) {
    is_refused_untouched(site, 78);
    assert!(!site.path("renewald.db.setup.lock").exists());
}

#[test]
fn a_newer_file_is_refused_untouched() {
    let site = Site::without_sink();
    version_1(&site.database(), 1);
    Connection::open(site.database()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    is_refused_untouched(&site, 78);
}

#[test]
fn somebody_elses_database_is_refused_untouched() {
    let site = Site::without_sink();
    let db = Connection::open(site.database()).unwrap();
    db.execute_batch("CREATE TABLE accounts (id INTEGER); INSERT INTO accounts VALUES (1); PRAGMA user_version = 1")
        .unwrap();
    drop(db);
    is_refused_as_foreign(&site);
}

#[test]
fn a_file_that_is_no_database_is_refused_untouched() {
    for content in [&b"Dear diary,\n"[..], &[0; 4096], b"SQLite format 3\0", b"x"] {
        let site = Site::without_sink();
        fs::write(site.database(), content).unwrap();
        is_refused_as_foreign(&site);
    }
}

/// The header of a file may be older than what its write-ahead log holds.
#[test]
fn a_newer_version_that_stands_in_the_log_only_is_refused() {
    let (site, elsewhere) = (Site::without_sink(), tempfile::tempdir().unwrap());
    let path = elsewhere.path().join("db");
    version_1(&path, 1);
    let open = Connection::open(&path).unwrap();
    open.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    open.pragma_update(None, "user_version", 99).unwrap();
    // As a crash leaves it: the log is not worked in.
    fs::copy(&path, site.database()).unwrap();
    fs::copy(elsewhere.path().join("db-wal"), site.path("renewald.db-wal")).unwrap();
    site.command(&["once"]).expect_code(78);
    drop(open);
    assert_eq!(pragmas(&site.database())[1], 99);
}

/// The file of `site` as it was before, and beside it the log that the one after it had: as who copies a backup over the database
/// and forgets the log. `before` makes the copy.
fn leave_the_log(site: &Installation, before: impl FnOnce(&Installation)) {
    site.track_all(
        (1..2_000).map(|id| Track { metadata: r#"{"customer": "of some length"}"#, ..Track::new("PARTNER", id) }),
    );
    before(site);
    site.execute("DELETE FROM subscriptions WHERE id % 3 = 0; PRAGMA wal_checkpoint(TRUNCATE)");
    let open = Connection::open(site.database()).unwrap();
    open.execute_batch("PRAGMA wal_autocheckpoint = 0; UPDATE subscriptions SET due_at = due_at + 1 WHERE id < 50")
        .unwrap();
    fs::copy(site.path("renewald.db-wal"), site.path("log")).unwrap();
    drop(open);
    fs::copy(site.path("copy.db"), site.database()).unwrap();
    fs::copy(site.path("log"), site.path("renewald.db-wal")).unwrap();
}

fn database_and_log(site: &Installation) -> [Vec<u8>; 2] {
    ["renewald.db", "renewald.db-wal"].map(|name| fs::read(site.path(name)).unwrap())
}

/// SQLite would read both as one database, most of which is whole.
#[test]
fn a_backup_beside_the_log_of_another_file_is_refused_untouched() {
    let site = Site::without_sink_and(Setup::one_territory);
    leave_the_log(&site, |site| drop(site.command(&["backup", "copy.db"]).expect_code(0)));
    let before = database_and_log(&site);
    let commands: [(&[&str], i32); 6] =
        [(&["check"], 1), (&["status"], 70), (&["list"], 70), (&["export"], 70), (&["once"], 70), (&["run"], 70)];
    for (command, code) in commands {
        let finished = site.command(command).expect_code(code);
        let told = format!("{}{}", finished.stdout, finished.stderr).replace("\n", " ");
        assert!(
            told.split_whitespace().collect::<Vec<_>>().join(" ").contains("restore a backup with `renewald restore`"),
            "{command:?}: {told}"
        );
        assert!(database_and_log(&site) == before, "{command:?} changed something");
    }
}

/// No header tells it of a copy that was made while the file had a log.
#[test]
fn a_log_that_does_not_fit_its_file_is_found_by_check_and_not_worked_in() {
    let site = Site::without_sink_and(Setup::one_territory);
    leave_the_log(&site, |site| {
        fs::copy(site.database(), site.path("copy.db")).unwrap();
    });
    let before = database_and_log(&site);
    let told = site.command(&["check"]).expect_code(1).stdout;
    assert!(told.contains("is not whole"), "{told}");
    assert!(database_and_log(&site) == before, "changed something");
    site.command(&["check", "--json"]).expect_code(1).json();
}

#[test]
fn only_the_owner_reads_a_database_and_what_sqlite_puts_beside_it() {
    let site = Site::without_sink();
    version_1(&site.database(), 1);
    // Open here, so that the other files stay.
    let open = Connection::open(site.database()).unwrap();
    open.query_row("SELECT count(*) FROM renewals", [], |_| Ok(())).unwrap();
    let files = ["renewald.db", "renewald.db-wal", "renewald.db-shm"].map(|name| site.path(name));
    files.iter().for_each(|file| fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap());
    let told = site.command(&["check"]).expect_code(0).stdout;
    assert!(told.contains("had mode 0644"), "{told}");
    assert_eq!(files.map(|file| file.metadata().unwrap().permissions().mode() & 0o777), [0o600; 3]);
}

#[test]
fn a_creation_that_was_killed_is_begun_anew() {
    let site = Site::without_sink();
    fs::write(site.database(), b"").unwrap();
    site.catch_up();
    assert_eq!(site.value::<i64>("PRAGMA user_version"), 1);
}

#[test]
fn a_directory_that_is_missing_cannot_be_created_in() {
    let site = Site::without_sink();
    let settings = fs::read_to_string(site.path("renewald.toml")).unwrap();
    fs::write(site.path("renewald.toml"), settings.replace("renewald.db", "missing/renewald.db")).unwrap();
    site.command(&["once"]).expect_code(73);
}

/// A mistake in `store.path` must not look like a copy of nothing, and must leave nothing behind.
#[test]
fn what_works_on_a_database_creates_none() {
    let site = Site::without_sink();
    let id = "00000000-0000-4000-8000-000000000000";
    let commands: [&[&str]; 13] = [
        &["backup", "copy.db"],
        &["export", "-o", "all.jsonl"],
        &["explain", "A"],
        &["untrack", "A"],
        &["pause", "A"],
        &["poll", "A"],
        &["refetch", "A", "--generation", "1"],
        &["queue", "show", id],
        &["queue", "ack", id],
        &["queue", "retry", "--all-dead"],
        &["queue", "replay", "--sink", "queue"],
        &["queue", "backfill", "--sink", "queue", "--since", "1d"],
        &["queue", "purge", id, "--yes"],
    ];
    for command in commands {
        let finished = site.command(command).expect_code(65);
        assert!(finished.stderr.contains("there is no database at "), "{command:?}: {finished:?}");
    }
    for absent in ["copy.db", "all.jsonl", "renewald.db", "renewald.db.lock", "renewald.db.setup.lock"] {
        assert!(!site.path(absent).exists(), "{absent}");
    }
}

/// Scripts look before anything is tracked.
#[test]
fn what_lists_finds_nothing_where_there_is_no_database_and_says_so() {
    let site = Site::without_sink();
    let commands: [&[&str]; 6] =
        [&["status"], &["status", "--renewals"], &["list"], &["queue", "list"], &["queue", "dead"], &["queue", "pull"]];
    for command in commands {
        let finished = site.command(&[command, &["--json"]].concat()).expect_code(0);
        assert!(finished.stderr.contains("there is no database at "), "{command:?}: {finished:?}");
    }
    let told = site.command(&["status", "--json"]).expect_code(0).stdout;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["running"], &told["database"]["bytes"]), (&false.into(), &0.into()));
    site.command(&["check"]).expect_code(0);
    let left = fs::read_dir(site.path("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.contains("renewald.db")).count(), 0);
}

#[test]
fn a_schema_in_which_a_letter_has_changed_is_told_as_damage() {
    let site = Site::new();
    site.renewed("A");
    let db = Connection::open(site.database()).unwrap();
    db.execute_batch(
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = replace(sql, '(''watching'', ''ended'')', '(''watchino'', ''ended'')');",
    )
    .unwrap();
    drop(db);
    let once = site.command(&["once"]).expect_code(70);
    assert!(once.stderr.contains("the database is damaged; restore a backup"), "{once:?}");
}
