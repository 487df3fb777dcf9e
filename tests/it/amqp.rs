//! The sink `amqp` against a real RabbitMQ, whose own management API reads what arrived.

use std::fs;

use serde_json::{Value, json};

use crate::brokers::{
    assert_complete, assert_waiting, check, example, last_error, relay_all, renewed, renewed_with, through_an_outage,
};
use crate::harness::{DAY, Daemon, HOUR, Site, eventually};
use crate::servers::rabbitmq::{MESSAGE_BYTES, RabbitMq, Vhost, alone, shared};

/// As guest, to exchange `renewals` of this vhost, with further keys.
fn site(server: &RabbitMq, vhost: &Vhost, more: &str) -> Site {
    site_at(&server.url(), vhost, &format!("exchange = \"renewals\"\n{more}"))
}

fn site_at(url: &str, vhost: &Vhost, more: &str) -> Site {
    let table = format!("kind = \"amqp\"\nurl = \"{url}\"\nvhost = \"{}\"\n{more}", vhost.name());
    Site::without_sink_and(|setup| {
        setup.sink_timeout = "10s";
        setup.set_sink("shop", &table);
    })
}

fn bodies(vhost: &Vhost, queue: &str) -> Vec<Value> {
    vhost.messages(queue).iter().map(|message| message.json()).collect()
}

#[test]
fn the_readmes_example_delivers_what_the_brokers_own_api_reads_back() {
    let Some(server) = shared() else { return };
    let vhost = server.vhost("shop");
    server.user("renewald", "pass with spaces");
    vhost.permit("renewald", ".*");
    let site = Site::with_sink("shop", &example("amqp", &server.tls_url()));
    fs::write(site.path("secrets/rabbitmq-password"), "pass with spaces\n").unwrap();
    let given =
        [("rabbitmq-ca.pem", "authority.pem"), ("renewald.pem", "client.pem"), ("secrets/renewald.key", "client.key")];
    for (to, from) in given {
        fs::copy(server.authority().file(from), site.path(to)).unwrap();
    }
    renewed(&site, 2, 1);
    assert!(check(&site, 0).contains("would take messages"));
    site.catch_up();
    let mut messages = vhost.messages("renewals-shop");
    messages.sort_by_key(|message| message.json()["subject"].as_str().map(str::to_owned));
    assert_eq!(messages.len(), 2);
    let (message, body) = (&messages[0], messages[0].json());
    let stored: Vec<u8> =
        site.value(&format!("SELECT body FROM messages WHERE id = '{}'", body["id"].as_str().unwrap()));
    assert_eq!(message.0["payload"].as_str().unwrap().as_bytes(), stored, "byte for byte");
    assert_eq!(message.0["routing_key"], "eu.renewald.renewal.ready.v1");
    assert_eq!(message.0["exchange"], "renewals");
    assert_eq!(message.property("delivery_mode"), 2);
    assert_eq!(message.property("content_type"), "application/cloudevents+json");
    assert_eq!(message.property("type"), "renewald.renewal.ready.v1");
    assert_eq!(*message.property("message_id"), body["id"]);
    assert_eq!(message.property("headers")["x-deduplication-header"], body["id"]);
    let bindings = vhost.bindings_of("renewals-shop");
    assert!(bindings.as_array().unwrap().iter().any(|one| one["source"] == "renewals" && one["routing_key"] == "#.#"));
}

#[test]
fn a_server_killed_among_a_thousand_messages_loses_none() {
    let Some(mut server) = alone() else { return };
    server.vhost("outage").exchange_with_queue("renewals", "q");
    let site = site(&server, &server.vhost("outage"), "concurrency = 32");
    through_an_outage(&site, &mut *server);
    assert_complete(&bodies(&server.vhost("outage"), "q"));
}

#[test]
fn a_wrong_password_is_the_sinks_trouble_and_is_not_shown() {
    let Some(server) = shared() else { return };
    let vhost = server.vhost("password");
    vhost.exchange_with_queue("renewals", "q");
    server.user("shop", "right");
    vhost.permit("shop", ".*");
    let site = site(&server, &vhost, "user = \"shop\"\npassword_file = \"rabbit\"");
    fs::write(site.path("secrets/rabbit"), "hush-wrong").unwrap();
    renewed(&site, 3, 1);
    let said = check(&site, 1);
    assert!(said.contains("ACCESS_REFUSED - Login was refused"), "{said}");
    assert!(site.work().pass(site.now()).1.blocked);
    assert_waiting(&site, 3);
    assert!(
        last_error(&site).contains("ACCESS_REFUSED") && !last_error(&site).contains("hush"),
        "{}",
        last_error(&site)
    );

    fs::write(site.path("secrets/rabbit"), "right").unwrap();
    relay_all(&mut site.work(), &site, site.now() + HOUR);
    assert_eq!(bodies(&vhost, "q").len(), 3);
}

