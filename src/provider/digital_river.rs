//! Digital River: what is asked of its API, and in which order.
//!
//! Its facts are in `docs/providers/digital-river.md`. What the bodies say is read in `subscription`, `order` and `event`; which
//! order pays for which period is `periods`'; what follows, `sighting`'s and `part`'s. When to ask is not decided here.

mod check;
pub mod convention;
mod event;
mod feed;
mod memo;
mod order;
mod page;
mod part;
mod periods;
#[cfg(test)]
mod properties;
mod requests;
pub mod settings;
mod shop;
mod sighting;
mod subscription;
#[cfg(test)]
mod tests;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::budget::{Budget, Slot};
use crate::call::Call;
use crate::clock::Timestamp;
use crate::provider::connection::{ConfigError, Connection};
use crate::provider::http::{self, Http};
use crate::provider::kinds::{Given, Readers};
use crate::provider::shop::Reply;
use crate::provider::url::base;
use crate::provider::{Error, Fetched, Finding, LastAsked, Page, Part, Position, Provider, Sighting, Subject, Verdict};
use convention::Reference;
use memo::Memo;
use order::Order;
use part::Answer;
use requests::{Asked, sorted};

/// Where an account is, and what opens it.
pub struct Config {
    pub api_url: String,
    pub api_key: SecretString,
    pub api_version: String,
    pub keys_pointer: Option<String>,
    pub invoice_links: bool,
    pub connection: Connection,
}

/// A client for one account, to be shared by all who ask it.
pub struct Client {
    http: Http,
    api: Url,
    keys_pointer: Option<String>,
    invoice_links: bool,
}

impl Client {
    pub fn new(config: Config, budget: Budget) -> Result<Self, ConfigError> {
        let api = base("api_url", &config.api_url)?;
        let header = |what: &str, value: &str| {
            HeaderValue::from_str(value).map_err(|_| ConfigError::Header { what: what.to_owned() })
        };
        let mut key = header("api_key", &format!("Bearer {}", config.api_key.expose_secret()))?;
        key.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, key);
        headers.insert("digitalriver-version", header("api_version", &config.api_version)?);
        let http = Http::new(&config.connection, headers, &[&api], budget)?;
        let Config { keys_pointer, invoice_links, .. } = config;
        Ok(Self { http, api, keys_pointer, invoice_links })
    }

    /// An order with all that belongs to it. What is not handed over yet needs no more.
    async fn whole(&self, subject: Subject<'_>, order_id: &str, slot: Slot) -> Asked<Answer> {
        let order = match self.order(order_id, slot).await? {
            Ok(order) => order,
            Err(verdict) => return Ok(Err(verdict)),
        };
        let id = subject.subscription_id;
        let period = part::period_of(order_id, Memo::read(subject.memo).as_ref());
        let keys_pointer = self.keys_pointer.clone();
        let mut answer = Answer { order, keys_pointer, subscription: Value::Null, documents: Vec::new(), period };
        if !answer.order.is_of(id) || part::refusal(&answer.order).is_some() {
            return Ok(Ok(answer));
        }
        if let Some(pointer) = &self.keys_pointer
            && !part::has_key(&answer.order, pointer, id)
        {
            match self.subscription(id, self.http.further_slot().await?).await? {
                Ok((subscription, _)) if subscription.id == id => answer.subscription = subscription.metadata,
                Ok(_) | Err(_) => {}
            }
            if !part::has_all(&answer, id) {
                // It is asked for again, and an address is made once.
                return Ok(Ok(answer));
            }
        }
        if self.invoice_links {
            answer.documents = self.documents(&answer.order.invoices).await?;
        }
        Ok(Ok(answer))
    }

    /// Of a period that was told without an order: that order, once a look has found it.
    async fn period(&self, subject: Subject<'_>, end: Timestamp, slot: Slot) -> Result<Fetched, Error> {
        let memo = Memo::read(subject.memo);
        let periods = memo.iter().flat_map(|memo| &memo.periods);
        let order = periods.filter(|period| period.end == end.as_unix()).find_map(|period| period.order.clone());
        match order {
            Some(order_id) => self.bought(subject, &order_id, slot).await,
            // Something has to be asked: whoever is not there has no periods either.
            None => Ok(match self.subscription(subject.subscription_id, slot).await? {
                Ok(_) => fetched(Verdict::success(), subject, part::without_order(end, memo.as_ref())),
                Err(verdict) => Fetched::refused(verdict),
            }),
        }
    }

    async fn bought(&self, subject: Subject<'_>, order_id: &str, slot: Slot) -> Result<Fetched, Error> {
        Ok(match self.whole(subject, order_id, slot).await? {
            Ok(answer) => handed_over(&answer, subject),
            Err(verdict) => Fetched::refused(verdict),
        })
    }
}

