//! Nexway Connect on the stage.

mod cast;

use std::collections::VecDeque;
use std::io;

use super::stage::{Act, Actor, Deed, PROVIDER, Paid, Stage, unplayable};
use crate::cli::Error;
use crate::clock::Timestamp;
use crate::sandbox::nexway_connect::{Account, ClashingNumber, Options, Sandbox, Switches};
use crate::store::NewSubscription;
use cast::TERRITORY;

#[derive(Debug)]
pub(super) struct NexwayConnect {
    sandbox: Sandbox,
    account: Account,
}

impl NexwayConnect {
    pub(super) fn start(start: Timestamp) -> io::Result<Self> {
        let switches = Switches { rate_limit: 0, clashing_number: ClashingNumber::Both, ..Switches::default() };
        let account = Account { switches, ..Account::default() };
        let options = Options { speed: 0.0, start, account: account.clone(), ..Options::default() };
        Ok(Self { sandbox: Sandbox::start(options)?, account })
    }
}

impl Stage for NexwayConnect {
    fn settings(&self) -> String {
        let Account { realm, client_secret, territories, .. } = &self.account;
        format!(
            r#"[providers.{PROVIDER}]
kind = "nexway-connect"
api_url = "{api_url}"
iam_url = "{iam_url}"
realm = "{realm}"
client_secret = "{client_secret}"     # a real one belongs into a file: client_secret_file
requests_per_second = 0        # no limit, for the demo only

[providers.{PROVIDER}.territories.{TERRITORY}]
secret = "{secret}"
"#,
            api_url = self.sandbox.api_url(),
            iam_url = self.sandbox.iam_url(),
            secret = territories.get(TERRITORY).map(String::as_str).unwrap_or_default(),
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
        match deed {
            Deed::Cancel => self.sandbox.cancel(number, None).map_err(unplayable),
            Deed::Renew => self.sandbox.renew(number, None).map_err(unplayable),
            Deed::AcceptOffer | Deed::Upgrade | Deed::Extend | Deed::RefusePayment(_) => {
                Err(unplayable("it has no such thing"))
            }
        }
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
        let renewals = self.sandbox.renewals().into_iter().map(|renewal| Paid {
            number: renewal.original,
            subscription_id: renewal.subscription_id.to_string(),
            generation: renewal.generation,
            reference: renewal.partner_order_number,
            renewed_at: renewal.renewed_at,
        });
        renewals.collect()
    }

    fn keys(&self, paid: &Paid) -> Vec<String> {
        self.sandbox.expected_keys(&paid.reference, paid.subscription_id.parse().unwrap_or_default())
    }

    fn request_count(&self) -> u64 {
        self.sandbox.request_count()
    }
}
