//! Who may send notifications.

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;

use crate::listen::secret::{Expected, given};
use crate::settings::{self, SecretError};

#[derive(Debug)]
pub enum Sender {
    /// Of `user:password`.
    Basic(Expected),
    Bearer(Expected),
    Anybody,
}

impl Sender {
    pub fn new(sender: &settings::HintSender) -> Result<Self, SecretError> {
        Ok(match sender {
            settings::HintSender::Basic { user, password } => {
                Self::Basic(Expected::of(format!("{user}:{}", password.read()?.expose_secret()).as_bytes()))
            }
            settings::HintSender::Bearer(token) => Self::Bearer(Expected::of(token.read()?.expose_secret().as_bytes())),
            settings::HintSender::Anybody => Self::Anybody,
        })
    }

    pub fn is_it(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Basic(expected) => given(headers, "basic")
                .and_then(|text| STANDARD.decode(text).ok())
                .is_some_and(|given| expected.is(&given)),
            Self::Bearer(expected) => given(headers, "bearer").is_some_and(|given| expected.is(given.as_bytes())),
            Self::Anybody => true,
        }
    }

    /// What a refused one is asked for.
    pub fn challenge(&self) -> &'static str {
        match self {
            Self::Basic(_) => "Basic realm=\"renewald\"",
            Self::Bearer(_) | Self::Anybody => "Bearer",
        }
    }

    /// How many it may send in a second.
    pub fn most_a_second(&self) -> usize {
        match self {
            Self::Basic(_) | Self::Bearer(_) => 50,
            Self::Anybody => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::AUTHORIZATION;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
    }

    #[test]
    fn only_the_secret_itself_is_let_in() {
        let basic = Sender::Basic(Expected::of(b"shop:pass:word"));
        let encoded = STANDARD.encode("shop:pass:word");
        assert!(
            basic.is_it(&headers(&[&format!("Basic {encoded}")]))
                && basic.is_it(&headers(&[&format!("basic  {encoded}")]))
        );
        let other = STANDARD.encode("shop:pass:wor");
        for wrong in
            [format!("Basic {other}"), format!("Bearer {encoded}"), "Basic shop:pass:word".into(), "Basic".into()]
        {
            assert!(!basic.is_it(&headers(&[&wrong])), "{wrong}");
        }
        assert!(!basic.is_it(&headers(&[])));
        let bearer = Sender::Bearer(Expected::of(b"sesame"));
        assert!(bearer.is_it(&headers(&["Bearer sesame"])));
        for wrong in ["Bearer sesam", "Bearer sesame2", "Bearer ", "Basic sesame", "sesame"] {
            assert!(!bearer.is_it(&headers(&[wrong])), "{wrong}");
        }
        assert!(!bearer.is_it(&headers(&["Bearer sesame", "Bearer sesame"])), "which is meant?");
        assert!(Sender::Anybody.is_it(&headers(&[])));
    }
}
