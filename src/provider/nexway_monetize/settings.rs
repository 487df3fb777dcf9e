//! The keys of a provider of kind `nexway-monetize`.

use std::fmt;
use std::path::Path;

use super::{Client, Paths};
use crate::budget::Budget;
pub use crate::provider::connection::TIMEOUT;
use crate::provider::connection::{ConfigError, Connection, realm_at};
use crate::provider::kinds::{IMPLIED_TERRITORY, PLACEHOLDER};
use crate::provider::nexway;
use crate::settings::reader::Section;
use crate::settings::secret::Secret;

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Without a trailing slash.
    pub api_url: String,
    /// Without a trailing slash.
    pub iam_url: String,
    pub realm: String,
    pub client_secret: Secret,
    pub paths: Paths,
    /// A JSON pointer into the decoded context; `None`: the reseller's number is `externalRefId`.
    pub number_pointer: Option<String>,
}

pub const KEYS: &[&str] = &[
    "api_url",
    "iam_url",
    "realm",
    "client_secret",
    "client_secret_file",
    "subscriptions_path",
    "orders_path",
    "licences_path",
    "number_pointer",
];

pub(crate) fn read(section: &mut Section) -> Settings {
    let api_url = section.base_url("api_url", "the platform's address, such as https://api.nexway.store");
    let iam_url = section.base_url("iam_url", "the token service's address, such as https://api.nexway.store/iam");
    let realm = section.required("realm", "the realm name from your access data").unwrap_or_default();
    let client_secret = section.required_secret("client_secret", "the client secret");
    let paths = Paths {
        subscriptions: path(section, "subscriptions_path", "/subscription-manager/subscriptions"),
        orders: path(section, "orders_path", "/ordersv2"),
        licences: path(section, "licences_path", "/license-manager/license"),
    };
    let client_secret = client_secret.unwrap_or_else(Secret::stand_in);
    Settings { api_url, iam_url, realm, client_secret, paths, number_pointer: number_pointer(section) }
}

fn number_pointer(section: &mut Section) -> Option<String> {
    let pointer = section.text("number_pointer").ok().flatten().filter(|pointer| !pointer.is_empty())?;
    if !pointer.starts_with('/') {
        section.problem(
            "number_pointer",
            "must be a JSON pointer into the decoded externalContext, such as \"/order\"".to_owned(),
        );
    }
    Some(pointer)
}

fn path(section: &mut Section, key: &str, default: &str) -> String {
    let Ok(Some(given)) = section.text(key) else { return default.to_owned() };
    let given = given.trim_end_matches('/');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
    if !given.starts_with('/') || !given.chars().all(is_plain) || given.split('/').any(|part| part == "..") {
        section.problem(key, format!("must be a path below api_url, such as {default:?}"));
    }
    given.to_owned()
}

impl Settings {
    pub fn territories(&self) -> Vec<&str> {
        vec![IMPLIED_TERRITORY]
    }

    pub fn secrets(&self) -> Vec<&Secret> {
        vec![&self.client_secret]
    }

    pub fn files(&self) -> Vec<&Path> {
        Vec::new()
    }

    pub fn account(&self) -> Vec<&str> {
        vec![&self.api_url, &self.realm]
    }

    pub fn limit(&self) -> Option<String> {
        realm_at(&self.iam_url, &self.realm)
    }

    pub fn given_twice(&self, first: &str) -> String {
        format!("api_url and realm are those of {first:?}; two would exceed the limit of the one account")
    }

    pub fn unfinished(&self) -> Option<String> {
        (self.realm == PLACEHOLDER)
            .then(|| format!("realm is still \"{PLACEHOLDER}\"; the provider's contract names yours"))
    }

    pub fn client(&self, connection: Connection, budget: Budget) -> Result<Client, ConfigError> {
        let config = nexway::Config {
            api_url: self.api_url.clone(),
            iam_url: self.iam_url.clone(),
            realm: self.realm.clone(),
            client_secret: self.client_secret.read()?,
            connection,
        };
        Client::new(&config, self.paths.clone(), self.number_pointer.clone(), budget)
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, realm {}", self.api_url, self.realm)
    }
}
