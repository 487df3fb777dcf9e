//! The single questions: an address each, its answer sorted, and a slot for every request after the first.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::{Method, Request};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Client;
use super::order::{self, Order};
use super::page::{Page, ROWS_A_PAGE};
use super::subscription::{self, Subscription};
use crate::budget::Slot;
use crate::clock::Timestamp;
use crate::delivery::Document;
use crate::provider::http::{Answer, Endpoint, MIB};
use crate::provider::lenient::{Objects, Scalar};
use crate::provider::url::{below, encoded};
use crate::provider::{Class, Error, Verdict, body, times};

pub(super) const SUBSCRIPTION: Endpoint = Endpoint { name: "subscription", limit: MIB };
const ORDER: Endpoint = Endpoint { name: "order", limit: 4 * MIB };
pub(super) const LIST: Endpoint = Endpoint { name: "list", limit: 16 * MIB };
const FILE_LINK: Endpoint = Endpoint { name: "file link", limit: MIB };

/// A thousand orders: more than a subscription has in fifty years.
const ORDER_PAGES: usize = 10;
/// How long an invoice's address is good for; longer than anything waits to be delivered.
const LINKED_FOR: Duration = Duration::from_secs(30 * 86_400);

/// What is not known, or what was answered.
pub(super) type Asked<T> = Result<Result<T, Verdict>, Error>;

/// What a filter has let through.
struct Filtered {
    /// Of the subscription alone.
    ours: Vec<Order>,
    /// There was another one's: it is no filter.
    is_ignored: bool,
}

impl Client {
    pub(super) async fn get(&self, endpoint: Endpoint, path: &str, slot: Slot) -> Asked<Answer> {
        sorted(self.send(endpoint, Request::new(Method::GET, self.url(path)?), slot).await?)
    }

    /// What it means is for whoever asks.
    pub(super) async fn post(&self, endpoint: Endpoint, path: &str, body: &Value, slot: Slot) -> Result<Answer, Error> {
        let mut request = Request::new(Method::POST, self.url(path)?);
        *request.body_mut() = Some(body.to_string().into());
        self.send(endpoint, request, slot).await
    }

    async fn send(&self, endpoint: Endpoint, request: Request, slot: Slot) -> Result<Answer, Error> {
        let asked_at = Instant::now();
        let answer = self.http.send(request, endpoint.limit, slot).await?;
        tracing::debug!(endpoint = endpoint.name, status = answer.status, elapsed = ?asked_at.elapsed(), "asked");
        Ok(answer)
    }

    fn url(&self, path: &str) -> Result<reqwest::Url, Error> {
        below(&self.api, path).ok_or_else(|| body::unreadable("no URL"))
    }

    pub(super) async fn subscription(&self, id: &str, slot: Slot) -> Asked<(Subscription, Timestamp)> {
        Ok(match self.get(SUBSCRIPTION, &subscription_path(id), slot).await? {
            Ok(answer) => {
                let now = now(&answer);
                Ok((subscription::read(&answer.body, now)?, now))
            }
            Err(verdict) => Err(verdict),
        })
    }

    /// Its orders, and whether they had to be asked for by the customer: where nothing can be filtered by subscription.
    pub(super) async fn orders(&self, of: &Subscription, by_customer: bool) -> Result<(Vec<Order>, bool), Error> {
        let id = of.id.as_str();
        let mut found = None;
        if !by_customer {
            match self.filtered("subscriptionId", id, id).await {
                Ok(Filtered { ours, is_ignored: false }) => return Ok((ours, false)),
                Ok(Filtered { ours, .. }) => found = Some(ours),
                Err(Error::Rejected { status: 400 }) => {}
                Err(error) => return Err(error),
            }
        }
        match (&of.customer, found) {
            (Some(customer), _) => Ok((self.filtered("customerId", customer, id).await?.ours, true)),
            (None, Some(found)) => Ok((found, false)),
            (None, None) => Err(Error::Rejected { status: 400 }),
        }
    }

    /// Page by page, whatever their order is.
    async fn filtered(&self, filter: &str, value: &str, id: &str) -> Result<Filtered, Error> {
        let (mut ours, mut seen) = (Vec::new(), HashSet::new());
        let mut after: Option<String> = None;
        for _ in 0..ORDER_PAGES {
            let cursor = after.as_ref().map(|after| format!("&startingAfter={}", encoded(after))).unwrap_or_default();
            let path = format!("/orders?{filter}={}&limit={ROWS_A_PAGE}{cursor}", encoded(value));
            let answer = match self.get(LIST, &path, self.http.further_slot().await?).await? {
                Ok(answer) => answer,
                // There always is such a list.
                Err(_) => return Err(not_the_provider(404)),
            };
            let page = Page::<order::Body<'_>>::read(&answer.body)?;
            let next = page.next(page.data.all.iter().rev().find_map(Order::id_of));
            let (new, others): (Vec<_>, Vec<_>) = page
                .data
                .all
                .into_iter()
                .filter_map(|body| Order::of(body, now(&answer)))
                .partition(|order| order.is_of(id));
            ours.extend(new.into_iter().filter(|order| seen.insert(order.id.clone())));
            if !others.is_empty() && filter == "subscriptionId" {
                return Ok(Filtered { ours, is_ignored: true });
            }
            // A cursor that was ignored leads to the same page for ever.
            if next.is_none() || next == after {
                break;
            }
            after = next;
        }
        Ok(Filtered { ours, is_ignored: false })
    }