#[test]
fn what_is_missing_is_named_and_messages_wait_for_it() {
    let Some(server) = shared() else { return };
    let vhost = server.vhost("missing");
    let site = site(&server, &vhost, "queue = \"q\"");
    renewed(&site, 10, 1);
    let said = check(&site, 1);
    assert!(said.contains("NOT_FOUND - no exchange 'renewals' in vhost 'missing'"), "{said}");
    assert!(said.contains("NOT_FOUND - no queue 'q' in vhost 'missing'"), "{said}");
    let mut work = site.work();
    let start = site.now();
    assert!(work.pass(start).1.blocked);
    assert!(last_error(&site).contains("no exchange 'renewals'"), "{}", last_error(&site));

    vhost.exchange("renewals");
    vhost.queue("q", &json!({}));
    assert!(work.relay(start + HOUR).blocked);
    assert!(
        last_error(&site).contains("unroutable (NO_ROUTE): no queue is bound to renewals"),
        "{}",
        last_error(&site)
    );
    assert_waiting(&site, 10);
    assert!(check(&site, 0).contains("would take messages"), "a binding is not known before a message");

    vhost.bind("renewals", "q", "renewald.renewal.#");
    relay_all(&mut work, &site, start + 2 * HOUR);
    assert_eq!(bodies(&vhost, "q").len(), 10);
}

#[test]
fn what_was_made_and_is_removed_is_made_again() {
    let Some(server) = shared() else { return };
    let vhost = server.vhost("made");
    let site = site(&server, &vhost, "queue = \"q\"\ndeclare = true\nconcurrency = 1");
    renewed(&site, 1, 1);
    let (mut work, start) = (site.work(), site.now());
    assert_eq!(work.pass(start).1.delivered, 1);
    for (n, what, name) in [(1, "queues", "q"), (2, "exchanges", "renewals")] {
        vhost.remove(what, name);
        site.renew("A0");
        let now = start + n * DAY;
        assert!(work.pass(now).1.blocked, "{what}");
        assert_eq!(work.relay(now + HOUR).delivered, 1, "{what}: {}", last_error(&site));
    }
}

/// lapin prints a returned message with its body, and so with its licence keys, at `warn`.
#[test]
fn a_returned_message_is_not_logged_even_where_lapin_is_named() {
    let Some(server) = shared() else { return };
    let vhost = server.vhost("returned");
    vhost.exchange("renewals");
    let site = site(&server, &vhost, "");
    site.change(|setup| setup.log_level = "info,lapin=warn");
    renewed(&site, 1, 1);
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("unroutable (NO_ROUTE)");
    daemon.terminate();
    let log = daemon.wait().stderr;
    let beginning = format!("{:?}", b"{\"specversion"); // as a list of bytes is printed
    assert!(!log.contains(beginning.trim_end_matches(']')) && !log.contains("specversion"), "{log}");
}

#[test]
fn a_message_too_large_for_ever_holds_up_no_other() {
    let Some(server) = shared() else { return };
    let vhost = server.vhost("large");
    vhost.exchange_with_queue("renewals", "q");
    let site = site(&server, &vhost, "");
    let metadata = json!({"note": "x".repeat(MESSAGE_BYTES - 1024)}).to_string();
    renewed_with(&site, 30, 1, &metadata);
    let (_, report) = site.work().pass(site.now());
    assert_eq!((report.delivered, report.blocked), (29, false), "{}", last_error(&site));
    assert_eq!(bodies(&vhost, "q").len(), 29);
    let reasons = site.texts("SELECT last_error FROM dispatches WHERE last_error IS NOT NULL");
    assert!(reasons.len() == 1 && reasons[0].contains("is larger than configured max size"), "{reasons:?}");
}

