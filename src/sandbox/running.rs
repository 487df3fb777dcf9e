//! A sandbox that runs: how it starts, where it listens, and how it ends.

use std::any::Any;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Deref;
use std::sync::Arc;
use std::thread::JoinHandle;

use futures_util::future::try_join_all;
use tokio::sync::oneshot;

use super::call::{Fake, Service};
use super::clock::Clock;
use super::control::{self, Controlled};
use super::controls::{Controls, Shared};
use super::http;
use super::world::World;
use crate::clock::Timestamp;

const CONTROL: Service = Service { path: "", name: "control_url", title: "control" };

/// How a sandbox starts. The default listens on free ports of 127.0.0.1, its clock runs with the wall clock.
#[derive(Clone, Debug)]
pub struct Options<A> {
    pub bind: IpAddr,
    /// Of the first service; the others and the control endpoint have the next ones. 0 = any free ports.
    pub port: u16,
    pub start: Timestamp,
    /// Sandbox seconds per real second; 0 stands still until advanced.
    pub speed: f64,
    /// For faults with a probability, and for what the provider makes up.
    pub seed: u64,
    /// How many requests the log keeps.
    pub log_limit: usize,
    /// What only this kind needs.
    pub account: A,
}

impl<A: Default> Default for Options<A> {
    fn default() -> Self {
        Self {
            bind: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            start: Timestamp::now(),
            speed: 1.0,
            seed: 1,
            log_limit: 100_000,
            account: A::default(),
        }
    }
}

impl Options<()> {
    pub(super) fn with<A>(self, account: A) -> Options<A> {
        let Self { bind, port, start, speed, seed, log_limit, account: () } = self;
        Options { bind, port, start, speed, seed, log_limit, account }
    }
}

/// A running sandbox, on a thread and a runtime of its own, so that blocking tests, paused clocks and busy runtimes do
/// not disturb it. Everything it can do is on [`Controls`]. Dropping it stops it and closes its connections.
#[derive(Debug)]
pub struct Sandbox<F: Fake> {
    controls: Controls<F>,
    addresses: Vec<SocketAddr>, // the services in their order, then control
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl<F: Controlled> Sandbox<F> {
    /// Listens on all ports before it returns. Needs no runtime, and may be called inside one.
    pub fn start(options: Options<F::Account>) -> io::Result<Self> {
        let ports = 0..=F::SERVICES.len() as u16;
        let listeners: Vec<_> = ports.map(|nth| listen(options.bind, options.port, nth)).collect::<Result<_, _>>()?;
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        let clock = Clock::new(options.start, options.speed);
        let world = World::new(clock, options.account, options.seed, options.log_limit);
        let controls: Controls<F> = Controls { shared: Arc::new(Shared::new(world)) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let serving = controls.clone();
        let thread = std::thread::Builder::new()
            .name("sandbox".into())
            .spawn(move || runtime.block_on(serve(listeners, serving, stopped)))?;
        Ok(Self { controls, addresses, stop: Some(stop), thread: Some(thread) })
    }

    /// Where a service listens, by its place among them: `http://127.0.0.1:PORT/path`
    pub fn url(&self, nth: usize) -> String {
        let service = F::SERVICES.get(nth).unwrap_or(&CONTROL);
        format!("http://{}{}", self.addresses[nth], service.path)
    }

    /// `http://127.0.0.1:PORT`
    pub fn control_url(&self) -> String {
        self.url(F::SERVICES.len())
    }

    /// A handle for another thread or task.
    pub fn controls(&self) -> Controls<F> {
        self.controls.clone()
    }

    /// Stops it, as dropping it does.
    pub fn shutdown(self) {}
}

impl<F: Fake> Deref for Sandbox<F> {
    type Target = Controls<F>;

    fn deref(&self) -> &Controls<F> {
        &self.controls
    }
}

impl<F: Fake> Drop for Sandbox<F> {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the sandbox's thread has panicked");
        }
    }
}

/// The `nth` of the ports from `first` on.
fn listen(bind: IpAddr, first: u16, nth: u16) -> io::Result<TcpListener> {
    let port = if first == 0 { Some(0) } else { first.checked_add(nth) };
    let port = port.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the ports after it are needed too"))?;
    let listener = TcpListener::bind((bind, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Ends when told to stop; whatever connections are left end with the runtime.
async fn serve<F: Controlled>(listeners: Vec<TcpListener>, controls: Controls<F>, stopped: oneshot::Receiver<()>) {
    let each = listeners.into_iter().enumerate().map(async |(nth, listener)| {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        match F::SERVICES.get(nth) {
            Some(_) => http::serve(listener, nth, controls.shared.clone()).await,
            None => control::serve(listener, controls.clone()).await,
        }
    });
    let beside = async {
        F::beside(controls.clone()).await;
        std::future::pending().await // its end is nobody else's
    };
    tokio::select! {
        _ = stopped => {}
        () = beside => {}
        result = try_join_all(each) => {
            if let Err(error) = result {
                tracing::error!(%error, "the sandbox has stopped serving");
            }
        }
    }
}

/// A sandbox of any kind that runs until this is dropped, and what people need to use it.
#[derive(Debug)]
pub struct Offer {
    /// Its services in their order, then the control endpoint, each with its address.
    pub addresses: Vec<(Service, String)>,
    /// The account, ready to use in a settings file.
    pub settings: String,
    /// What to do first, and the control calls for it: path and body.
    pub first: (&'static str, &'static [(&'static str, &'static str)]),
    #[expect(dead_code, reason = "it is there to be dropped")]
    running: Box<dyn Any + Send>,
}

impl Offer {
    pub(super) fn new<F: Controlled>(
        sandbox: Sandbox<F>,
        settings: String,
        first: (&'static str, &'static [(&'static str, &'static str)]),
    ) -> Self {
        let services = F::SERVICES.iter().chain([&CONTROL]);
        let addresses = services.enumerate().map(|(nth, service)| (*service, sandbox.url(nth))).collect();
        Self { addresses, settings, first, running: Box::new(sandbox) }
    }

    pub fn control_url(&self) -> &str {
        self.addresses.last().map_or("", |(_, url)| url)
    }
}
