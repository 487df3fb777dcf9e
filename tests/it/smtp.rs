//! The mail sink against a private mail server, its mails read by Python's own email package.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use renewald::sandbox::nexway_connect::{NewOrder, Script, Variant};
use serde_json::json;

use crate::harness::{DAY, Daemon, Finished, HOUR, Installation, Setup, Site, Track, eventually};
use crate::nexway_connect::new_order;
use crate::queued::{assert_complete, documented_example, thousand, wait_for_delivered};
use crate::servers::authority::Authority;
use crate::servers::smtp::{Mail, Smtp};

const PASSWORD: &str = "CANARY-smtp-password";
const FROM: &str = "from = \"Acme <licences@acme.example>\"\n";
const TO: &str = "to = \"{metadata.email}\"\n";

fn site(table: &str) -> Site {
    Site::without_sink_and(|setup| {
        setup.log_level = "trace";
        set(setup, table);
    })
}

fn set(setup: &mut Setup, table: &str) {
    setup.set_sink("mail", &format!("kind = \"smtp\"\n{table}"));
}

/// In plain text, to the address in the metadata.
fn plain(server: &Smtp, more: &str) -> String {
    format!("host = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n{FROM}{TO}{more}\n", server.port())
}

/// Tracks a subscription that was renewed once.
fn renewed(site: &Site, number: &str, metadata: &str) -> i64 {
    let id = site.order_as(number, |track| Track { metadata, ..track });

    site.renew(number);
    id
}

fn to(address: &str) -> String {
    json!({"email": address}).to_string()
}

fn secret(site: &Installation, name: &str, secret: &str) {
    fs::write(site.path("secrets").join(name), secret).unwrap();
}

fn last_error(site: &Installation) -> String {
    site.value("SELECT coalesce((SELECT last_error FROM sinks), '')")
}

/// `state attempts error` of each subscription's dispatch.
fn states(site: &Installation) -> Vec<String> {
    site.texts(
        "SELECT partner_order_number || ' ' || d.state || ' ' || d.attempts || ' ' || coalesce(d.last_error, '')
         FROM dispatches d JOIN subscriptions s ON s.id = d.subscription ORDER BY partner_order_number, d.id",
    )
}

fn assert_none(canaries: &[&str], finished: &Finished) {
    for canary in canaries {
        assert!(!finished.stderr.contains(canary) && !finished.stdout.contains(canary), "{canary}: {finished:?}");
    }
}

