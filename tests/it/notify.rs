//! What systemd is told, on a socket of its protocol. The whole service is tried in tests/ship/systemd.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use crate::harness::{PATIENCE, Site};

/// The other side of `NOTIFY_SOCKET`.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    /// The lines of the next message.
    fn next(&self) -> Vec<String> {
        let mut text = [0; 4096];
        let length = self.socket.recv(&mut text).expect("something is told");
        String::from_utf8_lossy(&text[..length]).lines().map(str::to_owned).collect()
    }

    /// Waits for a message with a line that begins so; what came before it is skipped.
    fn wait_for(&self, beginning: &str) -> String {
        loop {
            if let Some(line) = self.next().into_iter().find(|line| line.starts_with(beginning)) {
                return line;
            }
        }
    }
}

#[test]
fn systemd_is_told_of_the_start_the_state_progress_a_reload_and_the_end() {
    let site = Site::without_sink();
    let socket = site.path("notify");
    let manager = Manager::listen(&socket);
    let environment = ["env", &format!("NOTIFY_SOCKET={}", socket.display()), "WATCHDOG_USEC=1000000"];
    let daemon = site.start_through(&environment, &["run"]);
    assert_eq!(manager.next(), ["READY=1"]);
    assert_eq!(manager.wait_for("STATUS="), "STATUS=0 subscriptions, all fresh; 0 messages wait");
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1");
    }
    let hung_up = Command::new("sh").args(["-c", "kill -HUP \"$0\"", &daemon.id().to_string()]).status();
    assert!(hung_up.unwrap().success());
    manager.wait_for("RELOADING=1");
    manager.wait_for("READY=1");
    daemon.terminate();
    manager.wait_for("STOPPING=1");
    daemon.wait().expect_code(0);
}

#[test]
fn a_manager_that_went_away_is_missed_by_nobody() {
    let site = Site::without_sink();
    let gone = format!("NOTIFY_SOCKET={}", site.path("nobody").display());
    let daemon = site.start_through(&["env", &gone, "WATCHDOG_USEC=1000000"], &["run"]);
    daemon.wait_for_log("started");
    daemon.drain();
}
