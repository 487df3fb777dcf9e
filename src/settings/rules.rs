//! What each key means: its default, its bounds, and what contradicts what (design section 7).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::{Map, Value};

use super::problem::nearest;
use super::reader::{Report, Section};
use super::{Admin, Log, LogFormat, OrderData, Poll, Provider, ProviderKind, Secret, Settings, Sink, SinkKind, Store};
use super::{DEFAULT_EVENTS, EVENTS};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// As far as [`super::parse_duration`] goes.
const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);

/// A request that takes longer will not end well any more.
const TIMEOUTS: RangeInclusive<Duration> = SECOND..=Duration::from_secs(600);

/// The kinds of sinks, each with the keys that only it has.
const SINK_KINDS: [(&str, &[&str]); 4] = [
    (
        "webhook",
        &[
            "url",
            "signing_secret",
            "signing_secret_file",
            "signing_secret_previous",
            "signing_secret_previous_file",
            "ca_file",
            "proxy",
        ],
    ),
    ("file", &["path"]),
    ("stdout", &[]),
    ("queue", &[]),
];

/// Kinds that the documentation names and this version lacks.
const OTHER_SINK_KINDS: [&str; 5] = ["amqp", "nats", "redis", "smtp", "exec"];

/// Everything at once; the result counts only if the report holds no problem.
pub(super) fn settings(values: Map<String, Value>, report: &mut Report) -> Settings {
    let mut root = Section::root(values, report);
    let store = store(root.section("store"));
    let poll = poll(root.section("poll"));
    let order_data = order_data(root.section("order_data"));
    let providers = providers(root.section("providers"));
    let territories: BTreeSet<_> = providers.values().flat_map(|provider| provider.territories.keys()).collect();
    let sinks = sinks(root.section("sinks"), &territories);
    let admin = admin(root.section("admin"));
    let log = log(root.section("log"));
    root.finish();
    let settings = Settings { store, poll, order_data, providers, sinks, admin, log };
    check_coverage(&settings, report);
    settings
}

fn store(mut section: Section) -> Store {
    let path = section.path("path").unwrap_or_else(|| "/var/lib/renewald/renewald.db".into());
    let retention = section.duration("retention", 30 * DAY, SECOND..=LONGEST);
    let dead_retention = section.duration("dead_retention", 180 * DAY, SECOND..=LONGEST);
    let encryption_key_file = section.path("encryption_key_file");
    if encryption_key_file.is_some() {
        // Better refused than keys that the operator believes to be encrypted.
        section.problem("encryption_key_file", "encryption at rest is not built into this version; leave it empty");
    }
    section.finish();
    Store { path, retention, dead_retention, encryption_key_file }
}

fn poll(mut section: Section) -> Poll {
    let every = section.duration("every", 4 * HOUR, SECOND..=365 * DAY);
    if every < HOUR {
        section.warning("every", "below 1h; the provider recommends 4h, and every poll takes from its limit");
    }
    let poll = Poll {
        every,
        window_before: section.duration("window_before", 3 * DAY, Duration::ZERO..=LONGEST),
        window_after: section.duration("window_after", 14 * DAY, Duration::ZERO..=LONGEST),
        ended_after: section.duration("ended_after", 30 * DAY, Duration::ZERO..=LONGEST),
        max_generation_jump: section.integer("max_generation_jump", 24, 1..=1_000_000),
    };
    section.finish();
    poll
}

fn order_data(mut section: Section) -> OrderData {
    let retry_first = section.duration("retry_first", 10 * SECOND, SECOND..=DAY);
    let retry_max = section.duration("retry_max", 4 * HOUR, SECOND..=30 * DAY);
    if retry_first > retry_max {
        section.problem("retry_first", "must not be longer than order_data.retry_max");
    }
    section.finish();
    OrderData { retry_first, retry_max }
}

