//! The dead-man's switch: while all is well a request goes to `admin.heartbeat_url`, at most hourly. When it stays away,
//! whoever listens there raises the alarm, also for a machine that is off.
//!
//! Whether all is well is for others to say.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::settings::Admin;
use crate::store::{self, Store};
use crate::tls;

/// Between two beats of the daemon.
pub const EVERY: Duration = Duration::from_secs(3600);
/// Between two beats of one-shot runs: an hourly one that ends a little sooner than the last must not skip every other beat.
pub const EVERY_ONCE: Duration = Duration::from_secs(55 * 60);

const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub struct Heartbeat {
    /// The operator was told that it does not get through.
    failing: bool,
}

impl Heartbeat {
    /// Sends a beat where one is configured and the last one is old enough, whoever sent it. A failure is told once, never
    /// more than a warning, and tried again when the next one is due.
    ///
    /// # Errors
    /// The store's alone.
    pub async fn beat(
        &mut self,
        store: &Store,
        admin: &Admin,
        every: Duration,
        now: Timestamp,
    ) -> Result<(), store::Error> {
        let Some(url) = &admin.heartbeat_url else { return Ok(()) };
        let last = store.last_heartbeat().await?;
        // One from the future was sent under a wrong clock.
        if last.is_some_and(|last| last <= now && now.since(last) < every) {
            return Ok(());
        }
        // Before it goes out: a restart does not send it again.
        store.note_heartbeat(now).await?;
        match send(url).await {
            Ok(()) if std::mem::take(&mut self.failing) => tracing::info!("the heartbeat gets through again"),
            Ok(()) => tracing::debug!("heartbeat sent"),
            Err(reason) if !std::mem::replace(&mut self.failing, true) => {
                tracing::warn!(%reason, "the heartbeat does not get through; tried again in an hour");
            }
            Err(reason) => tracing::debug!(%reason, "the heartbeat still does not get through"),
        }
        Ok(())
    }
}

/// The reason never holds the URL: whoever knows that can keep the switch quiet.
async fn send(url: &str) -> Result<(), String> {
    let client = tls::client_builder(None, None).map_err(|error| crate::chain(&error))?;
    let told = |error: reqwest::Error| crate::chain(&error.without_url());
    let answer = client.timeout(TIMEOUT).build().map_err(told)?.get(url).send().await.map_err(told)?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("answered {}", status.as_u16())),
    }
}
