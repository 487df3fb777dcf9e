//! One pass: slots are handed to requests, answers become records, records are committed in groups.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::Instrument;

use super::gate::{self, Change, Gate};
use super::queues::{Queues, Reading};
use super::record::Written;
use super::request::{Done, Shared};
use super::told::Told;
use super::trouble::Trouble;
use super::{Account, Progress, Report};
use crate::budget::Slot;
use crate::choice::{Choice, Demand, Lane, Want};
use crate::delivery::Event;
use crate::provider::{Class, Error as ProviderError, Provider, Sighting};
use crate::pulse::LONGEST_WAIT;
use crate::renewal::news::KnownDelivery;
use crate::renewal::poll::{self, Look};
use crate::renewal::{Outcome, Subscription};
use crate::signals::Shutdown;
use crate::store::{self, PollRecord};
use crate::text::visible;
use crate::wait::{at, ready, rung};

/// Results that share a commit at the least, while there is more to come.
const BATCH: usize = 512;
/// Results held in memory at the most; then no new request is sent until a commit is through.
const MOST_UNWRITTEN: usize = 2 * BATCH;
/// A result does not wait longer than this for others to share its commit.
const WRITE_WITHIN: Duration = Duration::from_millis(100);
/// Connections that stalled ordinary polls cannot take: order data and asked-for polls have them. Nor can stalled order data.
const RESERVED: usize = 2;
/// What recording gets when we drain: requests in hand are cancelled, the results so far are written.
const RECORD_GRACE: Duration = Duration::from_millis(800);
/// What requests in hand get when the sweep winds up, to go on with other settings: then they are cancelled, and sent again.
const WIND_UP: Duration = Duration::from_secs(10);
/// A breaker that is open for this long has seen several probes fail.
pub(super) const STAYS_AWAY: Duration = Duration::from_secs(60);
/// A pause longer than this is not waited for by a one-shot run: no longer than order data.
pub(super) const PAUSES_TOO_LONG: Duration = Duration::from_secs(120);
/// How often a pass looks at everything again without being rung: what becomes urgent meanwhile must not wait for its end.
const LOOK_AGAIN: Duration = LONGEST_WAIT;

type Writing<'a> = BoxFuture<'a, Result<Written, store::Error>>;

pub(super) struct Pass<'a, P> {
    shared: Shared<'a, P>,
    choice: &'a mut Choice,
    gate: &'a mut Gate,
    told: &'a mut Told,
    trouble: &'a mut Trouble,
    queues: Queues,
    reading: Option<Reading>,
    in_flight: FuturesUnordered<BoxFuture<'a, Done>>,
    /// Of the requests in flight, those that nobody asked for.
    ordinary: usize,
    /// Requests for order data in flight.
    order_data: usize,
    unwritten: Vec<PollRecord>,
    /// When the oldest of them must be on its way to the disk.
    write_by: Option<Instant>,
    writing: Option<Writing<'a>>,
    /// What was done since `told_at`, and before.
    report: Report,
    earlier: Report,
    told_at: Instant,
    /// The log is told of what a pass does, while it goes on too: beyond the budget it never ends.
    pub tells: bool,
    /// Nothing new is sent, and what is in hand is finished by then.
    wind_up_by: Option<Instant>,
    /// Ends when the provider stays away or wants a long pause, rather than wait for it: somebody waits for a one-shot run.
    pub gives_up: bool,
    /// Makes one request and no more.
    pub is_probe: bool,
}

impl<'a, P: Provider> Pass<'a, P> {
    pub fn new(
        shared: Shared<'a, P>,
        choice: &'a mut Choice,
        gate: &'a mut Gate,
        told: &'a mut Told,
        trouble: &'a mut Trouble,
        queues: Queues,
    ) -> Self {
        Self {
            shared,
            choice,
            gate,
            told,
            trouble,
            queues,
            reading: None,
            in_flight: FuturesUnordered::new(),
            ordinary: 0,
            order_data: 0,
            unwritten: Vec::new(),
            write_by: None,
            writing: None,
            report: Report::default(),
            earlier: Report::default(),
            told_at: Instant::now(),
            tells: false,
            wind_up_by: None,
            gives_up: false,
            is_probe: false,
        }
    }