impl Provider for Client {
    async fn look(&self, subject: Subject<'_>, slot: Slot) -> Result<Sighting, Error> {
        let id = subject.subscription_id;
        let (subscription, at) = match self.subscription(id, slot).await? {
            Ok(answer) => answer,
            Err(verdict) => return Ok(Sighting::refused(verdict)),
        };
        if let Some(seen) = sighting::unusable(id, &subscription) {
            return Ok(Sighting::of(seen));
        }
        let memo = Memo::read(subject.memo);
        let mut orders = None;
        if subject.is_hinted || memo.as_ref().is_none_or(|memo| memo.is_stale(&subscription, at)) {
            let by_customer = memo.is_some_and(|memo| memo.by_customer);
            // Rare, and not boxed it would swell every look.
            orders = Some(Box::pin(self.orders(&subscription, by_customer)).await?);
        }
        Ok(sighting::sighting(subject, &subscription, orders.as_ref(), at))
    }

    async fn fetch(&self, subject: Subject<'_>, reference: &str, slot: Slot) -> Result<Fetched, Error> {
        match Reference::read(reference) {
            Reference::Period(end) => self.period(subject, end, slot).await,
            Reference::Order(order_id) => self.bought(subject, order_id, slot).await,
        }
    }

    async fn page(&self, at: Position<'_>, slot: Slot) -> Result<Page, Error> {
        self.listed(at, slot).await
    }

    async fn shop(&self, call: &Call, _: &str, slot: Slot) -> Result<Reply, Error> {
        self.make(call, slot).await
    }

    async fn check(&self, known: Vec<LastAsked>, budget: &Budget) -> (Vec<Finding>, bool) {
        self.examine(known, budget).await
    }
}

fn handed_over(answer: &Answer, subject: Subject<'_>) -> Fetched {
    let part = part::part(answer, subject.subscription_id);
    fetched(part.verdict.clone(), subject, part)
}

/// For whom it was asked, and for nobody else.
fn fetched(verdict: Verdict, subject: Subject<'_>, part: Part) -> Fetched {
    let id = subject.subscription_id.to_owned();
    Fetched::new(verdict, move |claim| match claim.subscription_id == id {
        true => part.clone(),
        false => Part::bare(part::not_ours()),
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
    let subscription = subscription::read(&answer.body, at)?;
    if let Some(seen) = sighting::unusable(subject.subscription_id, &subscription) {
        return Ok(Sighting::of(seen));
    }
    let orders = page::Page::<order::Body<'_>>::read(&answer.body).ok();
    let orders = orders.map(|page| (page.data.all.into_iter().filter_map(|body| Order::of(body, at)).collect(), false));
    Ok(sighting::sighting(subject, &subscription, orders.as_ref(), at))
}

fn read_fetch(given: Given<'_>, subject: Subject<'_>, _: &str) -> Result<Fetched, Error> {
    let at = given.at;
    let answer = match sorted(http::answer_of(given))? {
        Ok(answer) => answer,
        Err(verdict) => return Ok(Fetched::refused(verdict)),
    };
    let (order, keys_pointer) = (order::read(&answer.body, at)?, Some("/key".to_owned()));
    let answer = Answer { order, keys_pointer, subscription: Value::Null, documents: Vec::new(), period: None };
    Ok(handed_over(&answer, subject))
}
