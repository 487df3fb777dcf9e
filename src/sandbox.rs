//! Fake providers: each with state, a clock of its own, faults on demand, and a log of what it was asked.
//!
//! `renewald demo`, the integration tests and the benches start one; `renewald sandbox` offers it to people. Each kind is
//! one folder below, which alone knows the provider's calls, codes and fields; the files beside it are the floor that all
//! kinds stand on: clock, faults, log, rate limit, the wire, and the control calls that fit every provider. A kind
//! implements [`Fake`] and [`Controlled`]. None of them knows anything of the daemon.

mod call;
mod clock;
mod control;
mod controls;
pub mod digital_river;
mod faults;
mod http;
mod log;
mod mangle;
mod nexway;
pub mod nexway_connect;
pub mod nexway_monetize;
mod notifications;
mod random;
mod rate;
mod running;
pub mod smartpay;
mod wire;
mod world;

use std::io;

pub use call::{About, Answer, Call, CallOf, Fake, Service};
pub use clock::Period;
pub use control::{Controlled, Shown};
pub use controls::Controls;
pub use faults::{ErrorBody, Fault, FaultKind};
pub use log::Request;
pub use random::Random;
pub use running::{Offer, Options, Sandbox};

/// The kinds of providers that there is a fake of, as their settings name them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    #[default]
    NexwayConnect,
    NexwayMonetize,
    #[value(alias = "subscription-module")]
    Smartpay,
    DigitalRiver,
}

impl Kind {
    /// Starts one by itself, with credentials that it tells; it notifies this address, if it is of a kind that does.
    pub fn offer(self, options: Options<()>, notify: Option<&str>) -> io::Result<Offer> {
        match self {
            Self::NexwayConnect => nexway_connect::offer(options),
            Self::NexwayMonetize => nexway_monetize::offer(options, notify),
            Self::Smartpay => smartpay::offer(options, notify),
            Self::DigitalRiver => digital_river::offer(options, notify),
        }
    }

    /// Whether it tells of renewals by itself.
    pub fn notifies(self) -> bool {
        self != Self::NexwayConnect
    }
}

#[cfg(test)]
mod tests;
