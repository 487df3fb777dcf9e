//! Carts: offers to stay, another product in mid-term, boxed products that become subscriptions; and what becomes of them.

use axum::http::header::LOCATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use uuid::Uuid;

use super::books::Error;
use super::platform::{Call, NexwayMonetize};
use super::product::Product;
use super::script::Script;
use super::subscription_answer::STORE;
use super::subscriptions::{NewSubscriptions, made_up};
use super::switches::DeeplinkSpelling;
use crate::clock::Timestamp;
use crate::sandbox::call::Answer;

pub(super) const SCENARIO: &str = "subscriptionimport";

#[derive(Debug, Default)]
pub(super) struct Carts {
    all: Vec<Cart>,
}

#[derive(Clone, Debug)]
pub(super) struct Cart {
    pub(super) id: Uuid,
    pub(super) made_at: Timestamp,
    pub(super) holds: Holds,
    is_paid: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Holds {
    Offer {
        index: u32,
        discount: f64,
    },
    Upgrade {
        index: u32,
        product: Product,
        amount: f64,
    },
    /// As it was sent, and what comes of it.
    Retail {
        sent: Value,
        products: Vec<(Product, Option<Timestamp>)>,
    },
}

impl Carts {
    fn find(&self, id: &str) -> Option<usize> {
        let id = Uuid::parse_str(id).ok()?;
        self.all.iter().position(|cart| cart.id == id)
    }

    fn add(&mut self, holds: Holds, made_at: Timestamp) -> Cart {
        let cart = Cart { id: cart_id(self.all.len() as u32), made_at, holds, is_paid: false };
        self.all.push(cart.clone());
        cart
    }
}

fn cart_id(number: u32) -> Uuid {
    made_up("cart", number)
}

/// The id of the first one that is made, for examples.
pub(super) fn first_cart() -> Uuid {
    cart_id(0)
}

/// What the platform sells, beside what its subscriptions have.
fn catalogue() -> [Product; 2] {
    [Product::default(), Product::bigger()]
}

/// Why there is no cart: status, what it is about, its id, words.
type No = (u16, &'static str, String, String);

fn not_found(what: &'static str, id: &str) -> No {
    (404, what, id.to_owned(), format!("{what} {id} not found"))
}

fn sent(call: &Call) -> Result<Value, No> {
    serde_json::from_slice(&call.body).map_err(|_| (400, "REQUEST", String::new(), "the body is no JSON".to_owned()))
}

fn text<'a>(body: &'a Value, field: &str) -> &'a str {
    body[field].as_str().unwrap_or_default()
}

/// What a cart is made for, and changed.
impl NexwayMonetize {
    pub(super) fn offer_cart(&mut self, call: &Call, now: Timestamp) -> Answer {
        let made = sent(call).and_then(|sent| {
            let index = self.subscription_in(&sent)?;
            self.books.may_be_offered(index).map_err(|error| against_a_rule(&sent, &error))?;
            let code = text(&sent, "discountCode");
            if !code.is_empty() && code != self.switches.offer_code {
                return Err(not_found("DISCOUNT", code));
            }
            let none = "no discount is configured for offers to stay".to_owned();
            let discount = self.switches.offer_discount.ok_or((400, "SUBSCRIPTION", String::new(), none))?;
            Ok(Holds::Offer { index, discount })
        });
        self.put(made, call, now)
    }

    pub(super) fn upgrade_cart(&mut self, call: &Call, now: Timestamp) -> Answer {
        let made = sent(call).and_then(|sent| {
            let index = self.subscription_in(&sent)?;
            let product = self.product(text(&sent["wantedProduct"], "id"))?;
            let amount =
                self.books.upgrade_price(index, &product, now).map_err(|error| against_a_rule(&sent, &error))?;
            if product.total() <= self.books.subscription(index).state.product.total() {
                let why = "the price of the new product must be higher than the present one".to_owned();
                return Err((400, "PRODUCT", product.id, why));
            }
            Ok(Holds::Upgrade { index, product, amount })
        });
        self.put(made, call, now)
    }

    pub(super) fn retail_cart(&mut self, call: &Call, now: Timestamp) -> Answer {
        let made = sent(call).and_then(|sent| {
            if text(&sent, "storeId") != STORE {
                return Err(not_found("STORE", text(&sent, "storeId")));
            }
            if text(&sent["endUser"], "email").is_empty() {
                return Err((400, "ENDUSER", String::new(), "endUser.email must not be null".to_owned()));
            }
            if text(&sent, "scenario") != SCENARIO {
                return Err((400, "CART", String::new(), format!("the scenario is not {SCENARIO}")));
            }
            let wanted = sent["wantedProducts"].as_array().cloned().unwrap_or_default();
            let products = wanted.iter().map(|one| {
                let expires_at = one["currentExpirationDate"].as_i64().map(|at| Timestamp::from_unix(at / 1000));
                Ok((self.product(text(one, "id"))?, expires_at))
            });
            let products = products.collect::<Result<_, No>>()?;
            Ok(Holds::Retail { sent, products })
        });
        self.put(made, call, now)
    }

