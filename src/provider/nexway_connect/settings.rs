//! The keys of a provider of kind `nexway-connect`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::{Client, Config};
use crate::budget::Budget;
pub use crate::provider::connection::TIMEOUT;
use crate::provider::connection::{ConfigError, Connection, realm_at};
use crate::provider::kinds::PLACEHOLDER;
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
    /// The `secret` header's value, by territory name.
    pub territories: BTreeMap<String, Secret>,
}

pub const KEYS: &[&str] = &["api_url", "iam_url", "realm", "client_secret", "client_secret_file", "territories"];

pub(crate) fn read(section: &mut Section) -> Settings {
    let api_url = section.base_url("api_url", "the API's address, such as https://api.nexway.store/connect");
    let iam_url = section.base_url("iam_url", "the token service's address, such as https://api.nexway.store/iam");
    let realm = section.required("realm", "the realm name from your access data").unwrap_or_default();
    let client_secret = section.required_secret("client_secret", "the client secret");
    let territories = territories(section.section("territories"));
    Settings { api_url, iam_url, realm, client_secret: client_secret.unwrap_or_else(Secret::stand_in), territories }
}

fn territories(mut section: Section) -> BTreeMap<String, Secret> {
    let mut territories = BTreeMap::new();
    let names = section.names();
    if names.is_empty() {
        section
            .report
            .problem(&section.path, "no territory is configured; add a table [providers.NAME.territories.eu]");
    }
    for name in names {
        section.check_name(&name);
        let mut territory = section.section(&name);
        let secret = territory.required_secret("secret", "the secret of this territory");
        territory.finish();
        territories.insert(name, secret.unwrap_or_else(Secret::stand_in));
    }
    section.finish();
    territories
}

impl Settings {
    pub fn territories(&self) -> Vec<&str> {
        self.territories.keys().map(String::as_str).collect()
    }

    pub fn secrets(&self) -> Vec<&Secret> {
        std::iter::once(&self.client_secret).chain(self.territories.values()).collect()
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
        format!(
            "api_url and realm are those of {first:?}; two would exceed the limit of the one account: \
             put their territories into one provider"
        )
    }

    pub fn unfinished(&self) -> Option<String> {
        (self.realm == PLACEHOLDER)
            .then(|| format!("realm is still \"{PLACEHOLDER}\"; the provider's contract names yours"))
    }

    pub fn client(&self, connection: Connection, budget: Budget) -> Result<Client, ConfigError> {
        let read = |(name, secret): (&String, &Secret)| Ok((name.clone(), secret.read()?));
        let account = nexway::Config {
            api_url: self.api_url.clone(),
            iam_url: self.iam_url.clone(),
            realm: self.realm.clone(),
            client_secret: self.client_secret.read()?,
            connection,
        };
        let territories = self.territories.iter().map(read).collect::<Result<_, ConfigError>>()?;
        Client::new(&Config { account, territories }, budget)
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, realm {}, territories {}", self.api_url, self.realm, self.territories().join(", "))
    }
}
