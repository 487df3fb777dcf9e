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
mod control;
mod controls;
mod envelope;
mod forms;
mod life;
mod line_item_data;
mod list;
mod lists;
mod notifications;
mod order_answer;
mod orders;
mod platform;
mod product;
mod script;
mod sender;
mod subscription_answer;
mod subscriptions;
mod switches;

pub use super::clock::Period;
pub use super::faults::{ErrorBody, FaultKind};
pub use books::{Error, Sold};
pub use calls::{Endpoint, Subject};
pub use controls::{OrderState, SubscriptionState};
pub use notifications::{Receiver, SendState, Sent};
pub use orders::Source;
pub use platform::{Account, NexwayMonetize};
pub use product::{Licence, Product};
pub use script::{DataStep, Script, Step};
pub use subscriptions::{NewSubscriptions, Status};
pub use switches::{
    CurrencyForm, DateForm, GenerationForm, IdForm, LastForm, NoOrder, NotedDates, Notifications, OrderOfGeneration,
    PrebillingGeneration, QrForm, Revision, Spelling, Switches, TotalsForm, UpdateFilter,
};

use super::running;

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

#[cfg(test)]
mod tests;
