//! The store's directory, its file system and its database, looked at without creating anything.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Findings;
use crate::cli::Error;
use crate::store::{self, Access, Store};
use crate::text::size;

/// File systems whose locks and syncs another machine promises; SQLite's are not safe there.
const NETWORK: [&str; 13] = [
    "9p",
    "afs",
    "ceph",
    "cifs",
    "fuse.glusterfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.sshfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "smb3",
];

/// Says what it finds; the store, where there is one that can be opened.
pub(super) fn look(database: &Path, findings: &mut Findings) -> Option<Store> {
    let directory = database.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let place = directory.display();
    match fs::metadata(directory) {
        Err(error) => {
            findings.problem(
                "store",
                format!(
                    "{place}: {error}; systemd creates it (StateDirectory), otherwise: \
                     install -d -o renewald -g renewald -m 0700 {place}"
                ),
            );
            return None;
        }
        Ok(metadata) if !metadata.is_dir() => {
            findings.problem("store", format!("{place} is not a directory"));
            return None;
        }
        Ok(_) => {}
    }
    // Leaves no trace: the file has no name.
    match tempfile::tempfile_in(directory) {
        Ok(_) => findings.ok("store", format!("{place} is writable")),
        Err(error) => findings.problem("store", format!("cannot write in {place}: {error}")),
    }
    file_system(directory, findings);
    open(database, findings)
}

fn file_system(directory: &Path, findings: &mut Findings) {
    let (Ok(directory), Ok(mounts)) = (fs::canonicalize(directory), fs::read_to_string("/proc/self/mountinfo")) else {
        return;
    };
    let Some(kind) = mount_type(&mounts, &directory) else { return };
    if NETWORK.contains(&kind) {
        findings.warning(
            "store",
            format!("{} is on a network file system ({kind}): not supported, use a local disk", directory.display()),
        );
    }
}

/// The type of the file system that holds `path`, by the text of `/proc/self/mountinfo`.
fn mount_type<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let Some((mount, source)) = line.split_once(" - ") else { continue };
        let (Some(point), Some(kind)) = (mount.split(' ').nth(4), source.split(' ').next()) else { continue };
        let point = PathBuf::from(unescaped(point));
        let depth = point.components().count();
        // Of those on the same point the last one covers the others.
        if path.starts_with(&point) && best.is_none_or(|(deepest, _)| depth >= deepest) {
            best = Some((depth, kind));
        }
    }
    best.map(|(_, kind)| kind)
}

/// Blanks and backslashes are written in octal there.
fn unescaped(point: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(point.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

fn open(database: &Path, findings: &mut Findings) -> Option<Store> {
    let place = database.display();
    let metadata = match fs::metadata(database) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            findings.ok("database", format!("{place} does not exist yet; the first command that needs it creates it"));
            return None;
        }
        Err(error) => {
            findings.problem("database", format!("{place}: {error}"));
            return None;
        }
    };
    let user = fs::metadata("/proc/self").map_or(metadata.uid(), |process| process.uid());
    if metadata.uid() != user {
        let text = format!(
            "{place} belongs to user {}, this is user {user}: check as the daemon's user to see what it sees",
            metadata.uid()
        );
        findings.warning("database", text);
    }
    // First, for whoever opens it also changes it: a log that does not belong to it would be worked into it.
    match store::verify(database).and_then(|()| Store::open(database, Access::Existing)) {
        Ok(store) => {
            let mode = metadata.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                findings.warning("database", format!("{place} had mode {mode:04o}: others could read it; set to 0600"));
            }
            findings.ok("database", format!("{place} is whole, {}", size(metadata.len())));
            Some(store)
        }
        Err(error @ store::Error::Incomplete { .. }) => {
            findings.problem("database", format!("{error}; restore a backup with `renewald restore`"));
            None
        }
        Err(error) => {
            findings.problem("database", Error::from(error).text);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /mnt/share rw - nfs4 server:/export rw
31 22 0:41 / /mnt/with\\040space rw - cifs //server/x rw
32 22 0:42 / /srv rw - nfs server:/old rw
33 22 8:2 / /srv rw shared:2 master:1 - xfs /dev/sdb1 rw
broken line
";

    #[test]
    fn the_deepest_and_last_mount_counts() {
        let kind = |path: &str| mount_type(MOUNTS, Path::new(path));
        assert_eq!(kind("/var/lib/renewald"), Some("ext4"));
        assert_eq!(kind("/mnt/share/renewald"), Some("nfs4"));
        assert_eq!(kind("/mnt/shareholder"), Some("ext4"));
        assert_eq!(kind("/mnt/with space"), Some("cifs"));
        assert_eq!(kind("/srv/renewald"), Some("xfs"), "mounted over it");
        assert_eq!(mount_type("", Path::new("/")), None);
    }

    #[test]
    fn a_database_that_is_not_there_is_not_created() {
        let dir = tempfile::tempdir().unwrap();
        let mut findings = Findings::default();
        assert!(look(&dir.path().join("renewald.db"), &mut findings).is_none());
        assert_eq!(findings.worst(), Some(super::super::Level::Ok), "{findings:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(look(&dir.path().join("none/renewald.db"), &mut findings).is_none());
        assert_eq!(findings.worst(), Some(super::super::Level::Problem));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_foreign_database_is_a_problem() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("renewald.db");
        fs::write(&path, "no database").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let mut findings = Findings::default();
        assert!(look(&path, &mut findings).is_none());
        let texts: Vec<_> = findings.items.iter().map(|item| item.text.as_str()).collect();
        assert!(!texts.iter().any(|text| text.contains("mode 0644")), "{texts:?}");
        assert!(texts.iter().any(|text| text.contains("not a renewald database")), "{texts:?}");
        assert_eq!(fs::read(&path).unwrap(), b"no database");
    }
}