    pub fn finish(mut self) -> Report {
        self.sum_up();
        Report { stopped_territories: self.gate.stopped(), ..self.earlier }
    }

    fn sum_up(&mut self) {
        let report = std::mem::take(&mut self.report);
        if self.tells {
            self.told.passed(&self.shared.account.name, &report, self.told_at.elapsed());
        }
        self.told_at = Instant::now();
        self.earlier.add(&report);
    }

    pub async fn work(
        &mut self,
        bell: Option<&Notify>,
        shutdown: &Shutdown,
        progress: Progress<'_>,
    ) -> Result<(), store::Error> {
        let mut look_again = Instant::now() + LOOK_AGAIN;
        let store = self.shared.store;
        loop {
            self.shared.pulse.turn();
            self.read_ahead();
            self.write_if_worthwhile();
            let demand = self.startable();
            let may_start = demand != Demand::default();
            if !may_start && self.is_done() {
                return Ok(());
            }
            if self.gives_up && self.provider_stays_away() {
                self.report.given_up = true;
                return self.drain().await;
            }
            if (may_start || !self.in_flight.is_empty())
                && let Some(pause) = self.pause_too_long()
            {
                let (provider, until) = (&self.shared.account.name, (self.shared.now)() + pause);
                tracing::warn!(%provider, "the provider asked for a pause until {until}, longer than a one-shot run waits");
                self.report.given_up = true;
                self.wind_up_by = Some(Instant::now() + WIND_UP);
                continue;
            }
            tokio::select! {
                biased;
                () = shutdown.next_wish(self.wind_up_by.is_some()) => {
                    self.report.interrupted = true;
                    if shutdown.is_requested() {
                        return self.drain().await;
                    }
                    self.wind_up_by = Some(Instant::now() + WIND_UP);
                }
                () = at(self.wind_up_by) => return self.drain().await,
                // Another part has noticed. What is asked now could not be written down.
                () = store.fails() => return self.drain().await,
                Some(done) = self.in_flight.next() => {
                    self.take(done).await?;
                    self.tell_trouble().await?;
                    progress(self.earlier.polls + self.report.polls);
                }
                Some(page) = ready(&mut self.reading) => self.queues.fill(page?),
                Some(written) = ready(&mut self.writing) => self.written(written?),
                slot = self.shared.budget.slot(), if may_start => self.start(demand, slot),
                () = at(self.write_by), if self.writing.is_none() => self.write(),
                () = rung(bell) => self.queues.reset(),
                () = sleep_until(look_again) => {
                    look_again = Instant::now() + LOOK_AGAIN;
                    self.look_again().await?;
                }
            }
        }
    }

    /// Nothing in flight, nothing unwritten, nothing left to read.
    fn is_done(&self) -> bool {
        self.in_flight.is_empty()
            && self.unwritten.is_empty()
            && self.writing.is_none()
            && (self.wind_up_by.is_some()
                || self.is_spent()
                || (self.reading.is_none() && self.queues.are_exhausted(self.gate)))
    }

    fn is_spent(&self) -> bool {
        self.is_probe && self.earlier.calls + self.report.calls > 0
    }

    fn provider_stays_away(&self) -> bool {
        self.shared.budget.state().breaker.is_some_and(|open| open.since.elapsed() >= STAYS_AWAY)
    }

    /// What is left of a pause that is too long to be waited for; `None` also once that was noticed.
    fn pause_too_long(&self) -> Option<Duration> {
        if !self.gives_up || self.wind_up_by.is_some() {
            return None;
        }
        let until = self.shared.budget.state().paused_until?;
        let left = until.saturating_duration_since(Instant::now());
        (left > PAUSES_TOO_LONG).then_some(left)
    }

    async fn look_again(&mut self) -> Result<(), store::Error> {
        let Shared { store, account, now, .. } = self.shared;
        store.promote_urgent(&account.name, &account.rules, now()).await?;
        self.queues.reset();
        self.sum_up();
        self.tell_trouble().await
    }

    async fn tell_trouble(&mut self) -> Result<(), store::Error> {
        let Shared { store, budget, account, now, .. } = self.shared;
        self.trouble.tell(store, &account.name, budget, now()).await
    }

    fn read_ahead(&mut self) {
        if self.reading.is_none() && self.wind_up_by.is_none() {
            self.reading = self.queues.next_page(self.gate, (self.shared.now)());
        }
    }

