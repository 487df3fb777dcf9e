//! A copy of the database, made while others work on it.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{OpenFlags, named_params};

use super::{Database, file};
use crate::store::{Error, Result};

impl Database {
    /// As [`Store::backup`](crate::store::Store::backup).
    pub async fn copy(&self, to: PathBuf) -> Result<()> {
        let from = self.path().to_owned();
        // With a connection of its own: it may take minutes, and nobody is to wait for it.
        tokio::task::spawn_blocking(move || copy(&from, &to)).await.unwrap_or(Err(Error::Closed))
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let failed = |source| Error::File { path: to.to_owned(), source };
    if to.symlink_metadata().is_ok() {
        return Err(failed(ErrorKind::AlreadyExists.into()));
    }
    let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let partial = to.with_file_name(format!(
        ".{}.{}.partial",
        to.file_name().unwrap_or_default().to_string_lossy(),
        std::process::id()
    ));
    // SQLite would create it readable by others.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial).map_err(failed)?;
    let copied = vacuum_into(from, &partial).and_then(|()| {
        File::open(&partial).and_then(|file| file.sync_all()).map_err(failed)?;
        // Not renamed: that would put it in the place of another file.
        std::fs::hard_link(&partial, to).map_err(failed)
    });
    std::fs::remove_file(&partial).map_err(failed)?;
    copied?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}

fn vacuum_into(from: &Path, to: &Path) -> Result<()> {
    let db = file::connect(from, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    db.execute("VACUUM INTO :to", named_params! { ":to": to.to_string_lossy() })?;
    Ok(())
}
