//! What `--json` prints: one object, whose keys docs/api.md lists for every command.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::harness::{Installation, Site, eventually};
use crate::http::Endpoint;
use crate::nexway_connect::order;

type Keys = BTreeSet<String>;

/// They print something else, as the page says, or nothing.
const WITHOUT_OBJECT: [&str; 6] = ["run", "export", "schema", "completions", "man", "queue pull"];

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The rows of the page's tables `Command | Object`: the keys of each command, without what stands in brackets or behind a
/// semicolon.
fn documented() -> BTreeMap<String, Keys> {
    let mut rows = BTreeMap::new();
    for table in include_str!("../../docs/api.md").split("| Command | Object |\n|---|---|\n").skip(1) {
        for row in table.lines().map_while(|line| line.strip_prefix('|')) {
            let (commands, object) = row.split_once('|').expect("two columns");
            let object = object.split(';').next().unwrap_or_default();
            let outside: String =
                object.split('(').map(|part| part.split_once(')').map_or(part, |(_, after)| after)).collect();
            let keys: Keys = quoted(&outside).collect();
            rows.extend(quoted(commands).map(|command| (command, keys.clone())));
        }
    }
    rows
}

/// One site with everything that the commands need, and what they have printed so far.
struct Tried<'a> {
    site: &'a Installation,
    printed: BTreeMap<String, Keys>,
}

impl Tried<'_> {
    /// Runs `line` with `--json`; it stands on the page as `name`.
    fn run(&mut self, name: &str, line: &[&str]) -> Value {
        let finished = self.site.command(&[line, &["--json"]].concat()).expect_code(0);
        self.note(name, &finished.stdout)
    }

    fn note(&mut self, name: &str, printed: &str) -> Value {
        let value: Value = serde_json::from_str(printed).unwrap_or_else(|error| panic!("{name}: {error}: {printed}"));
        let keys = value.as_object().unwrap_or_else(|| panic!("{name}: {value}")).keys().cloned().collect();
        self.printed.insert(name.to_owned(), keys);
        value
    }
}

