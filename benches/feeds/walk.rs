//! A pass that reads the whole list, over a real database of subscriptions that were looked at before.

use std::path::Path;
use std::sync::Arc;

use renewald::clock::Timestamp;
use renewald::daemon::Worker;
use renewald::provider::Kind;
use renewald::settings::Settings;
use renewald::store::{Access, NewSubscription, Store};

use crate::{Child, listed, measure};

/// A database with tracked subscriptions, made once for each size and copied for each measurement.
pub struct Database(tempfile::TempDir);

impl Database {
    /// All of them as a look at each has left them, and due in some hours.
    pub fn with(fake: &Child, rows: usize) -> Self {
        let cache = std::env::temp_dir().join(format!("renewald-bench-feeds-{}-{rows}.db", std::process::id()));
        if !cache.exists() {
            measure::call("prepare", &[&fake.address, &cache.display().to_string(), &rows.to_string()]);
        }
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::copy(&cache, directory.path().join("renewald.db")).expect("a copy");
        Self(directory)
    }

    pub fn path(&self) -> String {
        self.0.path().join("renewald.db").display().to_string()
    }

    /// How many were answered for by the walk over everything, and its pages.
    pub fn answered(&self) -> (i64, i64) {
        let database = rusqlite::Connection::open(self.path()).expect("the database");
        let value = |query: &str| database.query_row(query, [], |row| row.get(0)).expect("a number");
        let answered = "SELECT count(*) FROM subscriptions
                        WHERE last_answer_at >= (SELECT begun_at FROM feeds WHERE walk = 'everything')";
        (value(answered), value("SELECT pages FROM feeds WHERE walk = 'everything'"))
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime")
}

fn settings(database: &Path, address: &str, rows: &str) -> Arc<Settings> {
    let path = database.with_extension("toml");
    let text = format!(
        r#"
        [store]
        path = "{}"
        [providers.bench]
        kind = "nexway-monetize"
        api_url = "http://{address}/{rows}"
        iam_url = "http://{address}/iam"
        realm = "bench"
        client_secret = "bench"
        requests_per_second = 0
        [admin]
        listen = ""
        "#,
        database.display()
    );
    std::fs::write(&path, text).expect("settings");
    Arc::new(Settings::load(Some(&path)).expect("settings").settings)
}

/// Of the account `bench`, with its first purchase delivered.
pub fn tracked(kind: Kind, id: String) -> NewSubscription {
    NewSubscription {
        provider: "bench".to_owned(),
        convention: kind.convention(),
        territory: "default".to_owned(),
        partner_order_number: id.clone(),
        subscription_id: id,
        generation: Some(0),
        known: Vec::new(),
        known_before: None,
        expires_at: None,
        metadata: None,
        tracked_by: "import",
    }
}

/// Tracks `rows` subscriptions in a new database. One of them is looked at, and all the others are made as it is then.
pub fn prepare(arguments: &[String]) {
    let (address, path, rows) = (&arguments[0], Path::new(&arguments[1]), &arguments[2]);
    let settings = settings(path, address, rows);
    let rows: usize = rows.parse().expect("rows");
    runtime().block_on(async {
        track(path, 0..1).await;
        let store = Store::open(path, Access::Command).expect("a store");
        let mut worker = Worker::new(settings, store).expect("a worker");
        worker.sweep(&Timestamp::now).await.expect("a look");
        worker.close().await;
        track(path, 1..rows).await;
    });
    let database = rusqlite::Connection::open(path).expect("the database");
    let alike = "UPDATE subscriptions SET last_asked_at = one.last_asked_at - 3600, last_answer_at = one.last_answer_at - 3600,
                     due_at = one.due_at - 3600, last_outcome = one.last_outcome, technical_status = one.technical_status,
                     life = one.life, memo = one.memo, expires_at = one.expires_at, expiry_reported = one.expiry_reported,
                     lane = one.lane, renewal_due_term = one.renewal_due_term
                 FROM (SELECT * FROM subscriptions ORDER BY id LIMIT 1) one";
    database.execute(alike, []).expect("alike");
    database.execute("DELETE FROM feeds", []).expect("nothing was read of the list");
}

async fn track(path: &Path, numbers: std::ops::Range<usize>) {
    let store = Store::open(path, Access::Command).expect("a store");
    for first in numbers.clone().step_by(1000) {
        let some = (first..numbers.end.min(first + 1000))
            .map(|number| tracked(Kind::NexwayMonetize, listed::id(number)))
            .collect();
        store.track(some, false, Timestamp::now()).await.expect("tracked");
    }
    store.close().await;
}

/// One pass. The figure is the number of pages.
pub fn run(arguments: &[String]) {
    let (address, database, rows) = (&arguments[0], Path::new(&arguments[1]), &arguments[2]);
    let settings = settings(database, address, rows);
    let store = Store::open(database, Access::Command).expect("a store");
    let mut worker = Worker::new(settings, store).expect("a worker");
    measure::report(|| {
        runtime().block_on(async {
            let report = worker.sweep(&Timestamp::now).await.expect("a pass");
            assert_eq!(report.failures, 0);
            worker.close().await;
        });
        listed::pages(rows.parse().expect("rows")) as u64
    });
}
