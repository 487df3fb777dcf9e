//! The daemon: which tasks there are and when they work. `run` keeps them working until it is told to end; `catch_up` lets
//! the same passes run once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use secrecy::SecretString;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::budget::Budget;
use crate::clock::{StepDetector, Timestamp};
use crate::provider::nexway_connect::{self, NexwayConnect};
use crate::relay::{self, Relay};
use crate::renewal::Rules;
use crate::schedule::Schedule;
use crate::settings::{self, ProviderKind, Settings, SinkKind};
use crate::signals::{Shutdown, Signals};
use crate::sink::{Configured, file::FileSink, stdout::StdoutSink, webhook};
use crate::store::{self, Store};
use crate::sweep::{self, Account, Bells, Progress, Scope, Sweeper};

/// How often the schedule rings.
const TICK: Duration = Duration::from_secs(30);
/// How soon other processes' writes are seen.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// How often old payloads are looked for.
const WIPE_EVERY: Duration = Duration::from_secs(3600);
/// A clock further ahead of the last run's than this is not believed before it is seen again.
const LONGEST_ABSENCE: Duration = Duration::from_secs(7 * 24 * 3600);
/// A step of the clock above this stops wiping for a day of monotonic time: what it calls old may be new.
const WIPE_STEP: Duration = Duration::from_secs(5 * 60);
const NO_WIPE_AFTER_STEP: Duration = Duration::from_secs(24 * 3600);
/// What closing the store gets when we drain: a statement waits far longer for another process's transaction.
const CLOSE_GRACE: Duration = Duration::from_secs(3);
/// How long the one-shot run waits, once everybody was asked, for order data and dispatches that are due soon.
const CATCH_UP_WAIT: Duration = Duration::from_secs(120);

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

/// What a one-shot run did.
#[derive(Clone, Debug, Default)]
pub struct CaughtUp {
    pub sweep: sweep::Report,
    pub relay: relay::Report,
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
            .map(|(name, provider)| sweeper(name, provider, &settings, &store, &bells))
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
        let schedule = Schedule::start(all.clone(), TICK);
        // Before anybody looks at what is due, so that no write of another process falls between.
        let seen = self.store.data_version().await.ok();

        let mut tasks: JoinSet<Result<relay::Report, Error>> = JoinSet::new();
        for (sweeper, bell) in self.sweepers.into_iter().zip(sweep_bells) {
            let shutdown = shutdown.clone();
            tasks.spawn(async move { Ok(sweeper.run(bell, shutdown).await.map(|()| relay::Report::default())?) });
        }
        for relay in self.relays {
            let (bell, shutdown) = (self.bells.get(relay.name()).cloned().unwrap_or_default(), shutdown.clone());
            tasks.spawn(async move { Ok(relay.run(bell, shutdown).await?) });
        }
        let mut beside = JoinSet::new();
        beside.spawn(watch_others(self.store.clone(), all.clone(), seen));
        beside.spawn(wipe_old(self.store.clone(), self.settings.clone()));
        beside.spawn(obey(signals.reload, signals.poll_now, all));

