//! Which way of listing is walked, and how often: the best that does what it should, as long as it saves more requests than it
//! takes.

use std::time::Duration;

use super::DAY;
use super::walk::{OVERLAP, What};
use crate::clock::Timestamp;
use crate::convention::{Feed, Lists, Way};
use crate::text::forms::text_forms;

/// One that did not do what it should is tried again after this long.
const TRIED_AGAIN_AFTER: Duration = DAY;
/// A walk over everything that stands in for one over changes takes no more than one request in so many.
const STAND_IN_SHARE: f64 = 20.0;

/// What a way of listing is good for, once it has disappointed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Its rows say where to look, and nothing else.
    HintsOnly,
    Off,
}

text_forms!(Trust { HintsOnly = "hints_only", Off = "off" });

/// A way of listing that did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distrusted {
    pub way: String,
    pub trust: Trust,
    pub why: String,
    pub since: Timestamp,
    /// When that was seen last.
    pub seen_at: Timestamp,
}

impl Distrusted {
    /// Not for ever: then it is tried again. A time ahead of now was stored under a wrong clock.
    pub fn counts(&self, now: Timestamp) -> bool {
        self.seen_at <= now && now < self.seen_at + TRIED_AGAIN_AFTER
    }
}

/// What decides how often.
#[derive(Clone, Copy, Debug)]
pub struct Means<'a> {
    pub distrusted: &'a [Distrusted],
    pub feed_every: Duration,
    /// Between two answers of a subscription.
    pub every: Duration,
    /// Zero: no limit.
    pub requests_per_second: f64,
    /// Subscriptions that are asked at that interval.
    pub watched: u32,
    /// Pages of the last walk over everything.
    pub last_pages: Option<u32>,
    /// Whoever is not tracked is looked for.
    pub discovers: bool,
    pub now: Timestamp,
}

/// A walk that is wanted from time to time.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub way: &'static Way,
    pub every: Duration,
    /// More pages are not worth it.
    pub most_pages: Option<u32>,
    /// Its rows are taken for answers.
    pub answers: bool,
}

/// The walks over `what`, if any.
pub fn round(feed: &'static Feed, what: What, means: &Means<'_>) -> Option<Round> {
    let trust = |way: &Way| {
        means.distrusted.iter().find(|one| one.way == way.name && one.counts(means.now)).map(|one| one.trust)
    };
    let mut usable = feed.ways.iter().filter(|way| trust(way) != Some(Trust::Off));
    let best = usable.clone().next()?;
    let is_believed = |way: &Way| way.answers && trust(way).is_none();
    if what == What::Changes {
        let lists_changes = best.lists != Lists::Everything;
        let answers = is_believed(best);
        return lists_changes.then_some(Round { way: best, every: means.feed_every, most_pages: None, answers });
    }
    let way = usable.find(|way| way.lists == Lists::Everything)?;
    let answers = is_believed(way);
    let worth = if answers { means.watched.saturating_sub(1) / 2 } else { 0 };
    // Somewhat oftener than everybody is due, so that nobody gets due before it.
    let regular = means.every - means.every / 8;
    let every = match way.name == best.name {
        true => stand_in_every(means, worth).min(regular),
        false => regular,
    };
    match (means.discovers, worth) {
        (true, _) if means.last_pages.is_none_or(|pages| pages > worth) => {
            Some(Round { way, every: every.max(DAY), most_pages: None, answers })
        }
        (false, 0) => None,
        _ => Some(Round { way, every, most_pages: (!means.discovers).then_some(worth), answers }),
    }
}

/// How often everything is read where changes alone are not to be had: as they would be, while that takes few requests.
fn stand_in_every(means: &Means<'_>, worth: u32) -> Duration {
    let pages = f64::from(means.last_pages.unwrap_or(1).max(1));
    let by_worth = means.every.mul_f64((pages / f64::from(worth.max(1))).min(1.0));
    let by_budget = match means.requests_per_second {
        rate if rate > 0.0 => Duration::try_from_secs_f64(STAND_IN_SHARE * pages / rate).unwrap_or(means.every),
        _ => Duration::ZERO,
    };
    means.feed_every.max(by_worth).max(by_budget)
}

