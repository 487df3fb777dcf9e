//! The keys of a provider of kind `smartpay`.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Client, Config};
use crate::budget::Budget;
use crate::provider::connection::{ConfigError, Connection};
use crate::provider::kinds::{IMPLIED_TERRITORY, PLACEHOLDER};
use crate::settings::reader::Section;
use crate::settings::secret::Secret;

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Without a trailing slash.
    pub api_url: String,
    pub merchant_key: Secret,
    pub authentication_key: Option<Secret>,
    /// The merchant's own address, as the vendor has it.
    pub origin: Option<String>,
    pub first_cycle_is_purchase: bool,
    /// A JSON pointer into the metadata of a subscription; `None`: no keys are looked for.
    pub keys_pointer: Option<String>,
}

pub const KEYS: &[&str] = &[
    "api_url",
    "merchant_key",
    "merchant_key_file",
    "authentication_key",
    "authentication_key_file",
    "origin",
    "first_cycle_is_purchase",
    "keys_pointer",
];

/// The vendor advises to wait for at least so long.
pub const TIMEOUT: Duration = Duration::from_secs(90);

pub(crate) fn read(section: &mut Section) -> Settings {
    let api_url = section.base_url("api_url", "the API's address, which the vendor tells for each environment");
    let merchant_key = section.required_secret("merchant_key", "the merchant key");
    Settings {
        api_url,
        merchant_key: merchant_key.unwrap_or_else(Secret::stand_in),
        authentication_key: section.secret("authentication_key"),
        origin: origin(section),
        first_cycle_is_purchase: section.flag("first_cycle_is_purchase", true),
        keys_pointer: keys_pointer(section),
    }
}

/// As browsers write it: scheme and host, and nothing behind them.
fn origin(section: &mut Section) -> Option<String> {
    let url = section.url("origin")?;
    if url.path() != "/" || url.query().is_some() {
        section.problem("origin", "must be your address without a path, such as \"https://shop.example\"");
    }
    Some(url.origin().ascii_serialization())
}

fn keys_pointer(section: &mut Section) -> Option<String> {
    let pointer = section.text("keys_pointer").ok().flatten()?;
    if !pointer.starts_with('/') {
        section.problem("keys_pointer", "must be a JSON pointer into merchantMetadata, such as \"/licence/key\"");
    }
    Some(pointer)
}

/// The value of `Authorization`.
pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{password}")))
}

impl Settings {
    pub fn territories(&self) -> Vec<&str> {
        vec![IMPLIED_TERRITORY]
    }

    pub fn secrets(&self) -> Vec<&Secret> {
        [&self.merchant_key].into_iter().chain(&self.authentication_key).collect()
    }

    pub fn files(&self) -> Vec<&Path> {
        Vec::new()
    }

    /// The key is the account; where it comes from a file, the file's name is.
    pub fn account(&self) -> Vec<&str> {
        let key = match &self.merchant_key {
            Secret::File { name, .. } => name.to_str().unwrap_or_default(),
            Secret::Inline(key) => secrecy::ExposeSecret::expose_secret(key),
        };
        vec![&self.api_url, key]
    }

    pub fn limit(&self) -> Option<String> {
        None
    }

    pub fn given_twice(&self, first: &str) -> String {
        format!("api_url and merchant key are those of {first:?}; two would exceed the limit of the one account")
    }

    pub fn unfinished(&self) -> Option<String> {
        self.api_url
            .to_ascii_uppercase()
            .contains(PLACEHOLDER)
            .then(|| format!("api_url still holds \"{PLACEHOLDER}\"; the vendor tells yours for each environment"))
    }

    pub fn client(&self, connection: Connection, budget: Budget) -> Result<Client, ConfigError> {
        let config = Config {
            api_url: self.api_url.clone(),
            merchant_key: self.merchant_key.read()?,
            authentication_key: self.authentication_key.as_ref().map(Secret::read).transpose()?,
            origin: self.origin.clone(),
            first_cycle_is_purchase: self.first_cycle_is_purchase,
            keys_pointer: self.keys_pointer.clone(),
            connection,
        };
        Client::new(&config, budget)
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = if self.authentication_key.is_some() { "merchant and authentication key" } else { "merchant key" };
        write!(f, "{}, {with}", self.api_url)
    }
}
