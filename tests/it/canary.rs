//! A marked secret, key and customer, looked for where `secrecy` does not look: metrics, every answer of the API, what each command
//! prints as JSON, temporary files, a panic's words, a core file, and the bytes of the database after the wipe.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::Command;

use renewald::delivery::{Delivery, Event, LicenceKey, Line, Message, Occasion, Renewal, Serial};
use serde_json::json;

use crate::fake_receiver::Answer;
use crate::harness::{DAY, Installation, Site, Track, eventually, keys, numbered};
use crate::http::{Endpoint, free_port};
use crate::secrecy::{assert_none, with_canaries_and};

const TOKEN: &str = "CANARY-admin-token-4711";

#[test]
fn no_metric_answer_command_or_file_holds_a_secret_key_or_customer() {
    let port = free_port();
    let admin = format!("listen = \"127.0.0.1:{port}\"\ntoken_file = \"admin\"\nreveal = true");
    let (site, mut canaries) = with_canaries_and(|setup| setup.admin = admin);
    site.receiver.answer(Answer::Status(400));
    fs::write(site.path("secrets/admin"), TOKEN).unwrap();
    fs::create_dir(site.path("tmp")).unwrap();
    canaries.push(TOKEN.to_owned());
    let daemon = site.start_through(&["env", &format!("TMPDIR={}", site.path("tmp").display())], &["run", "-vvv"]);
    let refused = site.next_message();
    site.receiver.answer(Answer::Status(200));
    site.renew("A");
    daemon.wait_for_log("admin endpoint is open");

    let endpoint = Endpoint::at(port).with_token(TOKEN);
    let id = site.id_of("A");
    let paths = [
        "/healthz",
        "/readyz",
        "/metrics",
        "/v1/status",
        "/v1/subscriptions",
        &format!("/v1/subscriptions/nexway/A/{id}"),
        "/v1/messages",
        &format!("/v1/messages/{}", refused.id),
        "/v1/subscriptions?name=CANARY",
        "/v1/messages/nonsense",
        "/nowhere",
    ];
    for path in paths {
        let answer = endpoint.get(path);
        assert_none(&canaries, &(answer.head + &answer.body), path);
    }
    for path in ["pause", "resume", "poll"].map(|what| format!("/v1/subscriptions/nexway/A/{id}/{what}")) {
        let answer = endpoint.post(&path).expect(200);
        assert_none(&canaries, &(answer.head + &answer.body), &path);
    }
    let revealed = endpoint.get(&format!("/v1/messages/{}?reveal=true", refused.id)).expect(200);
    assert!(canaries.iter().any(|canary| revealed.body.contains(canary.as_str())), "where it is asked for");

    commands_show_none(&site, &refused.id, &canaries);
    daemon.drain();
    assert_eq!(fs::read_dir(site.path("tmp")).unwrap().count(), 0, "temporary files are left");
    files_hold_none(&site.path(""), &canaries);
}

/// Each command that prints an object, but for `export`, `backup` and the queue's own, which hand out what is stored.
fn commands_show_none(site: &Installation, message: &str, canaries: &[String]) {
    let order = site.path("order.json");
    fs::write(&order, r#"{"partnerOrderNumber": "B", "orderLines": [{"lineItems": [{"subscriptionId": 4711}]}]}"#)
        .unwrap();
    for arguments in [
        &["status"][..],
        &["status", "--renewals"],
        &["list"],
        &["list", "--overdue"],
        &["explain", "A"],
        &["queue", "list"],
        &["queue", "dead"],
        &["queue", "show", message],
        &["queue", "retry", message],
        &["queue", "replay", "--sink", "shop", "--since", "1d", "--dry-run"],
        &["check"],
        &["check", "--online"],
        &["healthcheck"],
        &["track", "--from-order", order.to_str().unwrap()],
        &["pause", "B"],
        &["resume", "B"],
        &["poll", "B"],
        &["untrack", "B"],
        &["refetch", "A", "--generation", "1"],
        &["once"],
        &["keys", "rotate"],
    ] {
        let finished = site.command(&[arguments, &["--json", "-vvv"]].concat());
        assert!(finished.code != Some(64), "{arguments:?}: {finished:?}");
        assert_none(canaries, &(finished.stdout + &finished.stderr), &arguments.join(" "));
    }
}

/// All that lies there but the database, which has the payloads, and the secrets themselves.
fn files_hold_none(directory: &Path, canaries: &[String]) {
    let mut looked_at = 0;
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_file() && !name.starts_with("renewald.db") {
            assert_none(canaries, &String::from_utf8_lossy(&fs::read(entry.path()).unwrap()), &name);
            looked_at += 1;
        }
    }
    assert!(looked_at > 20, "{looked_at} files");
}

