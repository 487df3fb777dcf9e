//! What a provider can be asked and what it may answer, in words that fit every provider.
//!
//! The wire format, the authentication and the meaning of each code belong to the implementation
//! ([`nexway_connect`], [`nexway_monetize`], [`smartpay`], [`digital_river`]); what follows from an answer is decided in
//! [`crate::renewal`].

mod body;
pub mod connection;
pub mod digital_river;
pub mod feed;
mod http;
pub mod kinds;
mod lenient;
mod nexway;
pub mod nexway_connect;
pub mod nexway_monetize;
pub mod shop;
pub mod smartpay;
#[cfg(test)]
pub mod test_counter;
#[cfg(test)]
pub mod test_lister;
#[cfg(test)]
mod tests;
pub mod times;
mod url;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use feed::{Page, Position, Row, Says};
pub use kinds::{Configured, Kind, KindSettings};

use crate::budget::{Budget, Slot};
use crate::call::Call;
use crate::clock::Timestamp;
use crate::delivery::{Delivery, Discount, Occasion, OfferState};
use crate::life::Life;

/// A provider's API, as far as renewald needs it.
///
/// A [`Slot`] is one request's share of the provider's budget: the caller takes it, so that the most urgent request can be
/// chosen at the last moment. Requests that the implementation makes on its own account (tokens, a repeat after 401, a second
/// question) take their slots themselves. Every call ends: with an answer, or with an error after the configured timeout.
pub trait Provider: Send + Sync {
    /// Asks how one subscription stands, and which deliveries it has had.
    fn look(&self, subject: Subject<'_>, slot: Slot) -> impl Future<Output = Result<Sighting, Error>> + Send;

    /// Asks for what one delivery brought. `reference` is the provider's own name for it, as a [`Sighting`] or the convention of
    /// the kind gave it.
    fn fetch(
        &self,
        subject: Subject<'_>,
        reference: &str,
        slot: Slot,
    ) -> impl Future<Output = Result<Fetched, Error>> + Send;

    /// Reads one page of what the provider lists by itself. Only kinds whose convention has a feed are asked. A way of listing that
    /// is refused is [`Error::Rejected`].
    fn page(&self, at: Position<'_>, slot: Slot) -> impl Future<Output = Result<Page, Error>> + Send {
        let _unused = (at, slot);
        std::future::ready(Ok(Page::default()))
    }

    /// Makes a shop's call. Only those that the convention of the kind names are asked for; ids and numbers have their stored form.
    fn shop(
        &self,
        call: &Call,
        territory: &str,
        slot: Slot,
    ) -> impl Future<Output = Result<shop::Reply, Error>> + Send {
        let _unused = (call, territory, slot);
        std::future::ready(Ok(shop::Reply::bare(shop::Outcome::Refused, 0, "not offered".to_owned())))
    }

    /// Looks whether the account can be used, for `check --online`: at most three requests, each when `budget` lets it go. Whether
    /// all of them were answered stands behind what was found.
    fn check(&self, known: Vec<LastAsked>, budget: &Budget) -> impl Future<Output = (Vec<Finding>, bool)> + Send;
}

/// Whom a request is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub territory: &'a str,
    /// The original: without the suffix of a renewal.
    pub partner_order_number: &'a str,
    pub subscription_id: &'a str,
    /// The last one known; `None`: adopted, and not asked yet.
    pub generation: Option<i64>,
    /// What the implementation noted when it looked last.
    pub memo: Option<&'a str>,
    /// Somebody says that there is something to be seen: a look that saves requests otherwise leaves none out.
    pub is_hinted: bool,
}

/// What an answer's code says, whatever its number is at this provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    Success,
    /// Passes by itself; bounded.
    Transient,
    /// Payment, fraud check or publisher stock: passes by itself, may take weeks.
    Waiting,
    /// The number is not known, or not yet.
    NotFound,
    /// Our secret, territory or address is refused: says nothing about the order.
    Configuration,
    /// Will never succeed.
    Permanent,
}

/// A result code with its class and the provider's text for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub class: Class,
    /// The provider's own code; the HTTP status where there was no other (403, 404).
    pub code: i64,
    /// The provider's text, untrusted: control characters included.
    pub message: String,
}

