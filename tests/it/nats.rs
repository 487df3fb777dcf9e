//! The sink `nats` against a real server with JetStream, read by a client of our own that knows only the text protocol.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::admin::test_python;
use crate::brokers::{
    assert_complete, assert_waiting, check, example, last_error, relay_all, renewed, renewed_with, through_an_outage,
};
use crate::harness::{HOUR, Site};
use crate::servers::authority::Authority;
use crate::servers::nats::Nats;
use crate::servers::operator::Operator;

/// To subjects `renewals.TERRITORY`, with further keys.
fn site(url: &str, more: &str) -> Site {
    let table = format!("kind = \"nats\"\nurl = \"{url}\"\nsubject = \"renewals.{{territory}}\"\n{more}");
    Site::without_sink_and(|setup| {
        setup.sink_timeout = "10s";
        setup.set_sink("shop", &table);
    })
}

fn bodies(server: &Nats, stream: &str) -> Vec<Value> {
    server.client().messages(stream).iter().map(|message| message.json()).collect()
}

/// With client certificates asked for, and the account of the documented example.
fn tls_server(directory: &std::path::Path) -> Option<(Nats, Authority)> {
    let authority = Authority::create(directory)?;
    let pem = |name: &str| authority.file(name);
    let (ca, certificate, key) = (pem("authority.pem"), pem("server.pem"), pem("server.key"));
    let server = Nats::with(&format!(
        "tls {{ ca_file: {ca:?}, cert_file: {certificate:?}, key_file: {key:?}, verify: true, timeout: 10 }}\n\
         authorization {{ user: renewald, password: \"pass with spaces\" }}"
    ))?;
    Some((server, authority))
}

#[test]
fn the_readmes_example_delivers_over_tls() {
    let directory = tempfile::tempdir().unwrap();
    let Some((server, authority)) = tls_server(directory.path()) else { return };
    let url = server.url().replace("nats://", "tls://");
    let site = Site::with_sink("shop", &example("nats", &url));
    fs::write(site.path("secrets/nats-password"), "pass with spaces\n").unwrap();
    let given =
        [("nats-ca.pem", "authority.pem"), ("renewald.pem", "client.pem"), ("secrets/renewald.key", "client.key")];
    for (to, from) in given {
        fs::copy(authority.file(from), site.path(to)).unwrap();
    }
    renewed(&site, 2, 1);
    let said = check(&site, 1);
    assert!(said.contains("stream RENEWALS does not take the subject renewals.*; that take it: none"), "{said}");

    // The same settings as the administrator's own, to make the stream with.
    let mut tls = server.tls_client(&authority, &json!({"user": "renewald", "pass": "pass with spaces"}));
    tls.create_stream("RENEWALS", &["renewals.*"]);
    assert!(check(&site, 0).contains("would take messages"));
    site.catch_up();
    let messages = tls.messages("RENEWALS");
    assert_eq!(messages.len(), 2);
    let (message, body) = (&messages[0], messages[0].json());
    let stored: Vec<u8> =
        site.value(&format!("SELECT body FROM messages WHERE id = '{}'", body["id"].as_str().unwrap()));
    assert_eq!(message.body.as_bytes(), stored, "byte for byte");
    assert_eq!(message.subject, "renewals.eu");
    assert_eq!(message.header("Nats-Msg-Id"), body["id"].as_str());
    assert_eq!(message.header("Content-Type"), Some("application/cloudevents+json"));
    assert_eq!(message.header("Nats-Expected-Stream"), Some("RENEWALS"));
}

#[test]
fn tls_needs_the_right_authority_and_a_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let Some((server, authority)) = tls_server(directory.path()) else { return };
    let url = server.url().replace("nats://", "tls://");
    let account = "user = \"renewald\"\npassword = \"pass with spaces\"\n";
    let said = |more: &str| check(&site(&url, &format!("{account}{more}")), 1);
    assert!(said("").contains("UnknownIssuer"), "{}", said(""));
    let refused = said(&format!("ca_file = \"{}\"", authority.file("authority.pem")));
    assert!(refused.contains("could not connect"), "{refused}");
}

#[test]
fn a_server_killed_among_a_thousand_messages_loses_none() {
    let Some(mut server) = Nats::new() else { return };
    server.client().create_stream("S", &["renewals.*"]);
    let site = site(&server.url(), "concurrency = 32");
    through_an_outage(&site, &mut server);
    assert_complete(&bodies(&server, "S"));
}

