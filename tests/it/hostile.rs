//! Text from the provider that tries to be more than text: escape sequences, forged lines, marks that reorder, a megabyte on one
//! line. It goes nowhere raw: not into any form of log, table or JSON, nor into what brokers and commands get beside the body.

use std::fs;

use renewald::sandbox::nexway_connect::Script;
use renewald::text::is_unsafe;
use serde_json::{Value, json};

use crate::harness::{HOUR, Site};
use crate::servers::nats::Nats;
use crate::servers::rabbitmq;
use crate::servers::redis::Redis;

const HOSTILE: &str = "=cmd|'/C calc'!A0\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}gpj\r\nERROR forged\r\nBcc: eve@evil.example\r\n\r\n\u{2028}line\u{0}\u{8}\u{200b}";
/// Nothing that people or their tools read has lines longer than this.
const LONGEST_LINE: usize = 16 * 1024;

/// As long as an answer about a subscription may be.
fn megabyte() -> String {
    format!("{HOSTILE}{}{HOSTILE}", "x".repeat(1_000_000))
}

/// One subscription for each place where the provider can put a text.
pub fn with_hostile_texts(site: &Site) {
    site.renewed_all(&["CODE", "FOREIGN", "STATUS", "WAITING", "GIVEN-UP", "READY"]);
    let text = megabyte();
    let status = |number: &str, answer: Value| site.sandbox.script(number, Script::status_body(answer.to_string()));
    status("CODE", json!({"code": 71, "message": text}));
    status("FOREIGN", json!({"partnerOrderNumber": text, "generation": 1, "code": 0}));
    status(
        "STATUS",
        json!({"partnerOrderNumber": "STATUS", "generation": 0, "technicalStatus": HOSTILE,
                            "period": text, "code": 0}),
    );
    let order = |number: &str, answer: Value| site.sandbox.script(number, Script::order_body(answer.to_string()));
    order("WAITING-1", json!({"responseCode": 1051, "responseMessage": text}));
    order("GIVEN-UP-1", json!({"responseCode": 1062, "responseMessage": text}));
    order("READY-1", ready("READY-1", &text));
}

/// Order data that is hostile wherever there is text, but for the key.
fn ready(number: &str, text: &str) -> Value {
    let serial = json!({"data": "KEY-4711", "encoding": "text", "charset": HOSTILE, "fileName": HOSTILE});
    let file = json!({"label": HOSTILE, "type": HOSTILE, "url": HOSTILE, "size": 1, "group": HOSTILE});
    let line = json!({"productRef": 1, "remark": text, "digitalLockerLink": HOSTILE, "dateEndDownload": HOSTILE,
                      "responseCode": 0, "responseMessage": HOSTILE, "files": [file],
                      "lineItems": [{"responseCode": 0, "responseMessage": HOSTILE, "serials": [serial]}]});
    json!({"partnerOrderNumber": number, "orderNumber": HOSTILE, "orderLines": [line], "responseCode": 0,
           "responseMessage": HOSTILE, "downloadManager": {"pc": HOSTILE, "mac": HOSTILE}})
}

fn assert_clean(text: &str, place: &str) {
    let raw = text.chars().find(|c| *c != '\n' && is_unsafe(*c));
    let shown: String = text.chars().take(2000).collect();
    assert_eq!(raw, None, "raw in {place}: {shown:?}");
    assert!(!text.lines().any(|line| line.starts_with("ERROR forged") || line.starts_with("Bcc:")), "{place}: {shown}");
    let longest = text.lines().map(str::len).max().unwrap_or(0);
    assert!(longest <= LONGEST_LINE, "a line of {longest} bytes in {place}: {shown}");
}

/// Lets the daemon meet all of it at `trace`, with its stderr of this form; its log.
fn logged(format: &str, starter: &[&str]) -> String {
    let site = Site::with(|setup| setup.log_level = "trace");
    with_hostile_texts(&site);
    let format = format!("RENEWALD__LOG__FORMAT={format}");
    let starter = [&["env", &format], starter].concat();
    let log = site.start_through(&starter, &["once", "-vvv", "--max-time", "3s"]).wait().stderr;
    assert!(site.messages().iter().any(|message| message.body.contains("KEY-4711")), "{log}");
    assert!(log.contains("owned") && log.contains("TRACE"), "it was told: {log}");
    log
}

#[test]
fn no_form_of_log_shows_it_raw() {
    assert_clean(&logged("text", &[]), "the log as text");
    let json = logged("json", &[]);
    assert_clean(&json, "the log as JSON");
    json.lines().for_each(|line| assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}"));
    // As under systemd, which says by device and inode that stderr is the journal.
    let journal = r#"JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) exec "$0" "$@""#;
    let journal = logged("auto", &["sh", "-c", journal]);
    assert_clean(&journal, "the journal");
    let is_ours = |line: &str| line.len() > 3 && line.starts_with('<') && line[2..].starts_with('>');
    assert!(journal.lines().all(is_ours), "each line has its priority: {journal}");
}

