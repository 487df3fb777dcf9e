//! An order as the platform tells it, alone or as a row of a list, and what its status means (nexway-monetize.md, section 3).

use serde::Deserialize;

use super::convention::is_same;
use crate::clock::Timestamp;
use crate::provider::Error;
use crate::provider::body;
use crate::provider::lenient::{Object, Objects, Scalar, Written};

/// Characters of a word of the platform's.
const LONGEST_WORD: usize = 120;

/// Each value may be missing or of another type; then it is not told.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Body<'a> {
    #[serde(borrow)]
    id: Scalar<'a>,
    #[serde(borrow)]
    subscription_id: Scalar<'a>,
    #[serde(borrow)]
    cart_id: Scalar<'a>,
    #[serde(borrow)]
    generation_id: Scalar<'a>,
    #[serde(borrow)]
    source: Scalar<'a>,
    #[serde(borrow)]
    offer_sub_source: Scalar<'a>,
    #[serde(borrow)]
    status: Scalar<'a>,
    #[serde(borrow)]
    life_cycle_status: Scalar<'a>,
    #[serde(borrow)]
    payment_status: Scalar<'a>,
    #[serde(borrow)]
    payment_deadline: Scalar<'a>,
    #[serde(borrow)]
    create_date: Scalar<'a>,
    #[serde(borrow)]
    update_date: Scalar<'a>,
    #[serde(borrow)]
    currency: Currency<'a>,
    total_amount: Written,
    #[serde(borrow)]
    payments: Objects<PaymentBody<'a>>,
    #[serde(borrow)]
    line_items: Objects<LineBody<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PaymentBody<'a> {
    #[serde(borrow)]
    id: Scalar<'a>,
    #[serde(borrow)]
    status: Scalar<'a>,
    #[serde(borrow)]
    transition_payment_date: Scalar<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LineBody<'a> {
    #[serde(borrow)]
    id: Scalar<'a>,
    #[serde(borrow)]
    subscription_id: Scalar<'a>,
    #[serde(borrow)]
    product_id: Scalar<'a>,
    #[serde(borrow)]
    publisher_ref_id: Scalar<'a>,
    #[serde(borrow)]
    expiration_date: Scalar<'a>,
    amount: Written,
    discount_rate: Written,
    #[serde(borrow)]
    price: Object<PriceBody<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PriceBody<'a> {
    #[serde(borrow)]
    discounted_price: Object<DiscountBody<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DiscountBody<'a> {
    #[serde(borrow)]
    discount_code: Scalar<'a>,
    #[serde(borrow)]
    discount_label: Scalar<'a>,
    discount_rate: Written,
}

/// A string, or an object with the code in it.
#[derive(Debug, Default)]
pub struct Currency<'a>(Scalar<'a>);

impl Currency<'_> {
    pub fn text(&self) -> Option<String> {
        self.0.text()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Currency<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Described<'a> {
            #[serde(borrow)]
            currency_code: Scalar<'a>,
        }
        let raw = <&serde_json::value::RawValue>::deserialize(deserializer)?.get();
        let described = serde_json::from_str::<Object<Described<'a>>>(raw).ok().and_then(Object::into_option);
        Ok(Self(match described {
            Some(described) => described.currency_code,
            None => serde_json::from_str(raw).unwrap_or_default(),
        }))
    }
}

#[derive(Clone, Debug)]
pub struct Order {
    pub id: String,
    subscription: Option<String>,
    /// What it was made of.
    pub cart: Option<String>,
    pub generation: Option<i64>,
    /// Upper case, as all words here; empty where it is not told.
    source: String,
    offer: String,
    status: String,
    life_cycle: String,
    payment: String,
    pub payment_deadline: Option<Timestamp>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    pub currency: Option<String>,
    /// Digit by digit as it was sent.
    pub amount: Option<String>,
    pub payments: Vec<Payment>,
    pub lines: Vec<Line>,
}

