//! What only SQLite has: the file, its locks and pragmas, the thread that shares a commit among many, rewriting and copying. The
//! statements of the other rooms see a [`Connection`] and none of this.
//!
//! One thread owns the writing connection: what is queued when a transaction begins shares it, each unit in a savepoint of its
//! own, so `synchronous=FULL` is paid once for many. A second thread owns a reading connection.

mod backup;
mod erase;
mod file;
mod integrity;
mod lock;
mod migrations;
mod restore;
mod thread;

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{Access, Result};

pub use erase::Erased;
pub use integrity::{Copy, verify, verify_copy};
pub use lock::InstanceLock;
pub use restore::{Incoming, Standing};

/// One open file. Clones share its connections; all of them dropped, or [`Database::close`], ends the threads.
#[derive(Clone, Debug)]
pub(super) struct Database {
    writer: thread::Worker,
    reader: thread::Worker,
    path: PathBuf,
}

impl Database {
    pub fn open(path: &Path, access: Access) -> Result<Self> {
        let (writer, lock) = file::open(path, access)?;
        Self::of(path, writer, file::open_reader(path)?, lock)
    }

    pub fn in_memory(path: &Path) -> Result<Self> {
        let (writer, reader) = file::open_in_memory()?;
        Self::of(path, writer, reader, None)
    }

    /// A file that nobody writes to, and that this does not either.
    pub fn immutable(path: &Path) -> Result<Self> {
        Self::of(path, file::open_immutable(path)?, file::open_immutable(path)?, None)
    }

    fn of(path: &Path, writer: Connection, reader: Connection, lock: Option<InstanceLock>) -> Result<Self> {
        Ok(Self {
            writer: thread::Worker::writing(writer, lock)?,
            reader: thread::Worker::reading(reader)?,
            path: path.to_owned(),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same file with a reading connection of its own.
    pub fn beside(&self) -> Result<Self> {
        let reader = thread::Worker::reading(file::open_reader(&self.path)?)?;
        Ok(Self { reader, ..self.clone() })
    }

    pub async fn close(self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    pub async fn data_version(&self) -> Result<i64> {
        self.writer.outside(|db| Ok(db.query_row("PRAGMA data_version", [], |row| row.get(0))?)).await
    }

    pub async fn probe_write(&self) -> Result<()> {
        self.write(|db| Ok(db.pragma_update(None, "user_version", migrations::VERSION)?)).await
    }

    /// The size as SQLite sees it, without the log.
    pub async fn bytes(&self) -> Result<i64> {
        self.read(file::bytes).await
    }

    /// Runs `unit` in the next transaction, in a savepoint of its own where others share it.
    pub async fn write<T: Send + 'static>(
        &self,
        unit: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.inside(unit).await
    }

    pub async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.reader.outside(query).await
    }
}
