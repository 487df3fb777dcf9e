//! Which order is to pay for a subscription's coming term, if there is one already: an offer that was accepted, or the automatic
//! renewal's.

use super::found::{Found, refused};
use crate::provider::nexway_monetize::Client;
use crate::provider::nexway_monetize::order::{Order, Source, Standing};
use crate::provider::shop::Reply;
use crate::provider::{Class, Error};

#[derive(Default)]
pub struct Coming {
    /// An offer that was accepted.
    pub offer: Option<Order>,
    /// The renewal as it is billed without one.
    pub billed: Option<Order>,
}

impl Client {
    /// `Err`: the orders may not be read.
    pub(super) async fn coming(&self, found: &Found) -> Result<Result<Coming, Reply>, Error> {
        let orders = match self.orders(&found.subscription.id, None, Some(self.further().await?)).await? {
            Ok(orders) => orders.all,
            // The subscription was just answered for: it has none.
            Err(verdict) if verdict.class == Class::NotFound => Vec::new(),
            Err(verdict) => return Ok(Err(refused(verdict))),
        };
        Ok(Ok(Coming::of(orders, found.subscription.generation)))
    }
}

impl Coming {
    /// The newest of each, where `count` renewals have been.
    fn of(mut orders: Vec<Order>, count: Option<i64>) -> Self {
        orders.sort_by(|one, other| one.age().cmp(&other.age()));
        let mut coming = Self::default();
        for order in orders.into_iter().filter(|order| is_coming(order, count)) {
            match order.source() {
                Source::Offer if order.is_stay_offer() => coming.offer = Some(order),
                Source::Renewal => coming.billed = Some(order),
                _ => {}
            }
        }
        coming
    }
}

/// Whether it may still pay for the term after `count`. The platform's way to count orders that are not charged yet is not documented.
fn is_coming(order: &Order, count: Option<i64>) -> bool {
    let standing = order.standing();
    match (order.generation, count) {
        _ if standing == Standing::Dead => false,
        (Some(own), Some(count)) if own > count => true,
        (Some(own), Some(count)) => own == count && standing == Standing::Open,
        (None, _) | (_, None) => standing <= Standing::Open,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::clock::Timestamp;
    use crate::provider::nexway_monetize::order;

    fn order(fields: Value) -> Order {
        order::read(fields.to_string().as_bytes(), Timestamp::constant(1_780_000_000)).unwrap()
    }

    fn is_offer(source: &str, status: &str, generation: Value) -> bool {
        let order = order(json!({"id": "O", "source": source, "status": status, "generationId": generation}));
        Coming::of(vec![order], Some(2)).offer.is_some()
    }

    #[test]
    fn an_offer_is_open_while_its_term_is_to_come() {
        assert!(is_offer("OFFER", "CREATED", json!("3")));
        assert!(is_offer("OFFER", "CREATED", json!(2)), "counted by the term in which it was made");
        assert!(is_offer("OFFER", "CREATED", Value::Null));
        assert!(is_offer("OFFER", "PAYMENT_REFUSED", json!("3")));
        for (source, status, generation) in [
            ("OFFER", "ABORTED", json!("3")),
            ("OFFER", "CANCELED", json!("3")),
            ("OFFER", "COMPLETED", json!("2")),
            ("OFFER", "PAYMENT_REFUSED", json!("2")),
            ("OFFER", "CREATED", json!("1")),
            ("OFFER", "COMPLETED", Value::Null),
            ("SUBSCRIPTION", "CREATED", json!("3")),
        ] {
            assert!(!is_offer(source, status, generation.clone()), "{source} {status} {generation}");
        }
    }

    #[test]
    fn an_offer_for_coming_back_is_another_thing() {
        let back = json!({"id": "O", "source": "OFFER", "offerSubSource": "RESUME", "generationId": 3});
        let billed = json!({"id": "B", "source": "SUBSCRIPTION", "status": "CREATED", "generationId": "3"});
        let coming = Coming::of(vec![order(back), order(billed)], Some(2));
        assert_eq!((coming.offer.map(|order| order.id), coming.billed.map(|order| order.id)), (None, Some("B".into())));
    }
}
