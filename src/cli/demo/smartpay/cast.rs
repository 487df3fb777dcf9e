//! Who plays: the subscriptions of the demo, each a case of its own, and what happens to them from outside.

use std::collections::VecDeque;

use super::super::stage::{Act, Actor, Deed, Outcome, PROVIDER, at};
use crate::clock::Timestamp;
use crate::provider::kinds::IMPLIED_TERRITORY;
use crate::provider::smartpay::convention::CONVENTION;
use crate::sandbox::smartpay::{Error, NewSubscriptions, Period, Sandbox};
use crate::store::NewSubscription;

struct Role {
    case: &'static str,
    subscription: NewSubscriptions,
}

fn roles(start: Timestamp) -> Vec<Role> {
    let role = |case, number: &str, (day, hour, minute), change: fn(&mut NewSubscriptions)| {
        let mut subscription = NewSubscriptions {
            external_merchant_id: Some(number.to_owned()),
            next_billing_at: Some(at(start, day, hour, minute)),
            period: Period::days(30),
            ..NewSubscriptions::default()
        };
        change(&mut subscription);
        Role { case, subscription }
    };
    let plain = |_: &mut NewSubscriptions| {};
    vec![
        role("charged every ten days", "SHOP-7001", (5, 9, 50), |new| new.period = Period::days(10)),
        role("charged once", "SHOP-7002", (12, 14, 25), plain),
        role("payment refused, then a retry", "SHOP-7003", (8, 6, 55), plain),
        role("refused, then carried over", "SHOP-7004", (6, 20, 10), |new| new.period = Period::days(20)),
        role("a trial that is converted", "SHOP-7005", (9, 11, 30), |new| new.trial = true),
        role("cancelled", "SHOP-7006", (30, 3, 40), plain),
        role("the last billing cycle", "SHOP-7007", (15, 16, 5), |new| new.billing_cycles = 2),
        role("twice, while renewald is down", "SHOP-7008", (60, 0, 0), plain),
    ]
}

/// So many billing cycles are paid for when they are made.
pub(super) fn bought(start: Timestamp) -> usize {
    roles(start).iter().map(|role| if role.subscription.trial { 0 } else { role.subscription.paid as usize }).sum()
}

/// What happens from outside, in order of time. SHOP-7008 is charged while nobody looks.
pub(super) fn acts(start: Timestamp) -> VecDeque<(Timestamp, Act)> {
    let act = |day, hour, number, deed| (at(start, day, hour, 0), Act::AtProvider(number, deed));
    VecDeque::from([
        act(5, 6, "SHOP-7004", Deed::RefusePayment(4)),
        act(7, 6, "SHOP-7003", Deed::RefusePayment(2)),
        act(18, 15, "SHOP-7006", Deed::Cancel),
        (at(start, 20, 18, 0), Act::StopDaemon),
        act(21, 10, "SHOP-7008", Deed::Renew),
        act(22, 10, "SHOP-7008", Deed::Renew),
        (at(start, 23, 9, 15), Act::StartDaemon),
    ])
}

/// Makes every subscription at the provider; returns who is to be watched, and what `track` is told of them.
pub(super) fn enter(sandbox: &Sandbox) -> Result<(Vec<Actor>, Vec<NewSubscription>), Error> {
    let mut actors = Vec::new();
    let mut tracked = Vec::new();
    for Role { case, subscription } in roles(sandbox.now()) {
        let number = subscription.external_merchant_id.clone().unwrap_or_default();
        let generation = if subscription.trial { -1 } else { 0 };
        for id in sandbox.create(subscription)? {
            let subscription_id = id.to_lowercase();
            tracked.push(NewSubscription {
                provider: PROVIDER.into(),
                convention: &CONVENTION,
                territory: IMPLIED_TERRITORY.into(),
                partner_order_number: number.clone(),
                subscription_id: subscription_id.clone(),
                generation: Some(generation),
                known: Vec::new(),
                known_before: None,
                expires_at: None,
                metadata: None,
                tracked_by: "track",
            });
            let (number, label) = (number.clone(), number.clone());
            actors.push(Actor { number, subscription_id, label, case, outcome: Outcome::Charge });
        }
    }
    Ok((actors, tracked))
}
