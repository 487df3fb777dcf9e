//! What an order holds for one subscription, and what is handed over (digital-river.md, section 5).

use serde_json::Value;

use super::event::text;
use super::memo::Memo;
use super::order::{Order, Standing};
use crate::clock::Timestamp;
use crate::delivery::{Charge, Delivery, Document, LicenceKey, Line, Period, Serial, Warning};
use crate::provider::{Class, Keys, Part, Verdict};

/// An order with all that belongs to it.
pub struct Answer {
    pub order: Order,
    /// Where `metadata` has keys; `None`: nowhere.
    pub keys_pointer: Option<String>,
    /// The subscription's own metadata, where that was asked for.
    pub subscription: Value,
    pub documents: Vec<Document>,
    /// The term, where only the subscription told it.
    pub period: Option<Period>,
}

/// Why there is nothing to hand over, by the order's state; `None`: there is.
pub fn refusal(order: &Order) -> Option<Verdict> {
    let class = match order.standing() {
        Standing::Paid => return None,
        Standing::Open => Class::Waiting,
        Standing::Dead => Class::Permanent,
    };
    let word = if order.word.is_empty() { "without a state" } else { &order.word };
    let failure = order.charges.last().and_then(|charge| charge.failure.as_ref());
    let failure = failure.map(|code| format!("; its last charge failed: {code}")).unwrap_or_default();
    Some(Verdict { class, code: 0, message: format!("order {} is {word}{failure}", order.id) })
}

pub fn not_ours() -> Verdict {
    Verdict { class: Class::NotFound, code: 0, message: "the order is another subscription's".to_owned() }
}

/// What the subscription with this id gets.
pub fn part(answer: &Answer, subscription_id: &str) -> Part {
    let Answer { order, keys_pointer, .. } = answer;
    if !order.is_of(subscription_id) {
        return Part::bare(not_ours());
    }
    if let Some(verdict) = refusal(order) {
        return Part::bare(verdict);
    }
    let (start, end) = order.period(subscription_id);
    let told = (start.is_some() || end.is_some()).then_some(Period { start, end });
    let delivery = Delivery {
        order_number: Some(order.id.clone()),
        period: told.or_else(|| answer.period.clone()),
        charge: Some(Box::new(charge(order))),
        documents: answer.documents.clone(),
        lines: lines(answer, subscription_id),
        ..Delivery::default()
    };
    // Who says where keys are has keys: one that is not there yet may come.
    let keys = if keys_pointer.is_some() { Keys::Expected } else { Keys::NotExpected };
    Part { verdict: Verdict::success(), delivery: Some(delivery), dropped: None, keys }
}

/// What is told of a period of which there is no order.
pub fn without_order(end: Timestamp, memo: Option<&Memo>) -> Part {
    let known = memo.and_then(|memo| memo.periods.iter().find(|period| period.end == end.as_unix()));
    let start = known.map(|period| Timestamp::from_unix(period.from));
    let mut delivery = Delivery { period: Some(Period { start, end: Some(end) }), ..Delivery::default() };
    delivery.warn(Warning::OrderMissing);
    Part { verdict: Verdict::success(), delivery: Some(delivery), dropped: None, keys: Keys::NotExpected }
}

/// The term of an order that does not tell it, as the looks have noted it.
pub fn period_of(order_id: &str, memo: Option<&Memo>) -> Option<Period> {
    let period = memo?.periods.iter().find(|period| period.order.as_deref() == Some(order_id))?;
    Some(Period { start: Some(Timestamp::from_unix(period.from)), end: Some(Timestamp::from_unix(period.end)) })
}

fn charge(order: &Order) -> Charge {
    Charge {
        amount: order.amount().map(str::to_owned),
        currency: order.currency.clone(),
        state: order.charges.last().and_then(|charge| charge.state.clone()),
        attempts: i64::try_from(order.charges.len()).ok().filter(|attempts| *attempts > 0),
        reference: Some(order.id.clone()),
    }
}

/// One for each item of ours. A key of the whole order is everybody's in it, so it counts only where nobody else is; what stands at
/// the subscription itself is its own.
fn lines(answer: &Answer, subscription_id: &str) -> Vec<Line> {
    let Answer { order, keys_pointer, subscription, .. } = answer;
    let pointer = keys_pointer.as_deref();
    let ours: Vec<_> = order.items_of(subscription_id).collect();
    let is_whole = ours.len() == order.items.len();
    let mut lines: Vec<_> = ours.iter().map(|item| line(item.product.clone(), keys(&item.metadata, pointer))).collect();
    if lines.iter().all(|line| line.serials.is_empty())
        && let Some(first) = lines.first_mut()
    {
        let of_order = if is_whole { keys(&order.metadata, pointer) } else { Vec::new() };
        first.serials = if of_order.is_empty() { keys(subscription, pointer) } else { of_order };
    }
    lines
}

/// Whether the order itself holds a key of this subscription.
pub fn has_key(order: &Order, keys_pointer: &str, subscription_id: &str) -> bool {
    let (pointer, mut ours) = (Some(keys_pointer), order.items_of(subscription_id));
    let is_whole = order.items_of(subscription_id).count() == order.items.len();
    ours.any(|item| !keys(&item.metadata, pointer).is_empty())
        || (is_whole && !keys(&order.metadata, pointer).is_empty())
}

/// Whether nothing of a key is missing.
pub fn has_all(answer: &Answer, subscription_id: &str) -> bool {
    answer.keys_pointer.is_none() || lines(answer, subscription_id).iter().any(|line| !line.serials.is_empty())
}

/// One, or several in a list.
fn keys(metadata: &Value, pointer: Option<&str>) -> Vec<Serial> {
    let Some(found) = pointer.and_then(|pointer| metadata.pointer(pointer)) else { return Vec::new() };
    let all = found.as_array().map_or(std::slice::from_ref(found), Vec::as_slice);
    let serial = |key| Serial {
        data: LicenceKey::new(key),
        encoding: "text".to_owned(),
        charset: "utf-8".to_owned(),
        file_name: String::new(),
    };
    all.iter().filter_map(text).filter(|key| !key.trim().is_empty()).map(serial).collect()
}

fn line(product_ref: Option<String>, serials: Vec<Serial>) -> Line {
    Line {
        product_ref,
        remark: String::new(),
        digital_locker_link: String::new(),
        download_until: None,
        serials,
        files: Vec::new(),
    }
}
