//! The provider's books: orders, their subscriptions, every renewal there ever was, and which order a number means.

use std::collections::HashMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::script::Step;
use super::variant::Variant;
use crate::clock::Timestamp;
use crate::sandbox::clock::{Period, optional_timestamp, signed_duration};

/// Terms of a second and a clock set to the year 9999 must not fill the memory.
const MOST_GENERATIONS: usize = 10_000;
/// Subscriptions in one order, and renewals in one go.
const MOST_AT_ONCE: u32 = 10_000;

/// Why the sandbox could not do as told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the partner order number is missing")]
    NumberMissing,
    #[error("order {0:?} exists already")]
    OrderExists(String),
    #[error("there is no original order {0:?}")]
    UnknownOrder(String),
    #[error("order {number:?} has no subscription {id}")]
    UnknownSubscription { number: String, id: i64 },
    #[error("there is no territory {0:?}")]
    UnknownTerritory(String),
    #[error("no more than {most} at once")]
    TooMany { most: u32 },
}

/// An order to be created. [`NewOrder::new`] fills in what matters to nobody.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewOrder {
    pub partner_order_number: String,
    pub territory: String,
    /// How many subscriptions the order holds; `subscription_ids` go before.
    pub subscriptions: u32,
    /// The subscriptions' ids, chosen by the caller.
    pub subscription_ids: Vec<i64>,
    pub variant: Variant,
    /// The term: each renewal adds one.
    pub period: Period,
    /// End of the first term; one term from now without it.
    #[serde(deserialize_with = "optional_timestamp")]
    pub expires_at: Option<Timestamp>,
    pub auto_renew: bool,
    /// When the automatic renewal happens, as seen from the end of the term: `-2h` is before it.
    #[serde(with = "signed_duration")]
    pub renew_offset: SignedDuration,
    /// Instead of what follows from the subscription's state; any text.
    pub technical_status: Option<String>,
    /// What each renewal's number answers before its order data.
    pub renewal_script: Vec<Step>,
    pub product_ref: i64,
    pub currency: String,
    pub amount: f64,
}

impl Default for NewOrder {
    fn default() -> Self {
        Self {
            partner_order_number: String::new(),
            territory: "eu".into(),
            subscriptions: 1,
            subscription_ids: Vec::new(),
            variant: Variant::default(),
            period: Period::years(1),
            expires_at: None,
            auto_renew: true,
            renew_offset: SignedDuration::ZERO,
            technical_status: None,
            renewal_script: Vec::new(),
            product_ref: 811_537,
            currency: "USD".into(),
            amount: 29.99,
        }
    }
}

impl NewOrder {
    /// One subscription of territory `eu` with a yearly term from now, renewed automatically.
    pub fn new(partner_order_number: impl Into<String>) -> Self {
        Self { partner_order_number: partner_order_number.into(), ..Self::default() }
    }
}

/// One generation that the provider renewed: what a client must have delivered in the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Renewal {
    /// The original number.
    pub original: String,
    pub subscription_id: i64,
    pub generation: i64,
    /// The renewal's own number, `original-generation`.
    pub partner_order_number: String,
    /// The provider's number for the renewal order.
    pub order_number: i64,
    pub renewed_at: Timestamp,
}

/// One original order with all its renewals.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) number: String,
    pub(super) territory: String,
    pub(super) product_ref: i64,
    pub(super) currency: String,
    pub(super) amount: f64,
    pub(super) variant: Variant,
    pub(super) period: Period,
    pub(super) subscriptions: Vec<Subscription>,
    /// The orders behind the numbers: generation 0 first, then one per generation that any subscription reached.
    pub(super) issues: Vec<Issue>,
    pub(super) renewal_script: Vec<Step>,
    /// The order as a whole, and its licences with it; not that its subscriptions renew no more.
    pub(super) cancelled: bool,
    /// Until when its files may be downloaded, where somebody has asked for longer.
    pub(super) downloads_until: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) id: i64,
    /// As reported; a test may set it to anything.
    pub(super) generation: i64,
    pub(super) technical_status: Option<String>,
    pub(super) cancelled: bool,
    pub(super) auto_renew: bool,
    renew_offset: i64, // seconds
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) expires_at: Timestamp,
}