#[derive(Clone, Debug)]
pub struct Payment {
    pub id: Option<String>,
    pub status: Option<String>,
    pub at: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub struct Line {
    pub id: Option<String>,
    pub subscription: Option<String>,
    /// The publisher's name for the product, else the platform's.
    pub product: Option<String>,
    pub expires_at: Option<Timestamp>,
    pub amount: Option<String>,
    pub discount_code: Option<String>,
    pub discount_label: Option<String>,
    pub discount_rate: Option<String>,
}

/// What brought the order about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Purchase,
    /// Another term: by itself, or by hand.
    Renewal,
    /// Another term, with a discount for staying.
    Offer,
    Upgrade,
    /// Not told, or a word that nobody knows.
    Unknown,
}

/// What its status means for what it brings (section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Another may come in its place, it never.
    Dead,
    /// A further attempt may complete it.
    Refused,
    /// Under way, or a word that nobody knows.
    Open,
    /// Some of it is there, the rest may follow.
    Partial,
    Good,
}

/// What the body of an answer that came at `now` says.
pub fn read(bytes: &[u8], now: Timestamp) -> Result<Order, Error> {
    Order::of(body::parse(bytes)?, now).ok_or_else(|| body::unreadable("an order without id"))
}

impl Order {
    /// `None`: it has no id.
    pub fn of(body: Body<'_>, now: Timestamp) -> Option<Self> {
        let instant = |scalar: &Scalar<'_>| scalar.instant(now);
        let payment = |payment: PaymentBody<'_>| Payment {
            id: payment.id.text(),
            status: payment.status.text().map(short),
            at: instant(&payment.transition_payment_date),
        };
        Some(Self {
            id: name(&body.id)?,
            subscription: name(&body.subscription_id),
            cart: name(&body.cart_id),
            generation: body.generation_id.integer(),
            source: word(&body.source),
            offer: word(&body.offer_sub_source),
            status: word(&body.status),
            life_cycle: word(&body.life_cycle_status),
            payment: word(&body.payment_status),
            payment_deadline: instant(&body.payment_deadline),
            created_at: instant(&body.create_date),
            updated_at: instant(&body.update_date),
            currency: body.currency.text(),
            amount: body.total_amount.into_text(),
            payments: body.payments.all.into_iter().map(payment).collect(),
            lines: body.line_items.all.into_iter().map(|line| Line::of(line, now)).collect(),
        })
    }

    /// The subscriptions that it names, each once.
    pub fn subscriptions(&self) -> Vec<&str> {
        let mut named: Vec<&str> = Vec::new();
        let lines = self.lines.iter().filter_map(|line| line.subscription.as_deref());
        for id in self.subscription.as_deref().into_iter().chain(lines).filter(|id| !id.is_empty()) {
            if !named.iter().any(|known| is_same(known, id)) {
                named.push(id);
            }
        }
        named
    }

    /// Whether it names this subscription, itself or in one of its lines.
    pub fn is_of(&self, subscription_id: &str) -> bool {
        self.subscription_itself(subscription_id) || self.lines.iter().any(|line| line.names(subscription_id))
    }

    fn subscription_itself(&self, id: &str) -> bool {
        self.subscription.as_ref().is_some_and(|own| is_same(own, id))
    }

    /// Whether this line is of that subscription: it says so, or the order does and the line nothing else. A purchase of several
    /// products may have made a subscription of each: there a line speaks for itself, or is `known` to be the subscription's.
    pub fn has_line(&self, line: &Line, subscription_id: &str, known: &[String]) -> bool {
        match &line.subscription {
            Some(_) => line.names(subscription_id),
            None if !self.subscription_itself(subscription_id) => false,
            None => {
                let is_known = || line.id.as_ref().is_some_and(|id| known.iter().any(|known| is_same(known, id)));
                self.lines.len() == 1 || matches!(self.source(), Source::Renewal | Source::Offer) || is_known()
            }
        }
    }

    pub fn source(&self) -> Source {
        match self.source.as_str() {
            "PURCHASE" => Source::Purchase,
            "SUBSCRIPTION" | "MANUAL_RENEWAL" => Source::Renewal,
            "OFFER" => Source::Offer,
            "MID_TERM_UPGRADE" | "UPGRADE" => Source::Upgrade,
            _ => Source::Unknown,
        }
    }

    /// Whether it is for staying; the other kind is for coming back.
    pub fn is_stay_offer(&self) -> bool {
        self.source() == Source::Offer && matches!(self.offer.as_str(), "" | "SUSPEND")
    }

    pub fn standing(&self) -> Standing {
        match self.state() {
            "COMPLETED" | "FORCE_COMPLETED" => Standing::Good,
            "PARTIAL_COMPLETED" | "PARTIAL_CANCELED" | "PARTIAL_CANCELLED" | "COMPLETED_WITH_ERROR" => {
                Standing::Partial
            }
            "PAYMENT_REFUSED" => Standing::Refused,
            "CANCELED"
            | "CANCELED_WITH_ERROR"
            | "FORCE_CANCELED"
            | "CANCELLED"
            | "CANCELLED_WITH_ERROR"
            | "FORCE_CANCELLED"
            | "ABORTED"
            | "FORCE_ABORTED" => Standing::Dead,
            _ => Standing::Open,
        }
    }

    /// The platform's word for how it stands.
    pub fn state(&self) -> &str {
        if self.status.is_empty() { &self.life_cycle } else { &self.status }
    }

    /// The platform's word for a payment that has failed, and has not succeeded since.
    pub fn failure(&self) -> Option<&str> {
        let last = self.payments.last().and_then(|payment| payment.status.as_deref());
        let payment = if self.payment.is_empty() { last.unwrap_or_default() } else { &self.payment };
        match self.standing() {
            Standing::Refused => Some(self.state()),
            Standing::Open if self.life_cycle == "PREBILLING_FAILED" => Some(&self.life_cycle),
            Standing::Open if payment.eq_ignore_ascii_case("FAILED") => Some("payment FAILED"),
            _ => None,
        }
    }

    pub fn payment_state(&self) -> Option<&str> {
        let last = || self.payments.last().and_then(|payment| payment.status.as_deref());
        if self.payment.is_empty() { last() } else { Some(&self.payment) }
    }

    /// Newer is greater; ids settle what is as old.
    pub fn age(&self) -> (Option<Timestamp>, &str) {
        (self.created_at, &self.id)
    }
}

