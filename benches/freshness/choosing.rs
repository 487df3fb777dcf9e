//! What choosing the next 1,000 polls costs, by how many subscriptions are tracked.

use std::time::Instant;

use renewald::choice::Lane;
use renewald::clock::Timestamp;
use renewald::renewal::Subscription;
use renewald::store::{Access, DuePage, Store};

use crate::{simulation, tracked};

/// A page of the sweep; two of them are the next 1,000.
const PAGE: usize = 500;
/// Pages of a lane, of the hundred that the shorter one has at 1,000,000 rows.
const ROUNDS: usize = 91;

pub fn report() {
    let mut before = None;
    for rows in [1_000_000, 5_000_000] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("renewald.db");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let milliseconds = runtime.block_on(async {
            prepare(&path, rows).await;
            let store = Store::open(&path, Access::Command).expect("a store");
            let median = choose(&store).await;
            store.close().await;
            median
        });
        let against = before.map_or(String::new(), |before: f64| format!(", {:.2} x", milliseconds / before));
        println!("choosing the next 1,000 at {rows}: {milliseconds:.2} ms{against}");
        before.get_or_insert(milliseconds);
    }
}

/// As after a long time of polling under a full budget: neighbours were asked together, 64 at a time (`renewal::poll`), and a
/// twentieth is urgent.
async fn prepare(path: &std::path::Path, rows: i64) {
    let store = Store::open(path, Access::Command).expect("a store");
    let expires_at = Timestamp::from_unix(1_926_513_621);
    for first in (1..=rows).step_by(10_000) {
        let ids = (first..first + 10_000).take_while(|id| *id <= rows);
        let new = ids.map(|id| tracked::subscription(format!("BENCH-{id}"), id, Some(expires_at))).collect();
        store.track(new, false, Timestamp::now()).await.expect("tracked");
    }
    store.close().await;
    let db = rusqlite::Connection::open(path).expect("the database");
    db.execute_batch("PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY").expect("quick");
    db.execute_batch(
        "UPDATE subscriptions SET due_at = due_at - 1 - ((id >> 6) * 2654435761) % 1000003,
             lane = CASE WHEN (id >> 6) % 20 = 0 THEN 2 ELSE 3 END;
         UPDATE subscriptions SET last_asked_at = due_at - 14400, last_answer_at = due_at - 14400, last_outcome = 'ok',
             technical_status = 'ACTIVE', expiry_reported = 1",
    )
    .expect("as polled");
}

/// The median over pages from all over the table, in milliseconds: whose window has opened, then a page of each lane.
async fn choose(store: &Store) -> f64 {
    let now = Timestamp::now();
    let rules = simulation::rules((3, 14));
    let mut positions = [(i64::MIN, i64::MIN); 2];
    let mut times: Vec<f64> = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        store.promote_urgent("bench", &rules, now).await.expect("looked");
        for (lane, after) in [Lane::Urgent, Lane::Other].into_iter().zip(&mut positions) {
            let page = DuePage {
                provider: "bench".into(),
                territory: "eu".into(),
                lane,
                until: now,
                after: *after,
                limit: PAGE,
            };
            let rows = store.due_subscriptions(page).await.expect("a page");
            assert_eq!(rows.len(), PAGE);
            *after = rows.last().map_or(*after, position);
        }
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

fn position(row: &Subscription) -> (i64, i64) {
    (row.due_at.map_or(i64::MAX, Timestamp::as_unix), row.row)
}
