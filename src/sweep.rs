//! The sweep: asks one provider what is due, and records what it learns.
//!
//! [`Sweeper::pass`] works until nothing is due any more; [`Sweeper::turn`] also says when to pass again. Which request is next is
//! decided in [`crate::choice`] at the moment a slot of the budget is free, what an answer means in [`crate::renewal`]; this file
//! only moves things between the provider and the store.

mod feed;
mod flight;
mod gate;
mod line;
mod listing;
mod mode;
mod pass;
mod queues;
mod record;
mod report;
mod request;
mod settle;
mod telling;
mod told;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::budget::Budget;
use crate::choice::Choice;
use crate::clock::{Judge, StepDetector, Timestamp};
use crate::convention::Convention;
use crate::metrics::{Metrics, SweepMeter};
use crate::provider::Provider;
use crate::pulse::Pulse;
use crate::renewal::Rules;
use crate::settings::{self, Settings};
use crate::signals::Shutdown;
use crate::store::{self, Store};
use tokio::sync::Notify;

use feed::Feed;
use flight::Flight;
use gate::Gate;
use mode::Mode;
pub use mode::Scope;
use pass::Pass;
use queues::Queues;
pub use report::Report;
use request::Shared;
use telling::Telling;
use told::Told;
use trouble::Trouble;

/// Wall and monotonic clock may drift this far apart between two looks; more is a step.
const CLOCK_STEP: Duration = Duration::from_secs(60);

/// One provider's account, as the settings describe it.
#[derive(Clone, Debug)]
pub struct Account {
    pub name: String,
    pub concurrency: usize,
    pub rules: Rules,
    pub convention: &'static Convention,
    pub feed: Option<settings::Feed>,
}

/// Bells that are rung for the relays when something was queued for their sinks.
pub type Bells = Arc<BTreeMap<String, Arc<Notify>>>;

/// What a sweeper goes on with after a reload.
pub struct Reloaded<P> {
    /// `None`: the one it has is as good.
    pub provider: Option<P>,
    pub account: Account,
    pub settings: Arc<Settings>,
    pub bells: Bells,
}

/// Asks one provider.
pub struct Sweeper<P> {
    store: Store,
    provider: P,
    budget: Budget,
    account: Account,
    settings: Arc<Settings>,
    bells: Bells,
    choice: Choice,
    gate: Gate,
    told: Told,
    /// Empty until a preparation has succeeded.
    clock: Option<StepDetector>,
    judge: Judge,
    trouble: Trouble,
    feed: feed::Memory,
    meter: SweepMeter,
    pulse: Pulse,
}

/// Where a pass is told of progress: polls answered so far. For progress bars.
pub type Progress<'a> = &'a (dyn Fn(u64) + Sync);

impl<P: Provider> Sweeper<P> {
    pub fn new(
        store: Store,
        provider: P,
        budget: Budget,
        account: Account,
        settings: Arc<Settings>,
        bells: Bells,
    ) -> Self {
        Self {
            meter: Metrics::default().sweep(&account.name),
            pulse: Pulse::unwatched(),
            store,
            provider,
            budget,
            account,
            settings,
            bells,
            choice: Choice::default(),
            gate: Gate::default(),
            told: Told::default(),
            clock: None,
            judge: Judge::default(),
            trouble: Trouble::default(),
            feed: feed::Memory::default(),
        }
    }

    /// Counts there, and shows there that it lives. Without this nobody looks.
    pub fn observed(self, metrics: &Metrics, pulse: Pulse) -> Self {
        Self { meter: metrics.sweep(&self.account.name), pulse, ..self }
    }

    /// Believes the clock as long as this does. Without this it has a judge of its own.
    pub fn judged_by(self, judge: Judge) -> Self {
        Self { judge, ..self }
    }

    pub fn account(&self) -> &Account {
        &self.account
    }

    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Prepares where that is called for, passes, and says when there is something to do again. `bell` makes a pass look again at
    /// once.
    ///
    /// # Errors
    /// The store's; everything else is logged and tried again.
    pub async fn turn(&mut self, bell: &Notify, shutdown: &Shutdown) -> Result<Option<Timestamp>, store::Error> {
        if !self.store.vault().can_seal() {
            // What it learned could not be stored. Alerts and readiness tell why.
            return Ok(None);
        }
        if self.clock.as_mut().is_some_and(|clock| clock.has_stepped(CLOCK_STEP)) {
            tracing::warn!(provider = %self.account.name, "the clock was stepped; due times are checked");
            self.clock = None;
        }
        if self.clock.is_none() {
            let started = StepDetector::start();
            self.prepare(Timestamp::now()).await?;
            self.clock = Some(started);
        }
        self.pass(&Timestamp::now, Scope::Due, Some(bell), shutdown, &|_| {}).await?;
        self.next_due().await
    }

