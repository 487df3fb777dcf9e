//! A database that takes no writes, for all who work with it: nobody asks or publishes meanwhile, one write is tried now and then,
//! and everybody goes on once it works.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Error, Store};

/// After a failed write one is tried this often.
pub const PROBE_EVERY: Duration = Duration::from_secs(10);
/// A nearly full disk takes a probe and then fails again: that is the same outage, and the log says no more of it.
const TOLD_AT_MOST_EVERY: Duration = Duration::from_secs(60);
/// What works for so long works again.
const STEADY_AFTER: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Outage {
    /// Why nothing can be written; `None`: it can.
    reason: watch::Sender<Option<Arc<str>>>,
    told_at: Mutex<Option<Instant>>,
    /// The outage that stands has been told.
    is_told: AtomicBool,
}

impl Store {
    /// A write has failed, which `who` noticed by `error`: from now on all wait, until [`tend`] has written something.
    pub fn fail(&self, who: &str, error: &Error) {
        let reason = crate::chain(error);
        let begins = self.outage.reason.send_if_modified(|present| {
            let begins = present.is_none();
            present.get_or_insert_with(|| reason.as_str().into());
            begins
        });
        if begins {
            self.outage.is_told.store(false, Ordering::Relaxed);
        }
        tracing::debug!(who, error = %reason, "cannot write to the database");
        self.outage.tell(&reason);
    }

    /// Why nothing can be written, while that is so.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.outage.reason.borrow().clone()
    }

    /// Returns once nothing can be written, at once if that is so. Cancel-safe.
    pub async fn fails(&self) {
        self.reaches(Option::is_some).await;
    }

    /// Returns once writes are thought to work, at once if they are. Cancel-safe.
    pub async fn works(&self) {
        self.reaches(Option::is_none).await;
    }

    async fn reaches(&self, wanted: fn(&Option<Arc<str>>) -> bool) {
        let mut reason = self.outage.reason.subscribe();
        reason.wait_for(wanted).await.expect("the sender is borrowed meanwhile");
    }
}

impl Outage {
    /// Once for each outage, and not more often than is good for the log.
    fn tell(&self, reason: &str) {
        if !self.is_told.load(Ordering::Relaxed) && self.may_tell() {
            self.is_told.store(true, Ordering::Relaxed);
            tracing::error!(error = %reason, "cannot write to the database: nothing is asked or published until it works again");
        }
    }

    fn may_tell(&self) -> bool {
        let mut told_at = self.told_at.lock().unwrap_or_else(PoisonError::into_inner);
        let may = told_at.is_none_or(|at| at.elapsed() >= TOLD_AT_MOST_EVERY);
        if may {
            *told_at = Some(Instant::now());
        }
        may
    }
}

/// Ends outages. Never returns.
pub async fn tend(store: Store) {
    loop {
        store.fails().await;
        let begun = Instant::now();
        let is_over = async {
            loop {
                tokio::time::sleep(PROBE_EVERY).await;
                match store.probe_write().await {
                    Ok(()) => drop(store.outage.reason.send_replace(None)),
                    // One that began soon after another is told by now.
                    Err(error) => store.outage.tell(&crate::chain(&error)),
                }
                if store.trouble().is_none() && tokio::time::timeout(STEADY_AFTER, store.fails()).await.is_err() {
                    return;
                }
            }
        };
        is_over.await;
        tracing::info!("writing to the database works again, after {} s", begun.elapsed().as_secs());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixtures;

    fn full() -> Error {
        Error::Commit("database or disk is full".into())
    }

    #[tokio::test]
    async fn an_outage_is_everybodys_and_the_first_reason_stands() {
        let (store, _dir) = fixtures::opened();
        let other = store.beside().unwrap();
        store.works().await;
        assert_eq!(other.trouble(), None);
        store.fail("nexway", &full());
        other.fail("shop", &Error::Closed);
        other.fails().await;
        assert_eq!(other.trouble().as_deref(), Some("the database could not commit: database or disk is full"));
        drop(other);
        store.close().await;
    }

    #[test]
    fn it_is_told_once_a_minute() {
        let outage = Outage::default();
        let told: Vec<_> = (0..3).map(|_| outage.may_tell()).collect();
        assert_eq!(told, [true, false, false]);
        *outage.told_at.lock().unwrap() = Instant::now().checked_sub(TOLD_AT_MOST_EVERY);
        assert!(outage.may_tell());
    }
}
