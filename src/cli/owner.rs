//! As root, a command becomes the user to whom the store's directory belongs, before it opens anything there.
//!
//! Else the daemon's user would find files that it cannot open, and root would follow whatever that user has put there.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Uid, geteuid, setgid, setgroups, setuid};

use super::{Error, Exit};

/// Gives up root for good, if this is root and the directory is not root's. Does nothing where there is no directory yet.
pub fn become_owner(database: &Path) -> Result<(), Error> {
    let directory = database.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(owner) = fs::metadata(directory) else { return Ok(()) };
    if !geteuid().is_root() || owner.uid() == 0 {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
    // The groups first: who is not root any more may not change them.
    setgroups(&[group]).and_then(|()| setgid(group)).and_then(|()| setuid(user)).map_err(|error| {
        let text = format!("cannot become user {user}, to whom {} belongs: {error}", directory.display());
        Error::new(Exit::Failed, text)
    })
}