/// One order as *Get order data* knows it.
#[derive(Clone, Debug)]
pub(super) struct Issue {
    pub(super) generation: i64,
    pub(super) order_number: i64,
    pub(super) created_at: Timestamp,
    pub(super) subscription_ids: Vec<i64>,
}

/// What runs across all orders: numbers to give out, and the renewals so far.
#[derive(Debug)]
struct Ledger {
    next_subscription_id: i64,
    next_order_number: i64,
    renewals: Vec<Renewal>,
}

#[derive(Debug)]
pub(super) struct Book {
    orders: HashMap<String, Order>,
    ledger: Ledger,
}

impl Book {
    pub(super) fn new() -> Self {
        let ledger = Ledger { next_subscription_id: 5_618_577, next_order_number: 12_567_638, renewals: Vec::new() };
        Self { orders: HashMap::new(), ledger }
    }

    pub(super) fn create(&mut self, new: NewOrder, now: Timestamp) -> Result<&Order, Error> {
        let number = new.partner_order_number.clone();
        if number.is_empty() {
            return Err(Error::NumberMissing);
        }
        if new.subscriptions > MOST_AT_ONCE {
            return Err(Error::TooMany { most: MOST_AT_ONCE });
        }
        if self.orders.contains_key(&number) {
            return Err(Error::OrderExists(number));
        }
        let order = self.ledger.open(new, now);
        Ok(self.orders.entry(number).or_insert(order))
    }

    /// The order with this original number, brought up to `now`.
    pub(super) fn order(&mut self, number: &str, now: Timestamp) -> Option<&mut Order> {
        let order = self.orders.get_mut(number)?;
        order.catch_up(now, &mut self.ledger);
        Some(order)
    }

    /// All orders, by number.
    pub(super) fn orders(&mut self, now: Timestamp) -> Vec<&Order> {
        self.catch_up(now);
        let mut orders: Vec<&Order> = self.orders.values().collect();
        orders.sort_by(|a, b| a.number.cmp(&b.number));
        orders
    }

    /// Renews now, `times` in a row, each with an order of its own: one subscription of the order, or all of them.
    pub(super) fn renew(&mut self, number: &str, id: Option<i64>, times: u32, now: Timestamp) -> Result<(), Error> {
        if times > MOST_AT_ONCE {
            return Err(Error::TooMany { most: MOST_AT_ONCE });
        }
        let order = self.orders.get_mut(number).ok_or_else(|| Error::UnknownOrder(number.to_owned()))?;
        order.catch_up(now, &mut self.ledger);
        for index in order.indices(id)? {
            for _ in 0..times {
                order.renew(index, now, &mut self.ledger);
            }
        }
        Ok(())
    }

    /// Changes one subscription of an order, or all of them.
    pub(super) fn change(
        &mut self,
        number: &str,
        id: Option<i64>,
        now: Timestamp,
        mut change: impl FnMut(&mut Subscription),
    ) -> Result<(), Error> {
        let order = self.order(number, now).ok_or_else(|| Error::UnknownOrder(number.to_owned()))?;
        for index in order.indices(id)? {
            let subscription = &mut order.subscriptions[index];
            change(subscription);
            subscription.updated_at = now;
        }
        Ok(())
    }

    /// Everything ever renewed, in order of time.
    pub(super) fn renewals(&mut self, now: Timestamp) -> Vec<Renewal> {
        self.catch_up(now);
        let mut renewals = self.ledger.renewals.clone();
        renewals.sort_by(|a, b| {
            (a.renewed_at, &a.original, a.subscription_id, a.generation).cmp(&(
                b.renewed_at,
                &b.original,
                b.subscription_id,
                b.generation,
            ))
        });
        renewals
    }

    fn catch_up(&mut self, now: Timestamp) {
        for order in self.orders.values_mut() {
            order.catch_up(now, &mut self.ledger);
        }
    }

    /// Both readings of a number, (original, generation): it may be an original, and a renewal of what stands before
    /// its last dash, if that is an original. The original reading comes first.
    pub(super) fn readings<'a>(&self, number: &'a str) -> Vec<(&'a str, i64)> {
        let as_original = Some((number, 0));
        let as_renewal = number.rsplit_once('-').and_then(|(base, end)| Some((base, suffix(end)?)));
        let known = |reading: &(&str, i64)| self.orders.contains_key(reading.0);
        as_original.into_iter().chain(as_renewal).filter(known).collect()
    }
}

