//! Ticks: every 30 s the bells ring, and whoever waits for one looks into the store for what is due.
//!
//! A tick does no work itself. tokio-cron-scheduler, which only this file names, sends the ticks; it is known to fall silent
//! after a clock step or a stall of the runtime, so a supervisor on the monotonic clock passes them on, and rings by itself
//! when none came for two periods.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

/// The ticks, until [`Schedule::shutdown`] or drop.
pub struct Schedule {
    /// Its tasks end when this is dropped.
    _running: watch::Sender<()>,
}

impl Schedule {
    /// Rings every bell once a period, the first time after at most two. The crate counts in whole seconds of the wall
    /// clock's minute: a period is one to 59 of them, and best a divisor of 60. Must be called within a runtime.
    ///
    /// A bell keeps one ring: what falls into a pass of its owner is neither lost nor piled up.
    pub fn start(bells: Vec<Arc<Notify>>, period: Duration) -> Self {
        let running = watch::Sender::new(());
        let ticks = Arc::new(Notify::new());
        tokio::spawn(run_crate(ticks.clone(), period, running.subscribe()));
        let mut stopped = running.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                _ = stopped.changed() => {}
                () = supervise(&ticks, &bells, period) => {}
            }
        });
        Self { _running: running }
    }

    /// No bell rings on its own after this.
    pub fn shutdown(self) {}
}

/// Passes ticks on to the bells and stands in for them while there are none.
async fn supervise(ticks: &Notify, bells: &[Arc<Notify>], period: Duration) {
    let mut silent = false;
    loop {
        let within = if silent { period } else { 2 * period };
        let heard = timeout(within, ticks.notified()).await.is_ok();
        if heard && silent {
            tracing::info!("tokio-cron-scheduler ticks again");
        } else if !heard && !silent {
            tracing::warn!("no tick from tokio-cron-scheduler for {within:?}: ticking without it");
        }
        silent = !heard;
        bells.iter().for_each(|bell| bell.notify_one());
    }
}

/// Lets the crate tick until `running` is dropped. Its failing to start is no more than its silence.
async fn run_crate(ticks: Arc<Notify>, period: Duration, mut running: watch::Receiver<()>) {
    let mut scheduler = match start_crate(ticks, period).await {
        Ok(scheduler) => scheduler,
        Err(error) => return tracing::warn!("tokio-cron-scheduler did not start: {error}"),
    };
    while running.changed().await.is_ok() {}
    if let Err(error) = scheduler.shutdown().await {
        tracing::warn!("tokio-cron-scheduler did not stop: {error}");
    }
}

async fn start_crate(ticks: Arc<Notify>, period: Duration) -> Result<JobScheduler, JobSchedulerError> {
    // A cron expression, since the crate's own "every 30 s" makes up for a step of a year with a tick for each half minute.
    let every = format!("*/{} * * * * *", period.as_secs().clamp(1, 59));
    let scheduler = JobScheduler::new().await?;
    scheduler.add(Job::new(every, move |_, _| ticks.notify_one())?).await?;
    scheduler.start().await?;
    Ok(scheduler)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const PERIOD: Duration = Duration::from_secs(30);

    /// The supervisor alone: what the crate would send is sent by the test.
    fn supervised() -> (Arc<Notify>, Arc<Notify>) {
        let (ticks, bell) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (heard, bells) = (ticks.clone(), vec![Arc::new(Notify::new()), bell.clone()]);
        tokio::spawn(async move { supervise(&heard, &bells, PERIOD).await });
        (ticks, bell)
    }

    #[tokio::test(start_paused = true)]
    async fn a_tick_rings_the_bell_at_once() {
        let (ticks, bell) = supervised();
        for _ in 0..3 {
            let start = Instant::now();
            ticks.notify_one();
            bell.notified().await;
            assert_eq!(start.elapsed(), Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_bridged_after_two_periods_then_every_period() {
        let (ticks, bell) = supervised();
        let start = Instant::now();
        for periods in [2, 3, 4] {
            bell.notified().await;
            assert_eq!(start.elapsed().as_secs(), periods * 30);
        }
        ticks.notify_one();
        bell.notified().await;
        assert_eq!(start.elapsed().as_secs(), 4 * 30, "the tick that came back");
        bell.notified().await;
        assert_eq!(start.elapsed().as_secs(), 6 * 30, "two periods of patience again");
    }

    #[tokio::test]
    async fn the_crate_ticks() {
        let ticks = Arc::new(Notify::new());
        let mut scheduler = start_crate(ticks.clone(), Duration::from_secs(1)).await.unwrap();
        timeout(Duration::from_secs(20), ticks.notified()).await.unwrap();
        scheduler.shutdown().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_rings_after_shutdown() {
        let bell = Arc::new(Notify::new());
        let schedule = Schedule::start(vec![bell.clone()], PERIOD);
        bell.notified().await;
        schedule.shutdown();
        assert!(timeout(100 * PERIOD, bell.notified()).await.is_err());
    }
}
