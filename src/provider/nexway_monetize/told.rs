//! What a subscription's orders tell before they are fetched: upgrades beside the count, whether the coming term is being paid for,
//! and what became of offers (nexway-monetize.md, section 5).
//!
//! Nothing is delivered for the existence of an order: that of the coming term is made weeks before it.

use super::convention::{Reference, is_same};
use super::memo::{Episode, LONGEST_ID, MOST_OFFERS, Memo, Told};
use super::order::{Order, Source, Standing};
use super::subscription::Subscription;
use crate::clock::Timestamp;
use crate::delivery::{Discount, Occasion, OfferState};
use crate::life::Life;
use crate::provider::{Failing, Listed, Offer, Payment};

/// Characters of a code or label.
const LONGEST_LABEL: usize = 200;

/// Orders of one subscription.
#[derive(Debug, Default)]
pub struct Orders {
    pub all: Vec<Order>,
    /// All that there are.
    pub is_whole: bool,
}

/// What follows from them.
#[derive(Debug)]
pub struct News {
    pub besides: Vec<Listed>,
    pub payment: Payment,
    pub offers: Vec<Offer>,
    /// With what this look has told; not yet with how the subscription stands.
    pub memo: Memo,
}

/// Reads the orders of a subscription in its `count`-th generation. Without a `memo` it is the first look: what is over is not told.
pub fn read(orders: &Orders, count: i64, subscription: &Subscription, memo: Option<&Memo>, now: Timestamp) -> News {
    let upgrades = || orders.all.iter().filter(|order| order.source() == Source::Upgrade);
    let besides = upgrades().filter_map(upgrade).collect();
    let is_settled = upgrades().all(|order| matches!(order.standing(), Standing::Good | Standing::Dead));
    let (payment, failing) = payment(orders, count, subscription, memo.and_then(|memo| memo.failing), now);
    let (offers, told) = offers(orders, count, memo);
    let listed_at = (is_settled && orders.is_whole).then_some(now.as_unix());
    let mut memo = memo.cloned().unwrap_or_default();
    (memo.listed_at, memo.failing, memo.offers) = (listed_at, failing, told);
    News { besides, payment, offers, memo }
}

/// One that is paid for: whether it is complete is asked when it is fetched.
fn upgrade(order: &Order) -> Option<Listed> {
    let is_paid = matches!(order.standing(), Standing::Good | Standing::Partial);
    is_paid.then(|| Reference::of_order(&order.id)).flatten().map(|reference| Listed {
        reference,
        occasion: Occasion::Upgrade,
        // One that was made long ago may have been paid for just now.
        completed_at: order.updated_at,
    })
}

/// How the payment for the coming term stands, and what is to be remembered of it.
fn payment(
    orders: &Orders,
    count: i64,
    subscription: &Subscription,
    before: Option<Episode>,
    now: Timestamp,
) -> (Payment, Option<Episode>) {
    let generation = count + 1;
    let before = before.filter(|episode| episode.generation == generation);
    let coming = coming(&orders.all, generation);
    if coming.iter().any(|order| matches!(order.standing(), Standing::Good | Standing::Partial)) {
        return (Payment::Fine, None);
    }
    let failed = coming.iter().filter(|order| order.failure().is_some()).max_by_key(|order| order.age());
    let reason = failed.and_then(|order| order.failure()).or(subscription.is("unpaid").then_some("unpaid"));
    let Some(reason) = reason else {
        return match before {
            // Charged again, and nobody knows yet how that ends.
            Some(_) if !orders.is_whole || coming.iter().any(|order| order.standing() == Standing::Open) => {
                (Payment::Untold, before)
            }
            _ if orders.is_whole => (Payment::Fine, None),
            _ => (Payment::Untold, None),
        };
    };
    let episode = before.unwrap_or_else(|| Episode {
        generation,
        since: began(failed.copied(), subscription, now).map(Timestamp::as_unix),
    });
    let failing = Failing {
        generation,
        since: episode.since.map(Timestamp::from_unix),
        will_retry: will_retry(failed.copied(), subscription, now),
        reason: reason.to_owned(),
    };
    (Payment::Failing(Box::new(failing)), Some(episode))
}

