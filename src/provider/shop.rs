//! What came of a shop's call, in words that fit every provider.

use std::fmt;

use serde_json::value::RawValue;

/// What an answer to a shop's call means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// It was so before: what was created or cancelled already.
    Already,
    /// An order that is there, and waits for its payment, a check or the publisher's stock.
    Waiting,
    /// The request has to be mended.
    Mend,
    /// Passes by itself.
    Later,
    /// Never, as it is.
    Refused,
    /// The number is not known, or not yet.
    NotFound,
}

/// An answer to a shop's call.
pub struct Reply {
    pub outcome: Outcome,
    /// The provider's own; the HTTP status where there was no other.
    pub code: i64,
    /// What is wrong, in our words or the provider's. Untrusted, and may repeat what was sent: for the caller alone.
    pub message: String,
    /// Of the request, where the code names one.
    pub field: Option<&'static str>,
    /// As it came, digit by digit; it may hold keys.
    pub body: Option<Box<RawValue>>,
    /// What whoever reads it must know besides.
    pub notes: Vec<String>,
    /// What an order came to, where the answer is about one.
    pub placed: Option<Placed>,
}

/// An order, as far as it is needed to track what it brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// The provider's own number.
    pub order_number: Option<String>,
    /// Each once, in their one form; empty where it brought no subscription, or not yet.
    pub subscription_ids: Vec<String>,
    /// Nothing of it is still to come: these are all that it brings.
    pub is_whole: bool,
}

impl Reply {
    /// One that tells nothing but how it ended.
    pub fn bare(outcome: Outcome, code: i64, message: String) -> Self {
        Self { outcome, code, message, field: None, body: None, notes: Vec::new(), placed: None }
    }
}

/// It holds keys, and may repeat what a customer is called.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({:?}, code {}, {:?})", self.outcome, self.code, self.placed)
    }
}
