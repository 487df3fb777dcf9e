//! What becomes of a subscription: billed, renewed, refused, upgraded, ended.

use std::sync::Arc;
use std::time::Duration;

use super::books::{Books, Error};
use super::orders::{ABORTED, COMPLETED, CREATED, Order, PAYMENT_REFUSED, Source};
use super::product::Product;
use super::script::Script;
use super::subscriptions::{Status, Subscription};
use crate::clock::Timestamp;

impl Books {
    /// Makes the order of the generation to come, or takes the offer for it. Returns it.
    pub(super) fn prebill(&mut self, index: u32, at: Timestamp) -> u32 {
        if let Some(number) = self.subscription(index).prebilled {
            return number;
        }
        let offer = self.subscriptions[index as usize].offer.take();
        let automatic = self.subscription(index).state.auto_renew;
        let source = if automatic { Source::Subscription } else { Source::ManualRenewal };
        let number = offer.unwrap_or_else(|| self.push_order(index, source, at));
        let subscription = &mut self.subscriptions[index as usize];
        subscription.prebilled = Some(number);
        if subscription.state.status == Status::Trial {
            subscription.change(at, |state| state.status = Status::TrialConversion);
        }
        self.tell_order(number, "prebillingStarted");
        number
    }

    /// Takes the money for the generation to come, or fails to.
    pub(super) fn charge(&mut self, index: u32, at: Timestamp) {
        let number = self.prebill(index, at);
        let subscription = &mut self.subscriptions[index as usize];
        if subscription.refusals == 0 {
            return self.renew(index, at);
        }
        if subscription.refusals != u32::MAX {
            subscription.refusals -= 1;
        }
        subscription.charge_again_at = Some(at + subscription.terms.retry_every.max(Duration::from_secs(1)));
        let is_new = subscription.state.status != Status::Dunning;
        if is_new {
            subscription.change(at, |state| state.status = Status::Dunning);
        }
        let order = self.order_mut(number);
        (order.status, order.updated_at) = (PAYMENT_REFUSED, at);
        if is_new {
            self.tell_subscription(index, "unpaid");
        }
    }

    /// The charge has succeeded: the next generation begins.
    pub(super) fn renew(&mut self, index: u32, at: Timestamp) {
        let number = self.prebill(index, at);
        let subscription = &mut self.subscriptions[index as usize];
        let generation = subscription.state.generation + 1;
        (subscription.prebilled, subscription.charge_again_at, subscription.refusals) = (None, None, 0);
        let expires_at = subscription.terms.period.after(subscription.state.expires_at);
        subscription.change(at, |state| {
            state.status = if state.auto_renew { Status::Active } else { Status::Suspended };
            (state.generation, state.expires_at) = (generation, expires_at);
            state.previous_order = Some(std::mem::replace(&mut state.order, number));
        });
        let script = self.scripts.remove(&(index, generation));
        let script = script.unwrap_or_else(|| self.subscription(index).terms.renewal_script.clone());
        let product = self.subscription(index).state.product.clone();
        let order = self.order_mut(number);
        (order.generation, order.status, order.updated_at, order.charged_at) = (generation, COMPLETED, at, Some(at));
        order.amount = (1.0 - order.discount) * product.price * f64::from(product.units);
        order.product = product;
        self.set_order_script(number, script, at);
        self.sold.push((at, number));
    }

    pub(super) fn expire(&mut self, index: u32, at: Timestamp) {
        self.abort_unpaid(index, at);
        self.subscriptions[index as usize].change(at, |state| state.status = Status::Expired);
        self.tell_subscription(index, "expired");
    }

    /// Auto-renewal off, which ends an offer too.
    pub(super) fn suspend(&mut self, index: u32, at: Timestamp) -> Result<(), Error> {
        self.running(index, "it is over")?;
        self.abort_unpaid(index, at);
        self.subscriptions[index as usize]
            .change(at, |state| (state.status, state.auto_renew) = (Status::Suspended, false));
        self.tell_subscription(index, "suspended");
        Ok(())
    }

    /// From Canceled too, as one of the sources has it.
    pub(super) fn reactivate(&mut self, index: u32, at: Timestamp) {
        self.subscriptions[index as usize].change(at, |state| {
            state.status = if state.generation < 0 { Status::Trial } else { Status::Active };
            state.auto_renew = true;
        });
        self.tell_subscription(index, "reactivated");
    }

    pub(super) fn cancel(&mut self, index: u32, at: Timestamp) {
        self.abort_unpaid(index, at);
        self.subscriptions[index as usize].change(at, |state| state.status = Status::Canceled);
        self.tell_subscription(index, "canceled");
    }

