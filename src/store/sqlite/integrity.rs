//! Whether a database holds together: all of it is read, and nothing is changed.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, ffi};

use super::file;
use super::migrations::{APPLICATION_ID, VERSION};
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

/// Looks whether the database in its place, with its log, is one of ours and whole. Others may work on it meanwhile.
pub fn verify(path: &Path) -> Result<()> {
    file::check_header_alone(path)?;
    verify_pages(path)
}

/// The same for one whose header need not be ours to read.
pub(super) fn verify_pages(path: &Path) -> Result<()> {
    // Whoever can write would work the log into the file when it closes it, also one that does not belong there.
    let looked = verify_by(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    match looked {
        Err(error) if is_left_by_power_cut(&error) => verify_by(path, OpenFlags::SQLITE_OPEN_READ_WRITE),
        looked => looked,
    }
}

fn verify_by(path: &Path, flags: OpenFlags) -> Result<()> {
    let db = file::connect(path, flags)?;
    whole(&db, path)?;
    file::version(&db, path).map(drop)
}

/// A transaction that was cut off must be taken back before anything can be read, as every command does.
fn is_left_by_power_cut(error: &Error) -> bool {
    let Error::NotWritable { source, .. } = error else { return false };
    let code = source.sqlite_error().map(|error| error.extended_code);
    code.is_some_and(|code| [ffi::SQLITE_READONLY_ROLLBACK, ffi::SQLITE_READONLY_RECOVERY].contains(&code))
}

/// Opens a copy, leaves no trace, and looks whether it is whole.
pub fn verify_copy(path: &Path) -> Result<Copy> {
    let bytes = path.metadata().map_err(|source| Error::File { path: path.to_owned(), source })?.len();
    let db = file::open_immutable(path)?;
    whole(&db, path)?;
    let pragma = |name: &str| db.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    match (pragma("application_id")?, pragma("user_version")?) {
        (id, found) if id == i64::from(APPLICATION_ID) && found > VERSION => {
            return Err(Error::Newer { path: path.to_owned(), found, known: VERSION });
        }
        (id, found) if id != i64::from(APPLICATION_ID) || found < 1 => {
            return Err(Error::Foreign { path: path.to_owned() });
        }
        _ => {}
    }
    let count = |table: &str| db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
    Ok(Copy {
        bytes,
        subscriptions: count("subscriptions")?,
        renewals: count("renewals")?,
        messages: count("messages")?,
        dispatches: count("dispatches")?,
    })
}

/// An index that lacks a row is found by the full check alone.
fn whole(db: &Connection, path: &Path) -> Result<()> {
    let look = || -> rusqlite::Result<bool> {
        let sound: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        Ok(sound == "ok" && !db.prepare("PRAGMA foreign_key_check")?.exists([])?)
    };
    match look() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::Incomplete { path: path.to_owned() }),
        Err(error) => Err(file::named(path, error.into())),
    }
}
