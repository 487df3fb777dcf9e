//! Rows for subscriptions that are tracked already, and that say something else than what is stored. `track` names each difference;
//! a file may have a million of them, and they are counted.

use crate::store::{self, Identity, NewSubscription, Store, SubscriptionRow};

/// How many of the rows differ from what is stored by now.
pub async fn count(store: &Store, rows: &[NewSubscription]) -> Result<u64, store::Error> {
    let stored = store.subscriptions(rows.iter().map(Identity::of).collect()).await?;
    let differ = rows.iter().zip(&stored).filter(|(row, stored)| stored.as_ref().is_some_and(|one| differs(row, one)));
    Ok(differ.count() as u64)
}

fn differs(given: &NewSubscription, stored: &SubscriptionRow) -> bool {
    let subscription = &stored.subscription;
    given.territory != subscription.territory
        || given.other_number(subscription).is_some()
        || given.other_expiry(subscription).is_some()
        || given.metadata.as_ref().is_some_and(|metadata| *metadata != stored.metadata)
        || given.generation.is_some_and(|generation| Some(generation) != subscription.generation)
}
