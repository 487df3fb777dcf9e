//! No secret, key or customer datum where people and their tools look; nothing from outside reaches a terminal raw.

use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;

use renewald::sandbox::nexway_connect::{
    Account, Endpoint, ErrorBody, Fault, FaultKind, NewOrder, Options, Sandbox, Script, Switches, Variant,
};
use serde_json::json;

use crate::fake_receiver::Answer;
use crate::harness::{Daemon, HOUR, PATIENCE, SIGNING_SECRET, Setup, Site, Track, eventually};

const CLIENT_SECRET: &str = "CANARY-client-secret-4711";
const TERRITORY_SECRET: &str = "CANARY-territory-secret-4711";
const CUSTOMER: &str = "CANARY-customer-4711";
const REMARK: &str = "CANARY-remark-4711";

/// A provider with secrets of its own and a subscription with customer data, renewed; the key in its order data.
pub fn with_canaries() -> (Site, Vec<String>) {
    with_canaries_and(|_| {})
}

/// The same with other settings besides.
pub fn with_canaries_and(more: impl FnOnce(&mut Setup)) -> (Site, Vec<String>) {
    let switches = Switches { rate_limit: 0, ..Switches::default() };
    let sandbox = Sandbox::start(Options {
        speed: 0.0,
        account: Account {
            switches,
            client_secret: CLIENT_SECRET.to_owned(),
            territories: [("eu".to_owned(), TERRITORY_SECRET.to_owned())].into(),
            ..Account::default()
        },
        ..Options::default()
    })
    .unwrap();
    let site = Site::at(Arc::new(sandbox), Setup::webhook);
    site.change(|setup| {
        (setup.every, setup.log_level) = ("1s", "trace");
        setup.one_territory();
        setup.secret("client", CLIENT_SECRET);
        setup.secret("eu", TERRITORY_SECRET);
        more(setup);
    });
    let metadata = json!({"email": CUSTOMER, CUSTOMER: 1}).to_string();
    let id = site.order_as("A", |track| Track { metadata: &metadata, ..track });
    site.renew("A");
    let canaries =
        [CLIENT_SECRET, TERRITORY_SECRET, CUSTOMER, REMARK, SIGNING_SECRET, &SIGNING_SECRET["whsec_".len()..]];
    let mut canaries: Vec<_> = canaries.map(str::to_owned).to_vec();
    canaries.extend(site.sandbox.expected_keys("A-1", id));
    (site, canaries)
}

pub fn assert_none(canaries: &[String], text: &str, place: &str) {
    for canary in canaries {
        assert!(!text.contains(canary.as_str()), "{canary} in {place}:\n{text}");
    }
    assert!(!text.contains("eyJ") && !text.to_lowercase().contains("bearer "), "a token in {place}:\n{text}");
}

#[test]
fn logs_and_the_process_list_hold_no_secret_key_or_customer() {
    let (site, canaries) = with_canaries();
    let daemon = site.start(&["run", "-vvv"]);
    let delivered = site.next_message();
    assert!(delivered.body.contains(CUSTOMER), "where it belongs");
    let process = format!("/proc/{}", daemon.id());
    for place in ["cmdline", "environ", "comm"] {
        let text = match fs::read(format!("{process}/{place}")) {
            // Only root may look at it.
            Err(error) if place == "environ" && error.kind() == ErrorKind::PermissionDenied => continue,
            text => text.unwrap(),
        };
        assert_none(&canaries, &String::from_utf8_lossy(&text), place);
    }
    // Everything that may go wrong with the answers that hold keys, and with the receiver that quotes them.
    site.receiver.answer(Answer::Status(400));
    for fault in [
        FaultKind::TruncatedJson,
        FaultKind::WrongTypes,
        FaultKind::CutMidBody,
        FaultKind::DuplicateKeys,
        FaultKind::Status { status: 500, body: ErrorBody::Html, retry_after: None },
    ] {
        site.sandbox.fault(Fault::new(fault).at(Endpoint::Order).times(1));
    }
    site.renew("A");
    site.sandbox
        .wait_for(|r| r.endpoint == Endpoint::Order && r.partner_order_number.as_deref() == Some("A-2"), PATIENCE)
        .unwrap();
    for fault in [FaultKind::TruncatedJson, FaultKind::WrongTypes, FaultKind::Html] {
        site.sandbox.fault(Fault::new(fault).at(Endpoint::Token).times(1));
    }
    site.sandbox.expire_tokens(true);
    let asked = site.sandbox.request_count();
    site.sandbox.wait_for(|r| r.seq >= asked && r.endpoint == Endpoint::Token, PATIENCE).unwrap();
    daemon.terminate();
    let finished = daemon.wait().expect_code(0);
    assert!(finished.stderr.contains("TRACE renewald"), "the log is as talkative as can be");
    assert_none(&canaries, &finished.stderr, "the log");
    assert_none(&canaries, &finished.stdout, "stdout");

    let finished = site.command(&["once", "-vvv", "--max-time", "1s"]);
    assert_none(&canaries, &(finished.stdout + &finished.stderr), "once");
    let id = delivered.id.as_str();
    for arguments in [
        &["list"][..],
        &["explain", "A"],
        &["queue", "list"],
        &["queue", "dead"],
        &["queue", "show", id],
        &["check"],
        &["check", "--online"],
        &["explain", "NOBODY"],
    ] {
        for format in [&["-vvv"][..], &["--json"]] {
            let finished = site.command(&[arguments, format].concat());
            assert_none(&canaries, &(finished.stdout + &finished.stderr), &arguments.join(" "));
        }
    }
    let revealed = site.command(&["queue", "show", id, "--reveal"]).expect_code(0);
    assert!(revealed.stdout.contains(canaries.last().unwrap()), "where it is asked for: {}", revealed.stdout);
}

