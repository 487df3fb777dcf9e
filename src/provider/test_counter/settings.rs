//! The key of a provider of kind `test-counter`.

use std::fmt;
use std::path::Path;

use super::Client;
use crate::budget::Budget;
pub use crate::provider::connection::TIMEOUT;
use crate::provider::connection::{ConfigError, Connection};
use crate::provider::kinds::IMPLIED_TERRITORY;
use crate::provider::tests::wire::Wire;
use crate::settings::reader::Section;
use crate::settings::secret::Secret;

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub url: String,
}

pub const KEYS: &[&str] = &["url"];

pub(crate) fn read(section: &mut Section) -> Settings {
    Settings { url: section.base_url("url", "the address") }
}

impl Settings {
    pub fn territories(&self) -> Vec<&str> {
        vec![IMPLIED_TERRITORY]
    }

    pub fn secrets(&self) -> Vec<&Secret> {
        Vec::new()
    }

    pub fn files(&self) -> Vec<&Path> {
        Vec::new()
    }

    pub fn account(&self) -> Vec<&str> {
        vec![&self.url]
    }

    pub fn limit(&self) -> Option<String> {
        None
    }

    pub fn given_twice(&self, first: &str) -> String {
        format!("url is that of {first:?}")
    }

    pub fn unfinished(&self) -> Option<String> {
        None
    }

    pub fn client(&self, connection: Connection, _: Budget) -> Result<Client, ConfigError> {
        Ok(Client { wire: Wire::new(&self.url, &connection)? })
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}
