//! The provider's state, and what it answers from it. No I/O, no waiting.

use axum::http::header::{AUTHORIZATION, DATE};
use axum::http::request::Parts;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Value, json};

use super::answers::{PLAN, View, estranged, unknown};
use super::books::{Books, Order};
use super::calls::{Endpoint, Query, SERVICES, Subject};
use super::events::Event;
use super::switches::{ListOrder, Switches};
use crate::clock::Timestamp;
use crate::sandbox::call::{Answer, Fake, Service};
use crate::sandbox::clock::parse_timestamp;
use crate::sandbox::notifications::{Notifying, Outbox};
use crate::sandbox::random::Random;

type Call = crate::sandbox::call::Call<Endpoint, Subject>;

const DATES: DateTimePrinter = DateTimePrinter::new();
/// Days that events are kept.
const KEPT: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);

/// Who may ask, and how it behaves.
#[derive(Clone, Debug)]
pub struct Account {
    pub api_key: String,
    pub switches: Switches,
}

impl Default for Account {
    fn default() -> Self {
        Self { api_key: "sk_sandbox_0123456789".into(), switches: Switches::default() }
    }
}

#[derive(Debug)]
pub struct DigitalRiver {
    pub(super) books: Books,
    pub(super) outbox: Outbox,
    pub(super) switches: Switches,
    api_key: String,
}

impl Fake for DigitalRiver {
    type Account = Account;
    type Endpoint = Endpoint;
    type About = Subject;
    type Switches = Switches;

    const SERVICES: &'static [Service] = &SERVICES;
    const FIELDS: [&'static str; 2] = ["id", "totalAmount"];

    fn open(account: Account, _: Random) -> Self {
        Self {
            books: Books::default(),
            outbox: Outbox::default(),
            switches: account.switches,
            api_key: account.api_key,
        }
    }

    fn read(&self, _: usize, parts: &Parts, _: &[u8]) -> (Endpoint, Subject) {
        let (endpoint, id) = Endpoint::of(&parts.method, parts.uri.path());
        let query = Query::read(parts.uri.query().unwrap_or_default());
        (endpoint, Subject::of(endpoint, id.as_deref(), &query))
    }

    fn answer(&mut self, call: &Call, now: Timestamp) -> Answer {
        let authorization = call.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        if authorization.and_then(|value| value.strip_prefix("Bearer ")) != Some(self.api_key.as_str()) {
            return refusal(401, "unauthorized", "invalid_key", "the key is not known");
        }
        self.catch_up(now);
        let answer = self.answered(call, &Query::read(&call.query), now);
        // By its own clock, as every provider's.
        match jiff::Timestamp::from_second(now.as_unix())
            .ok()
            .and_then(|now| DATES.timestamp_to_rfc9110_string(&now).ok())
        {
            Some(date) => answer.with_header(DATE, date),
            None => answer,
        }
    }

    fn error(status: u16, text: &str, _: &str) -> Answer {
        let kind = match status {
            400 | 413 => "bad_request",
            404 => "not_found",
            _ => "error",
        };
        refusal(status, kind, kind, text)
    }

    fn switches(&mut self) -> &mut Switches {
        &mut self.switches
    }

    fn rate_limit(&self) -> (u32, Option<&str>) {
        (self.switches.rate_limit, self.switches.retry_after.as_deref())
    }
}

pub(super) fn refusal(status: u16, kind: &str, code: &str, message: &str) -> Answer {
    Answer::json(status, &json!({"type": kind, "errors": [{"code": code, "message": message}]}))
}

pub(super) fn bad_request(parameter: &str) -> Answer {
    let error = json!({"code": "invalid_parameter", "parameter": parameter, "message": "is not valid"});
    Answer::json(400, &json!({"type": "bad_request", "errors": [error]}))
}

impl Notifying for DigitalRiver {
    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    fn catch_up(&mut self, now: Timestamp) {
        self.books.catch_up(now);
        self.tell();
    }
}

impl DigitalRiver {
    /// Puts what has happened since into the outbox.
    pub(super) fn tell(&mut self) {
        let new = self.books.told..self.books.events.len();
        self.books.told = new.end;
        if self.outbox.is_heard() {
            let view = self.view();
            let told = self.books.events[new].iter().map(|event| view.notification(event)).collect();
            self.outbox.add(told, &self.switches.notifications, unknown, estranged);
        }
    }

    pub(super) fn view(&self) -> View<'_> {
        View { books: &self.books, switches: &self.switches }
    }

