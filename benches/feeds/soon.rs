//! How soon a renewal at the provider is a message that somebody has: the real binary between a sandbox and a receiver.

use std::collections::HashMap;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use renewald::sandbox::nexway_monetize::{Account, Endpoint, NewSubscriptions, Options, Receiver, Sandbox, Switches};
use renewald::store::{Access, Store};

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

/// Both at once: either waits most of the time.
pub fn report() {
    let [listed, notified] = thread::scope(|scope| {
        let listed = scope.spawn(|| delays("feed_every = \"1m\"", false));
        let notified = scope.spawn(|| delays("", true));
        [listed, notified].map(|one| one.join().expect("measured"))
    });
    listed.print("feed_every = \"1m\"");
    notified.print("notifications");
}

struct Delays {
    seconds: Vec<f64>,
    busiest: usize,
}

impl Delays {
    fn print(mut self, way: &str) {
        self.seconds.sort_by(f64::total_cmp);
        let of = |share: f64| self.seconds[(self.seconds.len() as f64 * share).ceil() as usize - 1];
        println!(
            "soon       {} renewals, at most 1 a second, {way}: p50 {:.2} s, p99 {:.2} s, all {:.2} s; at most {} requests in any second",
            self.seconds.len(),
            of(0.5),
            of(0.99),
            of(1.0),
            self.busiest
        );
    }
}

fn delays(keys: &str, notifies: bool) -> Delays {
    let switches = Switches { rate_limit: 0, ..Switches::default() };
    let sandbox = Sandbox::start(Options { account: Account { switches, ..Account::default() }, ..Options::default() });
    let sandbox = sandbox.expect("free ports");
    let of_old =
        NewSubscriptions { count: SUBSCRIPTIONS, apart: Duration::from_secs(3600), ..NewSubscriptions::default() };
    let ids = sandbox.create(of_old).expect("subscriptions");
    let (directory, messages) = (tempfile::tempdir().expect("a directory"), Messages::start());
    let hooks = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").to_string();
    let hints = format!(
        "[providers.bench.hints]\nlisten = \"{hooks}\"\nauth = \"basic\"\nuser = \"bench\"\npassword = \"bench\""
    );
    let settings = |rate: f64| {
        let hints = if notifies { hints.as_str() } else { "" };
        write_settings(
            directory.path(),
            &sandbox,
            &messages,
            &format!("{keys}\nrequests_per_second = {rate:?}\n{hints}"),
        )
    };
    track(directory.path(), &ids);
    // Everybody was looked at before, as fast as it goes.
    let mut once = Command::new(env!("CARGO_BIN_EXE_renewald"));
    once.args(["-qq", "--config"]).arg(settings(0.0)).arg("once").stdin(Stdio::null()).stdout(Stdio::null());
    assert!(once.status().expect("started").success());
    sandbox.switch(|switches| switches.rate_limit = Switches::default().rate_limit);
    sandbox.clear_requests();
    let first = sandbox.request_count();
    let _daemon = Child::daemon(&settings(REQUESTS_PER_SECOND));
    let is_page = |request: &renewald::sandbox::nexway_monetize::Request| {
        request.seq >= first && request.endpoint == Endpoint::Subscriptions
    };
    if notifies {
        while TcpStream::connect(&hooks).is_err() {
            thread::sleep(Duration::from_millis(10));
        }
        sandbox.set_receiver(Some(Receiver::new(format!("http://{hooks}/hooks/bench")).basic("bench", "bench")));
    } else {
        sandbox.wait_for(is_page, PATIENCE).expect("the list is read");
    }
    let seconds = renew_and_wait(&sandbox, &ids, &messages);
    Delays { seconds, busiest: sandbox.busiest_second() }
}

/// Each renews once.
fn renew_and_wait(sandbox: &Sandbox, ids: &[String], messages: &Messages) -> Vec<f64> {
    let (mut rng, mut renewed) = (fastrand::Rng::with_seed(1), HashMap::new());
    let mut ids = ids.to_vec();
    rng.shuffle(&mut ids);
    for id in ids.into_iter().take(RENEWALS) {
        thread::sleep(AT_LEAST.mul_f64(1.0 + rng.f64()));
        sandbox.renew(&id).expect("it runs");
        renewed.insert(id, Instant::now());
    }
    let arrived = (0..RENEWALS).map(|_| messages.arrived.recv_timeout(PATIENCE).expect("every renewal arrives"));
    arrived.map(|(id, at)| at.saturating_duration_since(renewed.remove(&id).expect("once")).as_secs_f64()).collect()
}

fn track(directory: &Path, ids: &[String]) {
    walk::runtime().block_on(async {
        let store = Store::open(&directory.join("renewald.db"), Access::Command).expect("a store");
        let all = ids.iter().map(|id| walk::tracked(id.clone())).collect();
        store.track(all, false, renewald::clock::Timestamp::now()).await.expect("tracked");
        store.close().await;
    });
}

fn write_settings(directory: &Path, sandbox: &Sandbox, messages: &Messages, keys: &str) -> std::path::PathBuf {
    let path = directory.join("renewald.toml");
    let Account { realm, client_secret, .. } = Account::default();
    let (api, iam, shop) = (sandbox.api_url(), sandbox.iam_url(), messages.address);
    let text = format!(
        r#"
        [store]
        path = "renewald.db"
        [admin]
        listen = ""
        [sinks.shop]
        kind = "webhook"
        url = "http://{shop}/"
        [providers.bench]
        kind = "nexway-monetize"
        api_url = "{api}"
        iam_url = "{iam}"
        realm = "{realm}"
        client_secret = "{client_secret}"
        {keys}
        "#
    );
    std::fs::write(&path, text).expect("settings");
    path
}
