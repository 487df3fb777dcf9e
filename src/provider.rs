//! What a provider can be asked and what it may answer, in words that fit every provider.
//!
//! The wire format, the authentication and the meaning of each code belong to the implementation
//! ([`nexway_connect`]); what follows from an answer is decided in [`crate::renewal`].

pub mod nexway_connect;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::budget::Slot;
use crate::clock::Timestamp;
use crate::delivery::{DownloadManager, File, Serial};

/// A provider's API, as far as renewald needs it.
///
/// A [`Slot`] is one request's share of the provider's budget: the caller takes it, so that the most urgent request can be
/// chosen at the last moment. Requests that the implementation makes on its own account (tokens, a repeat after 401) take
/// their slots themselves. Every call ends: with an answer, or with an error after the configured timeout.
pub trait Provider: Send + Sync {
    /// Asks for the state of one subscription. `number` is the original partner order number, except for the one repeat
    /// with the last suffixed number after [`Class::NotFound`] (nexway-connect.md, section 4.1).
    fn subscription_status(
        &self,
        territory: &str,
        number: &str,
        subscription_id: i64,
        slot: Slot,
    ) -> impl Future<Output = Result<Status, Error>> + Send;

    /// Asks for the order data of one partner order number, suffix included.
    fn order_data(
        &self,
        territory: &str,
        number: &str,
        slot: Slot,
    ) -> impl Future<Output = Result<OrderData, Error>> + Send;
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

/// No generation is below -1.
pub const UNREADABLE_GENERATION: i64 = i64::MIN;

/// The answer to *Get Subscription Status*. Every field may be missing; a `Status` with class
/// [`Class::Success`] carries at least a generation or an order number.
#[derive(Clone, Debug)]
pub struct Status {
    pub verdict: Verdict,
    /// As returned: the original, suffixed, or something foreign.
    pub partner_order_number: Option<String>,
    /// [`UNREADABLE_GENERATION`] where there is one that is no whole number: it must not pass for missing.
    pub generation: Option<i64>,
    /// Opaque; compare ignoring case.
    pub technical_status: Option<String>,
    /// End of the paid term, where it could be read.
    pub expires_at: Option<Timestamp>,
}

/// The answer to *Get order data*, codes of all three levels kept apart.
#[derive(Clone)]
pub struct OrderData {
    pub verdict: Verdict,
    /// As returned; must be the one asked for when present.
    pub partner_order_number: Option<String>,
    /// The provider's own number for the order, which the customer needs for support.
    pub order_number: Option<i64>,
    pub lines: Vec<OrderLine>,
    pub download_manager: Option<DownloadManager>,
}

#[derive(Clone)]
pub struct OrderLine {
    pub verdict: Verdict,
    pub product_ref: Option<i64>,
    pub remark: String,
    pub digital_locker_link: String,
    /// As sent: a date, at times a full timestamp.
    pub download_until: Option<String>,
    pub files: Vec<File>,
    pub items: Vec<LineItem>,
}

#[derive(Clone)]
pub struct LineItem {
    pub verdict: Verdict,
    /// `None` when missing, null or 0: not a subscription.
    pub subscription_id: Option<i64>,
    pub serials: Vec<Serial>,
}

/// Order data holds keys: only its shape is shown.
impl fmt::Debug for OrderData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OrderData({:?}, code {}, {} lines)", self.verdict.class, self.verdict.code, self.lines.len())
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
    /// The token service refused us. Concerns the whole provider; an API that refuses a fresh token may have one territory in
    /// mind, so that is a [`Verdict`] of class [`Class::Configuration`] with code 401.
    #[error(
        "provider does not accept our credentials ({reason}); check realm, client_secret_file and whether this server's address is allowed"
    )]
    Unauthorized { reason: String },
}

impl Error {
    /// Whether it says that the provider as a whole cannot be used now (feeds the circuit breaker).
    pub fn is_outage(&self) -> bool {
        matches!(self, Error::Unreachable(_) | Error::Unavailable { .. } | Error::Unauthorized { .. })
    }
}
