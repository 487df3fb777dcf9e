//! What was given for a subscription that is tracked already, and is not what is stored.

use crate::store::{NewSubscription, SubscriptionRow};
use crate::text::visible;
use crate::view;

/// A line for each difference, with what changes it.
pub(super) fn of(given: &NewSubscription, stored: &SubscriptionRow) -> Vec<String> {
    let attributes = attributes(given, stored).map(|what| {
        let label = view::label(stored);
        format!("{label}: {what} was given, and is not what is stored; --update changes it")
    });
    attributes.into_iter().chain(generation(given, stored)).collect()
}

/// As far as they were given.
fn attributes(given: &NewSubscription, stored: &SubscriptionRow) -> Option<String> {
    let subscription = &stored.subscription;
    let differing = [
        (given.territory != subscription.territory).then(|| format!("territory {}", visible(&given.territory))),
        given.other_number(subscription).map(|number| format!("order number {}", visible(number))),
        given.other_expiry(subscription).map(|at| format!("expiry {at}")),
        given.metadata.as_ref().filter(|given| **given != stored.metadata).map(|_| "other metadata".to_owned()),
    ];
    let differing: Vec<_> = differing.into_iter().flatten().collect();
    (!differing.is_empty()).then(|| differing.join(", "))
}

fn generation(given: &NewSubscription, stored: &SubscriptionRow) -> Option<String> {
    let (given, label) = (given.generation?, view::label(stored));
    match stored.subscription.generation {
        Some(generation) if generation < given => Some(format!(
            "{label}: generation {given} was given, and it is at {generation}; tracking never changes that: it comes from the \
             provider, or by `renewald refetch`"
        )),
        Some(generation) if generation > given => Some(format!(
            "{label}: generation {given} was given, and it is at {generation} by now; it is never lowered"
        )),
        Some(_) => None,
        None => {
            Some(format!("{label}: generation {given} was given, and it was adopted: the first poll notes its own"))
        }
    }
}
