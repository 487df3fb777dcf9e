//! What a test, the demo or the control endpoint can do to a running sandbox and learn from it.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::{Notify, watch};

use super::Error;
use super::faults::Fault;
use super::log::Request;
use super::order_data::{OrderAnswer, Variant};
use super::orders::{NewOrder, Renewal};
use super::script::Script;
use super::switches::Switches;
use super::world::World;
use crate::clock::Timestamp;

/// What the sandbox's thread and everybody outside share.
#[derive(Debug)]
pub(super) struct Shared {
    world: Mutex<World>,
    /// Name and secret of each.
    pub(super) territories: Vec<(Arc<str>, String)>,
    /// Counts the releases; a held answer waits for the next.
    pub(super) released: watch::Sender<u64>,
    blocked_waiters: Condvar,
    async_waiters: Notify,
}

impl Shared {
    pub(super) fn new(world: World, territories: &BTreeMap<String, String>) -> Self {
        Self {
            world: Mutex::new(world),
            territories: territories.iter().map(|(name, secret)| (name.as_str().into(), secret.clone())).collect(),
            released: watch::Sender::new(0),
            blocked_waiters: Condvar::new(),
            async_waiters: Notify::new(),
        }
    }

    /// Never held across an await. A panic elsewhere leaves the state usable: no change spans several steps.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes who waits for a request or its answer.
    pub(super) fn log_changed(&self) {
        self.blocked_waiters.notify_all();
        self.async_waiters.notify_waiters();
    }
}

/// A handle on a running sandbox; cheap to clone, usable from any thread. It does not keep the sandbox running.
#[derive(Clone, Debug)]
pub struct Controls {
    pub(super) shared: Arc<Shared>,
}

/// A subscription as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SubscriptionState {
    pub partner_order_number: String,
    pub territory: String,
    pub subscription_id: i64,
    pub generation: i64,
    pub expires_at: Timestamp,
    /// When it renews by itself; `None` when it will not.
    pub renews_at: Option<Timestamp>,
    pub cancelled: bool,
}

/// The clock and subscriptions.
impl Controls {
    pub fn now(&self) -> Timestamp {
        self.shared.world().clock.now()
    }

    pub fn speed(&self) -> f64 {
        self.shared.world().clock.speed()
    }

    /// Moves the clock on. Renewals that fall due happen at their own instants.
    pub fn advance(&self, by: Duration) {
        self.shared.world().clock.advance(by);
    }

    /// Sets the clock, backwards too; renewals already made stay.
    pub fn set_now(&self, now: Timestamp) {
        self.shared.world().clock.set(now);
    }

    /// Sandbox seconds per real second; 0 stands still.
    pub fn set_speed(&self, speed: f64) {
        self.shared.world().clock.set_speed(speed);
    }

    /// Returns what *Create order* answers.
    pub fn create_order(&self, order: NewOrder) -> Result<OrderAnswer, Error> {
        if !self.shared.territories.iter().any(|(name, _)| **name == *order.territory) {
            return Err(Error::UnknownTerritory(order.territory));
        }
        self.shared.world().create_order(order)
    }

    /// Every subscription there is, by original number.
    pub fn subscriptions(&self) -> Vec<SubscriptionState> {
        let mut world = self.shared.world();
        let now = world.clock.now();
        let mut states = Vec::new();
        for order in world.book.orders(now) {
            states.extend(order.subscriptions.iter().map(|subscription| SubscriptionState {
                partner_order_number: order.number.clone(),
                territory: order.territory.clone(),
                subscription_id: subscription.id,
                generation: subscription.generation,
                expires_at: subscription.expires_at,
                renews_at: subscription.renews_at(),
                cancelled: subscription.cancelled,
            }));
        }
        states
    }

    /// Renews now: one subscription of the original order, or all of them with `None`.
    pub fn renew(&self, original: &str, subscription_id: Option<i64>) -> Result<(), Error> {
        self.renew_times(original, subscription_id, 1)
    }

    /// Renews `times` generations at once, as they are found after a long downtime. Each has an order of its own.
    pub fn renew_times(&self, original: &str, subscription_id: Option<i64>, times: u32) -> Result<(), Error> {
        let mut world = self.shared.world();
        let now = world.clock.now();
        world.book.renew(original, subscription_id, times, now)
    }

    /// Makes the status answer show this generation. Makes no order, and nothing that `renewals` would list.
    pub fn set_generation(&self, original: &str, subscription_id: Option<i64>, generation: i64) -> Result<(), Error> {
        self.change(original, subscription_id, |subscription| subscription.generation = generation)
    }

    /// No further renewal; the licence stays active until its expiry.
    pub fn cancel(&self, original: &str, subscription_id: Option<i64>) -> Result<(), Error> {
        self.change(original, subscription_id, |subscription| subscription.cancelled = true)
    }

    pub fn set_auto_renew(&self, original: &str, subscription_id: Option<i64>, on: bool) -> Result<(), Error> {
        self.change(original, subscription_id, |subscription| subscription.auto_renew = on)
    }

