//! A fake Nexway Connect. It follows `docs/providers/nexway-connect.md` and answers each of its open questions by a switch.
//!
//! ```no_run
//! use std::time::Duration;
//! use renewald::sandbox::nexway_connect::{Endpoint, Fault, FaultKind, NewOrder, Options, Sandbox, Script};
//!
//! let sandbox = Sandbox::start(Options { speed: 0.0, ..Options::default() })?;
//! let order = sandbox.create_order(NewOrder::new("PARTNER689"))?;
//! let id = order.subscription_ids()[0];
//!
//! sandbox.script("PARTNER689-1", Script::codes([1010, 1060])); // then success
//! sandbox.fault(Fault::new(FaultKind::CutBefore).at(Endpoint::Status).times(1));
//! sandbox.renew("PARTNER689", Some(id))?;
//! // … start the daemon with sandbox.api_url() and sandbox.iam_url() …
//! let asked = sandbox.wait_for(|request| request.endpoint == Endpoint::Order, Duration::from_secs(10));
//! assert!(asked.is_some());
//! assert_eq!(sandbox.renewals()[0].partner_order_number, "PARTNER689-1");
//! let keys = sandbox.expected_keys("PARTNER689-1", id);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod calls;
mod control;
mod controls;
mod order_data;
mod orders;
mod platform;
mod script;
mod shop;
mod status;
mod switches;
mod variant;

use std::io;

pub use super::clock::Period;
pub use super::faults::{ErrorBody, FaultKind};
pub use calls::{Endpoint, Subject};
pub use controls::SubscriptionState;
pub use order_data::{DownloadManagerAnswer, FileAnswer, ItemAnswer, LineAnswer, OrderAnswer, SerialAnswer};
pub use orders::{Error, NewOrder, Renewal};
pub use platform::{Account, NexwayConnect};
pub use script::{Level, Script, Step};
pub use switches::{
    AcceptedNumber, ClashingNumber, DateForm, GenerationForm, OriginalNumber, OtherTerritory, RenewMethod, ResultNames,
    ReturnedNumber, Switches, UnknownSubscription,
};
pub use variant::Variant;

use super::running::{self, Offer};

pub type Sandbox = running::Sandbox<NexwayConnect>;
pub type Options = running::Options<Account>;
pub type Controls = super::controls::Controls<NexwayConnect>;
pub type Fault = super::faults::Fault<Endpoint, Subject>;
pub type Request = super::log::Request<Endpoint, Subject>;

impl Sandbox {
    /// `http://127.0.0.1:PORT/connect`
    pub fn api_url(&self) -> String {
        self.url(calls::API)
    }

    /// `http://127.0.0.1:PORT/iam`
    pub fn iam_url(&self) -> String {
        self.url(calls::IAM)
    }
}

/// Starts one by itself.
pub(super) fn offer(options: running::Options<()>) -> io::Result<Offer> {
    const ORDER: &str = r#"{"partner_order_number": "PARTNER689"}"#;
    let account = Account::default();
    let sandbox = Sandbox::start(options.with(account.clone()))?;
    let settings = settings(&sandbox, &account);
    Ok(Offer::new(sandbox, settings, ("Create an order, then renew it", &[("/orders", ORDER), ("/renew", ORDER)])))
}

/// The account as renewald's settings describe it.
fn settings(sandbox: &Sandbox, account: &Account) -> String {
    let mut text = format!(
        "[providers.sandbox]\n\
         kind = \"nexway-connect\"\n\
         api_url = \"{}\"\n\
         iam_url = \"{}\"\n\
         realm = \"{}\"\n\
         client_secret = \"{}\"\n",
        sandbox.api_url(),
        sandbox.iam_url(),
        account.realm,
        account.client_secret,
    );
    for (name, secret) in &account.territories {
        text.push_str(&format!("[providers.sandbox.territories.{name}]\nsecret = \"{secret}\"\n"));
    }
    text
}

#[cfg(test)]
mod tests;
