//! One pass: slots are handed to requests, answers become records, and what somebody waits for meanwhile is looked at again.
//!
//! What is under way is [`super::flight`]'s, what is written [`super::record`]'s, what is told [`super::telling`]'s.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::feed::Feed;
use super::flight::Flight;
use super::gate::{Answer, Gate};
use super::line::{Line, Said};
use super::listing::{Answered, Listing};
use super::mode::Mode;
use super::queues::{Queues, Reading};
use super::record::{Records, Written};
use super::request::{Done, Shared};
use super::telling::Telling;
use super::trouble::{Heard, Trouble};
use super::{Account, Report};
use crate::budget::Slot;
use crate::choice::Demand;
use crate::clock::Timestamp;
use crate::provider::{Class, Error as ProviderError, Provider, Sighting};
use crate::pulse::LONGEST_WAIT;
use crate::renewal::Subscription;
use crate::renewal::news::KnownDelivery;
use crate::renewal::poll::{self, Look};
use crate::renewal::walk::What;
use crate::signals::Shutdown;
use crate::store::{self, PollRecord};
use crate::wait::{at, ready, rung};

/// What requests in hand get when the sweep winds up, to go on with other settings: then they are cancelled, and sent again.
const WIND_UP: Duration = Duration::from_secs(10);
/// A breaker that is open for this long has seen several probes fail.
pub(super) const STAYS_AWAY: Duration = Duration::from_secs(60);
/// A pause longer than this is not waited for by a one-shot run: no longer than order data.
pub(super) const PAUSES_TOO_LONG: Duration = Duration::from_secs(120);
/// How often a pass looks at everything again without being rung: what becomes urgent meanwhile must not wait for its end.
const LOOK_AGAIN: Duration = LONGEST_WAIT;

pub(super) struct Pass<'a, P> {
    shared: Shared<'a, P>,
    mode: Mode,
    gate: &'a mut Gate,
    trouble: &'a mut Trouble,
    queues: Queues,
    reading: Option<Reading>,
    /// What the provider lists by itself, and a page of it that is held against what is tracked.
    feed: Option<Feed<'a>>,
    sorting: Option<BoxFuture<'a, Result<Listing, store::Error>>>,
    flight: Flight<'a>,
    records: Records<'a>,
    telling: Telling<'a>,
    /// Nothing new is sent, and what is in hand is finished by then.
    wind_up_by: Option<Instant>,
}

impl<'a, P: Provider> Pass<'a, P> {
    pub fn new(
        shared: Shared<'a, P>,
        mode: Mode,
        gate: &'a mut Gate,
        trouble: &'a mut Trouble,
        queues: Queues,
        flight: Flight<'a>,
        telling: Telling<'a>,
    ) -> Self {
        let (reading, feed, sorting, records, wind_up_by) = (None, None, None, Records::default(), None);
        Self { shared, mode, gate, trouble, queues, reading, feed, sorting, flight, records, telling, wind_up_by }
    }

    /// Reads what the provider lists by itself, too.
    pub fn with_lists(self, feed: Option<Feed<'a>>) -> Self {
        Self { feed, ..self }
    }

    pub fn end(self) -> Report {
        Report { stopped_territories: self.gate.stopped(), ..self.telling.end() }
    }

