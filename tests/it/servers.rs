//! Real servers for tests: private ones, on ports of their own, with their data in a temporary directory, gone at the end
//! whatever becomes of the test.
//!
//! One file per server below. What is common is here: finding the program, a free port, waiting, ending.

pub mod authority;
pub mod nats;
pub mod operator;
pub mod rabbitmq;
pub mod redis;
pub mod smtp;

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A big server on a busy machine takes its time to start.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs a program in a session of its own until our end of its stdin is closed, which the kernel sees to if the tests die.
const SUPERVISOR: &str = r#"setsid "$@" </dev/null & server=$!; read -r _; kill -KILL "-$server"; wait "$server""#;

/// Removes a directory when the tests have ended, after those who write there.
const SWEEPER: &str = r#"read -r _; sleep 1; rm -rf -- "$1""#;

/// Where a server's program is; `None` after saying that this test is skipped. With `RENEWALD_TEST_SERVERS=required`, as
/// tests/run sets it, a missing one is a failure.
pub fn find(program: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = ["/usr/lib/rabbitmq/bin", "/usr/sbin", "/usr/bin"].map(PathBuf::from);
    // Debian's own directory first: /usr/sbin/rabbitmq-server is a wrapper that insists on the system's account.
    let mut places = debian.into_iter().chain(std::env::split_paths(&path));
    let found = places.find_map(|place| Some(place.join(program)).filter(|file| file.is_file()));
    if found.is_none() {
        missing(program, &format!("apt-get install {package}"));
    }
    found
}

/// Says what is missing and how to get it, and fails where it is required.
pub fn missing(program: &str, remedy: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let required = std::env::var_os("RENEWALD_TEST_SERVERS").is_some_and(|value| value == "required");
    assert!(!required, "{test} needs {program}: {remedy}");
    // Not by eprintln!, which is kept back while a test passes.
    writeln!(std::io::stderr(), "SKIPPED {test}: there is no {program} here; {remedy}").ok();
}

/// A server that can be killed and started again where it was, with what it had on disk.
pub trait Restart: Send {
    /// SIGKILL.
    fn stop(&mut self);
    /// Returns once it can be used.
    fn start(&mut self);
}

/// A port that was free a moment ago, on loopback.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// A directory for a server that lives as long as the tests: no destructor runs then.
pub fn directory_of_all() -> PathBuf {
    let path = tempfile::tempdir().expect("a directory").keep();
    let mut sweeper = Command::new("sh");
    sweeper.args(["-c", SWEEPER, "sweeper"]).arg(&path).stdin(Stdio::piped());
    // Its stdin is closed when this process ends; nobody waits for it.
    std::mem::forget(sweeper.spawn().expect("a shell"));
    path
}

/// A running program. Killed with all that it started when dropped, or when the tests end in any other way.
pub struct Server {
    supervisor: Child,
    log: PathBuf,
}

impl Server {
    /// Its output goes to `log`, after what is there.
    pub fn start(program: &Path, arguments: &[&str], environment: &[(&str, &str)], log: &Path) -> Self {
        let output = File::options().create(true).append(true).open(log).expect("a log file");
        let supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "supervisor"])
            .arg(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(output.try_clone().expect("the same file"))
            .stderr(output)
            .spawn()
            .expect("a shell");
        Self { supervisor, log: log.to_owned() }
    }

    /// Waits until it can be connected to.
    pub fn wait_for_port(&self, port: u16) {
        self.wait_until(&format!("port {port}"), || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    }

    /// Looks again and again; panics with the server's last words when it takes too long.
    pub fn wait_until(&self, what: &str, mut ready: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !ready() {
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}\n{}", self.last_words());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(4000)..]).into_owned()
    }
}

impl Drop for Server {
    /// SIGKILL, and it is gone afterwards.
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        self.supervisor.wait().ok(); // a shell of ours, which ends by itself
    }
}
