//! Mail addresses as every server takes them: the domain in ASCII. What stands before the `@` has no such form: beyond ASCII it
//! needs a server with SMTPUTF8 (RFC 6531).

use lettre::Address;

use crate::sink::domain;

/// `None` where the domain has no form in ASCII.
pub fn with_ascii_domain(address: &Address) -> Option<Address> {
    let ascii = domain::ascii(address.domain())?;
    Address::new(address.user(), &ascii).ok()
}

/// Whether only a server with SMTPUTF8 takes it, its domain being ASCII.
pub fn needs_utf8(address: &Address) -> bool {
    !address.user().is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_domain_is_rewritten() {
        let written = |text: &str| with_ascii_domain(&text.parse().unwrap()).map(|address| address.to_string());
        assert_eq!(written("info@m\u{fc}ller.example").as_deref(), Some("info@xn--mller-kva.example"));
        assert_eq!(written("J\u{fc}rgen@m\u{fc}ller.example").as_deref(), Some("J\u{fc}rgen@xn--mller-kva.example"));
        assert_eq!(written("Info@Mueller.Example").as_deref(), Some("Info@Mueller.Example"));
        assert_eq!(written("a@[127.0.0.1]").as_deref(), Some("a@[127.0.0.1]"));
        let address = |text: &str| text.parse::<Address>().unwrap();
        assert!(needs_utf8(&address("j\u{fc}rgen@a.example")) && !needs_utf8(&address("info@a.example")));
    }
}
