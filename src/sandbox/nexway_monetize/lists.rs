//! What the lists answer: subscriptions, licences, orders, line-item data.

use serde_json::Value;

use super::books::Books;
use super::calls::{Query, Range};
use super::forms::millis;
use super::list::{Page, SortKey, before, choose, instant, read_sort};
use super::order_answer::View;
use super::orders::order_number;
use super::platform::{Call, NexwayMonetize};
use super::subscription_answer::SubscriptionAnswer;
use super::switches::{Revision, UpdateFilter};
use crate::clock::Timestamp;
use crate::sandbox::call::Answer;

impl NexwayMonetize {
    pub(super) fn subscriptions(&mut self, query: &Query, call: &Call, now: Timestamp) -> Answer {
        let filter = match (query.range("updateDate"), self.switches.update_filter) {
            (_, UpdateFilter::Ignored) | (Ok(None), _) => None,
            (_, UpdateFilter::Refused) => return self.refuse(400, "updateDate is no filter", call),
            (Ok(filter), UpdateFilter::Honoured) => filter,
            (Err(()), UpdateFilter::Honoured) => return self.refuse(400, "updateDate is no range", call),
        };
        let (field, descending) = read_sort(query);
        let key = match field {
            _ if !self.switches.sort_honoured => SortKey::Id,
            Some("updateDate") => SortKey::Updated,
            Some("createDate") | None => SortKey::Created,
            Some(_) => return self.refuse(400, "no property to sort by", call),
        };
        let Self { books, sorted, switches, .. } = self;
        let (page, sorted) = (Page::read(query, switches), sorted.by(key, books, switches, now));
        let kept = |index| {
            let updated = millis(instant(SortKey::Updated, index, books, switches, now));
            filter.is_none_or(|range| range.holds(updated)) && !books.unlisted.contains(&index)
        };
        let kept: &dyn Fn(u32) -> bool = &kept;
        let leaves_out = filter.is_some() || !books.unlisted.is_empty();
        let (rows, total) = choose(sorted, descending, page, switches, leaves_out.then_some(kept));
        let short = switches.revision == Revision::Older && query.get("format") != Some("full");
        let at = before(now, switches);
        let row = |index: u32| {
            let subscription = books.subscription(index);
            let lags = !switches.list_lag.is_zero();
            let state = if lags { subscription.state_at(at) } else { &subscription.state };
            let updated_at = instant(SortKey::Updated, index, books, switches, now);
            SubscriptionAnswer::of(index, state, updated_at, books, switches, short)
        };
        Answer::json(200, &page.of(rows.into_iter().map(row).collect(), total, switches))
    }

    pub(super) fn licences(&mut self, query: &Query, call: &Call, now: Timestamp) -> Answer {
        if !self.switches.licence_list {
            return self.refuse(403, "Access is denied", call);
        }
        let (Ok(updated), Ok(created)) = (query.range("updateDate"), query.range("createDate")) else {
            return self.refuse(400, "no range of dates", call);
        };
        let (field, descending) = read_sort(query);
        let key = match field {
            _ if !self.switches.sort_honoured => SortKey::Id,
            Some("createDate") => SortKey::Created,
            _ => SortKey::LicenceUpdated,
        };
        let Self { books, sorted, switches, .. } = self;
        let (page, sorted) = (Page::read(query, switches), sorted.by(key, books, switches, now));
        let kept = |index: u32| {
            let of = |key| millis(instant(key, index, books, switches, now));
            let holds = |range: Option<Range>, key| range.is_none_or(|range| range.holds(of(key)));
            let subscription = books.subscription(index);
            holds(updated, SortKey::LicenceUpdated)
                && holds(created, SortKey::Created)
                && query.admits("checkout.subscriptionId", &subscription.id.to_string())
                && query.admits("checkout.orderId", &books.order(subscription.state.order).id())
        };
        let (rows, total) = choose(sorted, descending, page, switches, Some(&kept));
        let view = View { books, switches };
        let row = |index| view.licence(index, instant(SortKey::LicenceUpdated, index, books, switches, now));
        Answer::json(200, &page.of(rows.into_iter().map(row).collect(), total, switches))
    }

    /// Orders that a query means, in the order in which they were made.
    fn matching(&mut self, query: &Query, names: [&str; 2], now: Timestamp) -> Vec<u32> {
        let [subscription, generation] = names;
        let all = |books: &Books| (0..books.orders.len() as u32).collect::<Vec<_>>();
        if !self.switches.filters_honoured {
            return all(&self.books);
        }
        let mut numbers = match query.get(subscription) {
            Some(id) => {
                self.books.find(id).map(|index| self.books.subscription(index).orders.clone()).unwrap_or_default()
            }
            None => all(&self.books),
        };
        if query.get("status").is_some() {
            numbers.retain(|number| query.admits("status", &self.books.order_mut(*number).peek(now).status));
        }
        numbers.retain(|number| {
            let order = self.books.order(*number);
            let shown = self.shown_generation(order).map(|generation| generation.to_string());
            query.admits(generation, &shown.unwrap_or_default())
                && query.admits("source", order.source.name())
                && query.get("orderId").is_none_or(|id| order_number(id) == Some(*number))
        });
        numbers
    }

    pub(super) fn orders(&mut self, query: &Query, now: Timestamp) -> Answer {
        let numbers = self.matching(query, ["subscriptionId", "generationId"], now);
        let (page, descending) = (Page::read(query, &self.switches), read_sort(query).1);
        let (rows, total) = choose(&numbers, descending, page, &self.switches, None);
        let rows: Vec<_> = rows.into_iter().map(|number| self.next_order(number, now)).collect();
        Answer::json(200, &page.of(rows, total, &self.switches))
    }

    pub(super) fn next_data(&mut self, number: u32, now: Timestamp) -> Vec<Value> {
        let order = self.books.order_mut(number);
        let (status, step) = (order.peek(now).status, order.next_data(now));
        self.view().line_item_data(self.books.order(number), &status, step)
    }

    pub(super) fn line_item_data(&mut self, query: &Query, now: Timestamp) -> Answer {
        let page = Page::read(query, &self.switches);
        let numbers = self.matching(query, ["subscriptionId", "generationId"], now);
        let all: Vec<_> = numbers.into_iter().flat_map(|number| self.next_data(number, now)).collect();
        let places = page.places(all.len(), &self.switches);
        Answer::json(200, &page.of(all[places].to_vec(), all.len(), &self.switches))
    }
}
