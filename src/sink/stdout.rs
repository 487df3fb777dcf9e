//! Standard output: JSON lines for a script that reads from a pipe. Delivered means written to the pipe, not read from it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::{Failure, Sink, blocking, json_line};
use crate::delivery::Message;

pub struct StdoutSink {
    lines: Arc<Mutex<Lines<File>>>,
    timeout: Duration,
}

impl StdoutSink {
    /// Fails when standard output is closed.
    pub fn new(timeout: Duration) -> io::Result<Self> {
        // Past the buffer of `io::stdout`, which would keep half a line after a failed write and send it later.
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { lines: Arc::new(Mutex::new(Lines { out, torn: false })), timeout })
    }
}

impl Sink for StdoutSink {
    async fn publish(&self, message: &Message) -> Result<(), Failure> {
        let line = json_line(message)?;
        blocking(&self.lines, self.timeout, move |lines| lines.write(&line)).await.map_err(Failure::of_sink)
    }

    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

struct Lines<W> {
    out: W,
    /// The last write failed and may have left half a line.
    torn: bool,
}

impl<W: Write> Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.out.write_all(b"\n")?;
        }
        self.torn = true;
        self.out.write_all(line)?;
        self.out.flush()?;
        self.torn = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `room` bytes, then fails once.
    struct Narrow {
        taken: Vec<u8>,
        room: usize,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                self.room = usize::MAX;
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let taken = bytes.len().min(self.room);
            self.taken.extend_from_slice(&bytes[..taken]);
            self.room -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn half_a_line_is_ended_before_the_next() {
        let mut lines = Lines { out: Narrow { taken: vec![], room: 4 }, torn: false };
        lines.write(b"1\n").unwrap();
        assert_eq!(lines.write(b"234\n").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        lines.write(b"234\n").unwrap();
        lines.write(b"5\n").unwrap();
        assert_eq!(String::from_utf8(lines.out.taken).unwrap(), "1\n23\n234\n5\n");
    }

    #[tokio::test]
    async fn a_broken_pipe_is_the_sinks_trouble() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let out = File::from(std::os::fd::OwnedFd::from(writer));
        let sink =
            StdoutSink { lines: Arc::new(Mutex::new(Lines { out, torn: false })), timeout: Duration::from_secs(30) };
        let failure = sink.publish(&super::super::tests::message("1")).await.unwrap_err();
        assert!(matches!(failure, Failure::Sink { .. }), "{failure:?}");
    }
}
