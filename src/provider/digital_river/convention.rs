//! How Digital River names subscriptions and deliveries (digital-river.md, sections 1 and 4).

use crate::clock::Timestamp;
use crate::convention::{Advice, Begin, Convention, check_name};

/// Goes before the end of a period of which there is no order.
const PERIOD: &str = "period:";
/// Goes before the id of an order that would pass for a period. None like that was ever seen.
const ORDER: &str = "order:";

pub static CONVENTION: Convention = Convention {
    canonical: subscription_id,
    numbers: None,
    reference: None,
    lowest_generation: 0,
    created: None,
    advice: Advice {
        refused: "another seller's, or of the test environment?",
        reasons: "another key's subscription, or no right to read it",
        territory: "check api_url, api_key_file and what the key may read",
    },
    rests_while_waiting: false,
    unknown_is_deleted: true,
    may_have_closed: true,
    hinted: Some(super::event::hinted),
    feed: Some(&super::feed::FEED),
    shop: Some(&super::shop::SHOP),
    begin: Some(&Begin {
        what: "Digital River: who has paid",
        addresses: &[("api_url", "Address of its API", None)],
        words: &[],
        secret: ("api_key", "API key"),
        has_territories: false,
    }),
};

/// Opaque, and chosen by whoever made it.
fn subscription_id(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("subscription id is empty".to_owned()),
        dots @ ("." | "..") => Err(format!("subscription id is {dots:?}, which no URL path can carry")),
        id => Ok(id.to_owned()),
    }
}

/// What a delivery is called.
#[derive(Debug, PartialEq, Eq)]
pub enum Reference<'a> {
    /// A period that has no order, by its end.
    Period(Timestamp),
    Order(&'a str),
}

impl<'a> Reference<'a> {
    pub fn read(text: &'a str) -> Self {
        let end = text.strip_prefix(PERIOD).and_then(|end| end.parse::<jiff::Timestamp>().ok());
        match end {
            Some(end) => Self::Period(Timestamp::from_unix(end.as_second())),
            None => Self::Order(text.strip_prefix(ORDER).unwrap_or(text)),
        }
    }

    pub fn of_period(end: Timestamp) -> String {
        format!("{PERIOD}{end}")
    }

    /// `None`: its id is none that can be asked for.
    pub fn of_order(id: &str) -> Option<String> {
        let name = if id.starts_with(PERIOD) || id.starts_with(ORDER) { format!("{ORDER}{id}") } else { id.to_owned() };
        (check_name("order id", &name).is_ok() && !matches!(id, "." | "..")).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_as_it_is() {
        let id = |text| CONVENTION.subscription_id(text);
        assert_eq!(id(" DR_Sub/Ä ").as_deref(), Ok("DR_Sub/Ä"));
        for bad in ["", " ", ".", "..", "a\nb"] {
            assert!(id(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_delivery_is_named_by_its_order_or_by_its_period() {
        let end = Timestamp::from_unix(1_798_761_600);
        let name = Reference::of_period(end);
        assert_eq!(name, "period:2027-01-01T00:00:00Z");
        assert_eq!(Reference::read(&name), Reference::Period(end));
        for id in ["237569660336", "period:", "order:7", &name, "a b"] {
            assert_eq!(Reference::read(&Reference::of_order(id).unwrap()), Reference::Order(id), "{id}");
        }
        assert_eq!(["..", "", "a\n"].map(Reference::of_order), [const { None }; 3]);
    }
}
