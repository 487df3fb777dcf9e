//! One pass of a relay: takes ahead, publishes side by side, and marks what came of it.
//!
//! Three things go on at once, so that neither the disk nor the receiver waits for the other: one commit takes attempts in stock,
//! publishes are under way, and one commit marks whatever was settled while the commit before it was made.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::Notify;
use tokio::time::{Instant, interval, sleep_until, timeout_at};
use tracing::{Instrument, Span};

use super::condition::Condition;
use super::told::{Line, Said, Told};
use super::{Report, Route};
use crate::clock::Timestamp;
use crate::metrics::RelayMeter;
use crate::pulse::{LONGEST_WAIT, Pulse};
use crate::retry;
use crate::signals::Shutdown;
use crate::sink::{Answer, Failure, Sink};
use crate::store::{self, Attempt, MOST_BODY_BYTES, Mark, Store, Take, Why};
use crate::text::visible;
use crate::wait::{at, ready, rung};

/// What a publish in hand gets when we drain: as long as a sink's default timeout, so that an answer on its way is still
/// recorded; with recording and closing shorter than `TimeoutStopSec` in the unit, so we close the store ourselves.
const PUBLISH_GRACE: Duration = Duration::from_secs(15);
/// What recording gets after that, and what it gets where no publish is in hand.
const RECORD_GRACE: Duration = Duration::from_secs(2);
const RECORD_GRACE_ALONE: Duration = Duration::from_millis(800);
/// A drain takes no longer, but for a statement that waits for another process's transaction.
pub const LONGEST_DRAIN: Duration = PUBLISH_GRACE.saturating_add(RECORD_GRACE);
/// The stock of attempts that a pass begins with, as a multiple of the sink's concurrency.
const AHEAD: usize = 4;
/// The stock of the quickest receiver. A kill costs each of them an attempt.
const MOST_AHEAD: usize = 512;
/// Marks are gathered for so long, unless there are [`MANY_MARKS`] of them or nothing else is under way: a commit costs as much for
/// one as for many. A kill meanwhile makes repeats of them.
const GATHER_MARKS: Duration = Duration::from_millis(5);
const MANY_MARKS: usize = 64;
/// The most that the time between two attempts counts towards giving up: a clock that jumped by a year does not.
const LONGEST_GAP: Duration = Duration::from_secs(26 * 3600);

/// With how long it took.
type Published = (Attempt, Result<(), Failure>, Duration);

/// Marks that are on disk, and what is to be told of them.
struct Marked {
    dispatches: Vec<i64>,
    /// Which of them were still pending.
    written: Vec<bool>,
    lines: Vec<Line>,
}

/// What a pass works with.
pub(super) struct Parts<'a, S> {
    pub store: &'a Store,
    pub sink: &'a S,
    pub route: &'a Route,
    pub meter: &'a RelayMeter,
    pub pulse: &'a Pulse,
    pub now: &'a (dyn Fn() -> Timestamp + Sync),
}

pub(super) struct Pass<'a, S> {
    parts: Parts<'a, S>,
    told: &'a mut Told,
    condition: Condition,
    /// Their attempts are on disk; not published yet.
    taken: VecDeque<Attempt>,
    /// Of what is taken and of publishes under way.
    body_bytes: usize,
    taking: Option<BoxFuture<'a, Result<Vec<Attempt>, store::Error>>>,
    /// How many are taken at once.
    ahead: usize,
    exhausted: bool,
    /// Something was marked since `taking` began: what it finds may be less than what there is now.
    marked_meanwhile: bool,
    publishing: FuturesUnordered<BoxFuture<'a, Published>>,
    /// Not on their way to the disk yet.
    settled: Vec<Mark>,
    /// What is to be told of them.
    lines: Vec<Line>,
    /// When they must be; `None`: there are none.
    mark_by: Option<Instant>,
    marking: Option<BoxFuture<'a, Result<Marked, store::Error>>>,
    /// Dispatches taken, whose mark is not on disk yet.
    in_hand: HashSet<i64>,
    /// Nothing more is taken; publishes in hand end by their own timeout, and somebody else goes on.
    winding_up: bool,
    report: Report,
}

