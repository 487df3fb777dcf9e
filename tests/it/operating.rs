//! What an operator does beside the running daemon: pause, export, back up, ask for pages and completions.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::fake_receiver::Answer;
use crate::harness::{DAY, Daemon, Installation, Setup, Site, Track};
use crate::nexway_connect::order;

fn exported(site: &Installation) -> Vec<Value> {
    let text = site.command(&["export"]).expect_code(0).stdout;
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_export_is_restored_exactly() {
    let site = Site::without_sink_and(Setup::one_territory);
    let ids = ["A-2024-1", "B", "C", "D"].map(|number| order(&site.sandbox, number));
    site.track_all([
        Track { metadata: r#"{"z": [1, 2.50], "a": "\u202e<b>"}"#, ..Track::new("A-2024-1", ids[0]) },
        Track { generation: Some(3), ..Track::new("B", ids[1]) },
        Track { generation: None, ..Track::new("C", ids[2]) },
        Track::new("D", ids[3]),
    ]);
    site.command(&["pause", "B"]).expect_code(0);
    site.command(&["untrack", "D"]).expect_code(0);
    let before = exported(&site);
    assert_eq!(before[0]["metadata"], json!({"z": [1, 2.50], "a": "\u{202e}<b>"}));
    assert_eq!(before[1]["state"], "paused");
    assert_eq!(before[2]["generation"], "adopt");

    let finished = site.command(&["export", "--output", "all.jsonl"]).expect_code(0);
    assert_eq!(finished.stdout, "");
    assert_eq!(fs::metadata(site.path("all.jsonl")).unwrap().permissions().mode() & 0o777, 0o600);
    site.command(&["export", "--output", "all.jsonl"]).expect_code(73);

    let restored = site.again();
    fs::copy(site.path("all.jsonl"), restored.path("all.jsonl")).unwrap();
    restored.command(&["import", "all.jsonl"]).expect_code(0);
    assert_eq!(exported(&restored), before);
}

#[test]
fn metadata_comes_back_as_it_was_written() {
    let site = Site::with(Setup::one_territory);
    let id = order(&site.sandbox, "A").to_string();
    let track = |metadata| site.command(&["track", "A", &id, "--generation", "0", "--metadata", metadata]);
    let refused = track(r#"{"n": 1, "n": 2}"#).expect_code(65).stderr;
    assert!(refused.contains("the same key twice"), "{refused}");
    track(r#"{"n": 1.10, "big": 12345678901234567890123, "a": [1E2, -0.0, {"z": "\u00e9\/"}]}"#).expect_code(0);
    let kept = r#""metadata":{"n":1.10,"big":12345678901234567890123,"a":[1E2,-0.0,{"z":"\u00e9\/"}]}}"#;
    let first = site.command(&["export"]).expect_code(0).stdout;
    assert!(first.contains(kept), "{first}");

    let restored = site.again();
    fs::write(restored.path("all.jsonl"), &first).unwrap();
    restored.command(&["import", "all.jsonl"]).expect_code(0);
    assert_eq!(restored.command(&["export"]).expect_code(0).stdout, first);
    site.renew("A");
    restored.catch_up();
    let message = site.messages().remove(0);
    assert!(message.body.contains(kept), "{}", message.body);
}

#[test]
fn one_that_cannot_be_paused_keeps_the_others_as_they_are() {
    let site = Site::without_sink_and(Setup::one_territory);
    site.order_all(&["A", "B"]);
    site.command(&["untrack", "B"]).expect_code(0);
    let said = site.command(&["pause", "A", "B"]).expect_code(65).stderr;
    assert!(said.contains("is untracked: there is nothing to pause"), "{said}");
    assert_eq!(site.texts("SELECT state FROM subscriptions ORDER BY id"), ["watching", "untracked"]);
}

/// Who restores an export has none of the messages that waited: those renewals must be found again.
#[test]
fn what_was_not_handed_over_is_found_again_after_a_restore() {
    let site = Site::with(Setup::one_territory);
    site.receiver.answer(Answer::Status(503));
    site.renewed("PARTNER689");
    let mut work = site.work();
    work.pass(renewald::clock::Timestamp::now());
    drop(work);
    assert_eq!(site.value::<i64>("SELECT generation FROM subscriptions"), 1);
    site.command(&["export", "--output", "all.jsonl"]).expect_code(0);

    let restored = Site::at(site.sandbox.clone(), |setup, shop| setup.webhook(shop).with(Setup::one_territory));
    fs::copy(site.path("all.jsonl"), restored.path("all.jsonl")).unwrap();
    restored.command(&["import", "all.jsonl"]).expect_code(0);
    restored.catch_up();
    assert_eq!(restored.messages().len(), 1);
    assert_eq!(restored.messages()[0].id, site.messages()[0].id, "the same message for whoever has it already");
}

#[test]
fn a_backup_is_made_beside_the_daemon_and_can_be_worked_with() {
    let site = Site::with(Setup::one_territory);
    site.renewed("PARTNER689");
    let daemon = Daemon::spawn(&site);
    site.next_message();
    site.wait_until_delivered(1);
    let finished = site.command(&["backup", "copy.db", "--verify", "--json"]).expect_code(0);
    let answer = finished.json();
    assert_eq!(answer["verified"]["subscriptions"], 1);
    assert_eq!(answer["verified"]["dispatches"], 1);
    let copy = site.path("copy.db");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let refused = site.command(&["backup", "copy.db"]).expect_code(73);
    assert!(refused.stderr.contains("there already"), "{refused:?}");
    site.command(&["backup", "no/such/directory/copy.db"]).expect_code(73);
    drop(daemon);

    let left: Vec<_> = fs::read_dir(site.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("partial")), "{left:?}");
    // In the place of the database it goes on where the copy was made.
    for name in ["renewald.db", "renewald.db-wal", "renewald.db-shm"] {
        fs::remove_file(site.path(name)).ok();
    }
    fs::rename(copy, site.database()).unwrap();
    site.renew("PARTNER689");
    site.let_pass(DAY);
    site.catch_up();
    assert_eq!(site.messages().len(), 2, "-1 is not sent again, -2 is new");
}

#[test]
fn a_damaged_copy_is_not_called_whole() {
    let site = Site::without_sink_and(Setup::one_territory);
    site.track_all((1..2_000).map(|id| Track::new("PARTNER", id)));
    site.command(&["backup", "copy.db", "--verify"]).expect_code(0);
    let mut bytes = fs::read(site.path("copy.db")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xa5);
    fs::write(site.path("copy.db"), bytes).unwrap();
    assert!(renewald::store::verify_copy(&site.path("copy.db")).is_err());
}

#[test]
fn old_payloads_are_wiped_at_the_start_and_only_under_a_clock_that_can_be_right() {
    let site = Site::with(|setup| setup.store = "retention = \"2d\"".to_owned());
    site.renewed_all(&["OLD", "YOUNG"]);
    site.catch_up();
    let age = |number: &str| {
        let of = format!("(SELECT id FROM subscriptions WHERE partner_order_number = '{number}')");
        site.execute(&format!(
            "UPDATE messages SET queued_at = queued_at - 3 * 86400 WHERE subscription = {of};
             UPDATE dispatches SET delivered_at = delivered_at - 3 * 86400 WHERE subscription = {of}"
        ));
    };
    let kept = || {
        site.texts(
            "SELECT s.partner_order_number FROM messages m JOIN subscriptions s ON s.id = m.subscription
             WHERE m.body IS NOT NULL ORDER BY 1",
        )
    };
    let noted = |time: &str| site.execute(&format!("UPDATE clock SET seen_at = unixepoch() {time}"));
    let run_until = |line: &str| {
        let daemon = Daemon::spawn(&site);
        daemon.wait_for_log(line);
        daemon.drain();
    };
    age("OLD");
    for wrong in ["+ 3600", "- 8 * 86400"] {
        noted(wrong);
        run_until("no payload is wiped before the clock is seen again");
        assert_eq!(kept(), ["OLD", "YOUNG"], "the last run noted {wrong}");
    }
    noted("- 86400");
    run_until("wiped delivered payloads");
    assert_eq!(kept(), ["YOUNG"]);

    age("YOUNG");
    noted("+ 3600");
    site.catch_up();
    assert_eq!(kept(), ["YOUNG"], "seen once");
    site.catch_up();
    assert_eq!(kept(), [""; 0]);
}

#[test]
fn a_paused_subscription_is_not_asked_until_it_is_resumed() {
    let site = Site::with(Setup::one_territory);
    site.order("PARTNER689");
    site.command(&["pause", "PARTNER689"]).expect_code(0);
    site.command(&["pause", "PARTNER689"]).expect_code(0); // was paused already
    site.renew("PARTNER689");
    site.command(&["poll", "PARTNER689"]).expect_code(65);
    site.catch_up();
    assert_eq!(site.messages().len(), 0);
    // The daemon acts on what another process has written.
    let _daemon = Daemon::spawn(&site);
    let answer = site.command(&["resume", "PARTNER689-1", "--json"]).expect_code(0);
    let answer = answer.json();
    assert_eq!(answer["subscriptions"][0]["outcome"], "resumed");
    site.next_message();
    site.command(&["untrack", "PARTNER689"]).expect_code(0);
    site.command(&["resume", "PARTNER689"]).expect_code(65);
}

/// The unit starts again whatever ends with another code, for ever.
#[test]
fn a_missing_api_token_is_a_mistake_in_the_settings_as_every_missing_secret_is() {
    let admin = "listen = \"127.0.0.1:0\"\ntoken_file = \"api-token\"".to_owned();
    let site = Site::without_sink_and(|setup| {
        setup.one_territory();
        setup.admin = admin;
    });
    let finished = site.command(&["run"]).expect_code(78);
    assert!(finished.stderr.contains("admin.token_file: there is no file"), "{finished:?}");
    assert!(!finished.stderr.contains("started"), "{finished:?}");
}

#[test]
fn pages_and_completions_name_every_command() {
    let site = Site::without_sink_and(Setup::one_territory);
    fs::create_dir(site.path("man")).unwrap();
    site.command(&["man", "--dir", "man"]).expect_code(0);
    let pages: Vec<_> = fs::read_dir(site.path("man")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    for command in ["renewald.1", "renewald-run.1", "renewald-queue-pull.1", "renewald-backup.1"] {
        assert!(pages.iter().any(|page| page == command), "{command} is not among {pages:?}");
    }
    let page = site.command(&["man"]).expect_code(0).stdout;
    for part in ["renewald\\-track", ".SH \"EXIT STATUS\"", ".SH \"FILES\"", ".SH \"ENVIRONMENT\""] {
        assert!(page.contains(part), "{part}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(site.command(&["completions", shell]).expect_code(0).stdout.contains("refetch"), "{shell}");
    }
}