/// The generation that a suffix stands for: a decimal number from 1 on, without sign or leading zero.
fn suffix(text: &str) -> Option<i64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    if plain { text.parse().ok() } else { None }
}

impl Ledger {
    fn open(&mut self, new: NewOrder, now: Timestamp) -> Order {
        let missing = (new.subscriptions as usize).saturating_sub(new.subscription_ids.len());
        let mut ids = new.subscription_ids;
        for _ in 0..missing {
            ids.push(self.subscription_id());
        }
        // An id that the caller chose is never given out a second time.
        self.next_subscription_id = ids.iter().map(|id| id.saturating_add(1)).fold(self.next_subscription_id, i64::max);
        let expires_at = new.expires_at.unwrap_or_else(|| new.period.after(now));
        let subscription = |id: &i64| Subscription {
            id: *id,
            generation: 0,
            technical_status: new.technical_status.clone(),
            cancelled: false,
            auto_renew: new.auto_renew,
            renew_offset: new.renew_offset.as_secs(),
            created_at: now,
            updated_at: now,
            expires_at,
        };
        Order {
            number: new.partner_order_number,
            territory: new.territory,
            product_ref: new.product_ref,
            currency: new.currency,
            amount: new.amount,
            variant: new.variant,
            period: new.period,
            subscriptions: ids.iter().map(subscription).collect(),
            issues: vec![self.issue(0, now, ids)],
            renewal_script: new.renewal_script,
            cancelled: false,
            downloads_until: None,
        }
    }

    fn subscription_id(&mut self) -> i64 {
        self.next_subscription_id += 1;
        self.next_subscription_id - 1
    }

    fn issue(&mut self, generation: i64, created_at: Timestamp, subscription_ids: Vec<i64>) -> Issue {
        self.next_order_number += 1;
        Issue { generation, order_number: self.next_order_number - 1, created_at, subscription_ids }
    }
}

impl Order {
    /// Does the automatic renewals that are due, each at its own instant.
    fn catch_up(&mut self, now: Timestamp, ledger: &mut Ledger) {
        for index in 0..self.subscriptions.len() {
            while let Some(due) = self.subscriptions[index].renews_at().filter(|due| *due <= now) {
                if self.issues.len() > MOST_GENERATIONS {
                    break;
                }
                let end = self.subscriptions[index].expires_at;
                self.renew(index, due, ledger);
                if self.subscriptions[index].expires_at == end {
                    break; // the end of the calendar
                }
            }
        }
    }

    fn renew(&mut self, index: usize, at: Timestamp, ledger: &mut Ledger) {
        let subscription = &mut self.subscriptions[index];
        subscription.generation += 1;
        subscription.updated_at = at;
        subscription.expires_at = self.period.after(subscription.expires_at);
        let (id, generation) = (subscription.id, subscription.generation);
        let issue = match self.issues.iter_mut().find(|issue| issue.generation == generation) {
            Some(issue) => issue,
            None => {
                self.issues.push(ledger.issue(generation, at, Vec::new()));
                self.issues.last_mut().expect("just pushed")
            }
        };
        if issue.subscription_ids.contains(&id) {
            return; // set back by a test and renewed again: the same generation is not paid for twice
        }
        issue.subscription_ids.push(id);
        ledger.renewals.push(Renewal {
            original: self.number.clone(),
            subscription_id: id,
            generation,
            partner_order_number: format!("{}-{generation}", self.number),
            order_number: issue.order_number,
            renewed_at: at,
        });
    }

    /// Where the named subscription stands, or all of them.
    fn indices(&self, id: Option<i64>) -> Result<Vec<usize>, Error> {
        let Some(id) = id else { return Ok((0..self.subscriptions.len()).collect()) };
        let index = self.subscriptions.iter().position(|subscription| subscription.id == id);
        Ok(vec![index.ok_or_else(|| Error::UnknownSubscription { number: self.number.clone(), id })?])
    }

    pub(super) fn subscription(&self, id: i64) -> Option<&Subscription> {
        self.subscriptions.iter().find(|subscription| subscription.id == id)
    }

    pub(super) fn issue(&self, generation: i64) -> Option<&Issue> {
        self.issues.iter().find(|issue| issue.generation == generation)
    }

    /// The number of a generation of this order.
    pub(super) fn number_of(&self, generation: i64) -> String {
        if generation > 0 { format!("{}-{generation}", self.number) } else { self.number.clone() }
    }
}

