//! How Nexway Connect names subscriptions and deliveries (nexway-connect.md, sections 4.1, 4.3 and 9).

use std::num::IntErrorKind;

use super::{created, number};
use crate::convention::{Advice, Begin, Convention, Numbers};
use crate::text::visible;

/// Characters of a wrong id.
const SHOWN: usize = 40;

pub static CONVENTION: Convention = Convention {
    canonical: subscription_id,
    numbers: Some(Numbers {
        refused: number::refused,
        generation_in: number::generation_in,
        original_of: number::original_of,
    }),
    reference: Some(number::order_number),
    lowest_generation: 0,
    created: Some(created::read),
    hinted: None,
    advice: Advice {
        refused: "wrong territory?",
        reasons: "wrong territory, secret or address",
        territory: "check its secret and whether this server's address is allowed",
    },
    rests_while_waiting: true,
    unknown_is_deleted: false,
    may_have_closed: false,
    feed: None,
    shop: Some(&super::shop::SHOP),
    begin: Some(&Begin {
        what: "Nexway Connect: licence keys, asked for one by one",
        addresses: &[
            ("api_url", "Address of its API", Some("https://api.nexway.store/connect")),
            ("iam_url", "Address of its token service", Some("https://api.nexway.store/iam")),
        ],
        words: &[("realm", "Realm")],
        secret: ("client_secret", "Client secret of the realm"),
        has_territories: true,
    }),
};

/// A whole number, without leading zeros: the API takes and answers integers.
fn subscription_id(text: &str) -> Result<String, String> {
    let digits = text.trim();
    let quoted = || visible(&text.chars().take(SHOWN).collect::<String>());
    match digits.parse::<i64>() {
        Ok(id @ 1..) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(id.to_string()),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => {
            Err(format!("subscription id \"{}\" is above the largest, {}", quoted(), i64::MAX))
        }
        _ => Err(format!("subscription id \"{}\" is not a whole number above 0", quoted())),
    }
}

#[cfg(test)]
mod tests {
    use super::CONVENTION;

    #[test]
    fn an_id_has_one_form() {
        let id = |text| CONVENTION.subscription_id(text);
        assert_eq!((id("5618577").as_deref(), id(" 0005").as_deref()), (Ok("5618577"), Ok("5")));
        for bad in ["", "0", "-1", "+1", "1.0", "1e3", "x", "9223372036854775808", "\u{661}"] {
            assert!(id(bad).is_err(), "{bad}");
        }
    }
}
