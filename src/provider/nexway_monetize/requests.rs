//! The single questions: an address each, its answer read, and a slot for every request after the first.

use std::collections::HashSet;

use reqwest::{Method, Request};
use serde::Deserialize;

use super::convention::is_same;
use super::order::{self, Order};
use super::page::Page;
use super::rows::{self, Row};
use super::told::Orders;
use super::{Client, choice, part};
use crate::budget::Slot;
use crate::provider::body;
use crate::provider::http::{self, Endpoint, MIB};
use crate::provider::lenient::Scalar;
use crate::provider::nexway::refusal::refusal;
use crate::provider::url::encoded;
use crate::provider::{Class, Error, Verdict};

pub(super) const SUBSCRIPTION: Endpoint = Endpoint { name: "subscription", limit: MIB };
pub(super) const ORDER: Endpoint = Endpoint { name: "order", limit: 4 * MIB };
const ORDERS: Endpoint = Endpoint { name: "orders", limit: 16 * MIB };
const KEYS: Endpoint = Endpoint { name: "line-item data", limit: 16 * MIB };

/// Orders on a page, and pages that are read: more than a subscription has in twenty years.
const ORDERS_A_PAGE: usize = 100;
const ORDER_PAGES: usize = 4;
/// Of the keys of one order, where they come in pages.
const KEY_PAGES: usize = 20;

/// An answer that was refused for a reason, or what it holds.
pub(super) type Asked<T> = Result<Result<T, Verdict>, Error>;

impl Client {
    pub(super) async fn get(&self, endpoint: Endpoint, path: &str, slot: Slot) -> Asked<http::Answer> {
        let url = self.account.url(path)?;
        let answer = self.account.ask(endpoint, slot, || Request::new(Method::GET, url.clone())).await?;
        sorted(answer)
    }

    pub(super) async fn further(&self) -> Result<Slot, Error> {
        self.account.http.further_slot().await
    }

    pub(super) fn subscription_path(&self, id: &str) -> String {
        format!("{}/{}", self.paths.subscriptions, encoded(id))
    }

    /// The orders that name this subscription: all, or those of one generation. The newest come first, so that what is added while
    /// the list is read comes twice and nothing is left out.
    pub(super) async fn orders(&self, id: &str, generation: Option<i64>, mut slot: Option<Slot>) -> Asked<Orders> {
        let of = generation.map(|generation| format!("&generationId={generation}")).unwrap_or_default();
        let (mut orders, mut seen) = (Orders::default(), HashSet::new());
        for number in 0..ORDER_PAGES {
            let path = format!(
                "{}?subscriptionId={}{of}&page={number}&size={ORDERS_A_PAGE}&sort=createDate%2Cdesc",
                self.paths.orders,
                encoded(id)
            );
            let slot = match slot.take() {
                Some(slot) => slot,
                None => self.further().await?,
            };
            let answer = match self.get(ORDERS, &path, slot).await? {
                Ok(answer) => answer,
                Err(verdict) => return Ok(Err(verdict)),
            };
            let page = Page::<order::Body<'_>>::read(&answer.body)?;
            let (is_last, is_empty) = (page.is_last(number), page.items.all.is_empty());
            let ours = page.items.all.into_iter().filter_map(|body| Order::of(body, answer.at));
            let ours: Vec<_> = ours.filter(|order| order.is_of(id) && seen.insert(order.id.clone())).collect();
            // A page without any of ours is that of a server that did not filter: the rest is no better, and what it left out may be
            // on none of them.
            let is_anothers = ours.is_empty() && !is_empty;
            orders.all.extend(ours);
            orders.is_whole = is_last && !is_anothers;
            if is_last || is_anothers {
                break;
            }
        }
        Ok(Ok(orders))
    }

    /// What a look needs of the orders; `None`: they could not be read this time, which hides nothing that the count tells.
    pub(super) async fn orders_for(&self, id: &str, is_first: bool) -> Asked<Option<Orders>> {
        match self.orders(id, None, None).await {
            Ok(Ok(orders)) => Ok(Ok(Some(orders))),
            // The subscription was just answered for: it has none.
            Ok(Err(verdict)) if verdict.class == Class::NotFound => {
                Ok(Ok(Some(Orders { all: Vec::new(), is_whole: true })))
            }
            Ok(Err(verdict)) if is_first => Ok(Err(verdict)),
            Err(error) if is_first => Err(error),
            Ok(Err(verdict)) => {
                tracing::debug!(code = verdict.code, "orders were refused, and are left for the next look");
                Ok(Ok(None))
            }
            Err(error) => {
                tracing::debug!(%error, "orders could not be read, and are left for the next look");
                Ok(Ok(None))
            }
        }
    }

    pub(super) async fn order(&self, path: &str, slot: Slot) -> Asked<Order> {
        Ok(match self.get(ORDER, path, slot).await? {
            Ok(answer) => Ok(order::read(&answer.body, answer.at)?),
            Err(verdict) => Err(verdict),
        })
    }

