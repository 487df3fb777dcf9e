//! The state behind one lock, and what the API answers from it. No I/O, no waiting.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::http::header::{ALLOW, AUTHORIZATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, Method};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::clock::Clock;
use super::faults::{Faults, Suffering};
use super::log::Log;
use super::order_data::OrderAnswer;
use super::orders::{Book, NewOrder};
use super::random::Random;
use super::rate::Window;
use super::script::{Script, message};
use super::status::StatusAnswer;
use super::switches::{
    AcceptedNumber, ClashingNumber, OriginalNumber, OtherTerritory, RenewMethod, Switches, UnknownSubscription,
};
use super::tokens::{Credentials, Tokens};
use crate::clock::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    Token,
    /// *Get Subscription Status*
    Status,
    /// *Get order data*
    Order,
    /// *Create order*
    Create,
    /// *Cancel subscription*
    Cancel,
    /// *Renew subscription*
    Renew,
    Other,
}

/// A request, read as far as every part of the sandbox needs it.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) endpoint: Endpoint,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) number: Option<Arc<str>>,
    pub(super) subscription_id: Option<i64>,
    pub(super) secret: Secret,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

#[derive(Clone, Debug)]
pub(super) enum Secret {
    Missing,
    Wrong,
    Of(Arc<str>),
}

impl Call {
    pub(super) fn territory(&self) -> Option<&str> {
        match &self.secret {
            Secret::Of(territory) => Some(territory),
            Secret::Missing | Secret::Wrong => None,
        }
    }

    pub(super) fn known_territory(&self) -> Option<Arc<str>> {
        match &self.secret {
            Secret::Of(territory) => Some(territory.clone()),
            Secret::Missing | Secret::Wrong => None,
        }
    }

    #[cfg(test)]
    pub(super) fn for_tests(endpoint: Endpoint, number: &str) -> Self {
        Self {
            endpoint,
            method: Method::GET,
            path: String::new(),
            number: Some(number.into()),
            subscription_id: None,
            secret: Secret::Missing,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }
}

/// A complete answer, before any fault.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    pub(super) header: Option<(HeaderName, String)>,
}

impl Answer {
    pub(super) fn json(status: u16, body: &impl Serialize) -> Self {
        // Plain data with string keys: serde_json cannot fail on it.
        Self::raw(status, serde_json::to_vec(body).unwrap_or_default())
    }

    pub(super) fn raw(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), header: None }
    }

    /// The platform's error body.
    pub(super) fn platform_error(status: u16, text: &str, path: &str) -> Self {
        let status_code = axum::http::StatusCode::from_u16(status).ok();
        let error = status_code.and_then(|code| code.canonical_reason()).unwrap_or("Error");
        let timestamp = Timestamp::now().as_unix() * 1000;
        let body = json!({"timestamp": timestamp, "status": status, "error": error, "message": text, "path": path});
        Self::json(status, &body)
    }

    fn with_header(self, name: HeaderName, value: impl Into<String>) -> Self {
        Self { header: Some((name, value.into())), ..self }
    }
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) clock: Clock,
    pub(super) switches: Switches,
    pub(super) book: Book,
    pub(super) scripts: HashMap<String, Script>,
    pub(super) tokens: Tokens,
    pub(super) faults: Faults,
    pub(super) log: Log,
    pub(super) random: Random,
    rate: Window,
    credentials: Credentials,
}

/// Why an order cannot be shown.
enum Hidden {
    Unknown,
    OtherTerritory,
}

impl World {
    pub(super) fn new(clock: Clock, switches: Switches, credentials: Credentials, seed: u64, log_limit: usize) -> Self {
        Self {
            clock,
            switches,
            book: Book::new(),
            scripts: HashMap::new(),
            tokens: Tokens::default(),
            faults: Faults::default(),
            log: Log::new(log_limit),
            random: Random::new(seed),
            rate: Window::default(),
            credentials,
        }
    }

    /// Logs a request; says what it suffers, or that it is one too many.
    pub(super) fn arrive(&mut self, call: &Call) -> (u64, Result<Suffering, Answer>) {
        let at = Instant::now();
        let seq = self.log.arrived(call, at, self.clock.now());
        if self.rate.admits(at, self.switches.rate_limit) {
            return (seq, Ok(self.faults.strike(call, &mut self.random)));
        }
        let refusal = Answer::platform_error(429, "API rate limit exceeded", &call.path);
        let refusal = match &self.switches.retry_after {
            Some(value) => refusal.with_header(RETRY_AFTER, value),
            None => refusal,
        };
        (seq, Err(refusal))
    }

