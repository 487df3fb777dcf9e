//! A shop's calls at Nexway Connect: what is sent, and what an answer means (nexway-connect.md, sections 5.4 and 6 to 8).
//!
//! The same number means different things per call: each has its codes in `codes`. What is wrong with an order before it is sent is
//! found in `order`.

mod codes;
mod order;

use std::borrow::Cow;

use reqwest::{Method, Request};
use serde_json::{Value, json};

use super::Client;
use super::answers::{OrderData, OrderLine};
use super::wire::{Answer as _, business};
use crate::budget::Slot;
use crate::call::{Call, CancelOrder, CrossSell, Name, OfSubscription, Reason};
use crate::convention::Shop;
use crate::provider::body::unreadable;
use crate::provider::http::{Answer, Endpoint, MIB};
use crate::provider::shop::{Outcome, Placed, Reply};
use crate::provider::url::encoded;
use crate::provider::{Class, Error, Verdict};
use crate::text::visible;

pub static SHOP: Shop = Shop {
    calls: &[
        Name::Stock,
        Name::CrossSell,
        Name::Categories,
        Name::Systems,
        Name::Order,
        Name::OrderData,
        Name::DownloadInfo,
        Name::ExtendDownload,
        Name::CancelOrder,
        Name::Cancel,
        Name::Renew,
    ],
    order: Some(order::check),
    retail: None,
};

const ENDPOINT: Endpoint = Endpoint { name: "shop", limit: 16 * MIB };

/// What a cross-sell answer calls it where a product can be had again for longer: such an option has to be proposed with products
/// of Microsoft.
const DOWNLOAD_OPTION: &str = "download";

impl Client {
    /// Asks once; a renewal once more, by the method that the older documentation has, where the newer one is not allowed.
    pub(super) async fn make(&self, call: &Call, territory: &str, slot: Slot) -> Result<Reply, Error> {
        let Some(secret) = self.secrets.get(territory) else {
            let Verdict { code, message, .. } = super::unknown(territory);
            return Ok(Reply::bare(Outcome::Refused, code, message));
        };
        let name = call.name();
        let (method, path, body) = match request(call) {
            Ok(request) => request,
            Err(Unsendable { field, why }) => {
                return Ok(Reply { field: Some(field), ..Reply::bare(Outcome::Mend, 0, why) });
            }
        };
        let url = self.account.url(&path)?;
        let request = |method: &Method| {
            let mut request = Request::new(method.clone(), url.clone());
            *request.body_mut() = body.as_ref().map(|body| body.clone().into());
            super::with_secret(request, secret)
        };
        let mut answer = self.account.ask(ENDPOINT, slot, || request(&method)).await?;
        if name == Name::Renew && answer.status == 405 {
            let slot = self.account.http.further_slot().await?;
            answer = self.account.ask(ENDPOINT, slot, || request(&Method::PUT)).await?;
        }
        read(name, order_of(call).as_deref(), &answer)
    }
}

/// The number of the order that the answer must be about.
fn order_of(call: &Call) -> Option<String> {
    match call {
        Call::Order(body) => {
            let order: Value = serde_json::from_str(body.get()).unwrap_or_default();
            order["partnerOrderNumber"].as_str().map(str::to_owned)
        }
        Call::OrderData(of) => Some(of.number.clone()),
        _ => None,
    }
}

/// What is wrong with a call that cannot be sent.
struct Unsendable {
    field: &'static str,
    why: String,
}

/// Method, path and body.
type Wire = (Method, String, Option<Vec<u8>>);