impl<'a, S: Sink> Pass<'a, S> {
    pub fn new(parts: Parts<'a, S>, told: &'a mut Told, condition: Condition) -> Self {
        Self {
            ahead: parts.route.concurrency * AHEAD,
            parts,
            told,
            condition,
            taken: VecDeque::new(),
            body_bytes: 0,
            taking: None,
            exhausted: false,
            marked_meanwhile: false,
            publishing: FuturesUnordered::new(),
            settled: Vec::new(),
            lines: Vec::new(),
            mark_by: None,
            marking: None,
            in_hand: HashSet::new(),
            winding_up: false,
            report: Report::default(),
        }
    }

    /// Publishes until nothing is due, the sink is in trouble, or shutdown is requested.
    pub async fn work(&mut self, bell: Option<&Notify>, shutdown: &Shutdown) -> Result<(), store::Error> {
        // A slow publish is no loop that hangs.
        let mut turns = interval(LONGEST_WAIT);
        loop {
            self.parts.pulse.turn();
            if self.winding_up || self.is_blocked() {
                self.return_taken();
            }
            self.mark_if_worthwhile();
            self.take_ahead();
            self.publish();
            if self.taking.is_none() && self.publishing.is_empty() && self.marking.is_none() {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = shutdown.next_wish(self.winding_up) => {
                    if shutdown.is_requested() {
                        return self.drain().await;
                    }
                    self.winding_up = true;
                }
                Some(marked) = ready(&mut self.marking) => self.marked(marked?),
                () = at(self.mark_by), if self.marking.is_none() => self.mark(),
                Some(published) = self.publishing.next() => {
                    self.published(published).await?;
                    self.settle_answered().await?;
                }
                Some(taken) = ready(&mut self.taking) => self.took(taken?),
                // What was queued while a slow publish is under way does not wait for it.
                () = rung(bell) => self.exhausted = false,
                _ = turns.tick() => self.told.count_rest(self.parts.route, false),
            }
        }
    }

    pub fn end(self) -> (Condition, Report) {
        self.told.count_rest(self.parts.route, false);
        (self.condition, self.report)
    }

    fn is_blocked(&self) -> bool {
        self.condition.is_blocked((self.parts.now)())
    }

    fn width(&self) -> usize {
        self.condition.probes().map_or(self.parts.route.concurrency, |probes| probes.min(self.parts.route.concurrency))
    }

    fn take_ahead(&mut self) {
        let (take, want) = match self.condition.is_in_trouble() {
            // Chosen among all that wait: what was taken and goes back must be on disk.
            true if self.marking.is_some() || !self.settled.is_empty() => return,
            true => (Take::Probe(self.width()), self.width()),
            false => (Take::UpTo(self.ahead), self.ahead),
        };
        let idle = self.taking.is_none() && !self.exhausted && !self.winding_up && !self.is_blocked();
        let stocked = self.taken.len() + self.publishing.len() > want / 2 || self.body_bytes >= MOST_BODY_BYTES;
        if !idle || stocked {
            return;
        }
        let (store, route, now) = (self.parts.store, self.parts.route, (self.parts.now)());
        let in_hand = self.in_hand.iter().copied().collect();
        self.marked_meanwhile = false;
        self.taking = Some(Box::pin(async move {
            store.take_due(&route.name, take, in_hand, route.timeout, route.max_attempts, now).await
        }));
    }

    fn took(&mut self, taken: Vec<Attempt>) {
        let is_stock = taken.len() > self.width();
        // The receiver waited for the disk: next time the stock lasts longer.
        if self.taken.is_empty() && self.publishing.len() < self.width() && taken.len() == self.ahead {
            self.ahead = (self.ahead * 2).min(MOST_AHEAD.max(self.ahead));
        }
        // A later message of the same subscription becomes due only when the one before it is marked.
        self.exhausted = taken.is_empty() && !self.marked_meanwhile;
        self.in_hand.extend(taken.iter().map(|attempt| attempt.dispatch));
        self.body_bytes += taken.iter().map(body_bytes).sum::<usize>();
        self.taken.extend(taken);
        if is_stock && self.condition.is_in_trouble() {
            // They were chosen before it was.
            self.return_taken();
        }
    }

