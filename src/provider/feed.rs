//! What a provider lists by itself, a page at a time.
//!
//! What the ways of listing are stands in the kind's convention ([`crate::convention::Feed`]). An implementation makes requests
//! and reads rows; how far a list is read, and whether it is to be believed, is decided in [`crate::renewal::walk`].

use std::fmt;

use super::{Sighting, Subject};
use crate::clock::Timestamp;

/// Which page is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Position<'a> {
    /// The name of a way of listing, one of the kind's own.
    pub way: &'a str,
    /// Where a way lists changes: what changed before it is of no interest. By the provider's clock.
    pub since: Option<Timestamp>,
    /// What changes after it belongs to the next walk: the same for every page of this one. By our clock.
    pub until: Timestamp,
    /// What the page before named as the next; `None`: the first.
    pub next: Option<&'a str>,
}

/// One page.
#[derive(Debug, Default)]
pub struct Page {
    /// In the order of the list.
    pub rows: Vec<Row>,
    /// Where the list goes on; `None`: nowhere.
    pub next: Option<String>,
    /// How many pages there are, where the provider tells.
    pub pages: Option<u64>,
    /// Why this way of listing is of no use, where more is wrong than rows show by their times.
    pub fault: Option<String>,
}

/// What a row says of its subscription, given what is known of it.
#[derive(Debug)]
pub enum Says {
    /// As much as a look at it would, delivery for delivery.
    Answer(Box<Sighting>),
    /// There may be something to see.
    Hint,
    /// Something older than what is known: neither an answer nor odd.
    Older,
    Nothing,
}

/// One subscription on a page. What it says depends on who it is held against.
pub struct Row {
    pub subscription_id: String,
    /// When it was made at the provider.
    pub created_at: Option<Timestamp>,
    /// The provider's own time of its last change.
    pub changed_at: Option<Timestamp>,
    /// The reseller's number for it, where there is one: it is filed under that if it is discovered.
    pub number: Option<String>,
    says: Box<dyn Fn(Subject<'_>) -> Says + Send + Sync>,
}

impl Row {
    pub fn new(
        subscription_id: String,
        changed_at: Option<Timestamp>,
        says: impl Fn(Subject<'_>) -> Says + Send + Sync + 'static,
    ) -> Self {
        Self { subscription_id, created_at: None, changed_at, number: None, says: Box::new(says) }
    }

    /// Made at the provider then.
    pub fn created(self, at: Option<Timestamp>) -> Self {
        Self { created_at: at, ..self }
    }

    /// What the reseller calls it.
    pub fn numbered(self, number: Option<String>) -> Self {
        Self { number, ..self }
    }

    pub fn says(&self, subject: Subject<'_>) -> Says {
        (self.says)(subject)
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row({}, changed at {:?})", self.subscription_id, self.changed_at)
    }
}
