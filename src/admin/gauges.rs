//! What the store says at the time of a scrape. Counting a million rows takes longer than a scrape may: then what was
//! counted last is given, and counted anew for the next one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

use super::Live;
use crate::clock::Timestamp;
use crate::forecast::Forecast;
use crate::renewal::State;
use crate::store::{
    self, Alert, Answers, Awaited, DispatchCounts, FeedState, Late, Leeway, SinkState, Store, counts_of,
};

/// Counts are good for so long, and for longer where counting takes long: it gets a twentieth of the time at the most.
const FRESH_FOR: Duration = Duration::from_secs(1);
const REST: u32 = 20;
/// A scrape waits so long for new counts where there are older ones.
const PATIENCE: Duration = Duration::from_millis(80);

/// One count of everything.
#[derive(Debug)]
pub struct Reading {
    taken: Instant,
    took: Duration,
    pub at: Timestamp,
    pub providers: Vec<OfProvider>,
    pub dispatches: Vec<DispatchCounts>,
    pub sinks: Vec<SinkState>,
    /// How many alerts of each kind stand.
    pub alerts: Vec<(&'static str, i64)>,
    pub bytes: i64,
}

#[derive(Debug)]
pub struct OfProvider {
    pub name: String,
    pub states: Vec<(State, i64)>,
    pub late: Late,
    pub answers: Answers,
    pub waiting: Awaited,
    /// When its lists were last read as a whole; `None`: it has none, or they are not read.
    pub listed_at: Option<Timestamp>,
}

impl Reading {
    fn is_fresh(&self) -> bool {
        self.taken.elapsed() < FRESH_FOR.max(self.took * REST)
    }
}

/// The last reading, and how to take the next. Clones share both.
#[derive(Clone)]
pub struct Gauges {
    live: watch::Receiver<Arc<Live>>,
    store: Store,
    latest: Arc<watch::Sender<Option<Arc<Reading>>>>,
    /// One counts at a time.
    counting: Arc<Mutex<()>>,
}

impl Gauges {
    pub fn new(live: watch::Receiver<Arc<Live>>, store: Store) -> Self {
        Self { live, store, latest: Arc::new(watch::Sender::new(None)), counting: Arc::default() }
    }

    /// The present counts, or slightly older ones where counting takes long.
    pub async fn read(&self) -> Result<Arc<Reading>, store::Error> {
        let last = self.latest.borrow().clone();
        if let Some(fresh) = last.as_ref().filter(|reading| reading.is_fresh()) {
            return Ok(fresh.clone());
        }
        let gauges = self.clone();
        // Goes on when nobody waits any longer.
        let counting = tokio::spawn(async move { gauges.count().await });
        let counted = match last {
            None => counting.await,
            Some(older) => match timeout(PATIENCE, counting).await {
                Ok(counted) => counted,
                Err(_) => return Ok(older),
            },
        };
        counted.unwrap_or(Err(store::Error::Closed))
    }

    async fn count(&self) -> Result<Arc<Reading>, store::Error> {
        let _only = self.counting.lock().await;
        // Somebody may have counted while this one waited.
        if let Some(fresh) = self.latest.borrow().as_ref().filter(|reading| reading.is_fresh()) {
            return Ok(fresh.clone());
        }
        let started = Instant::now();
        let mut reading = self.take().await?;
        reading.took = started.elapsed();
        let reading = Arc::new(reading);
        self.latest.send_replace(Some(reading.clone()));
        Ok(reading)
    }

    async fn take(&self) -> Result<Reading, store::Error> {
        let (store, now) = (&self.store, Timestamp::now());
        let live = self.live.borrow().clone();
        let rules = &live.rules;
        let groups = store.subscription_groups().await?;
        let mut providers = Vec::new();
        for (name, provider) in &live.settings.providers {
            let reads_lists = provider.feed.is_some_and(|feed| !feed.every.is_zero());
            let feed = if reads_lists { store.feed(name).await? } else { FeedState::default() };
            let forecast = Forecast::of_provider(&live.settings, name, |name| counts_of(&groups, name));
            let ours = groups.iter().filter(|group| group.provider == *name);
            let of = |state: State| ours.clone().filter(|group| group.state == state).map(|group| group.count).sum();
            providers.push(OfProvider {
                name: name.clone(),
                states: State::VARIANTS.iter().map(|state| (*state, of(*state))).collect(),
                late: store.count_late(name, &Leeway::new(rules.clone(), forecast, Duration::ZERO), now).await?,
                answers: store.answers(name).await?,
                waiting: store.count_awaited(name).await?,
                listed_at: feed.rows.iter().filter_map(|row| row.whole_at).max(),
            });
        }
        let alerts = store.alerts().await?;
        let standing = |kind: &str| alerts.iter().filter(|raised| raised.alert.kind == kind).count();
        Ok(Reading {
            taken: Instant::now(),
            took: Duration::ZERO,
            at: now,
            providers,
            dispatches: store.dispatch_counts().await?,
            sinks: store.sink_states().await?,
            alerts: Alert::KINDS.map(|kind| (kind, standing(kind) as i64)).to_vec(),
            bytes: store.bytes().await?,
        })
    }
}
