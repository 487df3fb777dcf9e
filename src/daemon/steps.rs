//! Steps of the wall clock, seen from the monotonic one, and from the last run. What is due is stored by the wall clock: where
//! that is set back, or stands still, everybody would be asked so much later.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::{DOUBTFUL_STEP, Judge, StepDetector, Timestamp};
use crate::store::{Reached, Store};

/// How soon a step is seen: two calls of the kernel's clocks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// So much later than it should may anything be. Clocks that are kept right by small corrections never get there.
const TOLERANCE: Duration = Duration::from_secs(5);

/// A clock further ahead of the last run's than this is doubted, rather than that nobody ran for so long.
const LONGEST_ABSENCE: Duration = Duration::from_secs(90 * 24 * 3600);

/// At the start: the judge has seen no step that was made while nobody ran.
pub(super) async fn look_back(store: &Store, judge: &Judge) {
    // A database that cannot be read stops all else.
    let Ok(Some(noted)) = store.noted_time().await else { return };
    let now = Timestamp::now();
    if now + DOUBTFUL_STEP < noted || now > noted + LONGEST_ABSENCE {
        tracing::warn!(%now, %noted, "the wall clock is far from what the last run noted: it ends no term and wipes nothing for a day");
        judge.doubt();
    }
}

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
    let mut reached = Reached::default();
    while let Err(error) = store.bring_forward(behind, Timestamp::now(), &mut reached).await {
        store.fail("clock", &error);
        store.works().await;
    }
    tracing::debug!(moved = reached.moved, "due times follow the clock that was set back");
}
