//! The real binary as a daemon: how soon it asks, what it takes when there is nothing to do, how it keeps to its budget.

use std::time::{Duration, Instant};

use crate::measure::Child;
use crate::pass::{self, Database};

/// With an admin endpoint unless `listen` is empty.
pub fn start(fake: &Child, database: &Database, requests_per_second: f64, listen: &str) -> Child {
    Child::daemon(&pass::settings(database.directory(), &fake.address, requests_per_second, listen))
}

/// Seconds until the fake hears of a daemon, its token request included.
pub fn start_to_first_request(fake: &Child, database: &Database) -> f64 {
    let before = fake.arrivals().len();
    let started = Instant::now();
    let _daemon = start(fake, database, 5.0, "");
    while fake.arrivals().len() == before {
        assert!(started.elapsed() < Duration::from_secs(60), "no request within a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
    started.elapsed().as_secs_f64()
}

/// The share of one core that a daemon with nothing to do takes, its start left out.
pub fn idle_share(fake: &Child, database: &Database, time: Duration) -> f64 {
    let daemon = start(fake, database, 5.0, "");
    std::thread::sleep(Duration::from_secs(3));
    let before = daemon.cpu_seconds();
    std::thread::sleep(time);
    (daemon.cpu_seconds() - before) / time.as_secs_f64()
}

pub struct Kept {
    /// Requests in the fullest window of one second, anywhere.
    pub most: usize,
    pub mean: f64,
}

/// Runs a daemon with more work than its budget holds.
pub fn budget(fake: &Child, database: &Database, requests_per_second: f64, time: Duration) -> Kept {
    let running = start(fake, database, requests_per_second, "");
    std::thread::sleep(time);
    drop(running);
    let arrivals = fake.arrivals();
    let most = arrivals
        .iter()
        .enumerate()
        .map(|(first, at)| arrivals[first..].iter().take_while(|later| **later < at + 1_000_000).count())
        .max()
        .unwrap_or(0);
    let (first, last) = (arrivals[0], arrivals[arrivals.len() - 1]);
    Kept { most, mean: (arrivals.len() - 1) as f64 / ((last - first) as f64 / 1e6) }
}
