//! Lists: which rows are on a page, and what the page says of itself.

use std::collections::HashMap;

use serde::Serialize;

use super::books::Books;
use super::calls::Query;
use super::switches::{LastForm, Revision, Switches, TotalsForm};
use crate::clock::Timestamp;

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    number: u64,
    size: u64,
}

impl Page {
    /// A larger page than may be is cut to that.
    pub(super) fn read(query: &Query, switches: &Switches) -> Self {
        let usual = if switches.revision == Revision::Older { 50 } else { 20 };
        Self { number: query.number("page", 0), size: query.number("size", usual).clamp(1, switches.most_rows.max(1)) }
    }

    /// The places of its rows in a list of that length.
    pub(super) fn places(self, total: usize, switches: &Switches) -> std::ops::Range<usize> {
        if switches.empty_page == Some(self.number) {
            return 0..0;
        }
        let shift = if self.number > 0 { switches.page_shift } else { 0 };
        let last = (total as u64).div_ceil(self.size).saturating_sub(1);
        let number = if switches.last_page_again { self.number.min(last) } else { self.number };
        let start = number.saturating_mul(self.size).saturating_add_signed(shift).min(total as u64);
        start as usize..start.saturating_add(self.size).min(total as u64) as usize
    }

    pub(super) fn of<T: Serialize>(self, items: Vec<T>, total: usize, switches: &Switches) -> Paged<T> {
        let pages = (total as u64).div_ceil(self.size);
        let (total_items, total_pages) = match switches.totals {
            TotalsForm::Right => (Some(total as u64), Some(pages)),
            TotalsForm::Missing => (None, None),
            TotalsForm::TooFew => (Some(items.len() as u64), Some(1)),
            TotalsForm::TooMany => (Some(total as u64 + self.size), Some(pages + 1)),
        };
        let last = match switches.last {
            LastForm::Right => Some(self.number + 1 >= pages),
            LastForm::Missing => None,
            LastForm::AlwaysTrue => Some(true),
            LastForm::AlwaysFalse => Some(false),
        };
        Paged { items, number: self.number, size: self.size, total_items, total_pages, last }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Paged<T> {
    items: Vec<T>,
    number: u64,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_items: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_pages: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<bool>,
}

/// What a list is sorted by, the subscription's place breaking ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SortKey {
    Created,
    Updated,
    /// By a renewal, too, or not.
    LicenceUpdated,
    /// Nothing to do with time.
    Id,
}

/// Subscriptions in the orders that were asked for, kept until something changes.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    known: HashMap<SortKey, (u64, Vec<u32>)>,
}

impl Sorted {
    /// Ascending.
    pub(super) fn by(&mut self, key: SortKey, books: &Books, switches: &Switches, now: Timestamp) -> &[u32] {
        let (version, order) = self.known.entry(key).or_default();
        let lags = !switches.list_lag.is_zero();
        if *version != books.version || lags {
            // What is new is behind, and few others have moved: nearly sorted already.
            order.extend(order.len() as u32..books.subscriptions.len() as u32);
            match key {
                SortKey::Id => order.sort_by_key(|index| books.subscription(*index).id),
                _ => order.sort_by_key(|index| (instant(key, *index, books, switches, now), *index)),
            }
            *version = books.version;
        }
        order
    }
}

/// The instant that a row of this list shows and is sorted by.
pub(super) fn instant(key: SortKey, index: u32, books: &Books, switches: &Switches, now: Timestamp) -> Timestamp {
    let subscription = books.subscription(index);
    match key {
        SortKey::Created | SortKey::Id => subscription.created_at,
        SortKey::Updated => {
            let state = if switches.list_lag.is_zero() {
                &subscription.state
            } else {
                subscription.state_at(before(now, switches))
            };
            if switches.renewal_touches_subscription { state.updated_at } else { state.changed_at }
        }
        SortKey::LicenceUpdated if switches.renewal_touches_licence => books.licence_updated_at(index),
        SortKey::LicenceUpdated => subscription.created_at,
    }
}

/// The time that a list is of.
pub(super) fn before(now: Timestamp, switches: &Switches) -> Timestamp {
    Timestamp::from_unix(now.as_unix() - switches.list_lag.as_secs() as i64)
}

/// `sort=field,asc`; without a direction ascending. Of several, the first counts.
pub(super) fn read_sort(query: &Query) -> (Option<&str>, bool) {
    let Some(sort) = query.get("sort") else { return (None, false) };
    let mut parts = sort.split(',');
    let field = parts.next();
    (field, parts.next().is_some_and(|direction| direction.eq_ignore_ascii_case("desc")))
}

/// A page of what a filter lets through, ascending or descending.
pub(super) fn choose(
    sorted: &[u32],
    descending: bool,
    page: Page,
    switches: &Switches,
    filter: Option<&dyn Fn(u32) -> bool>,
) -> (Vec<u32>, usize) {
    let kept: Vec<u32>;
    let rows = match filter {
        Some(filter) => {
            kept = sorted.iter().copied().filter(|index| filter(*index)).collect();
            &kept
        }
        None => sorted,
    };
    let places = page.places(rows.len(), switches);
    let chosen = match descending {
        true => rows.iter().rev().skip(places.start).take(places.len()).copied().collect(),
        false => rows[places].to_vec(),
    };
    (chosen, rows.len())
}
