//! The two kernel locks beside the database file.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::store::{Error, Result};

/// Who finds the instance lock taken looks again so often: [`InstanceLock::is_held`] takes it for a moment only.
const LOOKS: u32 = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// The kernel lock that `run`, `once` and `restore` hold from before the database is opened until after it is closed. The file stays:
/// deleting it would let two processes lock two different files of one name.
#[derive(Debug)]
pub struct InstanceLock {
    _file: File,
}

impl InstanceLock {
    /// Takes `<db>.lock`, or says at once that somebody else has it ([`Error::Locked`]).
    pub fn acquire(database: &Path) -> Result<Self> {
        let file = lock_file(database, "lock")?;
        for _ in 0..LOOKS {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) => std::thread::sleep(BETWEEN_LOOKS),
                Err(TryLockError::Error(source)) => {
                    return Err(Error::File { path: beside(database, "lock"), source });
                }
            }
        }
        Err(Error::Locked { path: database.to_owned() })
    }

    /// Whether some process holds it now. To see that, it is taken for a moment; where nobody ever held it, nothing is
    /// left behind.
    pub async fn is_held(database: &Path) -> bool {
        let database = database.to_owned();
        let look =
            move || beside(&database, "lock").exists() && matches!(Self::acquire(&database), Err(Error::Locked { .. }));
        // It sleeps between its looks; the admin endpoint has one thread. Cancelled only with the runtime.
        tokio::task::spawn_blocking(look).await.unwrap_or(false)
    }
}

fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// The short lock that covers creating and migrating.
pub(super) struct SetupLock {
    _file: File,
    path: PathBuf,
    is_new: bool,
}

impl SetupLock {
    /// Waits for `<db>.setup.lock`.
    pub fn acquire(database: &Path) -> Result<Self> {
        let path = beside(database, "setup.lock");
        let failed = |source| Error::File { path: path.clone(), source };
        loop {
            let is_new = !path.exists();
            let file = lock_file(database, "setup.lock")?;
            file.lock().map_err(failed)?;
            let locked = file.metadata().map_err(failed)?;
            // Whoever held it before may have removed it: then another process has locked, or will, a file of the same name.
            if path.metadata().is_ok_and(|named| (named.dev(), named.ino()) == (locked.dev(), locked.ino())) {
                return Ok(Self { _file: file, path, is_new });
            }
        }
    }

    /// Beside a file that is not ours nothing is left behind.
    pub fn withdraw(self) {
        if self.is_new {
            // It does no harm where it cannot be removed.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

fn lock_file(database: &Path, suffix: &str) -> Result<File> {
    let path = beside(database, suffix);
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|source| Error::File { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The admin endpoint has one thread, and looks for the lock whenever somebody asks for the status.
    #[tokio::test]
    async fn who_looks_for_the_lock_holds_up_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("renewald.db");
        let mut was_released_meanwhile = false;
        // On a busy machine a release may come too late.
        for _ in 0..20 {
            let lock = InstanceLock::acquire(&database).unwrap();
            let (held, ()) = tokio::join!(InstanceLock::is_held(&database), async { drop(lock) });
            was_released_meanwhile |= !held;
        }
        assert!(was_released_meanwhile);
        let _lock = InstanceLock::acquire(&database).unwrap();
        assert!(InstanceLock::is_held(&database).await);
    }
}
