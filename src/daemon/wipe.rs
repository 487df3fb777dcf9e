//! Wipes payloads that nobody needs any more, and only under a clock that can be believed: what is wiped is gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{Clock, DOUBTFUL_STEP, Judge, Timestamp};
use crate::settings::Settings;
use crate::store::{self, Store};

/// How often old payloads are looked for.
const WIPE_EVERY: Duration = Duration::from_secs(3600);
/// A clock further ahead of the last run's than this is not believed before it is seen again.
const LONGEST_ABSENCE: Duration = Duration::from_secs(7 * 24 * 3600);

/// At the start and hourly, unless the clock is doubted.
pub(super) async fn hourly(store: Store, settings: watch::Receiver<Arc<Settings>>, judge: Judge) {
    let first = settings.borrow().clone();
    tell(at_the_start(&store, &first).await);
    loop {
        tokio::time::sleep(WIPE_EVERY).await;
        let settings = settings.borrow().clone();
        tell(match judge.clock() {
            Clock::Believed => now(&store, &settings).await,
            // What is noted under such a clock would let the next start, which knows of no step, believe it.
            Clock::Doubted => store.forget_time().await,
        });
    }
}

fn tell(wiped: Result<(), store::Error>) {
    if let Err(error) = wiped {
        tracing::warn!(error = %crate::chain(&error), "could not wipe old payloads; tried again in an hour");
    }
}

/// One that never runs for an hour must wipe too. Where the clock disagrees with what the last run noted, the note stays as it is:
/// readiness tells of it.
async fn at_the_start(store: &Store, settings: &Settings) -> Result<(), store::Error> {
    if is_believable(store.noted_time().await?, Timestamp::now()) {
        return now(store, settings).await;
    }
    tracing::debug!("no payload is wiped before the clock is seen again in an hour");
    Ok(())
}

/// Once, if the clock can be believed.
pub(super) async fn now(store: &Store, settings: &Settings) -> Result<(), store::Error> {
    let now = Timestamp::now();
    if is_believable(store.note_time(now).await?, now) { wipe(store, settings, now).await } else { Ok(()) }
}

/// Whether the clock agrees with what the last run noted: what is wiped under a wrong one is gone. A machine that was off
/// for longer keeps its payloads until the next look.
fn is_believable(before: Option<Timestamp>, now: Timestamp) -> bool {
    before.is_some_and(|before| now + DOUBTFUL_STEP >= before && now <= before + LONGEST_ABSENCE)
}

async fn wipe(store: &Store, settings: &Settings, now: Timestamp) -> Result<(), store::Error> {
    let configured = settings.sinks.keys().cloned().collect();
    let (delivered, dead) = (now - settings.store.retention, now - settings.store.dead_retention);
    let purged = store.wipe_payloads(delivered, dead, configured, now).await?;
    if purged.undelivered > 0 {
        tracing::error!(
            messages = purged.undelivered,
            "wiped payloads not received by every sink: dead_retention is over"
        );
    }
    if purged.delivered > 0 {
        tracing::info!(messages = purged.delivered, "wiped delivered payloads");
    }
    Ok(())
}
