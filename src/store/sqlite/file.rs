//! The database file: its mode, its pragmas; and what is refused before anything is changed.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::lock::{InstanceLock, SetupLock};
use super::migrations::{self, APPLICATION_ID, VERSION};
use crate::store::{Access, Error, Result};

/// How long a statement waits for another process's transaction. Ours last milliseconds; a migration takes no part in
/// this, it holds the setup lock.
pub(super) const BUSY: Duration = Duration::from_secs(30);

const IN_MEMORY: OpenFlags = OpenFlags::SQLITE_OPEN_CREATE.union(OpenFlags::SQLITE_OPEN_URI);

/// Opens the writing connection; the database is then of this build's version.
pub(super) fn open(path: &Path, access: Access) -> Result<(Connection, Option<InstanceLock>)> {
    // Where it cannot be looked for, opening says why.
    if matches!(access, Access::Existing) && path.try_exists().is_ok_and(|exists| !exists) {
        return Err(Error::Missing { path: path.to_owned() });
    }
    let setup = SetupLock::acquire(path)?;
    let opened = open_locked(path, access);
    if matches!(opened, Err(Error::Foreign { .. } | Error::ForeignLog { .. } | Error::File { .. })) {
        setup.withdraw();
    }
    opened
}

fn open_locked(path: &Path, access: Access) -> Result<(Connection, Option<InstanceLock>)> {
    let instance = match access {
        Access::Instance(lock) => Some(lock),
        Access::Command | Access::Existing => None,
    };
    check_header(path)?;
    create(path)?;
    let mut db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|e| named(path, e))?;
    // The header may be older than what a write-ahead log left by a crash says.
    let found = version(&db, path)?;
    if found > VERSION {
        return Err(Error::Newer { path: path.to_owned(), found, known: VERSION });
    }
    restrict(path)?;
    // Creating is covered by the setup lock; changing an existing file needs the instance lock as well.
    let _migrating = match &instance {
        None if found > 0 && found < VERSION => {
            Some(InstanceLock::acquire(path).map_err(|_| Error::Older { path: path.to_owned(), found })?)
        }
        _ => None,
    };
    prepare(&mut db, found).map_err(|e| named(path, e))?;
    Ok((db, instance))
}

/// Both connections to an empty database of its own, which is gone when they are closed.
pub(super) fn open_in_memory() -> Result<(Connection, Connection)> {
    static OPENED: AtomicU32 = AtomicU32::new(0);
    // A name that begins with a slash is one database for all connections of the process.
    let name = format!("file:/renewald-{}?vfs=memdb", OPENED.fetch_add(1, Ordering::Relaxed));
    let path = Path::new(&name);
    let mut db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | IN_MEMORY)?;
    prepare(&mut db, 0)?;
    let reader = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | IN_MEMORY)?;
    Ok((db, reader))
}

pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    let db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // Not opened read-only: the last connection to close must be able to tidy the write-ahead log.
    db.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -2048")?;
    Ok(db)
}

/// A file that nobody writes to: nothing appears beside it.
pub(super) fn open_immutable(path: &Path) -> Result<Connection> {
    let uri = format!("file:{}?immutable=1", percent_encoding::utf8_percent_encode(&path.to_string_lossy(), ESCAPED));
    Ok(Connection::open_with_flags(uri, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)?)
}

/// What means something in a file name of a URI.
const ESCAPED: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS.add(b'%').add(b'?').add(b'#');

pub(super) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let db = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(BUSY)?;
    // Else SQLite prepares a statement again for every new value of a bound parameter that might change its plan: that was half of
    // the time it took to read what is due.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

/// Refuses foreign and newer files, and logs of another file, by what they begin with: SQLite touches none of them.
pub(super) fn check_header(path: &Path) -> Result<()> {
    let header = header(path)?;
    if header.is_empty() {
        return Ok(()); // none, or created, then killed before the first write
    }
    let field = |at: usize| header.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, i32::from_be_bytes);
    if header.len() < 100 || !is_sqlite(&header) {
        // The power went while the file was created: SQLite's journal takes the half-written page back.
        let is_half_written = beside(path, "-journal").exists();
        return if is_half_written { Ok(()) } else { Err(Error::Foreign { path: path.to_owned() }) };
    }
    match (field(68), i64::from(field(60))) {
        (APPLICATION_ID, found) if found > VERSION => {
            Err(Error::Newer { path: path.to_owned(), found, known: VERSION })
        }
        (APPLICATION_ID | 0, _) if has_foreign_log(path, &header) => Err(Error::ForeignLog { path: path.to_owned() }),
        (APPLICATION_ID | 0, _) => Ok(()), // 0: killed while creating, `version` looks again
        _ => Err(Error::Foreign { path: path.to_owned() }),
    }
}

