//! A subscription by its identity, for programs; people's names for one are looked up by [`Store::find`]. And when two
//! identities are one subscription.

use std::fmt;

use rusqlite::{Connection, named_params};

use super::find::SubscriptionRow;
use super::track::NewSubscription;
use crate::convention::Convention;
use crate::renewal::State;
use crate::store::rows::{self, rows};
use crate::store::{Result, Store};
use crate::text::visible;

/// What makes a subscription this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub provider: String,
    /// The original number; where the provider's kind has none that matters, anything.
    pub partner_order_number: String,
    pub subscription_id: String,
}

impl Identity {
    pub fn of(new: &NewSubscription) -> Self {
        Self {
            provider: new.provider.clone(),
            partner_order_number: new.partner_order_number.clone(),
            subscription_id: new.subscription_id.clone(),
        }
    }
}

/// The row of an identity.
pub(super) const IS_IT: &str = "subscription_id = :subscription_id AND provider = :provider
     AND (partner_order_number = :number OR is_numbered = 0)";

/// Why a number is not tracked: with the same subscription id at the same provider there is another, and one of the two is the
/// original, the other a renewal's. Both would hand over the same keys, and an answer about the renewal that names no subscription
/// would count as the other's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    given: Identity,
    /// The number of the one that is, or was, tracked.
    tracked: String,
    territory: String,
    state: State,
    /// That one is the original.
    is_renewal: bool,
    /// Of the renewal.
    generation: i64,
}

/// One that is, or was, tracked with the same subscription id.
struct Namesake {
    number: String,
    territory: String,
    state: State,
}

rows! {
    Namesake { number = "partner_order_number", territory = "territory", state = "state" }
}

impl Clash {
    /// Looks among all that are, or were, tracked.
    pub(super) fn find(db: &Connection, given: &Identity, convention: &Convention) -> Result<Option<Self>> {
        if !convention.is_numbered() {
            return Ok(None);
        }
        let namesakes: Vec<Namesake> = rows::all(
            db,
            "FROM subscriptions
             WHERE subscription_id = :subscription_id AND provider = :provider AND partner_order_number <> :number",
            named_params! {
                ":subscription_id": given.subscription_id, ":provider": given.provider,
                ":number": given.partner_order_number,
            },
        )?;
        Ok(namesakes.into_iter().find_map(|Namesake { number: tracked, territory, state }| {
            let renewed = convention.generation_in(&tracked, &given.partner_order_number);
            let generation = renewed.or_else(|| convention.generation_in(&given.partner_order_number, &tracked))?;
            let (given, is_renewal) = (given.clone(), renewed.is_some());
            Some(Self { given, tracked, territory, state, is_renewal, generation })
        }))
    }
}

/// Which one is tracked and what to do, safe to show.
impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { given, tracked, territory, state, is_renewal, generation } = self;
        let Identity { provider, partner_order_number: given, subscription_id } = given;
        let label = format!("{tracked}, subscription {subscription_id} ({provider}/{territory})");
        f.write_str(&visible(&match (is_renewal, state) {
            (true, State::Untracked) => {
                format!("{given} is generation {generation} of {label}, which was untracked: track that one again")
            }
            (true, _) => {
                format!("{given} is generation {generation} of {label}, which is tracked already: nothing to do")
            }
            (false, _) => format!(
                "{label}, is, or was, tracked and is generation {generation} of {given}: `renewald untrack {tracked} \
                 --subscription-id {subscription_id} --forget`, then track {given} with the last generation the customer has"
            ),
        }))
    }
}

impl Store {
    /// The subscription itself; `None` when it was never tracked, or forgotten.
    pub async fn subscription(&self, identity: &Identity) -> Result<Option<SubscriptionRow>> {
        Ok(self.subscriptions(vec![identity.clone()]).await?.pop().flatten())
    }

    /// For each whether [`Store::track`] would leave it out, by what is tracked now.
    pub async fn clashes(&self, new: Vec<(Identity, &'static Convention)>) -> Result<Vec<Option<Clash>>> {
        self.read(move |db| new.iter().map(|(identity, convention)| Clash::find(db, identity, convention)).collect())
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::store::{Tracked, fixtures};

    #[tokio::test]
    async fn of_an_original_and_its_renewal_the_second_is_left_out() {
        let (store, _dir) = fixtures::opened();
        let given = [
            ("nexway", "A", 1),
            ("nexway", "A-1", 1),
            ("nexway", "A-1", 2),
            ("other", "A-1", 1),
            ("nexway", "A-1-1", 1),
            ("nexway", "B-7", 3),
            ("nexway", "B", 3),
            ("nexway", "A", 1),
        ];
        let new = |(provider, number, subscription_id): (&str, &str, i64)| NewSubscription {
            provider: provider.to_owned(),
            ..fixtures::subscription(number, subscription_id)
        };
        let outcomes = store.track(given.map(new).to_vec(), false, Timestamp::now()).await.unwrap();
        let left_out: Vec<_> =
            (0..given.len()).filter(|at| matches!(outcomes[*at], Tracked::Clashes(_))).map(|at| given[at]).collect();
        assert_eq!(left_out, [("nexway", "A-1", 1), ("nexway", "B", 3)]);
        assert_eq!(outcomes.last(), Some(&Tracked::Already));
    }
}