    /// One that was listed: not found it is not there yet, and waited for as everywhere. It is no answer that the provider is there.
    pub(super) async fn order(&self, order_id: &str, slot: Slot) -> Asked<Order> {
        let answer = match self.get(ORDER, &format!("/orders/{}?expand=true", encoded(order_id)), slot).await? {
            Ok(answer) => answer,
            Err(verdict) => return Ok(Err(verdict)),
        };
        let order = order::read(&answer.body, now(&answer))?;
        let anothers = || Verdict { class: Class::NotFound, code: 0, message: "answered for another order".to_owned() };
        Ok(if order.id == order_id { Ok(order) } else { Err(anothers()) })
    }

    /// Makes an address for each invoice. Beside the delivery, for which nothing waits.
    pub(super) async fn documents(&self, files: &[String]) -> Result<Vec<Document>, Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Link<'a> {
            #[serde(borrow)]
            url: Scalar<'a>,
        }
        let mut documents = Vec::new();
        for file in files {
            let expires = (Timestamp::now() + LINKED_FOR).to_string();
            let (body, slot) = (json!({"fileId": file, "expiresTime": expires}), self.http.further_slot().await?);
            match self.post(FILE_LINK, "/file-links", &body, slot).await.and_then(sorted) {
                Ok(Ok(answer)) => {
                    let url = body::parse::<Link<'_>>(&answer.body).ok().and_then(|link| link.url.text());
                    documents.extend(url.map(|url| Document { label: "invoice".to_owned(), url }));
                }
                Ok(Err(_))
                | Err(
                    Error::Rejected { .. }
                    | Error::Unavailable { .. }
                    | Error::Unreadable { .. }
                    | Error::NotTheProvider { .. }
                    | Error::Unauthorized { .. },
                ) => tracing::debug!("an invoice has no address"),
                Err(error) => return Err(error),
            }
        }
        Ok(documents)
    }
}

pub(super) fn subscription_path(id: &str) -> String {
    format!("/subscriptions/{}", encoded(id))
}

/// By the provider's clock, by which it bills.
pub(super) fn now(answer: &Answer) -> Timestamp {
    answer.date.and_then(|date| times::plausible(date, answer.at)).unwrap_or(answer.at)
}

/// What an error says of itself.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Failure<'a> {
    #[serde(borrow, rename = "type")]
    kind: Scalar<'a>,
    #[serde(borrow)]
    pub(super) errors: Objects<Code<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Code<'a> {
    #[serde(borrow)]
    pub(super) code: Scalar<'a>,
    #[serde(borrow)]
    pub(super) parameter: Scalar<'a>,
    /// May repeat what was sent.
    #[serde(borrow)]
    pub(super) message: Scalar<'a>,
}

impl<'a> Failure<'a> {
    pub(super) fn read(body: &'a [u8]) -> Self {
        body::parse(body).unwrap_or_default()
    }

    /// Whether it has the form of the API's errors.
    pub(super) fn is_the_apis(&self) -> bool {
        !self.kind.is_absent() || self.errors.is_list
    }

    pub(super) fn code(&self) -> Option<String> {
        self.errors.all.first().and_then(|error| word(&error.code)).or_else(|| word(&self.kind))
    }
}

/// A success, something that is not known, or trouble. Whoever answers in another language is not the provider.
pub(super) fn sorted(answer: Answer) -> Asked<Answer> {
    let status = answer.status;
    let is_json = answer.body.trim_ascii_start().first().is_some_and(|first| matches!(first, b'{' | b'[' | 0xEF));
    if answer.is_success() {
        let is_page = !answer.body.is_empty() && !is_json;
        return if is_page { Err(not_the_provider(status)) } else { Ok(Ok(answer)) };
    }
    let failure = Failure::read(&answer.body);
    let (is_the_apis, code) = (failure.is_the_apis(), failure.code());
    match status {
        401 | 403 => Err(Error::Unauthorized {
            reason: code.map_or_else(|| status.to_string(), |code| format!("{status} {code}")),
            look_at: "api_key_file, and what the key may read",
        }),
        404 if is_the_apis => Ok(Err(Verdict { class: Class::NotFound, code: 404, message: code.unwrap_or_default() })),
        404 | 410 | 300..=399 => Err(not_the_provider(status)),
        400 if code.as_deref() == Some("internal_error") => {
            Err(Error::Unavailable { status, retry_after: answer.retry_after })
        }
        _ => Err(answer.failure()),
    }
}

pub(super) fn not_the_provider(status: u16) -> Error {
    Error::NotTheProvider { what: format!("{status}, and nothing that its API says") }
}

/// The API's own word for it. Its text may repeat what was sent, the key among it.
pub(super) fn word(scalar: &Scalar<'_>) -> Option<String> {
    let word = scalar.text()?;
    let is_word = word.len() <= 40 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_word.then_some(word)
}