    /// What was to be charged never will be.
    fn abort_unpaid(&mut self, index: u32, at: Timestamp) {
        let subscription = &mut self.subscriptions[index as usize];
        let open = [subscription.prebilled.take(), subscription.offer.take()];
        for number in open.into_iter().flatten() {
            let order = self.order_mut(number);
            if order.status == CREATED {
                (order.status, order.updated_at) = (ABORTED, at);
            }
        }
    }

    pub(super) fn running(&self, index: u32, why: &'static str) -> Result<(), Error> {
        let Subscription { id, state, .. } = self.subscription(index);
        if state.status.is_over() { Err(Error::NotNow { id: *id, status: state.status, why }) } else { Ok(()) }
    }

    /// Why there is no offer for the next renewal, if so.
    pub(super) fn may_be_offered(&self, index: u32) -> Result<(), Error> {
        let Subscription { id, state, prebilled, .. } = self.subscription(index);
        if state.status != Status::Active || prebilled.is_some() {
            let why = "offers are for the time before the renewal is billed";
            return Err(Error::NotNow { id: *id, status: state.status, why });
        }
        Ok(())
    }

    /// The next renewal costs less by this fraction. Returns the order.
    pub(super) fn accept_offer(&mut self, index: u32, discount: f64, at: Timestamp) -> Result<u32, Error> {
        self.may_be_offered(index)?;
        self.abort_unpaid(index, at); // an earlier offer
        let number = self.push_order(index, Source::Offer, at);
        let order = self.order_mut(number);
        order.discount = discount;
        order.amount *= 1.0 - discount;
        self.subscriptions[index as usize].offer = Some(number);
        self.tell_order(number, "created");
        Ok(number)
    }

    /// What another product costs for what is left of the term; or why there is none now.
    pub(super) fn upgrade_price(&self, index: u32, product: &Product, at: Timestamp) -> Result<f64, Error> {
        let Subscription { id, state, prebilled, .. } = self.subscription(index);
        if !matches!(state.status, Status::Active | Status::Suspended) || prebilled.is_some() {
            let why = "upgrades are for the time before the renewal is billed";
            return Err(Error::NotNow { id: *id, status: state.status, why });
        }
        let left = state.expires_at.since(at).as_secs_f64() / self.term_of(index).as_secs_f64();
        let amount = (product.total() - state.product.total()) * left.clamp(0.0, 1.0);
        Ok((amount * 100.0).round() / 100.0)
    }

    /// Another product at once, for what is left of the term. Returns the order.
    pub(super) fn upgrade(
        &mut self,
        index: u32,
        product: Product,
        script: Script,
        at: Timestamp,
    ) -> Result<u32, Error> {
        let amount = self.upgrade_price(index, &product, at)?;
        let was_suspended = self.subscription(index).state.status == Status::Suspended;
        let product = Arc::new(product);
        let number = self.push_order(index, Source::MidTermUpgrade, at);
        let order = self.order_mut(number);
        (order.generation, order.status, order.charged_at) = (order.generation - 1, COMPLETED, Some(at));
        order.amount = amount;
        order.product = product.clone();
        self.subscriptions[index as usize].change(at, |state| {
            (state.status, state.auto_renew, state.product) = (Status::Active, true, product);
            state.previous_order = Some(std::mem::replace(&mut state.order, number));
        });
        self.set_order_script(number, script, at);
        self.tell_order(number, "created");
        if was_suspended {
            self.tell_subscription(index, "reactivated");
        }
        self.sold.push((at, number));
        Ok(number)
    }

    fn term_of(&self, index: u32) -> Duration {
        let Subscription { terms, created_at, .. } = self.subscription(index);
        terms.period.after(*created_at).since(*created_at).max(Duration::from_secs(1))
    }

    /// Aborts the order of a generation, and makes a second one in its place. Returns that.
    pub(super) fn reorder(&mut self, index: u32, generation: i64, at: Timestamp) -> Result<u32, Error> {
        let id = self.subscription(index).id;
        let old = self.order_of(index, generation).ok_or(Error::NoOrder { id, generation })?;
        let new = self.orders.len() as u32;
        let before = self.order(old).clone();
        let charged_at = before.charged_at.map(|_| at);
        self.orders.push(Order {
            number: new,
            created_at: at,
            updated_at: at,
            charged_at,
            status: if charged_at.is_some() { COMPLETED } else { CREATED },
            script: None,
            told: CREATED.into(),
            ..before
        });
        let order = self.order_mut(old);
        (order.status, order.updated_at, order.script) = (ABORTED, at, None);
        let subscription = &mut self.subscriptions[index as usize];
        subscription.orders.push(new);
        for open in [&mut subscription.prebilled, &mut subscription.offer].into_iter().flatten() {
            *open = if *open == old { new } else { *open };
        }
        if subscription.state.order == old {
            subscription.change(at, |state| state.order = new);
        }
        for (_, sold) in self.sold.iter_mut().filter(|(_, sold)| *sold == old) {
            *sold = new;
        }
        Ok(new)
    }
}
