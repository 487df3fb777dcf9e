//! The admin endpoint: health, metrics and the JSON API, on TCP or a Unix socket.
//!
//! It works from the store and the settings alone and rings the bells it is given; it never asks a provider nor a sink. It has
//! a thread and a runtime of its own, and its own reading connections: a thousand requests hold up no sweep, and a stuck loop
//! can still be told from outside.

mod connections;
mod door;
mod gate;
mod gauges;
mod health;
mod input;
mod messages;
mod metrics;
mod openapi;
mod problem;
mod queue;
mod router;
mod status;
mod subscriptions;
mod tracking;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{Notify, oneshot, watch};

use self::door::{Bound, Door};
use self::gate::Gate;
use self::gauges::Gauges;
use self::health::Health;
use self::metrics::Exposition;
use crate::budget::Budget;
use crate::metrics::Metrics;
use crate::pulse::Pulses;
use crate::renewal::Rules;
use crate::settings::{SecretError, Settings};
use crate::signals::Shutdown;
use crate::store::{self, Store};

/// What requests in hand get when the endpoint closes.
const LAST_ANSWERS: Duration = Duration::from_millis(300);

/// Why it could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("admin.listen: cannot listen on {listen}; choose another address, or \"\" for none")]
    Listen {
        listen: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot start the thread of the admin endpoint")]
    Thread(#[source] io::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
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

/// The open endpoint.
pub struct Admin {
    stop: Shutdown,
    ended: oneshot::Receiver<()>,
}

impl Admin {
    /// Listens, and answers from now on; `None` where the settings want no endpoint.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub fn open(parts: Parts) -> Result<Option<Self>, Error> {
        let listen = parts.live.borrow().settings.admin.listen.clone();
        if listen.is_empty() {
            return Ok(None);
        }
        let bound = Bound::at(&listen).map_err(|source| Error::Listen { listen: listen.clone(), source })?;
        let site = Arc::new(site(parts)?);
        let (stop, (end, ended)) = (Shutdown::manual(), oneshot::channel());
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let stopping = stop.clone();
        let serve = move || {
            let opened = open(bound);
            match opened {
                Ok((runtime, door)) => {
                    started.send(Ok(())).ok();
                    runtime.block_on(serve(door, site, stopping));
                }
                Err(error) => drop(started.send(Err(error))),
            }
            // Whoever waited for this may have stopped waiting.
            end.send(()).ok();
        };
        std::thread::Builder::new().name("admin".to_owned()).spawn(serve).map_err(Error::Thread)?;
        start.recv().unwrap_or(Err(io::ErrorKind::Other.into())).map_err(Error::Thread)?;
        tracing::info!(%listen, "admin endpoint is open");
        Ok(Some(Self { stop, ended }))
    }

    /// Takes no more requests, and finishes those in hand: they get a moment.
    pub async fn close(self) {
        self.stop.request();
        // An error means that its thread has ended already.
        drop(tokio::time::timeout(LAST_ANSWERS + LAST_ANSWERS / 2, self.ended).await);
    }
}

/// A runtime cannot be made and given up again inside another one: it is made on its own thread.
fn open(bound: Bound) -> io::Result<(Runtime, Door)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let door = {
        let _inside = runtime.enter();
        bound.open()?
    };
    Ok((runtime, door))
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
    let tracked = input::parse::<tracking::Track>(body).and_then(|track| track.check(settings));
    let claimed = input::parse::<queue::Claim>(body).and_then(|claim| claim.check());
    let acknowledged = input::parse::<queue::Ack>(body).map(drop);
    let others = [claimed.err(), acknowledged.err()];
    tracked.map_err(|problem| others.into_iter().flatten().chain([problem]).map(|problem| problem.detail).collect())
}

async fn serve(door: Door, site: Arc<Site>, stop: Shutdown) {
    let router = router::router(site.clone());
    tokio::join!(connections::serve(door, router, stop), site.exposition.warm_up());
}
