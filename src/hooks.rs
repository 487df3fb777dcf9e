//! Notifications of providers: `POST /hooks/NAME`, each a hint to look at the subscriptions it names (design section 12).
//!
//! Nothing in one is believed, logged or stored: which subscriptions are meant is read by the provider's convention, those that
//! are watched become due, and whoever asks then learns what there is to learn. What gets lost on the way costs minutes or hours,
//! and no renewal.

mod entry;
mod rates;
mod sender;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{Notify, watch};

use self::rates::Rates;
use self::sender::Sender;
use crate::convention::ReadHinted;
use crate::listen::guests::Guests;
use crate::listen::{self, Endpoint};
use crate::metrics::{HintMeter, Metrics};
use crate::settings::{SecretError, Settings};
use crate::store::{self, Store};

/// Why it could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Listen(#[from] listen::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What a reload may change while the doors are open: which providers are told of where, and by whom.
pub struct Live {
    receivers: BTreeMap<String, Receiver>,
    settings: Arc<Settings>,
}

/// What one provider's notifications need.
struct Receiver {
    listen: String,
    sender: Sender,
    hinted: ReadHinted,
}

impl Live {
    /// # Errors
    /// When a secret cannot be read.
    pub fn new(settings: Arc<Settings>) -> Result<Self, SecretError> {
        let mut receivers = BTreeMap::new();
        for (name, provider) in &settings.providers {
            let (Some(hints), Some(hinted)) = (&provider.hints, provider.kind.convention().hinted) else { continue };
            let receiver = Receiver { listen: hints.listen.clone(), sender: Sender::new(&hints.sender)?, hinted };
            receivers.insert(name.clone(), receiver);
        }
        Ok(Self { receivers, settings })
    }
}

/// What they are given.
pub struct Parts {
    pub live: watch::Receiver<Arc<Live>>,
    pub store: Store,
    pub metrics: Metrics,
    /// Rung when subscriptions have become due.
    pub sweep_bell: Arc<Notify>,
}

/// What all requests share.
struct Site {
    live: watch::Receiver<Arc<Live>>,
    store: Store,
    metrics: Metrics,
    sweep_bell: Arc<Notify>,
    rates: Rates,
    guests: Guests,
}

impl Site {
    fn meter(&self, provider: &str) -> HintMeter {
        self.metrics.hints(provider)
    }
}

/// Listens at every address that the settings name, and answers from now on; `None` where they name none.
///
/// # Errors
/// When it cannot listen at one of them.
pub fn open(parts: Parts) -> Result<Option<Endpoint>, Error> {
    let doors = doors(&parts.live.borrow().settings);
    if doors.is_empty() {
        return Ok(None);
    }
    let live = parts.live.borrow().clone();
    // So that the counters are there before the first of them comes.
    live.receivers.keys().for_each(|name| drop(parts.metrics.hints(name)));
    let store = parts.store.beside()?;
    let Parts { live, metrics, sweep_bell, .. } = parts;
    let site = Arc::new(Site { live, store, metrics, sweep_bell, rates: Rates::default(), guests: Guests::default() });
    let mut bound = Vec::new();
    for (listen, key) in &doors {
        bound.push((listen::bind(key, listen)?, entry::router(site.clone(), listen)));
    }
    let endpoint = Endpoint::open("hooks", bound, std::future::ready(()))?;
    for listen in doors.keys() {
        tracing::info!(%listen, "notifications are taken");
    }
    Ok(Some(endpoint))
}

/// Each address once, with the first key that names it.
fn doors(settings: &Settings) -> BTreeMap<String, String> {
    let mut doors = BTreeMap::new();
    for (name, provider) in &settings.providers {
        if let Some(hints) = &provider.hints {
            doors.entry(hints.listen.clone()).or_insert_with(|| format!("providers.{name}.hints.listen"));
        }
    }
    doors
}

/// The addresses that these settings name.
pub fn addresses(settings: &Settings) -> BTreeSet<String> {
    doors(settings).into_keys().collect()
}
