//! One case: the real choice, decisions and statements, in virtual time. What is modelled is the provider, and a pass without
//! its sockets: answers are there at once, slots come as the budget gives them.

use std::collections::VecDeque;
use std::time::Duration;

use renewald::choice::{Choice, Demand, Lane, Want};
use renewald::clock::Clock;
use renewald::provider::Kind;
use renewald::renewal::poll::{self, Look};
use renewald::renewal::{Rules, Subscription};
use renewald::store::{Access, DuePage, DueRenewal, PollRecord, Settled, Settlement, Store, WithWarnings};

use crate::model::{AT_RANDOM, DAY, Delays, Random, Truth, YEAR, timestamp};
use crate::tracked;

pub struct Case {
    pub name: &'static str,
    pub count: usize,
    pub term: f64,
    /// Days before and after the expiry.
    pub window: (u64, u64),
    /// Subscriptions and rate are divided by this.
    pub scale: usize,
    /// Measured, after the warm-up.
    pub days: u64,
    /// One day of these holds a tenth of the year's expiries; only its renewals are measured.
    pub peak: bool,
}

/// On-time renewals are counted one by one. Early ones are too rare for that: the worst hundredth of a few hundred is chance. As
/// they come at any time with the same likelihood, each span between two polls says what they would have waited: any part of
/// it, and the longer the span, the more of them.
#[derive(Default)]
pub struct Outcome {
    pub on_time: Delays,
    pub early: Delays,
    /// The same renewals, were everybody asked in turn.
    pub in_turn: Delays,
}

/// The account's, and what the budget really gives of it (`src/budget/pace.rs`).
const RATE: f64 = 10.0;
const SPACING: f64 = 1.005;
const EVERY: u64 = 4 * 3600;
/// As in `src/sweep`.
const PAGE: usize = 500;
const LOOK_AGAIN: f64 = 30.0;
/// The import is over by then. Monthly terms get two of them and a window more: those that never renew are then among the
/// others, where years of them would be.
const WARM_UP_DAYS: f64 = 8.0;
/// Renewals of the last days are not measured: they may not have been seen.
const TAIL_DAYS: f64 = 8.0;

const NAME: &str = "bench";
const TERRITORY: &str = "eu";

pub fn simulate(case: &Case) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    // Where a commit need not reach a disk: virtual time does not wait for one.
    let memory = std::path::Path::new("/dev/shm");
    let directory =
        if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a directory");
    runtime.block_on(async {
        let store = Store::open(&directory.path().join("renewald.db"), Access::Command).expect("a store");
        let mut simulation = Simulation::new(case, store).await;
        simulation.run().await;
        simulation.finish().await
    })
}

/// The defaults, but for the window.
pub fn rules(window: (u64, u64)) -> Rules {
    let day = |days: u64| Duration::from_secs(days * 86_400);
    Rules {
        every: Duration::from_secs(EVERY),
        window_before: day(window.0),
        window_after: day(window.1),
        ended_after: day(30),
        notify_before: Duration::ZERO,
        max_generation_jump: 24,
        retry_first: Duration::from_secs(10),
        retry_max: Duration::from_secs(EVERY),
    }
}

struct Queue<T> {
    rows: VecDeque<T>,
    after: (i64, i64),
    exhausted: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { rows: VecDeque::new(), after: (i64::MIN, i64::MIN), exhausted: false }
    }
}

struct Simulation<'a> {
    case: &'a Case,
    store: Store,
    rules: Rules,
    random: Random,
    truths: Vec<Truth>,
    choice: Choice,
    lanes: [Queue<Subscription>; Lane::ALL.len()],
    renewals: Queue<DueRenewal>,
    unwritten: Vec<PollRecord>,
    page: usize,
    now: f64,
    /// When each was last asked.
    asked: Vec<f64>,
    /// Renewals between these are measured.
    measured: (f64, f64),
    outcome: Outcome,
}

impl<'a> Simulation<'a> {
    async fn new(case: &'a Case, store: Store) -> Self {
        let rules = rules(case.window);
        let mut random = Random(case.count as u64);
        let first_terms = if case.term < YEAR { 2.0 * case.term } else { WARM_UP_DAYS * DAY };
        let warm_up = first_terms + case.window.1 as f64 * DAY;
        let measured = (warm_up, warm_up + case.days as f64 * DAY);
        let peak_day = warm_up + 5.0 * DAY;
        let truths: Vec<_> = (0..case.count / case.scale)
            .map(|_| {
                let in_peak = case.peak && random.share() < 0.1;
                let (from, length) = if in_peak { (peak_day, DAY) } else { (0.0, case.term) };
                Truth::new(from + length * random.share(), case.term, &mut random)
            })
            .collect();
        let asked = vec![0.0; truths.len()];
        let measured = if case.peak { (peak_day - 2.0 * DAY, peak_day + 2.0 * DAY) } else { measured };
        let simulation = Self {
            case,
            store,
            rules,
            random,
            truths,
            choice: Choice::default(),
            lanes: Default::default(),
            renewals: Queue::default(),
            unwritten: Vec::new(),
            page: (PAGE / case.scale).max(4),
            now: 0.0,
            asked,
            measured,
            outcome: Outcome::default(),
        };
        simulation.import().await;
        simulation
    }

    /// All of them at once, as a reseller begins.
    async fn import(&self) {
        let mut new = (0..)
            .zip(&self.truths)
            .map(|(at, truth)| tracked::subscription(format!("BENCH{at}"), at + 1, Some(timestamp(truth.expires))));
        loop {
            let chunk: Vec<_> = new.by_ref().take(1000).collect();
            if chunk.is_empty() {
                return;
            }
            self.store.track(chunk, false, timestamp(0.0)).await.expect("tracked");
        }
    }