    /// Goes on with other settings. What it knows of its territories, and its pace, stay.
    pub fn reload(&mut self, reloaded: Reloaded<P>) {
        let Reloaded { provider, account, settings, bells } = reloaded;
        if let Some(provider) = provider {
            self.provider = provider;
        }
        self.account = account;
        self.settings = settings;
        self.bells = bells;
        // Territories may have come or gone.
        self.clock = None;
    }

    /// It passes no more: how many lines were too many since that was last said.
    pub fn ends(&mut self) {
        self.told.count_rest(&self.account.name, true);
    }

    /// Once before the first pass, and after a step of the clock.
    pub async fn prepare(&mut self, now: Timestamp) -> Result<(), store::Error> {
        let configured = self.configured();
        self.gate.load(&self.store, &self.account.name, &configured).await?;
        let healed = self.store.heal_due_times(&self.account.name, &self.account.rules, now).await?;
        if healed > 0 {
            tracing::warn!(provider = %self.account.name, healed, "due times set under a wrong clock are due now");
        }
        self.trouble.begin(&self.store, &self.account, &self.budget, now).await
    }

    /// When the next poll is due, the next waiting renewal is asked for its order data, or a list is read again.
    async fn next_due(&self) -> Result<Option<Timestamp>, store::Error> {
        let poll = self.store.next_poll_due(&self.account.name, self.open(self.configured())).await?;
        let renewal = self.next_renewal_due().await?;
        Ok(poll.into_iter().chain(renewal).chain(self.feed.next_at).min())
    }

    /// When the next waiting renewal is asked for its order data. Those of a stopped territory wait for its next probe, however
    /// long they have been due: nobody may wait for them in a loop.
    pub async fn next_renewal_due(&self) -> Result<Option<Timestamp>, store::Error> {
        self.store.next_renewal_due(&self.account.name, &self.open(self.configured())).await
    }

    /// When the next poll that was not answered is made again.
    pub async fn next_retry_due(&self) -> Result<Option<Timestamp>, store::Error> {
        self.store.next_retry_due(&self.account.name, &self.open(self.configured())).await
    }

    /// Of these territories, those that a request may go to now.
    fn open(&self, mut territories: Vec<String>) -> Vec<String> {
        territories.retain(|territory| self.gate.admits(territory));
        territories
    }

    /// The territories there is a secret for. What waits in others is not asked for: it waits until they are back.
    fn configured(&self) -> Vec<String> {
        let provider = self.settings.providers.get(&self.account.name);
        let territories = provider.map(settings::Provider::territories).unwrap_or_default();
        territories.into_iter().map(str::to_owned).collect()
    }

    /// Works until nothing is due in `scope`, or shutdown is requested. Everything asked is recorded when it returns.
    ///
    /// # Errors
    /// The store's. What was not recorded is asked again.
    pub async fn pass(
        &mut self,
        now: &(dyn Fn() -> Timestamp + Sync),
        scope: Scope,
        bell: Option<&Notify>,
        shutdown: &Shutdown,
        progress: Progress<'_>,
    ) -> Result<Report, store::Error> {
        // Without a request that ends them, a slow-down and a pause are over at some time.
        self.trouble.tell(&self.store, &self.account.name, &self.budget, now()).await?;
        self.store.promote_urgent(&self.account.name, &self.account.rules, now()).await?;
        let mode = Mode::new(scope, bell.is_some());
        let horizon = mode.looks_ahead().then(|| now() + self.account.rules.every / 8);
        let queues = Queues::new(&self.store, &self.account.name, self.configured(), mode, horizon);
        let shared = Shared {
            store: &self.store,
            provider: &self.provider,
            budget: &self.budget,
            account: &self.account,
            settings: &self.settings,
            bells: &self.bells,
            pulse: &self.pulse,
            now,
            judge: &self.judge,
        };
        let feed = match mode.reads_lists() {
            true => {
                let rate = self.budget.state().configured_rate;
                Feed::load(&mut self.feed, &self.store, &self.account, rate, now()).await?
            }
            false => None,
        };
        let flight = Flight::new(&mut self.choice, self.account.concurrency);
        let telling = Telling::new(&self.account, &mut self.told, &self.meter, progress, mode.tells());
        let mut pass =
            Pass::new(shared, mode, &mut self.gate, &mut self.trouble, queues, flight, telling).with_lists(feed);
        pass.work(bell, shutdown).await?;
        Ok(pass.end())
    }
}

#[cfg(test)]
mod tests;
