//! The provider's books: subscriptions and their orders, how they begin, and what is due when.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::orders::{COMPLETED, CREATED, Order, Source, order_number};
use super::product::Product;
use super::script::Script;
use super::subscriptions::{NewSubscriptions, Next, State, Status, Subscription, made_up};
use crate::clock::Timestamp;

/// Terms of a second and a clock set to the year 9999 must not fill the memory.
const MOST_ORDERS: usize = 10_000;
/// Subscriptions and renewals in one go.
const MOST_AT_ONCE: u32 = 2_000_000;

/// Why the sandbox could not do as told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0:?} is no UUID")]
    NoUuid(String),
    #[error("subscription {0} exists already")]
    SubscriptionExists(String),
    #[error("there is no subscription {0:?}")]
    UnknownSubscription(String),
    #[error("there is no cart {0:?}")]
    UnknownCart(String),
    #[error("cart {0} is not to be paid, or was paid already")]
    NothingToPay(Uuid),
    #[error("there is no order {0:?}")]
    UnknownOrder(String),
    #[error("subscription {id} has no order of generation {generation}")]
    NoOrder { id: Uuid, generation: i64 },
    #[error("subscription {id} is {status:?}: {why}")]
    NotNow { id: Uuid, status: Status, why: &'static str },
    #[error("no more than {most} at once")]
    TooMany { most: u32 },
}

/// What was sold after the first order: a generation, or an upgrade in the midst of one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sold {
    pub subscription_id: String,
    pub external_ref_id: Option<String>,
    pub generation: i64,
    pub order_id: String,
    pub source: Source,
    pub amount: f64,
    pub sold_at: Timestamp,
}

/// What there is to notify of.
#[derive(Clone, Debug)]
pub(super) enum News {
    Order { number: u32, what: &'static str },
    Subscription { index: u32, what: &'static str },
}

#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) orders: Vec<Order>,
    by_id: HashMap<Uuid, u32>,
    /// In no list of subscriptions any more.
    pub(super) unlisted: HashSet<u32>,
    due: BinaryHeap<Reverse<(Timestamp, u32)>>,
    /// Scripts for generations still to come.
    pub(super) scripts: HashMap<(u32, i64), Script>,
    /// Order by order, with the time.
    pub(super) sold: Vec<(Timestamp, u32)>,
    /// Rises with every change.
    pub(super) version: u64,
    pub(super) news: Vec<News>,
}

/// Looking things up.
impl Books {
    pub(super) fn subscription(&self, index: u32) -> &Subscription {
        &self.subscriptions[index as usize]
    }

    pub(super) fn order(&self, number: u32) -> &Order {
        &self.orders[number as usize]
    }

    pub(super) fn order_mut(&mut self, number: u32) -> &mut Order {
        &mut self.orders[number as usize]
    }

    /// Ids are the same in either case.
    pub(super) fn find(&self, id: &str) -> Result<u32, Error> {
        let found = Uuid::parse_str(id).ok().and_then(|id| self.by_id.get(&id).copied());
        found.ok_or_else(|| Error::UnknownSubscription(id.to_owned()))
    }

    pub(super) fn find_order(&self, id: &str) -> Result<u32, Error> {
        let found = order_number(id).filter(|number| (*number as usize) < self.orders.len());
        found.ok_or_else(|| Error::UnknownOrder(id.to_owned()))
    }

    /// The newest order that stands for a generation.
    pub(super) fn order_of(&self, index: u32, generation: i64) -> Option<u32> {
        let is_it = |number: &&u32| {
            let order = self.order(**number);
            order.generation == generation && order.begins_generation()
        };
        self.subscription(index).orders.iter().rev().find(is_it).copied()
    }

    /// Of the order that touched it last.
    pub(super) fn licence_updated_at(&self, index: u32) -> Timestamp {
        let order = self.order(self.subscription(index).state.order);
        order.charged_at.unwrap_or(order.created_at)
    }

