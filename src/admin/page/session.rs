//! Who has logged in: a signed cookie, good for twelve hours, and the word that each form of his carries so that no other page can
//! send one in his name. Nothing is kept of it here: it is good as long as the token is.

use std::time::Duration;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use subtle::ConstantTimeEq;

use crate::clock::Timestamp;
use crate::listen::secret::mac;

const LIFE: Duration = Duration::from_secs(12 * 3600);
const NAME: &str = "renewald";
/// A browser takes it from nobody else, and only with `Secure`.
const SECURE_NAME: &str = "__Host-renewald";

/// One login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    until: Timestamp,
    nonce: String,
}

impl Session {
    pub fn begin(random: &[u8; 32], now: Timestamp) -> Self {
        Self { until: now + LIFE, nonce: BASE64.encode(&random[..16]) }
    }

    /// Of those who are let in by something else than a login.
    pub fn unnamed() -> Self {
        Self { until: Timestamp::from_unix(0), nonce: String::new() }
    }

    /// What the browser brings, if it is ours and its time is not over.
    pub fn of(headers: &HeaderMap, is_secure: bool, key: &[u8; 32], now: Timestamp) -> Option<Self> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(name, _)| *name == cookie_name(is_secure))?;
        let mut parts = value.splitn(3, '.');
        let (until, nonce, given) = (parts.next()?, parts.next()?, parts.next()?);
        let session = Self { until: Timestamp::from_unix(until.parse().ok()?), nonce: nonce.to_owned() };
        let is_ours: bool = BASE64.decode(given).ok()?.ct_eq(&session.signature(key)).into();
        // One from further ahead than any is was made under a clock that has been set back since.
        (is_ours && now < session.until && session.until <= now + LIFE).then_some(session)
    }

    /// The value of `Set-Cookie`.
    pub fn cookie(&self, is_secure: bool, key: &[u8; 32]) -> String {
        let value = format!("{}.{}.{}", self.until.as_unix(), self.nonce, BASE64.encode(self.signature(key)));
        set_cookie(is_secure, &value, LIFE)
    }

    /// What ends it in the browser.
    pub fn end(is_secure: bool) -> String {
        set_cookie(is_secure, "", Duration::ZERO)
    }

    /// What each of its forms carries.
    pub fn word(&self, key: &[u8; 32]) -> String {
        BASE64.encode(mac(key, &[b"form", self.nonce.as_bytes()]))
    }

    pub fn is_word(&self, key: &[u8; 32], given: &str) -> bool {
        self.word(key).as_bytes().ct_eq(given.as_bytes()).into()
    }

    fn signature(&self, key: &[u8; 32]) -> [u8; 32] {
        mac(key, &[b"session", self.until.as_unix().to_string().as_bytes(), self.nonce.as_bytes()])
    }
}

fn cookie_name(is_secure: bool) -> &'static str {
    if is_secure { SECURE_NAME } else { NAME }
}

fn set_cookie(is_secure: bool, value: &str, life: Duration) -> String {
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}", cookie_name(is_secure), life.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];
    const NOW: Timestamp = Timestamp::constant(1_795_291_200);

    fn read(set: &str, key: &[u8; 32], now: Timestamp) -> Option<Session> {
        let pair = set.split(';').next().unwrap();
        let headers = [(header::COOKIE, format!("other=1; {pair}").parse().unwrap())].into_iter().collect();
        Session::of(&headers, false, key, now)
    }

    #[test]
    fn a_login_lasts_twelve_hours_and_nobody_can_make_one_up() {
        let session = Session::begin(&[1; 32], NOW);
        let set = session.cookie(false, &KEY);
        assert!(set.contains("; HttpOnly; SameSite=Strict") && !set.contains("Secure"), "{set}");
        assert_eq!(read(&set, &KEY, NOW), Some(session.clone()));
        assert_eq!(read(&set, &KEY, NOW + LIFE), None, "over");
        assert_eq!(read(&set, &KEY, NOW - Duration::from_secs(1)), None, "from the future");
        assert_eq!(read(&set, &[8; 32], NOW), None, "another token's");
        let longer = set.replacen("1795334400", "1795334399", 1);
        assert_ne!(longer, set);
        assert_eq!(read(&longer, &KEY, NOW), None);
        for odd in ["renewald=", "renewald=1", "renewald=1.2", "renewald=a.b.c", "renewald=1.2.é"] {
            assert_eq!(read(odd, &KEY, NOW), None, "{odd}");
        }
    }

    #[test]
    fn a_form_is_one_sessions_own() {
        let (one, other) = (Session::begin(&[1; 32], NOW), Session::begin(&[2; 32], NOW));
        assert!(one.is_word(&KEY, &one.word(&KEY)));
        assert!(!one.is_word(&KEY, &other.word(&KEY)) && !one.is_word(&KEY, ""));
    }

    #[test]
    fn behind_a_proxy_with_a_certificate_it_is_secure() {
        let set = Session::begin(&[1; 32], NOW).cookie(true, &KEY);
        assert!(set.starts_with("__Host-renewald=") && set.ends_with("; Secure"), "{set}");
        assert!(Session::end(false).starts_with("renewald=; Path=/; Max-Age=0"));
    }
}
