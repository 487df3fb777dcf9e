//! The providers whose lists are measured, each as its sandbox.

use std::time::Duration;

use renewald::clock::Timestamp;
use renewald::provider::Kind;
use renewald::sandbox::{digital_river, nexway_monetize, smartpay};

/// Nothing happens to a subscription by itself for so long.
const TERM: Duration = Duration::from_secs(60 * 86_400);
/// One was made so long after the other, the last of them just now.
const APART: Duration = Duration::from_secs(3600);
/// Or all of them, where they cannot be made one after the other.
const LONG_AGO: Duration = Duration::from_secs(40 * 86_400);

pub trait Lister: Send + Sync + Sized {
    const KIND: Kind;

    /// Without a limit.
    fn start() -> Self;
    /// The account there, for a settings file.
    fn account(&self) -> String;
    fn subscribe(&self, count: u32) -> Vec<String>;
    fn renews(&self, id: &str);
    /// From now on at most so many requests a second, as this kind of provider has it; forgets those before.
    fn limit(&self);
    /// Requests since then, and how many of them were for a page of the list.
    fn asked(&self) -> [usize; 2];
    fn wait_until_listed(&self, patience: Duration);
    /// The most requests in a second.
    fn busiest(&self) -> usize;
}

/// What every sandbox can do, whose types are each kind's own. `$list` is what its list is called there.
macro_rules! by_itself {
    ($kind:ident, $list:ident) => {
        fn start() -> Self {
            let switches = $kind::Switches { rate_limit: 0, ..$kind::Switches::default() };
            let account = $kind::Account { switches, ..$kind::Account::default() };
            Self::start($kind::Options { account, ..$kind::Options::default() }).expect("free ports")
        }

        fn limit(&self) {
            self.switch(|switches| switches.rate_limit = $kind::Switches::default().rate_limit);
            self.clear_requests();
        }

        fn asked(&self) -> [usize; 2] {
            let requests = self.requests();
            let pages = requests.iter().filter(|request| request.endpoint == $kind::Endpoint::$list).count();
            [requests.len(), pages]
        }

        fn wait_until_listed(&self, patience: Duration) {
            let is_page = |request: &$kind::Request| request.endpoint == $kind::Endpoint::$list;
            self.wait_for(is_page, patience).expect("the list is read");
        }

        fn busiest(&self) -> usize {
            self.busiest_second()
        }
    };
}

impl Lister for nexway_monetize::Sandbox {
    by_itself!(nexway_monetize, Subscriptions);

    const KIND: Kind = Kind::NexwayMonetize;

    fn account(&self) -> String {
        let nexway_monetize::Account { realm, client_secret, .. } = nexway_monetize::Account::default();
        let (api, iam) = (self.api_url(), self.iam_url());
        format!(
            "kind = \"nexway-monetize\"\napi_url = \"{api}\"\niam_url = \"{iam}\"\nrealm = \"{realm}\"\n\
             client_secret = \"{client_secret}\"\n"
        )
    }

    fn subscribe(&self, count: u32) -> Vec<String> {
        let new = nexway_monetize::NewSubscriptions { count, apart: APART, ..Default::default() };
        self.create(new).expect("subscriptions")
    }

    fn renews(&self, id: &str) {
        self.renew(id).expect("it runs");
    }
}

impl Lister for smartpay::Sandbox {
    by_itself!(smartpay, Subscriptions);

    const KIND: Kind = Kind::Smartpay;

    fn account(&self) -> String {
        let (api, key) = (self.api_url(), smartpay::Account::default().merchant_key);
        format!("kind = \"smartpay\"\napi_url = \"{api}\"\nmerchant_key = \"{key}\"\n")
    }

    fn subscribe(&self, count: u32) -> Vec<String> {
        let next_billing_at = Some(Timestamp::now() + TERM);
        let new = smartpay::NewSubscriptions { count, apart: APART, next_billing_at, ..Default::default() };
        let ids = self.create(new).expect("subscriptions");
        ids.iter().map(|id| id.to_lowercase()).collect()
    }

    fn renews(&self, id: &str) {
        self.bill(id, 1).expect("it runs");
    }
}

impl Lister for digital_river::Sandbox {
    by_itself!(digital_river, Events);

    const KIND: Kind = Kind::DigitalRiver;

    fn account(&self) -> String {
        let (api, key) = (self.api_url(), digital_river::Account::default().api_key);
        format!("kind = \"digital-river\"\napi_url = \"{api}\"\napi_key = \"{key}\"\n")
    }

    fn subscribe(&self, count: u32) -> Vec<String> {
        let (created_at, ends_at) = (Some(Timestamp::now() - LONG_AGO), Some(Timestamp::now() + TERM));
        let new = digital_river::NewSubscriptions { count, created_at, ends_at, ..Default::default() };
        self.create(new).expect("subscriptions")
    }

    fn renews(&self, id: &str) {
        self.pay(id).expect("it runs");
    }
}
