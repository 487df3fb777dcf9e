//! The provider's books: subscriptions, their orders, and what happens to them, by command or by itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::events::Event;
use crate::clock::Timestamp;
use crate::sandbox::clock::{Period, duration, optional_timestamp};

/// The first order's id; the others follow.
const FIRST_ORDER: u64 = 237_569_660_336;
const FIRST_CUSTOMER: u64 = 520_984_250_336;

/// Subscriptions to be made, all alike. [`Default`] fills in what matters to nobody.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewSubscriptions {
    pub count: u32,
    /// Their ids, chosen by the caller; the others get made-up ones.
    pub ids: Vec<String>,
    /// Bought, and not activated yet.
    pub draft: bool,
    /// It costs nothing.
    pub free: bool,
    /// The term: each renewal adds one.
    pub period: Period,
    /// Each renewal is billed so long before its term.
    #[serde(with = "duration")]
    pub billed_before: Duration,
    /// When it was bought; now without it.
    #[serde(deserialize_with = "optional_timestamp")]
    pub created_at: Option<Timestamp>,
    /// End of the present term; one term after it was bought without it.
    #[serde(deserialize_with = "optional_timestamp")]
    pub ends_at: Option<Timestamp>,
    /// Whether it is paid for by itself once it is billed.
    pub pays: bool,
    /// The shop's own reference; of several, each has a number behind it.
    pub upstream_id: Option<String>,
    /// One customer has all of them.
    pub one_customer: bool,
}

impl Default for NewSubscriptions {
    fn default() -> Self {
        Self {
            count: 1,
            ids: Vec::new(),
            draft: false,
            free: false,
            period: Period::months(1),
            billed_before: Duration::from_secs(5 * 86_400),
            created_at: None,
            ends_at: None,
            pays: false,
            upstream_id: None,
            one_customer: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    Draft,
    Active,
    ActiveFree,
    ActivePendingInvoice,
    Failed,
    Lapsed,
    Cancelled,
    Ended,
}

impl State {
    pub(super) fn is_running(self) -> bool {
        matches!(self, Self::Active | Self::ActiveFree | Self::ActivePendingInvoice)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) id: Arc<str>,
    pub(super) customer: u64,
    pub(super) upstream_id: Option<String>,
    pub(super) terms: Arc<NewSubscriptions>,
    pub(super) state: State,
    /// Shown instead of it.
    pub(super) shown_state: Option<String>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) next_invoice_at: Timestamp,
    /// When it came into its state.
    pub(super) since: Timestamp,
    /// Why each attempt on the open invoice failed.
    pub(super) attempts: Vec<String>,
    pub(super) orders: Vec<usize>,
    pub(super) is_deleted: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) id: Arc<str>,
    pub(super) subscription: usize,
    pub(super) state: String,
    pub(super) created_at: Timestamp,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) is_renewal: bool,
    pub(super) cents: u32,
    pub(super) failures: Vec<String>,
    /// Answers that will not show it yet.
    pub(super) hidden_for: u32,
}

/// A renewal as the provider has it in its books.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sold {
    pub subscription_id: String,
    pub upstream_id: Option<String>,
    /// `None`: it has none, or none yet.
    pub order_id: Option<String>,
    pub ends_at: Timestamp,
    pub sold_at: Timestamp,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("there is a subscription {0:?} already")]
    SubscriptionExists(String),
    #[error("there is no subscription {0:?}")]
    UnknownSubscription(String),
    #[error("there is no order {0:?}")]
    UnknownOrder(String),
    #[error("not while it is {state:?}")]
    NotNow { state: State },
    #[error("at most {most} at once")]
    TooMany { most: u32 },
}

#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) orders: Vec<Order>,
    pub(super) events: Vec<Event>,
    /// So many of them have been told, or were told to nobody.
    pub(super) told: usize,
    pub(super) sold: Vec<(usize, Sold)>,
    /// What a new order begins with.
    pub(super) hidden_for: u32,
    by_id: HashMap<Arc<str>, usize>,
    /// Until then nothing falls due; `None`: not known.
    quiet_until: Option<Timestamp>,
}

impl Books {
    pub(super) fn find(&self, id: &str) -> Result<usize, Error> {
        self.by_id.get(id).copied().ok_or_else(|| Error::UnknownSubscription(id.to_owned()))
    }

    pub(super) fn find_order(&self, id: &str) -> Option<usize> {
        let at = usize::try_from(id.parse::<u64>().ok()?.checked_sub(FIRST_ORDER)?).ok()?;
        self.orders.get(at).filter(|order| &*order.id == id).map(|_| at)
    }

    /// Something was changed that may fall due.
    pub(super) fn stir(&mut self) {
        self.quiet_until = None;
    }

    pub(super) fn delete(&mut self, index: usize) {
        let one = &mut self.subscriptions[index];
        one.is_deleted = true;
        self.by_id.remove(&one.id);
    }

    pub(super) fn create(&mut self, new: NewSubscriptions, now: Timestamp) -> Result<Vec<String>, Error> {
        const MOST: u32 = 1_000_000;
        if new.count > MOST {
            return Err(Error::TooMany { most: MOST });
        }
        if let Some(id) = new.ids.iter().find(|id| self.find(id).is_ok()) {
            return Err(Error::SubscriptionExists(id.clone()));
        }
        let count = new.count.max(new.ids.len() as u32);
        self.stir();
        let terms = Arc::new(new);
        Ok((0..count).map(|nth| self.buy(&terms, nth, now)).collect())
    }

