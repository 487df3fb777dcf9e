//! A private Redis server, and what its own command-line client sees in it.

use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::{Server, find, free_port};

const PACKAGE: &str = "redis-server";

/// A server on loopback whose entries survive its being killed; `stop` and `start` keep its port and its data.
pub struct Redis {
    program: PathBuf,
    client: PathBuf,
    dir: TempDir,
    port: u16,
    arguments: Vec<String>,
    /// What redis-cli needs besides the port.
    pub client_arguments: Vec<String>,
    server: Option<Server>,
}

/// An entry of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Fields and values in their order.
    pub fields: Vec<(String, String)>,
}

impl Entry {
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
    }

    /// The CloudEvent.
    pub fn body(&self) -> serde_json::Value {
        serde_json::from_str(self.field("body")).expect("a body is JSON")
    }
}

impl Redis {
    /// `None` where it is not installed.
    pub fn new() -> Option<Self> {
        Self::with(|port| vec!["--port".to_owned(), port.to_string()])
    }

    /// With what it is told of its port, and whatever goes with that.
    pub fn with(arguments: impl FnOnce(u16) -> Vec<String>) -> Option<Self> {
        let (program, client) = (find("redis-server", PACKAGE)?, find("redis-cli", "redis-tools")?);
        let (dir, port) = (tempfile::tempdir().expect("a directory"), free_port());
        let arguments = arguments(port);
        let mut this = Self { program, client, dir, port, arguments, client_arguments: vec![], server: None };
        this.start();
        Some(this)
    }

    pub fn start(&mut self) {
        let dir = self.dir.path().display().to_string();
        let durable =
            ["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--dir", &dir];
        let arguments: Vec<_> = durable.into_iter().chain(self.arguments.iter().map(String::as_str)).collect();
        let server = Server::start(&self.program, &arguments, &[], &self.dir.path().join("log"));
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

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What redis-cli prints, without its last line end.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "redis-cli {arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut client = Command::new(&self.client);
        client.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-e"]).args(&self.client_arguments);
        client.args(arguments).output().expect("redis-cli starts")
    }

    /// How many entries a stream has; 0 while nobody answers.
    pub fn length(&self, stream: &str) -> usize {
        String::from_utf8_lossy(&self.run(&["XLEN", stream]).stdout).trim().parse().unwrap_or(0)
    }

    /// Everything in a stream, in its order.
    pub fn entries(&self, stream: &str) -> Vec<Entry> {
        let printed = self.cli(&["--json", "XRANGE", stream, "-", "+"]);
        let entries: Vec<(String, Vec<String>)> = serde_json::from_str(&printed).expect("entries as JSON");
        let pairs = |words: Vec<String>| words.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        entries.into_iter().map(|(_, words)| Entry { fields: pairs(words) }).collect()
    }
}
