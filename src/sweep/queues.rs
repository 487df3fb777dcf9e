//! What is due, read from the store a page at a time: never all of it in memory.

use std::collections::{HashSet, VecDeque};

use futures_util::future::BoxFuture;

use super::gate::Gate;
use super::mode::Mode;
use crate::choice::{Demand, Lane};
use crate::clock::Timestamp;
use crate::renewal::Subscription;
use crate::store::{self, DuePage, DueRenewal, Order, Store};

/// Rows of a page. A second one is read when half of the first is left, so that the sweep never waits for it.
const PAGE: usize = 500;

/// Before every row: (due, row).
const START: (i64, i64) = (i64::MIN, i64::MIN);

/// One lane of one territory, or the waiting renewals: a window onto an index of the store.
#[derive(Debug)]
struct Queue<T> {
    rows: VecDeque<T>,
    after: (i64, i64),
    /// The store had no more when it was last asked.
    exhausted: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { rows: VecDeque::new(), after: START, exhausted: false }
    }
}

impl<T> Queue<T> {
    fn wants_page(&self) -> bool {
        !self.exhausted && self.rows.len() < PAGE / 2
    }
}

#[derive(Debug)]
struct TerritoryLane {
    territory: String,
    lane: Lane,
    queue: Queue<Subscription>,
}

/// A page on its way from the store.
pub(super) type Reading = BoxFuture<'static, Result<Page, store::Error>>;

pub(super) enum Page {
    Polls { at: usize, era: u64, rows: Vec<Subscription> },
    Renewals { era: u64, rows: Vec<DueRenewal> },
}

/// All queues of one pass.
pub(super) struct Queues {
    store: Store,
    provider: String,
    lanes: Vec<TerritoryLane>,
    /// Of these, whose order data is asked for.
    territories: Vec<String>,
    mode: Mode,
    renewals: Queue<DueRenewal>,
    /// A one-shot run looks as far ahead as this, and asks nobody twice.
    horizon: Option<Timestamp>,
    asked: HashSet<i64>,
    /// Chosen, and not recorded yet.
    in_hand: HashSet<i64>,
    in_hand_orders: HashSet<Order>,
    /// The originals these belong to. Order data is asked for one generation of an original after the other, so that a jump
    /// is queued in the order of its generations.
    in_hand_originals: HashSet<Order>,
    /// Behind one of those, in their order.
    held: VecDeque<DueRenewal>,
    /// Recorded since the page that is being read was asked for: it may show them as they were before.
    just_recorded: HashSet<i64>,
    just_settled: HashSet<Order>,
    /// Raised by a reset: a page that was asked for before it is thrown away.
    era: u64,
    renewals_era: u64,
}

impl Queues {
    pub fn new(
        store: &Store,
        provider: &str,
        territories: Vec<String>,
        mode: Mode,
        horizon: Option<Timestamp>,
    ) -> Self {
        let lanes = territories
            .iter()
            .flat_map(|territory| Lane::ALL.map(|lane| (territory.clone(), lane)))
            .map(|(territory, lane)| TerritoryLane { territory, lane, queue: Queue::default() })
            .collect();
        Self {
            store: store.clone(),
            provider: provider.to_owned(),
            lanes,
            territories,
            mode,
            renewals: Queue::default(),
            horizon,
            asked: HashSet::new(),
            in_hand: HashSet::new(),
            in_hand_orders: HashSet::new(),
            in_hand_originals: HashSet::new(),
            held: VecDeque::new(),
            just_recorded: HashSet::new(),
            just_settled: HashSet::new(),
            era: 0,
            renewals_era: 0,
        }
    }

    /// Looks at everything again from the beginning.
    pub fn reset(&mut self) {
        self.era += 1;
        for lane in &mut self.lanes {
            lane.queue = Queue::default();
        }
        self.reset_renewals();
    }

    /// New renewals were recorded: looks for those again.
    pub fn reset_renewals(&mut self) {
        self.renewals_era += 1;
        self.renewals = Queue::default();
        self.held.clear();
    }

    /// The next page to be read, if any queue runs low. One at a time.
    pub fn next_page(&mut self, gate: &Gate, now: Timestamp) -> Option<Reading> {
        self.just_recorded.clear();
        self.just_settled.clear();
        if self.renewals.wants_page() {
            let (store, provider, after) = (self.store.clone(), self.provider.clone(), self.renewals.after);
            let mut territories = self.territories.clone();
            territories.retain(|territory| gate.admits(territory));
            let era = self.renewals_era;
            return Some(Box::pin(async move {
                let rows = store.due_renewals(&provider, &territories, now, after, PAGE).await?;
                Ok(Page::Renewals { era, rows })
            }));
        }
        let (at, wanted) = self.lanes.iter().enumerate().find(|(_, lane)| lane.queue.wants_page())?;
        let page = DuePage {
            provider: self.provider.clone(),
            territory: wanted.territory.clone(),
            lane: wanted.lane,
            until: self.horizon.unwrap_or(now),
            after: wanted.queue.after,
            limit: PAGE,
        };
        let (store, era) = (self.store.clone(), self.era);
        Some(Box::pin(async move { Ok(Page::Polls { at, era, rows: store.due_subscriptions(page).await? }) }))
    }