fn providers(mut section: Section) -> BTreeMap<String, Provider> {
    let mut providers = BTreeMap::new();
    let mut accounts: BTreeMap<(String, String), String> = BTreeMap::new();
    let names = section.names();
    if names.is_empty() {
        section.report.problem("providers", "no provider is configured; add a table [providers.NAME]");
    }
    for name in names {
        check_name(&mut section, &name);
        let provider = provider(section.section(&name));
        let account = (provider.api_url.clone(), provider.realm.clone());
        let complete = !account.0.is_empty() && !account.1.is_empty();
        match accounts.get(&account) {
            Some(first) if complete => {
                let text = format!(
                    "api_url and realm are those of {first:?}; two would exceed the limit of the one account: \
                     put their territories into one provider"
                );
                section.problem(&name, text);
            }
            _ => {
                accounts.insert(account, name.clone());
            }
        }
        providers.insert(name, provider);
    }
    section.finish();
    providers
}

fn provider(mut section: Section) -> Provider {
    provider_kind(&mut section);
    let api_url = base_url(&mut section, "api_url", "the API's address, such as https://api.nexway.store/connect");
    let iam_url =
        base_url(&mut section, "iam_url", "the token service's address, such as https://api.nexway.store/iam");
    let realm = section.required("realm", "the realm name from your access data").unwrap_or_default();
    let client_secret = section.required_secret("client_secret", "the client secret");
    let timeout = section.duration("timeout", 30 * SECOND, TIMEOUTS);
    let connect_timeout = section.duration("connect_timeout", timeout.min(10 * SECOND), TIMEOUTS);
    if connect_timeout > timeout {
        section.problem("connect_timeout", "must not be longer than timeout, which includes it");
    }
    let provider = Provider {
        kind: ProviderKind::NexwayConnect,
        api_url,
        iam_url,
        realm,
        client_secret: client_secret.unwrap_or_else(stand_in),
        requests_per_second: requests_per_second(&mut section),
        concurrency: concurrency(&mut section, 16),
        timeout,
        connect_timeout,
        ca_file: section.path("ca_file"),
        proxy: section.proxy(),
        territories: territories(section.section("territories")),
    };
    section.finish();
    provider
}

fn provider_kind(section: &mut Section) {
    match section.required("kind", "\"nexway-connect\"").as_deref() {
        None | Some("nexway-connect") => {}
        Some(other) => section.problem("kind", format!("{other:?} is unknown; known is \"nexway-connect\"")),
    }
}

/// Without a trailing slash, to be continued with a path.
fn base_url(section: &mut Section, key: &str, what: &str) -> String {
    let Some(url) = section.required_url(key, what) else { return String::new() };
    if url.query().is_some() {
        section.problem(key, "must not have a query (?…): paths are appended to it");
    }
    url.as_str().trim_end_matches('/').to_owned()
}

fn requests_per_second(section: &mut Section) -> f64 {
    let key = "requests_per_second";
    let rate = section.number(key, 5.0);
    if rate == 0.0 {
        section.warning(key, "0 means no limit: for tests only, the provider blocks who exceeds its limit");
    } else if !(0.001..=10_000.0).contains(&rate) {
        section.problem(key, "must be a number from 0.001 to 10000, or 0 for no limit");
    } else if rate > 9.0 {
        section.warning(key, "above 9; the provider's limit is 10 a second, and other programs may share it");
    }
    rate
}

fn concurrency(section: &mut Section, default: i64) -> usize {
    let concurrency = section.integer("concurrency", default, 1..=1_024);
    usize::try_from(concurrency).unwrap_or(1)
}

fn territories(mut section: Section) -> BTreeMap<String, Secret> {
    let mut territories = BTreeMap::new();
    let names = section.names();
    if names.is_empty() {
        section
            .report
            .problem(&section.path, "no territory is configured; add a table [providers.NAME.territories.eu]");
    }
    for name in names {
        check_name(&mut section, &name);
        let mut territory = section.section(&name);
        let secret = territory.required_secret("secret", "the secret of this territory");
        territory.finish();
        territories.insert(name, secret.unwrap_or_else(stand_in));
    }
    section.finish();
    territories
}

