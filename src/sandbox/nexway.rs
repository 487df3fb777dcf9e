//! What every sandbox of the Nexway platform has: the token service, the error body, made-up keys, scripts of answers.

pub(super) mod script;
pub(super) mod tokens;

use serde_json::json;

use super::call::Answer;
use super::random::Random;
use crate::clock::Timestamp;

/// The platform's error body.
pub(super) fn platform_error(status: u16, text: &str, path: &str) -> Answer {
    let status_code = axum::http::StatusCode::from_u16(status).ok();
    let error = status_code.and_then(|code| code.canonical_reason()).unwrap_or("Error");
    let timestamp = Timestamp::now().as_unix() * 1000;
    let body = json!({"timestamp": timestamp, "status": status, "error": error, "message": text, "path": path});
    Answer::json(status, &body)
}

/// A key that depends on nothing but what it is for: `7KQ2M-…`, five groups of five.
pub(super) fn key(seed: &str) -> String {
    const LETTERS: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
    // FNV-1a: any spreading will do, nobody is kept from guessing a fake key.
    let hash = seed
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mut random = Random::new(hash);
    let mut group = || -> String { (0..5).map(|_| char::from(LETTERS[(random.draw() >> 59) as usize])).collect() };
    [group(), group(), group(), group(), group()].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_everything_they_depend_on_and_by_nothing_else() {
        assert_eq!(key("A\x001\x001\x000"), key("A\x001\x001\x000"));
        for other in
            ["B\x001\x001\x000", "A\x002\x001\x000", "A\x001\x002\x000", "A\x001\x001\x001", "A\x0011\x001\x000"]
        {
            assert_ne!(key(other), key("A\x001\x001\x000"));
        }
        assert_eq!(key("A").len(), 29);
    }
}
