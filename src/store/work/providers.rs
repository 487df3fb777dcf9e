//! A provider that does not answer, or that asked us to slow down: for `status` and other processes to see. The decisions are the
//! budget's.

use std::collections::BTreeMap;

use rusqlite::named_params;

use crate::clock::Timestamp;
use crate::store::rows::{self, rows};
use crate::store::{Result, Store};

/// The trouble of one provider. The default: none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProviderTrouble {
    pub breaker: Option<BreakerState>,
    pub slowed: Option<SlowedState>,
    /// It asked for a pause (`Retry-After`): nothing is asked before.
    pub paused_until: Option<Timestamp>,
    /// In a row, kept of a provider that may have closed for good.
    pub failures: u32,
}

impl ProviderTrouble {
    /// A slow-down and a pause pass by themselves, whether or not anybody is there to note it.
    pub fn at(mut self, now: Timestamp) -> Self {
        self.slowed = self.slowed.filter(|slowed| now < slowed.until);
        self.paused_until = self.paused_until.filter(|until| now < *until);
        self
    }
}

/// It does not answer: one probe at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerState {
    pub open_since: Timestamp,
    pub next_probe_at: Timestamp,
    /// The last failure.
    pub reason: String,
}

/// It answered 429.
#[derive(Clone, Debug, PartialEq)]
pub struct SlowedState {
    /// When this was written; it grows since.
    pub requests_per_second: f64,
    /// When the rate is whole again, if no other 429 comes.
    pub until: Timestamp,
}

impl Store {
    /// Makes this the trouble that the provider is in.
    pub async fn set_provider_trouble(&self, provider: &str, trouble: ProviderTrouble) -> Result<()> {
        let provider = provider.to_owned();
        self.write(move |db| {
            if trouble == ProviderTrouble::default() {
                let delete = "DELETE FROM providers WHERE provider = :provider";
                db.execute(delete, named_params! { ":provider": provider })?;
                return Ok(());
            }
            let (breaker, slowed) = (trouble.breaker.as_ref(), trouble.slowed.as_ref());
            db.prepare_cached(
                "INSERT OR REPLACE INTO providers
                     (provider, breaker_open_since, breaker_probe_at, breaker_reason, slowed_rate, slowed_until, paused_until,
                      failures)
                 VALUES (:provider, :open_since, :probe_at, :reason, :rate, :until, :paused_until, :failures)",
            )?
            .execute(named_params! {
                ":provider": provider,
                ":open_since": breaker.map(|breaker| breaker.open_since),
                ":probe_at": breaker.map(|breaker| breaker.next_probe_at),
                ":reason": breaker.map(|breaker| &breaker.reason),
                ":rate": slowed.map(|slowed| slowed.requests_per_second),
                ":until": slowed.map(|slowed| slowed.until),
                ":paused_until": trouble.paused_until,
                ":failures": trouble.failures,
            })?;
            Ok(())
        })
        .await
    }

    /// By name; those without trouble are missing.
    pub async fn provider_troubles(&self) -> Result<BTreeMap<String, ProviderTrouble>> {
        self.read(|db| Ok(rows::all(db, "FROM providers", &[])?.into_iter().map(Troubled::into_pair).collect())).await
    }

    /// When anybody of this provider was last answered for. Reads all of its subscriptions.
    pub async fn last_answered(&self, provider: &str) -> Result<Option<Timestamp>> {
        let provider = provider.to_owned();
        self.read(move |db| {
            rows::value(
                db,
                "SELECT max(last_answer_at) FROM subscriptions WHERE provider = :provider AND last_outcome = 'ok'",
                named_params! { ":provider": provider },
            )
        })
        .await
    }
}

/// A row of `providers`.
struct Troubled {
    provider: String,
    breaker_open_since: Option<Timestamp>,
    breaker_probe_at: Option<Timestamp>,
    breaker_reason: Option<String>,
    slowed_rate: Option<f64>,
    slowed_until: Option<Timestamp>,
    paused_until: Option<Timestamp>,
    failures: u32,
}

rows! {
    Troubled {
        provider = "provider",
        breaker_open_since = "breaker_open_since",
        breaker_probe_at = "breaker_probe_at",
        breaker_reason = "breaker_reason",
        slowed_rate = "slowed_rate",
        slowed_until = "slowed_until",
        paused_until = "paused_until",
        failures = "failures",
    }
}

impl Troubled {
    /// Of each group of columns all are there or none: the schema sees to that.
    fn into_pair(self) -> (String, ProviderTrouble) {
        let breaker = (self.breaker_open_since.zip(self.breaker_probe_at)).zip(self.breaker_reason);
        let breaker =
            breaker.map(|((open_since, next_probe_at), reason)| BreakerState { open_since, next_probe_at, reason });
        let slowed = self.slowed_rate.zip(self.slowed_until);
        let slowed = slowed.map(|(requests_per_second, until)| SlowedState { requests_per_second, until });
        (self.provider, ProviderTrouble { breaker, slowed, paused_until: self.paused_until, failures: self.failures })
    }
}
