//! What the platform lists by itself (nexway-monetize.md, sections 1, 2 and 3): subscriptions, whose rows are answers unless an order has
//! to be read for them, and licences, whose rows say where to look.

use serde::Deserialize;

use super::memo::Memo;
use super::page::Page as Paged;
use super::requests::SUBSCRIPTION;
use super::subscription::{self, Subscription};
use super::{Client, sighting};
use crate::budget::Slot;
use crate::clock::Timestamp;
use crate::convention::{Feed, Lists, Way};
use crate::provider::http::{self, Endpoint};
use crate::provider::kinds::Given;
use crate::provider::lenient::{Object, Scalar};
use crate::provider::{Error, Page, Position, Row, Says, Subject, Verdict};

/// The most that the platform puts on a page.
const ROWS_A_PAGE: usize = 500;
/// Bytes. A subscription has two or three thousand, a licence with its traces more.
const LIMIT: usize = 32 * SUBSCRIPTION.limit;
const LISTED: Endpoint = Endpoint { name: "subscriptions", limit: LIMIT };
const LICENCES: Endpoint = Endpoint { name: "licences", limit: LIMIT };

const SORTED: &str = "sorted subscriptions";
const ALL: &str = "all subscriptions";
const CHANGED: &str = "changed licences";

/// That subscriptions can be sorted so, and that a renewal touches the time, is inferred.
pub static FEED: Feed = Feed {
    ways: &[
        Way { name: SORTED, lists: Lists::NewestFirst, answers: true },
        Way { name: ALL, lists: Lists::Everything, answers: true },
        Way { name: CHANGED, lists: Lists::ChangedSince, answers: false },
    ],
};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Licence<'a> {
    #[serde(borrow)]
    update_date: Scalar<'a>,
    #[serde(borrow)]
    checkout: Object<Checkout<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Checkout<'a> {
    #[serde(borrow)]
    subscription_id: Scalar<'a>,
}

impl Client {
    pub(super) async fn listed(&self, at: Position<'_>, slot: Slot) -> Result<Page, Error> {
        // What is not a number of ours begins anew.
        let number = at.next.and_then(|next| next.parse().ok()).unwrap_or(0_usize);
        let place = format!("page={number}&size={ROWS_A_PAGE}");
        let (endpoint, path) = match at.way {
            CHANGED => {
                let since = at.since.map_or(0, Timestamp::as_unix) * 1000;
                (LICENCES, format!("{}?{place}&sort=updateDate%2Casc&updateDate={since}%3C", self.paths.licences))
            }
            way => {
                let sort = if way == SORTED { "updateDate%2Cdesc" } else { "createDate%2Casc" };
                (LISTED, format!("{}?{place}&sort={sort}", self.paths.subscriptions))
            }
        };
        let answer = self.list(endpoint, &path, slot).await?;
        read(at.way, &answer.body, number, self.number_pointer.as_deref(), answer.at)
    }

    async fn list(&self, endpoint: Endpoint, path: &str, slot: Slot) -> Result<http::Answer, Error> {
        // No right to read it, or no such list.
        let refused = |verdict: Verdict| Error::Rejected { status: u16::try_from(verdict.code).unwrap_or(0) };
        self.get(endpoint, path, slot).await?.map_err(refused)
    }
}

/// The first page of a way of listing.
pub(super) fn read_page(given: Given<'_>, way: &str) -> Result<Page, Error> {
    read(way, given.body, 0, Some("/order"), given.at)
}

fn read(way: &str, body: &[u8], number: usize, pointer: Option<&str>, now: Timestamp) -> Result<Page, Error> {
    match way {
        CHANGED => rows(body, number, |body| licence(body, now)),
        _ => rows(body, number, |body| row(body, pointer, now)),
    }
}

fn rows<'a, T: Deserialize<'a>>(body: &'a [u8], number: usize, row: impl Fn(T) -> Option<Row>) -> Result<Page, Error> {
    let page = Paged::<T>::read(body)?;
    let next = (!page.is_last(number)).then(|| (number + 1).to_string());
    let (pages, is_another) = (page.pages(), page.is_another(number));
    let rows = page.items.all.into_iter().filter_map(row).collect();
    // A server that ignores the number would send this page for ever; and the others are not read.
    let fault = is_another.then(|| "it answers with another page than was asked for".to_owned());
    Ok(Page { rows, next, pages, fault })
}

fn row(body: subscription::Body<'_>, pointer: Option<&str>, now: Timestamp) -> Option<Row> {
    let (created_at, number) = (body.created_at(now), body.number(pointer));
    let subscription = Subscription::of(body, now)?;
    let (id, changed_at) = (subscription.id.clone(), subscription.updated_at);
    let says = move |subject: Subject<'_>| says(&subscription, subject, now);
    Some(Row::new(id, changed_at, says).created(created_at).numbered(number))
}

/// The count alone is the whole answer where nothing has moved and the orders were read lately, or where it has risen. Anything else may
/// be an upgrade, an offer or a payment that fails: only its orders tell.
fn says(subscription: &Subscription, subject: Subject<'_>, now: Timestamp) -> Says {
    // Nobody has looked yet; whoever was never answered for is due.
    let Some(memo) = Memo::read(subject.memo) else { return Says::Nothing };
    if memo.is_newer_than(subscription) {
        return Says::Older;
    }
    if subscription.generation.is_none() {
        return Says::Hint;
    }
    let seen = sighting::sighting(subscription, None, Some(&memo), now);
    if subscription.generation > subject.generation {
        // The memo leaves the orders to be read by the next look, which the next row hints at.
        return Says::Answer(Box::new(seen));
    }
    match memo.is_stale(subscription, now) {
        true => Says::Hint,
        false => Says::Answer(Box::new(crate::provider::Sighting { memo: None, ..seen })),
    }
}

fn licence(body: Licence<'_>, now: Timestamp) -> Option<Row> {
    let id = body.checkout.into_option()?.subscription_id.text()?;
    Some(Row::new(id, body.update_date.instant(now), |_| Says::Hint))
}

#[cfg(test)]
mod tests;
