//! Addresses: what the settings give, and what lies below it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use reqwest::Url;

use super::connection::ConfigError;

/// All that RFC 3986 does not call unreserved, so that a name stays one path segment or one value whatever it holds.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// As one segment of a path, or one value of a query.
pub fn encoded(name: &str) -> PercentEncode<'_> {
    utf8_percent_encode(name, SEGMENT)
}

pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

pub fn base(key: &'static str, url: &str) -> Result<Url, ConfigError> {
    let usable = |url: &Url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() && url.fragment().is_none()
    };
    Url::parse(url).ok().filter(usable).ok_or(ConfigError::Url { key })
}

pub fn below(base: &Url, path: &str) -> Option<Url> {
    Url::parse(&format!("{}{path}", base.as_str().trim_end_matches('/'))).ok()
}
