//! A provider that does not answer, or that asked us to slow down: for `status` and other processes to see. The decisions are the
//! budget's.

use std::collections::BTreeMap;

use rusqlite::named_params;

use super::{Result, Store};
use crate::clock::Timestamp;

/// The trouble of one provider. The default: none.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct ProviderTrouble {
    pub breaker: Option<BreakerState>,
    pub slowed: Option<SlowedState>,
    /// It asked for a pause (`Retry-After`): nothing is asked before.
    pub paused_until: Option<Timestamp>,
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
#[derive(Clone, Debug, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct BreakerState {
    pub open_since: Timestamp,
    pub next_probe_at: Timestamp,
    /// The last failure.
    pub reason: String,
}

/// It answered 429.
#[derive(Clone, Debug, PartialEq, serde::Serialize, utoipa::ToSchema)]
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
                     (provider, breaker_open_since, breaker_probe_at, breaker_reason, slowed_rate, slowed_until, paused_until)
                 VALUES (:provider, :open_since, :probe_at, :reason, :rate, :until, :paused_until)",
            )?
            .execute(named_params! {
                ":provider": provider,
                ":open_since": breaker.map(|breaker| breaker.open_since),
                ":probe_at": breaker.map(|breaker| breaker.next_probe_at),
                ":reason": breaker.map(|breaker| &breaker.reason),
                ":rate": slowed.map(|slowed| slowed.requests_per_second),
                ":until": slowed.map(|slowed| slowed.until),
                ":paused_until": trouble.paused_until,
            })?;
            Ok(())
        })
        .await
    }

    /// By name; those without trouble are missing.
    pub async fn provider_troubles(&self) -> Result<BTreeMap<String, ProviderTrouble>> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT provider, breaker_open_since, breaker_probe_at, breaker_reason, slowed_rate, slowed_until,
                        paused_until
                 FROM providers",
            )?;
            let rows = statement.query_map([], |row| {
                let breaker = match row.get(1)? {
                    None => None,
                    Some(open_since) => {
                        Some(BreakerState { open_since, next_probe_at: row.get(2)?, reason: row.get(3)? })
                    }
                };
                let slowed = match row.get(4)? {
                    None => None,
                    Some(requests_per_second) => Some(SlowedState { requests_per_second, until: row.get(5)? }),
                };
                Ok((row.get(0)?, ProviderTrouble { breaker, slowed, paused_until: row.get(6)? }))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}