/// The same for who opens it as a reader only: a copy that is opened for the first time meanwhile gets its log under the setup lock.
pub(super) fn check_header_alone(path: &Path) -> Result<()> {
    let setup = SetupLock::acquire(path)?;
    let checked = check_header(path);
    if checked.is_err() {
        setup.withdraw();
    }
    checked
}

/// The first 100 bytes; fewer where there are no more, none where there is no file.
pub(super) fn header(path: &Path) -> Result<Vec<u8>> {
    let mut header = Vec::with_capacity(100);
    match File::open(path) {
        Ok(file) => file.take(100).read_to_end(&mut header).map(drop),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(header),
        Err(e) => Err(e),
    }
    .map_err(|source| Error::File { path: path.to_owned(), source })?;
    Ok(header)
}

pub(super) fn is_sqlite(header: &[u8]) -> bool {
    header.starts_with(b"SQLite format 3\0")
}

/// Whether the header says that changes go to a log. It does so before there is one, and until it is gone.
pub(super) fn has_logged_header(header: &[u8]) -> bool {
    header.get(18..20).is_some_and(|versions| versions != [1, 1])
}

/// A file that was never opened since it was copied by `VACUUM INTO` has no log: one beside it was left by the file that it replaced.
/// SQLite would take the two for one database, and tear both.
fn has_foreign_log(path: &Path, header: &[u8]) -> bool {
    const LOG_HEADER_BYTES: u64 = 32;
    let has_frames = beside(path, "-wal").metadata().is_ok_and(|log| log.len() > LOG_HEADER_BYTES);
    has_frames && !has_logged_header(header)
}

/// What SQLite puts beside a file, which stands beside what a symbolic link names.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.canonicalize().unwrap_or_else(|_| path.to_owned()).into_os_string();
    name.push(suffix);
    name.into()
}

/// Creates an empty file that only its owner reads, and makes its name durable. One that is there stays as it is.
fn create(path: &Path) -> Result<()> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => {
            let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(parent).and_then(|dir| dir.sync_all()).map_err(failed)
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(failed(e)),
    }
}

/// Takes a database of ours from all but its owner; only once it is known to be ours, for a web server may need the mode of
/// another. SQLite gave its other files the mode that it met.
fn restrict(path: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let file = beside(path, suffix);
        let failed = |source| Error::File { path: file.clone(), source };
        let mode = match file.metadata() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            metadata => metadata.map_err(failed)?.permissions().mode(),
        };
        if mode & 0o077 != 0 {
            tracing::warn!(path = %file.display(), "database was readable by others; mode set to 0600");
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        }
    }
    Ok(())
}

/// The schema version of the file; 0 where it is still empty.
pub(super) fn version(db: &Connection, path: &Path) -> Result<i64> {
    let read = || -> rusqlite::Result<(i64, i32, i64)> {
        Ok((
            db.query_row("PRAGMA user_version", [], |row| row.get(0))?,
            db.query_row("PRAGMA application_id", [], |row| row.get(0))?,
            db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?,
        ))
    };
    match read().map_err(|e| named(path, e.into()))? {
        (0, 0, 0) => Ok(0),
        (found, APPLICATION_ID, _) if found > 0 => Ok(found),
        _ => Err(Error::Foreign { path: path.to_owned() }),
    }
}

pub(super) fn bytes(db: &Connection) -> Result<i64> {
    let size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    Ok(db.query_row(size, [], |row| row.get(0))?)
}

fn prepare(db: &mut Connection, found: i64) -> Result<()> {
    if found == 0 {
        // Must precede the first table.
        db.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
    }
    db.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA secure_delete = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -4096;
         PRAGMA wal_autocheckpoint = 4000;
         PRAGMA journal_size_limit = 16777216;",
    )?;
    migrations::migrate(db, found)
}

/// Says which file it is about: damage, and a place that takes no writes; every other error stays what it is.
pub(super) fn named(path: &Path, error: Error) -> Error {
    use rusqlite::ErrorCode::{CannotOpen, ReadOnly};
    let path = path.to_owned();
    match error {
        Error::Broken(source) => Error::Damaged { path, source },
        Error::Sqlite(source) if matches!(source.sqlite_error_code(), Some(ReadOnly | CannotOpen)) => {
            Error::NotWritable { path, source }
        }
        other => other,
    }
}
