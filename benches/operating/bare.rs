//! The ceiling for `import`: the same rows in the same table with the same durability, by one prepared statement in a loop. No
//! file is read and nothing is checked.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

/// As `import` has it.
const CHUNK: u64 = 1_000;

pub fn insert(rows: u64) -> Duration {
    let directory = tempfile::tempdir().expect("a directory");
    let mut db = Connection::open(directory.path().join("bare.db")).expect("a database");
    db.execute_batch(
        "PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA secure_delete = ON;
         PRAGMA cache_size = -4096;
         PRAGMA wal_autocheckpoint = 4000;",
    )
    .expect("pragmas");
    db.execute_batch(include_str!("../../schema.sql")).expect("the schema");
    let start = Instant::now();
    for first in (1..=rows).step_by(CHUNK as usize) {
        let transaction = db.transaction().expect("begun");
        {
            let mut insert = transaction
                .prepare_cached(
                    "INSERT INTO subscriptions (provider, partner_order_number, subscription_id, is_numbered, territory, generation,
                                                expires_at, metadata, tracked_at, tracked_by, lane, due_at)
                     VALUES ('bench', ?1, ?2, 1, 'eu', 0, 1926513621, ?3, 1795291200, 'import', 3, 1795291200)",
                )
                .expect("prepared");
            for id in (first..first + CHUNK).take_while(|id| *id <= rows) {
                let (number, metadata) = (format!("BENCH-{id}"), format!(r#"{{"customer":"{id}"}}"#));
                insert.execute(params![number, id as i64, metadata]).expect("inserted");
            }
        }
        transaction.commit().expect("on the disk");
    }
    start.elapsed()
}
