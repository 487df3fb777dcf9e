//! The relay: publishes what is due for one sink, and marks what came of it.
//!
//! Each sink has a relay of its own, so a dead one holds up nobody. The order per subscription, the attempts and the times are
//! kept by the store; whose fault a failure was is said by the sink, and what follows from that is decided here.

mod condition;
mod pass;
mod told;

use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::metrics::{Metrics, RelayMeter};
use crate::pulse::Pulse;
use crate::signals::Shutdown;
use crate::sink::Sink;
use crate::store::{self, Store};
use condition::Condition;
pub use pass::LONGEST_DRAIN;
use pass::{Parts, Pass};
use told::Told;

/// How a sink is to be treated.
#[derive(Clone, Debug)]
pub struct Route {
    pub name: String,
    /// Publishes under way at once.
    pub concurrency: usize,
    pub timeout: Duration,
    pub max_attempts: u32,
}

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub delivered: u64,
    pub dead: u64,
    /// Publishes cut off by a drain: the receiver may have them.
    pub unanswered: u64,
    /// The sink is in trouble: what is due waits for it.
    pub blocked: bool,
}

impl Report {
    pub fn add(&mut self, other: Report) {
        self.delivered += other.delivered;
        self.dead += other.dead;
        self.unanswered += other.unanswered;
        self.blocked |= other.blocked;
    }
}

/// Publishes to one sink.
pub struct Relay<S> {
    store: Store,
    sink: S,
    route: Route,
    condition: Option<Condition>,
    meter: RelayMeter,
    pulse: Pulse,
    /// The back-off of the one before this was about another address, say.
    probes_at_once: bool,
    told: Told,
    total: Report,
}

impl<S: Sink> Relay<S> {
    pub fn new(store: Store, sink: S, route: Route) -> Self {
        let meter = Metrics::default().relay(&route.name);
        Self {
            store,
            sink,
            route,
            condition: None,
            probes_at_once: false,
            told: Told::default(),
            total: Report::default(),
            meter,
            pulse: Pulse::unwatched(),
        }
    }

    /// Counts there, and shows there that it lives. Without this nobody looks.
    pub fn observed(self, metrics: &Metrics, pulse: Pulse) -> Self {
        Self { meter: metrics.relay(&self.route.name), pulse, ..self }
    }

    pub fn name(&self) -> &str {
        &self.route.name
    }

    /// For a sink whose settings were changed: whether they help is tried now, and not when the back-off is over.
    pub fn that_probes_at_once(self) -> Self {
        Self { probes_at_once: true, ..self }
    }

    /// Everything that its turns have done.
    pub fn total(&self) -> Report {
        self.total
    }

    /// Passes, and says when there is something to do again. A message queued during the pass is remembered by `bell`, not missed.
    ///
    /// # Errors
    /// The store's.
    pub async fn turn(&mut self, bell: &Notify, shutdown: &Shutdown) -> Result<Option<Timestamp>, store::Error> {
        let report = self.pass(&Timestamp::now, Some(bell), shutdown).await?;
        self.total.add(report);
        self.next_due().await
    }

    /// It passes no more: how many lines were too many since that was last said.
    pub fn ends(&mut self) {
        self.told.count_rest(&self.route, true);
    }

    /// When the next dispatch is due, or the sink is next probed; `None` when nothing is pending.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, store::Error> {
        let due = self.store.next_dispatch_due(&self.route.name).await?;
        let blocked_until = self.condition.as_ref().and_then(|condition| condition.state().blocked_until);
        Ok(due.map(|due| blocked_until.map_or(due, |until| due.max(until))))
    }

    /// Publishes until nothing is due, the sink is in trouble, or shutdown is requested.
    ///
    /// # Errors
    /// The store's. What was not marked is sent again under the same id.
    pub async fn pass(
        &mut self,
        now: &(dyn Fn() -> Timestamp + Sync),
        bell: Option<&Notify>,
        shutdown: &Shutdown,
    ) -> Result<Report, store::Error> {
        let mut condition = match self.condition.take() {
            Some(condition) => condition,
            None => Condition::new(self.store.sink_state(&self.route.name).await?),
        };
        condition.follow_clock(now());
        if std::mem::take(&mut self.probes_at_once) {
            condition.probe_at_once(now());
        }
        let Self { store, sink, route, meter, pulse, told, .. } = self;
        let mut pass = Pass::new(Parts { store, sink, route, meter, pulse, now }, told, condition);
        let worked = pass.work(bell, shutdown).await;
        let (condition, report) = pass.end();
        let blocked = condition.is_in_trouble();
        self.condition = Some(condition);
        worked.map(|()| Report { blocked, ..report })
    }
}

#[cfg(test)]
mod tests;
