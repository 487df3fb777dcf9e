//! The provider's state, and what it answers from it. No I/O, no waiting.

use std::ops::RangeInclusive;
use std::time::Instant;

use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;
use serde_json::{Value, json};

use super::books::Books;
use super::calls::{Endpoint, Query, SERVICES, Subject};
use super::carts::Carts;
use super::envelope::{envelope, estranged, unknown};
use super::list::Sorted;
use super::order_answer::View;
use super::orders::Order;
use super::subscription_answer::SubscriptionAnswer;
use super::switches::{NoOrder, OrderOfGeneration, Revision, Switches};
use crate::clock::Timestamp;
use crate::sandbox::call::{Answer, Fake, Service};
use crate::sandbox::nexway::platform_error;
use crate::sandbox::nexway::tokens::{Credentials, Tokens};
use crate::sandbox::notifications::{Notifying, Outbox};
use crate::sandbox::random::Random;

pub(super) type Call = crate::sandbox::call::Call<Endpoint, Subject>;

/// Who may ask, and how it behaves.
#[derive(Clone, Debug)]
pub struct Account {
    pub realm: String,
    pub client_secret: String,
    pub switches: Switches,
}

impl Default for Account {
    fn default() -> Self {
        Self { realm: "sandbox".into(), client_secret: "sandbox-client-secret".into(), switches: Switches::default() }
    }
}

#[derive(Debug)]
pub struct NexwayMonetize {
    pub(super) books: Books,
    pub(super) tokens: Tokens,
    pub(super) outbox: Outbox,
    pub(super) sorted: Sorted,
    pub(super) carts: Carts,
    pub(super) switches: Switches,
    credentials: Credentials,
    pub(super) random: Random,
}

impl Fake for NexwayMonetize {
    type Account = Account;
    type Endpoint = Endpoint;
    type About = Subject;
    type Switches = Switches;

    const SERVICES: &'static [Service] = &SERVICES;
    const FIELDS: [&'static str; 2] = ["id", "totalItems"];

    fn open(account: Account, random: Random) -> Self {
        let Account { realm, client_secret, switches } = account;
        Self {
            books: Books::default(),
            tokens: Tokens::default(),
            outbox: Outbox::default(),
            sorted: Sorted::default(),
            carts: Carts::default(),
            switches,
            credentials: Credentials { realm, client_secret },
            random,
        }
    }

    fn read(&self, service: usize, parts: &Parts, body: &[u8]) -> (Endpoint, Subject) {
        let (endpoint, id) = Endpoint::of(service, &parts.method, parts.uri.path(), self.switches.revision);
        let query = Query::read(parts.uri.query().unwrap_or_default());
        (endpoint, Subject::of(endpoint, id.as_deref(), &query, body))
    }

    fn answer(&mut self, call: &Call, now: Timestamp) -> Answer {
        if call.endpoint == Endpoint::Token {
            let Self { tokens, credentials, switches, random, .. } = self;
            return tokens.answer(call, credentials, switches.lives(), random);
        }
        let authorization = call.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        if call.endpoint != Endpoint::LicenceFile && !self.tokens.accepts(authorization, Instant::now()) {
            return self.refuse(401, "Authentication Failed: JWT token is not valid", call);
        }
        self.catch_up(now);
        if self.is_outrun(call.endpoint) {
            return self.refuse(412, "the dbVersion is not the newest one", call);
        }
        let query = Query::read(&call.query);
        let answer = match call.endpoint {
            Endpoint::Token | Endpoint::Other => None,
            Endpoint::Subscriptions => return self.subscriptions(&query, call, now),
            Endpoint::Licences => return self.licences(&query, call, now),
            Endpoint::Orders => Some(self.orders(&query, now)),
            Endpoint::LineItemData => Some(self.line_item_data(&query, now)),
            Endpoint::Subscription => self.subscription(call),
            Endpoint::Suspend | Endpoint::Reactivate | Endpoint::Cancel => return self.command(call, now),
            Endpoint::OfferCart => return self.offer_cart(call, now),
            Endpoint::AcceptOffer => return self.accept_offer(call, now),
            Endpoint::UpgradeCart => return self.upgrade_cart(call, now),
            Endpoint::RetailCart => return self.retail_cart(call, now),
            Endpoint::Deeplink => return self.deeplink(call),
            Endpoint::Cart => self.cart(call, now),
            Endpoint::OrderOfGeneration => self.order_of_generation(&query, call, now),
            Endpoint::Order => self.order_number(call).map(|number| self.one_order(number, now)),
            Endpoint::OrderLineItemData => self.order_number(call).map(|number| self.data_of_one(number, now)),
            Endpoint::Summary => self.order_number(call).map(|number| self.summary(number, call, now)),
            Endpoint::LicenceFile => self.order_number(call).map(|number| self.licence_file(number)),
        };
        self.collect_news(now);
        answer.unwrap_or_else(|| self.refuse(404, "item not found", call))
    }

    fn error(status: u16, text: &str, path: &str) -> Answer {
        platform_error(status, text, path)
    }

    fn switches(&mut self) -> &mut Switches {
        self.books.version += 1; // what lists are sorted by may be another
        &mut self.switches
    }

    fn rate_limit(&self) -> (u32, Option<&str>) {
        (self.switches.rate_limit, self.switches.retry_after.as_deref())
    }
}

impl Notifying for NexwayMonetize {
    const TAKEN: RangeInclusive<u16> = 200..=201;

    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    fn catch_up(&mut self, now: Timestamp) {
        self.books.catch_up(now);
        self.collect_news(now);
    }
}

impl NexwayMonetize {
    pub(super) fn collect_news(&mut self, now: Timestamp) {
        let news = std::mem::take(&mut self.books.news);
        if self.outbox.is_heard() && !news.is_empty() {
            let view = View { books: &self.books, switches: &self.switches };
            let told = news.iter().map(|one| envelope(one, &view, now)).collect();
            self.outbox.add(told, &self.switches.notifications, unknown, estranged);
        }
    }

