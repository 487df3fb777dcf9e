//! Another product in the middle of a term: a cart with what it costs for the rest of it, and where that is paid. Nothing is charged
//! before.

use serde_json::{Value, json};

use super::cart::{self, Cart};
use super::found::Found;
use super::link::{Checkout, LINK_LIFE};
use super::money::Money;
use super::{Attempt, against_the_rules, done, object};
use crate::budget::Slot;
use crate::call::{Call, Upgrade};
use crate::provider::Error;
use crate::provider::body::unreadable;
use crate::provider::nexway_monetize::Client;
use crate::provider::nexway_monetize::convention::is_same;
use crate::provider::shop::{Outcome, Reply};

impl Client {
    pub(super) async fn upgrade(&self, call: &Call, of: &Upgrade, slot: Slot) -> Result<Attempt, Error> {
        let found = match self.found(&of.subscription_id, slot).await? {
            Ok(found) => found,
            Err(reply) => return Ok(Attempt::Told(reply)),
        };
        if let Some(why) = found.without_upgrade() {
            return Ok(against_the_rules(why));
        }
        if found.has(&of.product) {
            let why = "is the product that it has already".to_owned();
            return Ok(Attempt::Told(Reply { field: Some("product"), ..Reply::bare(Outcome::Mend, 0, why) }));
        }
        let sent = Some(wanted(of).to_string());
        let answer = match self.post(call, "/carts/mid-term-upgrade", sent, self.further().await?).await? {
            Ok(answer) => answer,
            Err(attempt) => return Ok(attempt),
        };
        let cart = cart::read(&answer.body)?;
        if cart.subscription.as_ref().is_some_and(|own| !is_same(own, &of.subscription_id)) {
            return Err(unreadable("a cart for another subscription"));
        }
        let checkout = self.checkout(&cart, &found).await;
        let single = checkout.as_ref().filter(|checkout| checkout.plain.is_none());
        let body = object([
            ("cart", Some(cart.shown.clone())),
            ("checkoutLink", checkout.as_ref().map(|checkout| Value::from(checkout.link.as_str()).to_string())),
            ("linkLifeSeconds", single.map(|_| LINK_LIFE.to_string())),
        ]);
        Ok(Attempt::Told(done(&answer, body, told(&cart, checkout.as_ref(), &found))))
    }
}

fn wanted(of: &Upgrade) -> Value {
    let mut product = json!({ "id": of.product });
    if let Some(tag) = &of.discount_tag {
        let step = of.discount_step.unwrap_or(0);
        product["discountPlan"] = json!({ "tag": tag, "discountStep": step, "ignorePurchaseDiscount": false });
    }
    json!({ "subscriptionId": of.subscription_id, "wantedProduct": product })
}

fn told(cart: &Cart, checkout: Option<&Checkout>, found: &Found) -> Vec<String> {
    let total = cart.total.as_deref();
    let due = cart.price.as_ref().and_then(|price| price.due(total)).or_else(|| Money::of(total?, None));
    let mut notes = vec![match due {
        Some(due) => format!("cart {}: {due} to be paid for what is left of the term, which stays as it is", cart.id),
        None => format!("cart {}: the platform does not tell what is to be paid", cart.id),
    }];
    notes.extend(
        cart.renewing_price
            .as_ref()
            .and_then(|price| price.due(None))
            .map(|price| format!("each renewal then costs {price}")),
    );
    if found.is_suspended() {
        notes.push("whoever pays it switches the renewal on again".to_owned());
    }
    match checkout {
        Some(Checkout { link, plain: None }) => {
            notes.push(format!("checkout, for one use within {LINK_LIFE} seconds: {link}"));
        }
        Some(Checkout { link, plain: Some(why) }) => {
            notes.push(format!("checkout: {link}"));
            notes.push(format!("whoever pays there has to sign in: there is no link that does it for him ({why})"));
        }
        None => notes.push("the platform tells no address of the checkout".to_owned()),
    }
    notes.extend(cart.warnings.iter().cloned());
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_of_discounts_is_sent_where_one_is_named() {
        let of = |tag: Option<&str>, step| Upgrade {
            partner_order_number: String::new(),
            subscription_id: "s".to_owned(),
            product: "p".to_owned(),
            discount_tag: tag.map(str::to_owned),
            discount_step: step,
        };
        assert_eq!(wanted(&of(None, None)), json!({ "subscriptionId": "s", "wantedProduct": { "id": "p" } }));
        let plan = |step| json!({ "tag": "t", "discountStep": step, "ignorePurchaseDiscount": false });
        assert_eq!(wanted(&of(Some("t"), None))["wantedProduct"]["discountPlan"], plan(0));
        assert_eq!(wanted(&of(Some("t"), Some(3)))["wantedProduct"]["discountPlan"], plan(3));
    }
}
