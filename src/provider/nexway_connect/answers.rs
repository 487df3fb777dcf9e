//! What the two endpoints answer, as far as it could be read: see `wire`. Every field may be missing.

use std::fmt;

use crate::clock::Timestamp;
use crate::delivery::{DownloadManager, File, Serial};
use crate::provider::Verdict;

/// No generation is below -1.
pub const UNREADABLE_GENERATION: i64 = i64::MIN;

/// The answer to *Get Subscription Status*. One of class [`crate::provider::Class::Success`] carries at least a generation or an
/// order number.
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
