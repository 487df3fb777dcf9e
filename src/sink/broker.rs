//! What the settings of brokers share, and of others that log in like them: addresses without secrets, an account, and the files
//! of TLS.

use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::delivery::AddressTemplate;
use crate::settings::reader::{Section, is_loopback};
use crate::settings::secret::{Secret, SecretError};
use crate::sink::domain::{NOT_ASCII, with_ascii_host};
use crate::tls;

pub(crate) const CA_FILE: &str = "ca_file";
pub(crate) const CERTIFICATE_FILE: &str = "client_certificate_file";
pub(crate) const KEY_FILE: &str = "client_key_file";

/// The files of an encrypted connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsFiles {
    /// Authorities to trust besides the system's.
    pub ca: Option<PathBuf>,
    /// What we show to whoever asks for a certificate.
    pub identity: Option<IdentityFiles>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct IdentityFiles {
    pub certificate: PathBuf,
    pub key: Secret,
}

impl TlsFiles {
    pub(crate) fn secret(&self) -> Option<&Secret> {
        self.identity.as_ref().map(|identity| &identity.key)
    }

    /// The files of what we show, the key's looked for as a secret's.
    pub fn identity(&self) -> Result<Option<tls::Identity>, SecretError> {
        let files = self.identity.as_ref();
        files.map(|one| Ok(tls::Identity { certificate: one.certificate.clone(), key: one.key.path()? })).transpose()
    }

    /// Those that are no secrets.
    pub(crate) fn plain(&self) -> Vec<&Path> {
        let certificate = self.identity.iter().map(|identity| &identity.certificate);
        self.ca.iter().chain(certificate).map(PathBuf::as_path).collect()
    }

    pub(crate) fn read(section: &mut Section) -> Self {
        let ca = section.path(CA_FILE);
        let (certificate, key) = (section.path(CERTIFICATE_FILE), section.secret_lines(KEY_FILE));
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(IdentityFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) => {
                section.problem(KEY_FILE, "missing; give the key of client_certificate_file");
                None
            }
            (None, Some(_)) => {
                section.problem(CERTIFICATE_FILE, "missing; give the certificate of client_key_file");
                None
            }
        };
        Self { ca, identity }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ca.is_none() && self.identity.is_none()
    }
}

/// The addresses under `url`, separated by commas: several nodes of one cluster, tried in this order.
pub(crate) fn urls(section: &mut Section, schemes: [&str; 2], example: &str) -> Vec<Url> {
    let Some(text) = section.required("url", &format!("the broker's address, such as {example}")) else {
        return Vec::new();
    };
    let mut urls = Vec::new();
    for address in text.split(',').map(str::trim) {
        match check_url(address, schemes, example) {
            Ok(url) => urls.push(url),
            Err(reason) => section.problem("url", reason),
        }
    }
    urls
}

/// A scheme, a host, perhaps a port, and nothing else. The text is the mistake, and repeats no address: one may hold a password.
fn check_url(text: &str, [plain, encrypted]: [&str; 2], example: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("not a URL: {error}; write for example {example}"))?;
    if url.scheme() != plain && url.scheme() != encrypted {
        return Err(format!("must begin with {encrypted}:// or {plain}://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or password: give them as user and password_file".to_owned());
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("names no host; write for example {example}"));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(format!("must end after host and port; write for example {example}"));
    }
    with_ascii_host(url).ok_or_else(|| NOT_ASCII.to_owned())
}

/// Warns where something would cross a network readable to all.
pub(crate) fn warn_of_plain_text(section: &mut Section, urls: &[Url], [plain, encrypted]: [&str; 2]) {
    if urls.iter().any(|url| url.scheme() == plain && !is_loopback(url)) {
        let text = format!("{plain}:// sends secrets and licence keys in plain text; use {encrypted}://");
        section.warning("url", text);
    }
}

/// `user` with `password` or `password_file`: both or none.
pub(crate) fn account(section: &mut Section) -> Option<(String, Secret)> {
    let user = section.text("user").ok().flatten();
    let asked = section.has("password") || section.has("password_file");
    let password = section.secret("password");
    match (user, password) {
        (Some(user), Some(password)) => Some((user, password)),
        (Some(_), None) => {
            if !asked {
                section.problem("password_file", "missing; give the name of the file that holds the user's password");
            }
            None
        }
        (None, Some(_)) => {
            section.problem("user", "missing; give the user whose password this is");
            None
        }
        (None, None) => None,
    }
}

/// A name with placeholders, or `default` where none is given.
pub(crate) fn template(section: &mut Section, key: &str, default: AddressTemplate) -> AddressTemplate {
    let Some(text) = section.text(key).ok().flatten() else { return default };
    AddressTemplate::parse(&text).unwrap_or_else(|reason| {
        section.problem(key, reason);
        default
    })
}
