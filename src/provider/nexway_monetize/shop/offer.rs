//! An offer to stay: what the next renewal would cost, and taking it. Nothing is charged before the renewal.

use serde_json::{Value, json};

use super::cart::{self, Cart};
use super::coming::Coming;
use super::found::Found;
use super::money::Money;
use super::{Attempt, against_the_rules, done, object, placed};
use crate::budget::Slot;
use crate::call::{Call, Offer, OfferAccept};
use crate::provider::Error;
use crate::provider::body::unreadable;
use crate::provider::http::Answer;
use crate::provider::nexway_monetize::Client;
use crate::provider::nexway_monetize::convention::is_same;
use crate::provider::nexway_monetize::order::{self, Order};
use crate::provider::shop::{Outcome, Reply};

impl Client {
    /// Makes a cart, unless an offer was accepted already.
    pub(super) async fn offer(&self, call: &Call, of: &Offer, slot: Slot) -> Result<Attempt, Error> {
        let found = match self.found(&of.subscription_id, slot).await? {
            Ok(found) => found,
            Err(reply) => return Ok(Attempt::Told(reply)),
        };
        if let Some(attempt) = self.unofferable(&found, None).await? {
            return Ok(attempt);
        }
        let mut sent = json!({ "subscriptionId": of.subscription_id });
        if let Some(code) = &of.discount_code {
            sent["discountCode"] = code.as_str().into();
        }
        let answer =
            match self.post(call, "/carts/subscription-offers", Some(sent.to_string()), self.further().await?).await? {
                Ok(answer) => answer,
                Err(attempt) => return Ok(attempt),
            };
        let cart = cart::read(&answer.body)?;
        if cart.subscription.as_ref().is_some_and(|own| !is_same(own, &of.subscription_id)) {
            return Err(unreadable("a cart for another subscription"));
        }
        let notes = offered(&cart);
        Ok(Attempt::Told(done(&answer, serde_json::from_str(&cart.shown).ok(), notes)))
    }

    /// Accepts it, unless one was accepted already. An answer that is lost is found out by the order that it was to make.
    pub(super) async fn accept_offer(&self, call: &Call, of: &OfferAccept, slot: Slot) -> Result<Attempt, Error> {
        let found = match self.found(&of.subscription_id, slot).await? {
            Ok(found) => found,
            Err(reply) => return Ok(Attempt::Told(reply)),
        };
        // Whoever clicks twice would find no order twice.
        let _one_at_a_time = self.accepting.lock().await;
        if let Some(attempt) = self.unofferable(&found, Some(&of.cart)).await? {
            return Ok(attempt);
        }
        let sent = json!({ "cartId": of.cart, "subscriptionId": of.subscription_id }).to_string();
        let path = "/purchases/prepareNextOrderFromOffer";
        let unclear = match self.post(call, path, Some(sent), self.further().await?).await {
            Ok(Ok(answer)) => match accepted(&answer) {
                Ok(reply) => return Ok(Attempt::Told(reply)),
                Err(error) => error,
            },
            Ok(Err(attempt)) => return Ok(attempt),
            Err(error) if error.may_have_arrived() => error,
            Err(error) => return Err(error),
        };
        match self.coming(&found).await {
            Ok(Ok(Coming { offer: Some(order), .. })) => {
                tracing::info!(order = %order.id, "the answer to offer-accept was lost, and its order found");
                Ok(Attempt::Told(there(Outcome::Done, &order, Some(&of.cart))))
            }
            _ => Err(unclear),
        }
    }

    /// Where one was accepted already, or none can be. `cart`: the one that is to be taken.
    async fn unofferable(&self, found: &Found, cart: Option<&str>) -> Result<Option<Attempt>, Error> {
        let Coming { offer, billed } = match self.coming(found).await? {
            Ok(coming) => coming,
            Err(reply) => return Ok(Some(Attempt::Told(reply))),
        };
        if let Some(order) = offer {
            return Ok(Some(Attempt::Told(there(Outcome::Already, &order, cart))));
        }
        let is_billed = |order: Order| {
            format!("its renewal is billed already as order {}: an offer is for the time before", order.id)
        };
        Ok(found.without_offer().or(billed.map(is_billed)).map(against_the_rules))
    }
}

