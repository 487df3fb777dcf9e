//! What the API tells of by itself: each event as it stood when it happened.

use super::books::State;
use crate::clock::Timestamp;

#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) id: String,
    /// Behind `subscription.`
    pub(super) what: String,
    pub(super) subscription: usize,
    pub(super) state: State,
    /// With the state of the invoice that it tells of besides.
    pub(super) invoice: Option<&'static str>,
    pub(super) at: Timestamp,
}

impl Event {
    pub(super) fn new(
        number: usize,
        what: &str,
        subscription: usize,
        state: State,
        invoice: Option<&'static str>,
        at: Timestamp,
    ) -> Self {
        let id = format!("6a44a90e-{number:012}");
        Self { id, what: what.to_owned(), subscription, state, invoice, at }
    }
}
