//! What the provider lists by itself: which page is wanted next, what a page does to the walk that it belongs to, and what follows
//! when the list is not what it should be. What the rows of a page come to is [`super::listing`]'s.
//!
//! How far a walk has come is on disk with each page. What is remembered here beside that only saves requests.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::Account;
use crate::clock::Timestamp;
use crate::convention;
use crate::provider::{Error as ProviderError, Page, Sighting};
use crate::renewal::walk::{End, Walk, What};
use crate::renewal::ways::{self, Distrusted, Means, Round, Trust};
use crate::renewal::{DAY, Pace};
use crate::retry;
use crate::settings;
use crate::store::{self, FeedRow, FeedState, PageRecord, Store};

/// Rows of a walk's list that are held against single looks, once in [`SAMPLED_EVERY`].
const SAMPLE: usize = 20;
const SAMPLED_EVERY: Duration = DAY;
/// Walks that begin because of somebody who is to be found are no closer together.
const NOT_SOONER_THAN: Duration = Duration::from_secs(60);
/// Changes that are remembered, so that those a walk shares with the one before it come to nothing.
const MOST_RECENT: usize = 100_000;
/// Pages that were read and not sorted yet.
const MOST_UNSORTED: usize = 2;

/// What is remembered from pass to pass.
#[derive(Debug, Default)]
pub(super) struct Memory {
    hasher: RandomState,
    seen: BTreeMap<What, (Timestamp, Seen)>,
    /// Changes of the last walks, by a hash of the subscription id.
    recent: HashMap<u64, Timestamp>,
    samples: HashMap<i64, Sampled>,
    /// Of each walk, when it began and how many of its rows were chosen for that.
    chosen: BTreeMap<What, (Timestamp, usize)>,
    /// Of each walk, its requests in a row without a page, and when the next may follow.
    failures: BTreeMap<What, (u32, Instant)>,
    /// What a page came to may not be on disk.
    is_unsure: bool,
    pub next_at: Option<Timestamp>,
}

/// Who was seen in a walk: bits by hash, so that a million take no more room than a thousand. A few may pass for seen that were not;
/// a whole page does not.
#[derive(Debug)]
struct Seen(Vec<u64>);

/// A row as it was listed, of a subscription that is looked at for comparison.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampled {
    pub changed_at: Timestamp,
    pub read_at: Timestamp,
}

/// One account's lists, for one pass.
pub(super) struct Feed<'a> {
    memory: &'a mut Memory,
    kind: &'static convention::Feed,
    settings: settings::Feed,
    every: Duration,
    requests_per_second: f64,
    watched: u32,
    state: FeedState,
    is_asking: bool,
    /// Of each walk, those on the pages sorted so far that nobody tracked.
    untracked: BTreeMap<What, u32>,
    /// In the order in which they were read.
    pub unsorted: VecDeque<Unsorted>,
}

/// A page to be asked for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub walk: Walk,
    round: Round,
}

/// A page that was taken in.
pub(super) struct Unsorted {
    pub page: Page,
    /// What will be written of it, without what its rows come to.
    pub record: PageRecord,
    /// Its rows are taken for answers.
    pub answers: bool,
    /// So many of them are to be looked at for comparison.
    pub sample: usize,
    /// `Some`: those that nobody tracks are to be tracked; with everything they have if they were made after this.
    pub discover: Option<Option<Timestamp>>,
}

impl Seen {
    const WORDS: usize = 1 << 19;

    /// True when it was not there.
    fn add(&mut self, hash: u64) -> bool {
        let mut is_new = false;
        for part in [hash as u32, (hash >> 32) as u32] {
            let (word, bit) = (part as usize / 64 % Self::WORDS, 1 << (part % 64));
            is_new |= self.0[word] & bit == 0;
            self.0[word] |= bit;
        }
        is_new
    }
}

impl<'a> Feed<'a> {
    /// `None`: the account has none, or does not want it.
    pub async fn load(
        memory: &'a mut Memory,
        store: &Store,
        account: &Account,
        requests_per_second: f64,
        now: Timestamp,
    ) -> Result<Option<Self>, store::Error> {
        let Some((kind, settings)) = account.convention.feed.zip(account.feed.filter(|feed| !feed.every.is_zero()))
        else {
            memory.next_at = None;
            return Ok(None);
        };
        if memory.is_unsure {
            memory.recent.clear();
            memory.seen.clear();
        }
        let mut state = store.feed(&account.name).await?;
        if settings.discover != settings::Discover::Off && state.discovery_began_at.is_none() {
            state.discovery_began_at = Some(store.begin_discovery(&account.name, now).await?);
        }
        let groups = store.subscription_groups().await?;
        let asked = groups.iter().filter(|group| group.provider == account.name && group.is_asked);
        let watched: i64 = asked.filter(|group| group.pace == Pace::Regular).map(|group| group.count).sum();
        Ok(Some(Self {
            memory,
            kind,
            settings,
            every: account.rules.every,
            requests_per_second,
            watched: u32::try_from(watched).unwrap_or(u32::MAX),
            untracked: state.rows.iter().map(|row| (row.walk.what, row.walk.untracked)).collect(),
            state,
            is_asking: false,
            unsorted: VecDeque::new(),
        }))
    }

