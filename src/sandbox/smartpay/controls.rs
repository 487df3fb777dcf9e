//! What can be done to this provider's subscriptions alone, and learned of them.

use serde::Serialize;

use super::books::{Books, Charged, Decline, Error, NewSubscriptions, Status, decimal};
use super::platform::Smartpay;
use crate::clock::Timestamp;
use crate::sandbox::controls::Controls;
use crate::sandbox::notifications::Notifying as _;

/// A subscription as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SubscriptionState {
    pub subscription_id: String,
    pub external_merchant_id: Option<String>,
    pub status: Status,
    pub next_billing_at: Timestamp,
    /// When it is charged by itself, or tried again; `None` when it will not.
    pub charged_at: Option<Timestamp>,
    pub cycles_remaining: i64,
}

impl Controls<Smartpay> {
    /// Returns their ids, in the order in which they were made.
    pub fn create(&self, new: NewSubscriptions) -> Result<Vec<String>, Error> {
        self.provider(|provider, now| {
            let made = provider.books.create(new, now)?;
            provider.tell();
            let view = provider.view();
            Ok(made.map(|index| view.id("Subscription", provider.books.subscriptions[index as usize].id)).collect())
        })
    }

    /// Charges it now, with success, so many times at once.
    pub fn bill(&self, id: &str, times: u32) -> Result<(), Error> {
        self.act(id, |books, index, now| {
            let subscription = &books.subscriptions[index as usize];
            if subscription.status.is_over() {
                return Err(Error::NotNow { status: subscription.status, why: "what is over is not charged" });
            }
            (0..times.min(10_000)).for_each(|_| books.bill(index, now));
            Ok(())
        })
    }

    /// Charges all that are not over.
    pub fn bill_all(&self) {
        self.provider(|provider, now| {
            provider.catch_up(now);
            for index in 0..provider.books.subscriptions.len() as u32 {
                if !provider.books.subscriptions[index as usize].status.is_over() {
                    provider.books.bill(index, now);
                }
            }
        });
    }

    /// Charges it now, without success, and leaves it at that.
    pub fn bill_in_vain(&self, id: &str, decline: Decline) -> Result<(), Error> {
        self.act(id, |books, index, now| {
            books.bill_in_vain(index, decline, now);
            Ok(())
        })
    }

    /// So many of the charges to come are refused, retries included; for ever without `times`.
    pub fn refuse(&self, id: &str, times: Option<u32>) -> Result<(), Error> {
        self.act(id, |books, index, _| {
            books.subscriptions[index as usize].refusals = times.unwrap_or(u32::MAX);
            Ok(())
        })
    }

    /// A retry of the oldest billing cycle that waits for its payment succeeds.
    pub fn capture(&self, id: &str) -> Result<(), Error> {
        self.act(id, |books, index, now| books.capture(index, None, now))
    }

    /// What was captured last is not any more.
    pub fn take_back(&self, id: &str) -> Result<(), Error> {
        self.act(id, |books, index, now| {
            let subscription = &mut books.subscriptions[index as usize];
            let cycle = subscription.cycles.last_mut().ok_or(Error::NothingUnpaid)?;
            (cycle.declined, cycle.paid_at, cycle.updated_at) = (Some(Decline::Failed), None, now);
            subscription.touch(now, false);
            Ok(())
        })
    }

    /// Paused, active again, cancelled or expired.
    pub fn set_status(&self, id: &str, status: Status) -> Result<(), Error> {
        self.act(id, |books, index, now| books.stand(index, status, now))
    }

    /// Shows this word instead of its status, or its own again.
    pub fn show_status(&self, id: &str, word: Option<&str>) -> Result<(), Error> {
        self.act(id, |books, index, now| {
            let subscription = &mut books.subscriptions[index as usize];
            subscription.status_shown = word.map(str::to_owned);
            subscription.touch(now, true);
            Ok(())
        })
    }

    /// Marks it as deleted; it can still be asked about.
    pub fn delete(&self, id: &str) -> Result<(), Error> {
        self.act(id, |books, index, now| {
            let subscription = &mut books.subscriptions[index as usize];
            subscription.deleted_at = Some(now);
            subscription.touch(now, true);
            books.tell(index, "api", "deleted", now);
            Ok(())
        })
    }

    /// From now on there never was such a one.
    pub fn forget(&self, id: &str) -> Result<(), Error> {
        self.act(id, |books, index, _| {
            books.forgotten.insert(index);
            Ok(())
        })
    }

    fn act(&self, id: &str, act: impl FnOnce(&mut Books, u32, Timestamp) -> Result<(), Error>) -> Result<(), Error> {
        self.provider(|provider, now| {
            provider.catch_up(now);
            let index = provider.books.find(id)?;
            act(&mut provider.books, index, now)?;
            provider.books.attend(index);
            provider.tell();
            Ok(())
        })
    }

    /// Every subscription there is, in the order in which they were made.
    pub fn subscriptions(&self) -> Vec<SubscriptionState> {
        self.provider(|provider, now| {
            provider.catch_up(now);
            let view = provider.view();
            let state = |one: &super::books::Subscription| SubscriptionState {
                subscription_id: view.id("Subscription", one.id),
                external_merchant_id: one.external_merchant_id.clone(),
                status: one.status,
                next_billing_at: one.next_billing_at,
                charged_at: one.status.is_charged().then(|| one.retry_at.unwrap_or(one.next_billing_at)),
                cycles_remaining: one.remaining,
            };
            provider.books.subscriptions.iter().map(state).collect()
        })
    }

    /// Everything that was ever captured, in order of time: the truth that deliveries are held against.
    pub fn charges(&self) -> Vec<Charged> {
        self.provider(|provider, now| {
            provider.catch_up(now);
            let (books, view) = (&provider.books, provider.view());
            let mut numbers = std::collections::HashMap::<u32, i64>::new();
            let mut charged = Vec::new();
            for (index, place) in &books.captured {
                let s = &books.subscriptions[*index as usize];
                let number = numbers.entry(*index).and_modify(|number| *number += 1).or_insert(0);
                let cycle = &s.cycles[*place];
                let Some((paid_at, last)) = cycle.paid_at.zip(cycle.transactions.last()) else { continue };
                charged.push(Charged {
                    subscription_id: view.id("Subscription", s.id),
                    external_merchant_id: s.external_merchant_id.clone(),
                    cycle_id: view.id("BillingCycle", cycle.id),
                    number: *number,
                    amount: decimal(cycle.cents),
                    currency: s.terms.currency.clone(),
                    attempts: cycle.transactions.len(),
                    settlement_id: last.settlement_id(),
                    payment_id: last.payment_id(),
                    paid_at,
                });
            }
            charged
        })
    }
}