        let drained = join(tasks, &shutdown).await;
        beside.shutdown().await;
        schedule.shutdown();
        if tokio::time::timeout(CLOSE_GRACE, self.store.close()).await.is_err() {
            tracing::warn!("another process holds the database: ended without closing it, nothing is lost");
        }
        drained
    }

    /// One catch-up pass: everybody due is asked once, everything found is handed over, what is due within two minutes is waited
    /// for. `shutdown` ends it early.
    pub async fn catch_up(&mut self, shutdown: &Shutdown, progress: Progress<'_>) -> Result<CaughtUp, store::Error> {
        let swept = Shutdown::manual();
        let Self { bells, relays, sweepers, .. } = self;
        let bells = &*bells;
        let publishing = try_join_all(relays.iter_mut().map(|relay| {
            let bell = bells.get(relay.name()).cloned().unwrap_or_default();
            publish_until_quiet(relay, bell, &swept, shutdown)
        }));
        let sweeping = async {
            let done = join_all(sweepers.iter_mut().map(|s| sweep_until_quiet(s, shutdown, progress))).await;
            swept.request();
            bells.values().for_each(|bell| bell.notify_one());
            done
        };
        let (sweeps, relays) = tokio::join!(sweeping, publishing);
        let mut result = CaughtUp::default();
        for report in sweeps {
            let report = report?;
            let stopped = [result.sweep.stopped_territories.clone(), report.stopped_territories.clone()].concat();
            result.sweep.add(&report);
            result.sweep.stopped_territories = stopped;
        }
        relays?.into_iter().for_each(|report| result.relay.add(report));
        self.wipe_now().await?;
        Ok(result)
    }

    /// Closes the store; the instance lock is free afterwards.
    pub async fn close(self) {
        drop((self.sweepers, self.relays));
        self.store.close().await;
    }

    async fn wipe_now(&self) -> Result<(), store::Error> {
        let now = Timestamp::now();
        if is_believable(&self.store, now).await? { wipe(&self.store, &self.settings, now).await } else { Ok(()) }
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

async fn sweep_until_quiet(
    sweeper: &mut Sweeper<NexwayConnect>,
    shutdown: &Shutdown,
    progress: Progress<'_>,
) -> Result<sweep::Report, store::Error> {
    let clock = &Timestamp::now;
    sweeper.prepare(Timestamp::now()).await?;
    let mut total = sweeper.pass(clock, Scope::CatchUp, None, shutdown, progress).await?;
    // On the monotonic clock: a wall clock set back meanwhile must not make it wait for a year.
    let deadline = Instant::now() + CATCH_UP_WAIT;
    while !shutdown.is_requested() && !total.given_up {
        let left = deadline.saturating_duration_since(Instant::now());
        let due = sweeper.next_renewal_due().await?.map(|due| due.since(Timestamp::now()));
        let Some(wait) = due.filter(|wait| !left.is_zero() && *wait <= left) else { break };
        tokio::select! {
            () = shutdown.requested() => break,
            () = tokio::time::sleep(wait) => {}
        }
        total.add(&sweeper.pass(clock, Scope::OrderData, None, shutdown, &|_| {}).await?);
    }
    Ok(total)
}

/// Publishes while the sweep goes on, and after it until nothing is due within the time a one-shot run waits.
async fn publish_until_quiet(
    relay: &mut Relay<Configured>,
    bell: Arc<Notify>,
    swept: &Shutdown,
    shutdown: &Shutdown,
) -> Result<relay::Report, store::Error> {
    let mut total = relay::Report::default();
    let mut deadline = None;
    loop {
        let report = relay.pass(&Timestamp::now, Some(&bell), shutdown).await?;
        // Not before the pass, which may have heard the bell that tells of it.
        let done = swept.is_requested();
        total.add(report);
        total.blocked = report.blocked;
        let now = Timestamp::now();
        let end = *deadline.get_or_insert(Instant::now() + CATCH_UP_WAIT);
        if !done {
            deadline = None; // the time begins when the sweep is over
        }
        let left = end.saturating_duration_since(Instant::now());
        let due = relay.next_due().await?.map(|due| due.since(now)).filter(|wait| *wait <= left);
        if shutdown.is_requested() || (done && (due.is_none() || left.is_zero())) {
            return Ok(total);
        }
        let wait = due.map_or(CATCH_UP_WAIT, |due| due.max(Duration::from_millis(200)));
        tokio::select! {
            () = shutdown.requested() => {}
            () = bell.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
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

/// Wipes payloads that nobody needs any more, hourly, unless the clock was stepped within the last day.
async fn wipe_old(store: Store, settings: Arc<Settings>) {
    let mut clock = StepDetector::start();
    let mut not_before = Instant::now();
    loop {
        tokio::time::sleep(WIPE_EVERY).await;
        if clock.has_stepped(WIPE_STEP) {
            not_before = Instant::now() + NO_WIPE_AFTER_STEP;
        }
        let now = Timestamp::now();
        let wiped = async {
            let believable = is_believable(&store, now).await?;
            if believable && Instant::now() >= not_before { wipe(&store, &settings, now).await } else { Ok(()) }
        };
        if let Err(error) = wiped.await {
            tracing::warn!(error = %crate::chain(&error), "could not wipe old payloads; tried again in an hour");
        }
    }
}

/// Whether the clock agrees with what the last run noted: what is wiped under a wrong one is gone. A machine that was off
/// for longer keeps its payloads until the next look.
async fn is_believable(store: &Store, now: Timestamp) -> Result<bool, store::Error> {
    let before = store.note_time(now).await?;
    Ok(before.is_some_and(|before| now + WIPE_STEP >= before && now <= before + LONGEST_ABSENCE))
}

async fn wipe(store: &Store, settings: &Settings, now: Timestamp) -> Result<(), store::Error> {
    let configured = settings.sinks.keys().cloned().collect();
    let (delivered, dead) = (now - settings.store.retention, now - settings.store.dead_retention);
    let purged = store.wipe_payloads(delivered, dead, configured, now).await?;
    if purged.undelivered > 0 {
        tracing::error!(messages = purged.undelivered, "wiped payloads that nobody received: dead_retention is over");
    }
    if purged.delivered > 0 {
        tracing::info!(messages = purged.delivered, "wiped delivered payloads");
    }
    Ok(())
}

/// SIGHUP and SIGUSR1.
async fn obey(reload: Arc<Notify>, poll_now: Arc<Notify>, bells: Vec<Arc<Notify>>) {
    loop {
        tokio::select! {
            () = reload.notified() => tracing::warn!("settings are read at the start only: restart to change them"),
            () = poll_now.notified() => bells.iter().for_each(|bell| bell.notify_one()),
        }
    }
}

fn sweeper(
    name: &str,
    provider: &settings::Provider,
    settings: &Arc<Settings>,
    store: &Store,
    bells: &Bells,
) -> Result<Sweeper<NexwayConnect>, Error> {
    let budget = Budget::new(provider.requests_per_second);
    let client = client(name, provider, budget.clone())?;
    let account =
        Account { name: name.to_owned(), concurrency: provider.concurrency, rules: Rules::from_settings(settings) };
    Ok(Sweeper::new(store.clone(), client, budget, account, settings.clone(), bells.clone()))
}

/// The account's client, its secrets read. Nothing is asked yet.
pub fn client(name: &str, provider: &settings::Provider, budget: Budget) -> Result<NexwayConnect, Error> {
    let ProviderKind::NexwayConnect = provider.kind;
    let territories = provider
        .territories
        .iter()
        .map(|(name, secret)| Ok((name.clone(), secret.read()?)))
        .collect::<Result<_, Error>>()?;
    let config = nexway_connect::Config {
        api_url: provider.api_url.clone(),
        iam_url: provider.iam_url.clone(),
        realm: provider.realm.clone(),
        client_secret: provider.client_secret.read()?,
        territories,
        timeout: provider.timeout,
        connect_timeout: provider.connect_timeout,
        ca_file: provider.ca_file.clone(),
        proxy: provider.proxy.clone(),
        concurrency: provider.concurrency,
    };
    NexwayConnect::new(&config, budget).map_err(|source| Error::Provider { name: name.to_owned(), source })
}

/// The sink as configured; `None` for the built-in queue, whose messages wait in the store until somebody pulls them.
pub fn sink(name: &str, configured: &settings::Sink) -> Result<Option<Configured>, Error> {
    let failed = |reason: String| Error::Sink { name: name.to_owned(), reason };
    Ok(match &configured.kind {
        SinkKind::Webhook { url, signing_secret, signing_secret_previous, ca_file, proxy } => {
            let secrets = [signing_secret, signing_secret_previous];
            // Judged here, so that the error names the key.
            let read = |secret: &settings::Secret| secret.read_signing_key().and_then(|_| secret.read());
            let secrets = secrets.into_iter().flatten().map(read).collect::<Result<Vec<SecretString>, _>>()?;
            let config = webhook::WebhookConfig {
                url: url.clone(),
                secrets,
                timeout: configured.timeout,
                ca_file: ca_file.clone(),
                proxy: proxy.clone(),
            };
            Some(Configured::Webhook(webhook::Webhook::new(config).map_err(|e| failed(crate::chain(&e)))?))
        }
        SinkKind::File { path } => Some(Configured::File(FileSink::new(path.clone(), configured.timeout))),
        SinkKind::Stdout => {
            if settings::is_journal(std::io::stdout()) {
                return Err(failed("stdout is the journal: licence keys would land in a log".into()));
            }
            let sink = StdoutSink::new(configured.timeout).map_err(|e| failed(e.to_string()))?;
            Some(Configured::Stdout(sink))
        }
        SinkKind::Queue => None,
    })
}