#[test]
fn neither_tables_nor_json_nor_exports_show_it_raw() {
    let site = Site::new();
    with_hostile_texts(&site);
    site.command(&["once", "--max-time", "3s"]);
    site.let_pass(5 * HOUR);
    let id =
        site.messages().iter().find(|message| message.body.contains("KEY-4711")).expect("it is delivered").id.clone();
    for arguments in [
        &["list"][..],
        &["status"],
        &["status", "--renewals"],
        &["queue", "list"],
        &["queue", "show", &id],
        &["explain", "CODE"],
        &["explain", "FOREIGN"],
        &["explain", "STATUS"],
        &["explain", "WAITING"],
        &["explain", "GIVEN-UP"],
        &["explain", "READY"],
    ] {
        for format in [&[][..], &["--json"]] {
            let finished = site.command(&[arguments, format].concat()).expect_code(0);
            assert_clean(&(finished.stdout + &finished.stderr), &format!("{arguments:?} {format:?}"));
        }
    }
    // JSON lines are the only form of export, and none of its fields is the provider's: nothing for a spreadsheet to run.
    let exported = site.command(&["export"]).expect_code(0).stdout;
    assert_clean(&exported, "the export");
    assert!(exported.lines().all(|line| line.starts_with('{')) && !exported.contains("calc"), "{exported}");
}

/// Renewed once, its order data hostile.
fn renewed(site: &Site) {
    site.renewed("A");
    site.sandbox.script("A-1", Script::order_body(ready("A-1", HOSTILE).to_string()));
}

fn assert_delivered(body: &Value) {
    assert_eq!(body["data"]["lines"][0]["serials"][0]["data"], "KEY-4711");
    assert_eq!(body["data"]["lines"][0]["remark"], HOSTILE, "the body has it as it was sent");
}

#[test]
fn an_amqp_message_has_no_property_of_it() {
    let Some(server) = rabbitmq::shared() else { return };
    let vhost = server.vhost("hostile");
    vhost.exchange_with_queue("renewals", "all");
    let table = format!(
        "kind = \"amqp\"\nurl = \"{}\"\nvhost = \"{}\"\nexchange = \"renewals\"\nrouting_key = \"{{territory}}.{{type}}\"",
        server.url(),
        vhost.name()
    );
    let site = Site::with_sink("shop", &table);
    renewed(&site);
    site.catch_up();
    let [message] = &vhost.messages("all")[..] else { panic!("one message") };
    assert_delivered(&message.json());
    assert_eq!(message.0["routing_key"], "eu.renewald.renewal.ready.v1");
    let properties = message.0["properties"].to_string();
    assert!(!properties.contains("evil") && !properties.contains("owned"), "{properties}");
    assert_eq!(message.property("headers").as_object().expect("headers").len(), 1, "{properties}");
}

#[test]
fn a_nats_message_has_neither_header_nor_subject_of_it() {
    let Some(server) = Nats::new() else { return };
    let mut client = server.client();
    client.create_stream("S", &["renewals.>"]);
    let table = format!(
        "kind = \"nats\"\nurl = \"{}\"\nsubject = \"renewals.{{territory}}.{{provider}}.{{type}}\"",
        server.url()
    );
    let site = Site::with_sink("shop", &table);
    renewed(&site);
    site.catch_up();
    let [message] = &client.messages("S")[..] else { panic!("one message") };
    assert_delivered(&message.json());
    assert_eq!(message.subject, "renewals.eu.nexway.renewald.renewal.ready.v1");
    let names: Vec<_> =
        message.headers.lines().skip(1).filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    assert!(
        names.len() == 2 && names.contains(&"Nats-Msg-Id") && names.contains(&"Content-Type"),
        "{}",
        message.headers
    );
}

#[test]
fn a_redis_entry_has_no_field_of_it() {
    let Some(redis) = Redis::new() else { return };
    let table = format!("kind = \"redis\"\nurl = \"{}\"\nstream = \"r:{{territory}}:{{type}}\"", redis.url());
    let site = Site::with_sink("shop", &table);
    renewed(&site);
    site.catch_up();
    let [entry] = &redis.entries("r:eu:renewald.renewal.ready.v1")[..] else { panic!("one entry") };
    assert_delivered(&entry.body());
    let beside = entry.fields.iter().filter(|(name, _)| name != "body");
    beside.for_each(|(name, value)| assert_clean(&format!("{name}={value}"), "a field"));
    assert!(!entry.fields.iter().any(|(name, value)| name != "body" && value.contains("evil")), "{entry:?}");
}

#[test]
fn a_command_finds_nothing_of_it_in_its_environment() {
    let site = Site::without_sink();
    let (body, environment) = (site.path("body"), site.path("environment"));
    let line = format!("cat > {}; env -0 > {}", body.display(), environment.display());
    let table = format!("kind = \"exec\"\ncommand = [\"/bin/sh\", \"-c\", {line:?}]");
    site.change(|setup| setup.set_sink("shop", &table));
    renewed(&site);
    site.catch_up();
    assert_delivered(&serde_json::from_str(&fs::read_to_string(body).unwrap()).unwrap());
    let variables = fs::read_to_string(environment).unwrap();
    let ours: Vec<_> = variables.split('\0').filter(|line| line.starts_with("RENEWALD_")).collect();
    assert_eq!(ours.len(), 2, "{variables:?}");
    variables.split('\0').for_each(|line| assert_clean(line, "the environment"));
    assert!(!variables.contains("evil"), "{variables:?}");
}
