//! The daemon: which tasks there are and when they work. `run` keeps them working until it is told to end; `catch_up` lets
//! the same passes run once.

mod catch_up;
mod parts;
mod wipe;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

pub use self::catch_up::CaughtUp;
pub use self::parts::{client, sink};
use crate::admin::{self, Admin};
use crate::clock::Timestamp;
use crate::metrics::Metrics;
use crate::notify;
use crate::provider::nexway_connect::{self, NexwayConnect};
use crate::pulse::Pulses;
use crate::relay::{self, Relay};
use crate::schedule::Schedule;
use crate::settings::{self, Settings};
use crate::signals::{Shutdown, Signals};
use crate::sink::Configured;
use crate::store::{self, Store};
use crate::sweep::{self, Bells, Scope, Sweeper};

/// How often the schedule rings.
const TICK: Duration = Duration::from_secs(30);
/// How soon other processes' writes are seen.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// What closing the store gets when we drain: a statement waits far longer for another process's transaction.
const CLOSE_GRACE: Duration = Duration::from_secs(3);

/// Why the daemon could not be put together, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Secret(#[from] settings::SecretError),
    #[error("providers.{name}: cannot be used")]
    Provider {
        name: String,
        #[source]
        source: nexway_connect::ConfigError,
    },
    #[error("sinks.{name}: {reason}")]
    Sink { name: String, reason: String },
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Admin(#[from] admin::Error),
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    #[error("a task ended unexpectedly")]
    Task(#[source] tokio::task::JoinError),
}

/// Everything that works: one sweeper per provider, one relay per sink, and the store they meet in.
pub struct Worker {
    pub store: Store,
    pub sweepers: Vec<Sweeper<NexwayConnect>>,
    pub relays: Vec<Relay<Configured>>,
    settings: Arc<Settings>,
    bells: Bells,
}

/// What a drained run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    Clean,
    /// A publish was cut off, or a task failed.
    Unclean,
}

impl Worker {
    /// Reads the secrets and puts the parts together. Nothing is asked or sent yet.
    pub fn new(settings: Arc<Settings>, store: Store) -> Result<Self, Error> {
        let bells: BTreeMap<String, Arc<Notify>> =
            settings.sinks.keys().map(|name| (name.clone(), Arc::new(Notify::new()))).collect();
        let bells: Bells = Arc::new(bells);
        let sweepers = settings
            .providers
            .iter()
            .map(|(name, provider)| parts::sweeper(name, provider, &settings, &store, &bells))
            .collect::<Result<_, _>>()?;
        let mut relays = Vec::new();
        for (name, configured) in &settings.sinks {
            if let Some(sink) = sink(name, configured)? {
                let route = relay::Route {
                    name: name.clone(),
                    concurrency: configured.concurrency,
                    timeout: configured.timeout,
                    max_attempts: configured.max_attempts,
                };
                relays.push(Relay::new(store.clone(), sink, route));
            }
        }
        Ok(Self { store, sweepers, relays, settings, bells })
    }

    /// Sweeps every provider once, at `now`; for tests and the demo, which have clocks of their own.
    pub async fn sweep(&mut self, now: &(dyn Fn() -> Timestamp + Sync)) -> Result<sweep::Report, store::Error> {
        let mut total = sweep::Report::default();
        let shutdown = Shutdown::manual();
        for sweeper in &mut self.sweepers {
            sweeper.prepare(now()).await?;
            total.add(&sweeper.pass(now, Scope::Due, None, &shutdown, &|_| {}).await?);
        }
        Ok(total)
    }

    /// Publishes to every sink once, at `now`.
    pub async fn relay(&mut self, now: &(dyn Fn() -> Timestamp + Sync)) -> Result<relay::Report, store::Error> {
        let mut total = relay::Report::default();
        for relay in &mut self.relays {
            total.add(relay.pass(now, None, &Shutdown::manual()).await?);
        }
        Ok(total)
    }

