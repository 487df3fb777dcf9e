//! The store: one SQLite file that holds everything which must survive a restart.
//!
//! [`Store`] is a cheap handle. One thread owns the writing connection: what is queued when a transaction begins shares
//! it, each unit in a savepoint of its own, so `synchronous=FULL` is paid once for many. A second thread owns a reading
//! connection. The statements are in the files below, each beside the method that runs it; decisions are elsewhere.

mod alerts;
mod backup;
mod dispatches;
mod due_times;
mod erase;
mod export;
mod file;
mod forms;
mod gauges;
mod identity;
mod late;
mod messages;
mod metadata;
mod migrations;
mod odd;
mod outage;
mod overview;
mod pausing;
mod polls;
mod providers;
mod renewals;
mod sealed;
mod subscriptions;
mod thread;
mod unanswered;

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;

pub use alerts::{Alert, AlertChange, DueCounts};
pub use backup::{Copy, verify as verify_copy};
pub use dispatches::{
    Attempt, DispatchRow, Leased, MOST_BODY_BYTES, Mark, QueueDepth, QueueFilter, Retried, SinkState,
};
pub use due_times::{Moved, Progress};
pub use erase::Erased;
pub use export::Exported;
pub use file::InstanceLock;
pub use gauges::{Answers, DispatchCounts};
pub use identity::{Clash, Identity};
pub use late::{Late, Patience, counted};
pub use messages::{ForgottenRow, MessageRow, NewMessage, PurgeFilter, Purgeable, Purged};
pub use metadata::Metadata;
pub use odd::Odd;
pub use outage::{PROBE_EVERY, tend};
pub use overview::{Group, Waiting, counts_of};
pub use pausing::Paused;
pub use polls::{DuePage, PollRecord, Recorded, StoppedTerritory};
pub use providers::{BreakerState, ProviderTrouble, SlowedState};
pub use renewals::{DueRenewal, RenewalRow, Settled, Settlement};
pub use sealed::{Locked, Resealed};
pub use subscriptions::{
    ListFilter, Listed, NOBODY_ASKS, Named, NewSubscription, Subscription, SubscriptionRow, Tracked,
};

use crate::vault::{self, Vault};

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("another renewald works on {}", path.display())]
    Locked { path: PathBuf },
    #[error("{} is of schema version {found}, written by a newer renewald; this one knows version {known}: nothing was changed; use the newer one, or restore a backup of this one's to store.path", path.display())]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{} is of the older schema version {found} and a running renewald holds it; restart that one first", path.display())]
    Older { path: PathBuf, found: i64 },
    #[error("{} is not a renewald database; nothing was changed; set store.path right, or restore a backup to it", path.display())]
    Foreign { path: PathBuf },
    #[error("there is no database at {}: set store.path right; a new one is created by `renewald track`, `import`, `run` and `once`", path.display())]
    Missing { path: PathBuf },
    #[error("cannot create or open {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is damaged; restore a backup, or keep the file and ask for help", path.display())]
    Damaged {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error("cannot write to {} or its directory: is one of them read-only, or another user's?", path.display())]
    NotWritable {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error("{} is not whole: SQLite finds faults in it", path.display())]
    Incomplete { path: PathBuf },
    /// As [`Error::Damaged`], met while working.
    #[error("the database is damaged; restore a backup, or keep the file and ask for help")]
    Broken(#[source] rusqlite::Error),
    #[error("the database refused")]
    Sqlite(#[source] rusqlite::Error),
    /// The whole transaction failed with another unit, or at its commit.
    #[error("the database could not commit: {0}")]
    Commit(String),
    /// A mistake of ours: it comes again however often it is tried.
    #[error("writing to the database panicked")]
    Panicked,
    #[error(transparent)]
    Vault(#[from] vault::Error),
    #[error("cannot start a thread for the database")]
    Thread(#[source] std::io::Error),
    #[error("the store is closed")]
    Closed,
}

/// Damage is named wherever it is met: what does not hold together, a schema that our statements do not fit any more, and values
/// that nobody here has written.
impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error::{
            FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, SqlInputError, Utf8Error,
        };
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, Unknown};
        let is_damage = match &error {
            FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..) => true,
            SqlInputError { .. } => true,
            other => matches!(other.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase | Unknown)),
        };
        if is_damage { Self::Broken(error) } else { Self::Sqlite(error) }
    }
}