fn names(mail: &Mail) -> Vec<&str> {
    mail.headers.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn the_readmes_example_mails_the_keys() {
    let dir = tempfile::tempdir().unwrap();
    let Some(authority) = Authority::create(dir.path()) else { return };
    let options = json!({"user": "licences@acme.example", "password": PASSWORD,
                         "certificate": authority.file("server.pem"), "key": authority.file("server.key")});
    let Some(server) = Smtp::with(options) else { return };
    let example = documented_example("smtp").replace("mail.acme.example", "localhost");
    let addresses = format!("port = {}\nca_file = \"{}\"\n", server.port(), authority.file("authority.pem"));
    let site = site(&(example.replace("kind = \"smtp\"\n", "") + &addresses));
    secret(&site, "smtp-password", PASSWORD);
    let id = renewed(&site, "A", &to("customer@example.com"));
    let checked = site.command(&["check", "--online"]).expect_code(0);
    assert!(checked.stdout.contains("sink mail: would take messages"), "{checked:?}");
    let finished = site.catch_up();

    let [mail] = &server.mails()[..] else { panic!("one mail: {:?}", server.mails()) };
    assert_eq!(
        (mail.envelope.from.as_str(), &mail.envelope.to[..]),
        ("licences@acme.example", &["customer@example.com".to_owned()][..])
    );
    assert!(mail.envelope.tls);
    assert_eq!(
        names(mail),
        [
            "From",
            "To",
            "Subject",
            "Message-ID",
            "Date",
            "Auto-Submitted",
            "MIME-Version",
            "Content-Type",
            "Content-Transfer-Encoding"
        ]
    );
    assert_eq!(mail.header("From"), "Acme <licences@acme.example>");
    assert_eq!(mail.header("Subject"), "Your renewal A-1");
    assert_eq!(site.texts("SELECT id FROM messages").len(), 1);
    assert!(site.texts("SELECT CAST(body AS TEXT) FROM messages")[0].contains(mail.id()), "{mail:?}");
    let keys = site.sandbox.expected_keys("A-1", id);
    let text = mail.text.as_deref().unwrap();
    assert!(keys.iter().all(|key| text.contains(key)), "{text}");
    let mut canaries: Vec<_> = keys.iter().map(String::as_str).collect();
    canaries.extend([PASSWORD, "customer@example.com"]);
    assert_none(&canaries, &finished);
    assert_none(&canaries, &checked);
}

#[test]
fn a_term_that_is_due_is_mailed() {
    let Some(server) = Smtp::new() else { return };
    let site = site(&plain(&server, "events = [\"renewal.ready\", \"subscription.renewal_due\"]"));
    site.change(|setup| setup.accounts[0].keys.push_str("notify_before = \"7d\"\n"));
    let end = site.now() + 5 * DAY;
    let id = new_order(&site.sandbox, NewOrder { expires_at: Some(end), ..NewOrder::new("A") })[0];
    site.track_all([Track { metadata: &to("customer@example.com"), ..Track::new("A", id) }]);
    site.catch_up();
    let [mail] = &server.mails()[..] else { panic!("one mail: {:?}", server.mails()) };
    assert_eq!(mail.header("Subject"), "Your subscription A is about to renew");
    let text = mail.text.as_deref().unwrap();
    let expected = format!("renews at the end of its term ({}). Payment is due before that.", &end.to_string()[..10]);
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn a_server_killed_among_a_thousand_messages_loses_none() {
    let Some(mut server) = Smtp::new() else { return };
    let text = "subject = \"{{ id }} {{ data.partner_order_number }}\"\ntext = \"{{ data.lines[0].serials[0].data }}\"";
    let table = plain(&server, &format!("{text}\nevents = [\"renewal.ready\"]"));
    let site = site(&table);
    site.change(|setup| setup.log_level = "info");
    thousand(&site);
    let daemon = Daemon::spawn(&site);
    eventually("some have arrived", || (server.count() >= 50).then_some(()));
    server.stop();
    daemon.wait_for_log("sink is in trouble");
    assert!(site.delivered() < 1000, "it was killed among them");
    server.start();
    wait_for_delivered(&site, 1000);
    daemon.drain();
    let mails = server.mails();
    let arrived: Vec<_> = mails.iter().map(|mail| mail.header("Subject").split_once(' ').unwrap()).collect();
    assert!(mails.iter().all(|mail| mail.header("Subject").starts_with(mail.id())));
    assert_complete(&arrived.into_iter().map(|(id, number)| (id.to_owned(), number.to_owned())).collect::<Vec<_>>());
}

#[test]
fn a_refused_recipient_is_final_and_holds_up_nobody() {
    let Some(server) = Smtp::new() else { return };
    let site = site(&plain(&server, ""));
    renewed(&site, "A", &to("nobody@example.com"));
    renewed(&site, "B", &to("spam@example.com"));
    renewed(&site, "C", "{}");
    renewed(&site, "D", &to("no address"));
    renewed(&site, "E", &to("a@example.com,b@example.com"));
    let id = renewed(&site, "F", &to("customer@example.com"));
    site.renew("A");
    let finished = site.start(&["once", "-vvv"]).wait().expect_code(1);
    assert_eq!(
        states(&site),
        [
            "A dead 1 refused RCPT: 550 5.1.1",
            "A dead 1 refused RCPT: 550 5.1.1",
            "B dead 1 refused the mail: 554 5.7.1",
            "C dead 1 no recipient: to:1: prints what this message or its metadata does not have",
            "D dead 1 no recipient: to is not one mail address for this subscription's metadata",
            "E dead 1 no recipient: to is not one mail address for this subscription's metadata",
            "F delivered 1 ",
        ]
    );
    assert_eq!(server.count(), 1);
    let keys = site.sandbox.expected_keys("F-1", id);
    let mut canaries = vec!["nobody@example.com", "spam@example", "no address", "b@example.com", "customer@"];
    canaries.extend(keys.iter().map(String::as_str));
    assert_none(&canaries, &finished);
    assert_none(&canaries, &site.command(&["queue", "dead"]));
}

#[test]
fn a_recipient_refused_for_now_is_tried_again_and_holds_up_nobody() {
    let Some(server) = Smtp::new() else { return };
    let site = site(&plain(&server, ""));
    renewed(&site, "A", &to("later@example.com"));
    renewed(&site, "B", &to("full@example.com"));
    renewed(&site, "C", &to("customer@example.com"));
    let (_, report) = site.work().pass(site.now());
    assert_eq!((report.delivered, report.dead, report.blocked), (1, 0, false));
    assert_eq!(
        states(&site),
        ["A pending 1 refused RCPT: 450 4.2.0", "B pending 1 refused RCPT: 452 4.2.2", "C delivered 1 "]
    );
}

#[test]
fn other_refusals_are_the_sinks_trouble() {
    let Some(server) = Smtp::new() else { return };
    for (recipient, reason) in
        [("policy@example.com", "refused RCPT: 451 4.7.1"), ("relay@example.com", "refused RCPT: 530 5.7.0")]
    {
        let site = site(&plain(&server, ""));
        renewed(&site, recipient, &to(recipient));
        let (_, report) = site.work().pass(site.now());
        assert_eq!((report.dead, report.blocked, last_error(&site).as_str()), (0, true, reason));
        assert_eq!(site.value::<i64>("SELECT attempts FROM dispatches"), 0);
    }
    let Some(unwelcoming) = Smtp::with(json!({"no_sender": true})) else { return };
    let site = site(&plain(&unwelcoming, ""));
    renewed(&site, "S", &to("customer@example.com"));
    let (_, report) = site.work().pass(site.now());
    assert_eq!((report.dead, report.blocked), (0, true));
    let reason = "refused the sender (MAIL FROM): 550 5.7.1 sender <licences@acme.example> is not welcome";
    assert_eq!(last_error(&site), reason);
    let checked = site.command(&["check", "--online"]).expect_code(1);
    assert!(checked.stdout.contains(reason), "{checked:?}");
}

#[test]
fn credentials_and_encryption_are_the_sinks_trouble() {
    let dir = tempfile::tempdir().unwrap();
    let Some(authority) = Authority::create(dir.path()) else { return };
    let files = json!({"certificate": authority.file("server.pem"), "key": authority.file("server.key")});
    let with = |more: serde_json::Value| {
        let mut options = files.clone();
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Smtp::with(options)
    };
    let account = json!({"user": "shop", "password": PASSWORD});
    let (Some(starttls), Some(bare)) = (with(account.clone()), Smtp::new()) else { return };
    let mut implicit = account;
    implicit["implicit"] = true.into();
    let Some(implicit) = with(implicit) else { return };
    let table = |server: &Smtp, more: &str| {
        format!(
            "host = \"localhost\"\nport = {}\n{FROM}{TO}user = \"shop\"\npassword_file = \"smtp\"\n{more}",
            server.port()
        )
    };
    let ca = format!("ca_file = \"{}\"\n", authority.file("authority.pem"));
    for (n, (server, more, password, reason)) in [
        (&starttls, "", PASSWORD, "no encryption (STARTTLS): invalid peer certificate"),
        (&starttls, ca.as_str(), "wrong", "does not accept user and password: 535 5.7.8"),
        (&bare, ca.as_str(), PASSWORD, "no encryption (STARTTLS): STARTTLS is not supported on this server"),
        (&implicit, &format!("{ca}tls = \"tls\""), "wrong", "does not accept user and password: 535 5.7.8"),
        (&starttls, &ca, PASSWORD, ""),
        (&implicit, &format!("{ca}tls = \"tls\""), PASSWORD, ""),
    ]
    .into_iter()
    .enumerate()
    {
        let site = site(&table(server, more));
        secret(&site, "smtp", password);
        renewed(&site, &format!("N{n}"), &to("customer@example.com"));
        let (_, report) = site.work().pass(site.now());
        assert_eq!((report.delivered, report.dead), (u64::from(reason.is_empty()), 0), "{n}: {}", last_error(&site));
        assert!(last_error(&site).starts_with(reason), "{n}: {}", last_error(&site));
        let checked = site.command(&["check", "--online"]).expect_code(i32::from(!reason.is_empty()));
        assert!(checked.stdout.contains(reason), "{checked:?}");
        assert_none(&[PASSWORD, "wrong"], &checked);
    }
    assert!(starttls.mails()[0].envelope.tls && implicit.mails()[0].envelope.tls);
}

#[test]
fn a_server_that_is_down_gets_the_mail_when_it_is_back() {
    let Some(mut server) = Smtp::new() else { return };
    let site = site(&plain(&server, ""));
    renewed(&site, "A", &to("a@example.com"));
    let mut work = site.work();
    assert_eq!(work.pass(site.now()).1.delivered, 1);
    // Restarted between two mails: the kept connection is dead, and nobody notices.
    server.stop();
    server.start();
    site.renew("A");
    let (_, report) = work.pass(site.now() + 5 * HOUR);
    assert_eq!((report.delivered, report.blocked), (1, false), "{}", last_error(&site));
    server.stop();
    site.renew("A");
    let (_, report) = work.pass(site.now() + 10 * HOUR);
    assert_eq!((report.delivered, report.blocked), (0, true));
    assert!(last_error(&site).starts_with("could not connect: "), "{}", last_error(&site));
    server.start();
    assert_eq!(work.relay(site.now() + 11 * HOUR).delivered, 1);
    assert_eq!(server.count(), 3);
}

#[test]
fn a_server_that_never_answers_costs_the_timeout() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(); // the kernel connects, and nobody reads
    let port = silent.local_addr().unwrap().port();
    let table = format!("kind = \"smtp\"\nhost = \"127.0.0.1\"\nport = {port}\n{FROM}{TO}");
    let site = Site::with_sink("mail", &table);
    site.change(|setup| setup.sink_timeout = "1s");
    renewed(&site, "A", &to("a@example.com"));
    let (_, report) = site.work().pass(site.now());
    assert_eq!((report.dead, report.blocked, last_error(&site).as_str()), (0, true, "no answer within 1s"));
    assert_eq!(site.value::<i64>("SELECT attempts FROM dispatches"), 0);
}

const HOSTILE: &str =
    "x\r\nBcc: eve@evil.example\r\nX-Evil: 1\r\n\r\n.\r\nMAIL FROM:<eve@evil.example>\r\n\u{0}\u{1b}[31m\u{202e}";

#[test]
fn hostile_text_adds_no_header_and_no_recipient() {
    let Some(server) = Smtp::new() else { return };
    let texts = r#"
subject = "For {{ metadata.name }}: {{ data.lines[0].remark }}"
text = "{{ metadata.name }}|{{ data.lines[0].remark }}|{{ data.lines[0].serials[0].data }}"
html = "<p>{{ data.lines[0].remark }}</p>"
events = ["renewal.ready"]"#;
    let site = site(&plain(&server, texts));
    let id = renewed(&site, "A", &json!({"email": "bob@example.com", "name": HOSTILE}).to_string());
    let item = json!({"subscriptionId": id, "responseCode": 0, "serials": [{"data": "KEY-1", "encoding": "text", "charset": "utf-8"},
        {"data": "QUFB", "encoding": "base64", "fileName": "../a\r\nX-Evil: 2\".key"}]});
    let line = json!({"productRef": 1, "remark": format!("<script>{HOSTILE}"), "responseCode": 0, "lineItems": [item]});
    let body = json!({"partnerOrderNumber": "A-1", "orderNumber": 1, "orderLines": [line], "responseCode": 0});
    site.sandbox.script("A-1", Script::order_body(body.to_string()));
    // Addresses that would say more than an address.
    for (number, email) in
        [("B", "bob@example.com\r\nRCPT TO:<eve@evil.example>"), ("C", "bob@example.com> SIZE=1 <x@example.com")]
    {
        renewed(&site, number, &to(email));
    }
    let (_, report) = site.work().pass(site.now());
    assert_eq!((report.delivered, report.dead), (1, 2), "{:?}", states(&site));

    let [mail] = &server.mails()[..] else { panic!("one mail: {:?}", server.mails()) };
    assert_eq!(mail.envelope.to, ["bob@example.com"]);
    assert_eq!(mail.header("To"), "bob@example.com");
    assert_eq!(
        names(mail),
        ["From", "To", "Subject", "Message-ID", "Date", "Auto-Submitted", "MIME-Version", "Content-Type"]
    );
    assert!(mail.header("Subject").starts_with("For x Bcc: eve@evil.example X-Evil: 1 . MAIL FROM:<"), "{mail:?}");
    assert!(!mail.header("Subject").contains(|c: char| c.is_control() || c == '\u{202e}'), "{mail:?}");
    let text = mail.text.as_deref().unwrap();
    assert!(text.contains("\n.\nMAIL FROM:<eve@evil.example>\n") && text.trim_end().ends_with("|KEY-1"), "{text:?}");
    assert!(mail.html.as_deref().unwrap().starts_with("<p>&lt;script&gt;"), "{mail:?}");
    let [attached] = &mail.attachments[..] else { panic!("{mail:?}") };
    assert_eq!((attached.name.as_str(), attached.content.as_str()), ("_a X-Evil_ 2_.key", "AAA"));
}

/// A label that fits, but not any more once it is in ASCII.
fn too_long() -> String {
    format!("{}\u{fc}", "x".repeat(60))
}

/// As a reseller in Munich has them: nearly no server offers SMTPUTF8.
#[test]
fn domains_beyond_ascii_are_said_to_every_server() {
    let Some(server) = Smtp::with(json!({"ascii": true})) else { return };
    let table = plain(&server, "reply_to = \"Hilfe <hilfe@m\u{fc}ller.example>\"");
    let site = site(&table.replace("acme.example", "m\u{fc}ller.example"));
    renewed(&site, "A", &to("info@m\u{fc}ller.example"));
    renewed(&site, "B", &to("j\u{fc}rgen@m\u{fc}ller.example"));
    renewed(&site, "C", &to(&format!("info@{}.example", too_long())));
    let finished = site.start(&["once", "-vvv"]).wait().expect_code(1);
    assert_eq!(
        states(&site),
        [
            "A delivered 1 ",
            "B dead 1 the server takes no recipient with letters beyond ASCII before the @ (SMTPUTF8)",
            "C dead 1 no recipient: the address's domain has letters that no domain may have",
        ]
    );
    let [mail] = &server.mails()[..] else { panic!("one mail: {:?}", server.mails()) };
    assert_eq!(mail.envelope.to, ["info@xn--mller-kva.example"]);
    assert_eq!(mail.envelope.from, "licences@xn--mller-kva.example");
    assert_eq!(mail.header("From"), "Acme <licences@xn--mller-kva.example>");
    assert_eq!(mail.header("Reply-To"), "Hilfe <hilfe@xn--mller-kva.example>");
    assert_eq!(mail.header("To"), "info@xn--mller-kva.example");
    assert!(mail.header("Message-ID").ends_with("@xn--mller-kva.example>"), "{mail:?}");
    assert_none(&["info@", "xn--mller", "j\u{fc}rgen"], &finished);
}

#[test]
fn a_name_beyond_ascii_before_the_at_needs_smtputf8() {
    let Some(server) = Smtp::new() else { return };
    let site = site(&plain(&server, ""));
    renewed(&site, "A", &to("j\u{fc}rgen@m\u{fc}ller.example"));
    site.catch_up();
    assert_eq!(server.mails()[0].envelope.to, ["j\u{fc}rgen@xn--mller-kva.example"]);
    // One of our own keeps back every mail, and no message is given up for it.
    let Some(plain_server) = Smtp::with(json!({"ascii": true})) else { return };
    site.change(|setup| set(setup, &plain(&plain_server, "reply_to = \"j\u{fc}rgen@acme.example\"")));
    site.renew("A");
    let (_, report) = site.work().pass(site.now() + 5 * HOUR);
    assert_eq!((report.dead, report.blocked), (0, true));
    let reason = "the server takes no from or reply_to with letters beyond ASCII before the @ (SMTPUTF8)";
    assert_eq!(last_error(&site), reason);
    let checked = site.command(&["check", "--online"]).expect_code(1);
    assert!(checked.stdout.contains(reason), "{checked:?}");
}

#[test]
fn licence_files_are_attached() {
    let Some(server) = Smtp::new() else { return };
    let site = site(&plain(&server, ""));
    let ids = new_order(&site.sandbox, NewOrder { variant: Variant::KeyFile, ..NewOrder::new("K") });
    site.track_all([Track { metadata: &to("customer@example.com"), ..Track::new("K", ids[0]) }]);
    site.renew("K");
    site.catch_up();
    let mails = server.mails();
    assert_eq!(mails[0].attachments.len(), 1, "{mails:?}");
    assert!(mails[0].text.as_deref().unwrap().contains("Licence file: attached"), "{mails:?}");
}

#[test]
fn mistakes_in_its_settings_are_named() {
    let site = Site::without_sink();
    let least = format!("host = \"localhost\"\n{FROM}{TO}");
    fs::write(site.path("mail.txt"), "Hello\n{% for line in data.lines %}\n{{ line.remark }\n").unwrap();
    for (table, part) in [
        (format!("{FROM}{TO}"), "host: missing; give the mail server's name"),
        (format!("host = \"smtp://h\"\n{FROM}{TO}"), "host: must be a name or an address alone"),
        (format!("host = \"h\"\n{FROM}"), "to: missing; give the recipient"),
        (format!("host = \"h\"\n{TO}"), "from: missing; give the sender"),
        (format!("host = \"h\"\n{TO}from = \"a@example.com, b@example.com\""), "from: is not one mail address"),
        (format!("host = \"h\"\n{FROM}to = \"nobody\""), "to: is neither one mail address nor a template"),
        (format!("{least}reply_to = \"nobody\""), "reply_to: is not one mail address"),
        (
            format!("{least}reply_to = \"a@{}.example\"", too_long()),
            "reply_to: holds a domain with letters that no domain",
        ),
        (
            format!("host = \"h\"\n{FROM}to = \"a@{}.example\"", too_long()),
            "to: holds a domain with letters that no domain",
        ),
        (
            format!("host = \"h\u{fc}\u{ff1e}\"\n{FROM}{TO}"),
            "host: holds a domain with letters that no domain may have",
        ),
        (format!("{least}tls = \"ssl\""), "tls: \"ssl\" is unknown; known are starttls, tls, none"),
        (format!("{least}user = \"u\""), "password_file: missing; give the name of the file"),
        (format!("{least}password_file = \"p\""), "user: missing; give the user whose password this is"),
        (format!("{least}tls = \"none\"\nca_file = \"x\""), "ca_file: is of no use with tls = \"none\""),
        (format!("{least}subject = \"a {{{{ b\""), "subject: line 1: syntax error"),
        (format!("{least}text_file = \"mail.txt\""), "text_file: "),
        (format!("{least}text = \"x\"\ntext_file = \"mail.txt\""), "text: given twice: text and text_file; keep one"),
        (format!("{least}html_file = \"none.html\""), "html_file: "),
    ] {
        site.change(|setup| set(setup, &table));
        let finished = site.command(&["check"]).expect_code(78);
        assert!(finished.stderr.contains(&format!("sinks.mail.{part}")), "{table}: {}", finished.stderr);
        assert!(
            !part.starts_with("text_file") || finished.stderr.contains("mail.txt:3: syntax error"),
            "{}",
            finished.stderr
        );
    }
    // Right by itself, but not for every message that comes.
    site.change(|setup| set(setup, &format!("{least}text = \"\"\"one\n{{{{ data.lines[0].remark }}}}\"\"\"")));
    let checked = site.command(&["check"]).expect_code(1);
    assert!(
        checked.stdout.contains("template text:2: ") && checked.stdout.contains("tried on a renewal.failed"),
        "{checked:?}"
    );
    site.command(&["once"]).expect_code(78);
    let plain = format!("host = \"mail.example\"\ntls = \"none\"\n{FROM}{TO}");
    site.change(|setup| set(setup, &plain));
    let checked = site.command(&["check"]).expect_code(0);
    assert!(checked.stdout.contains("tls: \"none\" sends the password and licence keys in plain text"), "{checked:?}");
}
