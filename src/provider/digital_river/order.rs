//! An order as the API tells it, alone or as a row of a list, and what its state means (digital-river.md, sections 2 and 5). Whoever
//! bought it is not read.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::subscription::value;
use crate::clock::Timestamp;
use crate::provider::lenient::{Object, Objects, Scalar, Written};
use crate::provider::{Error, body};

/// Characters of a word of the API's.
const LONGEST_WORD: usize = 60;

/// Each value may be missing or of another type; then it is not told.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Body<'a> {
    #[serde(borrow)]
    id: Scalar<'a>,
    #[serde(borrow)]
    state: Scalar<'a>,
    #[serde(borrow)]
    created_time: Scalar<'a>,
    #[serde(borrow)]
    currency: Scalar<'a>,
    total_amount: Written,
    captured_amount: Written,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    items: Objects<ItemBody<'a>>,
    #[serde(borrow)]
    payment: Object<PaymentBody<'a>>,
    #[serde(borrow, rename = "invoicePDFs")]
    invoice_pdfs: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ItemBody<'a> {
    #[serde(borrow)]
    sku_id: Scalar<'a>,
    #[serde(borrow)]
    product_details: Object<IdBody<'a>>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    subscription_info: Object<InfoBody<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct InfoBody<'a> {
    #[serde(borrow)]
    subscription_id: Scalar<'a>,
    #[serde(borrow)]
    start_time: Scalar<'a>,
    #[serde(borrow)]
    end_time: Scalar<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PaymentBody<'a> {
    #[serde(borrow)]
    charges: Objects<ChargeBody<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ChargeBody<'a> {
    #[serde(borrow)]
    created_time: Scalar<'a>,
    #[serde(borrow)]
    state: Scalar<'a>,
    #[serde(borrow, rename = "type")]
    kind: Scalar<'a>,
    #[serde(borrow)]
    failure_code: Scalar<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct IdBody<'a> {
    #[serde(borrow)]
    id: Scalar<'a>,
}

#[derive(Clone, Debug)]
pub struct Order {
    pub id: String,
    /// As it was sent; empty where it is not told.
    pub word: String,
    pub created_at: Option<Timestamp>,
    pub currency: Option<String>,
    /// Digit by digit as it was sent.
    pub total: Option<String>,
    pub captured: Option<String>,
    pub metadata: Value,
    pub items: Vec<Item>,
    /// Oldest first, as far as that is told.
    pub charges: Vec<Charge>,
    /// Files.
    pub invoices: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Item {
    pub subscription: Option<String>,
    pub product: Option<String>,
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
    pub metadata: Value,
}

#[derive(Clone, Debug)]
pub struct Charge {
    pub at: Option<Timestamp>,
    pub state: Option<String>,
    pub kind: String,
    pub failure: Option<String>,
}

/// What its state means for what it brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not paid yet.
    Open,
    /// Never will be.
    Dead,
    /// Accepted, or later; also a word that nobody knows.
    Paid,
}

/// What the body of an answer that came at `now` says.
pub fn read(bytes: &[u8], now: Timestamp) -> Result<Order, Error> {
    Order::of(body::parse(bytes)?, now).ok_or_else(|| body::unreadable("an order without id"))
}

impl Order {
    /// `None`: it has no id.
    pub fn of(body: Body<'_>, now: Timestamp) -> Option<Self> {
        let charges = body.payment.into_option().unwrap_or_default().charges.all;
        let mut charges: Vec<_> = charges.into_iter().map(|charge| Charge::of(charge, now)).collect();
        charges.sort_by_key(|charge| charge.at);
        Some(Self {
            id: name(&body.id)?,
            word: word(&body.state).unwrap_or_default(),
            created_at: body.created_time.instant(now),
            currency: body.currency.text(),
            total: body.total_amount.into_text(),
            captured: body.captured_amount.into_text(),
            metadata: value(body.metadata),
            items: body.items.all.into_iter().map(|item| Item::of(item, now)).collect(),
            charges,
            invoices: files(body.invoice_pdfs),
        })
    }

    pub fn id_of(body: &Body<'_>) -> Option<String> {
        name(&body.id)
    }

    /// Whether one of its items names this subscription.
    pub fn is_of(&self, subscription_id: &str) -> bool {
        self.items_of(subscription_id).next().is_some()
    }

    pub fn items_of<'a>(&'a self, subscription_id: &'a str) -> impl Iterator<Item = &'a Item> {
        self.items.iter().filter(move |item| item.subscription.as_deref() == Some(subscription_id))
    }

    pub fn standing(&self) -> Standing {
        match self.word.to_ascii_lowercase().as_str() {
            "" | "pending_payment" | "in_review" => Standing::Open,
            "blocked" | "cancelled" | "canceled" => Standing::Dead,
            _ => Standing::Paid,
        }
    }

    /// Whether the customer bought it: the first of them made the subscription.
    pub fn is_bought(&self) -> bool {
        self.charges.iter().any(|charge| charge.kind.eq_ignore_ascii_case("customer_initiated"))
    }

    /// What was really taken, else what it costs.
    pub fn amount(&self) -> Option<&str> {
        let is_something = |amount: &&String| {
            let digits = amount.split(['e', 'E']).next().unwrap_or_default();
            !amount.starts_with('-') && digits.bytes().any(|digit| (b'1'..=b'9').contains(&digit))
        };
        self.captured.as_ref().filter(is_something).or(self.total.as_ref()).map(String::as_str)
    }

    /// The term that it pays for, where that is told.
    pub fn period(&self, subscription_id: &str) -> (Option<Timestamp>, Option<Timestamp>) {
        let start = self.items_of(subscription_id).find_map(|item| item.start);
        let end = self.items_of(subscription_id).find_map(|item| item.end);
        (start, end)
    }

    /// Older is less; ids settle what is as old.
    pub fn age(&self) -> (bool, Option<Timestamp>, &str) {
        (self.created_at.is_none(), self.created_at, &self.id)
    }
}

impl Item {
    fn of(item: ItemBody<'_>, now: Timestamp) -> Self {
        let info = item.subscription_info.into_option().unwrap_or_default();
        let product = || item.product_details.into_option().and_then(|details| details.id.text());
        Self {
            subscription: name(&info.subscription_id),
            product: item.sku_id.text().or_else(product),
            start: info.start_time.instant(now),
            end: info.end_time.instant(now),
            metadata: value(item.metadata),
        }
    }
}

impl Charge {
    fn of(charge: ChargeBody<'_>, now: Timestamp) -> Self {
        Self {
            at: charge.created_time.instant(now),
            state: word(&charge.state),
            kind: word(&charge.kind).unwrap_or_default(),
            failure: word(&charge.failure_code),
        }
    }
}

/// Files come as objects or by their ids.
fn files(raw: Option<&RawValue>) -> Vec<String> {
    let all: Vec<Value> = raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let id = |file: &Value| super::event::text(file).or_else(|| super::event::text(&file["id"]));
    all.iter().filter_map(id).filter(|id| !id.is_empty()).collect()
}

fn name(scalar: &Scalar<'_>) -> Option<String> {
    scalar.text().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty())
}

fn word(scalar: &Scalar<'_>) -> Option<String> {
    scalar.text().map(|word| word.trim().chars().take(LONGEST_WORD).collect())
}
