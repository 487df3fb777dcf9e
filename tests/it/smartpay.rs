//! A fake SmartPay as a test has it: subscriptions, what was charged, and the account at it.

use std::sync::Arc;

use renewald::clock::Timestamp;
use renewald::provider::Kind;
use renewald::sandbox::smartpay::{self as fake, Charged, NewSubscriptions, Options, Sandbox, Switches};

use crate::harness::{Account, Provider, Setup, Site, Track};

/// A provider without rate limit whose clock stands still at the present.
pub fn sandbox() -> Sandbox {
    let switches = Switches { rate_limit: 0, ..Switches::default() };
    let account = fake::Account { switches, ..fake::Account::default() };
    Sandbox::start(Options { speed: 0.0, account, ..Options::default() }).expect("free ports")
}

impl Provider for Sandbox {
    fn account(&self, name: &str) -> Account {
        let fake::Account { merchant_key, .. } = fake::Account::default();
        Account {
            name: name.to_owned(),
            kind: "smartpay",
            keys: format!("api_url = \"{}\"\nmerchant_key_file = \"{name}\"\n", self.api_url()),
            territories: Vec::new(),
            secrets: [(name.to_owned(), merchant_key)].into(),
        }
    }
}

/// The sink `shop` gets all messages of the default types.
pub fn site() -> Site<Sandbox> {
    site_with(|_| {})
}

/// The same with other settings besides.
pub fn site_with(change: impl FnOnce(&mut Setup)) -> Site<Sandbox> {
    Site::at(Arc::new(sandbox()), |setup, shop| setup.webhook(shop).with(change))
}

impl Site<Sandbox> {
    /// What it is for the provider.
    pub fn now(&self) -> Timestamp {
        self.sandbox.now()
    }

    /// A subscription whose first billing cycle is paid for and known; its id as it is stored.
    pub fn subscribe(&self) -> String {
        self.subscribe_as(NewSubscriptions::default()).remove(0)
    }

    /// The same for such ones: what is paid for is known.
    pub fn subscribe_as(&self, new: NewSubscriptions) -> Vec<String> {
        let generation = Some(if new.trial { -1 } else { i64::from(new.paid) - 1 });
        let ids = self.sandbox.create(new).expect("new subscriptions");
        let ids: Vec<_> = ids.iter().map(|id| id.to_lowercase()).collect();
        let track = |id| Track { kind: Kind::Smartpay, territory: "default", generation, ..Track::new(id, id) };
        self.track_all(ids.iter().map(|id| track(id)));
        ids
    }

    /// What was captured for it, oldest first.
    pub fn charges(&self, id: &str) -> Vec<Charged> {
        let all = self.sandbox.charges().into_iter();
        all.filter(|charged| charged.subscription_id.eq_ignore_ascii_case(id)).collect()
    }
}