/// Takes the place of a secret whose absence has been reported.
fn stand_in() -> Secret {
    Secret::Inline(String::new().into())
}

fn sinks(mut section: Section, territories: &BTreeSet<&String>) -> BTreeMap<String, Sink> {
    let mut sinks = BTreeMap::new();
    for name in section.names() {
        check_name(&mut section, &name);
        sinks.insert(name.clone(), sink(section.section(&name), territories));
    }
    section.finish();
    if sinks.is_empty() {
        sinks.insert("queue".to_owned(), implied_queue());
    }
    sinks
}

/// The embedded default: every setting as if a sink of kind `queue` were written without any.
fn implied_queue() -> Sink {
    Sink {
        kind: SinkKind::Queue,
        events: Some(default_events()),
        territories: Vec::new(),
        concurrency: 8,
        timeout: 15 * SECOND,
        max_attempts: 36,
    }
}

fn default_events() -> Vec<String> {
    DEFAULT_EVENTS.map(str::to_owned).to_vec()
}

fn sink(mut section: Section, territories: &BTreeSet<&String>) -> Sink {
    let events = events(&mut section);
    let territories = sink_territories(&mut section, territories);
    let concurrency = concurrency(&mut section, 8);
    let timeout = section.duration("timeout", 15 * SECOND, TIMEOUTS);
    let max_attempts = u32::try_from(section.integer("max_attempts", 36, 1..=10_000)).unwrap_or(36);
    let kind = sink_kind(section);
    Sink { kind, events, territories, concurrency, timeout, max_attempts }
}

fn sink_kind(mut section: Section) -> SinkKind {
    let names = SINK_KINDS.map(|(name, _)| name);
    let name = section.required("kind", &format!("one of {}", names.join(", "))).unwrap_or_default();
    let kind = match name.as_str() {
        "webhook" => webhook(&mut section),
        "file" => {
            let path = section.required("path", "the file to append messages to").unwrap_or_default();
            SinkKind::File { path: section.report.origins.directory().join(path) }
        }
        "stdout" => SinkKind::Stdout,
        "queue" => SinkKind::Queue,
        other => {
            if OTHER_SINK_KINDS.contains(&other) {
                section
                    .problem("kind", format!("{other} is not built into this version; built in: {}", names.join(", ")));
            } else if !other.is_empty() {
                let near = nearest(other, names).map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
                section.problem("kind", format!("{other:?} is unknown{near}; known are {}", names.join(", ")));
            }
            section.ignore_rest();
            SinkKind::Queue
        }
    };
    section.finish_with(|key| {
        let (owner, _) = SINK_KINDS.iter().find(|(_, keys)| keys.contains(&key))?;
        Some(format!("a key of kind {owner:?}; this sink is of kind {name:?}"))
    });
    kind
}

fn webhook(section: &mut Section) -> SinkKind {
    let url =
        section.required_url("url", "the address that messages are sent to").map(String::from).unwrap_or_default();
    let signing_secret = section.secret("signing_secret");
    let signing_secret_previous = section.secret("signing_secret_previous");
    // One in a file is judged by the command that reads it.
    for (key, secret) in [("signing_secret", &signing_secret), ("signing_secret_previous", &signing_secret_previous)] {
        if let Some(secret @ Secret::Inline(_)) = secret
            && secret.read_signing_key().is_err()
        {
            section.problem(key, "must be whsec_ followed by the base64 of 24 to 64 bytes");
        }
    }
    if signing_secret.is_none() {
        if signing_secret_previous.is_some() {
            section.problem("signing_secret_previous_file", "needs signing_secret_file, the current secret, beside it");
        } else {
            let text = "none given: messages are sent unsigned, and the receiver cannot tell them from forged ones";
            section.warning("signing_secret_file", text);
        }
    }
    SinkKind::Webhook {
        url,
        signing_secret,
        signing_secret_previous,
        ca_file: section.path("ca_file"),
        proxy: section.proxy(),
    }
}

