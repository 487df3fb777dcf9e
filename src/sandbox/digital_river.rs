//! A fake Digital River. It follows what is known of the API and answers each open question by a switch.
//!
//! ```no_run
//! use renewald::sandbox::digital_river::{NewSubscriptions, Options, Sandbox};
//!
//! let sandbox = Sandbox::start(Options { speed: 0.0, ..Options::default() })?;
//! let ids = sandbox.create(NewSubscriptions { count: 2, ..NewSubscriptions::default() })?;
//!
//! let order = sandbox.pay(&ids[0])?;
//! sandbox.extend(&ids[1])?; // without an order
//! // … start the daemon with sandbox.api_url() …
//! let order = sandbox.add_order(&ids[1], sandbox.now())?; // which appears later
//! assert_eq!(sandbox.renewals().len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answers;
mod books;
mod calls;
mod changes;
mod control;
mod controls;
mod events;
mod platform;
mod switches;

pub use super::clock::Period;
pub use super::faults::{ErrorBody, FaultKind};
pub use super::notifications::{Notifications, Receiver, SendState, Sent};
pub use books::{Error, NewSubscriptions, Sold, State};
pub use calls::{Endpoint, Subject};
pub use controls::SubscriptionState;
pub use platform::{Account, DigitalRiver};
pub use switches::{ListOrder, Switches, TimeForm};

use std::io;

use super::running::{self, Offer};

pub type Sandbox = running::Sandbox<DigitalRiver>;
pub type Options = running::Options<Account>;
pub type Controls = super::controls::Controls<DigitalRiver>;
pub type Fault = super::faults::Fault<Endpoint, Subject>;
pub type Request = super::log::Request<Endpoint, Subject>;

impl Sandbox {
    /// `http://127.0.0.1:PORT`
    pub fn api_url(&self) -> String {
        self.url(0)
    }
}

/// Starts one by itself.
pub(super) fn offer(options: running::Options<()>, notify: Option<&str>) -> io::Result<Offer> {
    const NEW: &str = r#"{"ids": ["DR_1"], "upstream_id": "SHOP-2024-000123"}"#;
    const PAY: &str = r#"{"subscription_id": "DR_1"}"#;
    let account = Account::default();
    let sandbox = Sandbox::start(options.with(account.clone()))?;
    sandbox.set_receiver(notify.map(Receiver::new));
    let settings = format!(
        "[providers.sandbox]\nkind = \"digital-river\"\napi_url = \"{}\"\napi_key = \"{}\"\n",
        sandbox.api_url(),
        account.api_key
    );
    Ok(Offer::new(sandbox, settings, ("Make a subscription, then renew it", &[("/subscriptions", NEW), ("/pay", PAY)])))
}

#[cfg(test)]
mod tests;