    /// Works until a signal asks for the end, then drains: requests are cancelled at once, publishes in hand are finished.
    ///
    /// # Errors
    /// When a task cannot go on; the others are drained first.
    pub async fn run(self, signals: Signals) -> Result<Drained, Error> {
        let shutdown = signals.shutdown;
        let sweep_bells: Vec<Arc<Notify>> = self.sweepers.iter().map(|_| Arc::new(Notify::new())).collect();
        let all: Vec<Arc<Notify>> = sweep_bells.iter().chain(self.bells.values()).cloned().collect();
        let (metrics, pulses) = (Metrics::default(), Pulses::default());
        let admin = Admin::open(admin::Parts {
            settings: self.settings.clone(),
            store: self.store.clone(),
            metrics: metrics.clone(),
            pulses: pulses.clone(),
            budgets: self.sweepers.iter().map(|s| (s.account().name.clone(), s.budget().clone())).collect(),
            sweep_bells: sweep_bells.clone(),
            sink_bells: self.bells.clone(),
            shutdown: shutdown.clone(),
        })?;
        let schedule = Schedule::start(all.clone(), TICK);
        // Before anybody looks at what is due, so that no write of another process falls between.
        let seen = self.store.data_version().await.ok();

        let mut tasks: JoinSet<Result<relay::Report, Error>> = JoinSet::new();
        for (sweeper, bell) in self.sweepers.into_iter().zip(sweep_bells) {
            let shutdown = shutdown.clone();
            let name = &sweeper.account().name;
            let (meter, pulse) = (metrics.sweep(name), pulses.start(format!("sweep {name}")));
            let sweeper = sweeper.observed(meter, pulse);
            tasks.spawn(async move { Ok(sweeper.run(bell, shutdown).await.map(|()| relay::Report::default())?) });
        }
        for relay in self.relays {
            let (bell, shutdown) = (self.bells.get(relay.name()).cloned().unwrap_or_default(), shutdown.clone());
            let (meter, pulse) = (metrics.relay(relay.name()), pulses.start(format!("relay {}", relay.name())));
            let relay = relay.observed(meter, pulse);
            tasks.spawn(async move { Ok(relay.run(bell, shutdown).await?) });
        }
        let mut beside = JoinSet::new();
        beside.spawn(watch_others(self.store.clone(), all.clone(), seen));
        beside.spawn(wipe::hourly(self.store.clone(), self.settings.clone()));
        beside.spawn(obey(signals.reload, signals.poll_now, all));
        beside.spawn(notify::feed(pulses));
        beside.spawn(notify::tell(self.store.clone(), self.settings.clone()));
        beside.spawn(notify::stopping(shutdown.clone()));
        notify::ready();

        let drained = join(tasks, &shutdown).await;
        beside.shutdown().await;
        schedule.shutdown();
        if let Some(admin) = admin {
            admin.close().await;
        }
        if tokio::time::timeout(CLOSE_GRACE, self.store.close()).await.is_err() {
            tracing::warn!("another process holds the database: ended without closing it, nothing is lost");
        }
        drained
    }

    /// Closes the store; the instance lock is free afterwards.
    pub async fn close(self) {
        drop((self.sweepers, self.relays));
        self.store.close().await;
    }
}

/// Waits for all tasks. The first that ends before it was asked to takes the others along.
async fn join(mut tasks: JoinSet<Result<relay::Report, Error>>, shutdown: &Shutdown) -> Result<Drained, Error> {
    let mut outcome = Ok(Drained::Clean);
    while let Some(ended) = tasks.join_next().await {
        let failed = match ended {
            Ok(Ok(report)) => {
                if report.unanswered > 0 && outcome.is_ok() {
                    outcome = Ok(Drained::Unclean);
                }
                continue;
            }
            Ok(Err(error)) => error,
            Err(error) => Error::Task(error),
        };
        tracing::error!(error = %crate::chain(&failed), "cannot go on");
        shutdown.request();
        outcome = outcome.and(Err(failed));
    }
    outcome
}

/// Rings all bells when another process has written since `seen`.
async fn watch_others(store: Store, bells: Vec<Arc<Notify>>, mut seen: Option<i64>) {
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        let Ok(version) = store.data_version().await else { continue };
        if seen.replace(version) != Some(version) {
            bells.iter().for_each(|bell| bell.notify_one());
        }
    }
}

/// SIGHUP and SIGUSR1.
async fn obey(reload: Arc<Notify>, poll_now: Arc<Notify>, bells: Vec<Arc<Notify>>) {
    loop {
        tokio::select! {
            () = reload.notified() => {
                notify::reloading();
                tracing::warn!("settings are read at the start only: restart to change them");
                notify::ready();
            }
            () = poll_now.notified() => bells.iter().for_each(|bell| bell.notify_one()),
        }
    }
}
