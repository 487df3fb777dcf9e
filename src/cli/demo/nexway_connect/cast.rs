//! Who plays: the subscriptions of the demo, each a case of its own, and what happens to them from outside.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::stage::{Act, Actor, Deed, Outcome, PROVIDER, at};
use crate::clock::Timestamp;
use crate::provider::nexway_connect::convention::CONVENTION;
use crate::sandbox::nexway_connect::{Error, NewOrder, Period, Sandbox, Step, Variant};
use crate::store::NewSubscription;

pub(super) const TERRITORY: &str = "eu";

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

struct Role {
    case: &'static str,
    outcome: Outcome,
    order: NewOrder,
}

fn roles(start: Timestamp) -> Vec<Role> {
    let role = |case, number: &str, expires: (u32, u32, u32)| {
        let (day, hour, minute) = expires;
        let order = NewOrder {
            territory: TERRITORY.into(),
            expires_at: Some(at(start, day, hour, minute)),
            ..NewOrder::new(number)
        };
        Role { case, outcome: Outcome::Keys, order }
    };
    let with = |role: Role, change: fn(&mut NewOrder)| {
        let mut role = role;
        change(&mut role.order);
        role
    };
    let refused = with(role("fraud: refused for ever", "SHOP-3008", (31, 12, 15)), |order| {
        order.renewal_script = vec![Step::order(1062).forever()];
    });
    let locker =
        with(role("digital locker, no key", "SHOP-3003", (11, 16, 5)), |order| order.variant = Variant::Locker);
    vec![
        with(role("one key, renewed twice", "PARTNER689", (5, 9, 50)), |order| order.period = Period::days(20)),
        with(role("three serials", "SHOP-3001", (7, 14, 25)), |order| order.variant = Variant::SeveralSerials),
        with(role("licence file", "SHOP-3002", (9, 3, 40)), |order| order.variant = Variant::KeyFile),
        Role { outcome: Outcome::Locker, ..locker },
        with(role("keys out of stock for 2 days", "SHOP-3004", (13, 11, 30)), |order| {
            order.renewal_script = vec![Step::item(1051).lasting(2 * DAY)];
        }),
        with(role("payment checked for 9 hours", "SHOP-3005", (15, 20, 10)), |order| {
            order.renewal_script = vec![Step::order(1060).lasting(9 * HOUR)];
        }),
        role("dashes in the number", "ACME-2024-001", (17, 6, 55)),
        with(role("two subscriptions, one order", "FAMILY-42", (18, 13, 20)), |order| order.subscriptions = 2),
        with(role("twice, while renewald is down", "SHOP-3006", (60, 0, 0)), |order| order.auto_renew = false),
        role("beside an original NEXWAY-1", "NEXWAY", (27, 8, 45)),
        role("an original, not a renewal", "NEXWAY-1", (29, 17, 30)),
        role("cancelled by the customer", "SHOP-3007", (6, 10, 0)),
        Role { outcome: Outcome::Refused, ..refused },
        with(role("never renewed", "SHOP-3009", (4, 15, 0)), |order| order.auto_renew = false),
    ]
}

/// What happens from outside, in order of time. SHOP-3006 renews while nobody looks.
pub(super) fn acts(start: Timestamp) -> VecDeque<(Timestamp, Act)> {
    VecDeque::from([
        (at(start, 2, 10, 30), Act::AtProvider("SHOP-3007", Deed::Cancel)),
        (at(start, 20, 18, 0), Act::StopDaemon),
        (at(start, 21, 10, 0), Act::AtProvider("SHOP-3006", Deed::Renew)),
        (at(start, 22, 10, 0), Act::AtProvider("SHOP-3006", Deed::Renew)),
        (at(start, 23, 9, 15), Act::StartDaemon),
    ])
}

/// Buys every order at the provider; returns who is to be watched, and what `track` is told of them.
pub(super) fn enter(sandbox: &Sandbox) -> Result<(Vec<Actor>, Vec<NewSubscription>), Error> {
    let mut actors = Vec::new();
    let mut tracked = Vec::new();
    for Role { case, outcome, order } in roles(sandbox.now()) {
        let (number, expires_at) = (order.partner_order_number.clone(), order.expires_at);
        let ids = sandbox.create_order(order)?.subscription_ids();
        for (nth, &subscription_id) in ids.iter().enumerate() {
            let label = if ids.len() > 1 { format!("{number} #{}", nth + 1) } else { number.clone() };
            tracked.push(NewSubscription {
                provider: PROVIDER.into(),
                convention: &CONVENTION,
                territory: TERRITORY.into(),
                partner_order_number: number.clone(),
                subscription_id: subscription_id.to_string(),
                generation: Some(0),
                known: Vec::new(),
                known_before: None,
                expires_at,
                metadata: None,
                tracked_by: "order",
            });
            let (number, subscription_id) = (number.clone(), subscription_id.to_string());
            actors.push(Actor { number, subscription_id, label, case, outcome });
        }
    }
    Ok((actors, tracked))
}
