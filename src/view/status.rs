//! How everything stands, from the store alone: nobody is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::feed::Feed;
use crate::clock::Timestamp;
use crate::delivery::Warned;
use crate::forecast::{Forecast, Load};
use crate::renewal::{Rules, State};
use crate::settings::Settings;
use crate::store::{
    self, Group, InstanceLock, Leeway, ProviderTrouble, QueueDepth, Raised, SinkState, Store, counts_of,
};

/// What `status --json` prints.
#[derive(Serialize, ToSchema)]
pub struct Status {
    pub at: Timestamp,
    /// Whether `run` or `once` works on this database now.
    pub running: bool,
    pub database: Database,
    pub providers: BTreeMap<String, Account>,
    pub sinks: Vec<Receiver>,
    /// What a person must look at, and was told of.
    pub alerts: Vec<Standing>,
}

#[derive(Serialize, ToSchema)]
pub struct Standing {
    pub kind: String,
    pub subject: String,
    pub text: String,
    pub raised_at: Timestamp,
}

#[derive(Serialize, ToSchema)]
pub struct Database {
    pub path: String,
    pub bytes: i64,
}

#[derive(Serialize, ToSchema)]
pub struct Account {
    /// Subscriptions by state: `watching`, `paused`, `ended`, `untracked`.
    pub subscriptions: BTreeMap<&'static str, i64>,
    #[serde(flatten)]
    pub late: Late,
    pub waiting: Awaited,
    pub orders: Orders,
    /// Renewals of the last 30 days that were delivered with a warning; the latest 20000 are counted.
    pub warned: Warned,
    pub stopped_territories: Vec<StoppedTerritory>,
    /// `breaker` while it does not answer, `slowed` after a 429, `paused_until` after one with `Retry-After`; as whoever asks, or last asked, saw it.
    #[serde(flatten)]
    pub trouble: Trouble,
    /// What the provider lists by itself; `null` where it lists nothing, or its lists are not read.
    pub feed: Option<Feed>,
    /// The lowest of all who share the budget.
    pub requests_per_second: f64,
    /// Other accounts that draw from the same budget.
    pub shares_budget_with: Vec<String>,
    pub load: Load,
    pub forecast: Forecast,
}

/// Renewals whose order data is awaited.
#[derive(Serialize, ToSchema)]
pub struct Awaited {
    pub renewals: i64,
    pub oldest_detected_at: Option<Timestamp>,
}

/// Orders that a shop placed through us and that are not known to be there with all that they bring.
#[derive(Serialize, ToSchema)]
pub struct Orders {
    /// The provider may have them, or not: they are looked for.
    pub unclear: i64,
    /// They wait at the provider for a payment, a check or stock.
    pub waiting: i64,
}

#[derive(Serialize, ToSchema)]
pub struct StoppedTerritory {
    pub provider: String,
    pub territory: String,
    pub stopped_at: Timestamp,
    pub reason: String,
}

/// The trouble of one provider. The default: none.
#[derive(Serialize, ToSchema)]
#[schema(as = ProviderTrouble)]
pub struct Trouble {
    pub breaker: Option<Breaker>,
    pub slowed: Option<Slowed>,
    /// It asked for a pause (`Retry-After`): nothing is asked before.
    pub paused_until: Option<Timestamp>,
}

/// It does not answer: one probe at a time.
#[derive(Serialize, ToSchema)]
#[schema(as = BreakerState)]
pub struct Breaker {
    pub open_since: Timestamp,
    pub next_probe_at: Timestamp,
    /// The last failure.
    pub reason: String,
}

/// It answered 429.
#[derive(Serialize, ToSchema)]
#[schema(as = SlowedState)]
pub struct Slowed {
    /// When this was written; it grows since.
    pub requests_per_second: f64,
    /// When the rate is whole again, if no other 429 comes.
    pub until: Timestamp,
}

/// Watched subscriptions that need a look, or patience. Of each kind 20000 are counted at the most.
#[derive(Serialize, ToSchema)]
pub struct Late {
    /// Last answer older than 1.1 × its interval, and not because the budget is too small.
    pub overdue: i64,
    /// Due for longer than a tenth of its interval, and no longer than the budget makes one expect.
    pub delayed: i64,
    /// The last request brought no usable answer.
    pub failing: i64,
    /// The provider refused the last request.
    pub refused: i64,
    /// The provider does not know them.
    pub unknown: i64,
    /// The last answer cannot be right.
    pub surprises: i64,
}

#[derive(Serialize, ToSchema)]
pub struct Receiver {
    pub sink: String,
    /// Not when it was taken out of the settings with something left for it.
    pub configured: bool,
    pub pending: i64,
    pub dead: i64,
    /// Set while the sink itself is in trouble.
    pub blocked_since: Option<Timestamp>,
    pub last_error: Option<String>,
    pub last_success_at: Option<Timestamp>,
}

