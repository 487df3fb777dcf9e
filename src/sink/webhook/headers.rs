//! What a gate before the receiver wants to see: an account, an API key, a bearer token. Each is a secret and becomes a header.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use crate::settings::reader::Section;
use crate::settings::secret::{Secret, SecretError};
use crate::sink::broker;

pub(crate) const TABLE: &str = "headers";

/// What a request says by itself, of the message or of its connection; and `webhook-…`.
const OURS: [&str; 13] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Where the headers' values are to be had.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Headers {
    named: BTreeMap<String, Secret>,
    /// User and password (Basic); never beside a header `authorization`.
    account: Option<(String, Secret)>,
}

impl Headers {
    pub(crate) fn read(section: &mut Section) -> Self {
        let account = broker::account(section);
        if account.as_ref().is_some_and(|(user, _)| user.contains(':')) {
            section.problem("user", "must not hold a colon: it is what separates user and password");
        }
        let named = named(section.section(TABLE));
        if account.is_some() && named.contains_key(AUTHORIZATION.as_str()) {
            section.problem("user", "makes the header authorization, which stands in headers, too; keep one");
        }
        Self { named, account }
    }

    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.named.values().chain(self.account.iter().map(|(_, password)| password))
    }

    /// Reads the secrets, anew on every call. The values are marked as sensitive: nobody shows them.
    pub fn values(&self) -> Result<HeaderMap, SecretError> {
        let mut values = HeaderMap::new();
        for (name, secret) in &self.named {
            // Only names that are some are kept.
            if let Ok(name) = HeaderName::try_from(name) {
                values.insert(name, sensitive(secret.read()?.expose_secret()));
            }
        }
        if let Some((user, password)) = &self.account {
            values.insert(AUTHORIZATION, basic(user, password.read()?.expose_secret()));
        }
        Ok(values)
    }
}

/// What of these headers must not be shown where a receiver quotes it: the values, and what stands in them.
pub fn spoken(values: &HeaderMap) -> Vec<SecretString> {
    let mut spoken = Vec::new();
    for value in values.values() {
        let text = Zeroizing::new(String::from_utf8_lossy(value.as_bytes()).into_owned());
        let (scheme, rest) = text.split_once(' ').unwrap_or_default();
        if scheme == "Basic" {
            let decoded = BASE64_STANDARD.decode(rest).map(Zeroizing::new).unwrap_or_default();
            let account = Zeroizing::new(String::from_utf8_lossy(&decoded).into_owned());
            spoken.extend(account.split_once(':').map(|(_, password)| SecretString::from(password)));
        }
        spoken.extend([text.as_str(), rest].map(SecretString::from));
    }
    spoken
}

/// The table of headers: `X-Api-Key_file = "name of a secret's file"`.
fn named(mut table: Section) -> BTreeMap<String, Secret> {
    let mut named = BTreeMap::new();
    let mut taken = BTreeMap::new();
    for key in table.names() {
        let name = key.strip_suffix("_file").unwrap_or(&key).to_owned();
        let lower = name.to_ascii_lowercase();
        match taken.get(&lower) {
            Some(before) if *before == name => continue, // with and without _file: told already
            Some(_) => {
                table.ignore(&key);
                table.problem(&key, format!("given twice: {lower} is the same in upper and lower case"));
                continue;
            }
            None => {}
        }
        if let Some(objection) = objection(&lower) {
            table.problem(&key, objection);
        }
        named.extend(table.secret(&name).map(|secret| (lower.clone(), secret)));
        taken.insert(lower, name);
    }
    table.finish();
    named
}

fn objection(name: &str) -> Option<&'static str> {
    if HeaderName::try_from(name).is_err() {
        return Some("is not the name of a header");
    }
    let is_ours = OURS.contains(&name) || name.starts_with("webhook-");
    is_ours.then_some("is a header that renewald sets itself")
}

fn sensitive(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).expect("a secret holds no control characters");
    value.set_sensitive(true);
    value
}

/// RFC 7617.
fn basic(user: &str, password: &str) -> HeaderValue {
    let account = Zeroizing::new(format!("{user}:{password}"));
    sensitive(&Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(account.as_bytes()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inline(text: &str) -> Secret {
        Secret::Inline(text.to_owned().into())
    }

    #[test]
    fn an_account_is_said_as_the_rfc_has_it() {
        let account = Some(("Aladdin".to_owned(), inline("open sesame")));
        let values = Headers { named: BTreeMap::new(), account }.values().unwrap();
        assert_eq!(values[AUTHORIZATION], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let account = Some(("test".to_owned(), inline("123\u{a3}")));
        let values = Headers { named: BTreeMap::new(), account }.values().unwrap();
        assert_eq!(values[AUTHORIZATION], "Basic dGVzdDoxMjPCow==", "UTF-8");
    }

    #[test]
    fn no_value_is_shown_by_debug() {
        let named = BTreeMap::from([("x-api-key".to_owned(), inline("hush"))]);
        let headers = Headers { named, account: Some(("me".to_owned(), inline("hush"))) };
        let values = headers.values().unwrap();
        assert!(values.values().all(HeaderValue::is_sensitive));
        assert_eq!((values.len(), &values["x-api-key"]), (2, &HeaderValue::from_static("hush")));
        let shown = format!("{headers:?} {values:?}");
        assert!(!shown.contains("hush") && !shown.contains("Basic"), "{shown}");
        let spoken = spoken(&values);
        assert_eq!(spoken.iter().filter(|secret| secret.expose_secret() == "hush").count(), 2, "the password, too");
    }
}
