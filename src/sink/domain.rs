//! Names of hosts and mail domains as DNS, certificates and servers have them: in ASCII, `müller.example` as
//! `xn--mller-kva.example` (UTS #46).

use std::borrow::Cow;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use reqwest::Url;

/// What settings say of a name that has no such form.
pub(crate) const NOT_ASCII: &str = "holds a domain with letters that no domain may have";

/// One in ASCII stays as it is. `None` for what can be no name, even once it is mapped: a fullwidth `＞` would become `>`.
pub(crate) fn ascii(domain: &str) -> Option<Cow<'_, str>> {
    if domain.is_ascii() {
        return Some(domain.into());
    }
    Uts46::new().to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::Allow, DnsLength::Verify).ok()
}

/// The same URL: of one that is neither http nor https the parser leaves the host as it was written, percent-encoded.
pub(crate) fn with_ascii_host(mut url: Url) -> Option<Url> {
    let host = url.host_str().unwrap_or_default();
    if host.contains('%') {
        let host = percent_encoding::percent_decode_str(host).decode_utf8().ok()?.into_owned();
        url.set_host(Some(&ascii(&host)?)).ok()?;
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_ascii_have_one_form_in_it() {
        for (domain, expected) in [
            ("m\u{fc}ller.example", "xn--mller-kva.example"),
            ("M\u{dc}LLER.example", "xn--mller-kva.example"),
            ("mu\u{308}ller.example", "xn--mller-kva.example"),
            ("stra\u{df}e.example", "xn--strae-oqa.example"),
            ("m\u{fc}ller\u{3002}example", "xn--mller-kva.example"),
            ("\u{4f8b}\u{3048}.example", "xn--r8jz45g.example"),
            ("Plain_Name.Example", "Plain_Name.Example"),
            ("[127.0.0.1]", "[127.0.0.1]"),
        ] {
            assert_eq!(ascii(domain).as_deref(), Some(expected), "{domain}");
        }
    }

    #[test]
    fn nothing_is_mapped_to_what_ends_a_name() {
        let long = format!("{}\u{fc}.example", "x".repeat(63));
        for domain in [
            "m\u{fc}ller.example\u{ff1e}", // fullwidth >
            "m\u{fc}ller\u{ff20}evil.example",
            "m\u{fc}ller\u{ff0c}evil.example",
            "m\u{fc}ller\u{3000}.example",
            "m\u{fc}ller..example",
            "m\u{fc} ller.example",
            "\u{202e}m\u{fc}ller.example",
            "\u{ffff}.example",
            &long,
        ] {
            assert_eq!(ascii(domain), None, "{domain:?}");
        }
    }

    #[test]
    fn hosts_of_brokers_are_names_too() {
        let host = |text| with_ascii_host(Url::parse(text).unwrap()).map(|url| url.as_str().to_owned());
        assert_eq!(host("amqps://m\u{fc}ller.example:5671").as_deref(), Some("amqps://xn--mller-kva.example:5671"));
        assert_eq!(host("redis://[::1]:7000/3").as_deref(), Some("redis://[::1]:7000/3"));
        assert_eq!(host("nats://m\u{fc}ller\u{ff20}x"), None);
        assert_eq!(host("nats://%ff"), None);
    }
}
