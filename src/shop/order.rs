//! Placing an order: written down before it is sent, and its end found out, whatever happens.
//!
//! An answer that is lost, a reset, a 5xx or a kill leaves it unclear whether the provider has the order. Then it is looked for by Get
//! order data, here at once and by [`super::search`] later; only what goes on not being found may be sent again.

use std::time::Duration;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::about::{self, about};
use super::answer::{Answer, Failure};
use super::{Account, Desk, Place};
use crate::call::{Call, Name, OfOrder};
use crate::clock::Timestamp;
use crate::json::canonical;
use crate::provider::Error;
use crate::provider::shop::{Outcome, Placed, Reply};
use crate::store::{Begun, Metadata, NewOrder, NewSubscription, OrderState, PlacedOrder, Tracked};
use crate::text::visible;

/// When somebody else looks for an order that was sent and not answered for.
const LOOK_AFTER: Duration = Duration::from_secs(10);
/// Not found so often, and for so long after it was sent: it is not there.
const MISSES: i64 = 3;
const MISSED_FOR: Duration = Duration::from_secs(300);
/// Between two looks for what waits or cannot be found out.
const LONGEST_BETWEEN: Duration = Duration::from_secs(6 * 3600);
/// What waits for longer is not looked for any more: a payment that never came.
const WAITS_AT_MOST: Duration = Duration::from_secs(60 * 24 * 3600);

/// An order as a shop wants it placed.
pub struct Wanted {
    /// As the provider has it.
    pub order: Box<RawValue>,
    pub metadata: Option<Metadata>,
    /// Its first delivery goes to the sinks, too.
    pub deliver: bool,
}

/// What a look for an order came to.
pub enum Found {
    There(Reply),
    /// It is not known, or not yet; `true`: for good.
    Missing(bool),
    /// There was no answer that tells.
    Untold(Failure),
}

impl Desk {
    pub(super) async fn order(
        &self,
        provider: &str,
        territory: Option<&str>,
        wanted: Wanted,
        user: &str,
    ) -> Result<Answer, Failure> {
        let place = self.place(provider, territory)?;
        let mut call = Call::Order(wanted.order);
        about(&place.account, &mut call)?;
        let (number, hash) = checked(&place, &call)?;
        let new = NewOrder {
            provider: provider.to_owned(),
            number: number.clone(),
            territory: place.territory.clone(),
            hash,
            metadata: wanted.metadata,
            deliver: wanted.deliver,
            asked_by: user.to_owned(),
        };
        let now = Timestamp::now();
        let answer = match self.store.begin_order(new, now, now + LOOK_AFTER).await? {
            Begun::Send(order) => self.send_order(&place, &order, &call).await,
            Begun::Known(order) => self.answer_again(&place.account, &order).await,
            Begun::Other => Err(Failure::refused("another order was placed under this number: choose another number")),
            Begun::Tracked => Err(Failure::refused(
                "a subscription is tracked that was ordered under this number, and not here: choose another number",
            )),
        };
        let (call, number) = (Name::Order, visible(&number));
        match &answer {
            Ok(answer) => tracing::info!(%call, %provider, %number, %user, code = answer.code, "shop"),
            Err(_) => tracing::info!(%call, %provider, %number, %user, "shop: not placed, or not known to be"),
        }
        answer
    }

    async fn send_order(&self, place: &Place, order: &PlacedOrder, call: &Call) -> Result<Answer, Failure> {
        let answered = match place.account.send(call, &place.territory).await {
            Ok(answered) => answered,
            Err(failure) => {
                self.store.withdraw_order(order, false).await?;
                return Err(failure);
            }
        };
        match answered {
            Ok(reply) => match reply.outcome {
                Outcome::Done | Outcome::Waiting => self.record(&place.account, order, reply, false).await,
                // Nobody but us knows the number, unless it was sent before.
                Outcome::Already if order.sends == 1 => {
                    self.store.withdraw_order(order, true).await?;
                    Err(Failure::refused(
                        "the provider has an order of this number that was not placed here: nothing of it is shown or tracked",
                    ))
                }
                // What failed inside the provider may have been made all the same.
                Outcome::Already | Outcome::Later => {
                    self.answer_unclear(&place.account, order, Failure::by(reply)).await
                }
                Outcome::Mend | Outcome::Refused | Outcome::NotFound => {
                    self.store.withdraw_order(order, true).await?;
                    Err(Failure::by(reply))
                }
            },
            // Never sent, or refused before anybody looked at what it holds.
            Err(error) if !error.may_have_arrived() => {
                self.store.withdraw_order(order, false).await?;
                Err(Failure::of(&error))
            }
            Err(error @ Error::Rejected { .. }) => {
                self.store.withdraw_order(order, true).await?;
                Err(Failure::of(&error))
            }
            Err(error) => self.answer_unclear(&place.account, order, Failure::of(&error)).await,
        }
    }

    /// The same was sent before.
    async fn answer_again(&self, account: &Account, order: &PlacedOrder) -> Result<Answer, Failure> {
        match self.look(account, order).await? {
            Found::There(reply) => self.record(account, order, reply, true).await,
            Found::Missing(true) => {
                Err(Failure::later("the provider does not have it: send the same again".to_owned()))
            }
            Found::Missing(false) => Err(unclear()),
            Found::Untold(failure) => Err(failure),
        }
    }