impl Subscription {
    /// When it renews by itself; `None` when it will not.
    pub(super) fn renews_at(&self) -> Option<Timestamp> {
        let due = self.expires_at.as_unix().saturating_add(self.renew_offset);
        (self.auto_renew && !self.cancelled).then(|| Timestamp::from_unix(due))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn start() -> Timestamp {
        Timestamp::from_unix(1_795_291_200)
    }

    fn book(numbers: &[&str]) -> Book {
        let mut book = Book::new();
        for number in numbers {
            book.create(NewOrder::new(*number), start()).unwrap();
        }
        book
    }

    #[test]
    fn a_number_is_read_as_an_original_before_it_is_read_as_a_renewal() {
        let book = book(&["NEXWAY", "NEXWAY-1", "A-2024-001"]);
        assert_eq!(book.readings("NEXWAY-1"), [("NEXWAY-1", 0), ("NEXWAY", 1)]);
        assert_eq!(book.readings("NEXWAY-1-1"), [("NEXWAY-1", 1)]);
        assert_eq!(book.readings("NEXWAY-12"), [("NEXWAY", 12)]);
        assert_eq!(book.readings("A-2024-001"), [("A-2024-001", 0)]);
        assert_eq!(book.readings("A-2024-001-7"), [("A-2024-001", 7)]);
    }

    #[test]
    fn suffixes_have_neither_sign_nor_leading_zero() {
        let book = book(&["NEXWAY", "NEXWAY-"]);
        for number in ["NEXWAY-0", "NEXWAY-01", "NEXWAY-+1", "NEXWAY-x", "NEXWAY-99999999999999999999", "OTHER-1"] {
            assert_eq!(book.readings(number), [], "{number}");
        }
        assert_eq!(book.readings("NEXWAY--1"), [("NEXWAY-", 1)]);
    }

    #[test]
    fn renewals_happen_at_their_own_instants_however_late_anyone_asks() {
        let mut book = Book::new();
        let period = Period::days(30);
        let renew_offset = SignedDuration::from_hours(-2);
        book.create(NewOrder { period, renew_offset, ..NewOrder::new("A") }, start()).unwrap();
        let renewals = book.renewals(start() + 65 * DAY);
        let instants: Vec<_> =
            renewals.iter().map(|renewal| renewal.renewed_at.since(start()).as_secs() / 3600).collect();
        assert_eq!(instants, [30 * 24 - 2, 60 * 24 - 2]);
        assert_eq!(renewals[1].partner_order_number, "A-2");
    }

    #[test]
    fn a_cancelled_subscription_renews_no_more() {
        let mut book = book(&["A"]);
        book.change("A", None, start(), |subscription| subscription.cancelled = true).unwrap();
        assert_eq!(book.renewals(start() + 800 * DAY), []);
    }

    #[test]
    fn siblings_renewed_together_share_one_order() {
        let mut book = Book::new();
        book.create(NewOrder { subscriptions: 2, ..NewOrder::new("A") }, start()).unwrap();
        book.renew("A", None, 1, start()).unwrap();
        book.renew("A", Some(5_618_578), 1, start()).unwrap();
        let order = book.order("A", start()).unwrap();
        let issues: Vec<_> = order.issues.iter().map(|issue| issue.subscription_ids.clone()).collect();
        assert_eq!(issues, [vec![5_618_577, 5_618_578], vec![5_618_577, 5_618_578], vec![5_618_578]]);
    }

    #[test]
    fn a_generation_set_back_is_not_renewed_twice() {
        let mut book = book(&["A"]);
        book.renew("A", None, 2, start()).unwrap();
        book.change("A", None, start(), |subscription| subscription.generation = 1).unwrap();
        book.renew("A", None, 2, start()).unwrap();
        let generations: Vec<_> = book.renewals(start()).iter().map(|renewal| renewal.generation).collect();
        assert_eq!(generations, [1, 2, 3]);
    }

    #[test]
    fn chosen_ids_are_not_given_out_again() {
        let mut book = Book::new();
        book.create(NewOrder { subscription_ids: vec![5_618_577], ..NewOrder::new("A") }, start()).unwrap();
        let order = book.create(NewOrder::new("B"), start()).unwrap();
        assert_eq!(order.subscriptions[0].id, 5_618_578);
    }
}
