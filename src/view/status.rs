//! How everything stands, from the store alone: nobody is asked.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::forecast::{Forecast, Load};
use crate::renewal::{Rules, State};
use crate::settings::Settings;
use crate::store::{
    self, Group, InstanceLock, Late, QueueDepth, SinkState, StoppedTerritory, Store, Waiting, counts_of,
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
    pub waiting: Waiting,
    pub stopped_territories: Vec<StoppedTerritory>,
    pub load: Load,
    pub forecast: Forecast,
}

#[derive(Serialize, ToSchema)]
pub struct Receiver {
    pub sink: String,
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
        let rules = Rules::from_settings(settings);
        let mut providers = BTreeMap::new();
        for (name, provider) in &settings.providers {
            let forecast = Forecast::new(counts_of(&groups, name), &rules, provider.requests_per_second);
            let account = Account {
                subscriptions: by_state(&groups, name),
                late: store.count_late(name, &rules, &forecast, now).await?,
                waiting: store.count_waiting(name).await?,
                stopped_territories: stopped.iter().filter(|one| one.provider == *name).cloned().collect(),
                load: forecast.load(),
                forecast,
            };
            providers.insert(name.clone(), account);
        }
        Ok(Self {
            at: now,
            running: InstanceLock::is_held(&settings.store.path),
            database: Database { path: settings.store.path.display().to_string(), bytes: store.bytes().await? },
            providers,
            sinks: receivers(settings, store.queue_depths().await?, store.sink_states().await?),
        })
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
