//! Webhooks behind a gate: what it wants to see is sent, and is seen nowhere else.

use std::fs;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::fake_receiver::{Answer, FakeReceiver, Received};
use crate::harness::{Daemon, HOUR, Installation, Setup, Site};
use crate::secrecy::assert_none;
use crate::servers::authority::Authority;

const API_KEY: &str = "CANARY-api-key-4711";
const TOKEN: &str = "CANARY-token-4711";
const PASSWORD: &str = "CANARY-p\u{e4}ssword-4711";

/// The sink `shop` with further keys, and the secrets that they may name.
fn site(more: &str) -> Site {
    let site = Site::with(|setup| setup.log_level = "trace");
    for (name, secret) in [("api-key", API_KEY), ("token", &format!("Bearer {TOKEN}")), ("password", PASSWORD)] {
        keep(&site, name, secret);
    }
    set(&site, more);
    site
}

fn keep(site: &Installation, name: &str, secret: &str) {
    fs::write(site.path("secrets").join(name), secret).unwrap();
}

fn set(site: &Site, more: &str) {
    site.change(|setup: &mut Setup| setup.set_webhook("shop", &site.receiver, more));
}

fn header<'a>(received: &'a Received, name: &str) -> Option<&'a str> {
    received.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// In every form in which they travel.
fn canaries() -> Vec<String> {
    let account = BASE64_STANDARD.encode(format!("renewald:{PASSWORD}"));
    [API_KEY, TOKEN, PASSWORD, &account].map(str::to_owned).to_vec()
}

const HEADERS: &str = "[sinks.shop.headers]\nX-Api-Key_file = \"api-key\"\nAuthorization_file = \"token\"\n";
const ACCOUNT: &str = "user = \"renewald\"\npassword_file = \"password\"\nheaders = { x-tenant_file = \"api-key\" }\n";