    /// Takes in a page that was read.
    pub fn fill(&mut self, page: Page) {
        match page {
            Page::Polls { at, era, rows } if era == self.era => {
                let Some(TerritoryLane { queue, .. }) = self.lanes.get_mut(at) else { return };
                queue.exhausted = rows.len() < PAGE;
                if let Some(last) = rows.last() {
                    queue.after = (last.due_at.map_or(i64::MAX, Timestamp::as_unix), last.row);
                }
                let known = [&self.in_hand, &self.just_recorded, &self.asked];
                let is_wanted = |s: &Subscription| !self.mode.only_unanswered() || s.failures > 0;
                let rows = rows.into_iter().filter(|s| is_wanted(s) && !known.iter().any(|rows| rows.contains(&s.row)));
                queue.rows.extend(rows);
            }
            Page::Renewals { era, rows } if era == self.renewals_era => {
                self.renewals.exhausted = rows.len() < PAGE;
                if let Some(last) = rows.last() {
                    self.renewals.after = (last.due_at.as_unix(), last.row);
                }
                let settled = &self.just_settled;
                self.renewals.rows.extend(rows.into_iter().filter(|r| !settled.contains(&r.order())));
            }
            Page::Polls { .. } | Page::Renewals { .. } => {}
        }
    }

    /// Whether the store has no more of what may be asked. However many wait in a territory that is stopped, a pass does not
    /// wait for its next probe.
    pub fn are_exhausted(&self, gate: &Gate) -> bool {
        self.renewals.exhausted && self.lanes.iter().all(|lane| lane.queue.exhausted || !gate.admits(&lane.territory))
    }

    /// What waits for a slot, in territories that may be asked.
    pub fn demand(&mut self, gate: &Gate) -> Demand {
        self.skip_unsendable_renewals(gate);
        let any = |wanted: Lane| {
            self.lanes.iter().any(|l| l.lane == wanted && !l.queue.rows.is_empty() && gate.admits(&l.territory))
        };
        Demand {
            asked_for: any(Lane::AskedFor),
            hinted: any(Lane::Hinted),
            order_data: !self.renewals.rows.is_empty(),
            urgent: any(Lane::Urgent),
            other: any(Lane::Other),
            ..Demand::default()
        }
    }

    /// What cannot go now must not block what is behind it: it comes again with the next look, or once the generation before
    /// it has its answer.
    fn skip_unsendable_renewals(&mut self, gate: &Gate) {
        while let Some(front) = self.renewals.rows.front() {
            let served = self.in_hand_orders.contains(&front.order());
            let held = self.in_hand_originals.contains(&front.original());
            if !served && !held && gate.admits(&front.territory) {
                return;
            }
            let skipped = self.renewals.rows.pop_front();
            self.held.extend(skipped.filter(|_| held && !served));
        }
    }

    /// Takes the most overdue subscription of a lane over all territories that may be asked.
    pub fn pop_poll(&mut self, wanted: Lane, gate: &Gate) -> Option<Subscription> {
        let first = self
            .lanes
            .iter_mut()
            .filter(|l| l.lane == wanted && gate.admits(&l.territory))
            .filter(|l| !l.queue.rows.is_empty())
            .min_by_key(|l| l.queue.rows.front().and_then(|s| s.due_at))?;
        let subscription = first.queue.rows.pop_front()?;
        self.in_hand.insert(subscription.row);
        Some(subscription)
    }

    /// Takes these subscriptions out of their lanes as if they were asked, and returns those that are not being asked already.
    pub fn claim(&mut self, mut rows: HashSet<i64>) -> HashSet<i64> {
        rows.retain(|row| self.in_hand.insert(*row));
        for lane in &mut self.lanes {
            lane.queue.rows.retain(|subscription| !rows.contains(&subscription.row));
        }
        rows
    }

    /// Takes the oldest waiting renewal that [`Queues::demand`] left at the front.
    pub fn pop_renewal(&mut self) -> Option<DueRenewal> {
        let renewal = self.renewals.rows.pop_front()?;
        self.in_hand_orders.insert(renewal.order());
        self.in_hand_originals.insert(renewal.original());
        Some(renewal)
    }

    /// A poll's result is recorded. `due_at` is when it is due again.
    pub fn recorded(&mut self, row: i64, due_at: Option<Timestamp>) {
        self.in_hand.remove(&row);
        self.just_recorded.insert(row);
        if let Some(horizon) = self.horizon
            && due_at.is_some_and(|due| due <= horizon)
        {
            self.asked.insert(row);
        }
    }

    /// An answer with order data is recorded for everybody who waited for it.
    pub fn settled(&mut self, asked: &DueRenewal) {
        let (order, original) = (asked.order(), asked.original());
        self.in_hand_orders.remove(&order);
        self.in_hand_originals.remove(&original);
        let (free, held) = std::mem::take(&mut self.held).into_iter().partition(|r| r.original() == original);
        self.held = held;
        let behind = std::mem::replace(&mut self.renewals.rows, free);
        self.renewals.rows.extend(behind);
        self.renewals.rows.retain(|r| r.order() != order || r.territory != asked.territory);
        self.just_settled.insert(order);
    }
}
