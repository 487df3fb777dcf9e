//! A directory with settings, a file to import, and the binary that works in it.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SETTINGS: &str = r#"
[store]
path = "renewald.db"
[providers.bench]
kind = "nexway-connect"
api_url = "http://127.0.0.1:9/connect"
iam_url = "http://127.0.0.1:9/iam"
realm = "bench"
client_secret = "bench"
requests_per_second = 5
territories.eu.secret = "bench"
[sinks.shop]
kind = "queue"
[admin]
listen = ""
"#;

pub struct Site(tempfile::TempDir);

impl Site {
    /// With `rows` subscriptions in `rows.csv`, and nothing tracked.
    pub fn new(rows: u64) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("renewald.toml"), SETTINGS).expect("settings");
        let mut csv = "partner_order_number,subscription_id,generation,expires_at,metadata.customer\n".to_owned();
        for id in 1..=rows {
            writeln!(csv, "BENCH-{id},{id},0,2031-01-18T15:40:21Z,{id}").expect("written to memory");
        }
        std::fs::write(directory.path().join("rows.csv"), csv).expect("rows");
        Self(directory)
    }

    pub fn database(&self) -> PathBuf {
        self.0.path().join("renewald.db")
    }

    /// From the start of the process to its end.
    pub fn time(&self, arguments: &[&str]) -> Duration {
        let mut command = Command::new(env!("CARGO_BIN_EXE_renewald"));
        command.current_dir(self.0.path()).arg("-q").args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        let start = Instant::now();
        let status = command.status().expect("started");
        let took = start.elapsed();
        assert!(status.success(), "{arguments:?} failed");
        took
    }
}
