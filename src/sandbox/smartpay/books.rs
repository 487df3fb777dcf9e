//! Subscriptions, their billing cycles and the attempts to charge them: what there is, found by its name, and how it begins.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::sandbox::clock::{Period, duration, optional_timestamp};
use crate::sandbox::random::Random;

/// How many of the last events are kept.
const KEPT: usize = 1000;

/// Subscriptions to be made, all alike. [`Default`] fills in what matters to nobody.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewSubscriptions {
    pub count: u32,
    /// UUIDs of their ids, chosen by the caller; the others get made-up ones.
    pub ids: Vec<Uuid>,
    /// So many billing cycles are captured when they are made, one period apart.
    pub paid: u32,
    /// They begin with a trial that ends with the first charge.
    pub trial: bool,
    /// They begin in this state, where it is none that follows from the others.
    pub status: Option<Status>,
    pub period: Period,
    /// In hundredths.
    pub cents: i64,
    pub currency: String,
    /// Of the plan: so many billing cycles in all.
    pub billing_cycles: i64,
    #[serde(deserialize_with = "optional_timestamp")]
    pub created_at: Option<Timestamp>,
    /// Each was made so long after the one before it.
    #[serde(with = "duration")]
    pub apart: Duration,
    /// When they are charged next; one period after they were made without it.
    #[serde(deserialize_with = "optional_timestamp")]
    pub next_billing_at: Option<Timestamp>,
    /// A refused payment is tried again so often,
    pub retries: u32,
    /// each time after so long.
    #[serde(with = "duration")]
    pub retry_every: Duration,
    /// By its name in the time zone database.
    pub timezone: Option<String>,
    pub external_merchant_id: Option<String>,
    /// Sent as text.
    pub merchant_metadata: Option<Value>,
}

impl Default for NewSubscriptions {
    fn default() -> Self {
        Self {
            count: 1,
            ids: Vec::new(),
            paid: 1,
            trial: false,
            status: None,
            period: Period::months(1),
            cents: 1000,
            currency: "EUR".to_owned(),
            billing_cycles: 120,
            created_at: None,
            apart: Duration::ZERO,
            next_billing_at: None,
            retries: 3,
            retry_every: Duration::from_secs(86_400),
            timezone: None,
            external_merchant_id: None,
            merchant_metadata: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Created,
    Pending,
    Trial,
    Active,
    Overdue,
    Paused,
    Canceled,
    Expired,
}

impl Status {
    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Canceled | Self::Expired)
    }

    pub(super) fn is_charged(self) -> bool {
        matches!(self, Self::Pending | Self::Trial | Self::Active | Self::Overdue)
    }
}

/// Why a charge did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decline {
    Failed,
    Error,
}

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) id: Uuid,
    pub(super) terms: Arc<NewSubscriptions>,
    pub(super) external_merchant_id: Option<String>,
    pub(super) status: Status,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    /// The same, charges left out.
    pub(super) changed_at: Timestamp,
    pub(super) deleted_at: Option<Timestamp>,
    pub(super) trial_ends_at: Option<Timestamp>,
    pub(super) next_billing_at: Timestamp,
    pub(super) remaining: i64,
    pub(super) cycles: Vec<Cycle>,
    /// So many charges to come are refused.
    pub(super) refusals: u32,
    /// What no retry has brought, in hundredths.
    pub(super) outstanding: i64,
    pub(super) retry_at: Option<Timestamp>,
    pub(super) retries_left: u32,
    pub(super) status_shown: Option<String>,
    /// As it stands in the books.
    due_at: Option<Timestamp>,
}

impl Subscription {
    /// When something happens to it next by itself.
    fn due(&self) -> Option<Timestamp> {
        let next = self.retry_at.map_or(self.next_billing_at, |at| at.min(self.next_billing_at));
        (self.status.is_charged() && self.deleted_at.is_none()).then_some(next)
    }
}

#[derive(Debug)]
pub(super) struct Cycle {
    pub(super) id: Uuid,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) starts_at: Timestamp,
    pub(super) ends_at: Timestamp,
    /// `None` once it is captured.
    pub(super) declined: Option<Decline>,
    pub(super) paid_at: Option<Timestamp>,
    pub(super) cents: i64,
    pub(super) transactions: Vec<Transaction>,
}

#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) id: Uuid,
    pub(super) at: Timestamp,
    pub(super) is_captured: bool,
}

impl Transaction {
    pub(super) fn payment_id(&self) -> String {
        format!("PAY-{}", &self.id.simple().to_string()[..12])
    }

    pub(super) fn settlement_id(&self) -> String {
        format!("SETTLE-{}", &self.id.simple().to_string()[12..24])
    }
}

#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) id: Uuid,
    pub(super) at: Timestamp,
    pub(super) origin: &'static str,
    pub(super) event_type: &'static str,
    pub(super) object_type: &'static str,
    pub(super) object_id: String,
    pub(super) subscription: u32,
}

/// One captured billing cycle: what deliveries are held against.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Charged {
    pub subscription_id: String,
    pub external_merchant_id: Option<String>,
    pub cycle_id: String,
    /// Which of the subscription's captures it was, from 0.
    pub number: i64,
    pub amount: String,
    pub currency: String,
    pub attempts: usize,
    /// Of the transaction that captured it.
    pub settlement_id: String,
    pub payment_id: String,
    pub paid_at: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no subscription {0:?}")]
    UnknownSubscription(String),
    #[error("there is a subscription {0} already")]
    SubscriptionExists(Uuid),
    #[error("more than {most} subscriptions at once")]
    TooMany { most: u32 },
    #[error("not now, the subscription is {status:?}: {why}")]
    NotNow { status: Status, why: &'static str },
    #[error("there is no such billing cycle that waits for its payment")]
    NothingUnpaid,
}

