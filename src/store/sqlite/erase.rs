//! Makes sure that nothing of what was removed is left in the database file or its log.
//!
//! `secure_delete` overwrites what is deleted where it lies. It does not overwrite the copies that SQLite left behind when it moved
//! rows from one page to another before: only a rewritten file holds nothing but what is stored.

use std::time::Duration;

use rusqlite::Connection;
use tokio::time::{Instant, sleep};

use super::{Database, file};
use crate::store::{Error, Result};

/// Up to this size the copy is made in memory, above it in a file beside the database that has no name.
const IN_MEMORY_BYTES: i64 = 64 << 20;
/// How long another process may keep the log from being emptied.
const LOG_WAIT: Duration = Duration::from_secs(10);
/// Writers wait while the log's readers are waited for: no longer than this, then they get a turn.
const AT_ONCE: Duration = Duration::from_millis(200);
/// Free pages given back in one transaction: a mebibyte.
const FREED_PAGES: usize = 256;

/// How thoroughly it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Erased {
    /// From the file and its log.
    Completely,
    /// The file could not be rewritten, and why: copies may be left in it.
    NotFromTheFile(String),
    /// The log could not be emptied, because another process kept on reading it.
    NotFromTheLog,
}

impl Database {
    /// Rewrites the file and empties its log, so that neither holds a byte of what was removed before. Nobody else can write
    /// meanwhile.
    pub async fn erase(&self) -> Result<Erased> {
        let path = self.path.clone();
        match self.writer.outside(move |db| rewrite(db, &path, IN_MEMORY_BYTES)).await {
            Ok(()) => {}
            Err(error @ Error::Sqlite(_)) if error.is_transient() => {
                return Ok(Erased::NotFromTheFile(crate::chain(&error)));
            }
            Err(error) => return Err(error),
        }
        Ok(if self.empty_log().await? { Erased::Completely } else { Erased::NotFromTheLog })
    }

    /// Empties the log, which still has what was in the file before; false where somebody kept on reading it.
    async fn empty_log(&self) -> Result<bool> {
        let deadline = Instant::now() + LOG_WAIT;
        while !self.writer.outside(empty_log).await? {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            sleep(AT_ONCE).await;
        }
        Ok(true)
    }

    /// Shrinks the file by its free pages, a few in each transaction, and empties the log, if nobody keeps on reading it.
    pub async fn shrink(&self) -> Result<()> {
        let mut left = i64::MAX;
        loop {
            let free = self.write(give_back).await?;
            // A file that was made without the room for it stays as it is.
            if free == 0 || free >= left {
                break;
            }
            left = free;
        }
        self.empty_log().await.map(drop)
    }
}

/// Returns how many pages are still free.
fn give_back(db: &Connection) -> Result<i64> {
    // Frees one page a step, however many it was told.
    let mut vacuum = db.prepare_cached(&format!("PRAGMA incremental_vacuum({FREED_PAGES})"))?;
    let mut freed = vacuum.query([])?;
    while freed.next()?.is_some() {}
    Ok(db.query_row("PRAGMA freelist_count", [], |row| row.get(0))?)
}

fn rewrite(db: &Connection, path: &std::path::Path, in_memory_bytes: i64) -> Result<()> {
    if file::bytes(db)? <= in_memory_bytes {
        return Ok(db.execute_batch("VACUUM")?);
    }
    // On the disk that holds the database anyway, and where only its owner looks.
    let beside = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
    db.pragma_update(None, "temp_store_directory", beside.to_string_lossy())?;
    db.execute_batch("PRAGMA temp_store = FILE")?;
    let rewritten = db.execute_batch("VACUUM");
    db.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA temp_store_directory = ''")?;
    Ok(rewritten?)
}