fn request(call: &Call) -> Result<Wire, Unsendable> {
    let of_order = |number: &str, rest: &str| (Method::GET, format!("/order/{}{rest}", encoded(number)), None);
    let sent = |method, path: &str, body: Value| (method, path.to_owned(), Some(body.to_string().into_bytes()));
    Ok(match call {
        Call::Stock(of) => {
            let products: Vec<_> = of.products.iter().map(|product| reference(product)).collect();
            sent(Method::POST, "/stock", json!({ "productRefs": products }))
        }
        Call::CrossSell(of) => sent(Method::POST, "/order/crossupsell", cross_sell(of)),
        Call::Categories(of) => {
            if !is_language(&of.language) {
                return Err(wrong("language", "a language such as EN or fr_FR"));
            }
            (Method::GET, format!("/catalog/categories/{}", encoded(&of.language)), None)
        }
        Call::Systems => (Method::GET, "/catalog/oslist".to_owned(), None),
        Call::Order(body) => (Method::POST, "/order/new".to_owned(), Some(body.get().as_bytes().to_vec())),
        Call::OrderData(of) => of_order(&of.number, ""),
        Call::DownloadInfo(of) => of_order(&of.number, "/download"),
        Call::ExtendDownload(of) => {
            if of.until.parse::<jiff::civil::Date>().is_err() || of.until.len() != 10 {
                return Err(wrong("until", "a date such as 2026-12-24"));
            }
            let body = json!({ "partnerOrderNumber": of.number, "value": of.until });
            sent(Method::PUT, "/order/download", body)
        }
        Call::CancelOrder(of) => sent(Method::PUT, "/order/cancel", cancel_order(of)),
        Call::Cancel(of) => sent(Method::PUT, "/subscription", subscription(of)?),
        Call::Renew(of) => sent(Method::POST, "/subscription/renew", subscription(of)?),
        other => return Err(wrong("call", &format!("not `{}`: Nexway Connect has none", other.name()))),
    })
}

fn wrong(field: &'static str, must_be: &str) -> Unsendable {
    Unsendable { field, why: format!("must be {must_be}") }
}

