//! The real sweep over a real database.

use std::path::Path;
use std::sync::Arc;

use renewald::clock::Timestamp;
use renewald::daemon::Worker;
use renewald::settings::Settings;
use renewald::signals::Shutdown;
use renewald::store::{Access, Store};
use renewald::sweep::Scope;

use crate::{CONNECTIONS, measure, tracked};

/// A database with tracked subscriptions, made once for each size and copied for each measurement.
pub struct Database(tempfile::TempDir);

impl Database {
    /// All of them due at once, never asked.
    pub fn newly_imported(rows: usize) -> Self {
        Self::made(rows, "new")
    }

    /// All of them due at once, as after years of polling.
    pub fn with(rows: usize) -> Self {
        Self::made(rows, "due")
    }

    pub fn with_nothing_due(rows: usize) -> Self {
        Self::made(rows, "asked")
    }

    fn made(rows: usize, state: &str) -> Self {
        let cache = std::env::temp_dir().join(format!("renewald-bench-{}-{rows}-{state}.db", std::process::id()));
        if !cache.exists() {
            measure::call("prepare", &[&cache.display().to_string(), &rows.to_string(), state]);
        }
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::copy(&cache, directory.path().join("renewald.db")).expect("a copy");
        Self(directory)
    }

    pub fn path(&self) -> String {
        self.0.path().join("renewald.db").display().to_string()
    }

    pub fn directory(&self) -> &Path {
        self.0.path()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime")
}

/// Tracks `rows` subscriptions in a new database.
pub fn prepare(arguments: &[String]) {
    let (path, rows, state): (_, i64, _) =
        (Path::new(&arguments[0]), arguments[1].parse().expect("rows"), &arguments[2]);
    let tracked_at = Timestamp::now();
    runtime().block_on(async {
        let store = Store::open(path, Access::Command).expect("a store");
        for first in (1..=rows).step_by(1000) {
            let ids = (first..first + 1000).take_while(|id| *id <= rows);
            let new = ids.map(|id| tracked::subscription(format!("BENCH-{id}"), id, None)).collect();
            store.track(new, false, tracked_at).await.expect("tracked");
        }
        store.close().await;
    });
    if state != "new" {
        let database = rusqlite::Connection::open(path).expect("the database");
        // As an earlier poll of the fake has left them; expiry as in its answers.
        let asked = "UPDATE subscriptions SET last_asked_at = due_at - 14400, last_answer_at = due_at - 14400,
                     last_outcome = 'ok', technical_status = 'ACTIVE', life = 'running',
                     expires_at = 1926513621, expiry_reported = 1";
        database.execute(asked, []).expect("asked");
        if state == "asked" {
            database.execute("UPDATE subscriptions SET due_at = due_at + 14400", []).expect("asked");
        }
    }
}

/// A settings file beside the database.
pub fn settings(directory: &Path, address: &str, requests_per_second: f64, listen: &str) -> std::path::PathBuf {
    let path = directory.join("renewald.toml");
    let text = format!(
        r#"
        [store]
        path = "renewald.db"
        [providers.bench]
        kind = "nexway-connect"
        api_url = "http://{address}/connect"
        iam_url = "http://{address}/iam"
        realm = "bench"
        client_secret = "bench"
        requests_per_second = {requests_per_second}
        concurrency = {CONNECTIONS}
        territories.eu.secret = "bench"
        [admin]
        listen = "{listen}"
        "#
    );
    std::fs::write(&path, text).expect("settings");
    path
}

/// One pass, until everybody due was asked or the given number was.
pub fn run(arguments: &[String]) {
    let (address, database, rate, most) = (&arguments[0], Path::new(&arguments[1]), &arguments[2], &arguments[3]);
    let most: u64 = most.parse().unwrap_or(u64::MAX);
    let directory = database.parent().expect("a directory");
    let path = settings(directory, address, rate.parse().expect("a rate"), "");
    let settings = Arc::new(Settings::load(Some(&path)).expect("settings").settings);
    let store = Store::open(database, Access::Command).expect("a store");
    let mut worker = Worker::new(settings, store).expect("a worker");
    let shutdown = Shutdown::manual();
    let enough = shutdown.clone();
    measure::report(|| {
        runtime().block_on(async {
            let sweeper = &mut worker.sweepers[0];
            let stop = move |polls| {
                if polls >= most {
                    enough.request();
                }
            };
            let report = sweeper.pass(&Timestamp::now, Scope::Due, None, &shutdown, &stop).await.expect("a pass");
            assert_eq!(report.failures, 0);
            assert!(most != u64::MAX || report.queued == report.polls / 20, "all renewals are queued");
            report.calls
        })
    });
}