    fn buy(&mut self, terms: &Arc<NewSubscriptions>, nth: u32, now: Timestamp) -> String {
        let index = self.subscriptions.len();
        let id = terms.ids.get(nth as usize).cloned().unwrap_or_else(|| format!("DR_{:08x}-{index}", 0x47ce_1ba0));
        let start = terms.created_at.unwrap_or(now);
        let end = terms.ends_at.unwrap_or_else(|| terms.period.after(start));
        let named = |name: &String| if terms.count > 1 { format!("{name}-{}", nth + 1) } else { name.clone() };
        let state = match terms {
            terms if terms.draft => State::Draft,
            terms if terms.free => State::ActiveFree,
            _ => State::Active,
        };
        let first_of_these = (index - nth as usize) as u64;
        self.by_id.insert(id.as_str().into(), index);
        self.subscriptions.push(Subscription {
            id: id.as_str().into(),
            customer: FIRST_CUSTOMER + if terms.one_customer { first_of_these } else { index as u64 },
            upstream_id: terms.upstream_id.as_ref().map(named),
            terms: terms.clone(),
            state,
            shown_state: None,
            created_at: start,
            updated_at: start,
            start,
            end,
            next_invoice_at: billed(end, terms),
            since: start,
            attempts: Vec::new(),
            orders: Vec::new(),
            is_deleted: false,
        });
        self.order(index, start, false);
        self.tell(index, "created", None, start);
        id
    }

    pub(super) fn tell(&mut self, index: usize, what: &str, invoice: Option<&'static str>, at: Timestamp) {
        let subscription = &self.subscriptions[index];
        let event = Event::new(self.events.len(), what, index, subscription.state, invoice, at);
        self.events.push(event);
    }

    /// An order of the present term, made then.
    pub(super) fn order(&mut self, index: usize, at: Timestamp, is_renewal: bool) -> Arc<str> {
        let id: Arc<str> = (FIRST_ORDER + self.orders.len() as u64).to_string().into();
        let subscription = &mut self.subscriptions[index];
        subscription.orders.push(self.orders.len());
        self.orders.push(Order {
            id: id.clone(),
            subscription: index,
            state: if is_renewal { "accepted" } else { "complete" }.to_owned(),
            created_at: at,
            start: subscription.start,
            end: subscription.end,
            is_renewal,
            cents: if subscription.terms.free { 0 } else { 2694 + index as u32 % 1000 },
            failures: std::mem::take(&mut subscription.attempts),
            hidden_for: self.hidden_for,
        });
        id
    }

    pub(super) fn set_state(&mut self, index: usize, state: State, at: Timestamp) {
        let one = &mut self.subscriptions[index];
        (one.state, one.updated_at, one.since) = (state, at, at);
    }

    /// The next term has begun to be paid for: the period moves on.
    pub(super) fn extend(&mut self, index: usize, at: Timestamp) -> Result<(), Error> {
        let one = &mut self.subscriptions[index];
        if !one.state.is_running() {
            return Err(Error::NotNow { state: one.state });
        }
        one.start = one.end;
        one.end = one.terms.period.after(one.start);
        one.next_invoice_at = billed(one.end, &one.terms);
        let state = if one.terms.free { State::ActiveFree } else { State::Active };
        self.set_state(index, state, at);
        let one = &self.subscriptions[index];
        let sold = Sold {
            subscription_id: one.id.to_string(),
            upstream_id: one.upstream_id.clone(),
            order_id: None,
            ends_at: one.end,
            sold_at: at,
        };
        self.sold.push((index, sold));
        Ok(())
    }

    /// The same with its order.
    pub(super) fn pay(&mut self, index: usize, at: Timestamp) -> Result<Arc<str>, Error> {
        self.extend(index, at)?;
        let order = self.order(index, at, true);
        self.has_order(index, &order);
        self.tell(index, "extended", Some("paid"), at);
        Ok(order)
    }

    /// The order pays for the last term that has none.
    pub(super) fn has_order(&mut self, index: usize, order: &str) {
        let sold = self.sold.iter_mut().rfind(|(of, sold)| *of == index && sold.order_id.is_none());
        if let Some((_, sold)) = sold {
            sold.order_id = Some(order.to_owned());
        }
    }

    /// Everything that falls due by itself.
    pub(super) fn catch_up(&mut self, now: Timestamp) {
        if self.quiet_until.is_some_and(|until| now < until) {
            return;
        }
        for index in 0..self.subscriptions.len() {
            while let Some(at) = self.subscriptions[index].pays_at().filter(|at| *at <= now) {
                if self.pay(index, at).is_err() {
                    break;
                }
            }
        }
        let next = self.subscriptions.iter().filter_map(Subscription::pays_at).min();
        self.quiet_until = Some(next.unwrap_or(Timestamp::from_unix(i64::MAX)));
    }
}

impl Subscription {
    /// When it renews by itself.
    pub(super) fn pays_at(&self) -> Option<Timestamp> {
        (self.terms.pays && matches!(self.state, State::Active | State::ActiveFree)).then_some(self.next_invoice_at)
    }
}

fn billed(end: Timestamp, terms: &NewSubscriptions) -> Timestamp {
    end - terms.billed_before
}
