//! `renewald status`: how everything stands, from the store alone: nobody is asked.

mod renewals;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Context, Error, Exit, naming};
use crate::clock::Timestamp;
use crate::forecast::{Forecast, Load};
use crate::renewal::{Rules, State};
use crate::settings::Settings;
use crate::store::{
    Alert, Group, InstanceLock, Late, QueueDepth, SinkState, StoppedTerritory, Store, Waiting, counts_of,
};

#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Show how soon renewals were seen after the expiry, and how soon their order data could be read
    #[arg(long)]
    renewals: bool,
}

/// What `status --json` prints.
#[derive(Serialize)]
struct Status {
    at: Timestamp,
    /// Whether `run` or `once` works on this database now.
    running: bool,
    database: Database,
    providers: BTreeMap<String, Account>,
    sinks: Vec<Receiver>,
    /// What a person must look at, and was told of.
    alerts: Vec<Standing>,
}

#[derive(Serialize)]
struct Standing {
    kind: String,
    subject: String,
    text: String,
    raised_at: Timestamp,
}

#[derive(Serialize)]
struct Database {
    path: String,
    bytes: i64,
}

#[derive(Serialize)]
struct Account {
    /// Subscriptions by state: `watching`, `paused`, `ended`, `untracked`.
    subscriptions: BTreeMap<&'static str, i64>,
    #[serde(flatten)]
    late: Late,
    waiting: Waiting,
    stopped_territories: Vec<StoppedTerritory>,
    load: Load,
    forecast: Forecast,
}

#[derive(Serialize)]
struct Receiver {
    sink: String,
    pending: i64,
    dead: i64,
    /// Set while the sink itself is in trouble.
    blocked_since: Option<Timestamp>,
    last_error: Option<String>,
    last_success_at: Option<Timestamp>,
}

pub async fn run(args: StatusArgs, context: &Context) -> Result<Exit, Error> {
    let (settings, store) = naming::open(context)?;
    let now = Timestamp::now();
    if args.renewals {
        let learnt = renewals::Learnt::read(&store).await?;
        store.close().await;
        match context.global.json {
            true => context.print_json(&learnt)?,
            false => context.print(&learnt.to_text())?,
        }
        return Ok(Exit::Done);
    }
    let status = Status::read(&settings, &store, now).await?;
    store.close().await;
    match context.global.json {
        true => context.print_json(&status)?,
        false => context.print(&text::of(&status))?,
    }
    Ok(Exit::Done)
}

impl Status {
    async fn read(settings: &Settings, store: &Store, now: Timestamp) -> Result<Self, Error> {
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
            alerts: store.alerts().await?.into_iter().map(standing).collect(),
        })
    }
}

fn standing((alert, raised_at): (Alert, Timestamp)) -> Standing {
    Standing { kind: alert.kind, subject: alert.subject, text: alert.text, raised_at }
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