    fn round(&self, what: What, now: Timestamp) -> Option<Round> {
        let means = Means {
            distrusted: &self.state.distrusted,
            feed_every: self.settings.every,
            every: self.every,
            requests_per_second: self.requests_per_second,
            watched: self.watched,
            last_pages: self.row(What::Everything).and_then(|row| row.whole_pages),
            discovers: self.settings.discover != settings::Discover::Off,
            now,
        };
        ways::round(self.kind, what, &means)
    }

    fn row(&self, what: What) -> Option<&FeedRow> {
        self.state.rows.iter().find(|row| row.walk.what == what)
    }

    /// The walk over `what` that goes on, or is due.
    fn due(&self, what: What, now: Timestamp) -> Option<Wanted> {
        let round = self.round(what, now)?;
        let walk = match self.row(what) {
            Some(row) if row.ended.is_none() && row.walk.way == round.way.name => row.walk.clone(),
            // One that began ahead of now began under a wrong clock.
            Some(row) if row.ended.is_some() && row.walk.begun_at <= now && now < self.due_at(row, round, now) => {
                return None;
            }
            row => Walk::begin(what, round.way, row.and_then(|row| row.watermark), now),
        };
        Some(Wanted { walk, round })
    }

    /// When the walk after this one is to begin: soon where somebody is said to be found by it.
    fn due_at(&self, row: &FeedRow, round: Round, now: Timestamp) -> Timestamp {
        let Walk { what, begun_at, .. } = row.walk;
        let discovers = what == What::Changes && self.settings.discover != settings::Discover::Off;
        let is_hinted = self.state.stranger_hinted_at.is_some_and(|hinted| begun_at <= hinted && hinted <= now);
        begun_at + if discovers && is_hinted { round.every.min(NOT_SOONER_THAN) } else { round.every }
    }

    fn next(&self, now: Timestamp) -> Option<Wanted> {
        [What::Changes, What::Everything]
            .into_iter()
            .filter(|what| !self.rests(*what))
            .find_map(|what| self.due(what, now))
    }

    /// One walk that brings no page holds up no other.
    fn rests(&self, what: What) -> bool {
        self.memory.failures.get(&what).is_some_and(|(_, retry_at)| Instant::now() < *retry_at)
    }

    /// Whether a page is to be asked for: one at a time, as each names the next.
    pub fn wants_page(&self, now: Timestamp) -> bool {
        !self.is_asking && self.unsorted.len() < MOST_UNSORTED && self.next(now).is_some()
    }

    pub fn take(&mut self, now: Timestamp) -> Option<Wanted> {
        let wanted = self.next(now)?;
        self.is_asking = true;
        Some(wanted)
    }

    pub fn is_idle(&self) -> bool {
        !self.is_asking && self.unsorted.is_empty()
    }

    /// Whether the request before has brought no page either.
    pub fn is_failing(&self, wanted: &Wanted) -> bool {
        self.memory.failures.contains_key(&wanted.walk.what)
    }

    /// Everything is on disk. When there is something to read again.
    pub fn settled(&mut self, now: Timestamp) {
        self.memory.is_unsure = false;
        let next = |what| {
            let round = self.round(what, now)?;
            let row = self.row(what).filter(|row| row.ended.is_some());
            let due = row.map_or(now, |row| self.due_at(row, round, now));
            let retry =
                self.memory.failures.get(&what).map(|(_, at)| now + at.saturating_duration_since(Instant::now()));
            Some(due.max(retry.unwrap_or(due)))
        };
        self.memory.next_at = [What::Changes, What::Everything].into_iter().filter_map(next).min();
    }