    /// Everything ever sold after the first orders, in order of time.
    pub(super) fn sold(&self) -> Vec<Sold> {
        let mut sold: Vec<_> = self.sold.iter().map(|(at, number)| self.entry(*at, self.order(*number))).collect();
        sold.sort_by_key(|sold| sold.sold_at);
        sold
    }

    pub(super) fn entry(&self, sold_at: Timestamp, order: &Order) -> Sold {
        let subscription = self.subscription(order.subscription);
        Sold {
            subscription_id: subscription.id.to_string(),
            external_ref_id: subscription.external_ref_id.as_deref().map(str::to_owned),
            generation: order.generation,
            order_id: order.id(),
            source: order.source,
            amount: order.amount,
            sold_at,
        }
    }
}

/// How things begin, and time.
impl Books {
    /// Returns their places, in their order.
    pub(super) fn create(&mut self, new: NewSubscriptions, now: Timestamp) -> Result<std::ops::Range<u32>, Error> {
        let count = new.count.max(new.ids.len() as u32);
        if count > MOST_AT_ONCE {
            return Err(Error::TooMany { most: MOST_AT_ONCE });
        }
        let first = self.subscriptions.len() as u32;
        let chosen = new.ids.iter().map(|id| Uuid::parse_str(id).map_err(|_| Error::NoUuid(id.clone())));
        let mut ids = chosen.collect::<Result<Vec<_>, _>>()?;
        ids.extend((ids.len() as u32..count).map(|nth| made_up("subscription", first + nth)));
        if let Some(known) = ids.iter().find(|id| self.by_id.contains_key(id)) {
            return Err(Error::SubscriptionExists(known.to_string()));
        }
        let (terms, product) = (Arc::new(NewSubscriptions { ids: Vec::new(), ..new }), Arc::new(Product::default()));
        let product = if *product == terms.product { product } else { Arc::new(terms.product.clone()) };
        for (nth, id) in ids.into_iter().enumerate() {
            let before = terms.apart.saturating_mul(count - 1 - nth as u32);
            let made_at = terms.created_at.unwrap_or(now).as_unix().saturating_sub(before.as_secs() as i64);
            self.open(id, nth, terms.clone(), product.clone(), Timestamp::from_unix(made_at));
        }
        self.catch_up(now);
        Ok(first..self.subscriptions.len() as u32)
    }

    fn open(&mut self, id: Uuid, nth: usize, terms: Arc<NewSubscriptions>, product: Arc<Product>, at: Timestamp) {
        let index = self.subscriptions.len() as u32;
        let reference = terms.external_ref_id.as_ref().map(|reference| match terms.count {
            0 | 1 => reference.clone().into(),
            _ => format!("{reference}-{}", nth + 1).into(),
        });
        let state = State {
            status: if terms.generation < 0 { Status::Trial } else { Status::Active },
            shown_status: None,
            generation: terms.generation,
            expires_at: terms.expires_at.unwrap_or_else(|| terms.period.after(at)),
            auto_renew: terms.auto_renew,
            replayable: true,
            product,
            order: self.orders.len() as u32,
            previous_order: None,
            updated_at: at,
            changed_at: at,
            version: 1,
        };
        self.by_id.insert(id, index);
        self.subscriptions.push(Subscription {
            id,
            external_ref_id: reference,
            created_at: at,
            state,
            past: Vec::new(),
            orders: Vec::new(),
            offer: None,
            prebilled: None,
            charge_again_at: None,
            refusals: 0,
            terms,
        });
        let number = self.push_order(index, Source::Purchase, at);
        let generation = self.subscription(index).terms.generation;
        let free = self.subscription(index).terms.imported || generation < 0;
        let order = self.order_mut(number);
        order.generation = generation;
        (order.status, order.charged_at) = (COMPLETED, Some(at));
        if free {
            order.amount = 0.0;
        }
        self.tell_subscription(index, "created");
        self.changed(index, at);
    }

