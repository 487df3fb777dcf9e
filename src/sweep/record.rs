//! The results of polls on their way to the disk, and what is told of them once they are there.

use std::collections::BTreeSet;

use super::request::Shared;
use crate::clock::Timestamp;
use crate::store::{self, PollRecord, Recorded};
use crate::text::visible;

/// A commit that is through.
pub(super) struct Written {
    pub rows: Vec<(i64, Option<Timestamp>)>,
    pub renewals: u64,
    pub sinks: BTreeSet<String>,
}

impl<P> Shared<'_, P> {
    /// Writes records in key order: the rows one commit touches then lie side by side.
    pub async fn record(self, mut records: Vec<PollRecord>) -> Result<Written, store::Error> {
        // By cached key, so that each record moves once: they are large.
        records.sort_by_cached_key(|record| record.before.row);
        let rows = records.iter().map(|record| (record.before.row, record.after.due_at)).collect();
        let found: Vec<_> = records.iter().map(Found::of).collect();
        let written = self.store.record_polls(records, (self.now)()).await?;
        let mut result = Written { rows, renewals: 0, sinks: BTreeSet::new() };
        for (found, _) in found.into_iter().zip(written).filter(|(_, recorded)| *recorded == Recorded::Done) {
            result.renewals += found.numbers.len() as u64;
            for order in &found.numbers {
                tracing::info!(order = %visible(order), subscription = %found.subscription_id,
                    territory = %found.territory, "renewal seen");
            }
            result.sinks.extend(found.sinks);
        }
        Ok(result)
    }

    pub fn ring<'s>(&self, sinks: impl IntoIterator<Item = &'s String>) {
        for bell in sinks.into_iter().filter_map(|sink| self.bells.get(sink)) {
            bell.notify_one();
        }
    }
}

/// What a record will be logged and rung for, once it is on disk.
#[derive(Default)]
struct Found {
    subscription_id: String,
    territory: String,
    numbers: Vec<String>,
    sinks: Vec<String>,
}

impl Found {
    fn of(record: &PollRecord) -> Self {
        if record.renewals.is_empty() && record.messages.is_empty() {
            return Self::default();
        }
        Self {
            subscription_id: visible(&record.after.subscription_id),
            territory: record.after.territory.clone(),
            numbers: record.renewals.iter().map(|renewal| renewal.reference.clone()).collect(),
            sinks: record.messages.iter().flat_map(|message| message.sinks.iter().cloned()).collect(),
        }
    }
}