    pub(super) fn view(&self) -> View<'_> {
        View { books: &self.books, switches: &self.switches }
    }

    /// Whether somebody else was faster; one time less from then on.
    fn is_outrun(&mut self, endpoint: Endpoint) -> bool {
        let changes = endpoint.is_command()
            || matches!(endpoint, Endpoint::OfferCart | Endpoint::AcceptOffer | Endpoint::UpgradeCart);
        let is_outrun = changes && self.switches.version_conflicts > 0;
        self.switches.version_conflicts -= u32::from(is_outrun);
        is_outrun
    }

    /// Newest services give details where older ones have the path.
    pub(super) fn refuse(&self, status: u16, text: &str, call: &Call) -> Answer {
        let answer = platform_error(status, text, &call.path);
        if self.switches.revision == Revision::Older {
            return answer;
        }
        let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        body.as_object_mut().map(|fields| fields.remove("path"));
        let id = call.about.subscription_id.as_ref().or(call.about.order_id.as_ref());
        body["details"] = json!([{"errorType": "ITEM", "resourceType": call.endpoint, "resourceId": id}]);
        Answer::json(status, &body)
    }

    fn subscription(&self, call: &Call) -> Option<Answer> {
        let index = self.books.find(call.about.subscription_id.as_deref()?).ok()?;
        let state = &self.books.subscription(index).state;
        let touches = self.switches.renewal_touches_subscription;
        let updated_at = if touches { state.updated_at } else { state.changed_at };
        let answer = SubscriptionAnswer::of(index, state, updated_at, &self.books, &self.switches, false);
        Some(Answer::json(200, &answer))
    }

    fn command(&mut self, call: &Call, now: Timestamp) -> Answer {
        let found = self.books.find(call.about.subscription_id.as_deref().unwrap_or_default());
        let Ok(index) = found else { return self.refuse(404, "item not found", call) };
        let done = match call.endpoint {
            Endpoint::Suspend => self.books.suspend(index, now),
            Endpoint::Reactivate => {
                self.books.reactivate(index, now);
                Ok(())
            }
            _ => {
                self.books.cancel(index, now);
                Ok(())
            }
        };
        self.books.changed(index, now);
        self.collect_news(now);
        match done {
            Ok(()) => self.subscription(call).unwrap_or_else(|| Answer::raw(200, [])),
            Err(error) => self.refuse(400, &error.to_string(), call),
        }
    }

    fn order_number(&self, call: &Call) -> Option<u32> {
        self.books.find_order(call.about.order_id.as_deref()?).ok()
    }

    /// With its script, which moves on.
    pub(super) fn next_order(&mut self, number: u32, now: Timestamp) -> Value {
        let order = self.books.order_mut(number);
        let (step, index) = (order.next(now), order.subscription);
        let body = self.view().order(self.books.order(number), &step);
        self.books.attend(index, now);
        body
    }

    fn one_order(&mut self, number: u32, now: Timestamp) -> Answer {
        let body = self.books.order(number).script.as_ref().and_then(|script| script.order_body.clone());
        match body {
            Some(body) => Answer::raw(200, body),
            None => Answer::json(200, &self.next_order(number, now)),
        }
    }

    /// An unknown subscription is a 404, whatever the switch says of unknown orders.
    fn order_of_generation(&mut self, query: &Query, call: &Call, now: Timestamp) -> Option<Answer> {
        let index = self.books.find(call.about.subscription_id.as_deref()?).ok()?;
        let orders = &self.books.subscription(index).orders;
        let wanted = query.get("generation");
        let matching = |number: &&u32| {
            let order = self.books.order(**number);
            wanted.is_none_or(|wanted| self.shown_generation(order).is_some_and(|shown| shown.to_string() == wanted))
        };
        let newest = orders.iter().rev().find(matching);
        let first = orders.iter().rev().filter(matching).find(|number| self.books.order(**number).begins_generation());
        let found = match self.switches.order_of_generation {
            OrderOfGeneration::First if wanted.is_some() => first.or(newest),
            _ => newest,
        };
        match (found.copied(), self.switches.no_order) {
            (Some(number), _) => Some(self.one_order(number, now)),
            (None, NoOrder::NotFound) => None,
            (None, NoOrder::Empty) => Some(Answer::json(200, &json!({}))),
            (None, NoOrder::Null) => Some(Answer::json(200, &Value::Null)),
        }
    }

    pub(super) fn shown_generation(&self, order: &Order) -> Option<i64> {
        self.view().generation_of(order)
    }

    fn data_of_one(&mut self, number: u32, now: Timestamp) -> Answer {
        let body = self.books.order(number).script.as_ref().and_then(|script| script.data_body.clone());
        match body {
            Some(body) => Answer::raw(200, body),
            None => Answer::json(200, &self.next_data(number, now)),
        }
    }

    fn summary(&mut self, number: u32, call: &Call, now: Timestamp) -> Answer {
        let host = call.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
        let status = self.books.order_mut(number).peek(now).status;
        Answer::json(200, &self.view().summary(self.books.order(number), &status, host))
    }

    fn licence_file(&self, number: u32) -> Answer {
        Answer::raw(200, format!("LICENCE FILE\norder = {}\n", self.books.order(number).id()))
    }
}
