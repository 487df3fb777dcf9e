//! The one-shot run: the daemon's own passes, once, and what they came to.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::{Worker, alerts, counter, resume_interrupted, steps, wipe};
use crate::clock::Timestamp;
use crate::heartbeat::{self, Heartbeat};
use crate::listen::Endpoint;
use crate::metrics::Metrics;
use crate::provider;
use crate::relay::{self, Relay};
use crate::shop::{self, Desk};
use crate::signals::Shutdown;
use crate::sink::Configured;
use crate::store::{self, AlertChange};
use crate::sweep::{self, Progress, Scope, Sweeper};

/// How long the one-shot run waits, once everybody was asked, for order data and dispatches that are due soon.
const CATCH_UP_WAIT: Duration = Duration::from_secs(120);

/// And for polls that were not answered: long enough for the first retry. A failure of a moment, at the token service say, must not
/// cost everybody the time until the next run.
const RETRY_WAIT: Duration = Duration::from_secs(15);

/// What a one-shot run did.
#[derive(Clone, Debug, Default)]
pub struct CaughtUp {
    pub sweep: sweep::Report,
    pub relay: relay::Report,
}

/// How things stand after it.
#[derive(Clone, Debug, Default)]
pub struct Aftermath {
    /// What a person must know now and did not have to know before, or the other way round.
    pub change: AlertChange,
    /// Nothing is overdue and no alert stands.
    pub is_well: bool,
}

impl Worker {
    /// One catch-up pass: everybody due is asked once, everything found is handed over, what is due within two minutes is waited
    /// for. `shutdown` ends it early.
    pub async fn catch_up(&mut self, shutdown: &Shutdown, progress: Progress<'_>) -> Result<CaughtUp, store::Error> {
        steps::look_back(&self.store, &self.plans.judge).await;
        resume_interrupted(&self.store, shutdown).await;
        let swept = Shutdown::manual();
        let (desk, counter) = self.serve_shop();
        desk.look_for_due().await?;
        let Self { plans, relays, sweepers, .. } = self;
        let bells = &*plans.bells;
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
            result.sweep.add(&report?);
        }
        relays?.into_iter().for_each(|report| result.relay.add(report));
        wipe::now(&self.store, &self.plans.settings).await?;
        if let Some(counter) = counter {
            counter.close().await;
        }
        Ok(result)
    }

    /// Makes a shop's calls meanwhile, until it is closed.
    fn serve_shop(&self) -> (Desk, Option<Endpoint>) {
        let live = shop::Live::at_socket(self.plans.settings.clone(), self.plans.desks.clone());
        let live = watch::Sender::new(Arc::new(live)).subscribe();
        let desk = Desk::new(live, self.store.clone(), Arc::default(), Metrics::default());
        let counter = counter::open(&desk, &self.store);
        (desk, counter)
    }

    /// The same for a single call: what the provider asked for in the last run holds for it, too.
    ///
    /// # Errors
    /// The store's.
    pub async fn serve_one_call(&mut self) -> Result<Option<Endpoint>, store::Error> {
        for sweeper in &mut self.sweepers {
            sweeper.prepare(Timestamp::now()).await?;
        }
        Ok(self.serve_shop().1)
    }
}

impl Worker {
    /// Looks what a person must know after a run; with `tell`, the log says what is new.
    pub async fn look_after(&self, done: &CaughtUp, tell: bool) -> Result<Aftermath, store::Error> {
        let ran_out = done.sweep.interrupted;
        let (change, is_well) = alerts::after_catch_up(&self.store, &self.plans.settings, ran_out).await?;
        if tell {
            alerts::tell(&change);
        }
        Ok(Aftermath { change, is_well })
    }

    /// Tells the dead-man's switch that all is well.
    pub async fn beat(&self) -> Result<(), store::Error> {
        let now = Timestamp::now();
        Heartbeat::default().beat(&self.store, &self.plans.settings.admin, heartbeat::EVERY_ONCE, now).await
    }
}

async fn sweep_until_quiet(
    sweeper: &mut Sweeper<provider::Configured>,
    shutdown: &Shutdown,
    progress: Progress<'_>,
) -> Result<sweep::Report, store::Error> {
    let clock = &Timestamp::now;
    sweeper.prepare(Timestamp::now()).await?;
    let mut total = sweeper.pass(clock, Scope::CatchUp, None, shutdown, progress).await?;
    // On the monotonic clock: a wall clock set back meanwhile must not make it wait for a year.
    let (deadline, mut retry_by) = (Instant::now() + CATCH_UP_WAIT, Instant::now() + RETRY_WAIT);
    while !shutdown.is_requested() && !total.given_up {
        let now = Timestamp::now();
        let wait = |due: Option<Timestamp>, by: Instant| {
            let left = by.saturating_duration_since(Instant::now());
            due.map(|due| due.since(now)).filter(|wait| !left.is_zero() && *wait <= left)
        };
        let retry = wait(sweeper.next_retry_due().await?, retry_by);
        let renewal = wait(sweeper.next_renewal_due().await?, deadline);
        let Some(wait) = retry.into_iter().chain(renewal).min() else { break };
        tokio::select! {
            () = shutdown.requested() => break,
            () = tokio::time::sleep(wait) => {}
        }
        // One that was stopped may answer again by now.
        total.stopped_territories.clear();
        // Where nobody was answered, one request shows whether that is over: a provider that is down is not asked for everybody twice.
        let is_probe = total.answers == 0;
        let report = sweeper.pass(clock, Scope::Again { is_probe }, None, shutdown, &|_| {}).await?;
        if is_probe && report.answers == 0 {
            retry_by = Instant::now();
        }
        total.add(&report);
    }
    sweeper.ends();
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
            relay.ends();
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
