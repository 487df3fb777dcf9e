//! Settings: read once from file and environment, checked whole (design section 7).
//!
//! `source` finds and layers file and environment, `reader` takes typed values out of them and collects mistakes. `rules` knows the
//! keys of every section and `sinks` those of every sink; what only one kind of provider or sink has is read beside that kind.
//! Secrets are only located here; whoever needs one calls [`Secret::read`].

mod budgets;
mod duration;
mod hints;
mod places;
pub(crate) mod problem;
pub(crate) mod reader;
mod rules;
pub(crate) mod secret;
mod sinks;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use budgets::SharedBudget;
pub use duration::{DurationError, format_duration, parse_duration};
pub use hints::{HintSender, Hints};
pub use problem::{Place, Problem, Problems, nearest};
pub use secret::{Secret, SecretError};
pub use sinks::Sink;

use crate::provider::kinds::KindSettings;
pub use crate::sink::kinds::SinkKind;

/// Where settings are looked for when neither `--config` nor `$RENEWALD_CONFIG` names a file.
pub const USUAL_FILES: [&str; 2] = ["renewald.toml", "/etc/renewald/renewald.toml"];

/// All events that a sink can take, as `events` names them.
pub const EVENTS: [&str; 9] = [
    "renewal.ready",
    "renewal.failed",
    "renewal.payment_failing",
    "subscription.status_changed",
    "subscription.renewal_due",
    "subscription.offer",
    "subscription.ended",
    "subscription.discovered",
    "subscription.not_renewed",
];

/// What a sink takes unless it says otherwise.
pub const DEFAULT_EVENTS: [&str; 2] = ["renewal.ready", "renewal.failed"];

/// Settings without mistakes, and what is odd about them.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// The file that was read; `None` when everything came from the environment.
    pub path: Option<PathBuf>,
    /// For `check`, one line each; safe to show.
    pub warnings: Vec<String>,
}

/// Everything that can be set, without contradiction: at least one provider with a territory, and for every territory a
/// sink that takes its keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub store: Store,
    pub poll: Poll,
    pub order_data: OrderData,
    pub providers: BTreeMap<String, Provider>,
    pub sinks: BTreeMap<String, Sink>,
    pub admin: Admin,
    pub log: Log,
}

/// Where state is kept, and how long payloads are.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    pub path: PathBuf,
    /// After delivery to every sink.
    pub retention: Duration,
    /// For payloads that a sink gave up on, or whose sink is gone.
    pub dead_retention: Duration,
    /// Payloads are sealed with it; `None`: they are stored as they are.
    pub encryption_key: Option<Secret>,
    /// Opens what was sealed before the key was changed; never without `encryption_key`.
    pub encryption_key_previous: Option<Secret>,
}

impl Store {
    pub fn encryption_keys(&self) -> impl Iterator<Item = &Secret> {
        self.encryption_key.iter().chain(&self.encryption_key_previous)
    }
}

/// When subscriptions are asked about (design section 9).
#[derive(Clone, Debug, PartialEq)]
pub struct Poll {
    pub every: Duration,
    pub window_before: Duration,
    pub window_after: Duration,
    pub ended_after: Duration,
    pub max_generation_jump: i64,
}

/// How order data that is not ready is asked for again; `retry_first` is never longer than `retry_max`.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderData {
    pub retry_first: Duration,
    pub retry_max: Duration,
}

/// One account at a provider; no two are the same one.
#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    pub kind: KindSettings,
    /// 0 = no limit, otherwise 0.001 to 10,000.
    pub requests_per_second: f64,
    /// Shares its budget with all who name the same one.
    pub budget: Option<String>,
    pub concurrency: usize,
    /// How long ahead of its end a term is told as due; zero: never.
    pub notify_before: Duration,
    pub timeout: Duration,
    /// Never longer than `timeout`.
    pub connect_timeout: Duration,
    pub ca_file: Option<PathBuf>,
    pub proxy: Option<String>,
    /// Where its notifications come in.
    pub hints: Option<Hints>,
    /// `None`: the kind's provider lists nothing by itself.
    pub feed: Option<Feed>,
}

/// What is done with what a provider lists by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feed {
    /// How often it is asked what has changed; zero: never, and nothing else is read of it either.
    pub every: Duration,
    pub discover: Discover,
}

