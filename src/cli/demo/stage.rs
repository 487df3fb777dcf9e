//! What the demo needs of one kind of provider: its fake, who plays there, and its books.

use std::collections::VecDeque;
use std::fmt::{Debug, Display};
use std::time::Duration;

use crate::cli::{Error, Exit};
use crate::clock::Timestamp;
use crate::store::NewSubscription;

/// The provider's account as the demo's settings name it.
pub(super) const PROVIDER: &str = "sandbox";
/// How long the demo goes on, in simulated days.
pub(super) const DAYS: u32 = 40;

/// What a renewal of a case must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The provider's keys, each generation once.
    Keys,
    /// No key: what was paid for is the delivery.
    Charge,
    /// No key, but a link to the digital locker.
    Locker,
    /// No key at all: the shop is told that the provider refused.
    Refused,
}

/// One subscription that is watched.
#[derive(Clone, Debug)]
pub(super) struct Actor {
    pub(super) number: String,
    pub(super) subscription_id: String,
    /// The number, and which one where the order holds several.
    pub(super) label: String,
    pub(super) case: &'static str,
    pub(super) outcome: Outcome,
}

/// Something that happens from outside.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// Whose subscription, by the number, and what he does.
    AtProvider(&'static str, Deed),
    StopDaemon,
    StartDaemon,
}

/// What a customer, or his bank, does at the provider.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    Cancel,
    /// Renews by hand.
    Renew,
    /// The next term begins, and nobody is asked to pay.
    Extend,
    AcceptOffer,
    Upgrade,
    /// The payment for the renewal is refused so many times.
    RefusePayment(u32),
}

impl Deed {
    /// `None` where the renewal itself is told.
    pub(super) fn told(self) -> Option<&'static str> {
        match self {
            Self::Cancel => Some("cancelled at the provider, by the customer"),
            Self::Renew | Self::Extend => None,
            Self::AcceptOffer => Some("offer accepted: stays, and pays less at the renewal"),
            Self::Upgrade => Some("upgraded at the provider, in mid-term"),
            Self::RefusePayment(_) => Some("payment refused at the provider"),
        }
    }
}

/// One renewal in the provider's books, or an upgrade.
#[derive(Clone, Debug)]
pub(super) struct Paid {
    /// Whose it is, as of [`Actor`].
    pub(super) number: String,
    pub(super) subscription_id: String,
    pub(super) generation: i64,
    /// The provider's own name for it.
    pub(super) reference: String,
    pub(super) renewed_at: Timestamp,
}

/// A fake provider whose clock stands still, which knows no rate limit, and begins a number of days ago.
pub(super) trait Stage: Debug + Send + Sync {
    /// The account's tables in the settings file, as a user would write them.
    fn settings(&self) -> String;
    fn api_url(&self) -> String;
    /// Buys every order at the provider; returns who is to be watched, and what `track` is told of them.
    fn enter(&self) -> Result<(Vec<Actor>, Vec<NewSubscription>), Error>;
    /// What happens from outside, in order of time.
    fn acts(&self) -> VecDeque<(Timestamp, Act)>;
    fn act(&self, number: &str, deed: Deed) -> Result<(), Error>;

    fn now(&self) -> Timestamp;
    fn set_now(&self, now: Timestamp);
    /// When subscriptions will renew by themselves.
    fn renews_at(&self) -> Vec<Timestamp>;

    /// Everything ever renewed, in order of time.
    fn renewals(&self) -> Vec<Paid>;
    /// The keys that the provider has for it, in their order.
    fn keys(&self, paid: &Paid) -> Vec<String>;
    fn request_count(&self) -> u64;
}

pub(super) fn unplayable(error: impl Display) -> Error {
    Error::new(Exit::Internal, format!("the fake provider refused: {error}"))
}

/// `day` 1 is the first.
pub(super) fn at(start: Timestamp, day: u32, hour: u32, minute: u32) -> Timestamp {
    start + Duration::from_secs(u64::from(((day - 1) * 24 + hour) * 60 + minute) * 60)
}