/// The orders that are to pay for a generation. One that names none is taken for the coming one's while nothing newer renews.
fn coming(orders: &[Order], generation: i64) -> Vec<&Order> {
    let renews = |order: &&Order| matches!(order.source(), Source::Renewal | Source::Offer);
    let newest = orders.iter().filter(renews).max_by_key(|order| order.age());
    let is_coming = |order: &&Order| match order.generation {
        Some(own) => own == generation,
        None => newest.is_some_and(|newest| newest.id == order.id) && order.standing() < Standing::Partial,
    };
    orders.iter().filter(renews).filter(is_coming).collect()
}

/// When the payment failed first, as exactly as anything tells.
fn began(order: Option<&Order>, subscription: &Subscription, now: Timestamp) -> Option<Timestamp> {
    let created_at = order.and_then(|order| order.created_at);
    let charged_at = subscription.first_charge_at.filter(|at| created_at.is_none_or(|created_at| created_at <= *at));
    let paid_at = order.and_then(|order| order.payments.iter().filter_map(|payment| payment.at).min());
    [charged_at, paid_at, created_at].into_iter().flatten().find(|at| *at <= now)
}

fn will_retry(order: Option<&Order>, subscription: &Subscription, now: Timestamp) -> Option<bool> {
    if subscription.life().is_some_and(|life| life != Life::Running) {
        return Some(false);
    }
    let deadline = order.and_then(|order| order.payment_deadline);
    let is_ahead = |at: Timestamp| now < at;
    match (subscription.next_billing_at.is_some_and(is_ahead), deadline) {
        (_, Some(deadline)) if !is_ahead(deadline) => Some(false),
        (true, _) | (_, Some(_)) => Some(true),
        (false, None) => None,
    }
}

/// What became of offers since the memo was written, and what is to be remembered.
fn offers(orders: &Orders, count: i64, memo: Option<&Memo>) -> (Vec<Offer>, Vec<Told>) {
    let mut offers: Vec<_> =
        orders.all.iter().filter(|order| order.is_stay_offer() && order.id.len() <= LONGEST_ID).collect();
    offers.sort_by_key(|order| std::cmp::Reverse(order.age()));
    offers.truncate(MOST_OFFERS);
    let before: &[Told] = memo.map_or(&[], |memo| &memo.offers);
    let (mut news, mut told) = (Vec::new(), Vec::new());
    for order in offers {
        let known = before.iter().find(|told| is_same(&told.order, &order.id));
        let state = offer_state(order, count);
        match known {
            // What is over does not begin again.
            Some(known) if !known.is_open() || state == OfferState::Accepted => told.push(known.clone()),
            _ => {
                let is_news = memo.is_some() || state == OfferState::Accepted;
                news.extend(is_news.then(|| offer(order, state)));
                told.push(Told::new(&order.id, state));
            }
        }
    }
    let is_left = |one: &&Told| !told.iter().any(|told| is_same(&told.order, &one.order));
    let left: Vec<_> = before.iter().filter(is_left).take(MOST_OFFERS - told.len()).cloned().collect();
    told.extend(left);
    news.reverse(); // oldest first
    (news, told)
}

fn offer_state(order: &Order, count: i64) -> OfferState {
    match order.standing() {
        Standing::Dead => OfferState::Aborted,
        Standing::Good if order.generation.is_none_or(|generation| generation <= count) => OfferState::Used,
        _ => OfferState::Accepted,
    }
}

fn offer(order: &Order, state: OfferState) -> Offer {
    Offer { order_number: order.id.clone(), state, discount: discount(order) }
}

fn discount(order: &Order) -> Option<Discount> {
    let short = |text: &String| text.chars().take(LONGEST_LABEL).collect::<String>();
    let line = order.lines.iter().find(|line| line.discount_rate.is_some() || line.discount_code.is_some());
    let discount = Discount {
        code: line.and_then(|line| line.discount_code.as_ref()).map(short),
        label: line.and_then(|line| line.discount_label.as_ref()).map(short),
        rate: line.and_then(|line| line.discount_rate.clone()),
        amount: order.amount.clone(),
        currency: order.currency.clone(),
    };
    let is_told = line.is_some() || discount.amount.is_some();
    is_told.then_some(discount)
}

#[cfg(test)]
mod tests;
