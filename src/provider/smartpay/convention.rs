//! How SmartPay names subscriptions and deliveries (smartpay.md, sections 1 and 4).

use crate::convention::{Advice, Begin, Convention, check_name};

pub static CONVENTION: Convention = Convention {
    canonical: subscription_id,
    numbers: None,
    reference: None,
    // A trial is before the first payment.
    lowest_generation: -1,
    created: None,
    advice: Advice {
        refused: "another merchant's?",
        reasons: "a wrong or missing merchant key or authentication key, or an origin that is not registered",
        territory: "check merchant_key_file, authentication_key_file and origin",
    },
    rests_while_waiting: false,
    unknown_is_deleted: true,
    may_have_closed: false,
    hinted: Some(super::notification::hinted),
    feed: Some(&super::feed::FEED),
    shop: Some(&super::shop::SHOP),
    begin: Some(&Begin {
        what: "SmartPay, the Subscription Module: who has paid",
        addresses: &[("api_url", "Address of its API", None)],
        words: &[],
        secret: ("merchant_key", "Merchant key"),
        has_territories: false,
    }),
};

/// `Subscription-` and a UUID, written in either case; whatever else is given may be an id, too.
fn subscription_id(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("subscription id is empty".to_owned()),
        dots @ ("." | "..") => Err(format!("subscription id is {dots:?}, which no URL path can carry")),
        id => Ok(id.to_ascii_lowercase()),
    }
}

/// Whether both are one: the API's spelling may be another than ours.
pub fn is_same(one: &str, other: &str) -> bool {
    one.trim().eq_ignore_ascii_case(other.trim())
}

/// The name of what a billing cycle brought, the same in whatever case it is spelled; `None`: its id is none that can be asked for.
pub fn reference_of(cycle_id: &str) -> Option<String> {
    let is_id = check_name("billing cycle id", cycle_id).is_ok() && !matches!(cycle_id, "." | "..");
    is_id.then(|| cycle_id.to_ascii_lowercase())
}

/// An id in lower case as the vendor documents it, where it is of this kind. Whether the API minds the case is not known.
pub fn documented(id: &str, kind: &str) -> String {
    match id.get(..kind.len()) {
        Some(own) if own.eq_ignore_ascii_case(kind) => format!("{kind}{}", &id[kind.len()..]),
        _ => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_form_and_is_asked_for_in_the_documented_one() {
        let id = |text: &str| CONVENTION.subscription_id(text);
        let written = "Subscription-90d9e9bc-fd51-4698-b254-b8a57d3a72d9";
        let stored = "subscription-90d9e9bc-fd51-4698-b254-b8a57d3a72d9";
        for spelling in [written.to_owned(), stored.to_owned(), written.to_uppercase(), format!(" {written} ")] {
            assert_eq!(id(&spelling).as_deref(), Ok(stored), "{spelling}");
        }
        assert_eq!(documented(stored, "Subscription-"), written);
        assert_eq!(documented("ä", "Subscription-"), "ä");
        for bad in ["", " ", ".", "..", "a\nb"] {
            assert!(id(bad).is_err(), "{bad:?}");
        }
        assert_eq!(reference_of("BillingCycle-A1").as_deref(), Some("billingcycle-a1"));
        for bad in ["", "..", "a\u{7}", &"x".repeat(256)] {
            assert_eq!(reference_of(bad), None, "{bad:?}");
        }
    }
}
