//! The provider's state, and what it answers from it. No I/O, no waiting.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use axum::http::Method;
use axum::http::header::{ALLOW, AUTHORIZATION};
use axum::http::request::Parts;
use serde_json::{Value, json};

use super::calls::{Endpoint, SERVICES, Subject, integer, named};
use super::order_data::OrderAnswer;
use super::orders::{Book, Error, NewOrder};
use super::script::{Script, message};
use super::shop;
use super::status::StatusAnswer;
use super::switches::{
    AcceptedNumber, ClashingNumber, OriginalNumber, OtherTerritory, RenewMethod, Switches, UnknownSubscription,
};
use crate::clock::Timestamp;
use crate::sandbox::call::{Answer, Fake, Service};
use crate::sandbox::nexway::platform_error;
use crate::sandbox::nexway::tokens::{Credentials, Tokens};
use crate::sandbox::random::Random;

/// The header that says for which territory.
const SECRET: &str = "secret";

type Call = crate::sandbox::call::Call<Endpoint, Subject>;

/// Who may ask, and how it behaves.
#[derive(Clone, Debug)]
pub struct Account {
    pub realm: String,
    pub client_secret: String,
    /// Each territory's secret.
    pub territories: BTreeMap<String, String>,
    pub switches: Switches,
}

impl Default for Account {
    fn default() -> Self {
        let territory = |name: &str| (name.to_owned(), format!("sandbox-secret-{name}"));
        Self {
            realm: "sandbox".into(),
            client_secret: "sandbox-client-secret".into(),
            territories: BTreeMap::from([territory("eu"), territory("us")]),
            switches: Switches::default(),
        }
    }
}

#[derive(Debug)]
pub struct NexwayConnect {
    pub(super) book: Book,
    pub(super) scripts: HashMap<String, Script>,
    pub(super) tokens: Tokens,
    switches: Switches,
    credentials: Credentials,
    /// Name and secret of each.
    territories: Vec<(Arc<str>, String)>,
    random: Random,
}

/// Why an order cannot be shown.
enum Hidden {
    Unknown,
    OtherTerritory,
}

impl Fake for NexwayConnect {
    type Account = Account;
    type Endpoint = Endpoint;
    type About = Subject;
    type Switches = Switches;

    const SERVICES: &'static [Service] = &SERVICES;
    const FIELDS: [&'static str; 2] = ["partnerOrderNumber", "code"];

    fn open(account: Account, random: Random) -> Self {
        let Account { realm, client_secret, territories, switches } = account;
        Self {
            book: Book::new(),
            scripts: HashMap::new(),
            tokens: Tokens::default(),
            switches,
            credentials: Credentials { realm, client_secret },
            territories: territories.into_iter().map(|(name, secret)| (name.into(), secret)).collect(),
            random,
        }
    }

    fn read(&self, service: usize, parts: &Parts, body: &[u8]) -> (Endpoint, Subject) {
        let path = parts.uri.path();
        let endpoint = Endpoint::of(service, &parts.method, path);
        let (partner_order_number, subscription_id) = named(endpoint, path, body);
        let sent = parts.headers.get(SECRET).map(|sent| sent.as_bytes()).unwrap_or_default();
        let territory = self.territories.iter().find(|(_, secret)| !sent.is_empty() && sent == secret.as_bytes());
        let territory = territory.map(|(name, _)| name.clone());
        (endpoint, Subject { partner_order_number, subscription_id, territory })
    }

    fn answer(&mut self, call: &Call, now: Timestamp) -> Answer {
        if call.endpoint == Endpoint::Token {
            return self.token(call);
        }
        let authorization = call.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        if !self.tokens.accepts(authorization, Instant::now()) {
            return platform_error(401, "Authentication Failed: JWT token is not valid", &call.path);
        }
        if call.endpoint == Endpoint::Other {
            return platform_error(404, "resource not found", &call.path);
        }
        let is_missing = call.headers.get(SECRET).is_none_or(|sent| sent.is_empty());
        if call.endpoint.is_catalogue() {
            return match &call.about.territory {
                None => Answer::json(200, &command_answer("", None, 0, if is_missing { 70 } else { 71 })),
                Some(_) => Answer::json(200, &shop::catalogue(call.endpoint, &call.path, &call.body)),
            };
        }
        let Some(number) = call.about.partner_order_number.as_deref() else {
            return platform_error(400, "JSON parse error", &call.path);
        };
        match &call.about.territory {
            None if is_missing => self.refuse(call, number, 70),
            None => self.refuse(call, number, 71),
            Some(_) if number.is_empty() => {
                self.refuse(call, number, if call.endpoint == Endpoint::Create { 130 } else { 100 })
            }
            Some(territory) => self.business(call, number, territory, now),
        }
    }

    fn error(status: u16, text: &str, path: &str) -> Answer {
        platform_error(status, text, path)
    }

    fn switches(&mut self) -> &mut Switches {
        &mut self.switches
    }

    fn rate_limit(&self) -> (u32, Option<&str>) {
        (self.switches.rate_limit, self.switches.retry_after.as_deref())
    }
}

impl NexwayConnect {
    fn token(&mut self, call: &Call) -> Answer {
        let Self { tokens, credentials, switches, random, .. } = self;
        tokens.answer(call, credentials, switches.lives(), random)
    }