impl Status {
    pub async fn read(settings: &Settings, store: &Store, now: Timestamp) -> Result<Self, store::Error> {
        let groups = store.subscription_groups().await?;
        let stopped = store.stopped_territories().await?;
        let mut troubles = store.provider_troubles().await?;
        let rules = Rules::from_settings(settings);
        let mut providers = BTreeMap::new();
        for (name, provider) in &settings.providers {
            let budget = settings.budget_of(name);
            let forecast = Forecast::of_provider(settings, name, |name| counts_of(&groups, name));
            let leeway = Leeway::new(rules.clone(), forecast.clone(), Duration::ZERO);
            let late = store.count_late(name, &leeway, now).await?;
            let odd = store.count_odd(name, now).await?;
            let account = Account {
                subscriptions: by_state(&groups, name),
                late: Late {
                    overdue: late.overdue(),
                    delayed: late.delayed,
                    failing: late.failing,
                    refused: late.refused,
                    unknown: odd.unknown,
                    surprises: odd.surprises,
                },
                waiting: store.count_awaited(name).await?.into(),
                orders: store.count_open_orders(name, now, now).await?.into(),
                warned: store.count_warned(name, now).await?,
                stopped_territories: stopped
                    .iter()
                    .filter(|one| one.provider == *name)
                    .map(|one| one.clone().into())
                    .collect(),
                trouble: troubles.remove(name).unwrap_or_default().at(now).into(),
                feed: match provider.feed.filter(|feed| !feed.every.is_zero()) {
                    Some(_) => Some(store.feed(name).await?.into()),
                    None => None,
                },
                requests_per_second: budget.requests_per_second,
                shares_budget_with: budget.others(name).into_iter().map(str::to_owned).collect(),
                load: forecast.load(),
                forecast,
            };
            providers.insert(name.clone(), account);
        }
        Ok(Self {
            at: now,
            running: InstanceLock::is_held(&settings.store.path).await,
            database: Database { path: settings.store.path.display().to_string(), bytes: store.bytes().await? },
            providers,
            sinks: receivers(settings, store.queue_depths().await?, store.sink_states().await?),
            alerts: store.alerts().await?.into_iter().map(standing).collect(),
        })
    }
}

fn standing(Raised { alert, at }: Raised) -> Standing {
    Standing { kind: alert.kind, subject: alert.subject, text: alert.text, raised_at: at }
}

impl From<store::Awaited> for Awaited {
    fn from(store::Awaited { renewals, oldest_detected_at }: store::Awaited) -> Self {
        Self { renewals, oldest_detected_at }
    }
}

impl From<store::OpenOrders> for Orders {
    fn from(store::OpenOrders { unclear, waiting }: store::OpenOrders) -> Self {
        Self { unclear, waiting }
    }
}

impl From<store::StoppedTerritory> for StoppedTerritory {
    fn from(stopped: store::StoppedTerritory) -> Self {
        let store::StoppedTerritory { provider, territory, stopped_at, reason } = stopped;
        Self { provider, territory, stopped_at, reason }
    }
}

impl From<ProviderTrouble> for Trouble {
    fn from(trouble: ProviderTrouble) -> Self {
        let breaker = trouble.breaker.map(|store::BreakerState { open_since, next_probe_at, reason }| Breaker {
            open_since,
            next_probe_at,
            reason,
        });
        let slowed = trouble
            .slowed
            .map(|store::SlowedState { requests_per_second, until }| Slowed { requests_per_second, until });
        Self { breaker, slowed, paused_until: trouble.paused_until }
    }
}

fn by_state(groups: &[Group], provider: &str) -> BTreeMap<&'static str, i64> {
    let mut counts: BTreeMap<_, _> =
        [State::Watching, State::Paused, State::Ended, State::Untracked].map(|state| (state.as_str(), 0)).into();
    for group in groups.iter().filter(|group| group.provider == provider) {
        *counts.entry(group.state.as_str()).or_default() += group.count;
    }
    counts
}

/// The sinks of the settings, and those that only the store knows where something is left for them.
fn receivers(settings: &Settings, depths: Vec<QueueDepth>, states: Vec<SinkState>) -> Vec<Receiver> {
    let mut names: Vec<_> =
        settings.sinks.keys().cloned().chain(depths.iter().map(|depth| depth.sink.clone())).collect();
    names.sort();
    names.dedup();
    let receiver = |sink: String| {
        let depth = depths.iter().find(|depth| depth.sink == sink);
        let state = states.iter().find(|state| state.sink == sink).cloned().unwrap_or_default();
        Receiver {
            configured: settings.sinks.contains_key(&sink),
            pending: depth.map_or(0, |depth| depth.pending),
            dead: depth.map_or(0, |depth| depth.dead),
            blocked_since: state.blocked_since,
            last_error: state.last_error,
            last_success_at: state.last_success_at,
            sink,
        }
    };
    names.into_iter().map(receiver).collect()
}