#[derive(Debug)]
pub(super) struct Books {
    pub(super) subscriptions: Vec<Subscription>,
    by_id: HashMap<Uuid, u32>,
    /// Forgotten: as if they had never been.
    pub(super) forgotten: BTreeSet<u32>,
    pub(super) due: BTreeSet<(Timestamp, u32)>,
    pub(super) events: VecDeque<Event>,
    /// Those of them that nobody was told yet.
    pub(super) news: Vec<Event>,
    /// Captures in order of time: subscription, and which of its cycles.
    pub(super) captured: Vec<(u32, usize)>,
    random: Random,
}

impl Books {
    pub(super) fn new(random: Random) -> Self {
        Self {
            subscriptions: Vec::new(),
            by_id: HashMap::new(),
            forgotten: BTreeSet::new(),
            due: BTreeSet::new(),
            events: VecDeque::new(),
            news: Vec::new(),
            captured: Vec::new(),
            random,
        }
    }

    pub(super) fn made_up(&mut self) -> Uuid {
        let (high, low) = (self.random.draw(), self.random.draw());
        uuid::Builder::from_random_bytes(Uuid::from_u64_pair(high, low).into_bytes()).into_uuid()
    }

    /// By an id in any case, with its kind before it or without.
    pub(super) fn find(&self, id: &str) -> Result<u32, Error> {
        let index = uuid_in(id).and_then(|uuid| self.by_id.get(&uuid)).filter(|index| !self.forgotten.contains(index));
        index.copied().ok_or_else(|| Error::UnknownSubscription(id.to_owned()))
    }

    pub(super) fn create(&mut self, new: NewSubscriptions, now: Timestamp) -> Result<std::ops::Range<u32>, Error> {
        const MOST: u32 = 1_000_000;
        let count = new.count.max(new.ids.len() as u32);
        if count > MOST {
            return Err(Error::TooMany { most: MOST });
        }
        if let Some(known) = new.ids.iter().find(|id| self.by_id.contains_key(id)) {
            return Err(Error::SubscriptionExists(*known));
        }
        let (first, terms) = (self.subscriptions.len() as u32, Arc::new(new));
        let last_made = terms.created_at.unwrap_or(now);
        for n in 0..count {
            let created_at = last_made - (count - 1 - n) * terms.apart;
            self.open(&terms, n, count, created_at);
        }
        Ok(first..first + count)
    }

    fn open(&mut self, terms: &Arc<NewSubscriptions>, n: u32, count: u32, at: Timestamp) {
        let id = terms.ids.get(n as usize).copied().unwrap_or_else(|| self.made_up());
        let index = self.subscriptions.len() as u32;
        let next_billing_at = terms.next_billing_at.unwrap_or_else(|| terms.period.after(at));
        let numbered = |name: &String| if count == 1 { name.clone() } else { format!("{name}-{}", n + 1) };
        let status = if terms.trial { Status::Trial } else { Status::Active };
        self.subscriptions.push(Subscription {
            id,
            terms: terms.clone(),
            external_merchant_id: terms.external_merchant_id.as_ref().map(numbered),
            status: terms.status.unwrap_or(status),
            created_at: at,
            updated_at: at,
            changed_at: at,
            deleted_at: None,
            trial_ends_at: terms.trial.then_some(next_billing_at),
            next_billing_at,
            remaining: terms.billing_cycles,
            cycles: Vec::new(),
            refusals: 0,
            outstanding: 0,
            retry_at: None,
            retries_left: 0,
            status_shown: None,
            due_at: None,
        });
        self.by_id.insert(id, index);
        let paid = if terms.trial { 0 } else { terms.paid };
        (0..paid).for_each(|_| self.buy(index, at));
        self.tell(index, "api", "created", at);
        self.attend(index);
    }

    /// Remembers when something happens to it next by itself.
    pub(super) fn attend(&mut self, index: u32) {
        let subscription = &mut self.subscriptions[index as usize];
        let due = subscription.due();
        if let Some(before) = std::mem::replace(&mut subscription.due_at, due) {
            self.due.remove(&(before, index));
        }
        self.due.extend(due.map(|at| (at, index)));
    }

    /// Of the subscription itself.
    pub(super) fn tell(&mut self, index: u32, origin: &'static str, event_type: &'static str, at: Timestamp) {
        let id = self.subscriptions[index as usize].id;
        self.note(index, origin, event_type, ("subscription", format!("Subscription-{id}")), at);
    }

    /// Of one of its billing cycles, and of the subscription, which it changes.
    pub(super) fn tell_of_cycle(&mut self, index: u32, place: usize, at: Timestamp) {
        let id = self.subscriptions[index as usize].cycles[place].id;
        self.note(index, "automated", "billing.updated", ("billing-cycle", format!("BillingCycle-{id}")), at);
        self.tell(index, "automated", "updated", at);
    }

    fn note(
        &mut self,
        index: u32,
        origin: &'static str,
        event_type: &'static str,
        (object_type, object_id): (&'static str, String),
        at: Timestamp,
    ) {
        let id = self.made_up();
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        let event = Event { id, at, origin, event_type, object_type, object_id, subscription: index };
        self.news.push(event.clone());
        self.events.push_back(event);
    }
}

/// The UUID of an id, whatever stands before it.
pub(super) fn uuid_in(id: &str) -> Option<Uuid> {
    let start = id.len().checked_sub(36)?;
    id.get(start..)?.parse().ok()
}

/// `10.00`
pub(super) fn decimal(cents: i64) -> String {
    format!("{}{}.{:02}", if cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100)
}
