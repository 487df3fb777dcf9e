//! What the store is told of a provider's budget: its breaker and its slow-down, when they change and no oftener.

use tokio::time::Instant;

use crate::budget::{self, Budget};
use crate::clock::Timestamp;
use crate::provider::Error as ProviderError;
use crate::store::{self, BreakerState, ProviderTrouble, SlowedState, Store};

/// What this process has written so far.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    written: Written,
    /// The last outage's.
    reason: String,
}

/// What is worth a write when it changes. Instants, so that a step of the clock changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Written {
    breaker: Option<(Instant, Instant)>,
    slowed_until: Option<Instant>,
}

impl Trouble {
    /// What an earlier process left is over: each begins with a closed breaker and the whole rate.
    pub async fn begin(&mut self, store: &Store, provider: &str) -> Result<(), store::Error> {
        self.written = Written::default();
        store.set_provider_trouble(provider, ProviderTrouble::default()).await
    }

    /// A request ended like this.
    pub fn heard(&mut self, error: &ProviderError) {
        if error.is_outage() {
            self.reason = crate::text::visible(&crate::chain(error));
        }
    }

    /// Writes what has changed since it was last told.
    pub async fn tell(
        &mut self,
        store: &Store,
        provider: &str,
        budget: &Budget,
        now: Timestamp,
    ) -> Result<(), store::Error> {
        let state = budget.state();
        let present = Written {
            breaker: state.breaker.map(|open| (open.since, open.next_probe_at)),
            slowed_until: state.slowed_until,
        };
        if present == self.written {
            return Ok(());
        }
        store.set_provider_trouble(provider, self.describe(&state, now)).await?;
        self.written = present;
        Ok(())
    }

    fn describe(&self, state: &budget::State, now: Timestamp) -> ProviderTrouble {
        let ahead = |at: Instant| now + at.saturating_duration_since(Instant::now());
        ProviderTrouble {
            breaker: state.breaker.map(|open| BreakerState {
                open_since: now - open.since.elapsed(),
                next_probe_at: ahead(open.next_probe_at),
                reason: self.reason.clone(),
            }),
            slowed: state
                .slowed_until
                .map(|until| SlowedState { requests_per_second: state.rate, until: ahead(until) }),
        }
    }
}
