//! How soon a renewal at the provider is a message that somebody has: the real binary between a sandbox and a receiver.

use std::collections::HashMap;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use renewald::sandbox::{digital_river, nexway_monetize, smartpay};
use renewald::store::{Access, Store};

use crate::lister::Lister;
use crate::measure::Child;
use crate::receiver::Messages;
use crate::walk;

const SUBSCRIPTIONS: u32 = 1000;
const RENEWALS: usize = 200;
/// Between two renewals, with 1.5 times this on average: five minutes.
const AT_LEAST: Duration = Duration::from_secs(1);
/// Of that, by the limit of the provider.
const REQUESTS_PER_SECOND: f64 = 9.0;
const PATIENCE: Duration = Duration::from_secs(180);
const LISTS: &str = "feed_every = \"1m\"";

/// All at once: each waits most of the time.
pub fn report() {
    let measured = thread::scope(|scope| {
        [
            scope.spawn(listed::<nexway_monetize::Sandbox>),
            scope.spawn(notified),
            scope.spawn(listed::<smartpay::Sandbox>),
            scope.spawn(listed::<digital_river::Sandbox>),
        ]
        .map(|one| one.join().expect("measured"))
    });
    measured.into_iter().for_each(Delays::print);
}

struct Delays {
    kind: &'static str,
    way: &'static str,
    seconds: Vec<f64>,
    busiest: usize,
    /// And how many of them for pages of the list.
    requests: [usize; 2],
    cpu_seconds: f64,
}

impl Delays {
    fn print(mut self) {
        self.seconds.sort_by(f64::total_cmp);
        let of = |share: f64| self.seconds[(self.seconds.len() as f64 * share).ceil() as usize - 1];
        let (p50, p99, all) = (of(0.5), of(0.99), of(1.0));
        let Self { kind, way, seconds, busiest, requests: [requests, pages], cpu_seconds } = self;
        println!(
            "soon       {kind}, {} renewals, at most 1 a second, {way}: p50 {p50:.2} s, p99 {p99:.2} s, all {all:.2} s; \
             {requests} requests, {pages} of them pages, at most {busiest} in any second; {cpu_seconds:.2} s of processor time",
            seconds.len(),
        );
    }
}

fn listed<S: Lister>() -> Delays {
    let bench = Bench::<S>::open();
    let daemon = bench.start(LISTS, "");
    bench.sandbox.wait_until_listed(PATIENCE);
    bench.measure(LISTS, &daemon)
}

fn notified() -> Delays {
    let hooks = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").to_string();
    let hints = format!(
        "[providers.bench.hints]\nlisten = \"{hooks}\"\nauth = \"basic\"\nuser = \"bench\"\npassword = \"bench\""
    );
    let bench = Bench::<nexway_monetize::Sandbox>::open();
    let daemon = bench.start("", &hints);
    while TcpStream::connect(&hooks).is_err() {
        thread::sleep(Duration::from_millis(10));
    }
    let receiver = nexway_monetize::Receiver::new(format!("http://{hooks}/hooks/bench"));
    bench.sandbox.set_receiver(Some(receiver.basic("bench", "bench")));
    bench.measure("notifications", &daemon)
}

/// A provider, a database that tracks all of its subscriptions, and somebody who gets the messages.
struct Bench<S> {
    sandbox: S,
    ids: Vec<String>,
    directory: tempfile::TempDir,
    messages: Messages,
}

impl<S: Lister> Bench<S> {
    fn open() -> Self {
        let sandbox = S::start();
        let ids = sandbox.subscribe(SUBSCRIPTIONS);
        let (directory, messages) = (tempfile::tempdir().expect("a directory"), Messages::start());
        track::<S>(directory.path(), &ids);
        Self { sandbox, ids, directory, messages }
    }

    /// The daemon, after everybody was looked at as fast as it goes.
    fn start(&self, keys: &str, table: &str) -> Child {
        let mut once = Command::new(env!("CARGO_BIN_EXE_renewald"));
        once.args(["-qq", "--config"]).arg(self.settings(0.0, keys, "")).arg("once");
        assert!(once.stdin(Stdio::null()).stdout(Stdio::null()).status().expect("started").success());
        self.sandbox.limit();
        Child::daemon(&self.settings(REQUESTS_PER_SECOND, keys, table))
    }

    fn settings(&self, rate: f64, keys: &str, table: &str) -> PathBuf {
        let path = self.directory.path().join("renewald.toml");
        let (account, shop) = (self.sandbox.account(), self.messages.address);
        let text = format!(
            "[store]\npath = \"renewald.db\"\n[admin]\nlisten = \"\"\n\
             [sinks.shop]\nkind = \"webhook\"\nurl = \"http://{shop}/\"\n\
             [providers.bench]\nrequests_per_second = {rate:?}\n{account}{keys}\n{table}\n"
        );
        std::fs::write(&path, text).expect("settings");
        path
    }

    fn measure(&self, way: &'static str, daemon: &Child) -> Delays {
        let seconds = self.renew_and_wait();
        Delays {
            kind: S::KIND.as_str(),
            way,
            seconds,
            busiest: self.sandbox.busiest(),
            requests: self.sandbox.asked(),
            cpu_seconds: daemon.cpu_seconds(),
        }
    }

    /// Each renews once.
    fn renew_and_wait(&self) -> Vec<f64> {
        let (mut rng, mut renewed) = (fastrand::Rng::with_seed(1), HashMap::new());
        let mut ids = self.ids.clone();
        rng.shuffle(&mut ids);
        for id in ids.into_iter().take(RENEWALS) {
            thread::sleep(AT_LEAST.mul_f64(1.0 + rng.f64()));
            self.sandbox.renews(&id);
            renewed.insert(id, Instant::now());
        }
        let arrived =
            (0..RENEWALS).map(|_| self.messages.arrived.recv_timeout(PATIENCE).expect("every renewal arrives"));
        arrived.map(|(id, at)| at.saturating_duration_since(renewed.remove(&id).expect("once")).as_secs_f64()).collect()
    }
}

fn track<S: Lister>(directory: &Path, ids: &[String]) {
    walk::runtime().block_on(async {
        let store = Store::open(&directory.join("renewald.db"), Access::Command).expect("a store");
        let all = ids.iter().map(|id| walk::tracked(S::KIND, id.clone())).collect();
        store.track(all, false, renewald::clock::Timestamp::now()).await.expect("tracked");
        store.close().await;
    });
}