/// The key where the provider puts it into a text of its own: codes' messages are shown, remarks are not.
#[test]
fn remarks_stay_out_of_the_log() {
    let (site, canaries) = with_canaries();
    let item = json!({"subscriptionId": 5_618_577, "responseCode": 0, "serials": []});
    let line = json!({"productRef": 1, "remark": REMARK, "digitalLockerLink": format!("https://locker.example/{REMARK}"),
                      "responseCode": 0, "lineItems": [item],
                      "files": [{"label": "x", "type": "install", "url": format!("https://dl.example/{REMARK}"), "size": 1}]});
    let body = json!({"partnerOrderNumber": "A-1", "orderNumber": 1, "orderLines": [line], "responseCode": 0});
    site.sandbox.script("A-1", Script::order_body(body.to_string()));
    let finished = site.command(&["once", "-vvv"]).expect_code(0);
    assert!(site.next_message().body.contains(REMARK));
    assert_none(&canaries, &finished.stderr, "the log");
}

#[test]
fn settings_and_messages_show_nothing_by_debug() {
    let (site, canaries) = with_canaries();
    let settings = renewald::settings::Settings::load(Some(&site.path("renewald.toml"))).unwrap();
    assert_none(&canaries, &format!("{settings:?} {settings:#?}"), "the settings");
    let secret = settings.settings.providers["nexway"].kind.secrets()[0].read().unwrap();
    assert_none(&canaries, &format!("{secret:?}"), "a secret");
    site.catch_up();
    let store = renewald::store::Store::open(&site.database(), renewald::store::Access::Command).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let shown = runtime.block_on(async {
        let found = store.find(renewald::store::Named::new("A", [])).await.unwrap();
        let dispatches =
            store.dispatches(renewald::store::QueueFilter { limit: 10, ..Default::default() }).await.unwrap();
        format!("{found:?} {dispatches:?}")
    });
    assert!(shown.contains("\"A\""), "{shown}");
    assert_none(&canaries, &shown, "rows");
}

/// A settings file that holds its secrets, with a mistake in it: the mistake is told, the secret is not.
#[test]
fn mistakes_in_settings_do_not_quote_secrets() {
    let site = Site::without_sink();
    let settings = fs::read_to_string(site.path("renewald.toml")).unwrap();
    let wrong = settings
        .replace("client_secret_file = \"client\"", &format!("client_secret = \"{CLIENT_SECRET}\"\nrealmm = 3"));
    fs::write(site.path("renewald.toml"), &wrong).unwrap();
    let finished = site.command(&["run"]).expect_code(78);
    assert!(finished.stderr.contains("realmm"), "{finished:?}");
    assert!(!finished.stderr.contains(CLIENT_SECRET), "{finished:?}");
    fs::write(site.path("renewald.toml"), wrong.replace("realmm = 3", "= = =")).unwrap();
    let finished = site.command(&["run"]).expect_code(78);
    assert!(!finished.stderr.contains(CLIENT_SECRET), "{finished:?}");
}

