//! Whether the process lives, and whether it does its work.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::Site;
use crate::clock::Timestamp;
use crate::pulse::Pulses;
use crate::signals::Shutdown;
use crate::store::Store;

/// Each loop turns more often, see [`crate::pulse::LONGEST_WAIT`]; a database that another process keeps busy may hold it up.
const READY_WITHIN: Duration = Duration::from_secs(120);
const WRITES_WITHIN: Duration = Duration::from_secs(2);
/// A write that worked so lately need not be tried again.
const WROTE_LATELY: Duration = Duration::from_secs(5);
/// When this version was written: no clock is right that says it is earlier. 2026-11-01.
const WRITTEN_AT: Timestamp = Timestamp::from_unix(1_793_491_200);
/// The wall clock was noted within the last hour; it may have been set back by no more than this since.
const SET_BACK: Duration = Duration::from_secs(5 * 60);

/// What `/readyz` answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    pub ready: bool,
    /// Why it is not, for a person; empty when it is.
    pub reasons: Vec<String>,
}

/// What `/healthz` answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Liveness {
    alive: bool,
    version: &'static str,
}

pub struct Health {
    store: Store,
    pulses: Pulses,
    shutdown: Shutdown,
    wrote_at: Mutex<Option<Instant>>,
}

impl Health {
    pub fn new(store: Store, pulses: Pulses, shutdown: Shutdown) -> Self {
        Self { store, pulses, shutdown, wrote_at: Mutex::new(None) }
    }

    async fn readiness(&self) -> Readiness {
        let mut reasons = Vec::new();
        if self.shutdown.is_requested() {
            reasons.push("it is ending".to_owned());
        }
        reasons.extend(self.not_writable().await);
        for stuck in self.pulses.stuck(READY_WITHIN) {
            reasons.push(format!("{} has not turned for {} s", stuck.name, stuck.since.as_secs()));
        }
        reasons.extend(self.wrong_clock(Timestamp::now()).await);
        // A database that cannot be read has been told of already.
        reasons.extend(self.store.key_trouble().await.unwrap_or_default());
        Readiness { ready: reasons.is_empty(), reasons }
    }

    async fn not_writable(&self) -> Option<String> {
        // Whoever waits for it to work again tries that often enough.
        if let Some(reason) = self.store.trouble() {
            return Some(format!("the database cannot be written: {reason}"));
        }
        let lately = |at: Option<Instant>| at.is_some_and(|at| at.elapsed() < WROTE_LATELY);
        if lately(*self.wrote_at.lock().unwrap_or_else(PoisonError::into_inner)) {
            return None;
        }
        match timeout(WRITES_WITHIN, self.store.probe_write()).await {
            Ok(Ok(())) => {
                *self.wrote_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                None
            }
            Ok(Err(error)) => {
                if error.is_transient() {
                    self.store.fail("readiness", &error);
                }
                Some(format!("the database cannot be written: {}", crate::chain(&error)))
            }
            Err(_) => Some(format!("the database took no write within {} s", WRITES_WITHIN.as_secs())),
        }
    }

    async fn wrong_clock(&self, now: Timestamp) -> Option<String> {
        if now < WRITTEN_AT {
            return Some(format!("the clock says {now}, which is before this version was written"));
        }
        // A database that cannot be read has been told of already.
        let noted = self.store.noted_time().await.ok()??;
        (now + SET_BACK < noted).then(|| format!("the clock says {now}, and has said {noted} before"))
    }
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "It lives", body = Liveness)))]
pub async fn healthz() -> Json<Liveness> {
    Json(Liveness { alive: true, version: env!("CARGO_PKG_VERSION") })
}

/// The store can be written, every loop turns, the clock can be right, and no message waits for a key.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    responses(
        (status = 200, description = "It does its work", body = Readiness),
        (status = 503, description = "It does not, and why", body = Readiness),
    )
)]
pub async fn readyz(State(site): State<Arc<Site>>) -> (StatusCode, Json<Readiness>) {
    let readiness = site.health.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}
