//! The keys of a sink of kind `redis`.

use std::time::Duration;

use reqwest::Url;

use crate::delivery::AddressTemplate;
use crate::settings::reader::{SECOND, Section, is_loopback};
use crate::settings::secret::Secret;
use crate::sink::broker::{self, TlsFiles};
use crate::sink::domain::{NOT_ASCII, with_ascii_host};

#[derive(Clone, Debug, PartialEq)]
pub struct Redis {
    /// `redis`, `rediss` or `unix`; without user and password.
    pub url: String,
    pub stream: AddressTemplate,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub tls: TlsFiles,
    /// How many replicas must have a message before it counts as delivered; 0 = do not ask.
    pub wait_replicas: u32,
    pub wait_timeout: Duration,
    pub max_len: Option<u64>,
}

impl Redis {
    pub fn secrets(&self) -> Vec<&Secret> {
        self.password.iter().chain(self.tls.secret()).collect()
    }
}

pub(crate) const KEYS: &[&str] = &[
    "url",
    "stream",
    "user",
    "password",
    "password_file",
    broker::CA_FILE,
    broker::CERTIFICATE_FILE,
    broker::KEY_FILE,
    "wait_replicas",
    "wait_timeout",
    "max_len",
];

pub(crate) fn read(section: &mut Section) -> Redis {
    let url = url(section);
    let user = section.text("user").ok().flatten();
    let given = section.has("password") || section.has("password_file");
    let password = section.secret("password");
    if user.is_some() && !given {
        section.problem("password_file", "missing; user needs a password: name the file that holds it");
    }
    let redis = Redis {
        stream: broker::template(section, "stream", AddressTemplate::literal("renewald")),
        user,
        password,
        tls: TlsFiles::read(section),
        wait_replicas: u32::try_from(section.integer("wait_replicas", 0, 0..=100)).unwrap_or(0),
        wait_timeout: section.duration("wait_timeout", SECOND, SECOND..=600 * SECOND),
        max_len: max_len(section),
        url,
    };
    let plain = !redis.url.is_empty() && !redis.url.starts_with("rediss:");
    if plain && !redis.tls.is_empty() {
        section.problem("url", "is not encrypted, but certificates are given; write rediss:// instead of redis://");
    }
    redis
}

fn url(section: &mut Section) -> String {
    let Some(text) = section.required("url", "the server's address, such as rediss://redis.example:6379") else {
        return String::new();
    };
    match check_url(&text) {
        Ok(url) => {
            if url.scheme() == "redis" && !is_loopback(&url) {
                section.warning("url", "redis:// sends the password and licence keys in plain text; use rediss://");
            }
            url.into()
        }
        Err(reason) => {
            section.problem("url", reason);
            String::new()
        }
    }
}

/// The text is the mistake.
fn check_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "not a URL; write for example rediss://redis.example:6379")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or password; use user and password_file");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not have a query (?…) or a fragment (#…)");
    }
    match url.scheme() {
        "redis" | "rediss" if url.host_str().is_none_or(str::is_empty) => Err("names no host"),
        "redis" | "rediss" => {
            let database = url.path().trim_matches('/');
            if !database.is_empty() && database.parse::<u16>().is_err() {
                return Err("after the host only the database's number may follow: /0");
            }
            with_ascii_host(url).ok_or(NOT_ASCII)
        }
        "unix" if url.has_host() || url.path().len() < 2 => Err("a socket is written unix:///run/redis/redis.sock"),
        "unix" => Ok(url),
        _ => Err("must begin with rediss://, redis:// or unix://"),
    }
}

fn max_len(section: &mut Section) -> Option<u64> {
    if !section.has("max_len") {
        return None;
    }
    let max_len = u64::try_from(section.integer("max_len", 1_000_000, 1..=i64::MAX)).ok();
    section
        .warning("max_len", "Redis trims the oldest entries, read or not: keys that nobody has read yet may be lost");
    max_len
}
