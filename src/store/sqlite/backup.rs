//! A copy of the database, made while others work on it.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, named_params};

use super::migrations::{APPLICATION_ID, VERSION};
use super::{Database, file};
use crate::store::{Error, Result};

/// What a copy was found to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    pub bytes: u64,
    pub subscriptions: i64,
    pub renewals: i64,
    pub messages: i64,
    pub dispatches: i64,
}

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

/// Opens a copy without changing it, and looks whether it is whole.
pub fn verify(path: &Path) -> Result<Copy> {
    let bytes = path.metadata().map_err(|source| Error::File { path: path.to_owned(), source })?.len();
    // Immutable: nobody writes to a copy, and no files appear beside it.
    let uri = format!("file:{}?immutable=1", percent_encoding::utf8_percent_encode(&path.to_string_lossy(), ESCAPED));
    let db = Connection::open_with_flags(uri, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)?;
    let whole = || -> rusqlite::Result<bool> {
        let sound: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        Ok(sound == "ok" && !db.prepare("PRAGMA foreign_key_check")?.exists([])?)
    };
    let pragma = |name: &str| db.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let count = |table: &str| db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
    match whole() {
        Ok(true) => {}
        Ok(false) => return Err(Error::Incomplete { path: path.to_owned() }),
        Err(source) => return Err(Error::Damaged { path: path.to_owned(), source }),
    }
    if pragma("application_id")? != i64::from(APPLICATION_ID) || pragma("user_version")? != VERSION {
        return Err(Error::Foreign { path: path.to_owned() });
    }
    Ok(Copy {
        bytes,
        subscriptions: count("subscriptions")?,
        renewals: count("renewals")?,
        messages: count("messages")?,
        dispatches: count("dispatches")?,
    })
}

/// What means something in a file name of a URI.
const ESCAPED: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS.add(b'%').add(b'?').add(b'#');
