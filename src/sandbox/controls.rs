//! What a test, the demo or the control endpoint can do to a running sandbox of any kind, and learn from it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::call::Fake;
use super::faults::Fault;
use super::log::Request;
use super::world::World;
use crate::clock::Timestamp;

/// What the sandbox's thread and everybody outside share.
#[derive(Debug)]
pub(super) struct Shared<F: Fake> {
    world: Mutex<World<F>>,
    /// Counts the releases; a held answer waits for the next.
    pub(super) released: watch::Sender<u64>,
    blocked_waiters: Condvar,
    async_waiters: Notify,
}

impl<F: Fake> Shared<F> {
    pub(super) fn new(world: World<F>) -> Self {
        Self {
            world: Mutex::new(world),
            released: watch::Sender::new(0),
            blocked_waiters: Condvar::new(),
            async_waiters: Notify::new(),
        }
    }

    /// Never held across an await. A panic elsewhere leaves the state usable: no change spans several steps.
    pub(super) fn world(&self) -> MutexGuard<'_, World<F>> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes who waits for a request or its answer.
    pub(super) fn log_changed(&self) {
        self.blocked_waiters.notify_all();
        self.async_waiters.notify_waiters();
    }
}

/// A handle on a running sandbox; cheap to clone, usable from any thread. It does not keep the sandbox running.
#[derive(Debug)]
pub struct Controls<F: Fake> {
    pub(super) shared: Arc<Shared<F>>,
}

impl<F: Fake> Clone for Controls<F> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

type FaultOf<F> = Fault<<F as Fake>::Endpoint, <F as Fake>::About>;
type RequestOf<F> = Request<<F as Fake>::Endpoint, <F as Fake>::About>;

/// The clock.
impl<F: Fake> Controls<F> {
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

    /// Does something to the provider itself, or asks it, at the present time.
    pub fn provider<T>(&self, act: impl FnOnce(&mut F, Timestamp) -> T) -> T {
        let mut world = self.shared.world();
        let now = world.clock.now();
        act(&mut world.provider, now)
    }
}

/// Behaviour.
impl<F: Fake> Controls<F> {
    pub fn switches(&self) -> F::Switches {
        self.shared.world().provider.switches().clone()
    }

    /// Changes any of the switches.
    pub fn switch(&self, change: impl FnOnce(&mut F::Switches)) {
        change(self.shared.world().provider.switches());
    }

    /// Adds a rule behind those in force.
    pub fn fault(&self, fault: FaultOf<F>) {
        self.shared.world().faults.add(fault);
    }

    /// The rules not yet spent.
    pub fn faults(&self) -> Vec<FaultOf<F>> {
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
}

/// What happened.
impl<F: Fake> Controls<F> {
    /// The last requests, oldest first: as many as [`super::Options::log_limit`] keeps.
    pub fn requests(&self) -> Vec<RequestOf<F>> {
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
    pub fn wait_for(&self, wanted: impl Fn(&RequestOf<F>) -> bool, timeout: Duration) -> Option<RequestOf<F>> {
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
    pub async fn wait_for_async(
        &self,
        wanted: impl Fn(&RequestOf<F>) -> bool,
        timeout: Duration,
    ) -> Option<RequestOf<F>> {
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