#[test]
fn wrong_credentials_are_the_sinks_trouble_and_are_not_shown() {
    let Some(server) = Nats::with("authorization { token: right }") else { return };
    let mut admin = server.client_as(&json!({"auth_token": "right"}));
    admin.create_stream("S", &["renewals.*"]);
    let site = site(&server.url(), "token_file = \"nats\"");
    fs::write(site.path("secrets/nats"), "hush-wrong").unwrap();
    renewed(&site, 3, 1);
    let said = check(&site, 1);
    assert!(said.contains("could not connect: the server does not accept our credentials"), "{said}");
    assert!(site.work().pass(site.now()).1.blocked);
    assert_waiting(&site, 3);
    assert!(!last_error(&site).contains("hush"), "{}", last_error(&site));

    fs::write(site.path("secrets/nats"), "right").unwrap();
    relay_all(&mut site.work(), &site, site.now() + HOUR);
    assert_eq!(admin.messages("S").len(), 3);
}

/// Operator, account and user as `nsc` makes them.
#[test]
fn a_credentials_file_proves_who_we_are() {
    let operator = Operator::create();
    let Some(server) = Nats::with(&operator.configuration) else { return };
    let mut admin = server.client_of(&operator.user(&[]));
    admin.create_stream("S", &["renewals.*"]);
    let site = site(&server.url(), "credentials_file = \"nats.creds\"");
    renewed(&site, 2, 1);
    let give = |text: &str| fs::write(site.path("secrets/nats.creds"), text).unwrap();

    give("not one of ours: hush-seed");
    let said = check(&site, 1);
    assert!(said.contains("credentials_file does not hold a JWT and an NKey seed") && !said.contains("hush"), "{said}");
    // Of another operator.
    give(&Operator::create().user(&[]).credentials());
    let said = check(&site, 1);
    assert!(said.contains("the server does not accept our credentials"), "{said}");
    // Known here, and without the right to publish.
    give(&operator.user(&["other.>", "$JS.API.>"]).credentials());
    assert!(site.work().pass(site.now()).1.blocked);
    assert!(
        last_error(&site).contains("Permissions Violation for Publish to \"renewals.eu\""),
        "{}",
        last_error(&site)
    );

    give(&operator.user(&["renewals.*", "$JS.API.>"]).credentials());
    assert!(check(&site, 0).contains("would take messages"));
    relay_all(&mut site.work(), &site, site.now() + HOUR);
    assert_eq!(admin.messages("S").len(), 2);
}

