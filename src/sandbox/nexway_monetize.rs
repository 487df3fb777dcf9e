//! A fake Nexway Monetize. It follows what is known of the platform and answers each open question by a switch.
//!
//! ```no_run
//! use renewald::sandbox::nexway_monetize::{NewSubscriptions, Options, Product, Sandbox, Script};
//!
//! let sandbox = Sandbox::start(Options { speed: 0.0, ..Options::default() })?;
//! let ids = sandbox.create(NewSubscriptions { count: 2, ..NewSubscriptions::default() })?;
//!
//! sandbox.script(&ids[0], 1, Script::statuses(["PAYMENT_PENDING", "FRAUD_PENDING"]))?; // then COMPLETED
//! sandbox.renew(&ids[0])?;
//! sandbox.accept_offer(&ids[1], 0.2)?;
//! sandbox.upgrade(&ids[1], Product::bigger(), Script::default())?;
//! // … start the daemon with sandbox.api_url() and sandbox.iam_url() …
//! let renewal = &sandbox.renewals()[0];
//! assert_eq!(renewal.generation, 1);
//! let keys = sandbox.expected_keys(&renewal.order_id);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod books;
mod calls;
mod cart_answer;
mod carts;
mod control;
mod controls;
mod envelope;
mod forms;
mod life;
mod line_item_data;
mod list;
mod lists;
mod order_answer;
mod orders;
mod platform;
mod product;
mod script;
mod subscription_answer;
mod subscriptions;
mod switches;

pub use super::clock::Period;
pub use super::faults::{ErrorBody, FaultKind};
pub use super::notifications::{Notifications, Receiver, SendState, Sent};
pub use books::{Error, Sold};
pub use calls::{Endpoint, Subject};
pub use controls::{OrderState, SubscriptionState};
pub use orders::Source;
pub use platform::{Account, NexwayMonetize};
pub use product::{Licence, Product};
pub use script::{DataStep, Script, Step};
pub use subscriptions::{NewSubscriptions, Status};
pub use switches::{
    CurrencyForm, DateForm, DeeplinkSpelling, GenerationForm, IdForm, LastForm, NoOrder, NotedDates, OrderOfGeneration,
    PrebillingGeneration, QrForm, Revision, Spelling, Switches, TotalsForm, UpdateFilter,
};

use std::io;

use super::running::{self, Offer};

pub type Sandbox = running::Sandbox<NexwayMonetize>;
pub type Options = running::Options<Account>;
pub type Controls = super::controls::Controls<NexwayMonetize>;
pub type Fault = super::faults::Fault<Endpoint, Subject>;
pub type Request = super::log::Request<Endpoint, Subject>;

impl Sandbox {
    /// `http://127.0.0.1:PORT`
    pub fn api_url(&self) -> String {
        self.url(calls::API)
    }

    /// `http://127.0.0.1:PORT/iam`
    pub fn iam_url(&self) -> String {
        self.url(calls::IAM)
    }
}

/// Starts one by itself.
pub(super) fn offer(options: running::Options<()>, notify: Option<&str>) -> io::Result<Offer> {
    const NEW: &str = r#"{"external_ref_id": "PARTNER-2024-000123"}"#;
    let account = Account::default();
    let sandbox = Sandbox::start(options.with(account.clone()))?;
    sandbox.set_receiver(notify.map(Receiver::new));
    let settings = settings(&sandbox, &account);
    Ok(Offer::new(
        sandbox,
        settings,
        ("Make a subscription, then renew it", &[("/subscriptions", NEW), ("/renew", "{}")]),
    ))
}

/// The account as renewald's settings describe it.
fn settings(sandbox: &Sandbox, account: &Account) -> String {
    format!(
        "[providers.sandbox]\n\
         kind = \"nexway-monetize\"\n\
         api_url = \"{}\"\n\
         iam_url = \"{}\"\n\
         realm = \"{}\"\n\
         client_secret = \"{}\"\n",
        sandbox.api_url(),
        sandbox.iam_url(),
        account.realm,
        account.client_secret,
    )
}

#[cfg(test)]
mod tests;
