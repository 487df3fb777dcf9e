//! The API's state, and what it answers from it. No I/O, no waiting.

use axum::http::header::{ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::json;

use super::answers::{View, estranged, unknown};
use super::books::{Books, Error, Status, Subscription, uuid_in};
use super::calls::{Endpoint, Query, SERVICES, Subject};
use super::list::page;
use super::switches::Switches;
use crate::clock::Timestamp;
use crate::sandbox::call::{Answer, Fake, Service};
use crate::sandbox::notifications::{Notifying, Outbox};
use crate::sandbox::random::Random;

type Call = crate::sandbox::call::Call<Endpoint, Subject>;

/// Who may ask, and how it behaves.
#[derive(Clone, Debug)]
pub struct Account {
    pub merchant_key: String,
    pub authentication_key: String,
    pub switches: Switches,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            merchant_key: "sandbox-merchant-key".into(),
            authentication_key: "sandbox-authentication-key".into(),
            switches: Switches::default(),
        }
    }
}

#[derive(Debug)]
pub struct Smartpay {
    pub(super) books: Books,
    pub(super) outbox: Outbox,
    pub(super) switches: Switches,
    merchant_key: String,
    basic: String,
}

impl Fake for Smartpay {
    type Account = Account;
    type Endpoint = Endpoint;
    type About = Subject;
    type Switches = Switches;

    const SERVICES: &'static [Service] = &SERVICES;
    const FIELDS: [&'static str; 2] = ["id", "count"];

    fn open(account: Account, random: Random) -> Self {
        let Account { merchant_key, authentication_key, switches } = account;
        let basic = format!("Basic {}", BASE64.encode(format!("{merchant_key}:{authentication_key}")));
        Self { books: Books::new(random), outbox: Outbox::default(), switches, merchant_key, basic }
    }

    fn read(&self, _: usize, parts: &Parts, _: &[u8]) -> (Endpoint, Subject) {
        let (endpoint, ids) = Endpoint::of(&parts.method, parts.uri.path());
        let query = Query::read(parts.uri.query().unwrap_or_default());
        (endpoint, Subject::of(endpoint, &ids, &query))
    }

    fn answer(&mut self, call: &Call, now: Timestamp) -> Answer {
        if let Some(refusal) = self.refusal(call) {
            return refusal;
        }
        self.catch_up(now);
        let (endpoint, ids) = Endpoint::of(&call.method, &call.path);
        let query = Query::read(&call.query);
        let answer = match endpoint {
            Endpoint::Subscriptions => Some(self.subscriptions(&query)),
            Endpoint::Change | Endpoint::Cancel | Endpoint::ManualRetry => {
                self.command(endpoint, &ids, &call.body, now)
            }
            Endpoint::Events => Some(self.events(&query)),
            Endpoint::Plans => Some(Answer::json(200, &page(&[()], &query, &self.switches, |()| self.view().plan()))),
            Endpoint::Plan => Some(Answer::json(200, &self.view().plan())),
            _ => self.one(endpoint, &ids, &query),
        };
        self.tell();
        answer.unwrap_or_else(|| Self::error(404, "not found", &call.path))
    }

    fn error(status: u16, text: &str, _: &str) -> Answer {
        Answer::json(status, &json!({"errorCode": format!("E{status}"), "errorMessage": text}))
    }

    fn switches(&mut self) -> &mut Switches {
        &mut self.switches
    }

    fn rate_limit(&self) -> (u32, Option<&str>) {
        (self.switches.rate_limit, self.switches.retry_after.as_deref())
    }
}

impl Notifying for Smartpay {
    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    fn catch_up(&mut self, now: Timestamp) {
        self.books.catch_up(now);
        self.tell();
    }
}

impl Smartpay {
    /// Puts what has happened since into the outbox.
    pub(super) fn tell(&mut self) {
        let news = std::mem::take(&mut self.books.news);
        if self.outbox.is_heard() {
            let view = self.view();
            let told = news.iter().map(|event| view.notification(event)).collect();
            self.outbox.add(told, &self.switches.notifications, unknown, estranged);
        }
    }

    pub(super) fn view(&self) -> View<'_> {
        View { books: &self.books, switches: &self.switches }
    }