    fn publish(&mut self) {
        while self.publishing.len() < self.width() {
            let Some(attempt) = self.taken.pop_front() else { return };
            let (sink, span) = (self.parts.sink, self.span(&attempt));
            let publish = async move {
                let started = Instant::now();
                let outcome = sink.publish(&attempt.message).await;
                (attempt, outcome, started.elapsed())
            };
            self.publishing.push(Box::pin(publish.instrument(span)));
        }
    }

    /// Goes on with whatever else was answered meanwhile: a quick receiver answers many at once. Ends with the stock at the latest.
    async fn settle_answered(&mut self) -> Result<(), store::Error> {
        while !self.condition.is_in_trouble() {
            self.publish();
            let Some(Some(published)) = self.publishing.next().now_or_never() else { break };
            self.published(published).await?;
        }
        Ok(())
    }

    /// Everything that is told of an attempt says whom it is about.
    fn span(&self, attempt: &Attempt) -> Span {
        tracing::info_span!("publish", sink = %self.parts.route.name, message.id = %attempt.message.id,
            order = %visible(&attempt.order_number), subscription = %visible(&attempt.subscription_id))
    }

    async fn published(&mut self, (attempt, outcome, took): Published) -> Result<(), store::Error> {
        let now = (self.parts.now)();
        self.body_bytes -= body_bytes(&attempt);
        match outcome {
            Ok(()) => {
                self.report.delivered += 1;
                self.parts.meter.delivered(took);
                tracing::info!(sink = %self.parts.route.name, message.id = %attempt.message.id,
                    order = %visible(&attempt.order_number), subscription = %visible(&attempt.subscription_id),
                    attempt = attempt.number, "delivered");
                self.settled.push(Mark::delivered(attempt.dispatch, now));
                self.condition.note_end(attempt.dispatch);
                self.sink_works(now).await?;
            }
            Err(Failure::Final { reason }) => {
                self.dead(attempt, reason.into(), now);
                self.sink_works(now).await?;
            }
            Err(Failure::Unsent { reason, is_final: true }) => self.dead(attempt, reason.into(), now),
            Err(Failure::Unsent { reason, is_final: false }) => self.failed(attempt, reason.into(), None, now),
            Err(Failure::Message { reason, answer, retry_after }) => {
                self.failed(attempt, why(reason, answer), retry_after, now);
                self.sink_works(now).await?;
            }
            Err(Failure::Sink { reason, answer, retry_after, surely: false })
                if self.condition.is_about_the_message(&attempt) =>
            {
                self.condition.note_failure(attempt.dispatch);
                self.failed(attempt, why(reason, answer), retry_after, now);
            }
            // The message loses no attempt.
            Err(Failure::Sink { reason, answer, retry_after, surely }) => {
                if !self.condition.is_in_trouble() {
                    // What shows how it is doing is chosen anew.
                    self.return_taken();
                }
                self.condition.note_failure(attempt.dispatch);
                let until = self.condition.fails(&reason, retry_after, surely, now);
                self.settled.push(Mark::given_back(&attempt, why(reason, answer), until));
                self.parts.store.record_sink_state(self.condition.state().clone()).await?;
            }
        }
        Ok(())
    }

    async fn sink_works(&mut self, now: Timestamp) -> Result<(), store::Error> {
        if self.condition.works(now) {
            self.exhausted = false;
            self.parts.store.record_sink_state(self.condition.state().clone()).await?;
        }
        Ok(())
    }

    fn failed(&mut self, attempt: Attempt, why: Why, retry_after: Option<Duration>, now: Timestamp) {
        let (route, gap) = (self.parts.route, attempt.failed_at.map(|before| now.since(before).min(LONGEST_GAP)));
        let failing_seconds = attempt.failing_seconds + gap.unwrap_or_default().as_secs() as i64;
        if attempt.number >= route.max_attempts && failing_seconds >= retry::DISPATCH_GIVE_UP.as_secs() as i64 {
            return self.dead(attempt, why, now);
        }
        let next = now + retry::with_retry_after(retry::dispatch(attempt.number, route.max_attempts), retry_after);
        let dispatch = attempt.dispatch;
        self.lines.push(Line::new(attempt, &why.reason, Said::TriedAgain { at: next }));
        self.settled.push(Mark::failed(dispatch, why, failing_seconds, now, next));
    }

