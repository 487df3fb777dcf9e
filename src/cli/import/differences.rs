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
    // As in `track`: a reported expiry beats a given one, which after a renewal is of a term that is over.
    let has_renewed = given.generation.zip(subscription.generation).is_some_and(|(given, stored)| given < stored);
    let expiry = given.expires_at.filter(|_| !subscription.expiry_reported && !has_renewed);
    given.territory != subscription.territory
        || expiry.is_some_and(|at| Some(at) != subscription.expires_at)
        || given.metadata.as_ref().is_some_and(|metadata| *metadata != stored.metadata)
        || given.generation.is_some_and(|generation| Some(generation) != subscription.generation)
}
