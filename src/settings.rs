//! Settings: read once, checked whole (design section 7).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

#[derive(Clone, Debug)]
pub struct Settings {
    pub store: Store,
    pub poll: Poll,
    pub order_data: OrderData,
    pub providers: BTreeMap<String, Provider>,
    pub sinks: BTreeMap<String, Sink>,
    pub admin: Admin,
    pub log: Log,
}

#[derive(Clone, Debug)]
pub struct Store {
    pub path: PathBuf,
    pub retention: Duration,
    pub dead_retention: Duration,
    pub encryption_key_file: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct Poll {
    pub every: Duration,
    pub window_before: Duration,
    pub window_after: Duration,
    pub ended_after: Duration,
    pub max_generation_jump: i64,
}

#[derive(Clone, Debug)]
pub struct OrderData {
    pub retry_first: Duration,
    pub retry_max: Duration,
}

#[derive(Clone, Debug)]
pub struct Provider {
    pub kind: ProviderKind,
    /// Without a trailing slash.
    pub api_url: String,
    pub iam_url: String,
    pub realm: String,
    pub client_secret: Secret,
    /// 0 = no limit.
    pub requests_per_second: f64,
    pub concurrency: usize,
    pub timeout: Duration,
    pub connect_timeout: Duration,
    pub ca_file: Option<PathBuf>,
    pub proxy: Option<String>,
    /// By territory name.
    pub territories: BTreeMap<String, Secret>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    NexwayConnect,
}

/// Where a secret is to be had. Only [`Secret::read`] opens files, so that a command reads just the secrets it uses.
#[derive(Clone, Debug)]
pub enum Secret {
    Inline(SecretString),
    File { name: PathBuf, key: String /* .. */ },
}

#[derive(Clone, Debug)]
pub struct Sink {
    pub kind: SinkKind,
    /// Without prefix and version: `renewal.ready`; `None` = all.
    pub events: Option<Vec<String>>,
    /// Empty = all.
    pub territories: Vec<String>,
    pub concurrency: usize,
    pub timeout: Duration,
    pub max_attempts: u32,
}

#[derive(Clone, Debug)]
pub enum SinkKind {
    Webhook {
        url: String,
        signing_secret: Option<Secret>,
        signing_secret_previous: Option<Secret>,
        ca_file: Option<PathBuf>,
        proxy: Option<String>,
    },
    File {
        path: PathBuf,
    },
    Stdout,
    Queue,
}

#[derive(Clone, Debug)]
pub struct Admin {
    pub listen: String,
    pub token: Option<Secret>,
    pub heartbeat_url: Option<String>,
    pub alert_after: Duration,
}

#[derive(Clone, Debug)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Auto,
    Text,
    Json,
}