impl Verdict {
    pub fn success() -> Self {
        Self { class: Class::Success, code: 0, message: String::new() }
    }
}

/// One look at a subscription. Only one of class [`Class::Success`] tells more than its verdict.
#[derive(Clone, Debug)]
pub struct Sighting {
    pub verdict: Verdict,
    pub seen: Seen,
    /// The provider's own word for how it stands: opaque, and compared ignoring case.
    pub words: Option<String>,
    /// `None`: the answer does not tell.
    pub life: Option<Life>,
    /// End of the paid term, where it could be read.
    pub expires_at: Option<Timestamp>,
    /// When that was last changed, by the provider's clock; `None`: the answer does not tell.
    pub as_of: Option<Timestamp>,
    /// Kept with the subscription, and shown to the next look; `None`: the one that is kept stays.
    pub memo: Option<String>,
    /// What the reseller called it at the provider; `None`: the answer does not tell.
    pub partner_reference: Option<Box<str>>,
    pub payment: Payment,
    /// What became of offers since the look that wrote the memo: each is told once.
    pub offers: Vec<Offer>,
    /// Until then nothing can happen, the provider says; `None`: it does not say.
    pub next_look: Option<Duration>,
}

/// Whether the coming term is being paid for, on the provider's own word. Attempts to charge are a normal step of a good renewal
/// and no failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Payment {
    /// The answer does not tell.
    #[default]
    Untold,
    /// No payment fails.
    Fine,
    Failing(Box<Failing>),
}

/// A payment that failed, and has not succeeded since: one episode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Of the delivery that is not paid for.
    pub generation: i64,
    /// When the episode began, where the provider tells.
    pub since: Option<Timestamp>,
    pub will_retry: Option<bool>,
    /// The provider's own word, untrusted.
    pub reason: String,
}

/// What became of a discount that was offered to somebody who wanted to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The order that carries it.
    pub order_number: String,
    pub state: OfferState,
    pub discount: Option<Discount>,
}

/// Which deliveries a look has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The provider counts renewals: 0 after the first purchase, N after the N-th renewal.
    Counted {
        generation: i64,
        /// What is odd about it, where signs in the answer disagreed; `generation` is the one to believe.
        doubt: Option<&'static str>,
        /// Deliveries beside the counted ones, such as upgrades.
        besides: Vec<Listed>,
    },
    /// The provider names its deliveries. What is known and left out is no matter.
    Listed {
        /// The label of the oldest: 0 where that is the purchase.
        first: i64,
        deliveries: Vec<Listed>,
        /// What is odd about it, although it is believed.
        doubt: Option<&'static str>,
    },
    /// The answer cannot be about this subscription; what is odd about it.
    Foreign(String),
    /// Nothing in the answer tells; why.
    Unclear(&'static str),
}

/// A delivery that the provider names by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub reference: String,
    pub occasion: Occasion,
    /// Where it could be read.
    pub completed_at: Option<Timestamp>,
}

impl Sighting {
    /// Whether it names deliveries, which must be held against those that are recorded.
    pub fn lists(&self) -> bool {
        match &self.seen {
            Seen::Counted { besides, .. } => !besides.is_empty(),
            Seen::Listed { deliveries, .. } => !deliveries.is_empty(),
            Seen::Foreign(_) | Seen::Unclear(_) => false,
        }
    }

    /// A success that tells nothing else.
    pub fn of(seen: Seen) -> Self {
        Self {
            verdict: Verdict::success(),
            seen,
            words: None,
            life: None,
            expires_at: None,
            as_of: None,
            memo: None,
            partner_reference: None,
            payment: Payment::Untold,
            offers: Vec::new(),
            next_look: None,
        }
    }

    /// An answer that holds nothing but why there is none.
    pub fn refused(verdict: Verdict) -> Self {
        Self { verdict, ..Self::of(Seen::Unclear("the answer tells nothing")) }
    }
}

/// The answer to a request for a delivery. It may serve several subscriptions: each is given its own part and no other.
pub struct Fetched {
    /// Of the answer as a whole.
    pub verdict: Verdict,
    part: Box<dyn Fn(Claim<'_>) -> Part + Send + Sync>,
}

/// Who wants a part.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    pub subscription_id: &'a str,
    /// Another tracked subscription has the reference that was asked for as its own number.
    pub is_anothers: bool,
}

