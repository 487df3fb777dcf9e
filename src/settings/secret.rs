//! Secrets: where each is to be had, and the only code that opens their files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::problem::shown;
use crate::vault::KEY_BYTES;

const MAX_BYTES: u64 = 64 * 1024;
const HEX_KEY_DIGITS: usize = 2 * KEY_BYTES;

/// Where a secret is to be had. Only [`Secret::read`] opens files, so that a command reads just the secrets it uses.
#[derive(Clone, Debug)]
pub enum Secret {
    /// Written in the settings file or the environment itself.
    Inline(SecretString),
    File {
        /// Absolute, or a bare name to be looked up.
        name: PathBuf,
        /// The key that named it, for errors: `providers.nexway.client_secret_file`.
        key: String,
        /// `secrets/` beside the settings file.
        secrets: PathBuf,
        /// `$CREDENTIALS_DIRECTORY`
        credentials: Option<PathBuf>,
        /// Whether it may hold several lines, as a private key does.
        lines: bool,
    },
}

/// Whether the settings say the same; what a file holds is not looked at.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Inline(one), Self::Inline(other)) => one.expose_secret() == other.expose_secret(),
            (
                Self::File { name, key, secrets, credentials, lines },
                Self::File {
                    name: other,
                    key: other_key,
                    secrets: other_secrets,
                    credentials: other_credentials,
                    lines: other_lines,
                },
            ) => {
                (name, key, secrets, credentials, lines)
                    == (other, other_key, other_secrets, other_credentials, other_lines)
            }
            _ => false,
        }
    }
}

/// Why a secret cannot be used. Names the key and the file, never the content.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("{key}: there is no file {}", tried.iter().map(|path| shown(path)).collect::<Vec<_>>().join(" nor "))]
    NotFound { key: String, tried: Vec<PathBuf> },
    #[error("{key}: {} cannot be read", shown(path))]
    Unreadable { key: String, path: PathBuf, source: io::Error },
    #[error("{key}: {place} {reason}")]
    Unusable { key: String, place: String, reason: &'static str },
    #[error("{key}: must be whsec_ followed by the base64 of 24 to 64 bytes")]
    NotASigningSecret { key: String },
    #[error("{key}: must be 32 bytes as base64 or hex on one line, as `renewald keys generate FILE` writes them")]
    NotAnEncryptionKey { key: String },
}

impl Secret {
    /// Takes the place of a secret whose absence has been reported.
    pub(crate) fn stand_in() -> Self {
        Self::Inline(String::new().into())
    }

