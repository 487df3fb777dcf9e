//! Evenly spaced requests to one provider (design section 9).

use std::time::Duration;

/// One request's share of the budget.
#[derive(Debug)]
pub struct Slot(());

#[derive(Clone, Debug)]
pub struct Budget {}

impl Budget {
    /// `requests_per_second` 0 = no limit.
    pub fn new(requests_per_second: f64) -> Self {
        todo!()
    }
    /// Cancel-safe: a slot is taken at the moment it is returned.
    pub async fn slot(&self) -> Slot {
        todo!()
    }
    /// 429
    pub fn slow_down(&self, retry_after: Option<Duration>) {
        todo!()
    }
}
