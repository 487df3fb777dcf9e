//! How Nexway Connect names subscriptions and deliveries (nexway-connect.md, sections 4.1, 4.3 and 9).

use super::number;
use crate::convention::Convention;

pub static CONVENTION: Convention = Convention {
    is_numbered: true,
    canonical: subscription_id,
    refuses_number: number::refused,
    reference: Some(number::order_number),
    generation_in: number::generation_in,
    original_of: number::original_of,
    rests_while_waiting: true,
};

/// A whole number, without leading zeros: the API takes and answers integers.
fn subscription_id(text: &str) -> Result<String, String> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let id = text.parse::<i64>().ok().filter(|id| is_number && *id > 0);
    id.map(|id| id.to_string()).ok_or_else(|| format!("subscription id must be a whole number from 1 to {}", i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::CONVENTION;

    #[test]
    fn an_id_has_one_form() {
        let id = |text| CONVENTION.subscription_id(text);
        assert_eq!((id("5618577").as_deref(), id("0005").as_deref()), (Ok("5618577"), Ok("5")));
        for bad in ["", "0", "-1", "+1", "1.0", "1e3", " 1", "x", "9223372036854775808", "\u{661}"] {
            assert!(id(bad).is_err(), "{bad}");
        }
    }
}
