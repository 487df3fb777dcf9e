//! Puts a backup in the place of the database. Killed at any moment, the old one stands there or the new one.
//!
//! SQLite reads a log with whatever file has its name, so the old log must be gone before the new file comes. A whole database is
//! first made one that has no log, which SQLite does so that no kill can tear it; then one rename exchanges the two. A damaged one is
//! left as it is: it and its log get second names, the log loses its first one, then comes the rename.

use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirEntryExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::integrity::{self, Copy};
use super::{file, lock::SetupLock};
use crate::clock::Timestamp;
use crate::store::{Error, Result};

/// A database, and what SQLite may put beside it.
const FILES: [&str; 4] = ["", "-journal", "-wal", "-shm"];

/// What is in the database's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Nothing,
    Whole,
    Damaged,
}

impl Standing {
    /// Reads all of it and changes nothing.
    ///
    /// # Errors
    /// [`Error::Foreign`] for a database of another program.
    pub fn look(database: &Path) -> Result<Self> {
        let header = file::header(database)?;
        match file::check_header_alone(database) {
            Err(Error::Foreign { .. }) if !file::is_sqlite(&header) => return Ok(Self::Damaged),
            Err(Error::ForeignLog { .. }) => return Ok(Self::Damaged),
            // A newer one holds together as well.
            Ok(()) | Err(Error::Newer { .. }) => {}
            Err(error) => return Err(error),
        }
        if !database.try_exists().map_err(|source| Error::File { path: database.to_owned(), source })? {
            return Ok(Self::Nothing);
        }
        match integrity::verify_pages(database) {
            Ok(()) => Ok(Self::Whole),
            Err(Error::Damaged { .. } | Error::Incomplete { .. } | Error::Broken(_)) => Ok(Self::Damaged),
            Err(error) => Err(error),
        }
    }
}

/// The copy of a backup beside the database, found to be whole. Dropped, it is removed.
#[derive(Debug)]
pub struct Incoming {
    copy: Partial,
    database: PathBuf,
    /// The database itself, where that is a symbolic link.
    place: PathBuf,
    holds: Copy,
}

#[derive(Debug)]
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // The next one removes what cannot be removed now.
        remove(&self.0, &FILES).ok();
    }
}

impl Incoming {
    /// Copies a backup, and the log that it may have, and looks whether the copy is whole. Whoever calls it holds the instance lock.
    pub fn copy(backup: &Path, database: &Path) -> Result<Self> {
        let place = file::beside(database, "");
        let copy = Partial(hidden(&place));
        remove_leftovers(&place, &copy.0)?;
        copy_with_log(backup, &copy.0)?;
        let holds = integrity::verify_copy(&copy.0)?;
        Ok(Self { copy, database: database.to_owned(), place, holds })
    }

    pub fn path(&self) -> &Path {
        &self.copy.0
    }

    pub fn holds(&self) -> Copy {
        self.holds
    }

    /// Takes the database's place. Returns what that is called now: its log has the same name with `-wal`.
    ///
    /// # Errors
    /// [`Error::Locked`] where another process has the database open.
    pub fn replace(self, old: Standing, now: Timestamp) -> Result<Option<PathBuf>> {
        let _setup = SetupLock::acquire(&self.database)?;
        let _alone = match old {
            Standing::Nothing => (None, None),
            Standing::Whole => (Some(without_log(&self.place)?), None),
            Standing::Damaged => (None, Some(lock(&self.place)?)),
        };
        let kept = keep(&self.place, now)?;
        fs::rename(&self.copy.0, &self.place).map_err(failed(&self.place))?;
        sync_directory(&self.place)?;
        Ok(kept)
    }
}

fn hidden(place: &Path) -> PathBuf {
    place.with_file_name(format!(".{}.restoring", name(place)))
}

fn name(place: &Path) -> String {
    place.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::File { path: path.to_owned(), source }
}

fn remove(path: &Path, suffixes: &[&str]) -> Result<()> {
    for suffix in suffixes {
        let file = with_suffix(path, suffix);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&file)(error)),
            _ => {}
        }
    }
    Ok(())
}