    /// What waits and may take a connection now.
    fn startable(&mut self) -> Demand {
        let concurrency = self.shared.account.concurrency;
        let may = self.wind_up_by.is_none() && !self.is_spent() && self.in_flight.len() < concurrency;
        if !may || self.unwritten.len() >= MOST_UNWRITTEN {
            return Demand::default();
        }
        let demand = self.queues.demand(self.gate);
        let most = concurrency.saturating_sub(RESERVED).max(1);
        let (ordinary_may, order_data_may) = (self.ordinary < most, self.order_data < most);
        Demand {
            hinted: demand.hinted && ordinary_may,
            order_data: demand.order_data && order_data_may,
            urgent: demand.urgent && ordinary_may,
            other: demand.other && ordinary_may,
            ..demand
        }
    }

    fn start(&mut self, demand: Demand, slot: Slot) {
        // Boxed one by one: a poll's future is a fraction of the size of one that also settles order data.
        let request: BoxFuture<'a, Done> = match self.choice.next(demand) {
            Some(Want::Poll(lane)) => {
                let Some(subscription) = self.queues.pop_poll(lane, self.gate) else { return };
                self.gate.sent(&subscription.territory);
                self.ordinary += usize::from(subscription.lane != Lane::AskedFor);
                let span = tracing::debug_span!("poll", order = %visible(&subscription.partner_order_number),
                    subscription = %visible(&subscription.subscription_id));
                Box::pin(self.shared.poll(subscription, slot).instrument(span))
            }
            Some(Want::OrderData) => {
                let Some(renewal) = self.queues.pop_renewal() else { return };
                self.gate.sent(&renewal.territory);
                self.order_data += 1;
                let span = tracing::debug_span!("order_data", order = %visible(&renewal.reference),
                    subscription = %visible(&renewal.subscription_id));
                Box::pin(self.shared.order_data(renewal, slot).instrument(span))
            }
            // Nobody brings such yet.
            Some(Want::Shop | Want::Feed) | None => return,
        };
        self.report.calls += 1;
        self.in_flight.push(request);
    }

    async fn take(&mut self, done: Done) -> Result<(), store::Error> {
        if let Some(error) = done.error() {
            self.trouble.heard(error);
        }
        match done {
            Done::Poll { started, before, answer, known } => {
                self.ordinary -= usize::from(before.lane != Lane::AskedFor);
                self.shared.tell_breaker(started, answer.as_ref().err(), false);
                self.report.polls += 1;
                self.report.answers += u64::from(answer.is_ok());
                self.report.failures += u64::from(answer.is_err());
                self.polled(before, &answer, &known?, started.elapsed()).await
            }
            Done::OrderData { started, asked, answer, settling } => {
                self.order_data -= 1;
                self.shared.tell_breaker(started, answer.as_ref().err(), asked.patience.unanswered > 0);
                self.report.answers += u64::from(answer.is_ok());
                self.report.failures += u64::from(answer.is_err());
                self.queues.settled(&asked);
                let settling = settling?;
                self.report.queued += settling.queued;
                self.report.abandoned += settling.abandoned;
                self.shared.ring(&settling.sinks);
                match settling.refused {
                    Some(reason) => self.refused(&asked.territory, asked.subscription, &reason).await,
                    None if settling.succeeded => self.succeeded(&asked.territory, asked.patience.refusals > 0).await,
                    None => Ok(()),
                }
            }
        }
    }

    /// Turns a status answer into a record to be written.
    async fn polled(
        &mut self,
        before: Subscription,
        answer: &Result<Sighting, ProviderError>,
        known: &[KnownDelivery],
        took: Duration,
    ) -> Result<(), store::Error> {
        let now = (self.shared.now)();
        let Account { rules, convention, .. } = self.shared.account;
        let look = Look { before: &before, known, answer, now, clock: self.shared.judge.clock() };
        let decision = poll::decide(look, rules, convention);
        match answer.as_ref().map(|status| status.verdict.class) {
            Ok(Class::Configuration) => {
                let reason = decision.after.last_detail.clone().unwrap_or_default();
                self.refused(&before.territory, before.row, &reason).await?;
            }
            Ok(_) => self.succeeded(&before.territory, before.refusals > 0).await?,
            Err(_) => {}
        }
        self.told.answered(&self.shared.account.name, answer);
        self.told.polled(&before, &decision);
        self.report.surprises += u64::from(decision.new_surprise);
        let is_told = decision.events.iter().any(|event| matches!(event, Event::NotRenewed { .. }));
        self.report.not_renewed += u64::from(is_told);
        if let Some(outcome) = decision.after.last_outcome {
            self.report.refused += u64::from(outcome == Outcome::Refused);
            self.report.unknown += u64::from(outcome == Outcome::NotFound);
            self.shared.meter.polled(outcome, took);
        }
        let messages = match decision.events.as_slice() {
            [] => Vec::new(),
            _ => self.shared.event_messages(&decision, now).await?,
        };
        if !decision.renewals.is_empty() || !messages.is_empty() {
            self.write_by = Some(Instant::now());
        }
        self.write_by.get_or_insert_with(|| Instant::now() + WRITE_WITHIN);
        self.unwritten.push(PollRecord {
            before,
            after: decision.after,
            renewals: decision.renewals,
            had: decision.had,
            messages,
        });
        Ok(())
    }

    async fn refused(&mut self, territory: &str, subscription: i64, reason: &str) -> Result<(), store::Error> {
        let provider = &self.shared.account.name;
        match self.gate.refused(territory, subscription) {
            Change::Stopped => {
                tracing::warn!(%provider, territory, reason,
                    "five subscriptions in a row were refused: territory stopped, one probe a minute; check its secret and whether this server's address is allowed");
                let stopped = gate::stopped_record(provider, territory, reason, (self.shared.now)());
                self.shared.store.stop_territory(stopped).await?;
            }
            Change::StillStopped { probes } if probes.is_power_of_two() && probes > 4 => {
                tracing::warn!(%provider, territory, reason, "territory still refuses everybody, {probes} probes later");
            }
            _ => {}
        }
        Ok(())
    }

    async fn succeeded(&mut self, territory: &str, was_refused: bool) -> Result<(), store::Error> {
        let Shared { store, account, now, .. } = self.shared;
        let change = self.gate.succeeded(territory, was_refused);
        if change == Change::Opened {
            tracing::info!(provider = %account.name, territory, "territory answers again");
            store.open_territory(&account.name, territory).await?;
        }
        if matches!(change, Change::Opened | Change::Mended) {
            let again = store.ask_refused(&account.name, Some(territory), now()).await?;
            if again > 0 {
                tracing::info!(provider = %account.name, territory, again, "what was refused there is asked for again now");
                self.queues.reset();
            }
        }
        Ok(())
    }

    /// A commit is worth its fsync when enough share it, or nothing else is coming.
    fn write_if_worthwhile(&mut self) {
        if self.unwritten.len() >= BATCH || (self.in_flight.is_empty() && !self.unwritten.is_empty()) {
            self.write();
        }
    }

    fn write(&mut self) {
        if self.writing.is_none() && !self.unwritten.is_empty() {
            self.write_by = None;
            let records = std::mem::replace(&mut self.unwritten, Vec::with_capacity(BATCH));
            self.writing = Some(Box::pin(self.shared.record(records)));
        }
    }

    fn written(&mut self, written: Written) {
        for (row, due_at) in written.rows {
            self.queues.recorded(row, due_at);
        }
        if written.renewals > 0 {
            self.report.renewals += written.renewals;
            self.shared.meter.renewals(written.renewals);
            self.queues.reset_renewals();
        }
        self.shared.ring(&written.sinks);
    }

    /// Cancels what is in flight and writes what was learned.
    ///
    /// # Errors
    /// The store's; one that does not take them in time counts as failed.
    async fn drain(&mut self) -> Result<(), store::Error> {
        self.in_flight.clear();
        let writing = self.writing.take();
        let records = std::mem::take(&mut self.unwritten);
        let last = async {
            if let Some(writing) = writing {
                writing.await?;
            }
            if !records.is_empty() {
                self.shared.record(records).await?;
            }
            Ok(())
        };
        match tokio::time::timeout(RECORD_GRACE, last).await {
            Ok(done) => done,
            Err(_) => {
                tracing::warn!("the database did not take the last results in time; they are asked for again");
                Err(store::Error::Commit("it did not take the last results in time".to_owned()))
            }
        }
    }
}