    /// Does everything that is due, each at its own instant.
    pub(super) fn catch_up(&mut self, now: Timestamp) {
        while let Some(Reverse((at, index))) = self.due.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.due.pop();
            let due = self.subscription(index).next().filter(|(due, _)| *due <= at);
            if let Some((_, next)) = due
                && self.subscription(index).orders.len() < MOST_ORDERS
            {
                match next {
                    Next::Prebill => drop(self.prebill(index, at)),
                    Next::Charge => self.charge(index, at),
                    Next::Expire => self.expire(index, at),
                }
                self.changed(index, at);
            }
            self.attend(index, at);
        }
    }

    /// Notes when to look at a subscription again, after whatever was done to it.
    pub(super) fn changed(&mut self, index: u32, at: Timestamp) {
        self.version += 1;
        // What is overdue happens at once: no later than it should, and not before what has just been done.
        if let Some((due, _)) = self.subscription(index).next() {
            self.due.push(Reverse((due.max(at), index)));
        }
        self.attend(index, at);
    }

    /// Tells of every order that shows another status than was told last.
    pub(super) fn attend(&mut self, index: u32, at: Timestamp) {
        for nth in 0..self.subscription(index).orders.len() {
            let number = self.subscription(index).orders[nth];
            let status = self.order_mut(number).peek(at).status;
            if status == self.order(number).told {
                continue;
            }
            for what in told_as(&status, self.order(number).source) {
                self.tell_order(number, what);
            }
            self.order_mut(number).told = Cow::Owned(status);
        }
    }

    pub(super) fn tell_order(&mut self, number: u32, what: &'static str) {
        self.news.push(News::Order { number, what });
    }

    pub(super) fn tell_subscription(&mut self, index: u32, what: &'static str) {
        self.news.push(News::Subscription { index, what });
    }
}

/// What the change to a status is told as.
fn told_as(status: &str, source: Source) -> &'static [&'static str] {
    let is_renewal = !matches!(source, Source::Purchase | Source::MidTermUpgrade);
    match status {
        "COMPLETED" | "FORCE_COMPLETED" if is_renewal => &["completed", "renewCompleted"],
        "COMPLETED" | "FORCE_COMPLETED" => &["completed"],
        "PAYMENT_REFUSED" => &["paymentRefused"],
        "PENDING_WITH_ERROR" => &["fulfillmentFailed"],
        "PARTIAL_COMPLETED" => &["partialCompleted"],
        "CANCELED" | "FORCE_CANCELED" | "CANCELED_WITH_ERROR" => &["canceled"],
        "ABORTED" => &["aborted"],
        _ => &[],
    }
}

/// Orders.
impl Books {
    /// An order of the generation to come, not charged.
    pub(super) fn push_order(&mut self, index: u32, source: Source, at: Timestamp) -> u32 {
        let number = self.orders.len() as u32;
        let subscription = &mut self.subscriptions[index as usize];
        subscription.orders.push(number);
        let product = subscription.state.product.clone();
        self.orders.push(Order {
            number,
            subscription: index,
            generation: subscription.state.generation + 1,
            source,
            status: CREATED,
            created_at: at,
            updated_at: at,
            charged_at: None,
            amount: product.price * f64::from(product.units),
            product,
            discount: 0.0,
            script: None,
            cart: None,
            told: CREATED.into(),
        });
        number
    }

    /// What the order of a generation shows; of one to come, too.
    pub(super) fn script(&mut self, index: u32, generation: i64, script: Script, at: Timestamp) {
        match self.order_of(index, generation).filter(|number| self.order(*number).charged_at.is_some()) {
            Some(number) => self.set_order_script(number, script, at),
            None => drop(self.scripts.insert((index, generation), script)),
        }
    }

    pub(super) fn set_order_script(&mut self, number: u32, script: Script, at: Timestamp) {
        let order = self.order_mut(number);
        order.script = (!script.is_empty()).then(|| Box::new(script));
        let index = order.subscription;
        let changes: Vec<_> = order.changes().map(|change| Reverse((change.max(at), index))).collect();
        self.due.extend(changes);
    }
}
