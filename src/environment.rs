//! What whoever started us says by the environment, and no setting says: where our output goes, and who listens.
//!
//! Variables that are settings belong to [`crate::settings`].

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

/// Whether what is written to `stream` goes to the journal: systemd says so in `$JOURNAL_STREAM`, by device and inode.
pub fn is_journal(stream: impl AsFd) -> bool {
    std::env::var("JOURNAL_STREAM").is_ok_and(|journal| is_stream(&journal, stream))
}

fn is_stream(device_and_inode: &str, stream: impl AsFd) -> bool {
    let file = stream.as_fd().try_clone_to_owned().map(File::from);
    let metadata = file.and_then(|file| file.metadata());
    metadata.is_ok_and(|file| device_and_inode == format!("{}:{}", file.dev(), file.ino()))
}

/// Whether somebody started us who wants to be told how things stand: systemd, for a service of `Type=notify`.
pub fn is_notified() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Whether the user wants no colour (`$NO_COLOR` not empty) or the terminal has none (`TERM=dumb`).
pub fn no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|value| value == "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        let file = tempfile::tempfile().unwrap();
        let metadata = file.metadata().unwrap();
        assert!(is_stream(&format!("{}:{}", metadata.dev(), metadata.ino()), &file));
        assert!(!is_stream(&format!("{}:{}", metadata.dev(), metadata.ino() + 1), &file));
        assert!(!is_stream("", &file));
    }
}
