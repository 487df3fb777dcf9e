//! What can be done to this provider's subscriptions and orders alone, and learned of them.

use serde::Serialize;

use super::books::{Books, Error, Sold};
use super::forms::cents;
use super::line_item_data::expected_keys;
use super::orders::Source;
use super::platform::NexwayMonetize;
use super::product::Product;
use super::script::Script;
use super::subscriptions::{NewSubscriptions, State, Status};
use crate::clock::Timestamp;
use crate::sandbox::controls::Controls;
use crate::sandbox::notifications::Notifying as _;

/// A subscription as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SubscriptionState {
    pub subscription_id: String,
    pub external_ref_id: Option<String>,
    pub status: Status,
    pub generation: i64,
    pub expires_at: Timestamp,
    /// When it renews by itself, or is tried again; `None` when it will not.
    pub renews_at: Option<Timestamp>,
    pub product_id: String,
}

/// An order as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OrderState {
    pub order_id: String,
    pub generation: i64,
    pub source: Source,
    /// By its script, which does not move on.
    pub status: String,
    pub amount: f64,
    pub created_at: Timestamp,
}

/// What happens to subscriptions.
impl Controls<NexwayMonetize> {
    /// Returns their ids, in the order in which they were made.
    pub fn create(&self, new: NewSubscriptions) -> Result<Vec<String>, Error> {
        self.provider(|provider, now| {
            let made = provider.books.create(new, now)?;
            provider.collect_news(now);
            Ok(made.map(|index| provider.books.subscription(index).id.to_string()).collect())
        })
    }

    /// Renews now, as if paid for; one that will not renew by itself gets a manual renewal.
    pub fn renew(&self, id: &str) -> Result<(), Error> {
        self.renew_times(id, 1)
    }

    /// Renews `times` generations at once, as they are found after a long downtime. Each has an order of its own.
    pub fn renew_times(&self, id: &str, times: u32) -> Result<(), Error> {
        self.act(id, |books, index, now| {
            books.running(index, "what is over is not renewed")?;
            (0..times.min(10_000)).for_each(|_| books.renew(index, now));
            Ok(())
        })
    }

    /// Renews all that are not over.
    pub fn renew_all(&self) {
        self.provider(|provider, now| {
            provider.catch_up(now);
            for index in 0..provider.books.subscriptions.len() as u32 {
                if provider.books.running(index, "").is_ok() {
                    provider.books.renew(index, now);
                    provider.books.changed(index, now);
                }
            }
            provider.collect_news(now);
        });
    }

    /// Makes the order of the generation to come now. Returns its id.
    pub fn prebill(&self, id: &str) -> Result<String, Error> {
        self.act(id, |books, index, now| {
            books.running(index, "what is over is not billed")?;
            let number = books.prebill(index, now);
            Ok(books.order(number).id())
        })
    }

    /// Charges now and is refused, and so are the retries: so many in all, or every one with `None`.
    pub fn refuse_payment(&self, id: &str, times: Option<u32>) -> Result<(), Error> {
        self.act(id, |books, index, now| {
            books.running(index, "what is over is not charged")?;
            books.subscriptions[index as usize].refusals = times.unwrap_or(u32::MAX).max(1);
            books.charge(index, now);
            Ok(())
        })
    }

    /// A stay-subscribed offer is accepted: the next renewal costs less by this fraction. Returns the order's id.
    pub fn accept_offer(&self, id: &str, discount: f64) -> Result<String, Error> {
        let touches = self.switches().offer_touches_subscription;
        self.act(id, |books, index, now| {
            let number = books.accept_offer(index, discount, now)?;
            if touches {
                books.subscriptions[index as usize].change(now, |_| {});
            }
            Ok(books.order(number).id())
        })
    }

    /// A mid-term upgrade, whose order shows this script before it is complete. Returns the order's id.
    pub fn upgrade(&self, id: &str, product: Product, script: Script) -> Result<String, Error> {
        self.act(id, |books, index, now| {
            let number = books.upgrade(index, product, script, now)?;
            Ok(books.order(number).id())
        })
    }

    /// Somebody pays a cart: an upgrade happens, or a boxed product becomes a subscription. Returns the orders that come of it.
    pub fn pay(&self, cart_id: &str) -> Result<Vec<Sold>, Error> {
        self.provider(|provider, now| {
            provider.catch_up(now);
            let numbers = provider.pay(cart_id, now)?;
            provider.catch_up(now);
            Ok(numbers.into_iter().map(|number| provider.books.entry(now, provider.books.order(number))).collect())
        })
    }

    /// Auto-renewal off; an offer that was accepted is aborted.
    pub fn suspend(&self, id: &str) -> Result<(), Error> {
        self.act(id, Books::suspend)
    }

    pub fn reactivate(&self, id: &str) -> Result<(), Error> {
        self.act(id, |books, index, now| {
            books.reactivate(index, now);
            Ok(())
        })
    }

    pub fn cancel(&self, id: &str) -> Result<(), Error> {
        self.act(id, |books, index, now| {
            books.cancel(index, now);
            Ok(())
        })
    }

    pub fn expire(&self, id: &str) -> Result<(), Error> {
        self.act(id, |books, index, now| {
            books.expire(index, now);
            Ok(())
        })
    }