    /// Takes a page in: it waits to be sorted, and the next may be asked for.
    pub fn turn(&mut self, account: &Account, wanted: Wanted, mut page: Page, now: Timestamp) {
        self.is_asking = false;
        self.memory.failures.remove(&wanted.walk.what);
        self.memory.is_unsure = true;
        let Wanted { mut walk, round } = wanted;
        let brings_new = self.memory.see(&walk, &page);
        let turned = walk.turn(round.way.lists, &page, brings_new, round.most_pages);
        let distrusted = match &turned {
            Ok(_) => Vec::new(),
            Err(why) => {
                page.rows.clear();
                vec![self.distrust(account, round.way.name, Trust::Off, why, now)]
            }
        };
        let ended = turned.unwrap_or(Some(End::Fault));
        if ended.is_some() {
            self.memory.seen.remove(&walk.what);
        }
        if walk.what == What::Changes {
            self.memory.forget_repeated(&mut page, walk.since);
        }
        let sample = if round.answers { self.sample(&walk, page.rows.len(), now) } else { 0 };
        let chosen = self.memory.chosen_of(&walk);
        let is_sampled = chosen >= SAMPLE || (chosen > 0 && ended.is_some());
        let feed = self.advance(walk, ended, is_sampled, now);
        let redeemed = self.state.distrusted.iter().position(|one| one.way == feed.walk.way && !one.counts(now));
        let trusted = redeemed.filter(|_| ended == Some(End::Whole)).map(|at| self.state.distrusted.remove(at).way);
        if let Some(way) = &trusted {
            tracing::info!(provider = %account.name, way, "the provider's list does what it should again");
        }
        let record = PageRecord {
            provider: account.name.clone(),
            feed,
            hints: Vec::new(),
            strangers: Vec::new(),
            distrusted,
            trusted,
        };
        let discover = match self.settings.discover {
            settings::Discover::Off => None,
            settings::Discover::Adopt => Some(None),
            settings::Discover::Deliver => Some(self.state.discovery_began_at),
        };
        self.unsorted.push_back(Unsorted { page, record, answers: round.answers, sample, discover });
    }

    /// Makes it the state of the walk.
    fn advance(&mut self, walk: Walk, ended: Option<End>, is_sampled: bool, now: Timestamp) -> FeedRow {
        let at = self.state.rows.iter().position(|row| row.walk.what == walk.what);
        let before = at.map(|at| self.state.rows.swap_remove(at));
        let before = before.unwrap_or_else(|| FeedRow {
            watermark: None,
            whole_at: None,
            whole_pages: None,
            whole_untracked: None,
            sampled_at: None,
            walk: walk.clone(),
            ended: None,
        });
        let mut row = FeedRow { walk, ended, ..before };
        row.sampled_at = if is_sampled { Some(now) } else { row.sampled_at };
        if let Some(end) = ended {
            row.watermark = row.walk.watermark(end, row.watermark);
        }
        if ended == Some(End::Whole) {
            (row.whole_at, row.whole_pages) = (Some(now), Some(row.walk.pages));
        }
        self.state.rows.push(row.clone());
        row
    }

    /// So many on this page were tracked by nobody.
    pub fn count_untracked(&mut self, record: &mut PageRecord, strangers: usize) {
        let FeedRow { walk, whole_untracked, ended, .. } = &mut record.feed;
        let before = if walk.pages > 1 { self.untracked.get(&walk.what).copied().unwrap_or(0) } else { 0 };
        walk.untracked = before.saturating_add(u32::try_from(strangers).unwrap_or(u32::MAX));
        self.untracked.insert(walk.what, walk.untracked);
        if *ended == Some(End::Whole) {
            *whole_untracked = Some(walk.untracked);
        }
    }

    /// There was no page. What is to be written of that, if anything.
    pub fn failed(
        &mut self,
        account: &Account,
        wanted: Wanted,
        error: &ProviderError,
        now: Timestamp,
    ) -> Option<PageRecord> {
        self.is_asking = false;
        let what = wanted.walk.what;
        let failures = self.memory.failures.get(&what).map_or(0, |(failures, _)| *failures).saturating_add(1);
        let soon = retry::poll(failures);
        self.memory.failures.insert(what, (failures, Instant::now() + soon.unwrap_or(self.settings.every)));
        // Of one that answers, and never with a page, nothing is to be expected.
        let is_refused = matches!(error, ProviderError::Rejected { .. })
            || (soon.is_none() && matches!(error, ProviderError::Unreadable { .. }));
        if !is_refused && soon.is_some() {
            tracing::debug!(provider = %account.name, error = %crate::chain(error), "no page of the provider's list");
            return None;
        }
        let Wanted { walk, round } = wanted;
        // Half way through, the place alone may be refused or never answered: it is read from its beginning, in its time.
        let distrusted = match (is_refused, &walk.next) {
            (true, None) => vec![self.distrust(account, round.way.name, Trust::Off, &crate::chain(error), now)],
            _ => Vec::new(),
        };
        if is_refused {
            self.memory.failures.remove(&what);
        }
        let feed = self.advance(walk, Some(End::Fault), false, now);
        let provider = account.name.clone();
        Some(PageRecord { provider, feed, hints: Vec::new(), strangers: Vec::new(), distrusted, trusted: None })
    }

