//! A thread that owns one connection and works off what it is sent.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::lock::InstanceLock;
use crate::store::{Error, Result};

/// What may be queued before a sender has to wait.
const QUEUE: usize = 256;
/// What one transaction takes at the most, so that nobody waits long for its commit.
const GROUP: usize = 512;

type Outside = Box<dyn FnOnce(&Connection) + Send>;

enum Job {
    /// Part of a transaction.
    Inside(Box<dyn Unit>),
    /// By itself.
    Outside(Outside),
}

/// The sending side of a connection's thread.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    jobs: mpsc::Sender<Job>,
    /// Resolves once the thread has closed its connection; taken by the first to close.
    ended: Arc<Mutex<Option<oneshot::Receiver<()>>>>,
}

impl Worker {
    /// `lock` is released only after the connection is closed.
    pub fn writing(connection: Connection, lock: Option<InstanceLock>) -> Result<Self> {
        Self::spawn("store-writer", connection, lock)
    }

    pub fn reading(connection: Connection) -> Result<Self> {
        Self::spawn("store-reader", connection, None)
    }

    fn spawn(name: &str, connection: Connection, lock: Option<InstanceLock>) -> Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                work_off(&connection, queue);
                drop(connection);
                drop(lock);
                // The other side may have stopped waiting.
                end.send(()).ok();
            })
            .map_err(Error::Thread)?;
        Ok(Self { jobs, ended: Arc::new(Mutex::new(Some(ended))) })
    }

    pub async fn close(self) {
        let ended = self.ended.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        drop(self);
        if let Some(ended) = ended {
            // An error means that the thread is gone already.
            ended.await.ok();
        }
    }

    pub async fn inside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Inside(Box::new(Pending { work: Some(work), outcome: None, reply }))).await?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    pub async fn outside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        // A receiver that is gone was cancelled: nobody wants the answer.
        let job: Outside = Box::new(move |db| drop(reply.send(work(db))));
        self.send(Job::Outside(job)).await?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    async fn send(&self, job: Job) -> Result<()> {
        self.jobs.send(job).await.map_err(|_| Error::Closed)
    }
}

/// A unit of work with the reply it owes; the reply waits for the commit.
trait Unit: Send {
    fn run(&mut self, db: &Connection) -> Result<()>;
    fn reply(self: Box<Self>, failed: Option<&Failed>);
}

/// Why a transaction did not commit: told to each of its units.
struct Failed {
    reason: String,
    /// That does not pass by itself, as all else may.
    is_damage: bool,
}

impl Failed {
    fn new(error: rusqlite::Error) -> Self {
        let reason = error.to_string();
        Self { reason, is_damage: matches!(Error::from(error), Error::Broken(_)) }
    }

    fn error(&self) -> Error {
        if !self.is_damage {
            return Error::Commit(self.reason.clone());
        }
        let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        Error::Broken(rusqlite::Error::SqliteFailure(corrupt, Some(self.reason.clone())))
    }
}

struct Pending<T, F> {
    work: Option<F>,
    outcome: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnOnce(&Connection) -> Result<T> + Send> Unit for Pending<T, F> {
    fn run(&mut self, db: &Connection) -> Result<()> {
        let Some(work) = self.work.take() else { return Ok(()) };
        let failed = match work(db) {
            Ok(value) => {
                self.outcome = Some(Ok(value));
                return Ok(());
            }
            Err(error) => error,
        };
        self.outcome = Some(Err(failed));
        Err(Error::Closed) // only says that it failed; the reason is kept for the one who asked
    }

    /// `failed`: why the transaction did not commit.
    fn reply(self: Box<Self>, failed: Option<&Failed>) {
        let outcome = match (failed, self.outcome) {
            (_, Some(Err(own))) => Err(own),
            // It was begun, and has come to nothing.
            (_, None) if self.work.is_none() => Err(Error::Panicked),
            (Some(failed), _) => Err(failed.error()),
            (None, Some(Ok(value))) => Ok(value),
            (None, None) => Err(Error::Closed),
        };
        // A receiver that is gone was cancelled; what it asked for is done all the same.
        drop(self.reply.send(outcome));
    }
}

fn work_off(db: &Connection, mut queue: mpsc::Receiver<Job>) {
    while let Some(job) = queue.blocking_recv() {
        let mut group = Vec::new();
        let mut next = Some(job);
        while let Some(job) = next {
            match job {
                Job::Inside(unit) => group.push(unit),
                // A panic in a query must not take the connection, and with it the daemon's memory, along.
                Job::Outside(query) => drop(catch_unwind(AssertUnwindSafe(|| query(db)))),
            }
            next = if group.len() < GROUP { queue.try_recv().ok() } else { None };
        }
        if !group.is_empty() {
            commit(db, group);
        }
    }
}

/// Runs a group in one transaction and replies to each of its units once the outcome is certain.
fn commit(db: &Connection, mut group: Vec<Box<dyn Unit>>) {
    let failed = transaction(db, &mut group).err().map(Failed::new);
    if failed.is_some()
        && !db.is_autocommit()
        && let Err(error) = db.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "store: could not roll back");
    }
    for unit in group {
        unit.reply(failed.as_ref());
    }
}

fn transaction(db: &Connection, group: &mut [Box<dyn Unit>]) -> rusqlite::Result<()> {
    // A savepoint keeps a copy of every page that its unit changes; one that is alone is undone with the transaction.
    let alone = group.len() == 1;
    db.execute_batch("BEGIN IMMEDIATE")?;
    for unit in group.iter_mut() {
        if !alone {
            db.prepare_cached("SAVEPOINT unit")?.execute([])?;
        }
        let failed = !matches!(catch_unwind(AssertUnwindSafe(|| unit.run(db))), Ok(Ok(())));
        // In autocommit mode SQLite has undone everything by itself (disk full, input/output error).
        if db.is_autocommit() || (alone && failed) {
            return Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT),
                Some("the transaction was rolled back after a failed write".into()),
            ));
        }
        if failed {
            db.prepare_cached("ROLLBACK TO unit")?.execute([])?;
        }
        if !alone {
            db.prepare_cached("RELEASE unit")?.execute([])?;
        }
    }
    db.execute_batch("COMMIT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_mistake_of_ours_is_not_taken_for_a_full_disk() {
        let worker = Worker::writing(Connection::open_in_memory().unwrap(), None).unwrap();
        let panics = || worker.inside::<()>(|_| panic!("a mistake"));
        let alone = panics().await.unwrap_err();
        // What is queued meanwhile shares a transaction.
        let (go, wait) = std::sync::mpsc::channel();
        let waits = worker.outside(move |_| Ok(wait.recv().is_ok()));
        let (_, beside, fine, ()) =
            tokio::join!(waits, panics(), worker.inside(|_| Ok(7)), async { go.send(()).unwrap() });
        for error in [alone, beside.unwrap_err()] {
            assert!(matches!(error, Error::Panicked) && !error.is_transient(), "{error}");
        }
        assert_eq!(fine.unwrap(), 7);
    }
}