#[test]
fn a_full_queue_that_rejects_counts_against_the_sink() {
    let Some(server) = shared() else { return };
    let vhost = server.vhost("full");
    vhost.exchange("renewals");
    vhost.queue("q", &json!({"x-max-length": 2, "x-overflow": "reject-publish"}));
    vhost.bind("renewals", "q", "#");
    let site = site(&server, &vhost, "concurrency = 1");
    renewed(&site, 5, 1);
    let mut work = site.work();
    let start = site.now();
    assert!(work.pass(start).1.blocked);
    assert!(last_error(&site).contains("nack"), "{}", last_error(&site));
    let before = bodies(&vhost, "q").len();
    let (mut taken, mut hours) = (before, 1);
    while taken < 5 {
        work.relay(start + hours * HOUR);
        taken += bodies(&vhost, "q").len();
        hours += 1;
        assert!(hours < 20, "{taken} of 5: {}", last_error(&site));
    }
    assert_eq!(taken, 5, "none was lost and none came twice");
}

#[test]
fn a_memory_alarm_blocks_the_sink_until_it_passes() {
    let Some(server) = alone() else { return };
    let vhost = server.vhost("alarm");
    vhost.exchange_with_queue("renewals", "q");
    let site = site(&server, &vhost, "concurrency = 2");
    renewed(&site, 20, 1);
    server.control(&["set_vm_memory_high_watermark", "0"]);
    let mut work = site.work();
    let start = site.now();
    let (_, report) = work.pass(start);
    // RabbitMQ takes what it reads before it notices that a connection publishes.
    assert!(report.blocked && report.delivered < 20 && report.dead == 0, "{report:?}");
    work.relay(start + HOUR);
    let reason = last_error(&site);
    let counted: i64 = site.value("SELECT count(*) FROM dispatches WHERE state = 'pending' AND attempts > 0");
    server.control(&["set_vm_memory_high_watermark", "0.4"]);
    assert!(reason.contains("the broker is blocked: low on memory"), "{reason}");
    assert_eq!(counted, 0, "no message has lost an attempt");
    relay_all(&mut work, &site, start + 2 * HOUR);
    let ids: std::collections::BTreeSet<_> = bodies(&vhost, "q").iter().map(|body| body["id"].to_string()).collect();
    assert_eq!(ids.len(), 20);
}

#[test]
fn tls_needs_the_right_authority_and_a_certificate() {
    let Some(server) = shared() else { return };
    let vhost = server.vhost("tls");
    vhost.exchange_with_queue("renewals", "q");
    let checked = |more: &str| {
        let more = format!("exchange = \"renewals\"\nuser = \"guest\"\npassword_file = \"guest\"\n{more}");
        let site = site_at(&server.tls_url(), &vhost, &more);
        fs::write(site.path("secrets/guest"), "guest").unwrap();
        let problem = check(&site, if more.contains("client_key_file") { 0 } else { 1 });
        (site, problem)
    };
    let file = |name: &str| server.authority().file(name);
    assert!(checked("").1.contains("certificate: UnknownIssuer"));
    let ca = format!("ca_file = \"{}\"\n", file("authority.pem"));
    let (_, refused) = checked(&ca);
    assert!(refused.contains("problem"), "{refused}");
    let identity =
        format!("client_certificate_file = \"{}\"\nclient_key_file = \"{}\"", file("client.pem"), file("client.key"));
    let (site, _) = checked(&format!("{ca}{identity}"));
    renewed(&site, 1, 1);
    assert_eq!(site.work().pass(site.now()).1.delivered, 1);
    assert_eq!(bodies(&vhost, "q").len(), 1);
}

#[test]
fn publishes_share_one_named_connection() {
    let Some(server) = alone() else { return };
    let vhost = server.vhost("shared");
    vhost.exchange_with_queue("renewals", "q");
    let site = site(&server, &vhost, "");
    renewed(&site, 40, 1);
    let mut work = site.work();
    assert_eq!(work.pass(site.now()).1.delivered, 40);
    let opened = eventually("the connection is listed", || {
        let names = server.connection_names();
        (!names.is_empty()).then_some(names)
    });
    assert_eq!(opened, ["renewald"]);
}

#[test]
fn a_user_who_may_not_write_is_told_so_by_a_check_that_sends_nothing() {
    let Some(server) = shared() else { return };
    let vhost = server.vhost("permission");
    vhost.exchange_with_queue("renewals", "q");
    server.user("shop", "right");
    vhost.permit_to_read("shop", ".*");
    let site = site(&server, &vhost, "user = \"shop\"\npassword = \"right\"");
    let said = check(&site, 1);
    assert!(said.contains("ACCESS_REFUSED") && said.contains("renewals"), "{said}");
    vhost.permit("shop", ".*");
    assert!(check(&site, 0).contains("would take messages"));
    assert!(vhost.messages("q").is_empty(), "nothing was sent");
}