/// What becomes of listed subscriptions that nobody tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discover {
    /// They are counted.
    Off,
    /// They are tracked, and what they have is known.
    Adopt,
    /// The same, but those made after discovery began get all they have.
    Deliver,
}

impl Provider {
    /// Whether what the provider lists by itself is read, and may answer for subscriptions.
    pub fn lists_answers(&self) -> bool {
        let ways = self.kind.convention().feed.map(|feed| feed.ways).unwrap_or_default();
        self.feed.is_some_and(|feed| !feed.every.is_zero()) && ways.iter().any(|way| way.answers)
    }

    /// Their names, sorted; never none.
    pub fn territories(&self) -> Vec<&str> {
        self.kind.territories()
    }
}

/// Health, metrics and API.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// A socket address, `unix:` and an absolute path, or empty for none.
    pub listen: String,
    pub token: Option<Secret>,
    /// The origin under which people open the page where a proxy stands before it: `https://renewals.example`.
    pub public_url: Option<String>,
    /// Whoever has this one may order and cancel; `None`: only whoever may open the socket beside the database.
    pub shop_token: Option<Secret>,
    /// Whoever has the token may read the bodies of messages, licence keys included.
    pub reveal: bool,
    pub heartbeat_url: Option<String>,
    pub alert_after: Duration,
}

/// What is logged and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// As [`crate::logging::level::check`] accepts it.
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text, with colour on a terminal.
    Auto,
    Text,
    Json,
    /// To the journal itself, each field by its name.
    Journald,
}

impl Settings {
    /// Reads the file at `explicit`, or the first of `$RENEWALD_CONFIG`, `./renewald.toml` and
    /// `/etc/renewald/renewald.toml`, with the variables `RENEWALD__…` over it. Either everything is right, or all
    /// mistakes are reported. No secret is opened.
    pub fn load(explicit: Option<&Path>) -> Result<Loaded, Problems> {
        load(explicit, &source::Environment::of_process(), &USUAL_FILES.map(Path::new))
    }

    /// The names of the sinks that take this event of a territory, sorted. `event` is without prefix and version.
    pub fn sinks_for(&self, event: &str, territory: &str) -> Vec<&str> {
        let takers = self.sinks.iter().filter(|(_, sink)| sink.takes(event, territory));
        takers.map(|(name, _)| name.as_str()).collect()
    }

    /// Every secret that the settings name, for `check`.
    pub fn secrets(&self) -> Vec<&Secret> {
        let of_providers = self.providers.values().flat_map(|provider| provider.kind.secrets());
        let of_hints = self.providers.values().filter_map(|provider| provider.hints.as_ref()?.secret());
        let of_sinks = self.sinks.values().flat_map(|sink| sink.kind.secrets());
        of_providers
            .chain(of_hints)
            .chain(of_sinks)
            .chain(&self.admin.token)
            .chain(&self.admin.shop_token)
            .chain(self.store.encryption_keys())
            .collect()
    }
}

fn load(explicit: Option<&Path>, environment: &source::Environment, usual: &[&Path]) -> Result<Loaded, Problems> {
    let path = source::find(explicit, environment, usual);
    if path.is_none() && environment.variables.is_empty() {
        let searched = usual.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and ");
        let text = format!("no settings: looked for {searched}; name a file with --config, or run: renewald init");
        return Err(Problem { place: Place::Nowhere, key: String::new(), text }.into());
    }
    let layers = source::layers(path.as_deref(), environment)?;
    let mut report = reader::Report {
        origins: layers.origins,
        credentials: environment.credentials.clone(),
        problems: layers.problems,
        warnings: environment.ignored.iter().map(|name| ignored(name)).collect(),
    };
    let settings = rules::settings(layers.root, &mut report);
    match Problems::new(report.problems) {
        Some(problems) => Err(problems),
        None => {
            report.warnings.sort();
            let warnings = report.warnings.iter().map(ToString::to_string).collect();
            Ok(Loaded { settings, path, warnings })
        }
    }
}

fn ignored(name: &str) -> Problem {
    let text = "is ignored: a setting's variable begins with RENEWALD__ and has two underscores behind each table, \
                as in RENEWALD__POLL__EVERY";
    Problem { place: Place::Variable(name.to_owned()), key: String::new(), text: text.to_owned() }
}
