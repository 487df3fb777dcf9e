//! What a look tells beside deliveries: a payment that fails, an offer, what the reseller calls it.

use super::Subscription;
use super::poll::clip;
use crate::clock::Timestamp;
use crate::convention::{Convention, check_name};
use crate::delivery::{Event, FailReason, OfferState, Renewal};
use crate::provider::{Failing, Payment, Sighting};

/// A payment that fails, from the first answer that said so until one says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    /// Of the delivery that is not paid for.
    pub generation: i64,
    /// When it began, where the provider tells.
    pub since: Option<Timestamp>,
    /// When it was seen first.
    pub seen_at: Timestamp,
    /// The provider's own word then, made harmless.
    pub reason: String,
}

/// What became of an offer last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastOffer {
    pub order_number: String,
    pub state: OfferState,
    pub seen_at: Timestamp,
}

impl Episode {
    /// A time that is not told makes none another.
    fn is_it(&self, failing: &Failing) -> bool {
        let is_other_time = self.since.zip(failing.since).is_some_and(|(ours, theirs)| ours != theirs);
        self.generation == failing.generation && !is_other_time
    }
}

/// Notes in `after` what an answer tells, and returns what is to be said of it: each episode, each state of an offer.
pub(super) fn note(after: &mut Subscription, sighting: &Sighting, now: Timestamp) -> Vec<Event> {
    // What could be no name of ours is not stored with each subscription and passed on with each message.
    let name = sighting.partner_reference.as_deref();
    if let Some(name) = name.filter(|name| check_name("partner reference", name).is_ok()) {
        after.partner_reference = Some(name.into());
    }
    let mut events = Vec::from_iter(payment(after, &sighting.payment, now));
    for offer in &sighting.offers {
        let (order_number, state) = (offer.order_number.clone(), offer.state);
        after.offer = Some(Box::new(LastOffer { order_number: order_number.clone(), state, seen_at: now }));
        let generation = after.generation.unwrap_or(0);
        events.push(Event::Offer { generation, order_number, state, discount: offer.discount.clone() });
    }
    events
}

fn payment(after: &mut Subscription, payment: &Payment, now: Timestamp) -> Option<Event> {
    let failing = match payment {
        Payment::Untold => return None,
        Payment::Fine => {
            after.failing = None;
            return None;
        }
        Payment::Failing(failing) => failing,
    };
    if let Some(episode) = after.failing.as_mut().filter(|episode| episode.is_it(failing)) {
        episode.since = episode.since.or(failing.since);
        return None;
    }
    let Failing { generation, since, will_retry, .. } = **failing;
    let reason = clip(&failing.reason);
    after.payment_failures += 1;
    after.failing = Some(Box::new(Episode { generation, since, seen_at: now, reason: reason.clone() }));
    Some(Event::PaymentFailing { generation, since, will_retry, reason, episode: after.payment_failures })
}

/// Of a subscription that has ended: the delivery that would have come, had its payment not been refused. An answer that does not tell
/// leaves standing what the one before it said.
pub(super) fn refused(ended: &Subscription, payment: &Payment, convention: &Convention) -> Option<Event> {
    let (generation, reason) = match payment {
        Payment::Failing(failing) => (failing.generation, failing.reason.as_str()),
        Payment::Untold => ended.failing.as_ref().map(|episode| (episode.generation, episode.reason.as_str()))?,
        Payment::Fine => return None,
    };
    if ended.generation.is_some_and(|known| generation <= known) {
        return None;
    }
    let reference = convention.reference_of(&ended.partner_order_number, generation);
    let partner_order_number = convention.is_numbered().then(|| reference.clone());
    Some(Event::RenewalFailed {
        renewal: Renewal { generation, revision: 0, reference, partner_order_number },
        code: None,
        reason: FailReason::Refused,
        provider_message: clip(reason),
    })
}

#[cfg(test)]
mod tests;