    pub async fn work(&mut self, bell: Option<&Notify>, shutdown: &Shutdown) -> Result<(), store::Error> {
        let mut look_again = Instant::now() + LOOK_AGAIN;
        let store = self.shared.store;
        loop {
            self.shared.pulse.turn();
            self.read_ahead();
            self.sort_next();
            self.records.write_if_worthwhile(self.shared, !self.flight.is_empty());
            let demand = self.startable();
            let may_start = demand != Demand::default();
            if !may_start && self.is_done() {
                if let Some(feed) = &mut self.feed {
                    feed.settled((self.shared.now)());
                }
                return Ok(());
            }
            if self.mode.gives_up() && self.flight.is_empty() && self.provider_stays_away() {
                self.telling.given_up();
                return self.drain().await;
            }
            if (may_start || !self.flight.is_empty())
                && let Some(pause) = self.pause_too_long()
            {
                let (provider, until) = (&self.shared.account.name, (self.shared.now)() + pause);
                tracing::warn!(%provider, "the provider asked for a pause until {until}, longer than a one-shot run waits");
                self.telling.given_up();
                self.wind_up_by = Some(Instant::now() + WIND_UP);
                continue;
            }
            let write_by = self.records.write_by();
            tokio::select! {
                biased;
                () = shutdown.next_wish(self.wind_up_by.is_some()) => {
                    self.telling.interrupted();
                    if shutdown.is_requested() {
                        return self.drain().await;
                    }
                    self.wind_up_by = Some(Instant::now() + WIND_UP);
                }
                () = at(self.wind_up_by) => return self.drain().await,
                // Another part has noticed. What is asked now could not be written down.
                () = store.fails() => return self.drain().await,
                Some(done) = self.flight.next() => {
                    self.take(done).await?;
                    self.tell_trouble().await?;
                }
                Some(page) = ready(&mut self.reading) => self.queues.fill(page?),
                Some(listing) = ready(&mut self.sorting) => self.listed(listing?).await?,
                Some(written) = self.records.written() => self.written(written?),
                slot = self.shared.budget.slot(), if may_start => self.start(demand, slot),
                () = at(write_by) => self.records.write(self.shared),
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
        self.flight.is_empty()
            && self.sorting.is_none()
            && self.feed.as_ref().is_none_or(Feed::is_idle)
            && self.records.are_written()
            && (self.wind_up_by.is_some()
                || self.is_spent()
                || (self.reading.is_none() && self.queues.are_exhausted(self.gate)))
    }

    fn is_spent(&self) -> bool {
        self.mode.is_probe() && self.telling.calls() > 0
    }

    /// For long, and the next probe is not due.
    fn provider_stays_away(&self) -> bool {
        let breaker = self.shared.budget.state().breaker;
        breaker.is_some_and(|open| open.since.elapsed() >= STAYS_AWAY && Instant::now() < open.next_probe_at)
    }

    /// What is left of a pause that is too long to be waited for; `None` also once that was noticed.
    fn pause_too_long(&self) -> Option<Duration> {
        if !self.mode.gives_up() || self.wind_up_by.is_some() {
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
        self.telling.sum_up();
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
        let may = self.wind_up_by.is_none() && !self.is_spent() && self.flight.has_room();
        if !may || self.records.are_too_many() {
            return Demand::default();
        }
        let feed = self.feed.as_ref().is_some_and(|feed| feed.wants_page((self.shared.now)()));
        self.flight.startable(Demand { feed, ..self.queues.demand(self.gate) })
    }

    /// Pages are sorted one after the other, so that a walk is written in the order of its pages.
    fn sort_next(&mut self) {
        if self.sorting.is_none()
            && !self.records.are_too_many()
            && let Some(unsorted) = self.feed.as_mut().and_then(|feed| feed.unsorted.pop_front())
        {
            self.sorting = Some(Box::pin(self.shared.sort(unsorted)));
        }
    }

    fn start(&mut self, demand: Demand, slot: Slot) {
        if self.flight.start(demand, slot, self.shared, &mut self.queues, self.feed.as_mut(), self.gate) {
            self.telling.started();
        }
    }

    async fn take(&mut self, done: Done) -> Result<(), store::Error> {
        let Shared { budget, account, now, .. } = self.shared;
        match done {
            Done::Poll { started, before, answer, known } => {
                let heard = Heard::of(&answer, |sighting| &sighting.verdict);
                self.trouble.heard(account, budget, started, heard, false, now());
                self.compare(before.row, &answer).await?;
                self.polled(*before, &answer, &known?, started.elapsed()).await
            }
            Done::Page { started, wanted, answer } => {
                let Some(feed) = &mut self.feed else { return Ok(()) };
                let is_old = feed.is_failing(&wanted);
                self.trouble.heard(account, budget, started, Heard::failure(answer.as_ref().err()), is_old, now());
                self.telling.paged(answer.is_ok());
                match answer {
                    Ok(page) => feed.turn(account, wanted, page, now()),
                    Err(error) => feed
                        .failed(account, wanted, &error, now())
                        .into_iter()
                        .for_each(|page| self.records.add_page(page)),
                }
                Ok(())
            }
            Done::OrderData { started, asked, answer, settling } => {
                let is_old = asked.patience.unanswered > 0;
                let heard = Heard::of(&answer, |fetched| &fetched.verdict);
                self.trouble.heard(account, budget, started, heard, is_old, now());
                self.queues.settled(&asked);
                let settling = settling?;
                self.telling.settled(answer.is_ok(), &settling);
                self.shared.ring(&settling.sinks);
                let Ok(verdict) = answer.map(|fetched| fetched.verdict) else { return Ok(()) };
                let refusal = (verdict.class == Class::Configuration).then(|| format!("code {}", verdict.code));
                let answer = Answer {
                    territory: &asked.territory,
                    subscription: asked.subscription,
                    was_refused: asked.patience.refusals > 0,
                    refusal: refusal.as_deref(),
                };
                self.answered(answer, now()).await
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
        let account_answered_at = self.account_answered_at(answer, now).await?;
        let decision = self.decide(&before, answer, known, account_answered_at, now);
        if let Ok(sighting) = answer {
            let is_refused = sighting.verdict.class == Class::Configuration;
            let answer = Answer {
                territory: &before.territory,
                subscription: before.row,
                was_refused: before.refusals > 0,
                refusal: is_refused.then(|| decision.after.last_detail.as_deref().unwrap_or_default()),
            };
            self.answered(answer, now).await?;
        }
        let lines = self.telling.polled(&before, answer, &decision, took);
        self.add(before, decision, lines, now).await
    }

    /// Needed where one is not known to the provider, and what it then means.
    async fn account_answered_at(
        &mut self,
        answer: &Result<Sighting, ProviderError>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, store::Error> {
        let Shared { store, account, .. } = self.shared;
        let Ok(sighting) = answer else { return Ok(None) };
        match sighting.verdict.class {
            Class::Success => self.trouble.answered(now),
            Class::NotFound if account.convention.unknown_is_deleted => {
                return self.trouble.answered_at(store, &account.name).await;
            }
            _ => {}
        }
        Ok(None)
    }

    fn decide(
        &self,
        before: &Subscription,
        answer: &Result<Sighting, ProviderError>,
        known: &[KnownDelivery],
        account_answered_at: Option<Timestamp>,
        now: Timestamp,
    ) -> poll::Decision {
        let Account { rules, convention, .. } = self.shared.account;
        let look = Look { before, known, answer, now, account_answered_at, clock: self.shared.judge.clock() };
        poll::decide(look, rules, convention)
    }

    /// Keeps what was decided until it is written.
    async fn add(
        &mut self,
        before: Subscription,
        decision: poll::Decision,
        lines: Vec<Line>,
        now: Timestamp,
    ) -> Result<(), store::Error> {
        let messages = match decision.events.as_slice() {
            [] => Vec::new(),
            _ => self.shared.event_messages(&decision, now).await?,
        };
        let poll::Decision { after, renewals, had, .. } = decision;
        self.records.add(PollRecord { before, after, renewals, had, messages }, lines);
        Ok(())
    }

    /// A row of the provider's list is an answer like any other, of whoever is not being asked alone just now.
    async fn listed(&mut self, listing: Listing) -> Result<(), store::Error> {
        let Listing { mut record, answers, mut samples, sample, strangers, discovered, sinks } = listing;
        let now = (self.shared.now)();
        let free = self.queues.claim(answers.iter().map(|one| one.before.row).collect());
        let (answers, taken): (Vec<_>, Vec<_>) = answers.into_iter().partition(|one| free.contains(&one.before.row));
        if record.feed.walk.what == What::Changes {
            // Their answers may have been made before the change, which is not listed again.
            record.hints.extend(taken.iter().map(|one| one.before.row));
        }
        for Answered { before, sighting, known } in answers {
            let decision = self.decide(&before, &Ok(sighting), &known, None, now);
            let lines = self.telling.listed(&before, &decision);
            self.add(before, decision, lines, now).await?;
        }
        if let Some(feed) = &mut self.feed {
            samples.retain(|(row, _)| free.contains(row));
            record.hints.extend(feed.choose(samples, sample));
            feed.count_untracked(&mut record, strangers);
        }
        if discovered > 0 {
            self.telling.discovered(discovered);
            self.shared.ring(&sinks);
            self.queues.reset();
        }
        self.records.add_page(record);
        Ok(())
    }

    /// Holds what a look has found against what a list has shown.
    async fn compare(&mut self, row: i64, answer: &Result<Sighting, ProviderError>) -> Result<(), store::Error> {
        let Shared { store, account, now, .. } = self.shared;
        if let (Some(feed), Ok(sighting)) = (&mut self.feed, answer) {
            let distrusted = feed.compare(account, row, sighting, now());
            if !distrusted.is_empty() {
                store.distrust(&account.name, distrusted).await?;
            }
        }
        Ok(())
    }

    async fn answered(&mut self, answer: Answer<'_>, now: Timestamp) -> Result<(), store::Error> {
        let Shared { store, account, .. } = self.shared;
        if self.gate.answered(store, account, answer, now).await? {
            self.queues.reset();
        }
        Ok(())
    }

    fn written(&mut self, written: Written) {
        for (row, due_at) in written.rows {
            self.queues.recorded(row, due_at);
        }
        if written.overtaken {
            self.queues.reset();
        }
        if written.lines.iter().any(|line| matches!(line.said, Said::Seen)) {
            self.queues.reset_renewals();
        }
        if written.hints {
            self.queues.reset();
        }
        self.telling.recorded(&written.lines);
        self.shared.ring(&written.sinks);
    }

    /// Cancels what is in flight and writes what was learned.
    async fn drain(&mut self) -> Result<(), store::Error> {
        self.flight.cancel();
        let written = self.records.drain(self.shared).await?;
        written.into_iter().for_each(|written| self.written(written));
        Ok(())
    }
}