/// `..` would lead elsewhere.
fn is_language(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 16
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// A number where it is one, as in the samples; text is passed on.
fn reference(product: &str) -> Value {
    product.parse::<i64>().map_or_else(|_| Value::from(product), Value::from)
}

/// Strings, as in the sample (section 8).
fn cross_sell(of: &CrossSell) -> Value {
    let product =
        |one: &crate::call::Quantity| json!({ "productRef": one.product, "quantity": one.quantity.to_string() });
    json!({ "language": of.language, "products": of.products.iter().map(product).collect::<Vec<_>>() })
}

fn cancel_order(of: &CancelOrder) -> Value {
    let reason = match of.reason {
        Reason::Cancelled => 2,
        Reason::Unsatisfied => 3,
        Reason::DoubleOrder => 4,
        Reason::WrongProduct => 5,
        Reason::IncompatibleProduct => 6,
        Reason::Fraud => 16,
    };
    json!({ "partnerOrderNumber": of.number, "reasonCode": reason, "comment": of.comment })
}

fn subscription(of: &OfSubscription) -> Result<Value, Unsendable> {
    let id: i64 = of.subscription_id.parse().map_err(|_| wrong("subscription_id", "a whole number"))?;
    Ok(json!({ "partnerOrderNumber": of.partner_order_number, "subscriptionId": id }))
}

/// By its code, where it has one; else by its status. `asked`: the number of the order that it is about.
fn read(call: Name, asked: Option<&str>, answer: &Answer) -> Result<Reply, Error> {
    if !answer.is_success() {
        let told = business(&answer.body).ok().flatten();
        return match told.filter(|told| told.code != 0 && told.code != i64::from(answer.status)) {
            Some(told) if answer.status < 500 || survives_trouble(call, codes::outcome(call, told.code)) => {
                Ok(judged(call, told, answer, None))
            }
            Some(_) => Err(answer.failure()),
            None => refused(call, answer),
        };
    }
    if matches!(call, Name::Order | Name::OrderData) {
        let order = OrderData::read(&answer.body, answer.at)?;
        if order.partner_order_number.as_deref().is_some_and(|returned| asked.is_some_and(|asked| returned != asked)) {
            return Err(unreadable("it is about another order"));
        }
        return Ok(judged(call, order.verdict.clone(), answer, Some(&order)));
    }
    let told = match business(&answer.body)? {
        Some(told) => told,
        // Only stock has no code of its own: each product has one.
        None if call == Name::Stock && value(answer)["productStatus"].is_array() => Verdict::success(),
        None => return Err(unreadable("no result code")),
    };
    Ok(judged(call, told, answer, None))
}

/// Whether a code counts under a 5xx. What failed inside the provider may have been done all the same: of an order that was to be
/// created only that it was there before is believed.
fn survives_trouble(call: Name, outcome: Outcome) -> bool {
    match call {
        Name::Order => outcome == Outcome::Already,
        _ => outcome != Outcome::Later,
    }
}

/// A 4xx without a code of the API's own: the platform speaks.
fn refused(call: Name, answer: &Answer) -> Result<Reply, Error> {
    match crate::provider::nexway::refusal::refusal(answer.status, &answer.body) {
        Some(verdict) => {
            let outcome = match verdict.code {
                // An order that was refused like this was looked at by nobody.
                404 if call != Name::Order => Outcome::NotFound,
                _ => Outcome::Refused,
            };
            Ok(Reply::bare(outcome, verdict.code, verdict.message))
        }
        None => Err(answer.failure()),
    }
}

fn judged(call: Name, told: Verdict, answer: &Answer, order: Option<&OrderData>) -> Reply {
    let mut outcome = codes::outcome(call, told.code);
    let value = value(answer);
    let placed = match (call, order) {
        // One that was there before is nothing that we may show; a refused one was not made.
        (Name::Order, Some(order)) if matches!(outcome, Outcome::Done | Outcome::Waiting) => placed(outcome, order),
        // One that was cancelled since is there all the same.
        (Name::OrderData, Some(order)) if codes::is_there(told.code) => placed(outcome, order),
        (Name::Cancel | Name::CancelOrder | Name::Renew, _) => {
            let number = whole(&value["orderNumber"]).filter(|number| *number != 0);
            Some(Placed { order_number: number.map(|number| number.to_string()), ..Placed::default() })
        }
        _ => None,
    };
    if outcome == Outcome::Done && order.is_some() && placed.as_ref().is_some_and(|placed| !placed.is_whole) {
        outcome = Outcome::Waiting;
    }
    let field = (outcome == Outcome::Mend).then(|| codes::field(call, told.code)).flatten();
    let body = serde_json::from_slice(&answer.body).ok();
    Reply { outcome, code: told.code, message: told.message, field, body, notes: notes(call, &value), placed }
}

/// For what is only shown.
fn value(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

/// What it brings, and whether that is all.
fn placed(outcome: Outcome, order: &OrderData) -> Option<Placed> {
    let mut subscription_ids: Vec<String> = Vec::new();
    for id in order.lines.iter().flat_map(|line| &line.items).filter_map(|item| item.subscription_id) {
        if id > 0 && !subscription_ids.contains(&id.to_string()) {
            subscription_ids.push(id.to_string());
        }
    }
    let is_whole = match outcome {
        Outcome::Done => !order.lines.is_empty() && order.lines.iter().all(is_settled),
        Outcome::Refused => true,
        _ => false,
    };
    let order_number = order.order_number.map(|number| number.to_string());
    Some(Placed { order_number, subscription_ids, is_whole })
}

/// It waits for nothing, and each of its units has its subscription, or none has.
fn is_settled(line: &OrderLine) -> bool {
    let has_ended = |verdict: &Verdict| matches!(verdict.class, Class::Success | Class::Permanent);
    let mut units = line.items.iter().filter(|item| item.verdict.class == Class::Success);
    let are_alike = match units.next() {
        Some(first) => units.all(|unit| unit.subscription_id.is_some() == first.subscription_id.is_some()),
        None => !line.items.is_empty() || line.verdict.class == Class::Permanent,
    };
    are_alike && has_ended(&line.verdict) && line.items.iter().all(|item| has_ended(&item.verdict))
}

fn notes(call: Name, body: &Value) -> Vec<String> {
    if call != Name::CrossSell {
        return Vec::new();
    }
    let products = body["productsReturn"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().map(Cow::from).unwrap_or_default().into_owned();
    let options = products.filter(|product| text(&product["type"]).to_lowercase().contains(DOWNLOAD_OPTION));
    options
        .map(|product| {
            let name = visible(&text(&product["name"]).chars().take(100).collect::<String>());
            format!("{name}: a download option; with products of Microsoft it must be proposed")
        })
        .collect()
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_i64(),
    }
}

#[cfg(test)]
mod tests;
