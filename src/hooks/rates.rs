//! How many notifications of a provider are taken in any second. Those that are not let in do not count.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(1);

/// By provider: when the last ones came.
#[derive(Debug, Default)]
pub struct Rates(Mutex<BTreeMap<String, VecDeque<Instant>>>);

impl Rates {
    /// Whether one more may be taken now, with at most so many in any second. `provider` is one of the settings.
    pub fn take(&self, provider: &str, most: usize) -> bool {
        let now = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = all.entry(provider.to_owned()).or_default();
        while taken.front().is_some_and(|first| now >= *first + WINDOW) {
            taken.pop_front();
        }
        let has_room = taken.len() < most;
        if has_room {
            taken.push_back(now);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_second_takes_more_and_one_provider_takes_nothing_from_another() {
        let rates = Rates::default();
        let mut taken = Vec::new();
        for _ in 0..400 {
            if rates.take("a", 50) {
                taken.push(Instant::now());
            }
            tokio::time::advance(Duration::from_millis(7)).await;
        }
        assert!(taken.windows(51).all(|some| some[50] - some[0] >= WINDOW));
        assert!((130..=150).contains(&taken.len()), "{}", taken.len());
        assert!(rates.take("b", 1));
        assert!(!rates.take("b", 1), "and what it was refused does not count");
        tokio::time::advance(WINDOW).await;
        assert!(rates.take("b", 1));
    }
}
