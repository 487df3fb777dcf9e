//! How Nexway Monetize names subscriptions and deliveries (nexway-monetize.md, sections 2 and 4).

use crate::convention::{Advice, Begin, Convention};

/// More renewals than any subscription can have had.
pub const MOST: i64 = 99_999;

/// Goes before the id of an order that would pass for a count. None like that was ever seen. In lower case, as no name of an order is.
const ORDER: &str = "order ";

pub static CONVENTION: Convention = Convention {
    canonical: subscription_id,
    numbers: None,
    reference: Some(|_, generation| generation.to_string()),
    lowest_generation: -1,
    created: None,
    advice: Advice {
        refused: "another seller's?",
        reasons: "another seller's subscription, no right to read it, or an address that is not allowed",
        territory: "check realm, client_secret_file and whether this server's address is allowed",
    },
    rests_while_waiting: false,
    unknown_is_deleted: false,
    may_have_closed: false,
    hinted: Some(super::notification::hinted),
    feed: Some(&super::feed::FEED),
    shop: Some(&super::shop::SHOP),
    begin: Some(&Begin {
        what: "Nexway Monetize: licence keys, listed and notified",
        addresses: &[
            ("api_url", "Address of its API", Some("https://api.nexway.store")),
            ("iam_url", "Address of its token service", Some("https://api.nexway.store/iam")),
        ],
        words: &[("realm", "Realm")],
        secret: ("client_secret", "Client secret of the realm"),
        has_territories: false,
    }),
};

/// UUIDs, which are the same in either case; whatever else is given may be an id, too.
fn subscription_id(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("subscription id is empty".to_owned()),
        dots @ ("." | "..") => Err(format!("subscription id is {dots:?}, which no URL path can carry")),
        id => Ok(id.to_ascii_lowercase()),
    }
}

/// Whether both are one: the platform's spelling may be another than ours.
pub fn is_same(one: &str, other: &str) -> bool {
    one.trim().eq_ignore_ascii_case(other.trim())
}

/// What a delivery is called.
#[derive(Debug, PartialEq, Eq)]
pub enum Reference<'a> {
    /// The order of this generation.
    Generation(i64),
    /// An order that was not counted.
    Order(&'a str),
}

impl<'a> Reference<'a> {
    pub fn read(text: &'a str) -> Self {
        match generation(text) {
            Some(count) => Self::Generation(count),
            None => Self::Order(text.strip_prefix(ORDER).unwrap_or(text)),
        }
    }

    /// The name of what an order beside the count brought, the same in whatever case the platform spells it; `None`: its id is none
    /// that can be asked for.
    pub fn of_order(id: &str) -> Option<String> {
        if crate::convention::check_name("order id", id).is_err() || matches!(id, "." | "..") {
            return None;
        }
        let id = id.to_ascii_uppercase();
        Some(if generation(&id).is_some() { format!("{ORDER}{id}") } else { id })
    }
}

fn generation(text: &str) -> Option<i64> {
    let count = text.parse().ok().filter(|count| (-1..=MOST).contains(count))?;
    (count.to_string() == text).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_form() {
        let id = |text| CONVENTION.subscription_id(text);
        let upper = "4B0E2A4C-7D53-4C7B-9C3F-0123456789AB";
        assert_eq!(id(upper).as_deref(), Ok("4b0e2a4c-7d53-4c7b-9c3f-0123456789ab"));
        assert_eq!(id(" Sub/Ä ").as_deref(), Ok("sub/Ä"));
        for bad in ["", " ", ".", "..", "a\nb"] {
            assert!(id(bad).is_err(), "{bad:?}");
        }
        assert!(is_same(upper, &id(upper).unwrap()));
    }

    #[test]
    fn a_delivery_is_named_by_the_count_or_by_its_order() {
        let reference = CONVENTION.reference.unwrap();
        for count in [-1, 0, 12, MOST] {
            assert_eq!(Reference::read(&reference("sub", count)), Reference::Generation(count));
        }
        for id in ["42WRNTVCTVJ", "007", "-2", "+1", "100000", "order", "17", "order 17", "-1", "a b"] {
            let name = Reference::of_order(id).unwrap();
            assert_eq!(Reference::read(&name), Reference::Order(&id.to_ascii_uppercase()), "{id}");
            assert_eq!(Reference::of_order(&id.to_ascii_lowercase()), Some(name), "{id}");
        }
        for bad in ["", ".", "..", "a\u{7}", &"x".repeat(256)] {
            assert_eq!(Reference::of_order(bad), None, "{bad:?}");
        }
    }
}
