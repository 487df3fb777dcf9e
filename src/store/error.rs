//! Why the store could not do it, and whether the same may succeed later.

use std::path::PathBuf;

use rusqlite::ffi;

use crate::vault;

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
    #[error("{0} is a copy that was put there, and {0}-wal the log of the file before it: read together they damage each other, and nothing was changed; restore a backup with `renewald restore`, which puts that log away", path.display())]
    ForeignLog { path: PathBuf },
    #[error("there is no database at {}: set store.path right; a new one is created by `renewald track`, `import`, `run` and `once`", path.display())]
    Missing { path: PathBuf },
    #[error("cannot create or open {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is damaged; restore a backup with `renewald restore`, or keep the file and ask for help", path.display())]
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
    #[error("the database is damaged; restore a backup with `renewald restore`, or keep the file and ask for help")]
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

/// A check, a column that must not be empty, a column's type.
const CHECKS: [i32; 3] =
    [ffi::SQLITE_CONSTRAINT_CHECK, ffi::SQLITE_CONSTRAINT_NOTNULL, ffi::SQLITE_CONSTRAINT_DATATYPE];

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
            // What is written fits the schema as we know it.
            other if other.sqlite_error().is_some_and(|error| CHECKS.contains(&error.extended_code)) => true,
            // The file ends where it must not: it has been cut.
            other if other.sqlite_error().is_some_and(|e| e.extended_code == ffi::SQLITE_IOERR_SHORT_READ) => true,
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
