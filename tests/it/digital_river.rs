//! A fake Digital River as a test has it: subscriptions, and the account at it.

use std::sync::Arc;

use renewald::provider::Kind;
use renewald::sandbox::digital_river::{self as fake, NewSubscriptions, Options, Sandbox, Switches};

use crate::harness::{Account, Provider, Setup, Site, Track};

/// A provider without rate limit whose clock stands still at the present.
pub fn sandbox() -> Sandbox {
    let switches = Switches { rate_limit: 0, ..Switches::default() };
    let account = fake::Account { switches, ..fake::Account::default() };
    Sandbox::start(Options { speed: 0.0, account, ..Options::default() }).expect("free ports")
}

impl Provider for Sandbox {
    fn account(&self, name: &str) -> Account {
        Account {
            name: name.to_owned(),
            kind: "digital-river",
            keys: format!("api_url = \"{}\"\napi_key_file = \"{name}\"\n", self.api_url()),
            territories: Vec::new(),
            secrets: [(name.to_owned(), fake::Account::default().api_key)].into(),
        }
    }
}

/// The sink `shop` gets all messages of every type; with other settings besides.
pub fn site_with(change: impl FnOnce(&mut Setup)) -> Site<Sandbox> {
    Site::at(Arc::new(sandbox()), |setup, shop| {
        setup.with(|setup| setup.set_webhook("shop", shop, "events = [\"*\"]")).with(change)
    })
}

pub fn site() -> Site<Sandbox> {
    site_with(|_| {})
}

impl Site<Sandbox> {
    /// Tracked, each with its first purchase delivered; their ids.
    pub fn subscribe(&self, new: NewSubscriptions) -> Vec<String> {
        let ids = self.sandbox.create(new).expect("new subscriptions");
        let track = |id| Track { kind: Kind::DigitalRiver, territory: "default", ..Track::new(id, id) };
        self.track_all(ids.iter().map(|id| track(id)));
        ids
    }

    pub fn subscribe_one(&self) -> String {
        self.subscribe(NewSubscriptions::default()).remove(0)
    }
}