const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}gpj\r\nERROR forged\u{2028}line\u{0}\u{8}\u{200b}";

fn assert_clean(text: &str, place: &str) {
    let raw = text.chars().find(|c| *c != '\n' && renewald::text::is_unsafe(*c));
    assert_eq!(raw, None, "raw in {place}: {text:?}");
    let forged = text.lines().any(|line| line.starts_with("ERROR forged"));
    assert!(!forged, "{place}: {text}");
}

#[test]
fn hostile_text_reaches_no_terminal_raw() {
    let site = Site::with(|setup| setup.log_level = "trace");
    site.renewed_all(&["CODE", "FOREIGN", "STATUS", "ORDER", "GAVE-UP", "\u{202e}NUMBER"]);
    let refused = json!({"code": 71, "message": HOSTILE}).to_string();
    site.sandbox.script("CODE", Script::status_body(refused));
    site.sandbox.script(
        "FOREIGN",
        Script::status_body(json!({"partnerOrderNumber": HOSTILE, "generation": 1, "code": 0}).to_string()),
    );
    let strange = json!({"partnerOrderNumber": "STATUS", "generation": 0, "technicalStatus": HOSTILE, "period": HOSTILE,
                         "expiration_datetime": HOSTILE, "code": 0});
    site.sandbox.script("STATUS", Script::status_body(strange.to_string()));
    site.sandbox
        .script("ORDER-1", Script::order_body(json!({"responseCode": 1051, "responseMessage": HOSTILE}).to_string()));
    site.sandbox
        .script("GAVE-UP-1", Script::order_body(json!({"responseCode": 1062, "responseMessage": HOSTILE}).to_string()));
    let daemon = Daemon::spawn(&site);
    let failed = [site.next_message(), site.next_message()]
        .into_iter()
        .find(|message| message.data()["reason"] == "refused")
        .expect("one of them is given up");
    let told = failed.data()["provider_message"].as_str().unwrap().to_owned();
    assert!(!told.contains(char::is_control), "{told:?}");
    eventually("all are asked", || {
        (site.value::<i64>("SELECT count(*) FROM subscriptions WHERE last_asked_at IS NOT NULL") == 6).then_some(())
    });
    daemon.terminate();
    let finished = daemon.wait();
    assert_clean(&finished.stderr, "the log");
    site.let_pass(5 * HOUR);
    for arguments in [&["-vv"][..], &["--cron"], &["--json"]] {
        let finished = site.command(&[&["once", "--max-time", "1s"], arguments].concat());
        assert_clean(&(finished.stdout + &finished.stderr), &arguments.join(" "));
    }
    for arguments in [
        &["list"][..],
        &["queue", "list"],
        &["queue", "dead"],
        &["explain", "CODE"],
        &["explain", "FOREIGN"],
        &["explain", "STATUS"],
        &["explain", "ORDER"],
        &["explain", "GAVE-UP"],
        &["explain", "\u{202e}NUMBER"],
        &["explain", "\u{1b}[2J"],
        &["queue", "show", &failed.id],
        &["queue", "show", &failed.id, "--reveal"],
        &["untrack", "\u{202e}NUMBER"],
    ] {
        let finished = site.command(arguments);
        assert_clean(&(finished.stdout + &finished.stderr), &format!("{arguments:?}"));
    }
}

/// Whatever a variant delivers, its keys are in the message and in no line of the log.
#[test]
fn no_variant_leaks_its_keys() {
    use Variant::*;
    let site = Site::with(|setup| setup.log_level = "trace");
    let mut keys = Vec::new();
    for variant in [PlainKey, SeveralSerials, Steam, KeyFile, UnknownEncoding, SeveralLines, NoIds, ForeignIds] {
        let number = format!("V-{variant:?}");
        let ids = site.place(NewOrder { variant, ..NewOrder::new(&*number) });
        site.renew(&number);
        keys.extend(site.sandbox.expected_keys(&format!("{number}-1"), ids[0]));
    }
    assert!(keys.len() >= 8);
    let finished = site.start(&["once", "-vvv", "--max-time", "3s"]).wait();
    assert_eq!(site.messages().len(), 7, "{}", finished.stderr);
    assert_none(&keys, &finished.stderr, "the log");
}