    fn answered(&mut self, call: &Call, query: &Query, now: Timestamp) -> Answer {
        let id = call.path.rsplit('/').next().unwrap_or_default();
        let found = match call.endpoint {
            Endpoint::Subscriptions => return self.subscriptions(query),
            Endpoint::Orders => return self.orders(query),
            Endpoint::Events => return self.events(query, now),
            Endpoint::Change => return self.change(call, now),
            Endpoint::Subscription => self.books.find(call.about.subscription_id.as_deref().unwrap_or_default()).ok().map(|at| {
                let one = &self.books.subscriptions[at];
                self.view().subscription(one, one.state)
            }),
            Endpoint::Order => self.order(call.about.order_id.as_deref().unwrap_or_default()),
            Endpoint::Invoice => self.view().invoice(id),
            Endpoint::Plan => (id == PLAN).then(|| {
                json!({"id": PLAN, "interval": "month", "intervalCount": 1, "billingOffsetDays": 5, "collectionPeriodDays": 5})
            }),
            Endpoint::FileLinks => {
                let asked: Value = serde_json::from_slice(&call.body).unwrap_or_default();
                let file = asked["fileId"].as_str().filter(|file| self.has_file(file));
                file.map(|file| json!({"url": format!("https://files.example/{file}"), "expired": false, "expiresTime": asked["expiresTime"]}))
            }
            Endpoint::Other => None,
        };
        found.map_or_else(|| refusal(404, "not_found", "not_found", "there is none"), |body| Answer::json(200, &body))
    }

    fn has_file(&self, file: &str) -> bool {
        file.strip_prefix("file-").and_then(|id| self.books.find_order(id)).is_some()
    }

    fn order(&mut self, id: &str) -> Option<Value> {
        let at = self.books.find_order(id)?;
        if self.books.orders[at].is_hidden() {
            return None;
        }
        Some(self.view().order(&self.books.orders[at]))
    }

    fn subscriptions(&self, query: &Query) -> Answer {
        let view = self.view();
        let all = self.books.subscriptions.iter().filter(|one| !one.is_deleted);
        let rows = all.map(|one| (one.id.to_string(), view.subscription(one, one.state)));
        let admits = |row: &(String, Value)| query.admits("state", row.1["state"].as_str().unwrap_or_default());
        self.page(rows.filter(admits).collect(), query)
    }

    fn orders(&mut self, query: &Query) -> Answer {
        if query.get("subscriptionId").is_some() && !self.switches.subscription_filter {
            return bad_request("subscriptionId");
        }
        let mut shown = Vec::new();
        let candidates = match query.get("subscriptionId") {
            Some(id) => self.books.find(id).map(|at| self.books.subscriptions[at].orders.clone()).unwrap_or_default(),
            None => (0..self.books.orders.len()).collect(),
        };
        for at in candidates {
            let one = &self.books.subscriptions[self.books.orders[at].subscription];
            let is_wanted =
                query.admits("subscriptionId", &one.id) && query.admits("customerId", &one.customer.to_string());
            if is_wanted && !self.books.orders[at].is_hidden() {
                shown.push(at);
            }
        }
        let view = self.view();
        let rows = shown.into_iter().map(|at| &self.books.orders[at]);
        self.page(rows.map(|order| (order.id.to_string(), view.order(order))).collect(), query)
    }

    fn events(&self, query: &Query, now: Timestamp) -> Answer {
        const SINCE: &str = "createdTime[gt]";
        let since = match query.get(SINCE) {
            Some(_) if !self.switches.event_filter => return bad_request(SINCE),
            Some(since) => match parse_timestamp(since) {
                Ok(since) => Some(since),
                Err(_) => return bad_request(SINCE),
            },
            None => None,
        };
        let is_kept = |event: &&Event| event.at + KEPT > now && since.is_none_or(|since| event.at > since);
        let kind = query.get("type").unwrap_or("*").to_owned();
        let is_wanted = |event: &&Event| match kind.strip_suffix('*') {
            Some(prefix) => format!("subscription.{}", event.what).starts_with(prefix),
            None => format!("subscription.{}", event.what) == kind,
        };
        let view = self.view();
        let mut events: Vec<_> = self.books.events.iter().filter(is_kept).filter(is_wanted).collect();
        events.sort_by_key(|event| event.at);
        let times = if self.switches.events_twice { 2 } else { 1 };
        let rows = events.iter().flat_map(|event| vec![(event.id.clone(), view.event(event)); times]);
        self.page(rows.collect(), query)
    }

    /// `rows` with their ids, oldest first.
    fn page(&self, mut rows: Vec<(String, Value)>, query: &Query) -> Answer {
        let limit =
            query.get("limit").map_or(Some(10), |limit| limit.parse().ok().filter(|limit| (1..=100).contains(limit)));
        let Some(limit): Option<usize> = limit else { return bad_request("limit") };
        if self.switches.list_order == ListOrder::NewestFirst {
            rows.reverse();
        }
        let begin = match query.get("startingAfter") {
            Some(after) => rows.iter().rposition(|(id, _)| id == after).map(|at| at + 1),
            None => Some(0),
        };
        let Some(begin) = begin else { return bad_request("startingAfter") };
        let has_more = rows.len() > begin + limit;
        let data: Vec<_> = rows.drain(..).skip(begin).take(limit).map(|(_, body)| body).collect();
        Answer::json(200, &json!({"hasMore": has_more, "data": data}))
    }
}

impl Order {
    /// Whether this answer does not show it; each brings it nearer.
    fn is_hidden(&mut self) -> bool {
        let is_hidden = self.hidden_for > 0;
        self.hidden_for = self.hidden_for.saturating_sub(1);
        is_hidden
    }
}