    /// The order of a generation, searched for in three ways: any of them may answer with another's, with the upgrade's, with nothing
    /// or not at all. Why the first could not be used counts where the others find nothing.
    pub(super) async fn order_of(&self, id: &str, generation: i64, slot: Slot) -> Asked<Order> {
        let missing = || Ok(Err(part::not_ours("there is no order of this generation")));
        let searched = match self.orders(id, Some(generation), Some(slot)).await {
            Ok(Ok(orders)) => match choice::of_generation(orders.all, generation) {
                Some(order) => return Ok(Ok(order)),
                None => missing(),
            },
            Ok(Err(verdict)) => Ok(Err(verdict)),
            Err(error @ (Error::Rejected { .. } | Error::Unreadable { .. })) => Err(error),
            Err(error) => return Err(error),
        };
        let path = format!("{}/subscription/{}?generation={generation}", self.paths.orders, encoded(id));
        let found = match self.order(&path, self.further().await?).await {
            // One that has no such question answers as gateways do.
            Err(Error::Rejected { .. }) => missing(),
            asked => asked,
        }?;
        match found.map(|order| order.is_of(id).then_some(order).and_then(|order| choice::asked_for(order, generation)))
        {
            Ok(Some(order)) => Ok(Ok(order)),
            Err(verdict) if verdict.class != Class::NotFound => Ok(Err(verdict)),
            Ok(None) | Err(_) => match searched {
                Ok(Err(verdict)) if verdict.class == Class::NotFound => self.order_among_all(id, generation).await,
                searched => searched,
            },
        }
    }

    async fn order_among_all(&self, id: &str, generation: i64) -> Asked<Order> {
        let orders = self.orders(id, None, None).await?;
        let missing = || part::not_ours("there is no order of this generation");
        Ok(orders.and_then(|orders| choice::of_generation(orders.all, generation).ok_or_else(missing)))
    }

    /// In full: the rows of a list may be shortened. Where it cannot be had the keys still name whom they are for.
    pub(super) async fn in_full(&self, order: Order) -> Result<Order, Error> {
        if !order.lines.is_empty() {
            return Ok(order);
        }
        match self.order(&self.order_path(&order.id), self.further().await?).await {
            Ok(Ok(full)) if is_same(&full.id, &order.id) => Ok(full),
            Ok(_) | Err(Error::Rejected { .. } | Error::Unreadable { .. }) => Ok(order),
            Err(error) => Err(error),
        }
    }

    /// The order with this id; a platform may spell it otherwise than its name is written, and mind.
    pub(super) async fn order_named(&self, id: &str, order_id: &str, slot: Slot) -> Asked<Order> {
        let named = match self.order(&self.order_path(order_id), slot).await? {
            Err(verdict) if verdict.class == Class::NotFound => match self.orders(id, None, None).await? {
                Ok(Orders { all, .. }) => all.into_iter().find(|order| is_same(&order.id, order_id)).ok_or(verdict),
                Err(_) => Err(verdict),
            },
            named => named,
        };
        let is_it = |order: &Order| is_same(&order.id, order_id) && order.is_of(id);
        let anothers = || part::not_ours("answered for another order");
        Ok(named.and_then(|order| if is_it(&order) { Ok(order) } else { Err(anothers()) }))
    }

    pub(super) fn order_path(&self, order_id: &str) -> String {
        format!("{}/{}", self.paths.orders, encoded(order_id))
    }

    /// Every row of an order, whosever it is.
    pub(super) async fn keys(&self, order_id: &str) -> Asked<Vec<Row>> {
        let (mut rows, mut seen) = (Vec::new(), HashSet::new());
        let read = |bytes: &[u8], number| {
            let page = Page::<rows::Body<'_>>::read(bytes)?;
            let is_last = page.is_last(number);
            let new = page.items.all.into_iter().map(Row::of);
            rows.extend(new.filter(|row| row.id.as_ref().is_none_or(|id| seen.insert(id.clone()))));
            Ok(is_last)
        };
        Ok(self.key_pages(order_id, read).await?.map(|()| rows))
    }

    /// The pages with an order's keys, one after the other, until `read` says that it was the last.
    pub(super) async fn key_pages(
        &self,
        order_id: &str,
        mut read: impl FnMut(&[u8], usize) -> Result<bool, Error>,
    ) -> Asked<()> {
        let path = format!("{}/lineitemdata/order/{}", self.paths.orders, encoded(order_id));
        for number in 0..KEY_PAGES {
            let path = if number == 0 { path.clone() } else { format!("{path}?page={number}") };
            let answer = match self.get(KEYS, &path, self.further().await?).await? {
                Ok(answer) => answer,
                Err(verdict) => return Ok(Err(verdict)),
            };
            if read(&answer.body, number)? {
                return Ok(Ok(()));
            }
        }
        Err(body::unreadable("more keys than an order can have"))
    }

    /// Where people find the licence files of an order; a link beside the delivery, for which nothing waits.
    pub(super) async fn file_link(&self, order_id: &str) -> Result<Option<String>, Error> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Summary<'a> {
            #[serde(borrow)]
            export_activation_code_file_url: Scalar<'a>,
        }
        let path = format!("{}/views/{}/summary", self.paths.orders, encoded(order_id));
        match self.get(ORDER, &path, self.further().await?).await {
            Ok(Ok(answer)) => {
                Ok(body::parse::<Summary<'_>>(&answer.body).ok().and_then(|s| s.export_activation_code_file_url.text()))
            }
            Ok(Err(_)) | Err(Error::Rejected { .. } | Error::Unavailable { .. } | Error::Unreadable { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A success, a refusal with its reason, or trouble.
pub(super) fn sorted(answer: http::Answer) -> Asked<http::Answer> {
    if answer.is_success() {
        return Ok(Ok(answer));
    }
    match refusal(answer.status, &answer.body) {
        Some(verdict) => Ok(Err(verdict)),
        None => Err(answer.failure()),
    }
}
