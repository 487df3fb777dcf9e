//! The relay: publishes what is due for one sink, and marks what came of it.
//!
//! Each sink has a relay of its own, so a dead one holds up nobody. The order per subscription, the attempts and the times are
//! kept by the store; whose fault a failure was is said by the sink, and what follows from that is decided here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::clock::Timestamp;
use crate::metrics::{Metrics, RelayMeter};
use crate::pulse::Pulse;
use crate::retry;
use crate::schedule::rung;
use crate::signals::Shutdown;
use crate::sink::{Failure, Sink};
use crate::store::{self, Attempt, SinkState, Store};

/// What a publish in hand gets when we drain: as long as a sink's default timeout, so that an answer on its way is still
/// recorded; with recording and closing shorter than `TimeoutStopSec` in the unit, so we close the store ourselves.
const PUBLISH_GRACE: Duration = Duration::from_secs(15);
/// What recording gets after that.
const RECORD_GRACE: Duration = Duration::from_secs(3);
/// Taken ahead of publishing, as a multiple of the sink's concurrency: one commit then serves many attempts.
const AHEAD: usize = 4;
/// How long a relay waits at the most before it looks again by itself.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The most that the time between two attempts counts towards giving up: a clock that jumped by a year does not.
const LONGEST_GAP: Duration = Duration::from_secs(26 * 3600);

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
    state: Option<SinkState>,
    meter: RelayMeter,
    pulse: Pulse,
}

impl<S: Sink> Relay<S> {
    pub fn new(store: Store, sink: S, route: Route) -> Self {
        let meter = Metrics::default().relay(&route.name);
        Self { store, sink, route, state: None, meter, pulse: Pulse::unwatched() }
    }

    /// Counts there, and shows there that it lives. Without this nobody looks.
    pub fn observed(self, meter: RelayMeter, pulse: Pulse) -> Self {
        Self { meter, pulse, ..self }
    }

    pub fn name(&self) -> &str {
        &self.route.name
    }

    /// Publishes what is due until shutdown is requested, then finishes what is in hand. A message queued during a pass is
    /// remembered by `bell`, not missed.
    ///
    /// # Errors
    /// Only a store that will not work again by itself.
    pub async fn run(mut self, bell: Arc<Notify>, shutdown: Shutdown) -> Result<Report, store::Error> {
        let mut total = Report::default();
        while !shutdown.is_requested() {
            self.pulse.turn();
            let wait = match self.round(&mut total, &bell, &shutdown).await {
                Ok(wait) => wait,
                Err(error) if error.is_transient() => {
                    store::outlast(&self.store, &error, &self.route.name, &self.pulse, &shutdown).await;
                    Duration::ZERO
                }
                Err(error) => return Err(error),
            };
            tokio::select! {
                () = shutdown.requested() => {}
                () = bell.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        Ok(total)
    }

    /// Passes, and says how long there is nothing to do.
    async fn round(
        &mut self,
        total: &mut Report,
        bell: &Notify,
        shutdown: &Shutdown,
    ) -> Result<Duration, store::Error> {
        total.add(self.pass(&Timestamp::now, Some(bell), shutdown).await?);
        self.until_next_due(Timestamp::now()).await
    }

    /// How long until something is to be published or the sink is to be probed; at most half a minute.
    pub async fn until_next_due(&self, now: Timestamp) -> Result<Duration, store::Error> {
        let due = self.next_due().await?;
        // Not less than a fifth of a second: due times are whole seconds, and `now` is rounded down.
        Ok(due.map_or(LONGEST_WAIT, |due| due.since(now).max(Duration::from_millis(200)).min(LONGEST_WAIT)))
    }

    /// When the next dispatch is due, or the sink is next probed; `None` when nothing is pending.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, store::Error> {
        let due = self.store.next_dispatch_due(&self.route.name).await?;
        let blocked_until = self.state.as_ref().and_then(|state| state.blocked_until);
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
        let state = match self.state.take() {
            Some(state) => state,
            None => self.store.sink_state(&self.route.name).await?,
        };
        let mut pass = Pass {
            store: &self.store,
            sink: &self.sink,
            route: &self.route,
            meter: &self.meter,
            pulse: &self.pulse,
            now,
            state,
            taken: VecDeque::new(),
            taking: None,
            exhausted: false,
            marked_meanwhile: false,
            publishing: FuturesUnordered::new(),
            marking: FuturesUnordered::new(),
            in_hand: Vec::new(),
            report: Report::default(),
        };
        let worked = pass.work(bell, shutdown).await;
        let (state, report) = (pass.state, pass.report);
        self.state = Some(state);
        worked.map(|()| Report { blocked: self.is_blocked(now()), ..report })
    }

    fn is_blocked(&self, now: Timestamp) -> bool {
        self.state.as_ref().is_some_and(|state| blocks(state, now))
    }
}

/// Whether a sink's own back-off is still running. One that ends unbelievably late was set under a wrong clock.
fn blocks(state: &SinkState, now: Timestamp) -> bool {
    state.blocked_until.is_some_and(|until| until > now && until <= now + Duration::from_secs(25 * 3600))
}

/// With how long it took.
type Published = (Attempt, Result<(), Failure>, Duration);

struct Pass<'a, S> {
    store: &'a Store,
    sink: &'a S,
    route: &'a Route,
    meter: &'a RelayMeter,
    pulse: &'a Pulse,
    now: &'a (dyn Fn() -> Timestamp + Sync),
    state: SinkState,
    /// Their attempts are on disk; not published yet.
    taken: VecDeque<Attempt>,
    taking: Option<BoxFuture<'a, Result<Vec<Attempt>, store::Error>>>,
    exhausted: bool,
    /// Something was marked since `taking` began: what it finds may be less than what there is now.
    marked_meanwhile: bool,
    publishing: FuturesUnordered<BoxFuture<'a, Published>>,
    marking: FuturesUnordered<BoxFuture<'a, Result<i64, store::Error>>>,
    /// Dispatches taken and not marked yet.
    in_hand: Vec<i64>,
    report: Report,
}