    fn distrust(&mut self, account: &Account, way: &str, trust: Trust, why: &str, now: Timestamp) -> Distrusted {
        let why = crate::text::visible(why);
        let before = self.state.distrusted.iter().position(|one| one.way == way);
        let before = before.map(|at| self.state.distrusted.swap_remove(at));
        let since = before.map_or(now, |before| before.since);
        let one = Distrusted { way: way.to_owned(), trust, why, since, seen_at: now };
        self.state.distrusted.push(one.clone());
        let what = match trust {
            Trust::Off => "the provider's list is not read in this way for a day",
            Trust::HintsOnly => "the provider's list answers for nobody for a day, and only says where to look",
        };
        tracing::warn!(provider = %account.name, way, why = %one.why, "{what}");
        one
    }

    /// How many rows of this page are looked at for comparison: all together [`SAMPLE`] of a walk, from anywhere in it.
    fn sample(&mut self, walk: &Walk, rows: usize, now: Timestamp) -> usize {
        let row = self.row(walk.what);
        let last = row.and_then(|row| row.sampled_at);
        if last.is_some_and(|last| last <= now && now < last + SAMPLED_EVERY) {
            return 0;
        }
        let told = walk.pages_told.or(row.and_then(|row| row.whole_pages)).unwrap_or(1).max(1) as usize;
        let of_each = match walk.what {
            What::Changes => SAMPLE,
            What::Everything if told <= SAMPLE => SAMPLE.div_ceil(told),
            What::Everything => {
                let place = self.memory.hasher.hash_one((walk.begun_at, walk.pages)) as usize % told;
                usize::from(place < SAMPLE)
            }
        };
        let before = self.memory.chosen_of(walk);
        let sample = of_each.min(rows).min(SAMPLE.saturating_sub(before));
        self.memory.chosen.insert(walk.what, (walk.begun_at, before + sample));
        sample
    }

    /// Chooses so many of these rows.
    pub fn choose(&mut self, mut rows: Vec<(i64, Sampled)>, count: usize) -> Vec<i64> {
        rows.sort_by_cached_key(|(row, sampled)| self.memory.hasher.hash_one((row, sampled.read_at)));
        rows.truncate(count);
        // Those that never brought an answer are given up.
        let newest = rows.iter().map(|(_, sampled)| sampled.read_at).max();
        self.memory.samples.retain(|_, sampled| newest.is_none_or(|newest| newest < sampled.read_at + DAY));
        self.memory.samples.extend(rows.iter().copied());
        rows.into_iter().map(|(row, _)| row).collect()
    }

    /// A look has found this. Those ways of listing that it proves to be behind.
    pub fn compare(&mut self, account: &Account, row: i64, found: &Sighting, now: Timestamp) -> Vec<Distrusted> {
        let Some(sampled) = self.memory.samples.remove(&row) else { return Vec::new() };
        let is_behind = found.as_of.is_some_and(|as_of| ways::is_behind(sampled.changed_at, as_of, sampled.read_at));
        if !is_behind {
            return Vec::new();
        }
        let why = "it was more than 15 minutes behind a single look";
        let answering = self.kind.ways.iter().filter(|way| way.answers);
        answering.map(|way| self.distrust(account, way.name, Trust::HintsOnly, why, now)).collect()
    }
}

impl Memory {
    fn chosen_of(&self, walk: &Walk) -> usize {
        self.chosen.get(&walk.what).filter(|(begun_at, _)| *begun_at == walk.begun_at).map_or(0, |(_, chosen)| *chosen)
    }

    /// Whether somebody on this page was not seen in its walk before.
    fn see(&mut self, walk: &Walk, page: &Page) -> bool {
        let fresh = || (walk.begun_at, Seen(vec![0; Seen::WORDS]));
        let (of, seen) = self.seen.entry(walk.what).or_insert_with(fresh);
        if *of != walk.begun_at || walk.pages == 0 {
            (*of, *seen) = fresh();
        }
        let hasher = &self.hasher;
        page.rows.iter().fold(false, |is_new, row| seen.add(hasher.hash_one(&row.subscription_id)) | is_new)
    }

    /// Takes out what the walk before has had already.
    fn forget_repeated(&mut self, page: &mut Page, since: Option<Timestamp>) {
        let Self { hasher, recent, .. } = self;
        page.rows.retain(|row| {
            let Some(changed_at) = row.changed_at else { return true };
            recent.insert(hasher.hash_one(&row.subscription_id), changed_at) != Some(changed_at)
        });
        if recent.len() > MOST_RECENT {
            recent.retain(|_, changed_at| since.is_some_and(|since| since <= *changed_at));
            recent.shrink_to_fit();
        }
    }
}
