//! How a provider's list is read from its beginning to its end, a page at a time: what is believed of it, when it is over, and how
//! far the provider's changes are known then.
//!
//! A list may lie in every way: every walk ends all the same, and nobody is lost by it, because who is not answered for in time is
//! asked about alone.

use std::time::Duration;

use super::DAY;
use crate::clock::Timestamp;
use crate::convention::{Lists, Way};
use crate::provider::Page;
use crate::text::forms::text_forms;

/// Walks overlap by so much: a list may show a change later than one that came after it.
pub const OVERLAP: Duration = Duration::from_secs(15 * 60);
/// What a first walk over changes looks back. Everybody is asked about anew by then.
const FIRST_LOOK: Duration = DAY;
/// So many pages in a row that bring nobody new, and the list repeats itself.
const MOST_STALE: u32 = 3;
/// So many pages more than there are by the provider's own word.
const MOST_UNTOLD: u32 = 3;
/// Millions of rows.
const MOST_PAGES: u32 = 20_000;
/// Bytes. It is stored.
const LONGEST_NEXT: usize = 4096;

/// What a walk goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// What has changed since the last one.
    Changes,
    Everything,
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All of it was seen.
    Whole,
    /// The pages brought nobody new any more, though there were more of them.
    Repeats,
    TooLong,
    /// It would take more requests than it saves.
    TooDear,
    /// The list is not what it should be.
    Fault,
}

text_forms!(What { Changes = "changes", Everything = "everything" });
text_forms!(End {
    Whole = "whole",
    Repeats = "repeats",
    TooLong = "too_long",
    TooDear = "too_dear",
    Fault = "fault",
});

/// One walk, as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    pub what: What,
    /// The name of its way of listing.
    pub way: String,
    pub begun_at: Timestamp,
    pub since: Option<Timestamp>,
    /// Fixed when it began, so that it does not run after what changes meanwhile.
    pub until: Timestamp,
    /// Where it goes on; `None`: at its beginning.
    pub next: Option<String>,
    pub pages: u32,
    /// The most pages that the provider has told of.
    pub pages_told: Option<u32>,
    /// The latest of the provider's times so far, of those that belong to this walk.
    pub newest: Option<Timestamp>,
    /// The latest on the page before.
    pub newest_before: Option<Timestamp>,
    /// Pages in a row that brought nobody new.
    pub stale: u32,
    /// Subscriptions that nobody tracks.
    pub untracked: u32,
}

impl Walk {
    /// `watermark`: how far the walks before it have come, by the provider's clock.
    pub fn begin(what: What, way: &Way, watermark: Option<Timestamp>, now: Timestamp) -> Self {
        let since = match (way.lists, watermark) {
            (Lists::Everything, _) | (Lists::NewestFirst, None) => None,
            (_, Some(watermark)) => Some(watermark - OVERLAP),
            (Lists::ChangedSince, None) => Some(now - FIRST_LOOK),
        };
        Self {
            what,
            way: way.name.to_owned(),
            begun_at: now,
            since,
            until: now,
            next: None,
            pages: 0,
            pages_told: None,
            newest: None,
            newest_before: None,
            stale: 0,
            untracked: 0,
        }
    }

    /// Takes a page in. How the walk ends with it; `None`: it goes on. `brings_new`: somebody on it was not seen in this walk before.
    /// `most`: more pages are not worth it.
    ///
    /// # Errors
    /// What proves that the list is not what it should be: nothing of the page is to be used.
    pub fn turn(
        &mut self,
        lists: Lists,
        page: &Page,
        brings_new: bool,
        most: Option<u32>,
    ) -> Result<Option<End>, String> {
        if let Some(fault) = &page.fault {
            return Err(fault.clone());
        }
        if page.next.as_ref().is_some_and(|next| next.len() > LONGEST_NEXT) {
            return Err("what it names as the next page is too long".to_owned());
        }
        let times: Vec<_> = page.rows.iter().filter_map(|row| row.changed_at).collect();
        self.check(lists, &times, page.rows.is_empty())?;
        self.pages += 1;
        self.pages_told = self.pages_told.max(page.pages.map(|pages| u32::try_from(pages).unwrap_or(u32::MAX)));
        // One that lies ahead may be wrong, and is not over yet: it is read again.
        self.newest = self.newest.max(times.iter().copied().filter(|time| *time <= self.until).max());
        self.newest_before = times.iter().copied().max().or(self.newest_before);
        self.stale = if brings_new { 0 } else { self.stale + 1 };
        self.next = page.next.clone();
        Ok(self.end(lists, &times, most))
    }