    /// Whether it was made is not known: asked at once, and found out later if that does not tell.
    async fn answer_unclear(
        &self,
        account: &Account,
        order: &PlacedOrder,
        failure: Failure,
    ) -> Result<Answer, Failure> {
        let found = self.look(account, order).await?;
        self.search_bell.notify_one();
        match found {
            Found::There(reply) => self.record(account, order, reply, false).await,
            Found::Missing(_) => Err(unclear()),
            Found::Untold(_) => Err(match failure {
                Failure::Later { why, after } => Failure::Later { why: format!("{}; {why}", UNCLEAR), after },
                other => other,
            }),
        }
    }

    /// Asks for it, and writes down what that told where it is not there.
    pub(super) async fn look(&self, account: &Account, order: &PlacedOrder) -> Result<Found, Failure> {
        let call = Call::OrderData(OfOrder { number: order.number.clone() });
        let now = Timestamp::now();
        let age = now.since(order.sent_at);
        let reply = match account.send(&call, &order.territory).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => return self.untold(order, age, Failure::of(&error)).await,
            Err(failure) => return self.untold(order, age, failure).await,
        };
        match reply.outcome {
            Outcome::NotFound if order.state == OrderState::Placed || order.state == OrderState::Waiting => {
                self.untold(order, age, Failure::by(reply)).await
            }
            Outcome::NotFound => {
                let missed = order.missed + 1;
                let is_absent = missed >= MISSES && age >= MISSED_FOR;
                let (state, next) = match is_absent {
                    true => (OrderState::Absent, None),
                    false => (OrderState::Unclear, Some(now + between(age))),
                };
                self.store.note_order(order, state, missed, next).await?;
                Ok(Found::Missing(is_absent))
            }
            Outcome::Mend | Outcome::Later => self.untold(order, age, Failure::by(reply)).await,
            _ if reply.placed.is_some() => Ok(Found::There(reply)),
            _ => self.untold(order, age, Failure::by(reply)).await,
        }
    }

    async fn untold(&self, order: &PlacedOrder, age: Duration, failure: Failure) -> Result<Found, Failure> {
        if matches!(order.state, OrderState::Unclear | OrderState::Waiting) {
            let next = Timestamp::now() + between(age);
            self.store.note_order(order, order.state, order.missed, Some(next)).await?;
        }
        Ok(Found::Untold(failure))
    }

    /// It is there: what it brought is tracked, before anybody hears of it.
    pub(super) async fn record(
        &self,
        account: &Account,
        order: &PlacedOrder,
        mut reply: Reply,
        is_repeat: bool,
    ) -> Result<Answer, Failure> {
        let now = Timestamp::now();
        let placed = reply.placed.clone().unwrap_or_default();
        let waits = !placed.is_whole && order.state != OrderState::Placed;
        let (state, next) = match waits {
            true => {
                let age = now.since(order.sent_at);
                let next = now + between(age).max(Duration::from_secs(60));
                (OrderState::Waiting, (age < WAITS_AT_MOST).then_some(next))
            }
            false => (OrderState::Placed, None),
        };
        let brought = brought(account, order, &placed);
        for outcome in self.store.place_order(order, brought, state, next, now).await? {
            if let Tracked::Clashes(clash) = outcome {
                tracing::error!(number = %visible(&order.number), "an order's subscription is not tracked: {clash}");
                reply.notes.push(format!("not tracked: {clash}"));
            }
        }
        self.sweep_bell.notify_one();
        self.search_bell.notify_one();
        if is_repeat && reply.outcome == Outcome::Done {
            reply.outcome = Outcome::Already;
        }
        if waits {
            reply.notes.push("what it is still to bring is tracked as soon as the provider names it".to_owned());
        } else if placed.subscription_ids.is_empty() && reply.outcome != Outcome::Refused {
            reply
                .notes
                .push("it brought no subscription: nothing is tracked, and nothing will be delivered".to_owned());
        }
        Answer::of(Name::Order, reply)
    }
}

const UNCLEAR: &str =
    "it is not known yet whether the provider has the order: renewald finds out, and sending the same again is safe";

fn unclear() -> Failure {
    Failure::later(UNCLEAR.to_owned())
}

/// The longer it is since it was sent, the more seldom.
fn between(age: Duration) -> Duration {
    (age / 4).clamp(LOOK_AFTER, LONGEST_BETWEEN)
}

/// Its number, and the hash by which the same is known again: of what it says, not of how that is laid out.
fn checked(place: &Place, call: &Call) -> Result<(String, [u8; 32]), Failure> {
    let Call::Order(body) = call else { return Err(Failure::refused("no order")) };
    let check = place.account.convention().shop.and_then(|shop| shop.order);
    let check = check.ok_or_else(|| Failure::refused("orders are not placed with this provider"))?;
    let order = about::read("order", body)?;
    let number = check(&order).map_err(|wrong| Failure::Mend { wrong, code: None })?;
    let mut hash = Sha256::new();
    hash.update(place.territory.as_bytes());
    hash.update([0]);
    hash.update(canonical(body.get()));
    Ok((number, hash.finalize().into()))
}

fn brought(account: &Account, order: &PlacedOrder, placed: &Placed) -> Vec<NewSubscription> {
    let new = |subscription_id: &String| NewSubscription {
        provider: order.provider.clone(),
        convention: account.convention(),
        territory: order.territory.clone(),
        partner_order_number: order.number.clone(),
        subscription_id: subscription_id.clone(),
        generation: Some(0),
        known: Vec::new(),
        known_before: None,
        expires_at: None,
        metadata: Some(order.metadata.clone()),
        tracked_by: "order",
    };
    placed.subscription_ids.iter().map(new).collect()
}
