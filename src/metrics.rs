//! What the loops count as they work: polls, renewals, publishes. What stands in the store is counted there, by whoever
//! serves the metrics. Names and labels are an interface (docs/api.md, "Metrics"); no label holds a customer's datum.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::renewal::Outcome;
use crate::text::forms::text_forms;

/// Label names with their values.
pub type Labels<const N: usize> = [(&'static str, String); N];

/// Seconds: from an answer of a server next door to one that is given up.
const BUCKETS: [f64; 8] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// All counters of a process. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    polls: Family<Labels<2>, Counter>,
    poll_seconds: Histogram,
    renewals: Family<Labels<1>, Counter>,
    feed_pages: Family<Labels<1>, Counter>,
    delivery_seconds: Family<Labels<1>, Histogram, fn() -> Histogram>,
    hints: Family<Labels<2>, Counter>,
    shop_calls: Family<Labels<3>, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            polls: Family::default(),
            poll_seconds: seconds(),
            renewals: Family::default(),
            feed_pages: Family::default(),
            delivery_seconds: Family::new_with_constructor(seconds),
            hints: Family::default(),
            shop_calls: Family::default(),
        }
    }
}

fn seconds() -> Histogram {
    Histogram::new(BUCKETS)
}

impl Metrics {
    /// Makes them visible to whoever encodes the registry, whose prefix is `renewald`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("polls", "Status requests by what came of them", self.polls.clone());
        let help = "How long a status request took, whatever came of it";
        registry.register_with_unit("poll", help, Unit::Seconds, self.poll_seconds.clone());
        registry.register("renewals_detected", "Generations newly seen", self.renewals.clone());
        registry.register("hints", "What became of notifications", self.hints.clone());
        registry.register("shop_calls", "A shop's calls by what came of them", self.shop_calls.clone());
        registry.register("feed_pages", "Pages that were read of the provider's own lists", self.feed_pages.clone());
        let help = "How long a publish took that the sink took";
        registry.register_with_unit("delivery", help, Unit::Seconds, self.delivery_seconds.clone());
    }

    /// What one sweeper counts. All its series are there from now on, at zero.
    pub fn sweep(&self, provider: &str) -> SweepMeter {
        let labels = |outcome: Outcome| [("provider", provider.to_owned()), ("outcome", outcome.to_string())];
        SweepMeter {
            polls: Outcome::VARIANTS
                .iter()
                .map(|outcome| (*outcome, self.polls.get_or_create_owned(&labels(*outcome))))
                .collect(),
            poll_seconds: self.poll_seconds.clone(),
            renewals: self.renewals.get_or_create_owned(&[("provider", provider.to_owned())]),
            feed_pages: self.feed_pages.get_or_create_owned(&[("provider", provider.to_owned())]),
        }
    }

    /// What is counted of one provider's notifications. All its series are there from now on.
    pub fn hints(&self, provider: &str) -> HintMeter {
        let labels = |outcome: HintOutcome| [("provider", provider.to_owned()), ("outcome", outcome.to_string())];
        let counter = |outcome: &HintOutcome| (*outcome, self.hints.get_or_create_owned(&labels(*outcome)));
        HintMeter(HintOutcome::VARIANTS.iter().map(counter).collect())
    }

    /// One call of a shop. None of the three may hold what somebody made up.
    pub fn shop_call(&self, provider: &str, call: crate::call::Name, outcome: &'static str) {
        let labels =
            [("provider", provider.to_owned()), ("call", call.as_str().to_owned()), ("outcome", outcome.to_owned())];
        self.shop_calls.get_or_create_owned(&labels).inc();
    }

    /// What one relay counts.
    pub fn relay(&self, sink: &str) -> RelayMeter {
        RelayMeter { seconds: self.delivery_seconds.get_or_create_owned(&[("sink", sink.to_owned())]) }
    }
}

/// What becomes of a notification, or of a subscription that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HintOutcome {
    /// The subscription is looked at.
    Raised,
    /// It is looked at soon anyway.
    Soon,
    /// It is paused, ended, or not tracked any more.
    AtRest,
    /// Nobody tracks it.
    Untracked,
    /// No subscription is named, or the body did not come.
    Unreadable,
    /// The secret was wrong, or missing.
    Refused,
    /// There were too many in a second.
    TooMany,
}

text_forms!(HintOutcome {
    Raised = "raised",
    Soon = "soon",
    AtRest = "at_rest",
    Untracked = "untracked",
    Unreadable = "unreadable",
    Refused = "refused",
    TooMany = "too_many",
});

/// The counters of one provider's notifications.
#[derive(Clone, Debug)]
pub struct HintMeter(Vec<(HintOutcome, Counter)>);

impl HintMeter {
    pub fn count(&self, outcome: HintOutcome, count: usize) {
        if let Some((_, counter)) = self.0.iter().find(|(of, _)| *of == outcome) {
            counter.inc_by(count as u64);
        }
    }
}

/// A sweeper's counters.
#[derive(Clone, Debug)]
pub struct SweepMeter {
    polls: Vec<(Outcome, Counter)>,
    poll_seconds: Histogram,
    renewals: Counter,
    feed_pages: Counter,
}

impl SweepMeter {
    pub fn polled(&self, outcome: Outcome, took: Duration) {
        if let Some((_, counter)) = self.polls.iter().find(|(of, _)| *of == outcome) {
            counter.inc();
        }
        self.poll_seconds.observe(took.as_secs_f64());
    }

    pub fn paged(&self, is_answered: bool) {
        self.feed_pages.inc_by(is_answered.into());
    }

    /// Recorded, not only seen.
    pub fn renewals(&self, count: u64) {
        self.renewals.inc_by(count);
    }
}

/// A relay's histogram.
#[derive(Clone, Debug)]
pub struct RelayMeter {
    seconds: Histogram,
}

impl RelayMeter {
    pub fn delivered(&self, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
    }
}
