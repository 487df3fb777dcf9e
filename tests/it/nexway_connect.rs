//! A fake Nexway Connect as a test has it: orders, renewals, and the account at it.

use std::sync::Arc;

use renewald::clock::Timestamp;
use renewald::sandbox::nexway_connect::{self as fake, NewOrder, Options, Sandbox, Switches};
use serde_json::Value;

use crate::harness::{Account, Provider, Setup, Site, Track, id_of};

/// A provider without rate limit whose clock stands still at the present.
pub fn sandbox() -> Sandbox {
    let switches = Switches { rate_limit: 0, ..Switches::default() };
    let account = fake::Account { switches, ..fake::Account::default() };
    Sandbox::start(Options { speed: 0.0, account, ..Options::default() }).expect("free ports")
}

/// An account where the API and the token service are at these addresses.
pub fn account(name: &str, api_url: &str, iam_url: &str) -> Account {
    let fake::Account { client_secret, territories, .. } = fake::Account::default();
    let names = territories.keys().cloned().collect();
    let client = ("client".to_owned(), client_secret);
    Account {
        name: name.to_owned(),
        kind: "nexway-connect",
        keys: format!(
            "api_url = \"{api_url}\"\niam_url = \"{iam_url}\"\nrealm = \"sandbox\"\nclient_secret_file = \"client\"\n"
        ),
        territories: names,
        secrets: territories.into_iter().chain([client]).collect(),
    }
}

impl Provider for Sandbox {
    fn account(&self, name: &str) -> Account {
        account(name, &self.api_url(), &self.iam_url())
    }
}

/// An order with one subscription; its id, whatever the order's variant shows of it.
pub fn order(sandbox: &Sandbox, number: &str) -> i64 {
    new_order(sandbox, NewOrder::new(number))[0]
}

pub fn new_order(sandbox: &Sandbox, order: NewOrder) -> Vec<i64> {
    let number = order.partner_order_number.clone();
    sandbox.create_order(order).expect("a new order");
    let states = sandbox.subscriptions().into_iter().filter(|state| state.partner_order_number == number);
    states.map(|state| state.subscription_id).collect()
}

impl Site {
    /// The sink `shop` gets all messages.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// The same with other settings besides.
    pub fn with(change: impl FnOnce(&mut Setup)) -> Self {
        Self::at(Arc::new(sandbox()), |setup, shop| setup.webhook(shop).with(change))
    }

    /// The built-in queue takes the messages.
    pub fn without_sink() -> Self {
        Self::without_sink_and(|_| {})
    }

    /// The same with other settings besides.
    pub fn without_sink_and(change: impl FnOnce(&mut Setup)) -> Self {
        Self::at(Arc::new(sandbox()), |setup, _| setup.with(change))
    }

    /// This sink gets all messages.
    pub fn with_sink(name: &str, table: &str) -> Self {
        Self::without_sink_and(|setup| setup.set_sink(name, table))
    }

    /// What it is for the provider.
    pub fn now(&self) -> Timestamp {
        self.sandbox.now()
    }

    /// An order with one subscription, which is tracked; its id.
    pub fn order(&self, number: &str) -> i64 {
        self.place(NewOrder::new(number))[0]
    }

    /// The same, tracked otherwise than [`Track::new`] has it.
    pub fn order_as<'a>(&self, number: &'a str, change: impl FnOnce(Track<'a>) -> Track<'a>) -> i64 {
        let id = order(&self.sandbox, number);
        self.track_all([change(Track::new(number, id))]);
        id
    }

    /// As [`Self::order`] for each of these, tracked in this order by one command.
    pub fn order_all(&self, numbers: &[impl AsRef<str>]) -> Vec<i64> {
        let numbers: Vec<_> = numbers.iter().map(AsRef::as_ref).collect();
        let ids: Vec<_> = numbers.iter().map(|number| order(&self.sandbox, number)).collect();
        self.track_all(numbers.iter().zip(&ids).map(|(number, id)| Track::new(number, id)));
        ids
    }

    /// An order like this, with all its subscriptions tracked; their ids.
    pub fn place(&self, order: NewOrder) -> Vec<i64> {
        let (number, territory) = (order.partner_order_number.to_string(), order.territory.clone());
        let ids = new_order(&self.sandbox, order);
        self.track_all(ids.iter().map(|id| Track { territory: &territory, ..Track::new(&number, id) }));
        ids
    }

    /// The provider renews it.
    pub fn renew(&self, number: &str) {
        self.renew_times(number, 1);
    }

    pub fn renew_times(&self, number: &str, times: u32) {
        self.sandbox.renew_times(number, None, times).expect("an order");
    }

    /// An order that is renewed and tracked, in this order: a daemon that runs meanwhile could ask between the two, and not again for
    /// hours. The id of its subscription.
    pub fn renewed(&self, number: &str) -> i64 {
        self.renewed_all(&[number])[0]
    }

    /// The same for each of these.
    pub fn renewed_all(&self, numbers: &[impl AsRef<str>]) -> Vec<i64> {
        let ids: Vec<_> = numbers.iter().map(|number| order(&self.sandbox, number.as_ref())).collect();
        numbers.iter().for_each(|number| self.renew(number.as_ref()));
        self.track_all(numbers.iter().zip(&ids).map(|(number, id)| Track::new(number.as_ref(), *id)));
        ids
    }

    /// The id of the first subscription of an order, tracked or not.
    pub fn id_of(&self, number: &str) -> i64 {
        let states = self.sandbox.subscriptions();
        states.iter().find(|state| state.partner_order_number == number).expect("an order").subscription_id
    }

    /// The keys that the provider gave for what this message is about.
    pub fn expected_keys(&self, event: &Value) -> Vec<String> {
        let number = event["data"]["partner_order_number"].as_str().expect("a number");
        self.sandbox.expected_keys(number, id_of(event).parse().expect("digits"))
    }
}