fn offered(cart: &Cart) -> Vec<String> {
    let mut notes = vec![format!("cart {}: nothing is charged now; offer-accept takes it", cart.id)];
    let total = cart.total.as_deref();
    // Older carts have the price at the product alone.
    let compared = [&cart.product_price, &cart.price].into_iter().flatten().find_map(|price| price.compared(total));
    let plain = || Money::of(total?, None).map(|total| total.to_string());
    notes.push(match compared.or_else(plain) {
        Some(price) => format!("the next renewal costs {price}"),
        None => "the platform does not tell what the next renewal costs".to_owned(),
    });
    notes.extend(cart.warnings.iter().cloned());
    notes
}

/// An order that takes the offer. `cart`: the one that was to be taken.
fn there(outcome: Outcome, order: &Order, cart: Option<&str>) -> Reply {
    let mut notes = vec![match price(order) {
        Some(price) => format!("order {}: the next renewal costs {price}", order.id),
        None => format!("order {}", order.id),
    }];
    if let (Some(wanted), Some(taken)) = (cart, &order.cart)
        && !is_same(wanted, taken)
    {
        notes.push(format!("it was made of another cart: {taken}"));
    }
    let amount = price(order).map(|price| price.amount);
    let text = |text: &str| Some(Value::from(text).to_string());
    let body = object([
        ("id", text(&order.id)),
        ("cartId", order.cart.as_deref().and_then(text)),
        ("status", text(order.state())),
        ("totalAmount", amount.as_deref().and_then(text)),
        ("currency", order.currency.as_deref().and_then(text)),
    ]);
    Reply { body, notes, placed: Some(placed(order.id.clone())), ..Reply::bare(outcome, 200, String::new()) }
}

fn price(order: &Order) -> Option<Money> {
    Money::of(order.amount.as_deref()?, order.currency.as_deref())
}

fn accepted(answer: &Answer) -> Result<Reply, Error> {
    let order = order::read(&answer.body, answer.at)?;
    Ok(Reply { code: i64::from(answer.status), ..there(Outcome::Done, &order, None) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn the_price_is_told_by_the_product_or_by_the_total() {
        let told = |json: &str| offered(&cart::read(json.as_bytes()).unwrap()).remove(1);
        let product = r#"{"cartId": "c", "totalAmount": 43.20, "product": {"price": {"currency": "EUR", "grossPrice": 54.00,
            "discountedPrice": {"discountedGrossPrice": 43.20, "discountRate": 0.2, "vatDiscountAmount": 7.20}}}}"#;
        assert_eq!(told(product), "the next renewal costs 43.20 EUR instead of 54.00 EUR: 20 % less");
        assert_eq!(told(r#"{"cartId": "c", "totalAmount": 180.0}"#), "the next renewal costs 180.0");
        assert_eq!(told(r#"{"cartId": "c"}"#), "the platform does not tell what the next renewal costs");
    }

    #[test]
    fn an_order_of_another_cart_is_said_to_be() {
        let json = r#"{"id": "O", "source": "OFFER", "totalAmount": 43.20, "currency": "EUR", "cartId": "C1"}"#;
        let order = order::read(json.as_bytes(), Timestamp::constant(1_780_000_000)).unwrap();
        let notes = |cart| there(Outcome::Already, &order, Some(cart)).notes;
        assert_eq!(notes("c1"), ["order O: the next renewal costs 43.20 EUR"]);
        assert_eq!(notes("c2")[1], "it was made of another cart: C1");
        let body = there(Outcome::Done, &order, None).body.unwrap();
        assert!(body.get().contains(r#""totalAmount":"43.20""#), "{body}");
    }
}