    fn refusal(&self, call: &Call) -> Option<Answer> {
        let header = |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok());
        let refused = |status, text: &str| Some(Self::error(status, text, &call.path));
        if header("x-api-key") != Some(&self.merchant_key) {
            return refused(403, "Forbidden");
        }
        let authorization = header(AUTHORIZATION.as_str());
        if authorization.is_some_and(|given| given != self.basic)
            || (self.switches.basic_required && authorization.is_none())
        {
            return refused(401, "Unauthorized");
        }
        let is_whole = header(ACCEPT_LANGUAGE.as_str()) == Some("en-US")
            && header(CONTENT_TYPE.as_str()) == Some("application/json")
            && header(USER_AGENT.as_str()).is_some();
        if self.switches.strict_headers && !is_whole {
            return refused(400, "a required header is missing");
        }
        None
    }

    fn subscriptions(&self, query: &Query) -> Answer {
        let instant = |text: &str| crate::sandbox::clock::parse_timestamp(text).ok();
        let (updated, created) = (query.range("updatedAt", instant), query.range("createdAt", instant));
        let billed = query.range("nextBillingDate", |day| instant(&format!("{day}T00:00:00Z")));
        let fits = |s: &Subscription| {
            !self.switches.filters_honoured
                || (updated.holds(&self.view().updated_at(s))
                    && created.holds(&s.created_at)
                    && billed.holds(&s.next_billing_at))
        };
        let is_listed = |index: &u32| {
            let s = &self.books.subscriptions[*index as usize];
            let is_hidden = self.switches.deleted_hidden && s.deleted_at.is_some();
            !self.books.forgotten.contains(index) && !is_hidden && fits(s)
        };
        let newest_first: Vec<u32> = (0..self.books.subscriptions.len() as u32).rev().filter(is_listed).collect();
        Answer::json(200, &page(&newest_first, query, &self.switches, |index| self.view().subscription(*index)))
    }

    fn events(&self, query: &Query) -> Answer {
        let is = |name: &str, value: &str| query.get(name).is_none_or(|wanted| wanted == value);
        let fits = |event: &&super::books::Event| {
            is("origin", event.origin) && is("objectType", event.object_type) && is("objectId", &event.object_id)
        };
        let newest_first: Vec<_> = self.books.events.iter().rev().filter(fits).collect();
        Answer::json(200, &page(&newest_first, query, &self.switches, |event| self.view().event(event)))
    }

    /// By an id in the spelling that the switches want.
    fn find(&self, id: &str) -> Option<u32> {
        let index = self.books.find(id).ok()?;
        let own = self.view().id("Subscription", self.books.subscriptions[index as usize].id);
        (!self.switches.case_sensitive || own == id).then_some(index)
    }

    fn cycle(&self, s: &Subscription, id: &str) -> Option<usize> {
        let place = s.cycles.iter().position(|cycle| Some(cycle.id) == uuid_in(id))?;
        (!self.switches.case_sensitive || self.view().id("BillingCycle", s.cycles[place].id) == id).then_some(place)
    }

    /// One subscription, or what belongs to it.
    fn one(&self, endpoint: Endpoint, ids: &[String], query: &Query) -> Option<Answer> {
        let view = self.view();
        if endpoint == Endpoint::Event {
            let event = self.books.events.iter().find(|event| Some(event.id) == uuid_in(&ids[0]))?;
            return Some(Answer::json(200, &view.event(event)));
        }
        let index = self.find(ids.first()?)?;
        let s = &self.books.subscriptions[index as usize];
        let body = match endpoint {
            Endpoint::Subscription => view.subscription(index),
            Endpoint::BillingCycles => {
                let mut newest_first: Vec<_> = s.cycles.iter().rev().map(|cycle| (s, cycle)).collect();
                if self.switches.foreign_cycles {
                    let others = self.books.subscriptions.iter().filter(|other| other.id != s.id).take(2);
                    newest_first.extend(others.flat_map(|other| other.cycles.iter().map(move |cycle| (other, cycle))));
                }
                page(&newest_first, query, &self.switches, |(s, cycle)| view.cycle(s, cycle))
            }
            _ => {
                let cycle = &s.cycles[self.cycle(s, ids.get(1)?)?];
                match endpoint {
                    Endpoint::BillingCycle => view.cycle(s, cycle),
                    Endpoint::Transactions => {
                        let newest_first: Vec<_> = cycle.transactions.iter().rev().collect();
                        page(&newest_first, query, &self.switches, |one| view.transaction(s, cycle, one))
                    }
                    Endpoint::Transaction => {
                        let one = cycle.transactions.iter().find(|one| Some(one.id) == uuid_in(&ids[2]))?;
                        view.transaction(s, cycle, one)
                    }
                    _ => return None,
                }
            }
        };
        Some(Answer::json(200, &body))
    }

    /// What a merchant does.
    fn command(&mut self, endpoint: Endpoint, ids: &[String], body: &[u8], now: Timestamp) -> Option<Answer> {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Change {
            status: Option<Status>,
            billing_cycles_remaining: Option<i64>,
        }
        let index = self.find(ids.first()?)?;
        let done = match endpoint {
            Endpoint::Cancel => self.books.stand(index, Status::Canceled, now).map(|()| 204),
            Endpoint::ManualRetry => {
                let place = self.cycle(&self.books.subscriptions[index as usize], ids.get(1)?)?;
                return Some(match self.books.retry_by_hand(index, place, now) {
                    Ok(id) => Answer::json(201, &self.view().retry(id, index, place, now)),
                    Err(error) => refused(&error),
                });
            }
            _ => {
                let Ok(change) = serde_json::from_slice::<Change>(body) else {
                    return Some(Self::error(400, "no such change", ""));
                };
                if let Some(remaining) = change.billing_cycles_remaining {
                    let s = &mut self.books.subscriptions[index as usize];
                    s.remaining = remaining;
                    s.touch(now, true);
                }
                change.status.map_or(Ok(200), |status| self.books.stand(index, status, now).map(|()| 200))
            }
        };
        Some(match done {
            Ok(200) => Answer::json(200, &self.view().subscription(index)),
            Ok(status) => Answer::raw(status, []),
            Err(error) => refused(&error),
        })
    }
}

fn refused(error: &Error) -> Answer {
    let status = if matches!(error, Error::NotNow { .. }) { 409 } else { 400 };
    Smartpay::error(status, &error.to_string(), "")
}