impl<'a, S: Sink> Pass<'a, S> {
    async fn work(&mut self, bell: Option<&Notify>, shutdown: &Shutdown) -> Result<(), store::Error> {
        loop {
            self.pulse.turn();
            if blocks(&self.state, (self.now)()) {
                self.return_taken();
            }
            self.take_ahead();
            self.publish();
            if self.taking.is_none() && self.publishing.is_empty() && self.marking.is_empty() {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = shutdown.requested() => return self.drain().await,
                Some(marked) = self.marking.next() => self.marked(marked?),
                Some(published) = self.publishing.next() => self.published(published).await?,
                Some(taken) = taken(&mut self.taking) => {
                    self.taking = None;
                    self.took(taken?);
                }
                // What was queued while a slow publish is under way does not wait for it.
                () = rung(bell) => self.exhausted = false,
            }
        }
    }

    /// One publish at a time while the sink is in trouble.
    fn width(&self) -> usize {
        if self.state.failures > 0 { 1 } else { self.route.concurrency }
    }

    fn take_ahead(&mut self) {
        let want = if self.state.failures > 0 { 1 } else { self.route.concurrency * AHEAD };
        let idle = self.taking.is_none() && !self.exhausted && !blocks(&self.state, (self.now)());
        if !idle || self.taken.len() + self.publishing.len() > want / 2 {
            return;
        }
        let (store, route, now) = (self.store, self.route, (self.now)());
        let in_hand = self.in_hand.clone();
        self.marked_meanwhile = false;
        self.taking = Some(Box::pin(async move {
            store.take_due(&route.name, want, in_hand, route.timeout, route.max_attempts, now).await
        }));
    }

    fn took(&mut self, taken: Vec<Attempt>) {
        // A later message of the same subscription becomes due only when the one before it is marked.
        self.exhausted = taken.is_empty() && !self.marked_meanwhile;
        self.in_hand.extend(taken.iter().map(|attempt| attempt.dispatch));
        self.taken.extend(taken);
    }

    fn publish(&mut self) {
        while self.publishing.len() < self.width() {
            let Some(attempt) = self.taken.pop_front() else { return };
            let sink = self.sink;
            self.publishing.push(Box::pin(async move {
                let started = Instant::now();
                let outcome = sink.publish(&attempt.message).await;
                (attempt, outcome, started.elapsed())
            }));
        }
    }

    async fn published(&mut self, (attempt, outcome, took): Published) -> Result<(), store::Error> {
        let now = (self.now)();
        match outcome {
            Ok(()) => {
                self.report.delivered += 1;
                self.meter.delivered(took);
                tracing::info!(sink = %self.route.name, message.id = %attempt.message.id, attempt = attempt.number, "delivered");
                self.sink_works(now).await?;
                let store = self.store;
                self.mark(attempt.dispatch, async move { store.mark_delivered(attempt.dispatch, now).await });
            }
            Err(Failure::Final { reason }) => self.dead(attempt, reason, now),
            Err(Failure::Message { reason, retry_after }) => {
                self.sink_works(now).await?;
                self.failed(attempt, reason, retry_after, now);
            }
            Err(Failure::Sink { reason, retry_after }) if self.is_about_the_message(&attempt) => {
                self.failed(attempt, reason, retry_after, now);
            }
            Err(Failure::Sink { reason, retry_after }) => self.sink_fails(attempt, reason, retry_after, now).await?,
        }
        Ok(())
    }

    /// A receiver that takes every other message and fails on this one again is not in trouble: the message is.
    fn is_about_the_message(&self, attempt: &Attempt) -> bool {
        self.state.last_success_at.is_some_and(|success| attempt.previous_at.is_some_and(|before| success > before))
    }

