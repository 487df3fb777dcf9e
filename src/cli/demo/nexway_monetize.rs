//! Nexway Monetize on the stage.

mod cast;

use std::collections::VecDeque;
use std::io;

use super::stage::{Act, Actor, Deed, PROVIDER, Paid, Stage, unplayable};
use crate::cli::Error;
use crate::clock::Timestamp;
use crate::sandbox::nexway_monetize::{self as fake, Account, Options, Product, Sandbox, Script, Sold, Switches};
use crate::store::NewSubscription;

#[derive(Debug)]
pub(super) struct NexwayMonetize {
    sandbox: Sandbox,
    account: Account,
}

impl NexwayMonetize {
    pub(super) fn start(start: Timestamp) -> io::Result<Self> {
        let switches = Switches { rate_limit: 0, ..Switches::default() };
        let account = Account { switches, ..Account::default() };
        let options = Options { speed: 0.0, start, account: account.clone(), ..Options::default() };
        Ok(Self { sandbox: Sandbox::start(options)?, account })
    }

    fn id_of(&self, number: &str) -> Result<String, Error> {
        let mut all = self.sandbox.subscriptions().into_iter();
        let found = all.find(|subscription| subscription.external_ref_id.as_deref() == Some(number));
        found.map(|subscription| subscription.subscription_id).ok_or_else(|| unplayable("nobody has this number"))
    }

    fn sold(&self) -> Vec<Sold> {
        let mut sold = self.sandbox.renewals();
        sold.extend(self.sandbox.upgrades());
        sold.sort_by_key(|sold| sold.sold_at);
        sold
    }
}

impl Stage for NexwayMonetize {
    fn settings(&self) -> String {
        let Account { realm, client_secret, .. } = &self.account;
        format!(
            r#"[providers.{PROVIDER}]
kind = "nexway-monetize"
api_url = "{api_url}"
iam_url = "{iam_url}"
realm = "{realm}"
client_secret = "{client_secret}"     # a real one belongs into a file: client_secret_file
requests_per_second = 0        # no limit, for the demo only
"#,
            api_url = self.sandbox.api_url(),
            iam_url = self.sandbox.iam_url(),
        )
    }

    fn api_url(&self) -> String {
        self.sandbox.api_url()
    }

    fn enter(&self) -> Result<(Vec<Actor>, Vec<NewSubscription>), Error> {
        cast::enter(&self.sandbox).map_err(unplayable)
    }

    fn acts(&self) -> VecDeque<(Timestamp, Act)> {
        cast::acts(self.now())
    }

    fn act(&self, number: &str, deed: Deed) -> Result<(), Error> {
        let id = self.id_of(number)?;
        let done: Result<(), fake::Error> = match deed {
            Deed::Cancel => self.sandbox.suspend(&id),
            Deed::Renew => self.sandbox.renew(&id),
            Deed::AcceptOffer => self.sandbox.accept_offer(&id, 0.25).map(drop),
            Deed::Upgrade => self.sandbox.upgrade(&id, Product::bigger(), Script::default()).map(drop),
            Deed::Extend => return Err(unplayable("there is no such thing")),
            Deed::RefusePayment(times) => self.sandbox.refuse_payment(&id, Some(times)),
        };
        done.map_err(unplayable)
    }

    fn now(&self) -> Timestamp {
        self.sandbox.now()
    }

    fn set_now(&self, now: Timestamp) {
        self.sandbox.set_now(now);
    }

    fn renews_at(&self) -> Vec<Timestamp> {
        self.sandbox.subscriptions().into_iter().filter_map(|subscription| subscription.renews_at).collect()
    }

    fn renewals(&self) -> Vec<Paid> {
        let paid = |sold: Sold| Paid {
            number: sold.external_ref_id.unwrap_or_default(),
            subscription_id: sold.subscription_id,
            generation: sold.generation,
            reference: sold.order_id,
            renewed_at: sold.sold_at,
        };
        self.sold().into_iter().map(paid).collect()
    }

    fn keys(&self, paid: &Paid) -> Vec<String> {
        self.sandbox.expected_keys(&paid.reference)
    }

    fn request_count(&self) -> u64 {
        self.sandbox.request_count()
    }
}
