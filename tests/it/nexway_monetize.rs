//! A fake Nexway Monetize as a test has it: subscriptions, what is sold, and the account at it.

use std::sync::Arc;

use renewald::clock::Timestamp;
use renewald::provider::Kind;
use renewald::sandbox::nexway_monetize::{self as fake, NewSubscriptions, Options, Sandbox, Switches};
use serde_json::Value;

use crate::harness::{Account, Provider, Setup, Site, Track};

/// A provider without rate limit whose clock stands still at the present.
pub fn sandbox() -> Sandbox {
    let switches = Switches { rate_limit: 0, ..Switches::default() };
    let account = fake::Account { switches, ..fake::Account::default() };
    Sandbox::start(Options { speed: 0.0, account, ..Options::default() }).expect("free ports")
}

/// An account where the API and the token service are at these addresses.
pub fn account(name: &str, api_url: &str, iam_url: &str) -> Account {
    let fake::Account { realm, client_secret, .. } = fake::Account::default();
    Account {
        name: name.to_owned(),
        kind: "nexway-monetize",
        keys: format!(
            "api_url = \"{api_url}\"\niam_url = \"{iam_url}\"\nrealm = \"{realm}\"\nclient_secret_file = \"{name}\"\n"
        ),
        territories: Vec::new(),
        secrets: [(name.to_owned(), client_secret)].into(),
    }
}

impl Provider for Sandbox {
    fn account(&self, name: &str) -> Account {
        account(name, &self.api_url(), &self.iam_url())
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

/// The sink `shop` gets all messages of every type.
pub fn site_of_all_types() -> Site<Sandbox> {
    Site::at(Arc::new(sandbox()), |setup, shop| setup.with(|setup| setup.set_webhook("shop", shop, "events = [\"*\"]")))
}

/// In the only territory, its first purchase delivered.
pub fn track(id: &str) -> Track<'_> {
    Track { kind: Kind::NexwayMonetize, territory: "default", ..Track::new(id, id) }
}

impl Site<Sandbox> {
    /// What it is for the provider.
    pub fn now(&self) -> Timestamp {
        self.sandbox.now()
    }

    /// A subscription that is tracked; its id.
    pub fn subscribe(&self) -> String {
        self.subscribe_as(NewSubscriptions::default()).remove(0)
    }

    /// The same for such ones, tracked with the generation that they begin with.
    pub fn subscribe_as(&self, new: NewSubscriptions) -> Vec<String> {
        let generation = Some(new.generation);
        let ids = self.sandbox.create(new).expect("new subscriptions");
        self.track_all(ids.iter().map(|id| Track { generation, ..track(id) }));
        ids
    }

    /// The provider renews it.
    pub fn renew(&self, id: &str) {
        self.sandbox.renew(id).expect("a subscription");
    }

    /// The id of the order that renewed it last.
    pub fn renewed_by(&self, id: &str) -> String {
        let renewals = self.sandbox.renewals();
        renewals.into_iter().rfind(|sold| sold.subscription_id == id).expect("a renewal").order_id
    }

    /// The keys that the provider gave for what this message is about.
    pub fn expected_keys(&self, event: &Value) -> Vec<String> {
        self.sandbox.expected_keys(event["data"]["order_number"].as_str().expect("an order"))
    }
}