    /// Any text; `None` returns to what follows from the subscription's state.
    pub fn set_technical_status(
        &self,
        original: &str,
        subscription_id: Option<i64>,
        status: Option<&str>,
    ) -> Result<(), Error> {
        self.change(original, subscription_id, |subscription| subscription.technical_status = status.map(str::to_owned))
    }

    fn change(
        &self,
        original: &str,
        subscription_id: Option<i64>,
        change: impl FnMut(&mut super::orders::Subscription),
    ) -> Result<(), Error> {
        let mut world = self.shared.world();
        let now = world.clock.now();
        world.book.change(original, subscription_id, now, change)
    }
}

/// Behaviour.
impl Controls {
    /// What this very number (suffix included) answers from now on; replaces an earlier script.
    pub fn script(&self, number: impl Into<String>, script: Script) {
        self.shared.world().scripts.insert(number.into(), script);
    }

    pub fn switches(&self) -> Switches {
        self.shared.world().switches.clone()
    }

    /// Changes any of the switches.
    pub fn switch(&self, change: impl FnOnce(&mut Switches)) {
        change(&mut self.shared.world().switches);
    }

    /// Adds a rule behind those in force.
    pub fn fault(&self, fault: Fault) {
        self.shared.world().faults.add(fault);
    }

    /// The rules not yet spent.
    pub fn faults(&self) -> Vec<Fault> {
        self.shared.world().faults.rules().to_vec()
    }

    /// Removes every rule. Answers already held stay held.
    pub fn clear_faults(&self) {
        self.shared.world().faults.clear();
    }

    /// Gives every answer that is being held.
    pub fn release(&self) {
        let _world = self.shared.world(); // whoever is logged as arrived waits already
        self.shared.released.send_modify(|count| *count += 1);
    }

    /// Makes every access token unknown at once; refresh tokens too if asked.
    pub fn expire_tokens(&self, refresh_too: bool) {
        self.shared.world().tokens.expire(refresh_too);
    }
}

/// What happened.
impl Controls {
    /// Everything the provider ever renewed, in order of time: the truth that deliveries are held against.
    pub fn renewals(&self) -> Vec<Renewal> {
        let mut world = self.shared.world();
        let now = world.clock.now();
        world.book.renewals(now)
    }

    /// The serials (their `data`, as sent) that this number's order data holds for a subscription, in their order. A
    /// generation still to come has its keys already; none for an unknown order, or where all ids are foreign.
    pub fn expected_keys(&self, number: &str, subscription_id: i64) -> Vec<String> {
        let mut world = self.shared.world();
        let now = world.clock.now();
        let script_variant = world.scripts.get(number).and_then(|script| script.variant);
        for (original, generation) in world.book.readings(number) {
            let Some(order) = world.book.order(original, now) else { continue };
            if order.subscription(subscription_id).is_none() {
                continue;
            }
            let mut issue = order.issue(generation).unwrap_or(&order.issues[0]).clone();
            issue.generation = generation;
            if !issue.subscription_ids.contains(&subscription_id) {
                issue.subscription_ids.push(subscription_id);
            }
            let variant: Variant = script_variant.unwrap_or(order.variant);
            return OrderAnswer::of(order, &issue, variant).keys_for(subscription_id);
        }
        Vec::new()
    }

    /// The last requests, oldest first: as many as [`super::Options::log_limit`] keeps.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.world().log.requests().cloned().collect()
    }

    /// How many requests there were in all, which is the `seq` of the next one.
    pub fn request_count(&self) -> u64 {
        self.shared.world().log.total()
    }

    /// The most requests in any window of one second of real time, among those kept.
    pub fn busiest_second(&self) -> usize {
        self.shared.world().log.busiest_second()
    }

    /// Forgets the requests; the count goes on.
    pub fn clear_requests(&self) {
        self.shared.world().log.clear();
    }

    /// Blocks until a kept request is as wanted, and returns the oldest such. Looks at each when it arrives and again
    /// when it is answered; to wait for a new one, compare `seq` with an earlier [`Controls::request_count`].
    pub fn wait_for(&self, wanted: impl Fn(&Request) -> bool, timeout: Duration) -> Option<Request> {
        let deadline = Instant::now() + timeout;
        let mut world = self.shared.world();
        loop {
            if let Some(request) = world.log.requests().find(|request| wanted(request)) {
                return Some(request.clone());
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            let woken = self.shared.blocked_waiters.wait_timeout(world, left);
            world = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// [`Controls::wait_for`] for asynchronous callers.
    pub async fn wait_for_async(&self, wanted: impl Fn(&Request) -> bool, timeout: Duration) -> Option<Request> {
        let search = async {
            loop {
                let changed = self.shared.async_waiters.notified();
                tokio::pin!(changed);
                changed.as_mut().enable(); // before looking, so that nothing slips in between
                let found = self.shared.world().log.requests().find(|request| wanted(request)).cloned();
                match found {
                    Some(request) => return request,
                    None => changed.await,
                }
            }
        };
        tokio::time::timeout(timeout, search).await.ok()
    }
}
