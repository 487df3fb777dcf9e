//! The admin endpoint: health, metrics and the JSON API, on TCP or a Unix socket.
//!
//! It works from the store and the settings alone and rings the bells it is given; it never asks a provider nor a sink, and hands a
//! shop's calls on to [`crate::shop`]. It has
//! a thread and a runtime of its own, and its own reading connections: a thousand requests hold up no sweep, and a stuck loop
//! can still be told from outside.

mod gate;
mod gauges;
mod health;
mod input;
mod messages;
mod metrics;
mod openapi;
mod page;
mod queue;
mod router;
mod status;
mod subscriptions;
mod tracking;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Notify, watch};

use self::gate::Gate;
use self::gauges::Gauges;
use self::health::Health;
use self::metrics::Exposition;
pub use self::page::entry_code;
use crate::budget::Budget;
use crate::listen::input::parse;
use crate::listen::{self, Endpoint};
use crate::metrics::Metrics;
use crate::pulse::Pulses;
use crate::renewal::Rules;
use crate::settings::{SecretError, Settings};
use crate::shop::Desk;
use crate::signals::Shutdown;
use crate::store::{self, Store};
use crate::vault;

/// Why it could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Listen(#[from] listen::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Random(#[from] vault::Error),
}

/// What a reload may change while the endpoint is open.
pub struct Live {
    settings: Arc<Settings>,
    rules: Rules,
    gate: Gate,
    /// Each provider's.
    budgets: BTreeMap<String, Budget>,
    /// Each sink's: rung when its dispatches have changed. That of a built-in queue wakes whoever waits for messages.
    sink_bells: Arc<BTreeMap<String, Arc<Notify>>>,
}

impl Live {
    /// # Errors
    /// When the token cannot be read.
    pub fn new(
        settings: Arc<Settings>,
        budgets: BTreeMap<String, Budget>,
        sink_bells: Arc<BTreeMap<String, Arc<Notify>>>,
    ) -> Result<Self, SecretError> {
        let (rules, gate) = (Rules::from_settings(&settings), Gate::new(&settings.admin)?);
        Ok(Self { settings, rules, gate, budgets, sink_bells })
    }
}

/// What the endpoint is given.
pub struct Parts {
    pub live: watch::Receiver<Arc<Live>>,
    pub store: Store,
    pub metrics: Metrics,
    pub pulses: Pulses,
    /// Rung when subscriptions have changed.
    pub sweep_bell: Arc<Notify>,
    /// Requested: nobody waits any longer, and the process is not ready.
    pub shutdown: Shutdown,
    /// Where a shop's calls are made.
    pub shop: Desk,
}

/// What all requests share.
struct Site {
    live: watch::Receiver<Arc<Live>>,
    store: Store,
    /// The same, on another connection, for what looks at all rows: no request that looks at a few waits behind it.
    counting: Store,
    health: Health,
    exposition: Exposition,
    queue: queue::Consumers,
    sweep_bell: Arc<Notify>,
    shutdown: Shutdown,
}

impl Site {
    /// As it is now: a request keeps what it has begun with.
    fn live(&self) -> Arc<Live> {
        self.live.borrow().clone()
    }

    fn ring_sweeps(&self) {
        self.sweep_bell.notify_one();
    }

    fn ring_sinks(&self) {
        self.live().sink_bells.values().for_each(|bell| bell.notify_one());
    }
}

/// Listens, and answers from now on; `None` where the settings want no endpoint.
///
/// # Errors
/// When it cannot listen there.
pub fn open(parts: Parts) -> Result<Option<Endpoint>, Error> {
    let listen = parts.live.borrow().settings.admin.listen.clone();
    if listen.is_empty() {
        return Ok(None);
    }
    let bound = listen::bind("admin.listen", &listen)?;
    let shop = parts.shop.clone();
    let site = Arc::new(site(parts)?);
    let warming_up = site.clone();
    let doors = vec![(bound, router::router(site, shop)?)];
    let endpoint = Endpoint::open("admin", doors, async move { warming_up.exposition.warm_up().await })?;
    tracing::info!(%listen, "admin endpoint is open");
    Ok(Some(endpoint))
}

fn site(parts: Parts) -> Result<Site, store::Error> {
    let store = parts.store.beside()?;
    let counting = parts.store.beside()?;
    let gauges = Gauges::new(parts.live.clone(), counting.clone());
    Ok(Site {
        health: Health::new(store.clone(), parts.pulses, parts.shutdown.clone()),
        exposition: Exposition::new(&parts.metrics, gauges),
        queue: queue::Consumers::default(),
        live: parts.live,
        store,
        counting,
        sweep_bell: parts.sweep_bell,
        shutdown: parts.shutdown,
    })
}

/// What the API makes of a body, as if it had come to each of the paths that take one: the subscription to be tracked, or all
/// that is wrong with it. For [`crate::fuzzing`].
pub(crate) fn read_body(body: &[u8], settings: &Settings) -> Result<store::NewSubscription, Vec<String>> {
    let tracked = parse::<tracking::Track>(body).and_then(|track| track.check(settings));
    let claimed = parse::<queue::Claim>(body).and_then(|claim| claim.check());
    let acknowledged = parse::<queue::Ack>(body).map(drop);
    let others = [claimed.err(), acknowledged.err()];
    tracked.map_err(|problem| others.into_iter().flatten().chain([problem]).map(|problem| problem.detail).collect())
}