/// What an answer holds for one subscription.
#[derive(Clone, Debug)]
pub struct Part {
    pub verdict: Verdict,
    /// With success what is handed over; else what could be, should it never be complete.
    pub delivery: Option<Delivery>,
    /// Why something beside the delivery will never come.
    pub dropped: Option<Verdict>,
    pub keys: Keys,
}

/// Whether licence keys, or what stands for them, belong to a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// It is about a charge alone, and complete without any.
    NotExpected,
    /// Without a key, file, link or remark it is not ready.
    Expected,
    /// One was announced and has not come, whatever else has.
    Outstanding,
}

impl Part {
    /// One that holds nothing but why.
    pub fn bare(verdict: Verdict) -> Self {
        Self { verdict, delivery: None, dropped: None, keys: Keys::Expected }
    }
}

impl Fetched {
    /// `part` tells what each has of it: only rows that name the claimant, or that the kind's own rule makes its.
    pub fn new(verdict: Verdict, part: impl Fn(Claim<'_>) -> Part + Send + Sync + 'static) -> Self {
        Self { verdict, part: Box::new(part) }
    }

    /// An answer that holds nothing but why there is none, for everybody.
    pub fn refused(verdict: Verdict) -> Self {
        let part = Part::bare(verdict.clone());
        Self::new(verdict, move |_| part.clone())
    }

    pub fn part(&self, claim: Claim<'_>) -> Part {
        (self.part)(claim)
    }
}

/// It holds keys: only how it ended is shown.
impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fetched({:?}, code {})", self.verdict.class, self.verdict.code)
    }
}

/// Why there is no usable answer. It can be cloned because one failed token request fails every call that waited for it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// DNS, connect, TLS, timeout, reset: nothing is known of what the provider thinks.
    #[error("provider could not be reached")]
    Unreachable(#[source] Arc<reqwest::Error>), // kept `without_url()`
    /// 408, 425, 5xx.
    #[error("provider answered {status}")]
    Unavailable { status: u16, retry_after: Option<Duration> },
    /// 429: too many requests. The budget has been told already.
    #[error("provider answered 429, too many requests")]
    TooManyRequests { retry_after: Option<Duration> },
    /// An answer outside the contract: not JSON, no known field, too long. Never "no change".
    #[error("provider's answer cannot be used: {reason}")]
    Unreadable { reason: String },
    /// 400, 405, 415, 422, a redirect: our request or the contract is wrong; asking again soon changes nothing.
    #[error("provider rejected the request with {status}")]
    Rejected { status: u16 },
    /// Whoever answers there speaks another language: a page for people, or nothing that the API would say. The provider may be gone.
    #[error("what answers there is not the provider: {what}")]
    NotTheProvider { what: String },
    /// The token service refused us. Concerns the whole provider; an API that refuses a fresh token may have one territory in
    /// mind, so that is a [`Verdict`] of class [`Class::Configuration`] with code 401.
    #[error("provider does not accept our credentials ({reason}); check {look_at}")]
    Unauthorized {
        reason: String,
        /// The settings and circumstances that decide about it.
        look_at: &'static str,
    },
}

impl Error {
    /// Whether it says that the provider as a whole cannot be used now (feeds the circuit breaker).
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Error::Unreachable(_)
                | Error::Unavailable { .. }
                | Error::NotTheProvider { .. }
                | Error::Unauthorized { .. }
        )
    }

    /// Whether what was sent may have been done all the same.
    pub fn may_have_arrived(&self) -> bool {
        match self {
            Error::Unauthorized { .. } | Error::TooManyRequests { .. } => false,
            Error::Unreachable(error) => !error.is_connect(),
            _ => true,
        }
    }
}

/// A territory, and what is known to be asked about there.
#[derive(Clone, Debug)]
pub struct LastAsked {
    pub territory: String,
    /// The subscription that was asked about last, by its original partner order number and its id; `None`: none is tracked.
    pub last_asked: Option<(String, String)>,
}

/// One thing that `check --online` has to tell. The text is untrusted where it repeats an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Ok,
    Warning,
    Problem,
}
