//! What the rows of a page come to: answers, hints, and subscriptions that nobody tracks.

use std::collections::{BTreeMap, BTreeSet};

use super::feed::{Sampled, Unsorted};
use super::request::Shared;
use crate::choice::Lane;
use crate::clock::Timestamp;
use crate::delivery::{Event, Message};
use crate::provider::{Row, Says, Seen, Sighting, Subject};
use crate::renewal::news::KnownDelivery;
use crate::renewal::walk::{OVERLAP, What};
use crate::renewal::{State, Subscription};
use crate::store::{self, Discovery, NewMessage, NewSubscription, PageRecord, Stranger};

/// A subscription that a row answers for.
pub(super) struct Answered {
    pub before: Subscription,
    pub sighting: Sighting,
    /// The deliveries that are recorded, where the row lists any.
    pub known: Vec<KnownDelivery>,
}

/// A page whose rows have been held against what is tracked.
pub(super) struct Listing {
    pub record: PageRecord,
    pub answers: Vec<Answered>,
    /// Rows to choose from, for comparison, and how many.
    pub samples: Vec<(i64, Sampled)>,
    pub sample: usize,
    /// Tracked by nobody, when the page was read.
    pub strangers: usize,
    /// Of these, tracked now.
    pub discovered: usize,
    /// Those that were told of that.
    pub sinks: BTreeSet<String>,
}