    /// Another end of the present term, outside of any renewal.
    pub fn set_expiry(&self, id: &str, expires_at: Timestamp) -> Result<(), Error> {
        self.act(id, |books, index, now| {
            books.subscriptions[index as usize].change(now, |state| state.expires_at = expires_at);
            books.tell_subscription(index, "expirationDateUpdated");
            Ok(())
        })
    }

    /// Makes the subscription show this generation. Makes no order, and nothing that `renewals` would list.
    pub fn set_generation(&self, id: &str, generation: i64) -> Result<(), Error> {
        self.change(id, |state| state.generation = generation)
    }

    /// Any text; `None` returns to what is so.
    pub fn set_status(&self, id: &str, status: Option<&str>) -> Result<(), Error> {
        self.change(id, |state| state.shown_status = status.map(Into::into))
    }

    /// Whether the payment method can be charged again.
    pub fn set_replayable(&self, id: &str, replayable: bool) -> Result<(), Error> {
        self.change(id, |state| state.replayable = replayable)
    }

    /// Whether the list of subscriptions has it. Asked about alone it is as ever.
    pub fn set_listed(&self, id: &str, is_listed: bool) -> Result<(), Error> {
        self.act(id, |books, index, _| {
            match is_listed {
                true => books.unlisted.remove(&index),
                false => books.unlisted.insert(index),
            };
            Ok(())
        })
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut State)) -> Result<(), Error> {
        self.act(id, |books, index, now| {
            books.subscriptions[index as usize].change(now, change);
            Ok(())
        })
    }

    /// Does something to one subscription once all that was due before is done.
    fn act<T>(&self, id: &str, act: impl FnOnce(&mut Books, u32, Timestamp) -> Result<T, Error>) -> Result<T, Error> {
        self.provider(|provider, now| {
            provider.catch_up(now);
            let index = provider.books.find(id)?;
            let done = act(&mut provider.books, index, now)?;
            provider.books.changed(index, now);
            provider.catch_up(now);
            Ok(done)
        })
    }
}

/// Orders.
impl Controls<NexwayMonetize> {
    /// What the order of this generation shows from now on, or from when there is one.
    pub fn script(&self, id: &str, generation: i64, script: Script) -> Result<(), Error> {
        self.act(id, |books, index, now| {
            books.script(index, generation, script, now);
            Ok(())
        })
    }

    /// What this very order shows from now on.
    pub fn script_order(&self, order_id: &str, script: Script) -> Result<(), Error> {
        self.provider(|provider, now| {
            let number = provider.books.find_order(order_id)?;
            provider.books.set_order_script(number, script, now);
            Ok(())
        })
    }

    /// Aborts the order of a generation, and makes a second one in its place. Returns that one's id.
    pub fn reorder(&self, id: &str, generation: i64) -> Result<String, Error> {
        self.act(id, |books, index, now| {
            let number = books.reorder(index, generation, now)?;
            Ok(books.order(number).id())
        })
    }

    /// Makes every access token unknown at once; refresh tokens too if asked.
    pub fn expire_tokens(&self, refresh_too: bool) {
        self.provider(|provider, _| provider.tokens.expire(refresh_too));
    }
}

/// What happened.
impl Controls<NexwayMonetize> {
    /// Every subscription there is, in the order in which they were made.
    pub fn subscriptions(&self) -> Vec<SubscriptionState> {
        self.provider(|provider, now| {
            provider.catch_up(now);
            let state = |subscription: &super::subscriptions::Subscription| SubscriptionState {
                subscription_id: subscription.id.to_string(),
                external_ref_id: subscription.external_ref_id.as_deref().map(str::to_owned),
                status: subscription.state.status,
                generation: subscription.state.generation,
                expires_at: subscription.state.expires_at,
                renews_at: subscription.renews_at(),
                product_id: subscription.state.product.id.clone(),
            };
            provider.books.subscriptions.iter().map(state).collect()
        })
    }

    /// A subscription's orders, oldest first.
    pub fn orders(&self, id: &str) -> Result<Vec<OrderState>, Error> {
        self.provider(|provider, now| {
            provider.catch_up(now);
            let index = provider.books.find(id)?;
            let numbers = provider.books.subscription(index).orders.clone();
            let state = |number| {
                let order = provider.books.order_mut(number);
                OrderState {
                    order_id: order.id(),
                    generation: order.generation,
                    source: order.source,
                    status: order.peek(now).status,
                    amount: cents(order.amount),
                    created_at: order.created_at,
                }
            };
            Ok(numbers.into_iter().map(state).collect())
        })
    }

    /// Everything the provider ever renewed, in order of time: the truth that deliveries are held against.
    pub fn renewals(&self) -> Vec<Sold> {
        self.sold(|source| !source.is_upgrade())
    }

    /// Every mid-term upgrade, in order of time.
    pub fn upgrades(&self) -> Vec<Sold> {
        self.sold(Source::is_upgrade)
    }

    fn sold(&self, wanted: impl Fn(Source) -> bool) -> Vec<Sold> {
        self.provider(|provider, now| {
            provider.catch_up(now);
            provider.books.sold().into_iter().filter(|sold| wanted(sold.source)).collect()
        })
    }

    /// The keys of an order once it is complete, one for each unit; none where its licence has none.
    pub fn expected_keys(&self, order_id: &str) -> Vec<String> {
        self.provider(|provider, _| {
            let number = provider.books.find_order(order_id);
            number.map(|number| expected_keys(&provider.books, provider.books.order(number))).unwrap_or_default()
        })
    }
}
