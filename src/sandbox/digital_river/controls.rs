//! What can be done to this provider's subscriptions and orders alone, and learned of them.

use serde::Serialize;

use super::answers::key_of;
use super::books::{Books, Error, NewSubscriptions, Sold, State};
use super::platform::DigitalRiver;
use crate::clock::Timestamp;
use crate::sandbox::controls::Controls;
use crate::sandbox::notifications::Notifying as _;

/// A subscription as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SubscriptionState {
    pub subscription_id: String,
    pub upstream_id: Option<String>,
    pub state: State,
    pub ends_at: Timestamp,
    pub next_invoice_at: Timestamp,
    /// When it renews by itself; `None` when it will not.
    pub pays_at: Option<Timestamp>,
}

/// What happens to subscriptions.
impl Controls<DigitalRiver> {
    /// Returns their ids, in the order in which they were made.
    pub fn create(&self, new: NewSubscriptions) -> Result<Vec<String>, Error> {
        self.provider(|provider, now| {
            let made = provider.books.create(new, now);
            provider.tell();
            made
        })
    }

    /// By the seller, of a draft.
    pub fn activate(&self, id: &str) -> Result<(), Error> {
        self.change(id, Books::activate)
    }

    /// Bills the next term, which is not paid at once. Nothing tells of it.
    pub fn open_invoice(&self, id: &str) -> Result<(), Error> {
        self.change(id, |books, at, now| {
            in_state(books, at, &[State::Active, State::ActiveFree])?;
            books.set_state(at, State::ActivePendingInvoice, now);
            Ok(())
        })
    }

    /// An attempt to be paid fails for this reason.
    pub fn fail_attempt(&self, id: &str, code: &str) -> Result<(), Error> {
        self.change(id, |books, at, now| {
            in_state(books, at, &[State::ActivePendingInvoice])?;
            books.subscriptions[at].attempts.push(code.to_owned());
            books.tell(at, "payment_failed", Some("open"), now);
            Ok(())
        })
    }

    /// The next term is paid for. Returns its order.
    pub fn pay(&self, id: &str) -> Result<String, Error> {
        self.change(id, |books, at, now| Ok(books.pay(at, now)?.to_string()))
    }

    /// The same without an order and an event.
    pub fn extend(&self, id: &str) -> Result<(), Error> {
        self.change(id, |books, at, now| books.extend(at, now))
    }

    /// An order of the present term, made then, which the last term without one has from now on. Returns it.
    pub fn add_order(&self, id: &str, made_at: Timestamp) -> Result<String, Error> {
        self.change(id, |books, at, _| {
            let order = books.order(at, made_at, true);
            books.has_order(at, &order);
            Ok(order.to_string())
        })
    }

    /// Its means of payment is not valid any more; its state stays.
    pub fn invalidate_source(&self, id: &str) -> Result<(), Error> {
        self.change(id, |books, at, now| {
            books.tell(at, "source_invalid", None, now);
            Ok(())
        })
    }

    /// One of `Failed`, `Lapsed`, `Cancelled`, `Ended`; of the last nothing tells.
    pub fn end(&self, id: &str, state: State) -> Result<(), Error> {
        self.change(id, |books, at, now| {
            books.set_state(at, state, now);
            let what = match state {
                State::Failed => "failed",
                State::Lapsed => "lapsed",
                State::Ended => return Ok(()),
                _ => "updated",
            };
            books.tell(at, what, None, now);
            Ok(())
        })
    }

    /// A draft, for good.
    pub fn delete(&self, id: &str) -> Result<(), Error> {
        self.change(id, |books, at, now| {
            in_state(books, at, &[State::Draft])?;
            books.tell(at, "deleted", None, now);
            books.delete(at);
            Ok(())
        })
    }

    /// Shows this word instead of its state.
    pub fn show_state(&self, id: &str, word: Option<&str>) -> Result<(), Error> {
        self.change(id, |books, at, now| {
            let one = &mut books.subscriptions[at];
            (one.shown_state, one.updated_at) = (word.map(str::to_owned), now);
            Ok(())
        })
    }

    /// Moves the end of its period, and nothing else.
    pub fn set_end(&self, id: &str, end: Timestamp) -> Result<(), Error> {
        self.change(id, |books, at, _| {
            books.subscriptions[at].end = end;
            Ok(())
        })
    }

    /// When it is billed next.
    pub fn set_next_invoice(&self, id: &str, next: Timestamp) -> Result<(), Error> {
        self.change(id, |books, at, _| {
            books.subscriptions[at].next_invoice_at = next;
            Ok(())
        })
    }

    pub fn set_order_state(&self, order_id: &str, state: &str) -> Result<(), Error> {
        self.provider(|provider, _| {
            let found = provider.books.find_order(order_id);
            let at = found.ok_or_else(|| Error::UnknownOrder(order_id.to_owned()))?;
            provider.books.orders[at].state = state.to_owned();
            Ok(())
        })
    }

    fn change<T>(
        &self,
        id: &str,
        act: impl FnOnce(&mut Books, usize, Timestamp) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.provider(|provider, now| {
            provider.catch_up(now);
            provider.books.hidden_for = provider.switches.order_hidden_for;
            provider.books.stir();
            let at = provider.books.find(id)?;
            let done = act(&mut provider.books, at, now);
            provider.tell();
            done
        })
    }
}

/// What is in the books.
impl Controls<DigitalRiver> {
    pub fn subscriptions(&self) -> Vec<SubscriptionState> {
        self.provider(|provider, now| {
            provider.catch_up(now);
            let of = |one: &super::books::Subscription| SubscriptionState {
                subscription_id: one.id.to_string(),
                upstream_id: one.upstream_id.clone(),
                state: one.state,
                ends_at: one.end,
                next_invoice_at: one.next_invoice_at,
                pays_at: one.pays_at(),
            };
            provider.books.subscriptions.iter().filter(|one| !one.is_deleted).map(of).collect()
        })
    }

    /// Everything ever renewed, in order of time.
    pub fn renewals(&self) -> Vec<Sold> {
        let mut sold: Vec<_> = self.provider(|provider, now| {
            provider.catch_up(now);
            provider.books.sold.iter().map(|(_, sold)| sold.clone()).collect()
        });
        sold.sort_by_key(|sold: &Sold| sold.sold_at);
        sold
    }

    /// The keys that an order has.
    pub fn expected_keys(&self, order_id: &str) -> Vec<String> {
        self.provider(|provider, _| provider.switches.keys.then(|| key_of(order_id)).into_iter().collect())
    }
}

fn in_state(books: &Books, at: usize, states: &[State]) -> Result<(), Error> {
    let state = books.subscriptions[at].state;
    if states.contains(&state) { Ok(()) } else { Err(Error::NotNow { state }) }
}
