//! The results of polls on their way to the disk: how many share a commit, how long one waits for others, and what is to be
//! told of them once they are there.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::line::Line;
use super::request::Shared;
use crate::clock::Timestamp;
use crate::store::{self, NewMessage, PageRecord, PollRecord, Recorded};
use crate::wait::ready;

/// Results that share a commit at the least, while there is more to come.
const BATCH: usize = 512;
/// Results held in memory at the most; then no new request is sent until a commit is through.
const MOST_UNWRITTEN: usize = 2 * BATCH;
/// A result does not wait longer than this for others to share its commit.
const WRITE_WITHIN: Duration = Duration::from_millis(100);
/// What recording gets when we drain: requests in hand are cancelled, the results so far are written.
const RECORD_GRACE: Duration = Duration::from_millis(800);

/// A commit that is through.
pub(super) struct Written {
    pub rows: Vec<(i64, Option<Timestamp>)>,
    pub lines: Vec<Line>,
    pub sinks: BTreeSet<String>,
    /// Somebody's answer was dropped: it is asked again.
    pub overtaken: bool,
    /// Somebody is due now who was not.
    pub hints: bool,
}

/// The results of a pass that are not on disk yet.
#[derive(Default)]
pub(super) struct Records<'a> {
    /// With what is to be told of each.
    unwritten: Vec<(PollRecord, Vec<Line>)>,
    /// Pages of the provider's lists, whose answers are among these.
    pages: Vec<PageRecord>,
    /// When the oldest of them must be on its way.
    write_by: Option<Instant>,
    writing: Option<BoxFuture<'a, Result<Written, store::Error>>>,
}

impl<'a> Records<'a> {
    /// What somebody waits for is written at once.
    pub fn add(&mut self, record: PollRecord, lines: Vec<Line>) {
        if !record.renewals.is_empty() || !record.messages.is_empty() {
            self.write_by = Some(Instant::now());
        }
        self.write_by.get_or_insert_with(|| Instant::now() + WRITE_WITHIN);
        self.unwritten.push((record, lines));
    }

    /// What else came of a page, once its answers are added: they share a commit, and the next page may wait for it.
    pub fn add_page(&mut self, page: PageRecord) {
        self.write_by = Some(Instant::now());
        self.pages.push(page);
    }

    pub fn are_too_many(&self) -> bool {
        self.unwritten.len() >= MOST_UNWRITTEN
    }

    pub fn are_written(&self) -> bool {
        self.is_empty() && self.writing.is_none()
    }

    fn is_empty(&self) -> bool {
        self.unwritten.is_empty() && self.pages.is_empty()
    }

    /// When the next commit must begin; `None`: there is nothing for it, or the one before it is not through.
    pub fn write_by(&self) -> Option<Instant> {
        self.write_by.filter(|_| self.writing.is_none())
    }

    /// A commit is worth its fsync when enough share it, or nothing else is coming.
    pub fn write_if_worthwhile<P: Sync>(&mut self, shared: Shared<'a, P>, more_is_coming: bool) {
        if self.unwritten.len() >= BATCH || !more_is_coming {
            self.write(shared);
        }
    }

    pub fn write<P: Sync>(&mut self, shared: Shared<'a, P>) {
        if self.writing.is_none() && !self.is_empty() {
            self.write_by = None;
            let records = std::mem::replace(&mut self.unwritten, Vec::with_capacity(BATCH));
            self.writing = Some(Box::pin(shared.record(records, std::mem::take(&mut self.pages))));
        }
    }

    /// The commit that is being made, if any. Cancel-safe.
    pub async fn written(&mut self) -> Option<Result<Written, store::Error>> {
        ready(&mut self.writing).await
    }

    /// Writes what is left. The commits that this took.
    ///
    /// # Errors
    /// The store's; one that does not take them in time counts as failed.
    pub async fn drain<P>(&mut self, shared: Shared<'_, P>) -> Result<Vec<Written>, store::Error> {
        let (records, pages) = (std::mem::take(&mut self.unwritten), std::mem::take(&mut self.pages));
        let last = async {
            let mut written = Vec::new();
            if let Some(before) = ready(&mut self.writing).await {
                written.push(before?);
            }
            if !records.is_empty() || !pages.is_empty() {
                written.push(shared.record(records, pages).await?);
            }
            Ok(written)
        };
        match tokio::time::timeout(RECORD_GRACE, last).await {
            Ok(done) => done,
            Err(_) => {
                tracing::warn!(
                    "the database did not take the last results in time: what it has not is asked for again"
                );
                Err(store::Error::Commit("it did not take the last results in time".to_owned()))
            }
        }
    }
}

impl<P> Shared<'_, P> {
    /// Writes records in key order: the rows one commit touches then lie side by side.
    pub async fn record(
        self,
        mut results: Vec<(PollRecord, Vec<Line>)>,
        pages: Vec<PageRecord>,
    ) -> Result<Written, store::Error> {
        // Where they lie on the disk, but for the few with renewals: those are fetched in the order in which they are written here, and
        // came with the one that has waited longest first. By cached key, so that each record moves once: they are large.
        results.sort_by_cached_key(|(record, _)| Some(record.before.row).filter(|_| record.renewals.is_empty()));
        let (records, lines): (Vec<_>, Vec<_>) = results.into_iter().unzip();
        let rows = records.iter().map(|record| (record.before.row, record.after.due_at)).collect();
        let sinks: Vec<_> = records.iter().map(|record| sinks_of(&record.messages)).collect();
        let hints = pages.iter().any(|page| !page.hints.is_empty());
        let recorded = self.store.record_pages(records, pages, (self.now)()).await?;
        let overtaken = recorded.contains(&Recorded::Overtaken);
        let mut written = Written { rows, lines: Vec::new(), sinks: BTreeSet::new(), overtaken, hints };
        for ((lines, sinks), recorded) in lines.into_iter().zip(sinks).zip(recorded) {
            // What was overtaken is dropped, and nothing came of it.
            if recorded == Recorded::Done {
                written.lines.extend(lines);
                written.sinks.extend(sinks);
            }
        }
        Ok(written)
    }

    pub fn ring<'s>(&self, sinks: impl IntoIterator<Item = &'s String>) {
        for bell in sinks.into_iter().filter_map(|sink| self.bells.get(sink)) {
            bell.notify_one();
        }
    }
}

/// Whom these messages are for.
pub(super) fn sinks_of(messages: &[NewMessage]) -> Vec<String> {
    messages.iter().flat_map(|message| message.sinks.iter().cloned()).collect()
}