    fn business(&mut self, call: &Call, number: &str, territory: &str, now: Timestamp) -> Answer {
        match call.endpoint {
            Endpoint::Status => self.status(call, number, territory, now),
            Endpoint::Order => self.order_data(number, territory, now),
            Endpoint::Create => self.create(call, number, territory, now),
            Endpoint::Download | Endpoint::ExtendDownload | Endpoint::CancelOrder => {
                if self.book.order(number, now).is_none_or(|order| order.territory != territory) {
                    return self.refuse(call, number, 1010);
                }
                Answer::json(200, &shop::about_order(call.endpoint, &mut self.book, number, &call.body, now))
            }
            _ => self.command(call, number, territory, now),
        }
    }

    /// A business code in the shape of the endpoint.
    fn refuse(&self, call: &Call, number: &str, code: i64) -> Answer {
        match call.endpoint {
            Endpoint::Status => Answer::json(200, &StatusAnswer::refused(number, code, &self.switches)),
            Endpoint::Create => Answer::json(201, &OrderAnswer::refused(number, code)),
            Endpoint::Order => Answer::json(200, &OrderAnswer::refused(number, code)),
            _ => Answer::json(200, &command_answer(number, call.about.subscription_id, 0, code)),
        }
    }

    fn status(&mut self, call: &Call, number: &str, territory: &str, now: Timestamp) -> Answer {
        if let Some(script) = self.scripts.get_mut(number) {
            if let Some(body) = &script.status_body {
                return Answer::raw(200, body.as_bytes());
            }
            if let Some(code) = script.status_codes.pop_front().filter(|code| *code != 0) {
                return self.refuse(call, number, code);
            }
        }
        let id = call.about.subscription_id.unwrap_or(0);
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
                platform_error(404, "subscription not found", &call.path)
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

    fn order_data(&mut self, number: &str, territory: &str, now: Timestamp) -> Answer {
        if let Some(body) = self.scripts.get(number).and_then(|script| script.order_body.as_ref()) {
            return Answer::raw(200, body.as_bytes());
        }
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
    fn create(&mut self, call: &Call, number: &str, territory: &str, now: Timestamp) -> Answer {
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
        match self.create_order(new, now) {
            Ok(answer) => Answer::json(201, &answer),
            Err(_) => {
                let refusal = OrderAnswer::refused(number, 1010);
                Answer::json(201, &OrderAnswer { response_message: "Order already created".into(), ..refusal })
            }
        }
    }

    pub(super) fn create_order(&mut self, new: NewOrder, now: Timestamp) -> Result<OrderAnswer, Error> {
        if !self.territories.iter().any(|(name, _)| **name == *new.territory) {
            return Err(Error::UnknownTerritory(new.territory));
        }
        let variant = new.variant;
        let order = self.book.create(new, now)?;
        Ok(OrderAnswer::of(order, &order.issues[0], variant))
    }

    /// The serials that a number's order data holds for a subscription, whether the generation is there already or not.
    pub(super) fn expected_keys(&mut self, number: &str, subscription_id: i64, now: Timestamp) -> Vec<String> {
        let script_variant = self.scripts.get(number).and_then(|script| script.variant);
        for (original, generation) in self.book.readings(number) {
            let Some(order) = self.book.order(original, now) else { continue };
            if order.subscription(subscription_id).is_none() {
                continue;
            }
            let mut issue = order.issue(generation).unwrap_or(&order.issues[0]).clone();
            issue.generation = generation;
            if !issue.subscription_ids.contains(&subscription_id) {
                issue.subscription_ids.push(subscription_id);
            }
            return OrderAnswer::of(order, &issue, script_variant.unwrap_or(order.variant)).keys_for(subscription_id);
        }
        Vec::new()
    }

    /// *Cancel subscription* and *Renew subscription*.
    fn command(&mut self, call: &Call, number: &str, territory: &str, now: Timestamp) -> Answer {
        let refused_method = match self.switches.renew_method {
            RenewMethod::Both => None,
            RenewMethod::Post => Some(Method::PUT),
            RenewMethod::Put => Some(Method::POST),
        };
        if call.endpoint == Endpoint::Renew && refused_method.as_ref() == Some(&call.method) {
            let allowed = if call.method == Method::PUT { "POST" } else { "PUT" };
            let answer = platform_error(405, "Request method is not supported", &call.path);
            return answer.with_header(ALLOW, allowed);
        }
        let ours = self.book.order(number, now).is_some_and(|order| order.territory == territory);
        let id = Some(call.about.subscription_id.unwrap_or(0));
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
        Answer::json(200, &command_answer(number, call.about.subscription_id, order_number, 0))
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
