//! How many requests a second holds where two accounts have one limit: a busy one that is listed, looked at and has orders, and one
//! of a kind without lists beside it, both with tokens that are soon over.

use std::io::BufReader;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use renewald::clock::Timestamp;
use renewald::provider::Kind;
use renewald::store::{Access, NewSubscription, Store};

use crate::measure::{self, Child};
use crate::{listed, tracked, walk};

const ROWS: usize = 10_000;
const SECONDS: u64 = 300;

pub fn report() {
    let (fake, directory) = (Child::fake(Duration::ZERO), tempfile::tempdir().expect("a directory"));
    track(&directory.path().join("renewald.db"));
    let daemon = Child::daemon(&settings(directory.path(), &fake.address));
    std::thread::sleep(Duration::from_secs(SECONDS));
    drop(daemon);
    let arrivals = fake.arrivals();
    let within = |first: usize| arrivals[first..].partition_point(|at| *at < arrivals[first] + 1_000_000);
    let most = (0..arrivals.len()).map(within).max().unwrap_or(0);
    let (first, last) = (arrivals[0], arrivals[arrivals.len() - 1]);
    let mean = (arrivals.len() - 1) as f64 / ((last - first) as f64 / 1e6);
    let kinds = measure::get(&mut BufReader::new(TcpStream::connect(&fake.address).expect("the fake")), listed::KINDS);
    println!(
        "budget     two accounts with one limit, requests_per_second = 9 over {SECONDS} s: at most {most} in any second, {mean:.2} on average ({kinds})"
    );
}

/// As many of either, never asked: more work than the budget holds.
fn track(database: &Path) {
    let beside = |id: usize| NewSubscription {
        provider: "beside".to_owned(),
        ..tracked::subscription(format!("BENCH-{id}"), id as i64, None)
    };
    walk::runtime().block_on(async {
        let store = Store::open(database, Access::Command).expect("a store");
        for first in (1..=ROWS).step_by(1000) {
            let some = first..first + 1000;
            let listed = some.clone().map(|number| walk::tracked(Kind::NexwayMonetize, listed::id(number - 1)));
            let all = listed.chain(some.map(beside)).collect();
            store.track(all, false, Timestamp::now()).await.expect("tracked");
        }
        store.close().await;
    });
}

fn settings(directory: &Path, address: &str) -> PathBuf {
    let path = directory.join("renewald.toml");
    let common = format!(
        "iam_url = \"http://{address}/short/iam\"\nrealm = \"bench\"\nclient_secret = \"bench\"\nrequests_per_second = 9\n"
    );
    let text = format!(
        r#"
        [store]
        path = "renewald.db"
        [admin]
        listen = ""
        [providers.bench]
        kind = "nexway-monetize"
        api_url = "http://{address}/{}"
        feed_every = "1m"
        {common}
        [providers.beside]
        kind = "nexway-connect"
        api_url = "http://{address}/connect"
        territories.eu.secret = "bench"
        {common}
        "#,
        listed::RENEWING
    );
    std::fs::write(&path, text).expect("settings");
    path
}