/// A look has found what changed at `as_of`, and the list, read at `read_at`, still showed it as it was at `listed`: whether the list
/// is too far behind to answer for anybody. The first two are the provider's times.
pub fn is_behind(listed: Timestamp, as_of: Timestamp, read_at: Timestamp) -> bool {
    listed < as_of && as_of + OVERLAP < read_at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::renewal::HOUR;
    use crate::renewal::properties::NOW;

    const SORTED: Way = Way { name: "sorted", lists: Lists::NewestFirst, answers: true };
    const ALL: Way = Way { name: "all", lists: Lists::Everything, answers: true };
    const RECENT: Way = Way { name: "recent", lists: Lists::ChangedSince, answers: false };
    static FEED: Feed = Feed { ways: &[SORTED, ALL, RECENT] };

    fn distrusted(way: &Way, trust: Trust, age: Duration) -> Distrusted {
        let (way, why) = (way.name.to_owned(), String::new());
        Distrusted { way, trust, why, since: NOW - age, seen_at: NOW - age }
    }

    fn means(distrusted: &[Distrusted]) -> Means<'_> {
        Means {
            distrusted,
            feed_every: Duration::from_secs(600),
            every: 4 * HOUR,
            requests_per_second: 9.0,
            watched: 100_000,
            last_pages: Some(200),
            discovers: false,
            now: NOW,
        }
    }

    fn names(means: &Means<'_>) -> [Option<(&'static str, u64, bool)>; 2] {
        [What::Changes, What::Everything]
            .map(|what| round(&FEED, what, means).map(|round| (round.way.name, round.every.as_secs(), round.answers)))
    }

    #[test]
    fn the_best_way_that_does_what_it_should_is_walked() {
        assert_eq!(names(&means(&[])), [Some(("sorted", 600, true)), Some(("all", 12_600, true))]);
        let off = [distrusted(&SORTED, Trust::Off, HOUR)];
        assert_eq!(names(&means(&off)), [None, Some(("all", 600, true))], "everything stands in for the changes");
        let off = [off[0].clone(), distrusted(&ALL, Trust::Off, HOUR)];
        assert_eq!(names(&means(&off)), [Some(("recent", 600, false)), None]);
        let all_off = [&off[..], &[distrusted(&RECENT, Trust::Off, HOUR)]].concat();
        assert_eq!(names(&means(&all_off)), [None, None]);
        let yesterday = [distrusted(&SORTED, Trust::Off, DAY)];
        assert_eq!(names(&means(&yesterday))[0], Some(("sorted", 600, true)), "tried again daily");
    }

    #[test]
    fn a_list_that_is_behind_answers_for_nobody() {
        let behind = [distrusted(&SORTED, Trust::HintsOnly, HOUR), distrusted(&ALL, Trust::HintsOnly, HOUR)];
        assert_eq!(names(&means(&behind)), [Some(("sorted", 600, false)), None]);
        let minute = Duration::from_secs(60);
        assert!(is_behind(NOW - HOUR, NOW - 16 * minute, NOW));
        assert!(!is_behind(NOW - HOUR, NOW - 14 * minute, NOW), "it may still come");
        assert!(!is_behind(NOW - HOUR, NOW - HOUR, NOW), "the same");
        assert!(!is_behind(NOW - HOUR, NOW + minute, NOW), "changed after it was read");
    }

    #[test]
    fn everything_is_walked_where_that_takes_fewer_requests_than_half_of_the_looks_it_saves() {
        let few = |watched| round(&FEED, What::Everything, &Means { watched, ..means(&[]) });
        assert!(few(0).is_none() && few(2).is_none());
        assert_eq!(few(3).and_then(|round| round.most_pages), Some(1));
        assert_eq!(few(401).and_then(|round| round.most_pages), Some(200));
        assert_eq!(few(400).and_then(|round| round.most_pages), Some(199), "half is not fewer");
        let discovers = Means { watched: 2, discovers: true, ..means(&[]) };
        let round = round(&FEED, What::Everything, &discovers).unwrap();
        assert_eq!((round.every, round.most_pages), (DAY, None), "whoever is to be found is looked for daily");
    }

    #[test]
    fn what_stands_in_for_the_changes_takes_few_requests() {
        let off = [distrusted(&SORTED, Trust::Off, HOUR)];
        let every = |last_pages, watched, feed_every| {
            let means = Means { last_pages: Some(last_pages), watched, feed_every, ..means(&off) };
            round(&FEED, What::Everything, &means).unwrap().every
        };
        let minute = Duration::from_secs(60);
        assert_eq!(every(200, 100_000, minute).as_secs(), 444, "5 % of nine a second");
        assert_eq!(every(2000, 1_000_000, minute).as_secs(), 4444);
        assert_eq!(every(4, 17, minute), 4 * HOUR / 2, "half of the looks it saves, in each interval");
    }
}