    /// The true answer.
    pub(super) fn answer(&mut self, call: &Call) -> Answer {
        if call.endpoint == Endpoint::Token {
            return self.token(call);
        }
        let authorization = call.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        if !self.tokens.accepts(authorization, Instant::now()) {
            return Answer::platform_error(401, "Authentication Failed: JWT token is not valid", &call.path);
        }
        if call.endpoint == Endpoint::Other {
            return Answer::platform_error(404, "resource not found", &call.path);
        }
        let Some(number) = call.number.as_deref() else {
            return Answer::platform_error(400, "JSON parse error", &call.path);
        };
        match &call.secret {
            Secret::Missing => self.refuse(call, number, 70),
            Secret::Wrong => self.refuse(call, number, 71),
            Secret::Of(_) if number.is_empty() => {
                self.refuse(call, number, if call.endpoint == Endpoint::Create { 130 } else { 100 })
            }
            Secret::Of(territory) => self.business(call, number, territory),
        }
    }

    fn token(&mut self, call: &Call) -> Answer {
        if call.method == Method::POST {
            let Self { tokens, credentials, switches, random, .. } = self;
            return tokens.request(&call.body, credentials, switches, random, Instant::now());
        }
        self.tokens.expire(true); // DELETE
        Answer::raw(204, [])
    }

    fn business(&mut self, call: &Call, number: &str, territory: &str) -> Answer {
        match call.endpoint {
            Endpoint::Status => self.status(call, number, territory),
            Endpoint::Order => self.order_data(number, territory),
            Endpoint::Create => self.create(call, number, territory),
            _ => self.command(call, number, territory),
        }
    }

    /// A business code in the shape of the endpoint.
    fn refuse(&self, call: &Call, number: &str, code: i64) -> Answer {
        match call.endpoint {
            Endpoint::Status => Answer::json(200, &StatusAnswer::refused(number, code, &self.switches)),
            Endpoint::Create => Answer::json(201, &OrderAnswer::refused(number, code)),
            Endpoint::Order => Answer::json(200, &OrderAnswer::refused(number, code)),
            _ => Answer::json(200, &command_answer(number, call.subscription_id, 0, code)),
        }
    }

    fn status(&mut self, call: &Call, number: &str, territory: &str) -> Answer {
        if let Some(script) = self.scripts.get_mut(number) {
            if let Some(body) = &script.status_body {
                return Answer::raw(200, body.as_bytes());
            }
            if let Some(code) = script.status_codes.pop_front().filter(|code| *code != 0) {
                return self.refuse(call, number, code);
            }
        }
        let now = self.clock.now();
        let id = call.subscription_id.unwrap_or(0);
        match self.original_of(number, id, territory, now) {
            Ok(original) => {
                let Self { book, switches, .. } = self;
                let known = book.order(original, now).and_then(|order| Some((&*order, order.subscription(id)?)));
                match known {
                    Some((order, subscription)) => {
                        Answer::json(200, &StatusAnswer::of(order, subscription, switches, now))
                    }
                    None => self.refuse(call, number, 1010),
                }
            }
            Err(Hidden::OtherTerritory) if self.switches.other_territory == OtherTerritory::SecretNotValid => {
                self.refuse(call, number, 71)
            }
            Err(_) if self.switches.unknown_subscription == UnknownSubscription::Status => {
                Answer::platform_error(404, "subscription not found", &call.path)
            }
            Err(_) => self.refuse(call, number, 1010),
        }
    }