    /// Reads the secret, anew on every call: a file may have been replaced. One newline at its end is not part of it.
    ///
    /// A bare name is looked for in `$CREDENTIALS_DIRECTORY`, first as systemd names the files of a directory
    /// (`secrets_NAME`), then as it is, then in `secrets/` beside the settings file; the first that exists is taken.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        let (text, place) = match self {
            Self::Inline(secret) => (Zeroizing::new(secret.expose_secret().to_owned()), "the value".to_owned()),
            Self::File { .. } => {
                let path = self.find()?;
                (self.read_file(&path)?, shown(&path))
            }
        };
        let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        let unusable = |reason| Err(SecretError::Unusable { key: self.key(), place: place.clone(), reason });
        if text.is_empty() {
            return unusable("is empty");
        }
        let several = matches!(self, Self::File { lines: true, .. });
        if text.contains(|c: char| c.is_control() && !(several && matches!(c, '\n' | '\r'))) {
            return unusable("must hold one line of text");
        }
        Ok(text.into())
    }

    /// Reads a webhook's signing secret: the bytes that the `whsec_` form stands for.
    pub fn read_signing_key(&self) -> Result<SecretSlice<u8>, SecretError> {
        let secret = self.read()?;
        let bytes = secret
            .expose_secret()
            .strip_prefix("whsec_")
            .and_then(|encoded| base64::engine::general_purpose::STANDARD.decode(encoded).ok())
            .map(Zeroizing::new)
            .filter(|bytes| (24..=64).contains(&bytes.len()));
        match bytes {
            Some(bytes) => Ok(SecretSlice::from(bytes.to_vec())),
            None => Err(SecretError::NotASigningSecret { key: self.key() }),
        }
    }

    /// Reads a key for payloads: 64 hexadecimal digits, or base64.
    pub fn read_encryption_key(&self) -> Result<Zeroizing<[u8; KEY_BYTES]>, SecretError> {
        let secret = self.read()?;
        let text = secret.expose_secret();
        let bytes = match text.len() {
            HEX_KEY_DIGITS => from_hex(text),
            _ => base64::engine::general_purpose::STANDARD.decode(text).ok(),
        };
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        match bytes.map(Zeroizing::new).filter(|bytes| bytes.len() == key.len()) {
            Some(bytes) => key.copy_from_slice(&bytes),
            None => return Err(SecretError::NotAnEncryptionKey { key: self.key() }),
        }
        Ok(key)
    }

    /// What `check` should say of the secret and of the file that would be read; empty when there is none.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let has_lines = matches!(self, Self::File { lines: true, .. });
        let is_padded = |secret: SecretString| secret.expose_secret().trim() != secret.expose_secret();
        if !has_lines && self.read().is_ok_and(is_padded) {
            warnings.push(format!("{}: begins or ends with a blank, which is taken as part of it", self.key()));
        }
        let Ok(path) = self.find() else { return warnings };
        if fs::metadata(&path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0) {
            warnings.push(format!("{}: every user may read {1}; run: chmod o= {1}", self.key(), shown(&path)));
        }
        warnings
    }

    /// The file that would be read, for what reads it by itself.
    pub fn path(&self) -> Result<PathBuf, SecretError> {
        self.find()
    }

    fn key(&self) -> String {
        match self {
            Self::Inline(_) => "secret".to_owned(),
            Self::File { key, .. } => key.clone(),
        }
    }

    fn candidates(&self) -> Vec<PathBuf> {
        match self {
            Self::Inline(_) => Vec::new(),
            Self::File { name, .. } if name.is_absolute() => vec![name.clone()],
            Self::File { name, secrets, credentials, .. } => {
                let mut places = Vec::new();
                if let Some(directory) = credentials {
                    places.push(directory.join(format!("secrets_{}", name.display())));
                    places.push(directory.join(name));
                }
                places.push(secrets.join(name));
                places
            }
        }
    }

    fn find(&self) -> Result<PathBuf, SecretError> {
        let tried = self.candidates();
        // A place that exists, or cannot be looked into, is the one that was meant: no other secret is taken instead.
        let missing = |path: &PathBuf| fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        match tried.iter().find(|path| !missing(path)) {
            Some(path) => Ok(path.clone()),
            None => Err(SecretError::NotFound { key: self.key(), tried }),
        }
    }

    fn read_file(&self, path: &Path) -> Result<Zeroizing<String>, SecretError> {
        let unreadable = |source| SecretError::Unreadable { key: self.key(), path: path.to_owned(), source };
        let bytes = read_at_most(path, MAX_BYTES).map_err(unreadable)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Zeroizing::new(text.to_owned())),
            Err(_) => {
                Err(SecretError::Unusable { key: self.key(), place: shown(path), reason: "must hold one line of text" })
            }
        }
    }
}

/// The bytes that hexadecimal digits stand for; `None` if the text holds anything else.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<Vec<_>>>().map(Zeroizing::new)?;
    let bytes = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high << 4 | low).ok(),
        _ => None,
    });
    bytes.collect()
}

/// A whole small file, wiped from memory after use; a longer one is an error.
pub(crate) fn read_at_most(path: &Path, bytes: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut content = Zeroizing::new(Vec::new());
    File::open(path)?.take(bytes + 1).read_to_end(&mut content)?;
    if content.len() as u64 > bytes {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} KiB", bytes / 1024)));
    }
    Ok(content)
}
