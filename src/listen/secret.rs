//! What whoever asks must know: held and compared as a hash, so that neither the time nor a length tells how much was right.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A secret that somebody may give.
#[derive(Debug)]
pub struct Expected([u8; 32]);

impl Expected {
    pub fn of(text: &[u8]) -> Self {
        Self(Sha256::digest(text).into())
    }

    pub fn is(&self, given: &[u8]) -> bool {
        Self::of(given).0.ct_eq(&self.0).into()
    }

    /// A key that follows from it, for this purpose alone.
    pub fn key_for(&self, purpose: &[u8]) -> [u8; 32] {
        mac(&self.0, &[purpose])
    }
}

/// HMAC-SHA-256 over the parts, none of which may hold a NUL.
pub fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
        mac.update(&[0]);
    }
    mac.finalize().into_bytes().into()
}

/// What stands behind the scheme in `Authorization`. Twice given is as good as not at all.
pub fn given<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (first, None) = (all.next()?, all.next()) else { return None };
    let (named, given) = first.to_str().ok()?.split_once(' ')?;
    named.eq_ignore_ascii_case(scheme).then(|| given.trim())
}
