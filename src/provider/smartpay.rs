//! SmartPay's Subscription module: what is asked of it, and in which order.
//!
//! Its facts are in `docs/providers/smartpay.md`. What the bodies say is read in `subscription`, `cycle` and `transaction`; what follows
//! from them in `sighting` and `part`. When to ask is not decided here.

mod check;
pub mod convention;
mod cycle;
mod dates;
mod feed;
mod fields;
mod keys;
mod memo;
pub mod notification;
mod page;
mod part;
#[cfg(test)]
mod properties;
mod refusal;
mod requests;
pub mod settings;
mod shop;
mod sighting;
mod subscription;
#[cfg(test)]
mod tests;
mod transaction;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use secrecy::{ExposeSecret, SecretString};

use crate::budget::{Budget, Slot};
use crate::call::Call;
use crate::provider::connection::{ConfigError, Connection};
use crate::provider::http::{self, Http};
use crate::provider::kinds::{Given, Readers};
use crate::provider::shop::Reply;
use crate::provider::url::base;
use crate::provider::{
    Class, Error, Fetched, Finding, LastAsked, Position, Provider, Seen, Sighting, Subject, Verdict, body,
};
use cycle::{Cycle, Cycles};
use memo::Memo;
use part::Answer;
use refusal::sorted;
use sighting::Before;

/// A client for one account, to be shared by all who ask it.
pub struct Client {
    http: Http,
    api: Url,
    /// Whether the second secret goes along.
    has_authentication_key: bool,
    /// The label of the first captured billing cycle.
    first: i64,
    /// Where a subscription's metadata has keys.
    keys_pointer: Option<String>,
}

/// Where an account is, and what opens it.
struct Config {
    api_url: String,
    merchant_key: SecretString,
    authentication_key: Option<SecretString>,
    origin: Option<String>,
    first_cycle_is_purchase: bool,
    keys_pointer: Option<String>,
    connection: Connection,
}

impl Client {
    fn new(config: &Config, budget: Budget) -> Result<Self, ConfigError> {
        let api = base("api_url", &config.api_url)?;
        Ok(Self {
            http: Http::new(&config.connection, headers(config)?, &[&api], budget)?,
            api,
            has_authentication_key: config.authentication_key.is_some(),
            first: i64::from(!config.first_cycle_is_purchase),
            keys_pointer: config.keys_pointer.clone(),
        })
    }
}

/// Of every request (smartpay.md, section 1).
fn headers(config: &Config) -> Result<HeaderMap, ConfigError> {
    let value =
        |text: &str, what: &str| HeaderValue::from_str(text).map_err(|_| ConfigError::Header { what: what.to_owned() });
    let secret = |text: &str, what: &str| {
        let mut value = value(text, what)?;
        value.set_sensitive(true);
        Ok::<_, ConfigError>(value)
    };
    let key = config.merchant_key.expose_secret();
    let mut headers = HeaderMap::from_iter([
        (HeaderName::from_static("x-api-key"), secret(key, "the merchant key")?),
        (reqwest::header::ACCEPT_LANGUAGE, HeaderValue::from_static("en-US")),
    ]);
    if let Some(second) = &config.authentication_key {
        let basic = settings::basic(key, second.expose_secret());
        headers.insert(AUTHORIZATION, secret(&basic, "the authentication key")?);
    }
    if let Some(origin) = &config.origin {
        headers.insert(ORIGIN, value(origin, "origin")?);
    }
    Ok(headers)
}

impl Provider for Client {
    async fn look(&self, subject: Subject<'_>, slot: Slot) -> Result<Sighting, Error> {
        let answer = match self.subscription(subject, slot).await? {
            Ok(answer) => answer,
            Err(verdict) => return Ok(Sighting::refused(verdict)),
        };
        let (subscription, memo) = (subscription::read(&answer.body, answer.at)?, Memo::read(subject.memo));
        if let Some(seen) = sighting::foreign(subject.subscription_id, &subscription) {
            return Ok(Sighting::of(seen));
        }
        let before = Before { memo: memo.as_ref(), generation: subject.generation, first: self.first };
        let mut cycles = None;
        if subject.is_hinted || before.needs_cycles(&subscription, answer.at) {
            // Rarer than looks, and not boxed it would swell every one of them.
            let is_first = memo.is_none() || subject.generation.is_none();
            cycles = match Box::pin(self.cycles_for(&subscription.id, is_first)).await? {
                Ok(cycles) => Some(cycles),
                // A look that could not read what was paid for has seen nothing. The subscription is there, though.
                Err(verdict) if verdict.class == Class::NotFound => {
                    return Ok(Sighting::refused(Verdict { class: Class::Transient, ..verdict }));
                }
                Err(verdict) => return Ok(Sighting::refused(verdict)),
            };
        }
        Ok(sighting::sighting(&subscription, cycles.as_ref(), before, answer.at))
    }