fn events(section: &mut Section) -> Option<Vec<String>> {
    let Some(events) = section.list("events") else {
        return Some(default_events());
    };
    if events.is_empty() {
        section
            .problem("events", "names no event: nothing would be sent; name some, \"*\" for all, or remove the sink");
    }
    for event in events.iter().filter(|event| *event != "*" && !EVENTS.contains(&event.as_str())) {
        let near = nearest(event, EVENTS).map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
        section.problem("events", format!("unknown event {event:?}{near}; known are {}, \"*\"", EVENTS.join(", ")));
    }
    if events.iter().any(|event| event == "*") { None } else { Some(events) }
}

fn sink_territories(section: &mut Section, known: &BTreeSet<&String>) -> Vec<String> {
    let territories = section.list("territories").unwrap_or_default();
    for name in territories.iter().filter(|name| *name != "*" && !known.contains(name)) {
        let list = known.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        section.problem("territories", format!("unknown territory {name:?}; configured are: {list}"));
    }
    if territories.iter().any(|name| name == "*") { Vec::new() } else { territories }
}

fn admin(mut section: Section) -> Admin {
    // Given and empty switches it off.
    let otherwise = if section.has("listen") { "" } else { "127.0.0.1:9464" };
    let listen = section.text("listen").ok().flatten().unwrap_or_else(|| otherwise.to_owned());
    let token = section.secret("token");
    if let Some(path) = listen.strip_prefix("unix:") {
        if !path.starts_with('/') {
            section.problem("listen", "the socket's path must be absolute: \"unix:/run/renewald/admin.sock\"");
        }
    } else if !listen.is_empty() {
        match listen.parse::<SocketAddr>() {
            Ok(address) if !address.ip().is_loopback() && token.is_none() => {
                section
                    .warning("listen", "beyond loopback /v1 is served only with admin.token_file, which is not given");
            }
            Ok(_) => {}
            Err(_) => section.problem(
                "listen",
                "must be an IP address and port such as \"127.0.0.1:9464\", \"unix:/absolute/path\", or \"\" for none",
            ),
        }
    }
    let heartbeat_url = section.url("heartbeat_url").map(String::from);
    let alert_after = section.duration("alert_after", 6 * HOUR, SECOND..=LONGEST);
    section.finish();
    Admin { listen, token, heartbeat_url, alert_after }
}

fn log(mut section: Section) -> Log {
    let level = section.text("level").ok().flatten().unwrap_or_else(|| "info".to_owned());
    if let Err(reason) = crate::logging::check_level(&level) {
        section.problem("level", reason);
    }
    let format = match section.text("format").ok().flatten().as_deref() {
        None | Some("auto") => LogFormat::Auto,
        Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(other) => {
            section.problem("format", format!("{other:?} is unknown; known are auto, text, json"));
            LogFormat::Auto
        }
    };
    section.finish();
    Log { level, format }
}

/// What is watched must be able to reach somebody.
fn check_coverage(settings: &Settings, report: &mut Report) {
    if report.problems.iter().any(|problem| problem.key.starts_with("sinks")) {
        return; // it would only repeat what is wrong with a sink
    }
    for (provider, territory) in
        settings.providers.iter().flat_map(|(name, provider)| provider.territories.keys().map(move |t| (name, t)))
    {
        if settings.sinks_for("renewal.ready", territory).is_empty() {
            let text = "no sink takes renewal.ready of this territory: its keys would reach nobody";
            report.problem(&format!("providers.{provider}.territories.{territory}"), text);
        }
    }
}

fn check_name(section: &mut Section, name: &str) {
    let bytes = name.as_bytes();
    let regular = bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if !(regular && bytes.len() <= 32 && bytes.first().is_some_and(u8::is_ascii_lowercase)) {
        section.problem(name, "not a name: at most 32 of a-z, 0-9 and _, beginning with a letter");
    }
}
