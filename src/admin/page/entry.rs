//! A link that lets one browser in once: made by `renewald page`, which has the token, and good for a minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use subtle::ConstantTimeEq;

use crate::clock::Timestamp;
use crate::listen::secret::{Expected, mac};

const LIFE: Duration = Duration::from_secs(60);
const PURPOSE: &[u8] = b"renewald page entry";

/// The code in the link.
pub fn code(token: &Expected, random: &[u8; 32], now: Timestamp) -> String {
    let (until, nonce) = ((now + LIFE).as_unix().to_string(), BASE64.encode(&random[..16]));
    let signature = BASE64.encode(signature(token, &until, &nonce));
    format!("{until}.{nonce}.{signature}")
}

fn signature(token: &Expected, until: &str, nonce: &str) -> [u8; 32] {
    mac(&token.key_for(PURPOSE), &[until.as_bytes(), nonce.as_bytes()])
}

/// The codes that were used, as long as they would be good.
#[derive(Default)]
pub struct Entries(Mutex<HashMap<String, Timestamp>>);

impl Entries {
    /// Whether it is good; from now on it is not.
    pub fn take(&self, token: &Expected, code: &str, now: Timestamp) -> bool {
        let mut parts = code.splitn(3, '.');
        let (Some(until), Some(nonce), Some(given)) = (parts.next(), parts.next(), parts.next()) else { return false };
        let Ok(given) = BASE64.decode(given) else { return false };
        let is_ours: bool = given.ct_eq(&signature(token, until, nonce)).into();
        let Some(until) = until.parse().ok().map(Timestamp::from_unix).filter(|_| is_ours) else { return false };
        if now >= until || until > now + LIFE {
            return false;
        }
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, until| now < *until);
        used.insert(nonce.to_owned(), until).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_lets_in_once_and_within_a_minute() {
        const NOW: Timestamp = Timestamp::constant(1_795_291_200);
        let (token, entries) = (Expected::of(b"sesame"), Entries::default());
        let link = code(&token, &[1; 32], NOW);
        assert!(!entries.take(&Expected::of(b"another"), &link, NOW));
        assert!(!entries.take(&token, &link, NOW + LIFE), "too late");
        assert!(entries.take(&token, &link, NOW) && !entries.take(&token, &link, NOW), "once");
        for odd in ["", "1", "1.2", "1.2.3", &link[1..]] {
            assert!(!entries.take(&token, odd, NOW), "{odd}");
        }
    }
}
