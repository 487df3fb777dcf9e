//! What a shop's calls and a full sweep cost each other: `cargo bench --bench shop`, four minutes.
//!
//! The real binary sweeps at nine requests a second, once by itself and once with a call a second over the socket beside the database.
//! A call is measured from before it connects to the arrival of its request at the provider.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use renewald::sandbox::nexway_connect::{Account, Endpoint, NewOrder, Options, Sandbox};
use renewald::store::{Access, Store};

#[allow(dead_code, reason = "others take medians, too")]
#[path = "../machine.rs"]
mod machine;
#[allow(dead_code, reason = "throughput measures more")]
#[path = "../throughput/measure.rs"]
mod measure;
#[path = "../tracked.rs"]
mod tracked;

/// More than can be asked meanwhile, all of them due.
const SUBSCRIPTIONS: i64 = 2000;
const REQUESTS_PER_SECOND: u32 = 9;
const MEASURED: Duration = Duration::from_secs(120);
const CALL_EVERY: Duration = Duration::from_secs(1);
const CALL: &str = "POST /v1/shop/bench/systems HTTP/1.1\r\nhost: renewald\r\nconnection: close\r\n\
                    content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

fn main() {
    println!("machine: {}", machine::machine());
    let alone = Bench::open().sweep(false);
    let beside = Bench::open().sweep(true);
    let of = |share: f64| beside.milliseconds[(beside.milliseconds.len() as f64 * share).ceil() as usize - 1];
    println!(
        "calls      {} beside a sweep at {REQUESTS_PER_SECOND}/s: request sent after p50 {:.0} ms, p99 {:.0} ms, all {:.0} ms",
        beside.milliseconds.len(),
        of(0.5),
        of(0.99),
        of(1.0)
    );
    println!(
        "sweep      {} polls in {} s alone, {} with {} calls beside them; at most {} requests in any second",
        alone.polls,
        MEASURED.as_secs(),
        beside.polls,
        beside.milliseconds.len(),
        alone.busiest.max(beside.busiest)
    );
}

struct Measured {
    polls: usize,
    /// From each call to its request.
    milliseconds: Vec<f64>,
    busiest: usize,
}

struct Bench {
    sandbox: Sandbox,
    directory: tempfile::TempDir,
}

impl Bench {
    fn open() -> Self {
        let sandbox = Sandbox::start(Options::default()).expect("a sandbox");
        let directory = tempfile::tempdir().expect("a directory");
        let order = |n: i64| {
            let order = NewOrder { subscription_ids: vec![n], ..NewOrder::new(format!("BENCH-{n}")) };
            sandbox.create_order(order).expect("an order");
            tracked::subscription(format!("BENCH-{n}"), n, None)
        };
        let all = (1..=SUBSCRIPTIONS).map(order).collect();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let store = Store::open(&directory.path().join("renewald.db"), Access::Command).expect("a store");
            store.track(all, false, renewald::clock::Timestamp::now()).await.expect("they are tracked");
            store.close().await;
        });
        Self { sandbox, directory }
    }

    fn settings(&self) -> PathBuf {
        let path = self.directory.path().join("renewald.toml");
        let (api, iam, account) = (self.sandbox.api_url(), self.sandbox.iam_url(), Account::default());
        let Account { realm, client_secret, territories, .. } = account;
        let text = format!(
            "[store]\npath = \"renewald.db\"\n[admin]\nlisten = \"\"\n[sinks.shop]\nkind = \"queue\"\n\
             [providers.bench]\nkind = \"nexway-connect\"\nrequests_per_second = {REQUESTS_PER_SECOND}\napi_url = \"{api}\"\n\
             iam_url = \"{iam}\"\nrealm = \"{realm}\"\nclient_secret = \"{client_secret}\"\nterritories.eu.secret = \"{}\"\n",
            territories["eu"]
        );
        std::fs::write(&path, text).expect("settings");
        path
    }

    fn sweep(self, with_calls: bool) -> Measured {
        let socket = self.directory.path().join("renewald.db.sock");
        let _daemon = measure::Child::daemon(&self.settings());
        self.sandbox.wait_for(|request| request.endpoint == Endpoint::Status, MEASURED).expect("it sweeps");
        let begun = Instant::now();
        let mut called = Vec::new();
        while begun.elapsed() < MEASURED {
            if with_calls {
                called.push(call(&socket));
            }
            let next = CALL_EVERY * (called.len() as u32).max(1);
            thread::sleep(next.saturating_sub(begun.elapsed()).max(Duration::from_millis(1)));
        }
        let requests = self.sandbox.requests();
        let during = |of: Endpoint| {
            let within = move |at: Instant| begun <= at && at < begun + MEASURED;
            requests.iter().filter(move |one| one.endpoint == of && within(one.at)).map(|one| one.at)
        };
        let sent = requests.iter().filter(|one| one.endpoint == Endpoint::Systems).map(|one| one.at);
        let waited = called.iter().zip(sent).map(|(called, sent)| (sent - *called).as_secs_f64() * 1000.0);
        let mut milliseconds: Vec<_> = waited.collect();
        milliseconds.sort_by(f64::total_cmp);
        assert_eq!(milliseconds.len(), called.len(), "each call was sent");
        Measured { polls: during(Endpoint::Status).count(), milliseconds, busiest: self.sandbox.busiest_second() }
    }
}

/// When it was made; returns once it is answered.
fn call(socket: &Path) -> Instant {
    let at = Instant::now();
    let mut connection = UnixStream::connect(socket).expect("it serves calls");
    connection.write_all(CALL.as_bytes()).expect("it takes one");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    at
}
