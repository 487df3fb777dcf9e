//! Territories that refuse everybody: after five different subscriptions in a row, one probe a minute.

use std::collections::HashMap;

use tokio::time::Instant;

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

/// What an answer changed about a territory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
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

    pub fn refused(&mut self, territory: &str, subscription: i64) -> Change {
        let known = match self.0.get_mut(territory) {
            Some(known) => known,
            None => self.0.entry(territory.to_owned()).or_default(),
        };
        known.mended = false;
        if known.next_probe.is_some() {
            known.probes = known.probes.saturating_add(1);
            return Change::StillStopped { probes: known.probes };
        }
        if !known.refused.contains(&subscription) {
            known.refused.push(subscription);
        }
        if known.refused.len() < REFUSALS {
            return Change::None;
        }
        known.next_probe = Some(Instant::now() + TERRITORY_PROBE);
        Change::Stopped
    }

    /// `was_refused`: the same request, when it was made before.
    pub fn succeeded(&mut self, territory: &str, was_refused: bool) -> Change {
        let known = match self.0.get_mut(territory) {
            Some(known) => known,
            None if was_refused => self.0.entry(territory.to_owned()).or_default(),
            None => return Change::None,
        };
        known.refused.clear();
        known.probes = 0;
        let opened = known.next_probe.take().is_some();
        let is_news = was_refused && !known.mended;
        known.mended |= opened || was_refused;
        match (opened, is_news) {
            (true, _) => Change::Opened,
            (false, true) => Change::Mended,
            (false, false) => Change::None,
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
pub(super) fn stopped_record(provider: &str, territory: &str, reason: &str, now: Timestamp) -> StoppedTerritory {
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
            assert_eq!(gate.refused("eu", subscription), Change::None);
        }
        assert_eq!(gate.refused("eu", 5), Change::Stopped);
        assert!(!gate.admits("eu"));
        assert!(gate.admits("us"));
        tokio::time::advance(TERRITORY_PROBE).await;
        assert!(gate.admits("eu"));
        gate.sent("eu");
        assert!(!gate.admits("eu"), "one probe a minute");
        assert_eq!(gate.succeeded("eu", true), Change::Opened);
        assert!(gate.admits("eu"));
        assert_eq!(gate.succeeded("eu", true), Change::None, "known already");
    }

    #[test]
    fn the_first_who_is_answered_after_a_refusal_speaks_for_the_others() {
        let mut gate = Gate::default();
        assert_eq!(gate.succeeded("eu", false), Change::None);
        assert_eq!(gate.succeeded("eu", true), Change::Mended, "refused before this process began");
        assert_eq!(gate.succeeded("eu", true), Change::None, "known already");
        assert_eq!(gate.refused("eu", 1), Change::None);
        assert_eq!(gate.succeeded("eu", false), Change::None, "one may be filed under the wrong territory");
        assert_eq!(gate.succeeded("eu", true), Change::Mended);
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let mut gate = Gate::default();
        for subscription in 1..5 {
            gate.refused("eu", subscription);
        }
        assert_eq!(gate.succeeded("eu", false), Change::None);
        assert_eq!(gate.refused("eu", 6), Change::None);
    }
}