    /// The order that the next renewal will use. Twice is another order, and the one before is aborted.
    pub(super) fn accept_offer(&mut self, call: &Call, now: Timestamp) -> Answer {
        let taken = sent(call).and_then(|sent| {
            let index = self.subscription_in(&sent)?;
            let id = text(&sent, "cartId");
            let cart = self.carts.find(id).map(|at| &self.carts.all[at]);
            match cart {
                Some(Cart { id, holds: Holds::Offer { index: own, discount }, .. }) if *own == index => {
                    let (id, discount) = (*id, *discount);
                    let taken = self.books.accept_offer(index, discount, now);
                    Ok((index, id, taken.map_err(|error| against_a_rule(&sent, &error))?))
                }
                _ => Err(not_found("CART", id)),
            }
        });
        let (index, cart, number) = match taken {
            Ok(taken) => taken,
            Err(no) => return self.say_no(no, call),
        };
        self.books.order_mut(number).cart = Some(cart);
        if self.switches.offer_touches_subscription {
            self.books.subscriptions[index as usize].change(now, |_| {});
        }
        self.books.changed(index, now);
        self.collect_news(now);
        Answer::json(201, &self.next_order(number, now))
    }

    pub(super) fn cart(&self, call: &Call, now: Timestamp) -> Option<Answer> {
        let id = call.path.rsplit('/').next().unwrap_or_default();
        let cart = &self.carts.all[self.carts.find(id)?];
        Some(Answer::json(self.switches.cart_status, &self.shown(cart, now)))
    }

    /// A link that signs a shopper in.
    pub(super) fn deeplink(&mut self, call: &Call) -> Answer {
        let [life, once] = match self.switches.deeplink_spelling {
            DeeplinkSpelling::Guide => ["expiration_time", "single_use"],
            DeeplinkSpelling::OpenApi => ["linkDuration", "singleUse"],
        };
        let sent = sent(call).unwrap_or_default();
        let known = ["storeId", "enduserId", "baseLink", life, once];
        let is_known = sent.as_object().is_some_and(|fields| fields.keys().all(|name| known.contains(&name.as_str())));
        let all = 0..self.books.subscriptions.len() as u32;
        let is_somebody =
            all.map(|index| made_up("enduser", index).to_string()).any(|id| id == text(&sent, "enduserId"));
        let base = text(&sent, "baseLink");
        let is_right = is_known
            && is_somebody
            && text(&sent, "storeId") == STORE
            && base.starts_with("https://")
            && sent[life].as_u64().is_some_and(|seconds| seconds > 0)
            && sent[once].is_boolean();
        if !is_right {
            return self.refuse(400, "not a link that can be made", call);
        }
        let id =
            uuid::Builder::from_random_bytes(Uuid::from_u64_pair(self.random.draw(), self.random.draw()).into_bytes());
        let glue = if base.contains('?') { '&' } else { '?' };
        Answer::raw(201, []).with_header(LOCATION, format!("{base}{glue}deeplinkid={}", id.into_uuid()))
    }

    /// Returns the orders that come of it.
    pub(super) fn pay(&mut self, id: &str, now: Timestamp) -> Result<Vec<u32>, Error> {
        let at = self.carts.find(id).ok_or_else(|| Error::UnknownCart(id.to_owned()))?;
        let Cart { id, holds, is_paid, .. } = self.carts.all[at].clone();
        let numbers = match holds {
            Holds::Upgrade { index, product, .. } if !is_paid => {
                let number = self.books.upgrade(index, product, Script::default(), now)?;
                self.books.changed(index, now);
                vec![number]
            }
            Holds::Retail { sent, products } if !is_paid => {
                let context = BASE64.decode(text(&sent, "externalContext")).ok();
                let external_context: Option<Value> = context.and_then(|json| serde_json::from_slice(&json).ok());
                let mut numbers = Vec::new();
                for (product, expires_at) in products {
                    let external_context = external_context.clone();
                    let new = NewSubscriptions { product, expires_at, external_context, ..imported() };
                    let made = self.books.create(new, now)?;
                    numbers.extend(made.map(|index| self.books.subscription(index).state.order));
                }
                numbers
            }
            _ => return Err(Error::NothingToPay(id)),
        };
        self.carts.all[at].is_paid = true;
        for number in &numbers {
            self.books.order_mut(*number).cart = Some(id);
        }
        Ok(numbers)
    }

    fn subscription_in(&self, sent: &Value) -> Result<u32, No> {
        let id = text(sent, "subscriptionId");
        self.books.find(id).map_err(|_| not_found("SUBSCRIPTION", id))
    }

    fn product(&self, id: &str) -> Result<Product, No> {
        let known = self.books.subscriptions.iter().map(|subscription| &*subscription.state.product);
        let found = known.chain(&catalogue()).find(|product| product.id == id).cloned();
        found.ok_or_else(|| not_found("PRODUCT", id))
    }

    fn put(&mut self, made: Result<Holds, No>, call: &Call, now: Timestamp) -> Answer {
        match made {
            Ok(holds) => {
                let cart = self.carts.add(holds, now);
                match cart.holds {
                    Holds::Retail { .. } => Answer::raw(201, []).with_header(LOCATION, format!("/carts/{}", cart.id)),
                    _ => Answer::json(201, &self.shown(&cart, now)),
                }
            }
            Err(no) => self.say_no(no, call),
        }
    }

    fn say_no(&self, (status, what, id, why): No, call: &Call) -> Answer {
        let answer = self.refuse(status, &why, call);
        let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        body["details"] = json!([{ "errorType": "VALIDATION", "resourceType": what, "resourceId": id }]);
        Answer::json(status, &body)
    }
}

fn against_a_rule(sent: &Value, error: &Error) -> No {
    (400, "SUBSCRIPTION", text(sent, "subscriptionId").to_owned(), error.to_string())
}

fn imported() -> NewSubscriptions {
    NewSubscriptions { imported: true, ..NewSubscriptions::default() }
}