/// Of one that was cut off: its copy, and second names of what is still in its place. Two names of one database would be two logs.
fn remove_leftovers(place: &Path, copy: &Path) -> Result<()> {
    remove(copy, &FILES)?;
    let inode = |suffix| with_suffix(place, suffix).metadata().ok().map(|file| file.ino());
    let in_place: Vec<u64> = FILES.into_iter().filter_map(inode).collect();
    let begin = format!("{}.", name(place));
    let is_second_name = |entry: &DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let time = name.strip_prefix(&begin).unwrap_or_default();
        time.starts_with(|c: char| c.is_ascii_digit()) && in_place.contains(&entry.ino())
    };
    for entry in fs::read_dir(directory(place)).map_err(failed(place))? {
        let entry = entry.map_err(failed(place))?;
        if is_second_name(&entry) {
            remove(&entry.path(), &[""])?;
        }
    }
    Ok(())
}

/// One file without log, on the disk. The backup stays as it is: opened there, its log would be worked into it.
fn copy_with_log(backup: &Path, to: &Path) -> Result<()> {
    let header = file::header(backup)?;
    copy_file(backup, to)?;
    if !file::is_sqlite(&header) {
        return Err(Error::Foreign { path: backup.to_owned() });
    }
    let logs = if file::has_logged_header(&header) { &["-journal", "-wal"][..] } else { &["-journal"] };
    for suffix in logs {
        let log = file::beside(backup, suffix);
        if log.exists() {
            copy_file(&log, &with_suffix(to, suffix))?;
        }
    }
    drop(without_log(to)?);
    File::open(to).and_then(|file| file.sync_all()).map_err(failed(to))
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let mut source = File::open(from).map_err(failed(from))?;
    let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let mut target = target.map_err(failed(to))?;
    io::copy(&mut source, &mut target).and_then(|_| target.sync_all()).map_err(failed(to))
}

/// Works the log into the file and makes that one without log; nobody else can open it before the connection is closed.
fn without_log(path: &Path) -> Result<Connection> {
    let alone = || -> rusqlite::Result<Connection> {
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        db.busy_timeout(file::BUSY)?;
        let mode: String = db.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
        db.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")?;
        let busy = || rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None);
        if mode == "delete" { Ok(db) } else { Err(busy()) }
    };
    alone().map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Locked { path: path.to_owned() },
        _ => file::named(path, error.into()),
    })
}

/// Locks the bytes that every open connection holds a share of. SQLite itself may be unable to read the file.
fn lock(path: &Path) -> Result<File> {
    const PENDING_BYTE: libc::off_t = 0x4000_0000;
    const BYTES: libc::off_t = 512;
    let file = File::options().read(true).write(true).open(path).map_err(failed(path))?;
    let range = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: PENDING_BYTE,
        l_len: BYTES,
        l_pid: 0,
    };
    match fcntl(&file, FcntlArg::F_OFD_SETLK(&range)) {
        Ok(_) => Ok(file),
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Err(Error::Locked { path: path.to_owned() }),
        Err(error) => Err(failed(path)(error.into())),
    }
}

/// Gives what is in its place a second name with the time, and takes the first one from all but the database.
fn keep(place: &Path, now: Timestamp) -> Result<Option<PathBuf>> {
    let there: Vec<_> =
        FILES.into_iter().filter(|suffix| with_suffix(place, suffix).symlink_metadata().is_ok()).collect();
    if there.is_empty() {
        return Ok(None);
    }
    let time = now.to_string().replace(':', "");
    let kept = |n: u32| {
        place.with_file_name(format!("{}.{time}{}", name(place), if n == 0 { String::new() } else { format!("-{n}") }))
    };
    let is_free = |kept: &PathBuf| FILES.iter().all(|suffix| with_suffix(kept, suffix).symlink_metadata().is_err());
    let taken = || failed(&kept(0))(ErrorKind::AlreadyExists.into());
    let kept = (0..100).map(kept).find(is_free).ok_or_else(taken)?;
    for suffix in there {
        // Never in the place of another file.
        fs::hard_link(with_suffix(place, suffix), with_suffix(&kept, suffix)).map_err(failed(&kept))?;
    }
    sync_directory(place)?;
    remove(place, &FILES[1..])?;
    sync_directory(place)?;
    Ok(Some(kept))
}

fn directory(place: &Path) -> &Path {
    place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_directory(place: &Path) -> Result<()> {
    File::open(directory(place)).and_then(|directory| directory.sync_all()).map_err(failed(place))
}
