//! File: JSON lines, one message each, on disk before a message counts as delivered.
//!
//! The file may be rotated at any time, by renaming or by copying and truncating: before each line the path is looked at
//! again. renewald is meant to be the only writer.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::{Failure, Sink, blocking, json_line};
use crate::delivery::Message;

pub struct FileSink {
    /// Locked while waiting too, so that a disk that hangs holds one thread and not one per attempt.
    lines: Arc<Mutex<Lines>>,
    timeout: Duration,
}

impl FileSink {
    /// Opens nothing yet. Messages that come at the same time are written one after the other.
    pub fn new(path: PathBuf, timeout: Duration) -> Self {
        Self { lines: Arc::new(Mutex::new(Lines { path, file: None })), timeout }
    }
}

impl Sink for FileSink {
    async fn publish(&self, message: &Message) -> Result<(), Failure> {
        let line = json_line(message)?;
        blocking(&self.lines, self.timeout, move |lines| lines.append(&line)).await.map_err(Failure::of_sink)
    }

    /// Creates no file: it would belong to whoever checks, who may not be the user that writes it.
    async fn check(&self) -> Result<(), String> {
        blocking(&self.lines, self.timeout, |lines| lines.check()).await
    }
}

/// The file at `path`, as long as it is the one that stands there.
struct Lines {
    path: PathBuf,
    file: Option<File>,
}

impl Lines {
    /// Returns once the line is on disk. After an error the whole line is to be written again.
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) if stands_at(&file, &self.path)? => file,
            _ => open(&self.path)?,
        };
        let length = file.metadata()?.len();
        end_torn_line(&mut file, length)?;
        let written = file.write_all(line).and_then(|()| file.sync_data());
        if written.is_ok() {
            self.file = Some(file); // else opened anew: after a failed sync this one's state is unknown
        } else if let Err(error) = file.set_len(length) {
            tracing::warn!("part of a line stays in the file, to be ended by the next one: {error}");
        }
        written
    }

    fn check(&self) -> io::Result<()> {
        match fs::metadata(&self.path) {
            Ok(_) => regular(OpenOptions::new().read(true).append(true).open(&self.path)?).map(drop),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tempfile::tempfile_in(parent(&self.path)).map(drop)
            }
            Err(error) => Err(error),
        }
    }
}

/// For us alone: the lines hold keys. The new name is on disk when this returns.
fn open(path: &Path) -> io::Result<File> {
    let file = regular(OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?)?;
    File::open(parent(path))?.sync_all()?;
    Ok(file)
}

/// A pipe or a device cannot promise to keep a line.
fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Whether the file has neither been renamed nor removed since it was opened.
fn stands_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(theirs) => Ok((ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A crash or a full disk may have left half a line: the next one must not be glued to it.
fn end_torn_line(file: &mut File, length: u64) -> io::Result<()> {
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    if last == [b'\n'] { Ok(()) } else { file.write_all(b"\n") }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::tests::message;
    use super::*;

    struct Fixture {
        dir: tempfile::TempDir,
        sink: FileSink,
    }

    impl Fixture {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let sink = FileSink::new(dir.path().join("renewals.jsonl"), Duration::from_secs(30));
            Self { dir, sink }
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("renewals.jsonl")
        }

        async fn publish(&self, body: &str) {
            self.sink.publish(&message(body)).await.unwrap();
        }

        fn content(&self) -> String {
            fs::read_to_string(self.path()).unwrap()
        }
    }

    #[tokio::test]
    async fn appends_a_line_per_message_in_a_private_file() {
        let fixture = Fixture::new();
        fixture.publish(r#"{"a":1}"#).await;
        fixture.publish(r#"{"a":2}"#).await;
        assert_eq!(fixture.content(), "{\"a\":1}\n{\"a\":2}\n");
        assert_eq!(fs::metadata(fixture.path()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn messages_at_the_same_time_stay_whole() {
        let fixture = Fixture::new();
        let body = format!("\"{}\"", "x".repeat(100_000));
        let message = message(&body);
        let publishes = (0..16).map(|_| fixture.sink.publish(&message));
        for result in futures_util::future::join_all(publishes).await {
            result.unwrap();
        }
        assert_eq!(fixture.content(), format!("{body}\n").repeat(16));
    }

    #[tokio::test]
    async fn follows_the_path_when_the_file_is_renamed_or_removed() {
        let fixture = Fixture::new();
        fixture.publish("1").await;
        fs::rename(fixture.path(), fixture.dir.path().join("old")).unwrap();
        fixture.publish("2").await;
        assert_eq!(fixture.content(), "2\n");
        fs::remove_file(fixture.path()).unwrap();
        fixture.publish("3").await;
        assert_eq!(fixture.content(), "3\n");
        assert_eq!(fs::read_to_string(fixture.dir.path().join("old")).unwrap(), "1\n");
    }

    #[tokio::test]
    async fn goes_on_at_the_start_of_a_truncated_file() {
        let fixture = Fixture::new();
        fixture.publish("1").await;
        fs::write(fixture.path(), "").unwrap();
        fixture.publish("2").await;
        assert_eq!(fixture.content(), "2\n");
    }

    #[tokio::test]
    async fn ends_a_torn_line_first() {
        let fixture = Fixture::new();
        fs::write(fixture.path(), "1\n{\"half").unwrap();
        fixture.publish("2").await;
        assert_eq!(fixture.content(), "1\n{\"half\n2\n");
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_the_sinks_trouble() {
        let fixture = Fixture::new();
        for path in [fixture.dir.path().to_owned(), fixture.dir.path().join("missing/file"), "/dev/full".into()] {
            let sink = FileSink::new(path.clone(), Duration::from_secs(30));
            let failure = sink.publish(&message("1")).await.unwrap_err();
            assert!(matches!(failure, Failure::Sink { .. }), "{path:?}: {failure:?}");
            assert!(sink.check().await.is_err(), "{path:?}");
        }
    }

    #[tokio::test]
    async fn a_body_of_two_lines_is_never_written() {
        let fixture = Fixture::new();
        let failure = fixture.sink.publish(&message("{\n}")).await.unwrap_err();
        assert!(matches!(failure, Failure::Unsent { is_final: true, .. }), "{failure:?}");
        assert!(!fixture.path().exists());
    }

    #[tokio::test]
    async fn checking_creates_nothing() {
        let fixture = Fixture::new();
        fixture.sink.check().await.unwrap();
        assert!(!fixture.path().exists());
        fixture.publish("1").await;
        fixture.sink.check().await.unwrap();
        assert_eq!(fixture.content(), "1\n");
    }
}