impl<P> Shared<'_, P> {
    /// Asks no provider, and writes nothing but newly tracked subscriptions: if what the page comes to is not written after all, it
    /// is read again.
    pub async fn sort(self, unsorted: Unsorted) -> Result<Listing, store::Error> {
        let Unsorted { page, record, answers, sample, discover } = unsorted;
        let now = (self.now)();
        let rows = self.by_id(page.rows);
        let listed = |ids: Vec<String>| self.store.listed(&self.account.name, ids);
        let mut tracked = listed(rows.keys().cloned().collect()).await?;
        let known: BTreeSet<_> = tracked.iter().map(|one| one.subscription_id.as_str()).collect();
        let strangers: Vec<_> = rows.iter().filter(|(id, _)| !known.contains(id.as_str())).map(stranger).collect();
        let mut listing = Listing {
            record,
            answers: Vec::new(),
            samples: Vec::new(),
            sample,
            strangers: strangers.len(),
            discovered: 0,
            sinks: BTreeSet::new(),
        };
        match discover {
            Some(deliver_from) if !strangers.is_empty() => {
                // Whether it gets what it has depends on when it was made: who does not tell waits for a list that does.
                let (strangers, undated): (Vec<_>, Vec<_>) =
                    strangers.into_iter().partition(|one| deliver_from.is_none() || one.created_at.is_some());
                listing.record.strangers = undated;
                let ids = strangers.iter().map(|one| one.subscription_id.clone()).collect();
                listing.discovered = self.discover(strangers, deliver_from, &mut listing.sinks, now).await?;
                tracked.extend(listed(ids).await?);
            }
            _ => listing.record.strangers = strangers,
        }
        // Renewals are fetched in the order in which they are seen: whoever has waited longest first.
        tracked.sort_by_key(|one| rows.get(&one.subscription_id).and_then(|row| row.changed_at));
        for before in tracked {
            if let Some(row) = rows.get(&before.subscription_id) {
                self.hold_against(before, row, answers, &mut listing, now).await?;
            }
        }
        Ok(listing)
    }

    /// Each once, in the form in which ids are stored: a list that shifts may show one twice. What is no id of this kind is nobody's.
    fn by_id(&self, rows: Vec<Row>) -> BTreeMap<String, Row> {
        let mut by_id = BTreeMap::new();
        for row in rows {
            let Ok(id) = self.account.convention.subscription_id(&row.subscription_id) else { continue };
            let is_older = |other: &Row| row.changed_at < other.changed_at;
            if !by_id.get(&id).is_some_and(is_older) {
                by_id.insert(id, row);
            }
        }
        by_id
    }

    async fn hold_against(
        &self,
        mut before: Subscription,
        row: &Row,
        answers: bool,
        listing: &mut Listing,
        now: Timestamp,
    ) -> Result<(), store::Error> {
        if !matches!(before.state, State::Watching | State::Ended) {
            return Ok(());
        }
        match row.says(subject_of(&before)) {
            Says::Answer(sighting) if answers => {
                // Whoever wants to know, or has seen more than a list may show, waits for a look.
                if matches!(before.lane, Lane::AskedFor | Lane::Hinted) {
                    return Ok(());
                }
                // A row that changes no more would hide a renewal that is overdue.
                let brings_nothing = sighting.seen
                    == Seen::Counted { generation: before.generation.unwrap_or(-1), doubt: None, besides: Vec::new() };
                if brings_nothing && self.should_have_renewed(&before, now) {
                    let is_of_changes = listing.record.feed.walk.what == What::Changes;
                    listing.record.hints.extend(is_of_changes.then_some(before.row));
                    return Ok(());
                }
                if let Some(changed_at) = row.changed_at {
                    listing.samples.push((before.row, Sampled { changed_at, read_at: now }));
                }
                let known = match sighting.lists() {
                    true => self.store.recorded(before.row).await?,
                    false => Vec::new(),
                };
                // Those who were tracked together are not asked together for it: nothing is to be spread.
                before.last_asked_at.get_or_insert(before.tracked_at);
                listing.answers.push(Answered { before, sighting: *sighting, known });
            }
            // In a list of everything nothing says that anybody is worth a look.
            Says::Answer(_) if listing.record.feed.walk.what == What::Changes => listing.record.hints.push(before.row),
            Says::Hint if is_news(row, &before, listing.record.feed.walk.what) => listing.record.hints.push(before.row),
            Says::Answer(_) | Says::Hint | Says::Older | Says::Nothing => {}
        }
        Ok(())
    }

    fn should_have_renewed(&self, subscription: &Subscription, now: Timestamp) -> bool {
        subscription.expires_at.is_some_and(|end| end <= now && now < end + self.account.rules.window_after)
    }

    /// Tracks them. Those made after `deliver_from` get all they have.
    async fn discover(
        &self,
        strangers: Vec<Stranger>,
        deliver_from: Option<Timestamp>,
        sinks: &mut BTreeSet<String>,
        now: Timestamp,
    ) -> Result<usize, store::Error> {
        let name = &self.account.name;
        let territories = self.settings.providers.get(name).map(|one| one.territories()).unwrap_or_default();
        // Where there are several, nobody knows which.
        let [territory] = territories[..] else { return Ok(0) };
        let found = strangers.into_iter().map(|one| self.found(one, territory, deliver_from, now)).collect::<Vec<_>>();
        let told: Vec<_> =
            found.iter().flat_map(|one| &one.message).flat_map(|message| message.sinks.clone()).collect();
        let added = self.store.discover(found, now).await?;
        if added > 0 {
            sinks.extend(told);
        }
        Ok(added)
    }

    fn found(&self, stranger: Stranger, territory: &str, deliver_from: Option<Timestamp>, now: Timestamp) -> Discovery {
        let Stranger { subscription_id, number, created_at } = stranger;
        let convention = self.account.convention;
        let number =
            number.and_then(|number| convention.number(&number).ok()).unwrap_or_else(|| subscription_id.clone());
        let is_ours = deliver_from.is_some_and(|from| created_at.is_some_and(|created| from < created));
        let about = self.about(territory, &number, &subscription_id, "{}");
        let event = Event::Discovered { created_at };
        let sinks = self.takers(event.name(), territory);
        let message = (!sinks.is_empty()).then(|| NewMessage {
            message: Message::new(&about, &event, now),
            // Told by whoever files it.
            subscription: 0,
            territory: territory.to_owned(),
            generation: 0,
            reference: String::new(),
            keys_hash: String::new(),
            sinks,
        });
        let new = NewSubscription {
            provider: self.account.name.clone(),
            convention,
            territory: territory.to_owned(),
            partner_order_number: number,
            subscription_id,
            // Below all that can be delivered.
            generation: is_ours.then_some(-1),
            known: Vec::new(),
            // One that is to get all it has had nothing before it was made.
            known_before: created_at.filter(|_| is_ours),
            expires_at: None,
            metadata: None,
            tracked_by: "discovery",
        };
        Discovery { new, message }
    }
}

/// Whether a row that hints is worth a look now. Among all that there are, one that changed before the last look says nothing new: it is
/// asked about alone in its time, and not at every walk.
fn is_news(row: &Row, before: &Subscription, what: What) -> bool {
    let changed_since = |asked: Timestamp| row.changed_at.is_some_and(|changed| asked <= changed + OVERLAP);
    what == What::Changes || before.last_asked_at.is_none_or(changed_since)
}

fn stranger((id, row): (&String, &Row)) -> Stranger {
    Stranger { subscription_id: id.clone(), number: row.number.clone(), created_at: row.created_at }
}

/// Whom a request or a row is about.
pub(super) fn subject_of(subscription: &Subscription) -> Subject<'_> {
    Subject {
        territory: &subscription.territory,
        partner_order_number: &subscription.partner_order_number,
        subscription_id: &subscription.subscription_id,
        generation: subscription.generation,
        memo: subscription.memo.as_deref(),
        is_hinted: matches!(subscription.lane, Lane::AskedFor | Lane::Hinted),
    }
}