    fn dead(&mut self, attempt: Attempt, why: Why, now: Timestamp) {
        self.report.dead += 1;
        let dispatch = attempt.dispatch;
        self.condition.note_end(dispatch);
        self.lines.push(Line::new(attempt, &why.reason, Said::GivenUp));
        self.settled.push(Mark::dead(dispatch, why, now));
    }

    /// What was taken and not published loses no attempt, and has met no trouble.
    fn return_taken(&mut self) {
        let now = (self.parts.now)();
        self.body_bytes -= self.taken.iter().map(body_bytes).sum::<usize>();
        self.settled.extend(self.taken.drain(..).map(|attempt| Mark::not_made(&attempt, now)));
    }

    fn mark_if_worthwhile(&mut self) {
        if !self.settled.is_empty() && self.mark_by.is_none() {
            self.mark_by = Some(Instant::now() + GATHER_MARKS);
        }
        if self.publishing.is_empty() || self.settled.len() >= MANY_MARKS {
            self.mark();
        }
    }

    /// Writes down what is settled, unless that is being done: then it is next.
    fn mark(&mut self) {
        if self.marking.is_some() || self.settled.is_empty() {
            return;
        }
        self.mark_by = None;
        let (store, marks, lines) =
            (self.parts.store, std::mem::take(&mut self.settled), std::mem::take(&mut self.lines));
        // A dispatch stays in hand, and is not taken again, until its mark is on disk.
        let dispatches = marks.iter().map(|mark| mark.dispatch).collect();
        self.marking = Some(Box::pin(async move {
            let written = store.mark(marks).await?;
            Ok(Marked { dispatches, written, lines })
        }));
    }

    fn marked(&mut self, Marked { dispatches, written, mut lines }: Marked) {
        for (dispatch, was_pending) in dispatches.into_iter().zip(written) {
            self.in_hand.remove(&dispatch);
            if !was_pending {
                // Somebody gave it up or removed it meanwhile.
                lines.retain(|line| line.dispatch != dispatch);
            }
        }
        lines.iter().for_each(|line| self.told.tell(self.parts.route, line));
        self.exhausted = false;
        self.marked_meanwhile = true;
    }

    /// Finishes what is in hand: publishes get their grace, marks theirs.
    async fn drain(&mut self) -> Result<(), store::Error> {
        let begun = Instant::now();
        if self.taking.is_some() {
            // What comes later than this has lost an attempt, and is sent after the next start.
            if let Ok(Some(taken)) = timeout_at(begun + RECORD_GRACE_ALONE, ready(&mut self.taking)).await {
                self.took(taken?);
            }
        }
        self.return_taken();
        let is_alone = self.publishing.is_empty();
        let deadline = begun + PUBLISH_GRACE;
        while !self.publishing.is_empty() {
            self.mark();
            tokio::select! {
                Some(published) = self.publishing.next() => self.published(published).await?,
                Some(marked) = ready(&mut self.marking) => self.marked(marked?),
                () = sleep_until(deadline) => break,
            }
        }
        self.report.unanswered = self.publishing.len() as u64;
        if self.report.unanswered > 0 {
            tracing::warn!(sink = %self.parts.route.name, unanswered = self.report.unanswered,
                "no answer in time: these are sent again under the same id");
        }
        let record_by = if is_alone { begun + RECORD_GRACE_ALONE } else { Instant::now() + RECORD_GRACE };
        timeout_at(record_by, self.mark_all()).await.unwrap_or_else(|_| {
            tracing::warn!(sink = %self.parts.route.name,
                "the database did not take the last marks in time: what was delivered is sent again under the same id");
            Err(store::Error::Commit("it did not take the last marks in time".to_owned()))
        })
    }

    async fn mark_all(&mut self) -> Result<(), store::Error> {
        loop {
            self.mark();
            match ready(&mut self.marking).await {
                Some(marked) => self.marked(marked?),
                None => return Ok(()),
            }
        }
    }
}

fn why(reason: String, answer: Option<Answer>) -> Why {
    Why { reason, answer: answer.map(Answer::into_text) }
}

fn body_bytes(attempt: &Attempt) -> usize {
    attempt.message.body.len()
}
