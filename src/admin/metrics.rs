//! `/metrics`: the loops' counters and the store's gauges as OpenMetrics text. Names and labels are an interface.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::gauges::{Gauges, OfProvider, Reading};
use super::{Live, Site};
use crate::clock::Timestamp;
use crate::listen::problem::Problem;
use crate::metrics::{Labels, Metrics};
use crate::settings::Settings;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Whole<const N: usize> = Family<Labels<N>, Gauge>;
type Fraction<const N: usize> = Family<Labels<N>, Gauge<f64, AtomicU64>>;

/// All metrics of the process.
pub struct Exposition {
    gauges: Gauges,
    /// Setting and encoding belong together: another scrape must not find half of it.
    shown: Mutex<Shown>,
}

struct Shown {
    registry: Registry,
    budget_used: Fraction<1>,
    breaker_open: Whole<1>,
    subscriptions: Whole<2>,
    overdue: Whole<1>,
    oldest_answer: Whole<1>,
    waiting: Whole<1>,
    oldest_waiting: Whole<1>,
    feed_age: Whole<1>,
    not_renewed: Whole<1>,
    dispatches: Whole<2>,
    sink_blocked: Whole<1>,
    alerts: Whole<1>,
    store_bytes: Gauge,
}

impl Exposition {
    pub fn new(metrics: &Metrics, gauges: Gauges) -> Self {
        Self { gauges, shown: Mutex::new(Shown::new(metrics)) }
    }

    /// Counts once, so that no scrape waits for it.
    pub async fn warm_up(&self) {
        if let Err(error) = self.gauges.read().await {
            tracing::warn!(error = %crate::chain(&error), "metrics: could not count; tried again at the next scrape");
        }
    }

    async fn text(&self, live: &Live) -> Result<String, Problem> {
        let reading = self.gauges.read().await?;
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.forget_providers();
        for (name, budget) in &live.budgets {
            let state = budget.state();
            shown.budget_used.get_or_create(&provider(name)).set(state.used_share);
            shown.breaker_open.get_or_create(&provider(name)).set(state.breaker.is_some().into());
        }
        for of in &reading.providers {
            shown.set_provider(of, reading.at);
        }
        shown.set_sinks(&reading, &live.settings);
        for (kind, count) in &reading.alerts {
            shown.alerts.get_or_create(&[("kind", (*kind).to_owned())]).set(*count);
        }
        shown.store_bytes.set(reading.bytes);
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &shown.registry) {
            Ok(()) => Ok(text),
            Err(_) => Err(Problem::internal()),
        }
    }
}