/// Whether it is empty now.
fn empty_log(db: &Connection) -> Result<bool> {
    db.busy_timeout(AT_ONCE)?;
    let busy: rusqlite::Result<i64> = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    db.busy_timeout(file::BUSY)?;
    match busy.map_err(Error::from) {
        Ok(busy) => Ok(busy == 0),
        Err(error) if error.is_transient() => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::clock::Timestamp;
    use crate::store::operate::purge::forget;
    use crate::store::{Metadata, NewSubscription, Store, fixtures};

    const T0: Timestamp = Timestamp::from_unix(1_795_291_200);

    fn subscription(n: i64, padding: usize) -> NewSubscription {
        let metadata = format!("{{\"customer\":\"canary-{n:06}-{}\"}}", "x".repeat(padding));
        NewSubscription {
            metadata: Some(Metadata::parse(&metadata).unwrap()),
            ..fixtures::subscription(&format!("NUMBER-{n:06}-"), n + 1)
        }
    }

    /// Which subscriptions the file or its log still names.
    fn traces(store: &Store) -> BTreeSet<i64> {
        let mut bytes = std::fs::read(store.path()).unwrap();
        let mut log = store.path().as_os_str().to_owned();
        log.push("-wal");
        bytes.extend(std::fs::read(log).unwrap());
        let text = String::from_utf8_lossy(&bytes);
        let of = |prefix| text.match_indices(prefix).filter_map(|(at, _)| text.get(at + 7..at + 13)?.parse().ok());
        of("canary-").chain(of("NUMBER-")).collect()
    }

    async fn row(store: &Store, n: i64) -> i64 {
        let named = crate::store::Named::new(&format!("NUMBER-{n:06}-"), []);
        store.find(named).await.unwrap()[0].subscription.row
    }

    /// Rows that grow move to other pages, and leave copies behind that `secure_delete` does not know of.
    #[tokio::test]
    async fn copies_left_by_moved_rows_are_gone_as_well() {
        let (store, _dir) = fixtures::opened();
        // In the order of nothing, so that pages are split and rebuilt.
        let shuffled = |n: i64| n * 617 % 1000;
        for step in 0..10 {
            let new = (0..100).map(|n| subscription(shuffled(step * 100 + n), 0)).collect();
            store.track(new, false, T0).await.unwrap();
        }
        for round in 1..12 {
            let padding = |n: i64| (n * 37 * round % 700) as usize;
            let grown = (0..1000).map(|n| subscription(shuffled(n), padding(n))).collect();
            store.track(grown, true, T0).await.unwrap();
        }
        let mut rows = Vec::new();
        for n in 0..900 {
            rows.push(row(&store, n).await);
        }
        // In one transaction, as it happens where many are forgotten at a time.
        store.write(move |db| rows.iter().try_for_each(|row| forget(db, *row, T0))).await.unwrap();
        assert!(empty_log_now(&store).await);
        assert!(traces(&store).iter().any(|n| *n < 900), "nothing is left to be erased: this test shows nothing");
        assert_eq!(store.erase().await.unwrap(), Erased::Completely);
        assert_eq!(traces(&store), (900..1000).collect());
    }

    async fn empty_log_now(store: &Store) -> bool {
        store.database.writer.outside(empty_log).await.unwrap()
    }

    #[tokio::test]
    async fn the_file_shrinks_and_keeps_its_settings() {
        let (store, _dir) = fixtures::opened();
        let pragmas = || {
            store.read(|db| {
                let names = ["auto_vacuum", "user_version", "application_id", "page_size"];
                let value = |name| db.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
                Ok(names.map(|name| value(name).unwrap()))
            })
        };
        assert_eq!(store.erase().await.unwrap(), Erased::Completely);
        let before = (pragmas().await.unwrap(), std::fs::metadata(store.path()).unwrap().len());
        store.track(vec![subscription(7, 60 << 10)], false, T0).await.unwrap();
        store.forget(row(&store, 7).await, T0).await.unwrap();
        assert_eq!(store.erase().await.unwrap(), Erased::Completely);
        assert_eq!((pragmas().await.unwrap(), std::fs::metadata(store.path()).unwrap().len()), before);
    }

    #[tokio::test]
    async fn a_large_file_is_copied_beside_itself_and_no_copy_stays() {
        let (store, dir) = fixtures::opened();
        store.track((0..1000).map(|n| subscription(n, 300)).collect(), false, T0).await.unwrap();
        let path = store.path().to_owned();
        store.database.writer.outside(move |db| rewrite(db, &path, 0)).await.unwrap();
        let restored =
            store.database.writer.outside(|db| Ok(db.query_row("PRAGMA temp_store", [], |row| row.get::<_, i64>(0))?));
        assert_eq!(restored.await.unwrap(), 2, "in memory again");
        assert_eq!(row(&store, 999).await, 1000);
        let mut names: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["renewald.db", "renewald.db-shm", "renewald.db-wal", "renewald.db.setup.lock"]);
    }
}
