//! What can be done to this provider's orders and subscriptions alone, and learned of them.

use serde::Serialize;

use super::order_data::OrderAnswer;
use super::orders::{Error, NewOrder, Order, Renewal, Subscription};
use super::platform::NexwayConnect;
use super::script::Script;
use crate::clock::Timestamp;
use crate::sandbox::controls::Controls;

/// A subscription as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SubscriptionState {
    pub partner_order_number: String,
    pub territory: String,
    pub subscription_id: i64,
    pub generation: i64,
    pub expires_at: Timestamp,
    /// When it renews by itself; `None` when it will not.
    pub renews_at: Option<Timestamp>,
    pub cancelled: bool,
}

/// Orders and subscriptions.
impl Controls<NexwayConnect> {
    /// Returns what *Create order* answers.
    pub fn create_order(&self, order: NewOrder) -> Result<OrderAnswer, Error> {
        self.provider(|provider, now| provider.create_order(order, now))
    }

    /// Every subscription there is, by original number.
    pub fn subscriptions(&self) -> Vec<SubscriptionState> {
        let state = |order: &Order, subscription: &Subscription| SubscriptionState {
            partner_order_number: order.number.clone(),
            territory: order.territory.clone(),
            subscription_id: subscription.id,
            generation: subscription.generation,
            expires_at: subscription.expires_at,
            renews_at: subscription.renews_at(),
            cancelled: subscription.cancelled,
        };
        self.provider(|provider, now| {
            let orders = provider.book.orders(now).into_iter();
            orders.flat_map(|order| order.subscriptions.iter().map(|one| state(order, one))).collect()
        })
    }

    /// Renews now: one subscription of the original order, or all of them with `None`.
    pub fn renew(&self, original: &str, subscription_id: Option<i64>) -> Result<(), Error> {
        self.renew_times(original, subscription_id, 1)
    }

    /// Renews `times` generations at once, as they are found after a long downtime. Each has an order of its own.
    pub fn renew_times(&self, original: &str, subscription_id: Option<i64>, times: u32) -> Result<(), Error> {
        self.provider(|provider, now| provider.book.renew(original, subscription_id, times, now))
    }

    /// Makes the status answer show this generation. Makes no order, and nothing that `renewals` would list.
    pub fn set_generation(&self, original: &str, subscription_id: Option<i64>, generation: i64) -> Result<(), Error> {
        self.change(original, subscription_id, |subscription| subscription.generation = generation)
    }

    /// No further renewal; the licence stays active until its expiry.
    pub fn cancel(&self, original: &str, subscription_id: Option<i64>) -> Result<(), Error> {
        self.change(original, subscription_id, |subscription| subscription.cancelled = true)
    }

    pub fn set_auto_renew(&self, original: &str, subscription_id: Option<i64>, on: bool) -> Result<(), Error> {
        self.change(original, subscription_id, |subscription| subscription.auto_renew = on)
    }

    /// Any text; `None` returns to what follows from the subscription's state.
    pub fn set_technical_status(
        &self,
        original: &str,
        subscription_id: Option<i64>,
        status: Option<&str>,
    ) -> Result<(), Error> {
        self.change(original, subscription_id, |subscription| subscription.technical_status = status.map(str::to_owned))
    }

    fn change(
        &self,
        original: &str,
        subscription_id: Option<i64>,
        change: impl FnMut(&mut Subscription),
    ) -> Result<(), Error> {
        self.provider(|provider, now| provider.book.change(original, subscription_id, now, change))
    }
}

/// Answers.
impl Controls<NexwayConnect> {
    /// What this very number (suffix included) answers from now on; replaces an earlier script.
    pub fn script(&self, number: impl Into<String>, script: Script) {
        self.provider(|provider, _| provider.scripts.insert(number.into(), script));
    }

    /// Makes every access token unknown at once; refresh tokens too if asked.
    pub fn expire_tokens(&self, refresh_too: bool) {
        self.provider(|provider, _| provider.tokens.expire(refresh_too));
    }
}

/// What happened.
impl Controls<NexwayConnect> {
    /// Everything the provider ever renewed, in order of time: the truth that deliveries are held against.
    pub fn renewals(&self) -> Vec<Renewal> {
        self.provider(|provider, now| provider.book.renewals(now))
    }

    /// The serials (their `data`, as sent) that this number's order data holds for a subscription, in their order. A
    /// generation still to come has its keys already; none for an unknown order, or where all ids are foreign.
    pub fn expected_keys(&self, number: &str, subscription_id: i64) -> Vec<String> {
        self.provider(|provider, now| provider.expected_keys(number, subscription_id, now))
    }
}