#[test]
fn each_message_shows_what_the_gate_wants() {
    let site = site(HEADERS);
    site.renewed("A");
    site.catch_up();
    let received = site.next_message();
    assert_eq!(header(&received, "x-api-key"), Some(API_KEY));
    assert_eq!(header(&received, "authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert_eq!(received.content_type, "application/cloudevents+json");
    assert!(received.signature.is_some(), "signed all the same");

    set(&site, ACCOUNT);
    site.renew("A");
    site.let_pass(5 * HOUR);
    site.catch_up();
    let received = site.next_message();
    let account = header(&received, "authorization").and_then(|value| value.strip_prefix("Basic ")).unwrap();
    assert_eq!(BASE64_STANDARD.decode(account).unwrap(), format!("renewald:{PASSWORD}").as_bytes());
    assert_eq!((header(&received, "x-tenant"), header(&received, "x-api-key")), (Some(API_KEY), None));
}

#[test]
fn nothing_of_it_is_shown() {
    for more in [HEADERS, ACCOUNT] {
        let site = site(more);
        site.renewed("A");
        let mut log = String::new();
        for status in [401, 403, 422, 500] {
            site.receiver.answer_next([Answer::Status(status)]);
            let finished = site.command(&["once", "-vvv", "--max-time", "1s"]);
            log.extend([finished.stdout, finished.stderr]);
            site.execute("UPDATE sinks SET blocked_until = blocked_since; UPDATE dispatches SET next_attempt_at = 0");
        }
        assert!(log.contains("TRACE renewald"), "it is as talkative as can be: {log}");
        assert_none(&canaries(), &log, "the log");
        assert_eq!(site.messages().len(), 4);
        for arguments in
            [&["check"][..], &["check", "--online"], &["queue", "list"], &["queue", "show", &site.next_message().id]]
        {
            for format in [&["-vvv"][..], &["--json"]] {
                let finished = site.command(&[arguments, format].concat());
                assert_none(&canaries(), &(finished.stdout + &finished.stderr), &arguments.join(" "));
            }
        }
        let settings = renewald::settings::Settings::load(Some(&site.path("renewald.toml"))).unwrap();
        assert_none(&canaries(), &format!("{settings:?} {settings:#?}"), "the settings");
    }
}

#[test]
fn a_changed_key_is_sent_from_then_on() {
    let site = site(HEADERS);
    site.renewed("A");
    let daemon = Daemon::spawn(&site);
    assert_eq!(header(&site.next_message(), "x-api-key"), Some(API_KEY));
    daemon.reload();
    daemon.wait_for_log("changed=nothing");
    keep(&site, "api-key", "another");
    daemon.reload();
    daemon.wait_for_log("changed=sinks.shop\n");
    site.renewed("B");
    site.command(&["poll", "B"]).expect_code(0);
    assert_eq!(header(&site.next_message(), "x-api-key"), Some("another"));
    daemon.drain();
}

#[test]
fn a_gate_that_wants_a_certificate_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(authority) = Authority::create(dir.path()) else { return };
    let gate = FakeReceiver::behind(authority.that_wants_certificates());
    let site = Site::new();
    let url = gate.url().replace("127.0.0.1", "localhost");
    let ca = format!("kind = \"webhook\"\nurl = \"{url}\"\nca_file = \"{}\"\n", authority.file("authority.pem"));
    let both = format!(
        "{ca}client_certificate_file = \"{}\"\nclient_key_file = \"{}\"\n",
        authority.file("client.pem"),
        authority.file("client.key")
    );
    site.change(|setup| setup.set_sink("shop", &ca));
    site.renewed("A");
    assert!(site.work().pass(site.now()).1.blocked, "not without one");
    assert!(gate.messages().is_empty());
    site.change(|setup| setup.set_sink("shop", &both));
    assert_eq!(site.work().relay(site.now() + HOUR).delivered, 1);
    assert_eq!(gate.messages().len(), 1);
    let checked = site.command(&["check", "--online"]).expect_code(0);
    assert!(checked.stdout.contains("sink shop: would take messages"), "{checked:?}");
}

#[test]
fn mistakes_are_named() {
    let site = site("");
    for (more, part) in [
        (
            "[sinks.shop.headers]\nContent-Type_file = \"x\"",
            "headers.Content-Type_file: is a header that renewald sets",
        ),
        ("[sinks.shop.headers]\nhost_file = \"x\"", "headers.host_file: is a header that renewald sets itself"),
        ("[sinks.shop.headers]\nWebhook-Id = \"x\"", "headers.Webhook-Id: is a header that renewald sets itself"),
        ("[sinks.shop.headers]\n\"X Key_file\" = \"x\"", "headers.X Key_file: unknown key; keys are made of letters"),
        ("[sinks.shop.headers]\n_file = \"x\"", "headers._file: is not the name of a header"),
        ("[sinks.shop.headers]\nX-A_file = \"x\"\nx-a_file = \"y\"", "headers.x-a_file: given twice: x-a is the same"),
        ("[sinks.shop.headers]\nX-A_file = \"x\"\nX-A = \"y\"", "headers.X-A: given twice: sinks.shop.headers.X-A and"),
        ("[sinks.shop.headers]\nX-A_file = 3", "headers.X-A_file: must be text in quotes, not a number"),
        ("headers = 3", "headers: must be a table: [sinks.shop.headers]"),
        ("user = \"me\"", "password_file: missing; give the name of the file that holds the user's password"),
        ("user = \"me:you\"\npassword_file = \"password\"", "user: must not hold a colon"),
        (&format!("user = \"me\"\npassword_file = \"password\"\n{HEADERS}"), "user: makes the header authorization"),
        ("client_key_file = \"api-key\"", "client_certificate_file: missing; give the certificate of client_key_file"),
        ("client_certificate_file = \"c\"\nclient_key_file = \"k\"", "url: is not encrypted, but a client certificate"),
    ] {
        set(&site, more);
        let finished = site.command(&["check"]).expect_code(78);
        let told = finished.stderr.lines().find(|line| line.contains(&format!("sinks.shop.{part}")));
        let told = told.unwrap_or_else(|| panic!("{more}: {finished:?}"));
        assert!(told.contains("renewald.toml:"), "{told}");
        assert!(!finished.stderr.contains("hush"), "{finished:?}");
    }
    // What is in a file is judged where it is read.
    set(&site, HEADERS);
    keep(&site, "api-key", "hush\nhush");
    fs::remove_file(site.path("secrets/token")).unwrap();
    let checked = site.command(&["check"]).expect_code(1);
    for part in [
        "sinks.shop.headers.X-Api-Key_file: ",
        "secrets/api-key must hold one line of text",
        "sinks.shop.headers.Authorization_file: there is no file ",
    ] {
        assert!(checked.stdout.contains(part), "{checked:?}");
    }
    assert!(!checked.stdout.contains("hush"), "{checked:?}");
    site.command(&["once"]).expect_code(78);
}