/// Every command there is, with those below it: `queue list`.
fn commands(site: &Installation) -> Keys {
    site.command(&["man", "--dir", "."]).expect_code(0);
    let files = fs::read_dir(site.path("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = files.filter_map(|file| Some(file.strip_prefix("renewald-")?.strip_suffix(".1")?.replace('-', " ")));
    // All of a shop's calls print the same.
    let names = names.map(|name: String| if name.starts_with("shop") { "shop CALL".to_owned() } else { name });
    names.filter(|name| !["queue", "keys"].contains(&name.as_str())).collect()
}

fn try_subscriptions(tried: &mut Tried, site: &Site) {
    let [a, b, c] = ["A", "B", "C"].map(|number| order(&site.sandbox, number).to_string());
    tried.run("track", &["track", "A", &a, "--generation", "0"]);
    let csv = format!("partner_order_number,subscription_id,generation\nB,{b},0\nC,{c},0\n");
    fs::write(tried.site.path("some.csv"), csv).unwrap();
    tried.run("import", &["import", "some.csv"]);
    tried.run("once --dry-run", &["once", "--dry-run"]);
    ["A", "C"].iter().for_each(|number| site.renew(number));
    tried.run("once", &["once"]);
    tried.run("pause", &["pause", "B"]);
    tried.run("resume", &["resume", "B"]);
    tried.run("shop CALL", &["shop", "order-data", "A"]);
    tried.run("poll", &["poll", "B"]);
    tried.run("refetch", &["refetch", "A", "--generation", "1"]);
    tried.run("untrack", &["untrack", "B"]);
    tried.run("list", &["list"]);
    tried.run("discover", &["discover"]);
    tried.run("explain", &["explain", "A"]);
    tried.run("status", &["status"]);
    tried.run("status --renewals", &["status", "--renewals"]);
}

fn try_messages(tried: &mut Tried) {
    let listed = tried.run("queue list", &["queue", "list"]);
    let id_of = |number: &str| {
        let mut items = listed["items"].as_array().unwrap().iter();
        items.find(|item| item["partner_order_number"] == number).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let (id, forgotten) = (id_of("A"), id_of("C"));
    tried.run("queue dead", &["queue", "dead"]);
    tried.run("queue show", &["queue", "show", &id]);
    tried.run("queue show --reveal", &["queue", "show", &id, "--reveal"]);
    tried.run("queue retry", &["queue", "retry", "--all-dead"]);
    tried.run("queue replay", &["queue", "replay", &id]);
    tried.run("queue backfill", &["queue", "backfill", "--sink", "shop", "--since", "1d"]);
    tried.run("queue move", &["queue", "move", "--from", "gone", "--to", "shop", "--dry-run"]);
    tried.run("queue ack", &["queue", "ack", &id]);
    tried.run("queue test", &["queue", "test", "--sink", "shop"]);
    tried.run("queue purge", &["queue", "purge", &forgotten, "--yes", "--undelivered"]);
    tried.run("untrack --forget", &["untrack", "C", "--forget"]);
    tried.run("queue show of what was forgotten", &["queue", "show", &forgotten]);
}

fn try_the_installation(tried: &mut Tried) {
    tried.run("init", &["init", "--dir", "new", "--systemd", "--cron"]);
    tried.run("check", &["check"]);
    tried.run("backup", &["backup", "copy.db", "--verify"]);
    tried.run("restore", &["restore", "copy.db", "--yes"]);
    tried.run("keys rotate", &["keys", "rotate"]);
    tried.run("demo", &["demo", "--dir", "demo"]);
    let provider = tried.site.start(&["sandbox", "--port", "0", "--json"]);
    let told = eventually("it listens", || Some(provider.stdout()).filter(|text| text.ends_with('\n')));
    tried.note("sandbox", &told);
}

fn try_beside_a_daemon(tried: &mut Tried) {
    let site = Site::without_sink();
    let (daemon, _) = Endpoint::start(&site, "");
    let ready = || Some(site.command(&["healthcheck", "--json"])).filter(|finished| finished.code == Some(0));
    tried.note("healthcheck", &eventually("it is ready", ready).stdout);
    tried.note("page", &site.command(&["page", "--json"]).expect_code(0).stdout);
    daemon.drain();
}

#[test]
fn every_command_prints_the_object_that_is_documented() {
    let site = Site::with(|setup| {
        setup.one_territory();
        setup.store = "encryption_key_file = \"payloads\"".to_owned();
        setup.set_sink("pulled", "kind = \"queue\"");
    });
    let setup = site.setup();
    site.change(|setup| setup.set_sink("gone", "kind = \"queue\""));
    let mut tried = Tried { site: &site, printed: BTreeMap::new() };
    tried.run("keys generate", &["keys", "generate", "secrets/payloads"]);
    try_subscriptions(&mut tried, &site);
    site.configure(&setup); // messages wait for the sink that is gone
    try_messages(&mut tried);
    try_the_installation(&mut tried);
    try_beside_a_daemon(&mut tried);

    let documented = documented();
    for (name, keys) in &tried.printed {
        assert_eq!(documented.get(name), Some(keys), "{name}: docs/api.md on the left");
    }
    let is_tried = |name: &&String| tried.printed.contains_key(*name);
    assert_eq!(documented.keys().find(|name| !is_tried(name)), None, "this is in docs/api.md alone");
    let all = commands(&site);
    let has_none = |name: &&String| WITHOUT_OBJECT.contains(&name.as_str());
    assert!(all.len() > 30, "{all:?}");
    assert_eq!(all.iter().find(|name| !is_tried(name) && !has_none(name)), None, "this is not in docs/api.md");
}

#[test]
fn what_cannot_be_looked_at_or_asked_is_told_as_json_too() {
    let site = Site::without_sink_and(|setup| setup.listen("127.0.0.1:9"));
    let told = |command: &str, code| -> Value { site.command(&[command, "--json"]).expect_code(code).json() };
    let down = told("healthcheck", 1);
    assert_eq!(down["ready"], false);
    assert!(down["reasons"][0].as_str().unwrap().contains("127.0.0.1:9"), "{down}");
    fs::write(site.path("renewald.toml"), "[pol]\nevery = 4\n").unwrap();
    let wrong = told("check", 78);
    assert_eq!((&wrong["ok"], &wrong["items"][0]["level"]), (&false.into(), &"problem".into()), "{wrong}");
    assert!(wrong["items"][1]["text"].as_str().unwrap().contains("renewald.toml:1"), "{wrong}");
}
