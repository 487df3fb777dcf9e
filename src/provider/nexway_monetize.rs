//! Nexway Monetize: what is asked of the seller's platform, and in which order.
//!
//! Its facts are in `docs/providers/nexway-monetize.md`. What the bodies say is read in `subscription`, `order` and `rows`; what
//! follows from them in `sighting` and `part`. When to ask is not decided here.

mod check;
mod choice;
pub mod convention;
mod feed;
mod memo;
pub mod notification;
mod order;
mod page;
mod part;
#[cfg(test)]
mod properties;
mod requests;
mod rows;
pub mod settings;
mod shop;
mod sighting;
mod subscription;
#[cfg(test)]
mod tests;
mod told;

use crate::budget::{Budget, Slot};
use crate::call::Call;
use crate::provider::connection::ConfigError;
use crate::provider::kinds::{Given, Readers};
use crate::provider::nexway::{self, Account};
use crate::provider::shop::Reply;
use crate::provider::{Class, Error, Fetched, Finding, LastAsked, Position, Provider, Sighting, Subject};
use crate::provider::{body, http};
use convention::{Reference, is_same};
use memo::Memo;
use order::Order;
use page::Page;
use part::Step;
use requests::{SUBSCRIPTION, sorted};
use rows::Row;
use told::Orders;

/// A client for one account, to be shared by all who ask it.
pub struct Client {
    account: Account,
    paths: Paths,
    /// Where a subscription's context has the reseller's number for it; `None`: `externalRefId` is that.
    number_pointer: Option<String>,
    /// Held by the call that takes an offer.
    accepting: tokio::sync::Mutex<()>,
}

/// Below the API's address; each begins with a slash.
#[derive(Clone, Debug, PartialEq)]
pub struct Paths {
    pub subscriptions: String,
    pub orders: String,
    pub licences: String,
}

impl Client {
    pub fn new(
        config: &nexway::Config,
        paths: Paths,
        number_pointer: Option<String>,
        budget: Budget,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            account: Account::new(config, budget)?,
            paths,
            number_pointer,
            accepting: tokio::sync::Mutex::default(),
        })
    }
}

impl Provider for Client {
    async fn look(&self, subject: Subject<'_>, slot: Slot) -> Result<Sighting, Error> {
        let id = subject.subscription_id;
        let answer = match self.get(SUBSCRIPTION, &self.subscription_path(id), slot).await? {
            Ok(answer) => answer,
            Err(verdict) => return Ok(Sighting::refused(verdict)),
        };
        let (subscription, memo) = (subscription::read(&answer.body, answer.at)?, Memo::read(subject.memo));
        if let Some(seen) = sighting::unusable(id, &subscription, memo.as_ref()) {
            return Ok(Sighting::of(seen));
        }
        let mut orders = None;
        if subject.is_hinted || memo.as_ref().is_none_or(|memo| memo.is_stale(&subscription, answer.at)) {
            // Rare, and not boxed it would swell every look.
            orders = match Box::pin(self.orders_for(id, memo.is_none())).await? {
                Ok(orders) => orders,
                Err(verdict) => return Ok(Sighting::refused(verdict)),
            };
        }
        Ok(sighting::sighting(&subscription, orders.as_ref(), memo.as_ref(), answer.at))
    }

    async fn fetch(&self, subject: Subject<'_>, reference: &str, slot: Slot) -> Result<Fetched, Error> {
        let id = subject.subscription_id;
        let (found, is_named) = match Reference::read(reference) {
            Reference::Generation(generation) => (self.order_of(id, generation, slot).await?, false),
            Reference::Order(order_id) => (self.order_named(id, order_id, slot).await?, true),
        };
        let order = match found {
            Ok(order) => order,
            Err(verdict) => return Ok(Fetched::refused(verdict)),
        };
        // Before more is asked for.
        if let Step::Over(verdict) = part::step(&order, is_named) {
            return Ok(Fetched::refused(verdict));
        }
        let order = self.in_full(order).await?;
        let rows = match self.keys(&order.id).await? {
            Ok(rows) => rows,
            // The order is there: its keys are not yet.
            Err(verdict) if verdict.class == Class::NotFound => Vec::new(),
            Err(verdict) => return Ok(Fetched::refused(verdict)),
        };
        let known_lines = Memo::read(subject.memo).map(|memo| memo.lines).unwrap_or_default();
        let mut answer = part::Answer { order, is_named, rows, file_link: None, known_lines };
        if part::has_file(&answer, id) {
            answer.file_link = self.file_link(&answer.order.id).await?;
        }
        Ok(fetched(answer, id))
    }

    async fn page(&self, at: Position<'_>, slot: Slot) -> Result<crate::provider::Page, Error> {
        self.listed(at, slot).await
    }

    async fn shop(&self, call: &Call, _: &str, slot: Slot) -> Result<Reply, Error> {
        self.make(call, slot).await
    }

    async fn check(&self, known: Vec<LastAsked>, budget: &Budget) -> (Vec<Finding>, bool) {
        self.examine(known, budget).await
    }
}

/// For whom it was asked, and for nobody else.
fn fetched(answer: part::Answer, id: &str) -> Fetched {
    let id = id.to_owned();
    let verdict = part::part(&answer, &id).verdict;
    Fetched::new(verdict, move |claim| match is_same(claim.subscription_id, &id) {
        true => part::part(&answer, &id),
        false => crate::provider::Part::bare(part::not_ours("asked for another subscription")),
    })
}

pub(crate) const READERS: Option<Readers> =
    Some(Readers { look: read_look, fetch: read_fetch, page: Some(feed::read_page) });

/// A subscription, with orders where the body lists such.
fn read_look(given: Given<'_>, subject: Subject<'_>) -> Result<Sighting, Error> {
    let at = given.at;
    let answer = match sorted(http::answer_of(given))? {
        Ok(answer) => answer,
        Err(verdict) => return Ok(Sighting::refused(verdict)),
    };
    let (subscription, memo) = (subscription::read(&answer.body, at)?, Memo::read(subject.memo));
    if let Some(seen) = sighting::unusable(subject.subscription_id, &subscription, memo.as_ref()) {
        return Ok(Sighting::of(seen));
    }
    let orders = Page::<order::Body<'_>>::read(&answer.body).ok().map(|page| {
        let all = page.items.all.into_iter().filter_map(|body| Order::of(body, at));
        Orders { all: all.filter(|order| order.is_of(subject.subscription_id)).collect(), is_whole: true }
    });
    Ok(sighting::sighting(&subscription, orders.as_ref(), memo.as_ref(), at))
}

/// The keys of an order in a list, of a good one; or an order, without any.
fn read_fetch(given: Given<'_>, subject: Subject<'_>, name: &str) -> Result<Fetched, Error> {
    let at = given.at;
    let answer = match sorted(http::answer_of(given))? {
        Ok(answer) => answer,
        Err(verdict) => return Ok(Fetched::refused(verdict)),
    };
    let id = subject.subscription_id;
    let (order, rows) = if body::is_list(&answer.body) {
        let good =
            serde_json::json!({"id": name, "subscriptionId": id, "status": "COMPLETED", "lineItems": [{"id": "l1"}]});
        let page = Page::<rows::Body<'_>>::read(&answer.body)?;
        (order::read(good.to_string().as_bytes(), at)?, page.items.all.into_iter().map(Row::of).collect())
    } else {
        (order::read(&answer.body, at)?, Vec::new())
    };
    Ok(fetched(part::Answer { order, is_named: true, rows, file_link: None, known_lines: Vec::new() }, id))
}