    async fn fetch(&self, subject: Subject<'_>, reference: &str, slot: Slot) -> Result<Fetched, Error> {
        let id = self.spelling(subject);
        let cycle = match self.cycle(&id, reference, slot).await? {
            Ok(cycle) => cycle,
            Err(verdict) => return Ok(Fetched::refused(verdict)),
        };
        // Before more is asked for.
        if let Some(verdict) = part::unusable(&cycle, reference, subject.subscription_id) {
            return Ok(Fetched::refused(verdict));
        }
        let transactions = self.transactions(&id, &cycle.id).await?;
        let keys = match &self.keys_pointer {
            Some(pointer) => self.keys(subject, pointer).await?,
            None => Ok(None),
        };
        let zone = Memo::read(subject.memo).map(|memo| memo.zone()).unwrap_or_default();
        Ok(fetched(Answer { cycle, transactions, keys, zone }, subject.subscription_id))
    }

    async fn page(&self, at: Position<'_>, slot: Slot) -> Result<crate::provider::Page, Error> {
        self.listed(at, slot).await
    }

    async fn shop(&self, call: &Call, territory: &str, slot: Slot) -> Result<Reply, Error> {
        self.make(call, territory, slot).await
    }

    async fn check(&self, known: Vec<LastAsked>, budget: &Budget) -> (Vec<Finding>, bool) {
        self.examine(known, budget).await
    }
}

/// For whom it was asked, and for nobody else.
fn fetched(answer: Answer, id: &str) -> Fetched {
    let (id, part) = (id.to_owned(), part::part(answer));
    Fetched::new(part.verdict.clone(), move |claim| match convention::is_same(claim.subscription_id, &id) {
        true => part.clone(),
        false => crate::provider::Part::bare(part::not_ours("asked for another subscription")),
    })
}

pub(crate) const READERS: Option<Readers> =
    Some(Readers { look: read_look, fetch: read_fetch, page: Some(feed::read_page) });

/// A subscription, with billing cycles where the body lists such.
fn read_look(given: Given<'_>, subject: Subject<'_>) -> Result<Sighting, Error> {
    let answer = match sorted(http::answer_of(given), false)? {
        Ok(answer) => answer,
        Err(verdict) => return Ok(Sighting::refused(verdict)),
    };
    let subscription = subscription::read(&answer.body, answer.at)?;
    if let Some(seen) = sighting::foreign(subject.subscription_id, &subscription) {
        return Ok(Sighting::of(seen));
    }
    let page = page::Page::read(&answer.body).ok();
    let cycles = page.map(|page| {
        let all = page.rows.into_iter().filter_map(|row| Cycle::of(&row, answer.at)).collect();
        Cycles { all, is_whole: true, is_short: false }
    });
    let memo = Memo::read(subject.memo);
    let before = Before { memo: memo.as_ref(), generation: subject.generation, first: 0 };
    if cycles.is_none() && before.needs_cycles(&subscription, answer.at) {
        return Ok(Sighting::of(Seen::Unclear("the billing cycles were not read")));
    }
    Ok(sighting::sighting(&subscription, cycles.as_ref(), before, answer.at))
}

/// A billing cycle, with what it holds of its transactions; its metadata is read for a key, too.
fn read_fetch(given: Given<'_>, subject: Subject<'_>, reference: &str) -> Result<Fetched, Error> {
    let answer = match sorted(http::answer_of(given), false)? {
        Ok(answer) => answer,
        Err(verdict) => return Ok(Fetched::refused(verdict)),
    };
    let fields = body::parse(&answer.body)?;
    let cycle = Cycle::of(&fields, answer.at).ok_or_else(|| body::unreadable("a billing cycle without id"))?;
    if let Some(verdict) = part::unusable(&cycle, &reference.to_ascii_lowercase(), subject.subscription_id) {
        return Ok(Fetched::refused(verdict));
    }
    let transactions = Ok(transaction::embedded(&fields, answer.at));
    let keys = Ok(keys::found(&fields, "/key"));
    Ok(fetched(Answer { cycle, transactions, keys, zone: dates::Zone::default() }, subject.subscription_id))
}
