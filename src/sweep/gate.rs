//! Territories that refuse everybody: after five different subscriptions in a row, one probe a minute.

use std::collections::HashMap;

use tokio::time::Instant;

use super::Account;
use crate::clock::Timestamp;
use crate::retry::TERRITORY_PROBE;
use crate::store::{self, StoppedTerritory, Store};

/// So many different subscriptions refused in a row, with no success between, stop their territory.
const REFUSALS: usize = 5;

#[derive(Debug, Default)]
struct Territory {
    /// Subscriptions refused since the last success.
    refused: Vec<i64>,
    /// Set while it is stopped: when the next probe may go.
    next_probe: Option<Instant>,
    /// Refused since then.
    probes: u32,
    /// Somebody who had been refused was answered, and nobody was refused since.
    mended: bool,
}

/// The territories of one provider; those not mentioned are open.
#[derive(Debug, Default)]
pub(super) struct Gate(HashMap<String, Territory>);

/// How a request of a territory was answered, whatever it asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'a> {
    pub territory: &'a str,
    /// Row of the subscription.
    pub subscription: i64,
    /// The same request, when it was made before.
    pub was_refused: bool,
    /// With what, when it was refused.
    pub refusal: Option<&'a str>,
}

/// What follows from an answer for its territory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Consequence {
    None,
    Stopped,
    StillStopped {
        probes: u32,
    },
    /// Somebody is answered who was refused before: so may others be.
    Mended,
    /// The same, of one that was stopped.
    Opened,
}

impl Gate {
    /// Knows again what was stopped before a restart. One that was taken out of the settings since is nobody's trouble any more,
    /// and nothing would ever open it.
    pub async fn load(&mut self, store: &Store, provider: &str, configured: &[String]) -> Result<(), store::Error> {
        self.0.retain(|territory, _| configured.contains(territory));
        for StoppedTerritory { provider: of, territory, .. } in store.stopped_territories().await? {
            if of != provider || !configured.contains(&territory) {
                continue;
            }
            self.0.entry(territory).or_default().next_probe.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    /// Whether a request of this territory may go now.
    pub fn admits(&self, territory: &str) -> bool {
        self.0.get(territory).and_then(|t| t.next_probe).is_none_or(|probe| probe <= Instant::now())
    }

    /// A request of this territory goes; in a stopped one it is the probe, and the next has to wait.
    pub fn sent(&mut self, territory: &str) {
        if let Some(probe) = self.0.get_mut(territory).and_then(|t| t.next_probe.as_mut()) {
            *probe = Instant::now() + TERRITORY_PROBE;
        }
    }

    /// Writes and tells what follows from an answer. True when what was refused in its territory is due again.
    pub async fn answered(
        &mut self,
        store: &Store,
        account: &Account,
        answer: Answer<'_>,
        now: Timestamp,
    ) -> Result<bool, store::Error> {
        let Answer { territory, subscription, was_refused, refusal } = answer;
        let consequence = match refusal {
            Some(_) => self.refused(territory, subscription),
            None => self.succeeded(territory, was_refused),
        };
        let (provider, reason) = (&account.name, refusal.unwrap_or_default());
        match consequence {
            Consequence::None => return Ok(false),
            Consequence::Stopped => {
                tracing::warn!(%provider, territory, reason,
                    "five subscriptions in a row were refused: territory stopped, one probe a minute; {}",
                    account.convention.advice.territory);
                store.stop_territory(stopped_record(provider, territory, reason, now)).await?;
                return Ok(false);
            }
            Consequence::StillStopped { probes } => {
                if probes.is_power_of_two() && probes > 4 {
                    tracing::warn!(%provider, territory, reason, "territory still refuses everybody, {probes} probes later");
                }
                return Ok(false);
            }
            Consequence::Opened => {
                tracing::info!(%provider, territory, "territory answers again");
                store.open_territory(provider, territory).await?;
            }
            Consequence::Mended => {}
        }
        let again = store.ask_refused(provider, Some(territory), now).await?;
        if again > 0 {
            tracing::info!(%provider, territory, again, "what was refused there is asked for again now");
        }
        Ok(again > 0)
    }

    fn refused(&mut self, territory: &str, subscription: i64) -> Consequence {
        let known = match self.0.get_mut(territory) {
            Some(known) => known,
            None => self.0.entry(territory.to_owned()).or_default(),
        };
        known.mended = false;
        if known.next_probe.is_some() {
            known.probes = known.probes.saturating_add(1);
            return Consequence::StillStopped { probes: known.probes };
        }
        if !known.refused.contains(&subscription) {
            known.refused.push(subscription);
        }
        if known.refused.len() < REFUSALS {
            return Consequence::None;
        }
        known.next_probe = Some(Instant::now() + TERRITORY_PROBE);
        Consequence::Stopped
    }

    fn succeeded(&mut self, territory: &str, was_refused: bool) -> Consequence {
        let known = match self.0.get_mut(territory) {
            Some(known) => known,
            None if was_refused => self.0.entry(territory.to_owned()).or_default(),
            None => return Consequence::None,
        };
        known.refused.clear();
        known.probes = 0;
        let opened = known.next_probe.take().is_some();
        let is_news = was_refused && !known.mended;
        known.mended |= opened || was_refused;
        match (opened, is_news) {
            (true, _) => Consequence::Opened,
            (false, true) => Consequence::Mended,
            (false, false) => Consequence::None,
        }
    }

    pub fn stopped(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.0.iter().filter(|(_, t)| t.next_probe.is_some()).map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }
}

/// What is stored of a territory that stops.
fn stopped_record(provider: &str, territory: &str, reason: &str, now: Timestamp) -> StoppedTerritory {
    StoppedTerritory {
        provider: provider.to_owned(),
        territory: territory.to_owned(),
        stopped_at: now,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn five_different_subscriptions_stop_a_territory_and_one_success_opens_it() {
        let mut gate = Gate::default();
        for subscription in [1, 1, 1, 2, 3, 4] {
            assert_eq!(gate.refused("eu", subscription), Consequence::None);
        }
        assert_eq!(gate.refused("eu", 5), Consequence::Stopped);
        assert!(!gate.admits("eu"));
        assert!(gate.admits("us"));
        tokio::time::advance(TERRITORY_PROBE).await;
        assert!(gate.admits("eu"));
        gate.sent("eu");
        assert!(!gate.admits("eu"), "one probe a minute");
        assert_eq!(gate.succeeded("eu", true), Consequence::Opened);
        assert!(gate.admits("eu"));
        assert_eq!(gate.succeeded("eu", true), Consequence::None, "known already");
    }

    #[test]
    fn the_first_who_is_answered_after_a_refusal_speaks_for_the_others() {
        let mut gate = Gate::default();
        assert_eq!(gate.succeeded("eu", false), Consequence::None);
        assert_eq!(gate.succeeded("eu", true), Consequence::Mended, "refused before this process began");
        assert_eq!(gate.succeeded("eu", true), Consequence::None, "known already");
        assert_eq!(gate.refused("eu", 1), Consequence::None);
        assert_eq!(gate.succeeded("eu", false), Consequence::None, "one may be filed under the wrong territory");
        assert_eq!(gate.succeeded("eu", true), Consequence::Mended);
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let mut gate = Gate::default();
        for subscription in 1..5 {
            gate.refused("eu", subscription);
        }
        assert_eq!(gate.succeeded("eu", false), Consequence::None);
        assert_eq!(gate.refused("eu", 6), Consequence::None);
    }
}
