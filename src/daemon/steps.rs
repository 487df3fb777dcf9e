//! Steps of the wall clock, seen from the monotonic one. What is due is stored by the wall clock: where that is set back, or
//! stands still, everybody would be asked so much later.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::{StepDetector, Timestamp};
use crate::store::{Progress, Store};

/// How soon a step is seen: two calls of the kernel's clocks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// So much later than it should may anything be. Clocks that are kept right by small corrections never get there.
const TOLERANCE: Duration = Duration::from_secs(5);

/// Brings forward what a step has put off, and rings, so that everybody looks what is due now. Ends never.
pub(super) async fn watch(store: Store, bell: Arc<Notify>) {
    let mut clock = StepDetector::start();
    let mut steps = 0_u32;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Some(step) = clock.step(TOLERANCE) {
            steps = steps.saturating_add(1);
            // One that stands still makes a step every few seconds.
            if steps.is_power_of_two() {
                tracing::warn!(seconds = step, steps, "the wall clock was set, or does not run evenly");
            }
            bell.notify_one();
            if step < 0 {
                bring_forward(&store, Duration::from_secs(step.unsigned_abs())).await;
                bell.notify_one();
            }
        }
    }
}

/// As often as it takes: what a full disk leaves half done would be put off.
async fn bring_forward(store: &Store, behind: Duration) {
    let mut progress = Progress::default();
    while let Err(error) = store.bring_forward(behind, Timestamp::now(), &mut progress).await {
        store.fail("clock", &error);
        store.works().await;
    }
    tracing::debug!(moved = progress.moved, "due times follow the clock that was set back");
}
