//! A fake of SmartPay's Subscription module. It follows what is known of the API and answers each open question by a switch.
//!
//! ```no_run
//! use renewald::sandbox::smartpay::{Decline, NewSubscriptions, Options, Sandbox};
//!
//! let sandbox = Sandbox::start(Options { speed: 0.0, ..Options::default() })?;
//! let ids = sandbox.create(NewSubscriptions { count: 2, ..NewSubscriptions::default() })?;
//!
//! sandbox.bill(&ids[0], 1)?;
//! sandbox.bill_in_vain(&ids[1], Decline::Failed)?;
//! sandbox.capture(&ids[1])?; // a retry that succeeds
//! // … start the daemon with sandbox.api_url() …
//! let paid = sandbox.charges();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answers;
mod books;
mod calls;
mod control;
mod controls;
mod life;
mod list;
mod platform;
mod switches;

pub use super::clock::Period;
pub use super::faults::{ErrorBody, FaultKind};
pub use super::notifications::{Notifications, Receiver, SendState, Sent};
pub use books::{Charged, Decline, Error, NewSubscriptions, Status};
pub use calls::{Endpoint, Subject};
pub use controls::SubscriptionState;
pub use platform::{Account, Smartpay};
pub use switches::{AmountForm, CountForm, IdForm, StatusForm, Switches};

use std::io;

use super::running::{self, Offer};

pub type Sandbox = running::Sandbox<Smartpay>;
pub type Options = running::Options<Account>;
pub type Controls = super::controls::Controls<Smartpay>;
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
    const NEW: &str = r#"{"external_merchant_id": "SHOP-2024-000123"}"#;
    let account = Account::default();
    let sandbox = Sandbox::start(options.with(account.clone()))?;
    sandbox.set_receiver(notify.map(Receiver::new));
    let settings = format!(
        "[providers.sandbox]\n\
         kind = \"smartpay\"\n\
         api_url = \"{}\"\n\
         merchant_key = \"{}\"\n",
        sandbox.api_url(),
        account.merchant_key,
    );
    Ok(Offer::new(
        sandbox,
        settings,
        ("Make a subscription, then bill it", &[("/subscriptions", NEW), ("/bill", "{}")]),
    ))
}

#[cfg(test)]
mod tests;
