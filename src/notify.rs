//! What systemd is told (`Type=notify`): that we are ready, how things stand, and that every loop still turns. Where nobody
//! listens, nothing is sent; the crate finds the socket by the environment variables of this protocol.
//!
//! When it is told is up to whoever calls; what progress is, to [`Pulses`].

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::clock::Timestamp;
use crate::environment;
use crate::forecast::Forecast;
use crate::pulse::Pulses;
use crate::renewal::Rules;
use crate::settings::Settings;
use crate::store::{self, Leeway, QueueDepth, Store, counts_of};

/// A loop that has not turned for so long hangs; see [`crate::pulse::LONGEST_WAIT`].
const TURNS_WITHIN: Duration = Duration::from_secs(30);
/// How old the status line may be.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Where counting takes long, the status line is told less often: this is its share of the time.
const SHARE: u32 = 100;
/// Within each period of the watchdog it is fed so often: one look at a loop that just takes its time does no harm.
const FEEDS: u32 = 6;

/// The store is open and whoever wants to can connect. Also the end of a reload.
pub fn ready() {
    send(&[NotifyState::Ready]);
}

/// A reload has begun; [`ready`] ends it.
pub fn reloading() {
    let since = NotifyState::monotonic_usec_now().ok();
    send(&[Some(NotifyState::Reloading), since].into_iter().flatten().collect::<Vec<_>>());
}

/// The drain begins.
pub fn stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("finishing what is in hand")]);
}

/// Feeds the watchdog as long as every loop turns, where there is one. Never returns.
pub async fn feed(pulses: Pulses) {
    let Some(period) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    let every = (period / FEEDS).max(Duration::from_millis(100));
    feed_every(every, TURNS_WITHIN, pulses, || send(&[NotifyState::Watchdog])).await;
}

async fn feed_every(every: Duration, turns_within: Duration, pulses: Pulses, mut feed: impl FnMut()) {
    let mut feeding = tokio::time::interval(every);
    feeding.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_hungry = false;
    loop {
        feeding.tick().await;
        let stuck = pulses.stuck(turns_within);
        if stuck.is_empty() {
            feed();
        } else if !was_hungry {
            let names: Vec<_> = stuck.iter().map(|stuck| stuck.name.as_str()).collect();
            tracing::warn!(
                loops = names.join(", "),
                "has not turned for half a minute: systemd's watchdog is not fed until it does"
            );
        }
        was_hungry = !stuck.is_empty();
    }
}

/// Keeps the line that `systemctl status` shows up to date.
pub async fn tell(store: Store, settings: watch::Receiver<Arc<Settings>>) {
    if !environment::is_notified() {
        return std::future::pending().await;
    }
    // Nobody else waits for these counts.
    let store = match store.beside() {
        Ok(store) => store,
        Err(error) => return tracing::warn!(error = %crate::chain(&error), "systemd is not told how things stand"),
    };
    loop {
        let started = Instant::now();
        let present = settings.borrow().clone();
        match Standing::read(&store, &present, Timestamp::now()).await {
            Ok(standing) => send(&[NotifyState::Status(&standing.to_text())]),
            Err(error) => tracing::debug!(error = %crate::chain(&error), "cannot tell systemd how things stand"),
        }
        tokio::time::sleep(TELL_EVERY.max(SHARE * started.elapsed())).await;
    }
}

fn send(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd does not listen");
    }
}

/// Freshness and queue, over all providers and sinks.
#[derive(Debug, Default)]
struct Standing {
    asked: i64,
    overdue: i64,
    delayed: i64,
    refused: i64,
    pending: i64,
    dead: i64,
    blocked: Vec<String>,
}

impl Standing {
    async fn read(store: &Store, settings: &Settings, now: Timestamp) -> Result<Self, store::Error> {
        let mut standing = Self::default();
        let (groups, rules) = (store.subscription_groups().await?, Rules::from_settings(settings));
        standing.asked = groups.iter().filter(|group| group.is_asked).map(|group| group.count).sum();
        for name in settings.providers.keys() {
            let forecast = Forecast::of_provider(settings, name, |name| counts_of(&groups, name));
            let late = store.count_late(name, &Leeway::new(rules.clone(), forecast, Duration::ZERO), now).await?;
            standing.overdue += late.overdue();
            standing.delayed += late.delayed;
            standing.refused += late.refused;
        }
        for QueueDepth { pending, dead, .. } in store.queue_depths().await? {
            standing.pending += pending;
            standing.dead += dead;
        }
        let states = store.sink_states().await?;
        let blocked = states.into_iter().filter(|state| state.blocked_since.is_some()).map(|state| state.sink);
        standing.blocked = blocked.filter(|sink| settings.sinks.contains_key(sink)).collect();
        Ok(standing)
    }

    fn to_text(&self) -> String {
        let Self { asked, overdue, delayed, refused, pending, dead, blocked } = self;
        let mut text = format!("{asked} subscriptions");
        let mut add = |count: i64, what: &str| {
            if count > 0 {
                text.push_str(&format!(", {count} {what}"));
            }
        };
        add(*overdue, "overdue");
        add(*delayed, "delayed by the budget");
        add(*refused, "refused");
        if *overdue == 0 && *delayed == 0 {
            text.push_str(", all fresh");
        }
        text.push_str(&format!("; {pending} messages wait"));
        if *dead > 0 {
            text.push_str(&format!(", {dead} dead"));
        }
        if !blocked.is_empty() {
            text.push_str(&format!("; in trouble: {}", blocked.join(", ")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn the_watchdog_is_fed_only_while_every_loop_turns() {
        const EVERY: Duration = Duration::from_millis(1);
        const WITHIN: Duration = Duration::from_millis(50);
        let (pulses, (fed, mut meals)) = (Pulses::default(), mpsc::unbounded_channel());
        let (turning, hangs) = (pulses.start("relay shop"), pulses.start("sweep nexway"));
        tokio::spawn(feed_every(EVERY, WITHIN, pulses.clone(), move || fed.send(()).unwrap()));
        meals.recv().await.expect("fed: both have just begun");
        while pulses.stuck(WITHIN).is_empty() {
            turning.turn();
            tokio::task::yield_now().await;
        }
        while meals.try_recv().is_ok() {}
        let looks = tokio::time::timeout(EVERY * 20, meals.recv());
        assert!(looks.await.is_err(), "twenty looks at one that hangs, and not fed");
        while meals.try_recv().is_err() {
            turning.turn();
            hangs.turn();
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn the_status_line_tells_what_is_well_and_what_is_not() {
        let mut standing = Standing { asked: 1200, ..Standing::default() };
        assert_eq!(standing.to_text(), "1200 subscriptions, all fresh; 0 messages wait");
        (standing.overdue, standing.delayed, standing.refused) = (7, 20, 1);
        (standing.pending, standing.dead, standing.blocked) = (3, 1, vec!["shop".to_owned()]);
        assert_eq!(
            standing.to_text(),
            "1200 subscriptions, 7 overdue, 20 delayed by the budget, 1 refused; 3 messages wait, 1 dead; in trouble: shop"
        );
    }
}