impl Error {
    /// Whether the same call may succeed later: disk full, busy, or a failed read or write.
    pub fn is_transient(&self) -> bool {
        use rusqlite::ErrorCode::{CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, ReadOnly, SystemIoFailure};
        match self {
            Error::Commit(_) | Error::NotWritable { .. } => true,
            Error::Sqlite(e) => matches!(
                e.sqlite_error_code(),
                Some(DatabaseBusy | DatabaseLocked | DiskFull | ReadOnly | SystemIoFailure | CannotOpen)
            ),
            _ => false,
        }
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How the file is opened.
#[derive(Debug)]
pub enum Access {
    /// `run` and `once`: held with the instance lock, which lives as long as the store.
    Instance(InstanceLock),
    /// A command beside them.
    Command,
    /// The same, where there is nothing to do without a database: none is created.
    Existing,
}

/// A handle to the open store; clones share it. All of them dropped, or [`Store::close`], ends its threads.
#[derive(Clone, Debug)]
pub struct Store {
    writer: thread::Worker,
    reader: thread::Worker,
    path: PathBuf,
    vault: Arc<Vault>,
    outage: Arc<outage::Outage>,
}

impl Store {
    /// Opens the store, creating or migrating the file where that is allowed (design section 5). The setup lock is held
    /// meanwhile; `user_version` is looked at before anything is changed.
    pub fn open(path: &std::path::Path, access: Access) -> Result<Self> {
        let (writer, lock) = file::open(path, access)?;
        Self::of(path, writer, file::open_reader(path)?, lock)
    }

    /// Stands in for a database that does not exist yet, for those who only read: an empty one in memory. `path` is only
    /// its name; nothing is looked for or created there.
    pub fn empty(path: &std::path::Path) -> Result<Self> {
        let (writer, reader) = file::open_in_memory()?;
        Self::of(path, writer, reader, None)
    }

    fn of(path: &std::path::Path, writer: Connection, reader: Connection, lock: Option<InstanceLock>) -> Result<Self> {
        Ok(Self {
            writer: thread::Worker::writing(writer, lock)?,
            reader: thread::Worker::reading(reader)?,
            path: path.to_owned(),
            vault: Arc::new(Vault::without_key()),
            outage: Arc::default(),
        })
    }

    /// With the keys for payloads. Whoever neither queues, hands out nor shows them needs none.
    pub fn with_vault(self, vault: Vault) -> Self {
        Self { vault: Arc::new(vault), ..self }
    }

    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The same store with a reading connection of its own: its long queries hold up nobody else's.
    pub fn beside(&self) -> Result<Self> {
        let reader = thread::Worker::reading(file::open_reader(&self.path)?)?;
        Ok(Self { reader, ..self.clone() })
    }

    /// Waits until everything queued is committed and both connections are closed.
    pub async fn close(self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// Changes whenever another connection has committed something: another process, never ourselves.
    pub async fn data_version(&self) -> Result<i64> {
        self.writer.outside(|db| Ok(db.query_row("PRAGMA data_version", [], |row| row.get(0))?)).await
    }

    /// Writes and syncs one page that stays as it is: whether the disk takes anything at all.
    pub async fn probe_write(&self) -> Result<()> {
        self.write(|db| Ok(db.pragma_update(None, "user_version", migrations::VERSION)?)).await
    }

    /// Runs `unit` in the next transaction, alone in a savepoint, and returns once that transaction is on disk. An error
    /// undoes this unit and no other.
    async fn write<T: Send + 'static>(
        &self,
        unit: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.inside(unit).await
    }

    /// Runs `query` on the reading connection. It sees what is committed, nothing of an open transaction.
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.reader.outside(query).await
    }
}
