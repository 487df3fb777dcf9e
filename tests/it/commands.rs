//! The commands a person or a script uses beside the daemon, on one database with it.

use std::fs;
use std::time::{Duration, Instant};

use renewald::sandbox::nexway_connect::{NewOrder, Script, Step};
use serde_json::{Value, json};

use crate::fake_receiver::Answer;
use crate::harness::{DAY, Daemon, HOUR, Installation, PATIENCE, Setup, Site, keys_of, number, numbers};
use crate::nexway_connect::order;

fn json_of(site: &Installation, arguments: &[&str]) -> Value {
    site.command(&[arguments, &["--json"]].concat()).expect_code(0).json()
}

/// One JSON value a line.
fn lines_of(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn tracked_in_each_of_three_ways_everything_arrives() {
    let site = Site::with(Setup::one_territory);
    let id = order(&site.sandbox, "BY-HAND").to_string();
    let expires = "2030-01-01T00:00:00Z";
    let metadata = r#"{"customer": 17}"#;
    let track = ["track", "BY-HAND", &id, "--generation", "0", "--expires-at", expires, "--metadata", metadata];
    site.command(&track).expect_code(0);
    site.command(&track).expect_code(0); // is left alone

    let answer = site.sandbox.create_order(NewOrder { subscriptions: 2, ..NewOrder::new("BY-ORDER") }).unwrap();
    fs::write(site.path("order.json"), serde_json::to_string(&answer).unwrap()).unwrap();
    site.command(&["track", "--from-order", "order.json"]).expect_code(0);

    let ids = [order(&site.sandbox, "BY-FILE,1"), order(&site.sandbox, "BY \"FILE\" 2")];
    let csv = format!(
        "partner_order_number,subscription_id,generation,metadata.shop\n\"BY-FILE,1\",{},0,north\n\"BY \"\"FILE\"\" 2\",{},0,\n",
        ids[0], ids[1]
    );
    fs::write(site.path("all.csv"), csv).unwrap();
    site.command(&["import", "all.csv"]).expect_code(0);
    site.command(&["import", "all.csv"]).expect_code(0); // already tracked: left alone and counted
    assert_eq!(json_of(&site, &["list"])["items"].as_array().unwrap().len(), 5);

    ["BY-HAND", "BY-ORDER", "BY-FILE,1", "BY \"FILE\" 2"].iter().for_each(|n| site.renew(n));
    site.catch_up();
    assert_eq!(site.sorted_numbers(), ["BY \"FILE\" 2-1", "BY-FILE,1-1", "BY-HAND-1", "BY-ORDER-1", "BY-ORDER-1"]);
    let by_hand = site.messages().into_iter().find(|message| number(message) == "BY-HAND-1").unwrap();
    assert_eq!(by_hand.data()["subscription"]["metadata"], json!({"customer": 17}));
}

#[test]
fn what_cannot_be_tracked_is_refused_with_its_reason() {
    let site = Site::without_sink_and(Setup::one_territory);
    let long = "x".repeat(256);
    for number in ["", ".", "..", "a\nb", "a\u{1b}[2J", "a\u{7f}", &long] {
        let finished = site.command(&["track", number, "7", "--generation", "0"]).expect_code(65);
        assert!(finished.stderr.contains("partner order number"), "{finished:?}");
        assert!(!finished.stderr.contains('\u{1b}'), "{finished:?}");
    }
    site.command(&["track", "A", "7"]).expect_code(64); // the generation is never guessed
    site.command(&["track", "A", "7", "--generation", "0", "--adopt"]).expect_code(64);
    site.command(&["track", "A", "0", "--generation", "0"]).expect_code(65);
    site.command(&["track", "A", "7", "--generation", "0", "--metadata", "[1]"]).expect_code(65);
    assert_eq!(json_of(&site, &["list"]), json!({"items": [], "next_cursor": null}));
}

#[test]
fn a_bad_file_is_refused_whole_with_every_bad_line_named() {
    let site = Site::without_sink_and(Setup::one_territory);
    let csv = "partner_order_number,subscription_id,generation\nA,1,0\n..,2,0\nB,x,0\nC,3,\nA,1,0\nD,4,0\n";
    fs::write(site.path("bad.csv"), csv).unwrap();
    let finished = site.command(&["import", "bad.csv"]).expect_code(65);
    for line in ["3", "4", "5", "6"] {
        assert!(finished.stderr.lines().any(|told| told.contains(line)), "line {line} in {}", finished.stderr);
    }
    assert_eq!(json_of(&site, &["list"])["items"], json!([]), "nothing was imported");
    fs::write(site.path("worse.csv"), "partner_order_number,subscription_id,generation\n..,2,0\nB,x,0\n").unwrap();
    let finished = site.command(&["import", "worse.csv", "--skip-bad"]).expect_code(65);
    assert!(finished.stderr.contains("there is no good line"), "{finished:?}");
    site.command(&["import", "bad.csv", "--skip-bad"]).expect_code(0);
    let listed = json_of(&site, &["list"]);
    let tracked: Vec<_> =
        listed["items"].as_array().unwrap().iter().map(|item| &item["partner_order_number"]).collect();
    assert!(tracked.contains(&&json!("D")) && !tracked.contains(&&json!("..")), "{tracked:?}");
}

#[test]
fn what_a_spreadsheet_damaged_is_warned_of_and_with_strict_a_bad_line() {
    let site = Site::without_sink_and(Setup::one_territory);
    let csv =
        "sep=;\npartner_order_number;subscription_id;generation;metadata.a\n4.51235E+15;1;0;x\nB;2;0;#REF!\nC;3;0;y\n";
    fs::write(site.path("all.csv"), csv).unwrap();
    let tracked = || site.texts("SELECT partner_order_number FROM subscriptions ORDER BY 1");

    let refused = site.command(&["import", "all.csv", "--strict"]).expect_code(65);
    for part in
        ["all.csv:3: partner_order_number is a long number", "all.csv:4: metadata.a is the error", "2 lines are bad"]
    {
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
    }
    assert!(!site.database().exists());
    let skipped = site.command(&["import", "all.csv", "--strict", "--skip-bad", "--json"]).expect_code(0).json();
    assert_eq!((&skipped["added"], &skipped["bad"], &skipped["warnings"]), (&json!(1), &json!(2), &json!([])));
    assert_eq!(tracked(), ["C"]);

    let warned = site.command(&["import", "all.csv"]).expect_code(0);
    for part in [
        "all.csv:3: warning: partner_order_number is",
        "all.csv:4: warning: ",
        "2 lines imported in spite of a warning",
    ] {
        assert!(warned.stderr.contains(part), "{part}: {warned:?}");
    }
    assert_eq!(tracked(), ["4.51235E+15", "B", "C"]);
    let lines = site.command(&["import", "all.csv", "--json"]).expect_code(0).json()["warnings"].clone();
    assert_eq!((&lines[0]["line"], &lines[1]["line"], &lines[2]), (&json!(3), &json!(4), &json!(null)));

    fs::write(site.path("header.csv"), "sep=;\npartner_order_number;foo;generation\n").unwrap();
    let told = site.command(&["import", "header.csv"]).expect_code(65).stderr;
    assert!(told.contains("header.csv:2: unknown field foo"), "{told}");
    fs::write(site.path("mac.csv"), csv.replace('\n', "\r")).unwrap();
    let told = site.command(&["import", "mac.csv"]).expect_code(65).stderr;
    assert!(told.contains("mac.csv:1: the lines end with CR alone, as on old Macs"), "{told}");
}

/// Both would hand over the same keys, and an answer without ids about the renewal would count as the other's.
#[test]
fn an_original_and_its_renewal_are_not_both_tracked_in_whatever_order_and_way() {
    let site = Site::without_sink_and(Setup::one_territory);
    let told = |line: &[&str], code, part: &str| {
        let finished = site.command(line).expect_code(code);
        assert!(finished.stderr.contains(part), "{line:?}: {finished:?}");
    };
    let import = |name: &str, rows: &str, more: &[&str], code, part: &str| {
        fs::write(site.path(name), format!("partner_order_number,subscription_id,generation\n{rows}")).unwrap();
        told(&[&["import", name], more].concat(), code, part);
    };
    site.track("A", 1);
    site.track("B-2", 2);
    told(
        &["track", "A-1", "1", "--generation", "0"],
        65,
        "A-1 is generation 1 of A, subscription 1 (nexway/eu), which is tracked",
    );
    told(&["track", "B", "2", "--generation", "0"], 65, "untrack B-2 --subscription-id 2 --forget");
    import("renewal.csv", "C,3,0\nA-1,1,0\n", &[], 65, "renewal.csv:3: A-1 is generation 1 of A");
    import(
        "original.csv",
        "C,3,0\nB,2,0\n",
        &[],
        65,
        "original.csv:3: B-2, subscription 2 (nexway/eu), is, or was, tracked",
    );
    let both = "C,3,0\nD,4,0\nD-1,4,0\nE-1,5,0\nE,5,0\n";
    for part in ["both.csv:3: ", "both.csv:4: ", "both.csv:5: ", "both.csv:6: "] {
        import("both.csv", both, &[], 65, part);
    }
    assert_eq!(site.texts("SELECT partner_order_number FROM subscriptions ORDER BY 1"), ["A", "B-2"]);

    import("some.csv", &format!("{both}A-1,1,0\nB,2,0\n"), &["--skip-bad"], 0, "some.csv:8: ");
    // Another's order, and one whose number only looks like a renewal's.
    import("others.csv", "A-1,9,0\nA-2024-1,1,0\n", &[], 0, "");
    told(&["untrack", "A"], 0, "");
    told(&["track", "A-1", "1", "--generation", "0"], 65, "which was untracked: track that one again");
    told(&["untrack", "B-2", "--subscription-id", "2", "--forget"], 0, "");
    told(&["track", "B", "2", "--generation", "2"], 0, "");
    let tracked = site.texts("SELECT partner_order_number || ' ' || subscription_id FROM subscriptions ORDER BY 1");
    assert_eq!(tracked, ["A 1", "A-1 9", "A-2024-1 1", "B 2", "C 3"]);
}

#[test]
fn an_import_restores_the_state_of_what_was_untracked_too() {
    let site = Site::without_sink_and(Setup::one_territory);
    for number in ["A", "B", "C"] {
        site.track(number, 1);
        site.command(&["untrack", number]).expect_code(0);
    }
    let csv = "partner_order_number,subscription_id,generation,state\nA,1,0,paused\nB,1,0,ended\nC,1,0,watching\n";
    fs::write(site.path("export.csv"), csv).unwrap();
    site.command(&["import", "export.csv"]).expect_code(0);
    let states = "SELECT state || ' ' || (due_at IS NOT NULL) || ' ' || pace FROM subscriptions ORDER BY id";
    assert_eq!(site.texts(states), ["paused 0 regular", "ended 1 monthly", "watching 1 regular"]);
}

#[test]
fn a_running_daemon_notices_at_once_what_a_command_tracks_or_asks_for() {
    let site = Site::with(Setup::one_territory);
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("started");
    let id = order(&site.sandbox, "A").to_string();
    let begun = Instant::now();
    site.command(&["track", "A", &id, "--generation", "0"]).expect_code(0);
    site.sandbox
        .wait_for(|request| request.status == Some(200) && request.subscription_id.is_some(), PATIENCE)
        .expect("asked");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // Its interval is four hours, but a person asks.
    site.renew("A");
    site.command(&["poll", "A"]).expect_code(0);
    assert_eq!(number(&site.next_message()), "A-1");
    daemon.drain();
}

#[test]
fn the_built_in_queue_hands_out_leases_and_takes_acknowledgements() {
    let site = Site::without_sink();
    site.order_all(&["A", "B"]);
    site.renew_times("A", 2);
    site.renew("B");
    site.catch_up();

    let pull = || lines_of(&site.command(&["queue", "pull"]).expect_code(0).stdout);
    let first = pull();
    let mut got: Vec<_> = first.iter().map(|event| event["data"]["partner_order_number"].as_str().unwrap()).collect();
    got.sort();
    assert_eq!(got, ["A-1", "B-1"], "A-2 waits for A-1");
    for event in &first {
        assert_eq!(keys_of(event), site.expected_keys(event));
    }
    assert_eq!(pull().len(), 0, "both are leased");

    let ids: Vec<_> = first.iter().map(|event| event["id"].as_str().unwrap()).collect();
    site.command(&[&["queue", "ack"], &ids[..]].concat()).expect_code(0);
    site.command(&[&["queue", "ack"], &ids[..]].concat()).expect_code(0); // again
    site.command(&["queue", "ack", "00000000-0000-4000-8000-000000000000"]).expect_code(65);
    let second = pull();
    assert_eq!(second.len(), 1);
    assert_eq!(second[0]["data"]["partner_order_number"], "A-2");
    assert_eq!(pull().len(), 0);
}

#[test]
fn a_lease_that_ends_hands_the_same_message_out_again() {
    let site = Site::without_sink();
    site.renewed("A");
    site.catch_up();
    let first = site.command(&["queue", "pull", "--lease", "1s"]).expect_code(0).stdout;
    let again = site.command(&["queue", "pull", "--wait", "20s"]).expect_code(0).stdout;
    assert_eq!(first, again);
    // The first consumer was slow, and is still right.
    let id = lines_of(&first)[0]["id"].as_str().unwrap().to_owned();
    site.command(&["queue", "ack", &id]).expect_code(0);
}

#[test]
fn refetch_accepts_a_jump_and_sends_a_generation_again() {
    let site = Site::new();
    site.order("A");
    site.renew_times("A", 30);
    site.catch_up();
    assert_eq!(site.messages().len(), 0, "a jump above max_generation_jump is a surprise");
    site.command(&["refetch", "A", "--generation", "30"]).expect_code(0);
    site.catch_up();
    let first = site.next_message();
    assert_eq!(number(&first), "A-30");
    site.command(&["refetch", "A", "--generation", "30"]).expect_code(0);
    site.catch_up();
    let again = site.next_message();
    assert_eq!(
        (number(&again), again.data()["revision"].as_i64()),
        ("A-30".to_owned(), Some(first.data()["revision"].as_i64().unwrap() + 1))
    );
    assert_ne!(again.id, first.id, "asked for on purpose: another message");
}

#[test]
fn a_generation_that_was_mistyped_holds_back_no_renewal() {
    let site = Site::new();
    site.order("A");
    for wrong in ["11", "2"] {
        let told = site.command(&["refetch", "A", "--generation", wrong]).expect_code(0).stdout;
        assert!(told.contains("once the provider has given this one"), "{told}");
    }
    // Not found for 48 hours and eight times.
    site.execute("UPDATE renewals SET not_found_answers = 8, not_found_seconds = 2 * 86400, answered_at = 1");
    site.command(&["once"]).expect_code(1);
    let reasons = site.messages().iter().map(|message| message.data()["reason"].clone()).collect::<Vec<_>>();
    assert_eq!(reasons, ["not_found", "not_found"]);
    site.renew_times("A", 2);
    site.let_pass(DAY);
    site.catch_up();
    assert_eq!(numbers(&site.messages()[2..]), ["A-1", "A-2"], "also the one that had been given up");
    assert_eq!(site.messages()[3].data()["revision"], 1, "under another id than the message that told of it");
}

#[test]
fn an_abandoned_renewal_is_reopened_by_refetch() {
    let site = Site::new();
    site.renewed("A");
    site.sandbox.script("A-1", Script::codes([1062]));
    site.command(&["once"]).expect_code(1);
    assert_eq!(site.next_message().data()["reason"], "refused");
    site.command(&["refetch", "A", "--generation", "1"]).expect_code(0);
    site.catch_up();
    assert_eq!(site.next_message().json()["type"], "renewald.renewal.ready.v1");
}

#[test]
fn untrack_drops_what_waits_and_leaves_what_is_queued() {
    let site = Site::new();
    site.renewed_all(&["QUEUED", "WAITS"]);
    site.sandbox.script("WAITS-1", Script::steps([Step::order(1051).forever()]));
    site.receiver.answer(Answer::Status(503));
    let now = site.now();
    site.work().pass(now);
    for number in ["QUEUED", "WAITS"] {
        site.command(&["untrack", number]).expect_code(0);
        site.command(&["untrack", number]); // twice changes nothing
    }
    site.sandbox.script("WAITS-1", Script::default());
    site.receiver.answer(Answer::Status(200));
    site.sandbox.clear_requests();
    site.work().pass(now + 2 * DAY);
    let last = site.messages().pop().unwrap();
    assert_eq!(number(&last), "QUEUED-1");
    assert_eq!(site.sandbox.requests().len(), 0, "nobody is asked any more");
    assert_eq!(site.texts("SELECT state FROM renewals WHERE reference = 'WAITS-1'"), ["dropped"]);
}

#[test]
fn dead_messages_are_listed_and_sent_again_by_retry() {
    let site = Site::new();
    site.receiver.answer(Answer::Status(422));
    site.renewed("A");
    let start = site.now();
    let mut work = site.work();
    work.pass(start);
    assert!((0..60).any(|days| work.relay(start + days * DAY + HOUR).dead == 1));
    drop(work);
    let dead = json_of(&site, &["queue", "dead"]);
    let id = dead["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(id, site.messages()[0].id);
    site.receiver.answer(Answer::Status(200));
    site.command(&["queue", "retry", &id]).expect_code(0);
    site.catch_up();
    assert_eq!(site.messages().pop().unwrap().id, id);
    assert_eq!(json_of(&site, &["queue", "dead"])["items"], json!([]));
}

#[test]
fn a_name_that_is_not_unique_is_answered_with_the_candidates() {
    let site = Site::without_sink();
    site.track("PAIR", 11);
    site.track("PAIR", 12);
    let finished = site.command(&["explain", "PAIR"]).expect_code(65);
    assert!(finished.stderr.contains("11") && finished.stderr.contains("12"), "{finished:?}");
    site.command(&["explain", "PAIR", "--subscription-id", "12"]).expect_code(0);
    site.command(&["explain", "12"]).expect_code(0);
    site.command(&["explain", "PAIR-3", "--subscription-id", "12"]).expect_code(0);
    site.command(&["explain", "NOBODY"]).expect_code(65);
}

#[test]
fn the_demo_tells_of_a_happy_end() {
    let site = Site::without_sink();
    let finished = site.command(&["demo", "--dir", "demo", "--json"]).expect_code(0);
    let summary = finished.json();
    assert_eq!(summary["ok"], true, "{summary}");
}

#[test]
fn an_unknown_kind_of_provider_is_answered_with_the_known_ones() {
    let site = Site::without_sink();
    for command in ["demo", "sandbox"] {
        let finished = site.command(&[command, "--kind", "nexway"]).expect_code(64);
        assert!(finished.stderr.contains("nexway-connect"), "{finished:?}");
    }
}

#[test]
fn tracking_again_tells_what_is_stored_and_what_of_it_differs() {
    let site = Site::without_sink();
    let track = ["track", "A", "7", "--territory"];
    site.command(&[&track[..], &["eu", "--generation", "1"]].concat()).expect_code(0);
    let again = [&track[..], &["us", "--generation", "3", "--metadata", "{\"a\": 1}", "--json"]].concat();
    let finished = site.command(&again).expect_code(0);
    let item = &lines_of(&finished.stdout)[0]["subscriptions"][0];
    assert_eq!(
        (&item["outcome"], &item["territory"], &item["generation"]),
        (&json!("already_tracked"), &json!("eu"), &json!(1))
    );
    for told in
        ["territory us, other metadata was given", "--update", "generation 3 was given, and it is at 1", "refetch"]
    {
        assert!(finished.stderr.contains(told), "{told}: {finished:?}");
    }
    let same = site.command(&[&track[..], &["eu", "--generation", "1"]].concat()).expect_code(0);
    assert_eq!(same.stderr, "");
    assert!(same.stdout.contains("(nexway/eu): already tracked"), "{same:?}");
}

#[test]
fn an_import_counts_the_tracked_that_differ() {
    let site = Site::without_sink();
    let import = |rows: &[&str], more: &[&str]| {
        let header = "partner_order_number,subscription_id,generation,territory,metadata.a";
        fs::write(site.path("all.csv"), [&[header], rows].concat().join("\n")).unwrap();
        site.command(&[&["import", "all.csv"], more].concat()).expect_code(0).stderr
    };
    let rows = ["A,1,0,eu,x", "B,2,0,eu,x", "C,3,0,eu,x"];
    assert_eq!([import(&rows, &[]), import(&rows, &[])], ["", ""]);
    let other = ["A,1,0,us,x", "B,2,1,eu,y", "C,3,0,eu,x"];
    let told = import(&other, &[]);
    assert!(told.contains("2 of them differ from what is stored: --update changes"), "{told}");
    let told = import(&other, &["--update"]);
    assert!(told.contains("1 of them differs from"), "the generation: {told}");
}

#[test]
fn an_update_needs_no_generation_and_changes_none() {
    let site = Site::without_sink();
    let update = ["track", "A", "7", "--territory", "us", "--update"];
    let refused = site.command(&update).expect_code(64);
    assert!(refused.stderr.contains("never guessed") && !site.database().exists(), "{refused:?}");
    site.command(&["track", "A", "7", "--territory", "eu", "--generation", "2"]).expect_code(0);
    let updated = site.command(&update).expect_code(0);
    assert!(updated.stdout.contains("(nexway/us): updated, generation 2"), "{updated:?}");
    site.command(&["track", "B", "7", "--territory", "us", "--update"]).expect_code(64);
    site.command(&["untrack", "A"]).expect_code(0);
    site.command(&update).expect_code(64);
    assert_eq!(
        site.texts("SELECT state || ' ' || territory || ' ' || generation FROM subscriptions"),
        ["untracked us 2"]
    );
}

#[test]
fn what_is_written_wrong_is_told_what_is_right() {
    let site = Site::without_sink_and(Setup::one_territory);
    let told = |line: &[&str], code, part: &str| {
        let finished = site.command(line).expect_code(code);
        assert!(finished.stderr.contains(part), "{line:?}: {finished:?}");
    };
    told(&["list", "--limit", "abc"], 64, "write a whole number from 1 to 10000");
    told(&["queue", "pull", "--max", "0"], 64, "write a whole number from 1 to 1000");
    told(&["refetch", "A", "--generation", "x"], 64, "write a whole number");
    told(&["track", "A", "99999999999999999999", "--generation", "0"], 65, "above the largest, 9223372036854775807");
    let track = ["track", "A ", "7", "--generation", "0"];
    told(&[&track[..], &["--expires-at", "2026-02-30"]].concat(), 65, "there is no such day");
    told(&[&track[..], &["--territory", " eu "]].concat(), 65, "territory \" eu \" is not in the settings");
    told(&track, 0, "\"A \" begins or ends with white space");
    fs::write(site.path("padded.csv"), "partner_order_number,subscription_id,generation\n B,1,0\n").unwrap();
    told(
        &["import", "padded.csv"],
        0,
        "padded.csv:2: warning: the partner order number begins or ends with white space",
    );
}

#[test]
fn a_list_without_rows_says_why() {
    let site = Site::without_sink();
    let told = |arguments: &[&str]| {
        let finished = site.command(arguments).expect_code(0);
        assert_eq!(finished.stdout, "", "no lone header");
        finished.stderr
    };
    assert!(told(&["list"]).contains("nothing is tracked yet: see renewald track, or import"));
    for n in ["1", "2"] {
        site.command(&["track", n, n, "--generation", "0", "--territory", "eu"]).expect_code(0);
    }
    assert!(told(&["list", "--state", "paused"]).contains("no subscription matches"));
    assert!(told(&["list", "--territory", "us"]).contains("no subscription matches"));
    assert!(told(&["queue", "list"]).contains("no message matches"));
    assert!(told(&["queue", "dead"]).contains("no dead message matches"));
    assert_eq!(told(&["queue", "list", "-q"]), "");
    let finished = site.command(&["list", "--territory", "moon"]).expect_code(64);
    assert!(finished.stderr.contains("territory \"moon\" is not in the settings, which know: eu, us"), "{finished:?}");
    site.command(&["list", "--provider", "moon", "--json"]).expect_code(64);
    // What the settings have lost is found under its name.
    site.execute("UPDATE subscriptions SET territory = 'old' WHERE subscription_id = 1");
    site.command(&["list", "--territory", "old"]).expect_code(0);
    assert!(told(&["list", "--territory", "old", "--state", "ended"]).contains("no subscription matches"));
    let page = site.command(&["list", "--limit", "1"]).expect_code(0);
    assert!(page.stderr.contains("there are more: --cursor") && !page.stdout.contains("there are more"), "{page:?}");
    assert_eq!(site.command(&["list", "--limit", "1", "-q"]).expect_code(0).stderr, "");
}
