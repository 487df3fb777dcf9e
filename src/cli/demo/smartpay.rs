//! SmartPay on the stage.

mod cast;

use std::collections::VecDeque;
use std::io;

use super::stage::{Act, Actor, Deed, PROVIDER, Paid, Stage, unplayable};
use crate::cli::Error;
use crate::clock::Timestamp;
use crate::sandbox::smartpay::{self as fake, Account, Charged, Options, Sandbox, Status, Switches};
use crate::store::NewSubscription;

#[derive(Debug)]
pub(super) struct Smartpay {
    sandbox: Sandbox,
    account: Account,
    /// What was charged before anybody watched.
    before: usize,
}

impl Smartpay {
    pub(super) fn start(start: Timestamp) -> io::Result<Self> {
        let switches = Switches { rate_limit: 0, ..Switches::default() };
        let account = Account { switches, ..Account::default() };
        let options = Options { speed: 0.0, start, account: account.clone(), ..Options::default() };
        Ok(Self { sandbox: Sandbox::start(options)?, account, before: cast::bought(start) })
    }

    fn id_of(&self, number: &str) -> Result<String, Error> {
        let mut all = self.sandbox.subscriptions().into_iter();
        let found = all.find(|subscription| subscription.external_merchant_id.as_deref() == Some(number));
        found.map(|subscription| subscription.subscription_id).ok_or_else(|| unplayable("nobody has this number"))
    }
}

impl Stage for Smartpay {
    fn settings(&self) -> String {
        format!(
            r#"[providers.{PROVIDER}]
kind = "smartpay"
api_url = "{api_url}"
merchant_key = "{merchant_key}"     # a real one belongs into a file: merchant_key_file
requests_per_second = 0        # no limit, for the demo only
"#,
            api_url = self.sandbox.api_url(),
            merchant_key = self.account.merchant_key,
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
            Deed::Cancel => self.sandbox.set_status(&id, Status::Canceled),
            Deed::Renew => self.sandbox.bill(&id, 1),
            Deed::RefusePayment(times) => self.sandbox.refuse(&id, Some(times)),
            Deed::AcceptOffer | Deed::Upgrade | Deed::Extend => return Err(unplayable("it only bills")),
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
        self.sandbox.subscriptions().into_iter().filter_map(|subscription| subscription.charged_at).collect()
    }

    fn renewals(&self) -> Vec<Paid> {
        let paid = |charged: Charged| Paid {
            number: charged.external_merchant_id.unwrap_or_default(),
            subscription_id: charged.subscription_id.to_lowercase(),
            generation: charged.number,
            reference: charged.cycle_id.to_lowercase(),
            renewed_at: charged.paid_at,
        };
        self.sandbox.charges().into_iter().skip(self.before).map(paid).collect()
    }

    /// There are none.
    fn keys(&self, _: &Paid) -> Vec<String> {
        Vec::new()
    }

    fn request_count(&self) -> u64 {
        self.sandbox.request_count()
    }
}
