//! Commands: one process per message, which reads it on its standard input, and what each exit status says.
//!
//! The process leads a group of its own. What the timeout or a drain cuts off is killed with everything it has started in
//! that group; a process that ends by itself leaves its background jobs alone.

pub mod settings;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::{Failure, Sink, json_line};
use crate::delivery::Message;

/// What the output of a process that has ended gets to arrive: a background job may hold it open for ever.
const LAST_OUTPUT: Duration = Duration::from_millis(100);

/// `EX_DATAERR` of sysexits.h: the message is not to the command's liking, and never will be.
const BAD_DATA: i32 = 65;
/// `EX_TEMPFAIL`: try later.
const TRY_LATER: i32 = 75;
/// Give up, for commands that do not know sysexits.h.
const GIVE_UP: i32 = 100;

/// What a command is sent when the machine, the service or a terminal is to stop: that is not about the message in hand.
const ASKED_TO_END: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

pub struct ExecConfig {
    /// The program's path.
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// All that the program gets of an environment, besides the message's id and type.
    pub environment: Vec<(OsString, OsString)>,
    /// For one message.
    pub timeout: Duration,
}

pub struct Exec(ExecConfig);

impl Exec {
    /// Starts nothing.
    pub fn new(config: ExecConfig) -> Self {
        Self(config)
    }

    fn start(&self, message: &Message) -> io::Result<Child> {
        Command::new(&self.0.program)
            .args(&self.0.arguments)
            .env_clear()
            .envs(self.0.environment.iter().map(|(name, value)| (name, value)))
            .env("RENEWALD_MESSAGE_ID", message.id.to_string())
            .env("RENEWALD_MESSAGE_TYPE", message.cloud_event_type())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
    }
}

impl Sink for Exec {
    async fn publish(&self, message: &Message) -> Result<(), Failure> {
        let line = json_line(message)?;
        let child =
            self.start(message).map_err(|error| Failure::surely_of_sink(format!("could not start: {error}")))?;
        // Dropped with everything else when the time is over, or when nobody waits any more.
        let group = Group::of(&child);
        match converse(child, &line, self.0.timeout).await {
            Some(Ok(status)) => {
                group.has_ended();
                classify(status)
            }
            Some(Err(error)) => Err(Failure::of_sink(format!("cannot be waited for: {error}"))),
            None => Err(Failure::of_sink(format!("not finished within {:?}: killed", self.0.timeout))),
        }
    }

    async fn check(&self) -> Result<(), String> {
        let program = self.0.program.display();
        let file = fs::metadata(&self.0.program).map_err(|error| format!("{program}: {error}"))?;
        if !file.is_file() {
            return Err(format!("{program} is not a file"));
        }
        if file.permissions().mode() & 0o111 == 0 {
            return Err(format!("{program} is not executable; run: chmod +x {program}"));
        }
        Ok(())
    }
}

/// Everything that a child has started and that has not left its group. Killed when dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    /// The child was waited for: its number may be somebody else's by now.
    fn has_ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0
            && let Err(error) = killpg(group, Signal::SIGKILL)
            && error != Errno::ESRCH
        {
            tracing::warn!(%error, "a command's processes could not be killed");
        }
    }
}

/// Feeds the child and reads what it says, until it ends; `None` when that takes too long. It may leave its input unread
/// and its output to others.
async fn converse(mut child: Child, line: &[u8], timeout: Duration) -> Option<io::Result<ExitStatus>> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        let Some(mut stdin) = stdin else { return };
        // A child that does not want to know all says by its status whether that is well.
        stdin.write_all(line).await.ok();
    };
    let (mut out, mut err) = (0, 0);
    let ended = {
        let mut aside = pin!(async { tokio::join!(feed, count(stdout, &mut out), count(stderr, &mut err)) });
        let mut deadline = pin!(tokio::time::sleep(timeout));
        let mut silent = false;
        let ended = loop {
            tokio::select! {
                ended = child.wait() => break ended,
                () = &mut deadline => return None,
                _ = &mut aside, if !silent => silent = true,
            }
        };
        if !silent && tokio::time::timeout(LAST_OUTPUT, aside).await.is_err() {
            tracing::debug!("something that a command started still holds its output");
        }
        ended
    };
    tracing::debug!(stdout_bytes = out, stderr_bytes = err, "a command has ended; its output is not kept");
    Some(ended)
}

async fn count(stream: Option<impl AsyncRead + Unpin>, bytes: &mut usize) {
    let Some(mut stream) = stream else { return };
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        *bytes += read;
    }
}

/// Whose fault a status is (design section 4).
fn classify(status: ExitStatus) -> Result<(), Failure> {
    match status.code() {
        Some(0) => Ok(()),
        Some(code @ (BAD_DATA | GIVE_UP)) => Err(Failure::Final { reason: format!("exit status {code}") }),
        Some(TRY_LATER) => Err(Failure::of_sink(format!("exit status {TRY_LATER}: the command asks to try later"))),
        Some(code) => Err(Failure::of_message(format!("exit status {code}"))),
        None => {
            let signal = status.signal().unwrap_or_default();
            let asked = ASKED_TO_END.iter().any(|one| *one as i32 == signal);
            let whose = if asked { Failure::of_sink } else { Failure::of_message };
            Err(whose(format!("ended by signal {signal}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_is_somebodys_fault() {
        let outcome = |code: i32| classify(ExitStatus::from_raw(code << 8));
        assert_eq!(outcome(0), Ok(()));
        for code in [65, 100] {
            assert_eq!(outcome(code), Err(Failure::Final { reason: format!("exit status {code}") }));
        }
        assert!(matches!(outcome(75), Err(Failure::Sink { .. })));
        for code in [1, 2, 64, 66, 69, 70, 74, 76, 99, 101, 126, 127, 255] {
            assert!(matches!(outcome(code), Err(Failure::Message { .. })), "{code}");
        }
        for signal in [1, 2, 15] {
            assert!(
                matches!(classify(ExitStatus::from_raw(signal)), Err(Failure::Sink { surely: false, .. })),
                "{signal}"
            );
        }
        let killed = classify(ExitStatus::from_raw(9)).unwrap_err();
        assert_eq!(killed, Failure::of_message("ended by signal 9".to_owned()));
    }
}
