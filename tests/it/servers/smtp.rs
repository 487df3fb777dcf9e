//! A private mail server, and its mails as Python's own email package reads them. `smtp.py` is both.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Server, find, free_port, missing};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/servers/smtp.py");
/// Where tests/run puts what Debian does not have.
const VENV: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/test-venv/bin/python");

/// A server on loopback; `stop` and `start` keep its port and its mails.
pub struct Smtp {
    python: PathBuf,
    dir: TempDir,
    port: u16,
    options: Value,
    server: Option<Server>,
}

/// A mail as it arrived.
#[derive(Clone, Debug, Deserialize)]
pub struct Mail {
    pub envelope: Envelope,
    /// Decoded, in their order.
    pub headers: Vec<(String, String)>,
    pub text: Option<String>,
    pub html: Option<String>,
    pub attachments: Vec<Attached>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Envelope {
    pub from: String,
    pub to: Vec<String>,
    pub tls: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Attached {
    pub name: String,
    pub content: String,
}

impl Mail {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(header, _)| header == name).map_or("", |(_, value)| value)
    }

    /// Out of the Message-ID.
    pub fn id(&self) -> &str {
        let id = self.header("Message-ID");
        id.trim_start_matches('<').split('@').next().unwrap_or_default()
    }
}

impl Smtp {
    /// Takes everything, in plain text. `None` where aiosmtpd is not installed.
    pub fn new() -> Option<Self> {
        Self::with(json!({}))
    }

    /// `options` are described in the script.
    pub fn with(options: Value) -> Option<Self> {
        let python = python()?;
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("mails")).expect("a directory");
        let mut this = Self { python, dir, port: free_port(), options, server: None };
        this.start();
        Some(this)
    }

    pub fn start(&mut self) {
        let (port, mails, options) =
            (self.port.to_string(), self.mailbox().display().to_string(), self.options.to_string());
        let arguments = [SCRIPT, "serve", &port, &mails, &options];
        let server = Server::start(&self.python, &arguments, &[], &self.dir.path().join("log"));
        server.wait_for_port(self.port);
        self.server = Some(server);
    }

    /// SIGKILL.
    pub fn stop(&mut self) {
        self.server = None;
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    fn mailbox(&self) -> PathBuf {
        self.dir.path().join("mails")
    }

    pub fn count(&self) -> usize {
        let files = fs::read_dir(self.mailbox()).expect("a directory").flatten();
        files.filter(|file| file.path().extension().is_some_and(|extension| extension == "eml")).count()
    }

    pub fn mails(&self) -> Vec<Mail> {
        let read =
            Command::new(&self.python).args([SCRIPT, "read"]).arg(self.mailbox()).output().expect("python starts");
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
        serde_json::from_slice(&read.stdout).expect("mails as JSON")
    }
}

/// One that has aiosmtpd.
fn python() -> Option<PathBuf> {
    let has_it = |python: &Path| {
        let tried = Command::new(python).args(["-c", "import aiosmtpd"]).output();
        tried.is_ok_and(|output| output.status.success())
    };
    if has_it(Path::new(VENV)) {
        return Some(VENV.into());
    }
    let python = find("python3", "python3")?;
    if has_it(&python) {
        return Some(python);
    }
    missing("aiosmtpd", "python3-aiosmtpd");
    None
}