impl Line {
    fn of(line: LineBody<'_>, now: Timestamp) -> Self {
        let discount =
            line.price.into_option().and_then(|price| price.discounted_price.into_option()).unwrap_or_default();
        Self {
            id: name(&line.id),
            // What is there and cannot be read names somebody all the same.
            subscription: name(&line.subscription_id).or((!line.subscription_id.is_absent()).then(String::new)),
            product: line.publisher_ref_id.text().or_else(|| line.product_id.text()),
            expires_at: line.expiration_date.instant(now),
            amount: line.amount.into_text(),
            discount_code: discount.discount_code.text(),
            discount_label: discount.discount_label.text(),
            discount_rate: discount.discount_rate.into_text().or_else(|| line.discount_rate.into_text()),
        }
    }

    fn names(&self, subscription_id: &str) -> bool {
        self.subscription.as_ref().is_some_and(|own| is_same(own, subscription_id))
    }
}

fn name(scalar: &Scalar<'_>) -> Option<String> {
    scalar.text().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty())
}

fn word(scalar: &Scalar<'_>) -> String {
    scalar.text().map(|word| short(word.trim().to_ascii_uppercase())).unwrap_or_default()
}

fn short(text: String) -> String {
    text.chars().take(LONGEST_WORD).collect()
}

#[cfg(test)]
mod tests;
