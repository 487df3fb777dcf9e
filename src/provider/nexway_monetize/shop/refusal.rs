//! Why the platform refuses a shop's call, in its own words, and which part of the request it means.

use serde::Deserialize;

use crate::call::{Call, Name};
use crate::provider::body::{message, parse};
use crate::provider::http::Answer;
use crate::provider::lenient::{Objects, Scalar};
use crate::provider::shop::{Outcome, Reply};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    status: Scalar<'a>,
    #[serde(borrow)]
    error: Scalar<'a>,
    #[serde(borrow)]
    message: Scalar<'a>,
    #[serde(borrow)]
    details: Objects<Detail<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Detail<'a> {
    #[serde(borrow)]
    resource_type: Scalar<'a>,
}

/// `None`: nobody has looked at what was asked for, or it is trouble that passes.
pub fn read(call: &Call, answer: &Answer) -> Option<Reply> {
    let body = parse::<Body<'_>>(&answer.body).unwrap_or_default();
    let is_the_platforms = body.status.integer() == Some(i64::from(answer.status)) || body.error.text().is_some();
    let named = body.details.all.iter().filter_map(|detail| detail.resource_type.text());
    let field = named.map(|kind| kind.to_ascii_lowercase()).find_map(|kind| field(call, &kind));
    let (outcome, field) = match (answer.status, field) {
        (401 | 403 | 405 | 409, _) => (Outcome::Refused, None),
        // It was read again before.
        (412, _) => (Outcome::Later, None),
        (404, _) if !is_the_platforms => return None,
        (404, field) => match field.or_else(|| looked_for(call)) {
            Some(field) => (Outcome::Mend, Some(field)),
            None => (Outcome::NotFound, None),
        },
        (400 | 422, None) if call.name() != Name::Retail => (Outcome::Refused, None),
        (400 | 422, field) => (Outcome::Mend, field),
        _ => return None,
    };
    let message = message([&body.message, &body.error]);
    Some(Reply { field, ..Reply::bare(outcome, i64::from(answer.status), message) })
}

/// What of the request a resource of this kind is.
fn field(call: &Call, kind: &str) -> Option<&'static str> {
    let is = |word: &str| kind.contains(word);
    match call {
        Call::Offer(of) if of.discount_code.is_some() && (is("discount") || is("coupon")) => Some("discount_code"),
        Call::OfferAccept(_) if is("cart") => Some("cart"),
        Call::Upgrade(of) if of.discount_tag.is_some() && is("discount") => Some("discount_tag"),
        Call::Upgrade(_) if is("product") => Some("product"),
        Call::Retail(_) if is("product") => Some("wantedProducts"),
        Call::Retail(_) if is("discount") => Some("discountPlan"),
        Call::Retail(_) if is("store") => Some("storeId"),
        Call::Retail(_) if is("enduser") => Some("endUser"),
        _ => None,
    }
}

/// What is not there, where the subscription was read a moment ago.
fn looked_for(call: &Call) -> Option<&'static str> {
    match call {
        Call::Offer(of) => of.discount_code.as_ref().map(|_| "discount_code"),
        Call::OfferAccept(_) => Some("cart"),
        Call::Upgrade(_) => Some("product"),
        Call::Retail(_) => Some("request"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{OfSubscription, OfferAccept, Upgrade};
    use crate::clock::Timestamp;
    use crate::provider::http::answer_of;
    use crate::provider::kinds::Given;

    fn told(call: &Call, status: u16, body: &str) -> Option<(Outcome, Option<&'static str>, String)> {
        let answer = answer_of(Given { status, body: body.as_bytes(), at: Timestamp::constant(1_780_000_000) });
        read(call, &answer).map(|reply| (reply.outcome, reply.field, reply.message))
    }

    fn upgrade() -> Call {
        let (partner_order_number, subscription_id, product) = Default::default();
        let discount_tag = Some("LOYAL".to_owned());
        Call::Upgrade(Upgrade { partner_order_number, subscription_id, product, discount_tag, discount_step: None })
    }

    #[test]
    fn the_platforms_words_come_with_the_field_that_it_means() {
        let of = |kind: &str| {
            format!(r#"{{"status": 400, "message": "no such", "details": [{{}}, {{"resourceType": "{kind}"}}]}}"#)
        };
        let mend = |field| Some((Outcome::Mend, Some(field), "no such".to_owned()));
        assert_eq!(told(&upgrade(), 400, &of("PRODUCT")), mend("product"));
        assert_eq!(told(&upgrade(), 422, &of("DiscountPlan")), mend("discount_tag"));
        assert_eq!(told(&upgrade(), 400, &of("SUBSCRIPTION")), Some((Outcome::Refused, None, "no such".to_owned())));
        let retail = Call::Retail(serde_json::from_str("{}").unwrap());
        assert_eq!(told(&retail, 400, &of("EndUser")), mend("endUser"));
        assert_eq!(told(&retail, 400, &of("")), Some((Outcome::Mend, None, "no such".to_owned())));
    }

    #[test]
    fn what_is_not_there_is_what_was_asked_for() {
        let body = r#"{"status": 404, "error": "Not Found"}"#;
        let accept = Call::OfferAccept(OfferAccept {
            partner_order_number: String::new(),
            subscription_id: String::new(),
            cart: String::new(),
        });
        assert_eq!(told(&accept, 404, body), Some((Outcome::Mend, Some("cart"), "Not Found".to_owned())));
        let cancel =
            Call::Cancel(OfSubscription { partner_order_number: String::new(), subscription_id: String::new() });
        assert_eq!(told(&cancel, 404, body).unwrap().0, Outcome::NotFound);
        assert_eq!(told(&upgrade(), 404, "<html>"), None, "a wrong address");
    }

    #[test]
    fn trouble_is_no_refusal() {
        for status in [408, 425, 500, 503, 598, 599] {
            assert_eq!(told(&upgrade(), status, r#"{"status": 503, "error": "x"}"#), None, "{status}");
        }
        let of = |status| told(&upgrade(), status, "").unwrap().0;
        assert_eq!(
            [403, 405, 409, 412].map(of),
            [Outcome::Refused, Outcome::Refused, Outcome::Refused, Outcome::Later]
        );
    }
}
