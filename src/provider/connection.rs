//! What a client of any kind is made with besides its own settings, and why it cannot be made.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use crate::settings::secret::SecretError;
use crate::tls;

/// For one request, where neither the settings nor the kind say otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// How requests travel, as the settings have it.
#[derive(Clone, Debug)]
pub struct Connection {
    /// For one request, the body of its answer included.
    pub timeout: Duration,
    pub connect_timeout: Duration,
    pub ca_file: Option<PathBuf>,
    pub proxy: Option<String>,
    /// For how long a connection serves further requests.
    pub connection_life: Duration,
    /// How many connections are kept open.
    pub concurrency: usize,
}

/// What accounts have in common whose requests are counted together: the realm, and the host of the token service. `None` where one
/// of them is missing.
pub fn realm_at(token_service: &str, realm: &str) -> Option<String> {
    let url = Url::parse(token_service).ok()?;
    let (host, port) = (url.host_str()?, url.port_or_known_default().unwrap_or_default());
    (!realm.is_empty()).then(|| format!("{host}:{port}/{realm}"))
}

/// Why the settings of an account cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("{key} is not an http or https URL without query and fragment")]
    Url { key: &'static str },
    /// Names the secret and does not show it.
    #[error("{what} holds characters that fit no HTTP header")]
    Header { what: String },
    #[error(transparent)]
    Tls(#[from] tls::Error),
}
