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
use tokio::sync::{Notify, oneshot};

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

pub use self::openapi::document;

/// What requests in hand get when the endpoint closes.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

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
    Secret(#[from] SecretError),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What the endpoint is given.
pub struct Parts {
    pub settings: Arc<Settings>,
    pub store: Store,
    pub metrics: Metrics,
    pub pulses: Pulses,
    /// Each provider's.
    pub budgets: Vec<(String, Budget)>,
    /// Rung when subscriptions have changed.
    pub sweep_bells: Vec<Arc<Notify>>,
    /// Each sink's: rung when its dispatches have changed. That of a built-in queue wakes whoever waits for messages.
    pub sink_bells: Arc<BTreeMap<String, Arc<Notify>>>,
    /// Requested: nobody waits any longer, and the process is not ready.
    pub shutdown: Shutdown,
}

/// What all requests share.
struct Site {
    settings: Arc<Settings>,
    rules: Rules,
    store: Store,
    /// The same, on another connection, for what looks at all rows: no request that looks at a few waits behind it.
    counting: Store,
    gate: Gate,
    health: Health,
    exposition: Exposition,
    queue: queue::Consumers,
    sweep_bells: Vec<Arc<Notify>>,
    sink_bells: Arc<BTreeMap<String, Arc<Notify>>>,
    shutdown: Shutdown,
}

impl Site {
    fn ring_sweeps(&self) {
        self.sweep_bells.iter().for_each(|bell| bell.notify_one());
    }

    fn ring_sinks(&self) {
        self.sink_bells.values().for_each(|bell| bell.notify_one());
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
    /// When it cannot listen there, or its token cannot be read.
    pub fn open(parts: Parts) -> Result<Option<Self>, Error> {
        let listen = parts.settings.admin.listen.clone();
        if listen.is_empty() {
            return Ok(None);
        }
        let gate = Gate::new(&parts.settings.admin)?;
        let bound = Bound::at(&listen).map_err(|source| Error::Listen { listen: listen.clone(), source })?;
        let site = Arc::new(site(parts, gate)?);
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

    /// Takes no more requests, and finishes those in hand: they get two seconds.
    pub async fn close(self) {
        self.stop.request();
        // An error means that its thread has ended already.
        drop(tokio::time::timeout(2 * LAST_ANSWERS, self.ended).await);
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

fn site(parts: Parts, gate: Gate) -> Result<Site, store::Error> {
    let store = parts.store.beside()?;
    let counting = parts.store.beside()?;
    let gauges = Gauges::new(parts.settings.clone(), counting.clone());
    Ok(Site {
        rules: Rules::from_settings(&parts.settings),
        gate,
        health: Health::new(store.clone(), parts.pulses, parts.shutdown.clone()),
        exposition: Exposition::new(&parts.metrics, gauges, parts.budgets),
        queue: queue::Consumers::default(),
        settings: parts.settings,
        store,
        counting,
        sweep_bells: parts.sweep_bells,
        sink_bells: parts.sink_bells,
        shutdown: parts.shutdown,
    })
}

async fn serve(door: Door, site: Arc<Site>, stop: Shutdown) {
    let router = router::router(site.clone());
    tokio::select! {
        () = connections::serve(door, router, stop) => {}
        () = site.exposition.keep_up() => {}
    }
}