    async fn run(&mut self) {
        let spacing = SPACING * self.case.scale as f64 / RATE;
        let end = self.measured.1 + TAIL_DAYS * DAY;
        let mut look_again = 0.0;
        while self.now < end {
            if self.now >= look_again {
                look_again = self.now + LOOK_AGAIN;
                self.look_again().await;
            }
            self.fill().await;
            let waits = |lane: Lane| !self.lanes[lane as usize].rows.is_empty();
            let demand = Demand {
                asked_for: waits(Lane::AskedFor),
                order_data: !self.renewals.rows.is_empty(),
                urgent: waits(Lane::Urgent),
                other: waits(Lane::Other),
                ..Demand::default()
            };
            match self.choice.next(demand) {
                Some(Want::Poll(lane)) => self.poll(lane),
                Some(Want::OrderData) => self.order_data().await,
                Some(Want::Feed) => unreachable!("nobody waits for these"),
                None => {
                    self.now = look_again;
                    continue;
                }
            }
            self.now += spacing;
        }
    }

    async fn look_again(&mut self) {
        self.write().await;
        self.store.promote_urgent(NAME, &self.rules, timestamp(self.now)).await.expect("promoted");
        self.lanes = Default::default();
        self.renewals = Queue::default();
    }

    async fn write(&mut self) {
        if self.unwritten.is_empty() {
            return;
        }
        let mut records = std::mem::take(&mut self.unwritten);
        records.sort_unstable_by_key(|record| record.before.row);
        self.store.record_polls(records, timestamp(self.now)).await.expect("recorded");
    }

    async fn fill(&mut self) {
        for lane in [Lane::Urgent, Lane::Other] {
            let queue = &mut self.lanes[lane as usize];
            if queue.exhausted || !queue.rows.is_empty() {
                continue;
            }
            let page = DuePage {
                provider: NAME.to_owned(),
                territory: TERRITORY.to_owned(),
                lane,
                until: timestamp(self.now),
                after: queue.after,
                limit: self.page,
            };
            let rows = self.store.due_subscriptions(page).await.expect("a page");
            queue.exhausted = rows.len() < self.page;
            if let Some(last) = rows.last() {
                queue.after = (last.due_at.expect("it is due").as_unix(), last.row);
            }
            queue.rows = rows.into();
        }
        let queue = &mut self.renewals;
        if !queue.exhausted && queue.rows.is_empty() {
            let (territories, now) = ([TERRITORY.to_owned()], timestamp(self.now));
            let due = self.store.due_renewals(NAME, &territories, now, queue.after, self.page).await.expect("a page");
            queue.exhausted = due.len() < self.page;
            if let Some(last) = due.last() {
                queue.after = (last.due_at.as_unix(), last.row);
            }
            queue.rows = due.into();
        }
    }

    fn poll(&mut self, lane: Lane) {
        let Some(before) = self.lanes[lane as usize].rows.pop_front() else { return };
        let at = before.row as usize - 1;
        self.observe(at);
        let truth = &self.truths[at];
        let (answer, now) = (Ok(truth.sighting()), timestamp(self.now));
        let look = Look {
            before: &before,
            known: &[],
            answer: &answer,
            now,
            account_answered_at: None,
            clock: Clock::Believed,
        };
        let decision = poll::decide(look, &self.rules, Kind::NexwayConnect.convention());
        let record = PollRecord {
            before,
            after: decision.after,
            renewals: decision.renewals,
            had: Vec::new(),
            messages: Vec::new(),
        };
        self.unwritten.push(record);
    }

    /// Measures what an answer of now shows.
    fn observe(&mut self, at: usize) {
        let (now, term) = (self.now, self.case.term);
        let truth = &mut self.truths[at];
        let span = now - std::mem::replace(&mut self.asked[at], now);
        let early = now - span * self.random.share();
        if truth.may_renew_at_random(early, term) && self.is_measured(early) {
            self.outcome.early.add(now - early, AT_RANDOM * span / term);
            self.in_turn(at, early, AT_RANDOM * span / term);
        }
        let truth = &mut self.truths[at];
        truth.advance(now, term, &mut self.random);
        if let Some(renewal) = truth.unseen.take().filter(|renewal| renewal.on_time)
            && self.is_measured(renewal.at)
        {
            self.outcome.on_time.add(now - renewal.at, 1.0);
            self.in_turn(at, renewal.at, 1.0);
        }
    }

    fn is_measured(&self, renewed_at: f64) -> bool {
        (self.measured.0..self.measured.1).contains(&renewed_at)
    }

    /// Asked in turn, each has its place in a round as long as all take, and not shorter than the interval.
    fn in_turn(&mut self, at: usize, renewed_at: f64, weight: f64) {
        let round = (self.case.count as f64 * SPACING / RATE).max(EVERY as f64);
        let place = round * Random(at as u64).share();
        self.outcome.in_turn.add((place - renewed_at).rem_euclid(round), weight);
    }

    /// It is ready at once: that costs most while polls wait.
    async fn order_data(&mut self) {
        let Some(renewal) = self.renewals.rows.pop_front() else { return };
        let at = timestamp(self.now);
        let outcome = Settled::Queued { messages: Vec::new(), sent: WithWarnings::default() };
        let settlement = Settlement { renewal, outcome, at, polls_resume_at: at + self.rules.every };
        self.store.settle_renewals(vec![settlement]).await.expect("settled");
    }

    /// What nobody has seen by the end counts with the age it has reached.
    async fn finish(mut self) -> Outcome {
        for at in 0..self.truths.len() {
            self.observe(at);
        }
        self.store.close().await;
        self.outcome
    }
}