#[test]
fn a_user_without_permission_is_told_so_at_once() {
    let configuration = "authorization { users = [
        { user: admin, password: admin }
        { user: shop, password: shop, permissions: { publish: [\"other.>\", \"$JS.API.>\"] } }
        { user: mute, password: mute, permissions: { publish: [\"renewals.*\"] } } ] }";
    let Some(server) = Nats::with(configuration) else { return };
    let mut admin = server.client_as(&json!({"user": "admin", "pass": "admin"}));
    admin.create_stream("S", &["renewals.*"]);
    let site = |user: &str| site(&server.url(), &format!("user = \"{user}\"\npassword = \"{user}\""));
    let shop = site("shop");
    renewed(&shop, 1, 1);
    assert!(shop.work().pass(shop.now()).1.blocked);
    let reason = last_error(&shop);
    assert!(reason.contains("Permissions Violation for Publish to \"renewals.eu\""), "{reason}");
    let table = format!(
        "kind = \"nats\"\nurl = \"{}\"\nsubject = \"renewals.eu\"\nuser = \"shop\"\npassword = \"shop\"",
        server.url()
    );
    let said = check(&Site::with_sink("shop", &table), 1);
    assert!(said.contains("Permissions Violation for Publish to \"renewals.eu\""), "{said}");
    let said = check(&site("mute"), 1);
    assert!(said.contains("cannot ask JetStream for its streams") && said.contains("Permissions Violation"), "{said}");
}

#[test]
fn a_check_looks_for_every_event_and_stores_nothing() {
    let Some(server) = Nats::new() else { return };
    let mut client = server.client();
    client.create_stream("S", &["renewald.renewal.ready.v1"]);
    let table = format!("kind = \"nats\"\nurl = \"{}\"\nsubject = \"{{type}}\"", server.url());
    let site = Site::with_sink("shop", &table);
    assert!(check(&site, 1).contains("no stream takes the subject renewald.renewal.failed.v1"));
    client.create_stream("T", &["renewald.renewal.failed.v1"]);
    assert!(check(&site, 0).contains("would take messages"));
    assert!(client.messages("S").is_empty() && client.messages("T").is_empty());
}

/// The deduplication id and body of each message of a stream, as the server's own Python client reads them.
const READ: &str = "
import asyncio, json, sys, nats
async def main(url, stream):
    client = await nats.connect(url)
    jetstream = client.jetstream()
    state = (await jetstream.stream_info(stream)).state
    for sequence in range(state.first_seq, state.last_seq + 1):
        message = await jetstream.get_msg(stream, sequence)
        print(json.dumps([message.headers['Nats-Msg-Id'], message.data.decode()]))
    await client.close()
asyncio.run(main(*sys.argv[1:]))";

#[test]
fn another_client_reads_a_message_and_its_replay_under_a_deduplication_id_of_its_own() {
    let Some(python) = test_python("python") else { return };
    let Some(server) = Nats::new() else { return };
    server.client().create_stream("S", &["renewals.*"]);
    let site = site(&server.url(), "");
    renewed(&site, 1, 1);
    site.catch_up();
    site.command(&["queue", "replay", "--sink", "shop", "--since", "1h"]).expect_code(0);
    site.catch_up();
    let read = Command::new(python).args(["-c", READ, &server.url(), "S"]).output().unwrap();
    let text = String::from_utf8(read.stdout).unwrap();
    let read: Vec<(String, String)> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [(id, body), (again, same)] = &read[..] else { panic!("{text}") };
    assert_eq!(serde_json::from_str::<Value>(body).unwrap()["id"], *id);
    assert_eq!((again, same), (&format!("{id}/1"), body));
}

#[test]
fn a_missing_stream_is_named_and_messages_wait_for_it() {
    let Some(server) = Nats::new() else { return };
    let site = site(&server.url(), "stream = \"S\"");
    renewed(&site, 10, 1);
    let mut work = site.work();
    let start = site.now();
    assert!(work.pass(start).1.blocked);
    assert!(last_error(&site).contains("no stream takes the subject renewals.eu"), "{}", last_error(&site));

    let mut client = server.client();
    client.create_stream("OTHER", &["renewals.*"]);
    assert!(check(&site, 1).contains("stream S does not take the subject renewals.*; that take it: OTHER"));
    assert!(work.relay(start + HOUR).blocked);
    assert!(last_error(&site).contains("expected stream does not match"), "{}", last_error(&site));
    assert_waiting(&site, 10);

    client.ask("STREAM.DELETE.OTHER", &Value::Null);
    client.create_stream("S", &["renewals.*"]);
    relay_all(&mut work, &site, start + 2 * HOUR);
    assert_eq!(client.messages("S").len(), 10);
}

#[test]
fn messages_too_large_for_ever_hold_up_no_other() {
    for (configuration, stream, reason) in [
        ("max_payload: 32KB", json!({}), "max payload"),
        ("", json!({"max_msg_size": 32 * 1024}), "message size exceeds maximum allowed"),
    ] {
        let Some(server) = Nats::with(configuration) else { return };
        server.client().stream("CREATE", "S", &["renewals.*"], stream);
        let site = site(&server.url(), "");
        renewed_with(&site, 30, 1, &json!({"note": "x".repeat(40 * 1024)}).to_string());
        let (_, report) = site.work().pass(site.now());
        assert_eq!((report.delivered, report.blocked), (29, false), "{}", last_error(&site));
        assert_eq!(bodies(&server, "S").len(), 29);
        let reasons = site.texts("SELECT last_error FROM dispatches WHERE last_error IS NOT NULL");
        assert!(reasons.len() == 1 && reasons[0].contains(reason), "{reasons:?}");
    }
}

#[test]
fn a_full_stream_that_discards_new_blocks_the_sink_until_there_is_room() {
    let Some(server) = Nats::new() else { return };
    let mut client = server.client();
    client.stream("CREATE", "S", &["renewals.*"], json!({"max_msgs": 4, "discard": "new"}));
    let site = site(&server.url(), "");
    renewed(&site, 10, 1);
    let mut work = site.work();
    let start = site.now();
    let (_, report) = work.pass(start);
    assert!(report.blocked && report.delivered == 4, "{report:?}");
    assert!(last_error(&site).contains("maximum messages exceeded"), "{}", last_error(&site));
    assert_waiting(&site, 6);

    client.stream("UPDATE", "S", &["renewals.*"], json!({"max_msgs": 100, "discard": "new"}));
    relay_all(&mut work, &site, start + HOUR);
    assert_eq!(client.messages("S").len(), 10);
}

#[test]
fn a_duplicate_counts_as_delivered_and_is_stored_once() {
    let Some(server) = Nats::new() else { return };
    let mut client = server.client();
    client.create_stream("S", &["renewals.*"]);
    let site = site(&server.url(), "");
    renewed(&site, 1, 1);
    let mut work = site.work();
    assert_eq!(work.pass(site.now()).1.delivered, 1);
    // As if we had been killed before its acknowledgement came.
    site.execute("UPDATE dispatches SET state = 'pending', delivered_at = NULL, next_attempt_at = 0");
    assert_eq!(work.relay(site.now()).delivered, 1);
    assert_eq!(client.messages("S").len(), 1);
}
