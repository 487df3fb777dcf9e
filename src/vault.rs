//! Payloads at rest: sealed with XChaCha20-Poly1305, or plain with a checksum, and opened again.
//!
//! A body belongs to its message: under another id, or with one bit changed, it does not open. A checksum tells what a disk did,
//! not what a person did; for that there is the seal. Which rows are sealed,
//! and with which key, is the store's; where a key is read from is the settings'.

use std::borrow::Cow;
use std::fmt;

use chacha20poly1305::aead::{Aead, Generate, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use secrecy::zeroize::Zeroizing;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Of a key.
pub const KEY_BYTES: usize = 32;
/// A sealed body begins with it.
const FORMAT: u8 = 1;
const NONCE_BYTES: usize = 24;
const KEY_ID_DOMAIN: &[u8] = b"renewald encryption key id v1\0";
const BODY_DOMAIN: &str = "renewald message body v1";

/// Why a payload cannot be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("message {message} is encrypted with key {key_id}, which is not given: see store.encryption_key_file")]
    Locked { message: Uuid, key_id: String },
    #[error("message {message} is damaged: its stored content was changed, cut off or exchanged with another's")]
    Damaged { message: Uuid },
    #[error("nothing can be encrypted: {0}")]
    NoKey(String),
    #[error("the system gives no random bytes")]
    Random,
}

/// One key and its name: as long as the key is secret its name tells nothing of it.
pub struct Key {
    id: String,
    /// Wipes its key when dropped.
    cipher: XChaCha20Poly1305,
}

/// The keys of a process.
pub struct Vault {
    /// Seals; none: bodies are stored as they are. An error: why the one that is configured is not there.
    current: Result<Option<Key>, String>,
    /// Only opens.
    previous: Result<Option<Key>, String>,
}

/// A body as it is stored.
#[derive(Clone)]
pub struct Stored<'a> {
    /// `None`: it is plain.
    pub key_id: Option<Cow<'a, str>>,
    /// Only of a plain one.
    pub checksum: Option<Vec<u8>>,
    pub body: Cow<'a, [u8]>,
}

impl Key {
    pub fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let digest = Sha256::new().chain_update(KEY_ID_DOMAIN).chain_update(bytes).finalize();
        let id = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { id, cipher: XChaCha20Poly1305::new(bytes.into()) }
    }

    /// Eight hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The bytes of a new one.
    pub fn generate() -> Result<Zeroizing<[u8; KEY_BYTES]>, Error> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        let random = Zeroizing::new(<[u8; KEY_BYTES]>::try_generate().map_err(|_| Error::Random)?);
        bytes.copy_from_slice(&*random);
        Ok(bytes)
    }

    fn seal(&self, message: Uuid, body: &[u8]) -> Result<Vec<u8>, Error> {
        let nonce = XNonce::try_generate().map_err(|_| Error::Random)?;
        self.seal_with(&nonce, body, associated(message).as_bytes())
    }

    fn seal_with(&self, nonce: &XNonce, body: &[u8], aad: &[u8]) -> Result<Vec<u8>, Error> {
        let sealed = self.cipher.encrypt(nonce, Payload { msg: body, aad });
        // Fails only above 256 GiB.
        let sealed = sealed.map_err(|_| Error::NoKey("the message is too long".to_owned()))?;
        Ok([&[FORMAT][..], nonce, &sealed].concat())
    }

    fn open(&self, body: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = body.strip_prefix(&[FORMAT])?.split_first_chunk::<NONCE_BYTES>()?;
        self.cipher.decrypt(nonce.into(), Payload { msg: sealed, aad }).ok()
    }
}

impl Vault {
    /// Without any key: bodies are stored as they are, sealed ones stay closed.
    pub const fn without_key() -> Self {
        Self { current: Ok(None), previous: Ok(None) }
    }

    pub fn new(current: Key, previous: Option<Key>) -> Self {
        Self { current: Ok(Some(current)), previous: Ok(previous) }
    }

    /// With the keys that are configured. One that cannot be read is no error here: [`Vault::trouble`] tells of it, and what needs
    /// it waits.
    pub fn with_keys(current: Result<Option<Key>, String>, previous: Result<Option<Key>, String>) -> Self {
        Self { current, previous }
    }

    /// Why a key that is configured is not there.
    pub fn trouble(&self) -> Option<&str> {
        [&self.current, &self.previous].into_iter().find_map(|key| key.as_ref().err()).map(String::as_str)
    }

    /// Whether messages can be stored: with a key, or plain because none is configured.
    pub fn can_seal(&self) -> bool {
        self.current.is_ok()
    }

    /// The key that seals.
    pub fn current_id(&self) -> Option<&str> {
        self.current.as_ref().ok()?.as_ref().map(Key::id)
    }

    /// The key that only opens.
    pub fn previous_id(&self) -> Option<&str> {
        self.previous.as_ref().ok()?.as_ref().map(Key::id)
    }

    /// Plain where no key is configured.
    pub fn seal<'a>(&'a self, message: Uuid, body: &'a [u8]) -> Result<Stored<'a>, Error> {
        match &self.current {
            Ok(None) => Ok(Stored { key_id: None, checksum: Some(checksum(message, body)), body: body.into() }),
            Ok(Some(key)) => {
                let sealed = key.seal(message, body)?;
                Ok(Stored { key_id: Some(key.id().into()), checksum: None, body: sealed.into() })
            }
            Err(reason) => Err(Error::NoKey(reason.clone())),
        }
    }

    /// The body as it was before it was stored.
    pub fn open(&self, message: Uuid, stored: Stored<'_>) -> Result<Vec<u8>, Error> {
        let Stored { key_id, checksum: noted, body } = stored;
        let Some(key_id) = key_id else {
            let is_whole = noted.is_some_and(|noted| noted == checksum(message, &body));
            return if is_whole { Ok(body.into_owned()) } else { Err(Error::Damaged { message }) };
        };
        let keys = [&self.current, &self.previous].into_iter().filter_map(|key| key.as_ref().ok()?.as_ref());
        let mut fitting = keys.filter(|key| key.id == key_id).peekable();
        if fitting.peek().is_none() {
            return Err(Error::Locked { message, key_id: key_id.into_owned() });
        }
        let aad = associated(message);
        fitting.find_map(|key| key.open(&body, aad.as_bytes())).ok_or(Error::Damaged { message })
    }
}

/// SHA-256 over what the body is bound to, a zero byte and the body.
fn checksum(message: Uuid, body: &[u8]) -> Vec<u8> {
    Sha256::new().chain_update(associated(message)).chain_update([0]).chain_update(body).finalize().to_vec()
}

/// What a body is bound to.
fn associated(message: Uuid) -> String {
    format!("{BODY_DOMAIN}\0{message}")
}

/// Shows no body.
impl fmt::Debug for Stored<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stored({:?}, {} bytes)", self.key_id, self.body.len())
    }
}

/// Shows nothing.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

/// Shows nothing.
impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(***)")
    }
}

#[cfg(test)]
mod tests;
