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
use crate::budget::Slot;
use crate::call::{Call, CancelOrder, CrossSell, Name, OfSubscription, Reason};
use crate::convention::Shop;
use crate::provider::http::{Answer, Endpoint, MIB};
use crate::provider::shop::{Outcome, Placed, Reply};
use crate::provider::url::encoded;
use crate::provider::{Error, Verdict};
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
        read(name, &answer)
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
        Call::Categories(of) => (Method::GET, format!("/catalog/categories/{}", encoded(&of.language)), None),
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

/// By its code, where it has one; else by its status.
fn read(call: Name, answer: &Answer) -> Result<Reply, Error> {
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok().filter(Value::is_object);
    let code = body.as_ref().and_then(code);
    if !answer.is_success() {
        return match code.filter(|(code, _)| *code != 0 && *code != i64::from(answer.status)) {
            // A 5xx that says no more than "trouble" tells nothing of the order.
            Some((code, _)) if answer.status >= 500 && codes::outcome(call, code) == Outcome::Later => {
                Err(answer.failure())
            }
            Some((code, message)) => Ok(judged(call, code, message, answer, &body.unwrap_or_default())),
            None => refused(call, answer),
        };
    }
    let Some(body) = body else { return Err(Error::Unreadable { reason: "not a JSON object".to_owned() }) };
    let (code, message) = match code {
        Some(code) => code,
        // Only stock has no code of its own: each product has one.
        None if call == Name::Stock && body["productStatus"].is_array() => (0, String::new()),
        None => return Err(Error::Unreadable { reason: "no result code".to_owned() }),
    };
    Ok(judged(call, code, message, answer, &body))
}

/// A 4xx without a code of the API's own: the platform speaks.
fn refused(call: Name, answer: &Answer) -> Result<Reply, Error> {
    match crate::provider::nexway::refusal::refusal(answer.status, &answer.body) {
        Some(verdict) => {
            let outcome = match verdict.code {
                404 => Outcome::NotFound,
                _ => Outcome::Refused,
            };
            // An order that was refused like this was looked at by nobody.
            let outcome = if call == Name::Order { Outcome::Refused } else { outcome };
            Ok(Reply::bare(outcome, verdict.code, verdict.message))
        }
        None => Err(answer.failure()),
    }
}

fn judged(call: Name, code: i64, message: String, answer: &Answer, body: &Value) -> Reply {
    let outcome = codes::outcome(call, code);
    let there = matches!(outcome, Outcome::Done | Outcome::Already | Outcome::Waiting | Outcome::Refused);
    let tells_its_order = match call {
        Name::Order => outcome != Outcome::Already,
        Name::OrderData | Name::Cancel | Name::CancelOrder | Name::Renew => true,
        _ => false,
    };
    let placed = (tells_its_order && there).then(|| placed(body)).filter(|placed| {
        // A refused Create order made none; Get order data shows one that was cancelled since.
        outcome != Outcome::Refused || (call == Name::OrderData && placed.order_number.is_some())
    });
    let (notes, field) = (notes(call, body), codes::field(call, code));
    let body = serde_json::from_slice(&answer.body).ok();
    Reply { outcome, code, message, field, body, notes, placed }
}

/// The worse of both spellings, where there are two (section 3.1).
fn code(body: &Value) -> Option<(i64, String)> {
    let pairs = [("responseCode", "responseMessage"), ("code", "message")];
    let given = pairs.iter().filter_map(|(code, message)| {
        let code = whole(&body[*code])?;
        Some((code, body[*message].as_str().unwrap_or_default().to_owned()))
    });
    given.reduce(|first, second| if first.0 == 0 { second } else { first })
}

fn placed(body: &Value) -> Placed {
    let mut subscription_ids: Vec<String> = Vec::new();
    let lines = body["orderLines"].as_array().into_iter().flatten();
    for item in lines.flat_map(|line| line["lineItems"].as_array().into_iter().flatten()) {
        if let Some(id @ 1..) = whole(&item["subscriptionId"])
            && !subscription_ids.contains(&id.to_string())
        {
            subscription_ids.push(id.to_string());
        }
    }
    let order_number = whole(&body["orderNumber"]).filter(|number| *number != 0).map(|number| number.to_string());
    Placed { order_number, subscription_ids }
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
