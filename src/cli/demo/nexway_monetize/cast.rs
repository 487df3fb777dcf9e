//! Who plays: the subscriptions of the demo, each a case of its own, and what happens to them from outside.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::stage::{Act, Actor, Deed, Outcome, PROVIDER, at};
use crate::clock::Timestamp;
use crate::provider::kinds::IMPLIED_TERRITORY;
use crate::provider::nexway_monetize::convention::CONVENTION;
use crate::sandbox::nexway_monetize::{
    DataStep, Error, Licence, NewSubscriptions, Period, Product, Sandbox, Script, Step,
};
use crate::store::NewSubscription;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

struct Role {
    case: &'static str,
    outcome: Outcome,
    subscription: NewSubscriptions,
}

fn roles(start: Timestamp) -> Vec<Role> {
    let role = |case, number: &str, expires: (u32, u32, u32), change: fn(&mut NewSubscriptions)| {
        let (day, hour, minute) = expires;
        let mut subscription = NewSubscriptions {
            external_ref_id: Some(number.to_owned()),
            expires_at: Some(at(start, day, hour, minute)),
            ..NewSubscriptions::default()
        };
        change(&mut subscription);
        Role { case, outcome: Outcome::Keys, subscription }
    };
    let plain = |_: &mut NewSubscriptions| {};
    let refused = role("fraud: cancelled for ever", "SHOP-5012", (31, 12, 15), |new| {
        new.renewal_script = Script::steps([Step::status("CANCELED").forever()]);
    });
    vec![
        role("one key, renewed twice", "SHOP-5001", (5, 9, 50), |new| new.period = Period::days(20)),
        role("offer, used at the renewal", "SHOP-5002", (12, 14, 25), plain),
        role("offer, then cancelled", "SHOP-5003", (20, 3, 40), plain),
        role("upgraded in mid-term", "SHOP-5004", (35, 16, 5), plain),
        role("cancelled, upgraded, renewed", "SHOP-5005", (36, 7, 0), plain),
        role("bought in retail, renewed", "RETAIL-881", (9, 11, 30), |new| new.imported = true),
        role("a trial that is converted", "SHOP-5006", (8, 20, 10), |new| new.generation = -1),
        role("payment refused three times", "SHOP-5007", (15, 6, 55), plain),
        role("payment checked for 9 hours", "SHOP-5008", (17, 13, 20), |new| {
            new.renewal_script = Script::steps([Step::status("FRAUD_PENDING").lasting(9 * HOUR)]);
        }),
        role("two units, one a day late", "SHOP-5009", (19, 8, 45), |new| {
            new.product = Product { units: 2, ..Product::default() };
            let late = DataStep { ready: 1, ..DataStep::status("PENDING") };
            new.renewal_script = Script::data([late.lasting(DAY)]);
        }),
        role("the same key, extended", "SHOP-5010", (28, 17, 30), |new| {
            new.product = Product { licence: Licence::SameKey, ..Product::default() };
        }),
        role("twice, while renewald is down", "SHOP-5011", (60, 0, 0), |new| new.auto_renew = false),
        Role { outcome: Outcome::Refused, ..refused },
    ]
}

/// What happens from outside, in order of time. SHOP-5011 renews while nobody looks.
pub(super) fn acts(start: Timestamp) -> VecDeque<(Timestamp, Act)> {
    let act = |day, hour, number, deed| (at(start, day, hour, 0), Act::AtProvider(number, deed));
    VecDeque::from([
        act(2, 10, "SHOP-5003", Deed::AcceptOffer),
        act(3, 9, "SHOP-5002", Deed::AcceptOffer),
        act(4, 18, "SHOP-5003", Deed::Cancel),
        act(6, 12, "SHOP-5005", Deed::Cancel),
        act(14, 6, "SHOP-5007", Deed::RefusePayment(3)),
        act(16, 15, "SHOP-5004", Deed::Upgrade),
        act(18, 15, "SHOP-5005", Deed::Upgrade),
        (at(start, 20, 18, 0), Act::StopDaemon),
        act(21, 10, "SHOP-5011", Deed::Renew),
        act(22, 10, "SHOP-5011", Deed::Renew),
        (at(start, 23, 9, 15), Act::StartDaemon),
    ])
}

/// Makes every subscription at the provider; returns who is to be watched, and what `track` is told of them.
pub(super) fn enter(sandbox: &Sandbox) -> Result<(Vec<Actor>, Vec<NewSubscription>), Error> {
    let mut actors = Vec::new();
    let mut tracked = Vec::new();
    for Role { case, outcome, subscription } in roles(sandbox.now()) {
        let number = subscription.external_ref_id.clone().unwrap_or_default();
        let (expires_at, generation) = (subscription.expires_at, subscription.generation);
        for subscription_id in sandbox.create(subscription)? {
            tracked.push(NewSubscription {
                provider: PROVIDER.into(),
                convention: &CONVENTION,
                territory: IMPLIED_TERRITORY.into(),
                partner_order_number: number.clone(),
                subscription_id: subscription_id.clone(),
                generation: Some(generation),
                known: Vec::new(),
                known_before: None,
                expires_at,
                metadata: None,
                tracked_by: "order",
            });
            let (number, label) = (number.clone(), number.clone());
            actors.push(Actor { number, subscription_id, label, case, outcome });
        }
    }
    Ok((actors, tracked))
}