    /// The original that a status request means by its number.
    fn original_of<'a>(
        &mut self,
        number: &'a str,
        id: i64,
        territory: &str,
        now: Timestamp,
    ) -> Result<&'a str, Hidden> {
        let mut hidden = Hidden::Unknown;
        for (original, generation) in self.book.readings(number) {
            let Some(order) = self.book.order(original, now) else { continue };
            let Some(subscription) = order.subscription(id) else { continue };
            let is_last = generation == subscription.generation.max(0);
            let accepted = match self.switches.accepted_number {
                AcceptedNumber::Original => generation == 0,
                AcceptedNumber::LastSuffixed => is_last,
                AcceptedNumber::Both => generation == 0 || is_last,
            };
            match accepted {
                true if order.territory == territory => return Ok(original),
                true => hidden = Hidden::OtherTerritory,
                false => {}
            }
        }
        Err(hidden)
    }

    fn order_data(&mut self, number: &str, territory: &str) -> Answer {
        if let Some(body) = self.scripts.get(number).and_then(|script| script.order_body.as_ref()) {
            return Answer::raw(200, body.as_bytes());
        }
        let now = self.clock.now();
        let answer = match self.readable(number, territory, now) {
            Ok(found) => found
                .into_iter()
                .map(|(original, generation)| self.issue(number, original, generation, now))
                .reduce(merge),
            Err(Hidden::OtherTerritory) if self.switches.other_territory == OtherTerritory::SecretNotValid => {
                Some(OrderAnswer::refused(number, 71))
            }
            Err(_) => None,
        };
        Answer::json(200, &answer.unwrap_or_else(|| OrderAnswer::refused(number, 1010)))
    }

    /// The existing orders that a number means, by the switches.
    fn readable<'a>(
        &mut self,
        number: &'a str,
        territory: &str,
        now: Timestamp,
    ) -> Result<Vec<(&'a str, i64)>, Hidden> {
        let mut found = Vec::new();
        let mut hidden = Hidden::Unknown;
        for (original, generation) in self.book.readings(number) {
            let Some(order) = self.book.order(original, now) else { continue };
            let newest = order.issues.iter().map(|issue| issue.generation).max().unwrap_or(0);
            let generation = match self.switches.original_number {
                OriginalNumber::Newest if generation == 0 => newest,
                _ => generation,
            };
            match order.issue(generation) {
                Some(_) if order.territory == territory => found.push((original, generation)),
                Some(_) => hidden = Hidden::OtherTerritory,
                None => {}
            }
        }
        match self.switches.clashing_number {
            ClashingNumber::Original => found.truncate(1),
            ClashingNumber::Renewal => drop(found.drain(..found.len().saturating_sub(1))),
            ClashingNumber::Both => {}
        }
        if found.is_empty() { Err(hidden) } else { Ok(found) }
    }

    /// One existing order, after its script.
    fn issue(&mut self, number: &str, original: &str, generation: i64, now: Timestamp) -> OrderAnswer {
        let Self { book, scripts, .. } = self;
        let found = book.order(original, now).and_then(|order| Some((&*order, order.issue(generation)?)));
        let Some((order, issue)) = found else { return OrderAnswer::refused(number, 1010) };
        if generation > 0 && !order.renewal_script.is_empty() && !scripts.contains_key(number) {
            scripts.insert(number.to_owned(), Script::steps(order.renewal_script.iter().cloned()));
        }
        let script = scripts.get_mut(number);
        let variant = script.as_ref().and_then(|script| script.variant).unwrap_or(order.variant);
        let mut answer = OrderAnswer::of(order, issue, variant);
        answer.partner_order_number = number.to_owned();
        if let Some(step) = script.and_then(|script| script.next(now.since(issue.created_at)))
            && step.code != 0
        {
            answer.apply(&step);
        }
        answer
    }

    /// *Create order*, as far as it matters: a number, and one subscription per unit of quantity.
    fn create(&mut self, call: &Call, number: &str, territory: &str) -> Answer {
        let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
        let lines = body["orderLines"].as_array().map(Vec::as_slice).unwrap_or_default();
        let quantity = |line: &Value| line["quantity"].as_u64().unwrap_or(1).min(100) as u32;
        let new = NewOrder {
            territory: territory.to_owned(),
            subscriptions: lines.iter().map(quantity).sum::<u32>().max(1),
            product_ref: lines.first().and_then(|line| integer(&line["productRef"])).unwrap_or(811_537),
            currency: body["currency"].as_str().unwrap_or("EUR").to_owned(),
            ..NewOrder::new(number)
        };
        match self.create_order(new) {
            Ok(answer) => Answer::json(201, &answer),
            Err(_) => {
                let refusal = OrderAnswer::refused(number, 1010);
                Answer::json(201, &OrderAnswer { response_message: "Order already created".into(), ..refusal })
            }
        }
    }

    pub(super) fn create_order(&mut self, new: NewOrder) -> Result<OrderAnswer, super::Error> {
        let variant = new.variant;
        let order = self.book.create(new, self.clock.now())?;
        Ok(OrderAnswer::of(order, &order.issues[0], variant))
    }

    /// *Cancel subscription* and *Renew subscription*.
    fn command(&mut self, call: &Call, number: &str, territory: &str) -> Answer {
        let refused_method = match self.switches.renew_method {
            RenewMethod::Both => None,
            RenewMethod::Post => Some(Method::PUT),
            RenewMethod::Put => Some(Method::POST),
        };
        if call.endpoint == Endpoint::Renew && refused_method.as_ref() == Some(&call.method) {
            let allowed = if call.method == Method::PUT { "POST" } else { "PUT" };
            let answer = Answer::platform_error(405, "Request method is not supported", &call.path);
            return answer.with_header(ALLOW, allowed);
        }
        let now = self.clock.now();
        let ours = self.book.order(number, now).is_some_and(|order| order.territory == territory);
        let id = Some(call.subscription_id.unwrap_or(0));
        let done = match call.endpoint {
            _ if !ours => return self.refuse(call, number, 1010),
            Endpoint::Cancel => self.book.change(number, id, now, |subscription| subscription.cancelled = true),
            _ => self.book.renew(number, id, 1, now),
        };
        if done.is_err() {
            return self.refuse(call, number, 1010);
        }
        let newest = self.book.order(number, now).and_then(|order| order.issues.last());
        let order_number = newest.map_or(0, |issue| issue.order_number);
        Answer::json(200, &command_answer(number, call.subscription_id, order_number, 0))
    }
}

fn merge(mut first: OrderAnswer, second: OrderAnswer) -> OrderAnswer {
    first.order_lines.extend(second.order_lines);
    first
}

fn command_answer(number: &str, subscription_id: Option<i64>, order_number: i64, code: i64) -> Value {
    json!({
        "partnerOrderNumber": number,
        "subscriptionId": subscription_id,
        "orderNumber": order_number,
        "responseCode": code,
        "responseMessage": message(code),
    })
}

/// A number, or one in quotes.
pub(super) fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}
