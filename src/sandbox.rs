//! A fake Nexway Connect: state, a clock of its own, faults on demand, and a log of what it was asked.
//!
//! `renewald demo`, the integration tests and the benches start one; `renewald sandbox` offers it to people. It follows
//! `reference/nexway-connect.md` and answers each of its open questions by a switch. It knows nothing of the daemon.
//!
//! ```no_run
//! use std::time::Duration;
//! use renewald::sandbox::{Endpoint, Fault, FaultKind, NewOrder, Options, Sandbox, Script};
//!
//! let sandbox = Sandbox::start(Options { speed: 0.0, ..Options::default() })?;
//! let order = sandbox.create_order(NewOrder::new("PARTNER689"))?;
//! let id = order.subscription_ids()[0];
//!
//! sandbox.script("PARTNER689-1", Script::codes([1010, 1060])); // then success
//! sandbox.fault(Fault::new(FaultKind::CutBefore).at(Endpoint::Status).times(1));
//! sandbox.renew("PARTNER689", Some(id))?;
//! // … start the daemon with sandbox.api_url() and sandbox.iam_url() …
//! let asked = sandbox.wait_for(|request| request.endpoint == Endpoint::Order, Duration::from_secs(10));
//! assert!(asked.is_some());
//! assert_eq!(sandbox.renewals()[0].partner_order_number, "PARTNER689-1");
//! let keys = sandbox.expected_keys("PARTNER689-1", id);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod clock;
mod control;
mod controls;
mod faults;
mod http;
mod log;
mod mangle;
mod order_data;
mod orders;
mod random;
mod rate;
mod script;
mod status;
mod switches;
mod tokens;
mod world;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Deref;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

pub use clock::Period;
pub use controls::{Controls, SubscriptionState};
pub use faults::{ErrorBody, Fault, FaultKind};
pub use log::Request;
pub use order_data::{DownloadManagerAnswer, FileAnswer, ItemAnswer, LineAnswer, OrderAnswer, SerialAnswer, Variant};
pub use orders::{NewOrder, Renewal};
pub use script::{Level, Script, Step};
pub use switches::{
    AcceptedNumber, ClashingNumber, DateForm, GenerationForm, OriginalNumber, OtherTerritory, RenewMethod, ResultNames,
    ReturnedNumber, Switches, UnknownSubscription,
};
pub use world::Endpoint;

use crate::clock::Timestamp;
use controls::Shared;
use http::Service;
use world::World;

/// How a sandbox starts. The default listens on free ports of 127.0.0.1, its clock runs with the wall clock.
#[derive(Clone, Debug)]
pub struct Options {
    pub bind: IpAddr,
    /// 0 = any free port, for all three.
    pub api_port: u16,
    pub iam_port: u16,
    pub control_port: u16,
    pub start: Timestamp,
    /// Sandbox seconds per real second; 0 stands still until advanced.
    pub speed: f64,
    pub realm: String,
    pub client_secret: String,
    /// Each territory's secret.
    pub territories: BTreeMap<String, String>,
    pub switches: Switches,
    /// For faults with a probability, and for tokens.
    pub seed: u64,
    /// How many requests the log keeps.
    pub log_limit: usize,
}

impl Default for Options {
    fn default() -> Self {
        let territory = |name: &str| (name.to_owned(), format!("sandbox-secret-{name}"));
        Self {
            bind: Ipv4Addr::LOCALHOST.into(),
            api_port: 0,
            iam_port: 0,
            control_port: 0,
            start: Timestamp::now(),
            speed: 1.0,
            realm: "sandbox".into(),
            client_secret: "sandbox-client-secret".into(),
            territories: BTreeMap::from([territory("eu"), territory("us")]),
            switches: Switches::default(),
            seed: 1,
            log_limit: 100_000,
        }
    }
}

/// Why the sandbox could not do as told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the partner order number is missing")]
    NumberMissing,
    #[error("order {0:?} exists already")]
    OrderExists(String),
    #[error("there is no original order {0:?}")]
    UnknownOrder(String),
    #[error("order {number:?} has no subscription {id}")]
    UnknownSubscription { number: String, id: i64 },
    #[error("there is no territory {0:?}")]
    UnknownTerritory(String),
    #[error("no more than {most} at once")]
    TooMany { most: u32 },
}

/// A running sandbox, on a thread and a runtime of its own, so that blocking tests, paused clocks and busy runtimes do
/// not disturb it. Everything it can do is on [`Controls`]. Dropping it stops it and closes its connections.
#[derive(Debug)]
pub struct Sandbox {
    controls: Controls,
    addresses: [SocketAddr; 3], // API, token service, control
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Listens on all three ports before it returns. Needs no runtime, and may be called inside one.
    pub fn start(options: Options) -> io::Result<Self> {
        let ports = [options.api_port, options.iam_port, options.control_port];
        let [api, iam, control] = ports.map(|port| listen(options.bind, port));
        let listeners = [api?, iam?, control?];
        let addresses = [listeners[0].local_addr()?, listeners[1].local_addr()?, listeners[2].local_addr()?];
        let shared = Arc::new(shared(&options));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let serving = shared.clone();
        let thread = std::thread::Builder::new()
            .name("sandbox".into())
            .spawn(move || runtime.block_on(serve(listeners, serving, stopped)))?;
        Ok(Self { controls: Controls { shared }, addresses, stop: Some(stop), thread: Some(thread) })
    }

    /// `http://127.0.0.1:PORT/connect`
    pub fn api_url(&self) -> String {
        format!("http://{}/connect", self.addresses[0])
    }

    /// `http://127.0.0.1:PORT/iam`
    pub fn iam_url(&self) -> String {
        format!("http://{}/iam", self.addresses[1])
    }

    /// `http://127.0.0.1:PORT`
    pub fn control_url(&self) -> String {
        format!("http://{}", self.addresses[2])
    }

    /// A handle for another thread or task.
    pub fn controls(&self) -> Controls {
        self.controls.clone()
    }

    /// Stops it, as dropping it does.
    pub fn shutdown(self) {}
}

impl Deref for Sandbox {
    type Target = Controls;

    fn deref(&self) -> &Controls {
        &self.controls
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the sandbox's thread has panicked");
        }
    }
}

fn listen(bind: IpAddr, port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((bind, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn shared(options: &Options) -> Shared {
    let clock = clock::Clock::new(options.start, options.speed);
    let credentials =
        tokens::Credentials { realm: options.realm.clone(), client_secret: options.client_secret.clone() };
    let world = World::new(clock, options.switches.clone(), credentials, options.seed, options.log_limit);
    Shared::new(world, &options.territories)
}

/// Ends when told to stop; whatever connections are left end with the runtime.
async fn serve(listeners: [TcpListener; 3], shared: Arc<Shared>, stopped: oneshot::Receiver<()>) {
    let ended = async {
        let [api, iam, control] = listeners.map(tokio::net::TcpListener::from_std);
        tokio::try_join!(
            http::serve(api?, Service::Api, shared.clone()),
            http::serve(iam?, Service::Iam, shared.clone()),
            control::serve(control?, Controls { shared }),
        )
    };
    tokio::select! {
        _ = stopped => {}
        result = ended => {
            if let Err(error) = result {
                tracing::error!(%error, "the sandbox has stopped serving");
            }
        }
    }
}

#[cfg(test)]
mod tests;
