//! The four kinds of provider as the fleet has them: who subscribes there, and how somebody renews.

use std::time::Duration;

use renewald::clock::Timestamp;
use renewald::provider::Kind;
use renewald::sandbox::nexway_connect::NewOrder;
use renewald::sandbox::{digital_river, nexway_connect, nexway_monetize, smartpay};

use crate::ground::Sandbox;
use crate::harness::DAY;

/// Bought so long ago that nothing of it is listed as new.
const BOUGHT: Duration = Duration::from_secs(100 * 86_400);
/// The term ends so far ahead that nothing is billed, and nobody is near the expiry.
const ENDS: Duration = Duration::from_secs(60 * 86_400);

pub trait Member: Sandbox {
    fn kind(&self) -> Kind;

    fn territory(&self) -> &'static str {
        "default"
    }

    /// What a subscription is tracked by besides its id.
    fn number_of(&self, id: &str) -> String {
        id.to_owned()
    }

    /// Makes so many, the first of which are to renew; their ids.
    fn sell(&self, count: usize, renewing: usize) -> Vec<String>;
    fn renew(&self, id: &str);
}

impl Member for nexway_connect::Sandbox {
    fn kind(&self) -> Kind {
        Kind::NexwayConnect
    }

    fn territory(&self) -> &'static str {
        "eu"
    }

    fn number_of(&self, id: &str) -> String {
        format!("FLEET-{id}")
    }

    /// It lists nothing: those that are to renew are near their expiry, so that they are asked before the others.
    fn sell(&self, count: usize, renewing: usize) -> Vec<String> {
        let sell = |n: usize| {
            let (id, ends) = (n as i64 + 1, if n < renewing { DAY } else { ENDS });
            self.create_order(NewOrder {
                subscription_ids: vec![id],
                expires_at: Some(self.now() + ends),
                ..NewOrder::new(self.number_of(&id.to_string()))
            })
            .expect("a new order");
            id.to_string()
        };
        (0..count).map(sell).collect()
    }

    fn renew(&self, id: &str) {
        self.renew_times(&self.number_of(id), None, 1).expect("an order");
    }
}

impl Member for nexway_monetize::Sandbox {
    fn kind(&self) -> Kind {
        Kind::NexwayMonetize
    }

    fn sell(&self, count: usize, _: usize) -> Vec<String> {
        let (created_at, expires_at) = term(self.now());
        let new =
            nexway_monetize::NewSubscriptions { created_at, expires_at, count: count as u32, ..Default::default() };
        self.create(new).expect("new subscriptions")
    }

    fn renew(&self, id: &str) {
        self.renew_times(id, 1).expect("it is running");
    }
}

impl Member for smartpay::Sandbox {
    fn kind(&self) -> Kind {
        Kind::Smartpay
    }

    /// They rest: before the day of the next charge only the list tells of one.
    fn sell(&self, count: usize, _: usize) -> Vec<String> {
        let (created_at, next_billing_at) = term(self.now());
        let new = smartpay::NewSubscriptions { created_at, next_billing_at, count: count as u32, ..Default::default() };
        let ids = self.create(new).expect("new subscriptions");
        ids.iter().map(|id| id.to_lowercase()).collect()
    }

    fn renew(&self, id: &str) {
        self.bill(id, 1).expect("it is running");
    }
}

impl Member for digital_river::Sandbox {
    fn kind(&self) -> Kind {
        Kind::DigitalRiver
    }

    /// They rest: before the day of the next invoice only an event tells of an order.
    fn sell(&self, count: usize, _: usize) -> Vec<String> {
        // As its ground in other trials.
        self.switch(|switches| (switches.order_terms, switches.keys) = (true, true));
        let (created_at, ends_at) = term(self.now());
        let new = digital_river::NewSubscriptions { created_at, ends_at, count: count as u32, ..Default::default() };
        self.create(new).expect("new subscriptions")
    }

    fn renew(&self, id: &str) {
        self.pay(id).expect("it is running");
    }
}

fn term(now: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
    (Some(now - BOUGHT), Some(now + ENDS))
}