/// A core file of a process that holds keys is a copy of them, and so is what a process of the same user reads out of it.
#[test]
fn no_core_file_is_written() {
    let site = Site::new();
    let unlimited = ["sh", "-c", "ulimit -c unlimited 2>/dev/null; exec \"$0\" \"$@\""];
    let mut daemon = site.start_through(&unlimited, &["run"]);
    daemon.wait_for_log("started");
    daemon.signal("ABRT", 1);
    let status = eventually("it ends", || daemon.status());
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
    assert!(!site.path("core").exists());
    // Another program leaves one, where the machine writes core files at all.
    let mut other = Command::new("sh");
    other.args(["-c", "ulimit -c unlimited && kill -ABRT $$"]).current_dir(site.path(""));
    if !other.status().unwrap().core_dumped() {
        writeln!(std::io::stderr(), "NOT TOLD APART: no program leaves a core file on this machine").ok();
    }
}

/// What a panic would say: the `Debug` of what was at hand.
#[test]
fn a_panic_says_nothing_of_what_it_had_in_hand() {
    const KEY: &str = "CANARY-KEY-4711";
    let serial = Serial {
        data: LicenceKey::new(KEY.to_owned()),
        encoding: "text".to_owned(),
        charset: "utf-8".to_owned(),
        file_name: String::new(),
    };
    let line = Line {
        product_ref: None,
        remark: KEY.to_owned(),
        digital_locker_link: format!("https://locker.example/{KEY}"),
        download_until: None,
        serials: vec![serial],
        files: Vec::new(),
    };
    let delivery = Delivery { lines: vec![line], ..Delivery::default() };
    let metadata = json!({"email": KEY}).to_string();
    let new = Track { metadata: &metadata, ..Track::new("A", 1) }.subscription();
    let message = Message {
        id: uuid::Uuid::nil(),
        event: "renewal.ready".to_owned(),
        queued_at: renewald::clock::Timestamp::now(),
        body: KEY.as_bytes().to_vec(),
        replays: 0,
    };
    let event = Event::RenewalReady {
        renewal: Renewal {
            generation: 1,
            revision: 0,
            reference: "A-1".to_owned(),
            partner_order_number: Some("A-1".to_owned()),
        },
        occasion: Occasion::Renewal,
        late: false,
        detected_at: renewald::clock::Timestamp::now(),
        expires_at: None,
        delivery: delivery.clone(),
    };
    let texts = [format!("{delivery:?}"), format!("{new:#?}"), format!("{message:?}"), format!("{event:#?}")];
    for text in texts {
        let payload = catch_unwind(|| panic!("{text}")).unwrap_err();
        let said = payload.downcast_ref::<String>().expect("its words");
        assert!(!said.is_empty() && !said.contains("CANARY"), "{said}");
    }
}

/// While the daemon has the files open: neither the database nor its log has the content of what was delivered long ago.
#[test]
fn a_payload_wiped_by_age_is_in_no_file() {
    const SUBSCRIPTIONS: usize = 40;
    let site = Site::with(|setup| setup.every = "24h");
    let numbers = numbered("W-", SUBSCRIPTIONS);
    site.order_all(&numbers);
    let mut work = site.work();
    for day in 0..45 {
        for number in numbers.iter().skip(day % 3).step_by(3) {
            site.renew(number);
        }
        work.pass(site.now());
        work.wipe(site.now());
        site.sandbox.advance(DAY);
    }
    let wiped = "SELECT id FROM messages WHERE wiped_at IS NOT NULL";
    let (wiped, kept): (Vec<_>, Vec<_>) = {
        let wiped = site.texts(wiped);
        site.messages().into_iter().partition(|message| wiped.contains(&message.id))
    };
    assert!(wiped.len() > 100 && kept.len() > 100, "{} wiped, {} kept", wiped.len(), kept.len());
    let files = ["renewald.db", "renewald.db-wal"].map(|name| fs::read(site.path(name)).unwrap_or_default()).concat();
    let files = String::from_utf8_lossy(&files);
    let holds = |key: &String| files.contains(key.as_str());
    assert!(kept.iter().flat_map(keys).all(|key| holds(&key)), "what is kept is found");
    let left: Vec<_> = wiped.iter().flat_map(keys).filter(holds).collect();
    assert!(left.is_empty(), "{} of {} keys are still in the files", left.len(), wiped.len());
}