    fn failed(&mut self, attempt: Attempt, reason: String, retry_after: Option<Duration>, now: Timestamp) {
        let gap = attempt.failed_at.map_or(Duration::ZERO, |before| now.since(before).min(LONGEST_GAP));
        let failing_seconds = attempt.failing_seconds + gap.as_secs() as i64;
        if attempt.number >= self.route.max_attempts && failing_seconds >= retry::DISPATCH_GIVE_UP.as_secs() as i64 {
            return self.dead(attempt, reason, now);
        }
        let delay = retry::with_retry_after(retry::dispatch(attempt.number, self.route.max_attempts), retry_after);
        tracing::warn!(sink = %self.route.name, message.id = %attempt.message.id, attempt = attempt.number, %reason,
            "not delivered; tried again at {}", now + delay);
        let store = self.store;
        self.mark(attempt.dispatch, async move {
            store.mark_failed(&attempt, reason, failing_seconds, now, now + delay).await
        });
    }

    fn dead(&mut self, attempt: Attempt, reason: String, now: Timestamp) {
        self.report.dead += 1;
        tracing::error!(sink = %self.route.name, message.id = %attempt.message.id, attempt = attempt.number, %reason,
            "given up: nobody receives this message unless `renewald queue retry` sends it again");
        let store = self.store;
        self.mark(attempt.dispatch, async move { store.mark_dead(attempt.dispatch, reason, now).await });
    }

    async fn sink_works(&mut self, now: Timestamp) -> Result<(), store::Error> {
        self.state.last_success_at = Some(now);
        if self.state.failures == 0 {
            return Ok(());
        }
        let (since, failures) = (self.state.blocked_since.unwrap_or(now), self.state.failures);
        tracing::info!(sink = %self.route.name, failures, "sink works again, after {} s", now.since(since).as_secs());
        self.state = SinkState { sink: self.route.name.clone(), last_success_at: Some(now), ..SinkState::default() };
        self.exhausted = false;
        self.store.record_sink_state(self.state.clone()).await
    }

    /// The message loses no attempt; it goes behind those that have waited longer, so that the next probe tries another one.
    async fn sink_fails(
        &mut self,
        attempt: Attempt,
        reason: String,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) -> Result<(), store::Error> {
        // Others that were under way failed a moment ago: the same trouble once more.
        let others = self.state.blocked_until.filter(|_| blocks(&self.state, now));
        let failures = if others.is_some() { self.state.failures } else { self.state.failures.saturating_add(1) };
        let until = now + retry::with_retry_after(retry::sink(failures), retry_after);
        if self.state.blocked_since.is_none() {
            tracing::error!(sink = %self.route.name, %reason, "sink is in trouble: its messages wait");
        } else {
            tracing::debug!(sink = %self.route.name, %reason, failures, "sink is still in trouble");
        }
        self.state.failures = failures;
        self.state.blocked_since.get_or_insert(now);
        // What was set under a wrong clock must not outlast this: it would hold nothing back, for as long as it lies ahead.
        self.state.blocked_until = others.max(Some(until));
        self.state.last_error = Some(reason.clone());
        let store = self.store;
        self.mark(attempt.dispatch, async move { store.give_back(&attempt, Some(reason), until).await });
        self.store.record_sink_state(self.state.clone()).await
    }

    /// What was taken and not published loses no attempt.
    fn return_taken(&mut self) {
        let now = (self.now)();
        for attempt in std::mem::take(&mut self.taken) {
            let store = self.store;
            self.mark(attempt.dispatch, async move { store.give_back(&attempt, None, now).await });
        }
    }

    fn mark(&mut self, dispatch: i64, marking: impl Future<Output = Result<(), store::Error>> + Send + 'a) {
        // The dispatch stays in hand, and is not taken again, until its mark is on disk.
        self.marking.push(Box::pin(async move { marking.await.map(|()| dispatch) }));
    }

    fn marked(&mut self, dispatch: i64) {
        self.in_hand.retain(|taken| *taken != dispatch);
        self.exhausted = false;
        self.marked_meanwhile = true;
    }

    /// Finishes what is in hand: publishes get their grace, marks theirs.
    async fn drain(&mut self) -> Result<(), store::Error> {
        if let Some(taking) = self.taking.take() {
            // What comes later than this has lost an attempt, and is sent after the next start.
            if let Ok(taken) = tokio::time::timeout(RECORD_GRACE, taking).await {
                self.taken.extend(taken?);
            }
        }
        self.return_taken();
        let deadline = Instant::now() + PUBLISH_GRACE;
        while !self.publishing.is_empty() {
            tokio::select! {
                Some(published) = self.publishing.next() => self.published(published).await?,
                () = sleep_until(deadline) => break,
            }
        }
        self.report.unanswered = self.publishing.len() as u64;
        if self.report.unanswered > 0 {
            tracing::warn!(sink = %self.route.name, unanswered = self.report.unanswered,
                "no answer in time: these are sent again under the same id");
        }
        let marks = async {
            while let Some(marked) = self.marking.next().await {
                marked?;
            }
            Ok(())
        };
        tokio::time::timeout(RECORD_GRACE, marks).await.unwrap_or(Ok(()))
    }
}

/// What was taken, if anything is being taken.
async fn taken<T>(taking: &mut Option<BoxFuture<'_, T>>) -> Option<T> {
    match taking {
        Some(taking) => Some(taking.await),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
