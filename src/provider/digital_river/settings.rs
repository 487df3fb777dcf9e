//! The keys of a provider of kind `digital-river`.

use std::fmt;
use std::path::Path;

use secrecy::ExposeSecret;

use super::{Client, Config};
use crate::budget::Budget;
pub use crate::provider::connection::TIMEOUT;
use crate::provider::connection::{ConfigError, Connection};
use crate::provider::kinds::IMPLIED_TERRITORY;
use crate::settings::reader::Section;
use crate::settings::secret::Secret;

/// The last that there was.
const NEWEST_VERSION: &str = "2021-12-13";

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Without a trailing slash.
    pub api_url: String,
    pub api_key: Secret,
    pub api_version: String,
    /// A JSON pointer into `metadata`; `None`: there are no keys.
    pub keys_pointer: Option<String>,
    /// Whether an address may be made for each invoice.
    pub invoice_links: bool,
}

pub const KEYS: &[&str] = &["api_url", "api_key", "api_key_file", "api_version", "keys_pointer", "invoice_links"];

pub(crate) fn read(section: &mut Section) -> Settings {
    let api_url =
        section.base_url("api_url", "the API's address; Digital River has closed, so none is taken for granted");
    let api_key =
        section.required_secret("api_key", "the confidential key, or better a restricted one that may only read");
    let api_version = section.text("api_version").ok().flatten().unwrap_or_else(|| NEWEST_VERSION.to_owned());
    if !api_version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') || api_version.is_empty() {
        section.problem("api_version", format!("must be a date, such as {NEWEST_VERSION:?}"));
    }
    let keys_pointer = section.text("keys_pointer").ok().flatten().filter(|pointer| !pointer.is_empty());
    if keys_pointer.as_ref().is_some_and(|pointer| !pointer.starts_with('/')) {
        section.problem("keys_pointer", "must be a JSON pointer into metadata, such as \"/licence_key\"");
    }
    Settings {
        api_url,
        api_key: api_key.unwrap_or_else(Secret::stand_in),
        api_version,
        keys_pointer,
        invoice_links: section.flag("invoice_links", false),
    }
}

impl Settings {
    pub fn territories(&self) -> Vec<&str> {
        vec![IMPLIED_TERRITORY]
    }

    pub fn secrets(&self) -> Vec<&Secret> {
        vec![&self.api_key]
    }

    pub fn files(&self) -> Vec<&Path> {
        Vec::new()
    }

    /// The key says which account it is, and whether it is the test one.
    pub fn account(&self) -> Vec<&str> {
        let key = match &self.api_key {
            Secret::Inline(key) => key.expose_secret(),
            Secret::File { name, .. } => name.to_str().unwrap_or_default(),
        };
        vec![&self.api_url, key]
    }

    pub fn limit(&self) -> Option<String> {
        None
    }

    pub fn given_twice(&self, first: &str) -> String {
        format!("api_url and api_key_file are those of {first:?}; two would deliver everything twice")
    }

    pub fn unfinished(&self) -> Option<String> {
        None
    }

    pub fn client(&self, connection: Connection, budget: Budget) -> Result<Client, ConfigError> {
        let config = Config {
            api_url: self.api_url.clone(),
            api_key: self.api_key.read()?,
            api_version: self.api_version.clone(),
            keys_pointer: self.keys_pointer.clone(),
            invoice_links: self.invoice_links,
            connection,
        };
        Client::new(config, budget)
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, version {}; Digital River has closed", self.api_url, self.api_version)
    }
}