    fn check(&self, lists: Lists, times: &[Timestamp], is_empty: bool) -> Result<(), String> {
        if lists == Lists::Everything || is_empty {
            return Ok(());
        }
        if times.is_empty() {
            return Err("its rows do not tell when they changed".to_owned());
        }
        match (lists, self.since) {
            // Rows that come in between move the others to the next page, so that only whole pages can be held against each other.
            (Lists::NewestFirst, _) => {
                let falls_back = self.newest_before.is_some_and(|before| times.iter().any(|time| *time > before));
                let is_sorted = times.is_sorted_by(|earlier, later| earlier >= later);
                (is_sorted && !falls_back)
                    .then_some(())
                    .ok_or_else(|| "it is not sorted by the time of change".to_owned())
            }
            (_, Some(since)) if times.iter().any(|time| *time < since) => {
                Err("it lists what changed before the time that was asked for".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn end(&self, lists: Lists, times: &[Timestamp], most: Option<u32>) -> Option<End> {
        let is_older = |time: &Timestamp| self.since.is_some_and(|since| *time < since);
        let only_older = !times.is_empty() && times.iter().all(is_older);
        // Without anything to compare with, the first page of the latest changes says from when on to compare.
        let is_first_look = self.since.is_none() && !times.is_empty();
        if self.next.is_none() || (lists == Lists::NewestFirst && (only_older || is_first_look)) {
            return Some(End::Whole);
        }
        let expected = self.pages_told.unwrap_or(0).max(self.pages);
        if most.is_some_and(|most| expected > most) {
            return Some(End::TooDear);
        }
        let untold = self.pages_told.is_some_and(|told| self.pages >= told.saturating_add(MOST_UNTOLD));
        if self.stale >= MOST_STALE || untold {
            return Some(End::Repeats);
        }
        (self.pages >= MOST_PAGES).then_some(End::TooLong)
    }

    /// How far the provider's changes are known once this walk has ended so; `before` is how far they were.
    pub fn watermark(&self, end: End, before: Option<Timestamp>) -> Option<Timestamp> {
        if end == End::Whole { before.max(self.newest) } else { before }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::provider::{Row, Says};
    use crate::renewal::properties::{NOW, config};

    fn way(lists: Lists) -> Way {
        Way { name: "list", lists, answers: true }
    }

    /// Rows that changed so many seconds before now.
    fn page(ages: &[i64], next: Option<&str>) -> Page {
        let row = |age: &i64| Row::new(age.to_string(), Some(ago(*age)), |_| Says::Nothing);
        Page { rows: ages.iter().map(row).collect(), next: next.map(str::to_owned), ..Page::default() }
    }

    fn ago(seconds: i64) -> Timestamp {
        Timestamp::from_unix(NOW.as_unix() - seconds)
    }

    fn walk(lists: Lists, watermark: Option<i64>) -> Walk {
        Walk::begin(What::Changes, &way(lists), watermark.map(ago), NOW)
    }

    #[test]
    fn the_latest_changes_are_read_until_a_page_holds_older_ones_only() {
        let mut walk = walk(Lists::NewestFirst, Some(3600));
        let lists = Lists::NewestFirst;
        assert_eq!(walk.turn(lists, &page(&[10, 20], Some("1")), true, None), Ok(None));
        // Somebody changed meanwhile, and moved a row on.
        assert_eq!(walk.turn(lists, &page(&[20, 4500, 4600], Some("2")), true, None), Ok(None));
        assert_eq!(walk.turn(lists, &page(&[4700], Some("3")), true, None), Ok(Some(End::Whole)));
        assert_eq!(walk.watermark(End::Whole, Some(ago(3600))), Some(ago(10)));
    }

    #[test]
    fn a_first_walk_over_the_latest_changes_reads_one_page() {
        let mut walk = walk(Lists::NewestFirst, None);
        assert_eq!(walk.turn(Lists::NewestFirst, &page(&[10, 20], Some("1")), true, None), Ok(Some(End::Whole)));
        assert_eq!(walk.watermark(End::Whole, None), Some(ago(10)));
    }

    #[test]
    fn a_row_that_does_not_fit_proves_that_the_list_is_another() {
        let filtered = walk(Lists::ChangedSince, Some(3600));
        assert_eq!(filtered.since, Some(ago(3600 + 900)));
        assert!(filtered.clone().turn(Lists::ChangedSince, &page(&[5, 4500], None), true, None).is_ok());
        assert!(filtered.clone().turn(Lists::ChangedSince, &page(&[5, 4501], None), true, None).is_err());
        let sorted = walk(Lists::NewestFirst, Some(3600));
        assert!(sorted.clone().turn(Lists::NewestFirst, &page(&[10, 5], None), true, None).is_err());
        let mut later = sorted;
        later.turn(Lists::NewestFirst, &page(&[10, 20], Some("1")), true, None).unwrap();
        assert!(
            later.turn(Lists::NewestFirst, &page(&[9, 20], None), true, None).is_err(),
            "sorted on each page alone"
        );
        let timeless = Page { rows: vec![Row::new("1".to_owned(), None, |_| Says::Nothing)], ..Page::default() };
        assert!(walk(Lists::NewestFirst, None).turn(Lists::NewestFirst, &timeless, true, None).is_err());
        assert!(walk(Lists::Everything, None).turn(Lists::Everything, &timeless, true, None).is_ok());
    }

    #[test]
    fn a_walk_that_was_broken_off_moves_no_watermark() {
        let mut walk = walk(Lists::ChangedSince, Some(3600));
        let mut turn = || walk.turn(Lists::ChangedSince, &page(&[5], Some("1")), false, None);
        assert_eq!([turn(), turn(), turn()], [Ok(None), Ok(None), Ok(Some(End::Repeats))]);
        assert_eq!(walk.watermark(End::Repeats, Some(ago(3600))), Some(ago(3600)));
    }

    #[test]
    fn one_that_takes_more_requests_than_it_saves_ends_with_the_page_that_tells() {
        let mut walk = walk(Lists::Everything, None);
        let told = Page { pages: Some(9), ..page(&[1], Some("1")) };
        assert_eq!(walk.clone().turn(Lists::Everything, &told, true, Some(9)), Ok(None));
        assert_eq!(walk.turn(Lists::Everything, &told, true, Some(8)), Ok(Some(End::TooDear)));
    }

    prop_compose! {
        fn any_page()(
            ages in prop::collection::vec(-50_000..200_000_i64, 0..5),
            next in prop::option::of("[0-3]"),
            pages in prop::option::of(0..6_u64),
            brings_new in any::<bool>(),
        ) -> (Page, bool) {
            (Page { pages, ..page(&ages, next.as_deref()) }, brings_new)
        }
    }

    proptest! {
        #![proptest_config(config())]

        /// Whatever the pages hold: the walk ends or goes on by its bounds, and what it knows afterwards is a time that it was told,
        /// never ours and never ahead.
        #[test]
        fn the_watermark_is_a_time_of_the_provider(
            pages in prop::collection::vec(any_page(), 1..20),
            lists in prop::sample::select(vec![Lists::Everything, Lists::NewestFirst, Lists::ChangedSince]),
            watermark in prop::option::of(0..100_000_i64),
        ) {
            let mut walk = walk(lists, watermark);
            let (mut told, mut stale) = (watermark.map(ago).into_iter().collect::<Vec<_>>(), 0);
            for (page, brings_new) in &pages {
                let before = walk.clone();
                let Ok(end) = walk.turn(lists, page, *brings_new, None) else {
                    prop_assert_eq!(&walk, &before, "a page that proves a lie changes nothing");
                    return Ok(());
                };
                told.extend(page.rows.iter().filter_map(|row| row.changed_at));
                stale = if *brings_new { 0 } else { stale + 1 };
                prop_assert!(end.is_some() || (page.next.is_some() && stale < 3));
                if let Some(most) = pages[..walk.pages as usize].iter().filter_map(|(page, _)| page.pages).max() {
                    prop_assert!(end.is_some() || u64::from(walk.pages) < most + 3);
                }
                let known = walk.watermark(end.unwrap_or(End::TooLong), watermark.map(ago));
                prop_assert!(known.is_none_or(|known| told.contains(&known) && known <= NOW.max(ago(watermark.unwrap_or(0)))));
                prop_assert!(known >= watermark.map(ago));
                prop_assert!(end == Some(End::Whole) || known == watermark.map(ago));
                if end.is_some() {
                    return Ok(());
                }
            }
        }
    }
}
