//! What the API says of a cart.

use serde_json::{Value, json};
use uuid::Uuid;

use super::carts::{Cart, Holds, SCENARIO};
use super::forms::cents;
use super::platform::NexwayMonetize;
use super::product::Product;
use super::subscription_answer::{CUSTOMER, STORE, model_id};
use super::subscriptions::made_up;
use crate::clock::Timestamp;

const STORE_HOST: &str = "store.sandbox.example";

impl NexwayMonetize {
    pub(super) fn shown(&self, cart: &Cart, now: Timestamp) -> Value {
        match &cart.holds {
            Holds::Offer { index, discount } => self.shown_offer(cart.id, *index, *discount),
            Holds::Upgrade { index, product, amount } => {
                let renewing = self.view().price(&product.currency, product.total(), None);
                let present = &self.books.subscription(*index).state.product;
                let full = product.total() - present.total();
                let rate = if full > 0.0 { 1.0 - amount / full } else { 0.0 };
                let line = json!({
                    "id": product.id, "name": product.name, "quantity": product.units,
                    "subscriptionTemplate": model_id(self.books.subscription(*index)),
                    "expirationDate": self.switches.date(self.books.subscription(*index).state.expires_at),
                    "renewingPrice": renewing,
                });
                let price = self.view().price(&product.currency, full, Some((*amount, rate)));
                let mut body = self.shown_checkout(cart, line, price, *amount);
                body["subscriptionId"] = self.switches.id(self.books.subscription(*index).id).into();
                body["source"] = "MID_TERM_UPGRADE".into();
                body["enduserId"] = self.switches.id(made_up("enduser", *index)).into();
                body["endUser"] = json!({
                    "id": self.switches.id(made_up("enduser", *index)),
                    "email": format!("user{index}@example.org"), "country": "FR", "locale": "fr-FR",
                    "wallet": { "creditCards": [{ "id": "1", "type": "VISA", "bin": "411111", "expirationDate": "12/2031" }] },
                });
                body["updateDate"] = self.switches.date(now);
                body
            }
            Holds::Retail { sent, products } => {
                let line = |(product, expires_at): &(Product, Option<Timestamp>)| {
                    json!({
                        "id": product.id, "name": product.name, "quantity": product.units,
                        "currentExpirationDate": expires_at.map(|at| self.switches.date(at)),
                        "renewingPrice": self.view().price(&product.currency, product.total(), None),
                    })
                };
                let currency = products.first().map_or("EUR", |(product, _)| &product.currency);
                let price = self.view().price(currency, 0.0, None);
                let mut body = self.shown_checkout(cart, Value::Null, price, 0.0);
                body["products"] = products.iter().map(line).collect();
                body["scenario"] = SCENARIO.into();
                for field in
                    ["endUser", "externalContext", "marketingCampaignNames", "discountPlan", "country", "locale"]
                {
                    body[field] = sent[field].clone();
                }
                body
            }
        }
    }

    fn shown_offer(&self, id: Uuid, index: u32, discount: f64) -> Value {
        let subscription = self.books.subscription(index);
        let product = &subscription.state.product;
        let total = product.total() * (1.0 - discount);
        json!({
            "cartId": self.switches.id(id),
            "subscriptionId": self.switches.id(subscription.id),
            "customerId": CUSTOMER, "storeId": STORE,
            "source": "OFFER", "offerSubSource": "SUSPEND",
            "totalAmount": cents(total),
            "product": {
                "id": product.id, "name": product.name, "publisherRefId": product.reference,
                "lifeTime": match model_id(subscription) { "NEXWAY_1M" => "1MONTH", _ => "1YEAR" },
                "price": self.view().price(&product.currency, product.total(), Some((total, discount))),
            },
            "warnings": [],
        })
    }

    fn shown_checkout(&self, cart: &Cart, line: Value, price: Value, total: f64) -> Value {
        json!({
            "id": self.switches.id(cart.id),
            "customerId": CUSTOMER, "storeId": STORE,
            "products": [line],
            "price": price,
            "totalAmount": cents(total),
            "storeHostname": STORE_HOST,
            "checkoutUrl": format!("https://{STORE_HOST}/checkout/{}", cart.id),
            "createDate": self.switches.date(cart.made_at),
            "dbVersion": 1,
        })
    }
}
