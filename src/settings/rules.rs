//! What each key means: its default, its bounds, and what contradicts what (design section 7).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use config::{Map, Value};

use super::reader::{Report, SECOND, Section, TIMEOUTS};
use super::{Admin, Discover, Feed, Hints, Log, LogFormat, OrderData, Poll, Provider, Settings, Sink, Store};
use super::{hints, sinks};
use crate::logging::level;
use crate::provider::kinds::{IMPLIED_TERRITORY, Kind, UnknownKind};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// As far as [`super::parse_duration`] goes.
const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);

/// Everything at once; the result counts only if the report holds no problem.
pub(super) fn settings(values: Map<String, Value>, report: &mut Report) -> Settings {
    let mut root = Section::root(values, report);
    let store = store(root.section("store"));
    let poll = poll(root.section("poll"));
    let order_data = order_data(root.section("order_data"));
    let (providers, is_whole) = providers(root.section("providers"));
    let territories: BTreeSet<_> = providers.values().flat_map(Provider::territories).collect();
    // It would only repeat what is wrong with a provider.
    let sinks = sinks::read(root.section("sinks"), is_whole.then_some(&territories));
    let admin = admin(root.section("admin"));
    let log = log(root.section("log"));
    root.finish();
    let settings = Settings { store, poll, order_data, providers, sinks, admin, log };
    check_budgets(&settings, report);
    hints::check(&settings, report);
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

/// Those whose kind is known, and whether that is all of them.
fn providers(mut section: Section) -> (BTreeMap<String, Provider>, bool) {
    let mut providers: BTreeMap<String, Provider> = BTreeMap::new();
    let names = section.names();
    if names.is_empty() {
        section.report.problem("providers", "no provider is configured; add a table [providers.NAME]");
    }
    let is_whole = names.iter().all(|name| {
        section.check_name(name);
        let Some(provider) = provider(section.section(name)) else { return false };
        let twin = providers.iter().find(|(_, other)| other.kind.is_same_account(&provider.kind));
        if let Some((first, _)) = twin {
            section.problem(name, provider.kind.given_twice(first));
        }
        providers.insert(name.clone(), provider);
        true
    });
    section.finish();
    (providers, is_whole)
}

fn provider(mut section: Section) -> Option<Provider> {
    let Some(kind) = provider_kind(&mut section) else {
        section.ignore_rest();
        return None;
    };
    let kind_settings = kind.read(&mut section);
    let timeout = section.duration("timeout", kind.timeout(), TIMEOUTS);
    let connect_timeout = section.duration("connect_timeout", timeout.min(10 * SECOND), TIMEOUTS);
    if connect_timeout > timeout {
        section.problem("connect_timeout", "must not be longer than timeout, which includes it");
    }
    let feed = kind.convention().feed.map(|_| feed(&mut section));
    let provider = Provider {
        kind: kind_settings,
        requests_per_second: requests_per_second(&mut section),
        budget: section.text("budget").ok().flatten(),
        concurrency: concurrency(&mut section, 16),
        notify_before: section.duration("notify_before", Duration::ZERO, Duration::ZERO..=LONGEST),
        timeout,
        connect_timeout,
        ca_file: section.path("ca_file"),
        proxy: section.proxy(),
        hints: hints(&mut section, kind),
        feed,
    };
    section.finish_with(|key| {
        if FEED_KEYS.contains(&key) {
            return Some(format!("a provider of kind {:?} lists nothing by itself", kind.as_str()));
        }
        let owners = Kind::ALL.iter().filter(|owner| owner.keys().contains(&key));
        let owners = owners.map(|owner| format!("{:?}", owner.as_str())).collect::<Vec<_>>().join(", ");
        let kind = kind.as_str();
        (!owners.is_empty()).then(|| format!("a key of kind {owners}; this provider is of kind {kind:?}"))
    });
    Some(provider)
}

fn hints(section: &mut Section, kind: Kind) -> Option<Hints> {
    if kind.convention().hinted.is_some() {
        return hints::read(section.section("hints"));
    }
    if section.has("hints") {
        section.problem("hints", format!("a provider of kind {:?} sends no notifications", kind.as_str()));
        section.ignore("hints");
    }
    None
}

const FEED_KEYS: [&str; 2] = ["feed_every", "discover"];

/// The same for every kind whose provider lists anything by itself.
fn feed(section: &mut Section) -> Feed {
    let [every, discover] = FEED_KEYS;
    let every = section.duration(every, 600 * SECOND, Duration::ZERO..=DAY);
    if !every.is_zero() && every < 60 * SECOND {
        section.warning(FEED_KEYS[0], "below 1m; each time takes at least one request of the provider's limit");
    }
    let wanted = match section.text(discover).ok().flatten().as_deref() {
        None | Some("off") => Discover::Off,
        Some("adopt") => Discover::Adopt,
        Some("deliver") => Discover::Deliver,
        Some(other) => {
            section.problem(discover, format!("{other:?} is unknown; known are off, adopt, deliver"));
            Discover::Off
        }
    };
    if every.is_zero() && wanted != Discover::Off {
        section.problem(discover, "needs feed_every: without reading the provider's lists nobody is found");
    }
    Feed { every, discover: wanted }
}

/// The kind whose keys are read: where the name is a slip, the one that was probably meant.
fn provider_kind(section: &mut Section) -> Option<Kind> {
    let names = Kind::ALL.iter().map(|kind| format!("{:?}", kind.as_str())).collect::<Vec<_>>().join(" or ");
    let name = section.required("kind", &names)?;
    name.parse()
        .or_else(|unknown: UnknownKind| {
            section.problem("kind", unknown.to_string());
            unknown.near.ok_or(())
        })
        .ok()
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

fn admin(mut section: Section) -> Admin {
    // Given and empty switches it off.
    let otherwise = if section.has("listen") { "" } else { "127.0.0.1:9464" };
    let listen = section.text("listen").ok().flatten().unwrap_or_else(|| otherwise.to_owned());
    let (token, shop_token) = (section.secret("token"), section.secret("shop_token"));
    let reveal = section.flag("reveal", false);
    if !listen.is_empty() {
        match hints::parse_listen(&listen) {
            Ok(address) if hints::is_public(&address) && token.is_none() => {
                section
                    .warning("listen", "beyond loopback /v1 is served only with admin.token_file, which is not given");
            }
            Ok(_) => {}
            Err(reason) => section.problem("listen", reason),
        }
    }
    let public_url = section.url("public_url").and_then(|url| {
        let origin = url.origin().ascii_serialization();
        if url.path() != "/" || url.query().is_some() {
            section.problem("public_url", format!("must be an origin alone, such as {origin}"));
            return None;
        }
        Some(origin)
    });
    let heartbeat_url = section.url("heartbeat_url").map(String::from);
    let alert_after = section.duration("alert_after", 6 * HOUR, SECOND..=LONGEST);
    section.finish();
    Admin { listen, token, public_url, shop_token, reveal, heartbeat_url, alert_after }
}

fn log(mut section: Section) -> Log {
    let level = section.text("level").ok().flatten().unwrap_or_else(|| "info".to_owned());
    if let Err(reason) = level::check(&level) {
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

/// Whoever names a budget means to share it with somebody.
fn check_budgets(settings: &Settings, report: &mut Report) {
    for (name, provider) in &settings.providers {
        let Some(budget) = &provider.budget else { continue };
        let is_named_by = |other: &Provider| other.budget.as_ref() == Some(budget);
        if settings.providers.values().filter(|other| is_named_by(other)).count() < 2 {
            let text = format!("no other provider names {budget:?}: it is shared with nobody");
            report.warning(&format!("providers.{name}.budget"), text);
        }
    }
}

/// What is watched must be able to reach somebody.
fn check_coverage(settings: &Settings, report: &mut Report) {
    if report.problems.iter().any(|problem| problem.key.starts_with("sinks")) {
        return; // it would only repeat what is wrong with a sink
    }
    for (provider, territory) in settings.territories() {
        if settings.sinks_for("renewal.ready", &territory).is_empty() {
            let text = "no sink takes renewal.ready of this territory: its keys would reach nobody";
            // A kind without territories has no such table.
            let key = if territory == IMPLIED_TERRITORY { String::new() } else { format!(".territories.{territory}") };
            report.problem(&format!("providers.{provider}{key}"), text);
        }
    }
    check_notices(settings, report);
}

/// Whoever is to take a payment must be told, and by somebody.
fn check_notices(settings: &Settings, report: &mut Report) {
    const EVENT: &str = "subscription.renewal_due";
    let telling = || settings.providers.iter().filter(|(_, provider)| !provider.notify_before.is_zero());
    for (name, provider) in telling() {
        if provider.territories().iter().all(|territory| settings.sinks_for(EVENT, territory).is_empty()) {
            let text = format!("nobody would be told: no sink has {EVENT} among its events");
            report.problem(&format!("providers.{name}.notify_before"), text);
        }
    }
    if telling().next().is_some() {
        return;
    }
    let waits = |sink: &Sink| sink.events.iter().flatten().any(|event| event == EVENT);
    for (name, _) in settings.sinks.iter().filter(|(_, sink)| waits(sink)) {
        let text = format!("{EVENT} never comes: no provider has notify_before");
        report.warning(&format!("sinks.{name}.events"), text);
    }
}