impl Shown {
    fn new(metrics: &Metrics) -> Self {
        let mut registry = Registry::with_prefix("renewald");
        metrics.register(&mut registry);
        registry.register("build", "The version that runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let seconds = Some(Unit::Seconds);
        let r = &mut registry;
        Self {
            budget_used: gauge(r, "budget_used_ratio", "Requests of the last minute, of those the budget allows", None),
            breaker_open: gauge(r, "breaker_open", "1 while the provider stays away and only probes are sent", None),
            subscriptions: gauge(r, "subscriptions", "Subscriptions by state", None),
            overdue: gauge(r, "overdue_subscriptions", "Without an answer for longer than their interval", None),
            oldest_answer: gauge(
                r,
                "oldest_answer_age",
                "Age of the oldest last answer of a watched one",
                seconds.clone(),
            ),
            waiting: gauge(r, "renewals_waiting", "Renewals whose order data is awaited", None),
            oldest_waiting: gauge(r, "oldest_waiting_age", "Since the first of them was seen", seconds.clone()),
            feed_age: gauge(r, "feed_age", "Since the provider's own lists were last read as a whole", seconds),
            not_renewed: gauge(r, "not_renewed_subscriptions", "Their term ended without a renewal", None),
            dispatches: gauge(r, "dispatches", "Messages by sink and state", None),
            sink_blocked: gauge(r, "sink_blocked", "1 while the sink itself is in trouble", None),
            alerts: gauge(r, "alerts", "Alerts that stand, by kind", None),
            store_bytes: gauge(r, "store", "Size of the database, without its log", Some(Unit::Bytes)),
            registry,
        }
    }

    /// A reload may have taken one away.
    fn forget_providers(&self) {
        self.budget_used.clear();
        self.subscriptions.clear();
        for family in [
            &self.breaker_open,
            &self.overdue,
            &self.oldest_answer,
            &self.waiting,
            &self.oldest_waiting,
            &self.feed_age,
            &self.not_renewed,
        ] {
            family.clear();
        }
    }

    fn set_provider(&self, of: &OfProvider, now: Timestamp) {
        let labels = provider(&of.name);
        let age = |since: Option<Timestamp>| since.map_or(0, |at| now.since(at).as_secs() as i64);
        for (state, count) in &of.states {
            let labels = [("provider", of.name.clone()), ("state", state.to_string())];
            self.subscriptions.get_or_create(&labels).set(*count);
        }
        self.overdue.get_or_create(&labels).set(of.late.overdue());
        self.oldest_answer.get_or_create(&labels).set(age(of.answers.oldest_at));
        self.waiting.get_or_create(&labels).set(of.waiting.renewals);
        self.oldest_waiting.get_or_create(&labels).set(age(of.waiting.oldest_detected_at));
        if of.listed_at.is_some() {
            self.feed_age.get_or_create(&labels).set(age(of.listed_at));
        }
        self.not_renewed.get_or_create(&labels).set(of.answers.not_renewed);
    }

    /// The sinks of the settings, and those that were removed while something was left for them.
    fn set_sinks(&self, reading: &Reading, settings: &Settings) {
        let left =
            reading.dispatches.iter().filter(|counts| counts.pending + counts.dead > 0).map(|counts| &counts.sink);
        let names: BTreeSet<&String> = settings.sinks.keys().chain(left).collect();
        self.dispatches.clear();
        self.sink_blocked.clear();
        for name in names {
            let counts = reading.dispatches.iter().find(|counts| counts.sink == *name);
            let of = |value: fn(&crate::store::DispatchCounts) -> i64| counts.map_or(0, value);
            for (state, count) in
                [("pending", of(|c| c.pending)), ("delivered", of(|c| c.delivered)), ("dead", of(|c| c.dead))]
            {
                let labels = [("sink", name.clone()), ("state", state.to_owned())];
                self.dispatches.get_or_create(&labels).set(count);
            }
            let is_blocked = reading.sinks.iter().any(|state| state.sink == *name && state.blocked_since.is_some());
            self.sink_blocked.get_or_create(&[("sink", name.clone())]).set(is_blocked.into());
        }
    }
}

fn provider(name: &str) -> Labels<1> {
    [("provider", name.to_owned())]
}

/// Registers a gauge, or a family of them, and keeps a handle.
fn gauge<M>(registry: &mut Registry, name: &str, help: &str, unit: Option<Unit>) -> M
where
    M: prometheus_client::registry::Metric + Default + Clone,
{
    let metric = M::default();
    match unit {
        Some(unit) => registry.register_with_unit(name, help, unit, metric.clone()),
        None => registry.register(name, help, metric.clone()),
    }
    metric
}

/// Metrics in the text format of OpenMetrics.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    responses(
        (status = 200, description = "OpenMetrics", content_type = "application/openmetrics-text", body = String),
        (status = 500, description = "They could not be counted", content_type = "application/problem+json", body = Problem),
        (status = 503, description = "The database cannot be read now", content_type = "application/problem+json", body = Problem),
    )
)]
pub async fn metrics(State(site): State<Arc<Site>>) -> Result<impl IntoResponse, Problem> {
    let text = site.exposition.text(&site.live()).await?;
    Ok(([(CONTENT_TYPE, OPENMETRICS)], text))
}
