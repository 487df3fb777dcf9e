//! What each key means: its default, its bounds, and what contradicts what (design section 7).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::{Map, Value};

use super::reader::{Report, Section};
use super::sinks;
use super::{Admin, Log, LogFormat, OrderData, Poll, Provider, ProviderKind, Secret, Settings, Store};

pub(super) const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// As far as [`super::parse_duration`] goes.
const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);

/// A request that takes longer will not end well any more.
pub(super) const TIMEOUTS: RangeInclusive<Duration> = SECOND..=Duration::from_secs(600);

/// Everything at once; the result counts only if the report holds no problem.
pub(super) fn settings(values: Map<String, Value>, report: &mut Report) -> Settings {
    let mut root = Section::root(values, report);
    let store = store(root.section("store"));
    let poll = poll(root.section("poll"));
    let order_data = order_data(root.section("order_data"));
    let providers = providers(root.section("providers"));
    let territories: BTreeSet<_> = providers.values().flat_map(|provider| provider.territories.keys()).collect();
    let sinks = sinks::read(root.section("sinks"), &territories);
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
    let (encryption_key, encryption_key_previous) =
        (section.secret("encryption_key"), section.secret("encryption_key_previous"));
    if encryption_key_previous.is_some() && encryption_key.is_none() {
        section.problem(
            "encryption_key_previous_file",
            "needs encryption_key_file: it only opens, and nothing would be encrypted",
        );
    }
    section.finish();
    Store { path, retention, dead_retention, encryption_key, encryption_key_previous }
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

pub(super) fn concurrency(section: &mut Section, default: i64) -> usize {
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

fn admin(mut section: Section) -> Admin {
    // Given and empty switches it off.
    let otherwise = if section.has("listen") { "" } else { "127.0.0.1:9464" };
    let listen = section.text("listen").ok().flatten().unwrap_or_else(|| otherwise.to_owned());
    let token = section.secret("token");
    let reveal = section.flag("reveal", false);
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
    Admin { listen, token, reveal, heartbeat_url, alert_after }
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
        Some("journald") => LogFormat::Journald,
        Some(other) => {
            section.problem("format", format!("{other:?} is unknown; known are auto, text, json, journald"));
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

pub(super) fn check_name(section: &mut Section, name: &str) {
    let bytes = name.as_bytes();
    let regular = bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if !(regular && bytes.len() <= 32 && bytes.first().is_some_and(u8::is_ascii_lowercase)) {
        section.problem(name, "not a name: at most 32 of a-z, 0-9 and _, beginning with a letter");
    }
}
