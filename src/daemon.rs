//! The daemon: which tasks there are and when they work. `run` keeps them working until it is told to end; `catch_up` lets
//! the same passes run once.

mod alerts;
mod catch_up;
mod counter;
mod crew;
mod due_times;
mod parts;
mod plans;
mod reload;
mod steps;
mod wipe;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use self::alerts::Watchman;
pub use self::catch_up::{Aftermath, CaughtUp};
use self::crew::{Crew, Name, Part};
pub use self::parts::{client, sink, vault};
use self::plans::{Built, Plans};
use self::reload::Reload;
pub use self::reload::Source;
use crate::admin;
use crate::clock::Timestamp;
use crate::hooks;
use crate::listen::Endpoint;
use crate::metrics::Metrics;
use crate::notify;
use crate::provider;
use crate::provider::connection::ConfigError;
use crate::pulse::Pulses;
use crate::relay::{self, Relay};
use crate::renewal::Rules;
use crate::schedule::Schedule;
use crate::settings::{self, Settings};
use crate::shop::{self, Desk};
use crate::signals::{Shutdown, Signals};
use crate::sink::Configured;
use crate::store::{self, Store};
use crate::sweep::{self, Scope, Sweeper};

/// How often the schedule rings.
const TICK: Duration = Duration::from_secs(30);
/// How soon other processes' writes are seen.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// What closing the store gets when we drain: a statement waits far longer for another process's transaction. With the relays'
/// 15 s for publishes in hand, 2 s for recording and the admin endpoint's last answers, the end comes within 20 s;
/// with no publish in hand within 2 s.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// Why the daemon could not be put together, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Secret(#[from] settings::SecretError),
    #[error("providers.{name}: cannot be used")]
    Provider {
        name: String,
        #[source]
        source: ConfigError,
    },
    #[error("sinks.{name}: {reason}")]
    Sink { name: String, reason: String },
    /// One a line.
    #[error("{}", lines(.0))]
    Several(Vec<Error>),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Admin(#[from] admin::Error),
    #[error(transparent)]
    Hooks(#[from] hooks::Error),
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    #[error("a task ended unexpectedly")]
    Task(#[source] tokio::task::JoinError),
}

impl Error {
    /// With its causes, each mistake on a line of its own.
    pub fn lines(&self) -> String {
        match self {
            Self::Several(all) => lines(all),
            one => crate::chain(one),
        }
    }
}

fn lines(errors: &[Error]) -> String {
    errors.iter().map(Error::lines).collect::<Vec<_>>().join("\n")
}

/// Everything that works: one sweeper per provider, one relay per sink, and the store they meet in.
pub struct Worker {
    pub store: Store,
    pub sweepers: Vec<Sweeper<provider::Configured>>,
    pub relays: Vec<Relay<Configured>>,
    plans: Plans,
}

/// What a drained run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    Clean,
    /// A publish was cut off, or a task failed.
    Unclean,
}

impl Worker {
    /// Reads the secrets and puts the parts together; the store gets the keys for payloads. Nothing is asked or sent yet.
    ///
    /// # Errors
    /// Every secret that is missing, and all else that cannot be used.
    pub fn new(settings: Arc<Settings>, store: Store) -> Result<Self, Error> {
        let store = store.with_vault(parts::vault(&settings.store));
        let Built { plans, clients, sinks } = plans::build(settings, None)?;
        plans.share_budgets();
        let sweeper = |(name, client): (String, _)| plans.sweeper(&name, client, &store);
        let relay = |(name, sink): (String, _)| Relay::new(store.clone(), sink, plans.route(&name));
        let sweepers = clients.into_iter().map(sweeper).collect();
        let relays = sinks.into_iter().map(relay).collect();
        Ok(Self { store, sweepers, relays, plans })
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
    /// SIGHUP reads the settings again from `source`.
    ///
    /// # Errors
    /// When a task cannot go on; the others are drained first.
    pub async fn run(mut self, signals: Signals, source: Source) -> Result<Drained, Error> {
        if let Some(reason) = self.store.vault().trouble() {
            tracing::warn!("a key for payloads cannot be read, start again when it can: {reason}");
        }
        let [tick, hinted] = std::array::from_fn(|_| Arc::new(Notify::new()));
        let (metrics, pulses) = (Metrics::default(), Pulses::default());
        let mut reload = Reload::new(source, self.store.clone(), self.plans.clone())?;
        let desk = Desk::new(reload.shop(), self.store.clone(), tick.clone(), metrics.clone());
        let counter = counter::open(&desk, &self.store);
        let admin = admin::open(admin::Parts {
            live: reload.live(),
            store: self.store.clone(),
            metrics: metrics.clone(),
            pulses: pulses.clone(),
            sweep_bell: tick.clone(),
            shutdown: signals.shutdown.clone(),
            shop: desk.clone(),
        })?;
        let hooks = hooks::open(hooks::Parts {
            live: reload.hooks(),
            store: self.store.clone(),
            metrics: metrics.clone(),
            sweep_bell: hinted.clone(),
        })?;
        let schedule = Schedule::start(vec![tick.clone()], TICK);
        // Before anybody looks at what is due, so that no write of another process falls between.
        let seen = self.store.data_version().await.ok();
        steps::look_back(&self.store, &self.plans.judge).await;
        resume_interrupted(&self.store, &signals.shutdown).await;
        let shutdown = signals.shutdown.clone();
        let mut crew = Crew::new(self.store.clone(), signals.shutdown, metrics, pulses.clone());
        self.start_all(&mut crew, reload.settings());
        let mut beside = self.start_beside(&tick, seen, &reload.settings(), pulses);
        beside.spawn(shop::look_for_orders(desk));
        notify::ready();

        let mut drains = false;
        loop {
            tokio::select! {
                biased;
                () = shutdown.requested(), if !drains => {
                    drains = true;
                    notify::stopping();
                }
                // What ends by itself has done its work.
                Some(Err(error)) = beside.join_next(), if !drains => crew.fail(Error::Task(error)),
                is_anyone_left = crew.somebody_ended() => if !is_anyone_left { break },
                () = tick.notified() => crew.ring(),
                () = hinted.notified() => crew.ring_sweepers(),
                () = signals.poll_now.notified() => {
                    tracing::info!("SIGUSR1: everything that is due is asked for now");
                    crew.ring();
                }
                () = signals.reload.notified(), if reload.is_idle() => reload.begin(),
                done = reload.done() => reload.go_on(done, &mut crew),
            }
            reload.look_at(&crew);
        }
        drop(reload);
        beside.shutdown().await;
        schedule.shutdown();
        let outcome = crew.outcome();
        join_all([admin, hooks, counter].into_iter().flatten().map(Endpoint::close)).await;
        if tokio::time::timeout(CLOSE_GRACE, self.store.close()).await.is_err() {
            tracing::warn!("another process holds the database: ended without closing it, nothing is lost");
        }
        outcome
    }

    fn start_all(&mut self, crew: &mut Crew, settings: watch::Receiver<Arc<Settings>>) {
        for sweeper in self.sweepers.drain(..) {
            let name = Name::Provider(sweeper.account().name.clone());
            crew.start(name, Part::Sweeper(Box::new(sweeper)), Arc::new(Notify::new()));
        }
        for relay in self.relays.drain(..) {
            let bell = self.plans.bells.get(relay.name()).cloned().unwrap_or_default();
            crew.start(Name::Sink(relay.name().to_owned()), Part::Relay(Box::new(relay)), bell);
        }
        let watchman = Watchman::new(self.store.clone(), settings);
        crew.start(Name::Watchman, Part::Watchman(Box::new(watchman)), Arc::new(Notify::new()));
    }

    /// What goes on beside the parts, and is dropped when they have ended.
    fn start_beside(
        &self,
        tick: &Arc<Notify>,
        seen: Option<i64>,
        settings: &watch::Receiver<Arc<Settings>>,
        pulses: Pulses,
    ) -> JoinSet<()> {
        let store = || self.store.clone();
        let mut beside = JoinSet::new();
        beside.spawn(store::tend(store()));
        beside.spawn(adapt_all(store(), self.plans.settings.clone()));
        beside.spawn(watch_others(store(), tick.clone(), seen));
        beside.spawn(steps::watch(store(), tick.clone()));
        beside.spawn(wipe::hourly(store(), settings.clone(), self.plans.judge.clone()));
        beside.spawn(notify::feed(pulses));
        beside.spawn(notify::tell(store(), settings.clone()));
        beside
    }

    /// Closes the store; the instance lock is free afterwards.
    pub async fn close(self) {
        drop((self.sweepers, self.relays));
        self.store.close().await;
    }
}

/// A message whose sending was cut off by a kill need not wait until its attempt would have been over. Who holds the instance lock
/// knows that nobody is sending it any more.
async fn resume_interrupted(store: &Store, shutdown: &Shutdown) {
    let resumed = tokio::select! {
        // Another process may hold the database.
        () = shutdown.requested() => return,
        resumed = store.resume_interrupted(Timestamp::now()) => resumed,
    };
    match resumed {
        Ok(0) => {}
        Ok(messages) => {
            tracing::info!(
                messages,
                "the last run was cut off while it sent: these are sent again, under the same ids"
            );
        }
        Err(error) => tracing::warn!(%error, "what the last run was sending waits until its attempt is over"),
    }
}

/// The interval may have been changed while nobody ran.
async fn adapt_all(store: Store, settings: Arc<Settings>) {
    for name in settings.providers.keys() {
        due_times::adapt(&store, name, None, &Rules::from_settings(&settings)).await;
    }
}

/// Rings when another process has written since `seen`.
async fn watch_others(store: Store, bell: Arc<Notify>, mut seen: Option<i64>) {
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        let Ok(version) = store.data_version().await else { continue };
        if seen.replace(version) != Some(version) {
            bell.notify_one();
        }
    }
}
