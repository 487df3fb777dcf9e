//! The keys of a sink of kind `webhook`.

use super::headers::{self, Headers};
use crate::settings::reader::Section;
use crate::settings::secret::Secret;
use crate::sink::broker::{self, TlsFiles};

#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    pub url: String,
    pub signing_secret: Option<Secret>,
    pub signing_secret_previous: Option<Secret>,
    pub headers: Headers,
    pub tls: TlsFiles,
    pub proxy: Option<String>,
}

impl Webhook {
    /// The current one first: messages are signed with each.
    pub fn signing_secrets(&self) -> Vec<&Secret> {
        self.signing_secret.iter().chain(&self.signing_secret_previous).collect()
    }

    pub fn secrets(&self) -> Vec<&Secret> {
        self.signing_secrets().into_iter().chain(self.headers.secrets()).chain(self.tls.secret()).collect()
    }
}

pub(crate) const KEYS: &[&str] = &[
    "url",
    "signing_secret",
    "signing_secret_file",
    "signing_secret_previous",
    "signing_secret_previous_file",
    headers::TABLE,
    "user",
    "password",
    "password_file",
    broker::CA_FILE,
    broker::CERTIFICATE_FILE,
    broker::KEY_FILE,
    "proxy",
];

pub(crate) fn read(section: &mut Section) -> Webhook {
    let url =
        section.required_url("url", "the address that messages are sent to").map(String::from).unwrap_or_default();
    let signing_secret = section.secret("signing_secret");
    let signing_secret_previous = section.secret("signing_secret_previous");
    // One in a file is judged by the command that reads it.
    for (key, secret) in [("signing_secret", &signing_secret), ("signing_secret_previous", &signing_secret_previous)] {
        if let Some(secret @ Secret::Inline(_)) = secret
            && secret.read_signing_key().is_err()
        {
            section.problem(key, "must be whsec_ followed by the base64 of 24 to 64 bytes");
        }
    }
    if signing_secret.is_none() {
        if signing_secret_previous.is_some() {
            section.problem("signing_secret_previous_file", "needs signing_secret_file, the current secret, beside it");
        } else {
            let text = "none given: messages are sent unsigned, and the receiver cannot tell them from forged ones";
            section.warning("signing_secret_file", text);
        }
    }
    let (headers, tls) = (Headers::read(section), TlsFiles::read(section));
    if tls.identity.is_some() && url.starts_with("http:") {
        section.problem("url", "is not encrypted, but a client certificate is given; write https://");
    }
    Webhook { url, signing_secret, signing_secret_previous, headers, tls, proxy: section.proxy() }
}
