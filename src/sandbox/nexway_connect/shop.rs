//! What the API answers to a shop beside orders and subscriptions: its catalogue, and what becomes of an order's files and of an order
//! that is cancelled (nexway-connect.md, section 8).

use axum::http::Method;
use serde_json::{Value, json};

use super::calls::{Endpoint, integer};
use super::orders::Book;
use super::script::message;
use crate::clock::Timestamp;

/// The product that is out of stock, and the one that nobody knows.
const SOLD_OUT: i64 = 300;
const UNKNOWN: i64 = 404;
const REASONS: [i64; 6] = [2, 3, 4, 5, 6, 16];

/// Without an order.
pub(super) fn catalogue(endpoint: Endpoint, path: &str, body: &[u8]) -> Value {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    match endpoint {
        Endpoint::Stock => {
            let products = body["productRefs"].as_array().map(Vec::as_slice).unwrap_or_default();
            json!({ "productStatus": products.iter().map(stock).collect::<Vec<_>>() })
        }
        Endpoint::CrossSell => cross_sell(&body),
        Endpoint::Categories => {
            let language = path.rsplit('/').next().unwrap_or_default();
            let categories = json!([{ "id": 1, "label": format!("Security ({language})"), "subcategories": [{ "id": 11, "label": "Antivirus" }] }]);
            with_code(json!({ "categoryList": categories }), 0)
        }
        _ => with_code(json!({ "osList": [{ "id": 63, "label": "Win 10 32/64 bits" }] }), 0),
    }
}

fn stock(product: &Value) -> Value {
    let (status, code) = match integer(product) {
        Some(UNKNOWN) => (Value::Null, 1010),
        Some(SOLD_OUT) => (json!(300), 0),
        Some(_) => (json!(100), 0),
        None => (Value::Null, 101),
    };
    with_code(json!({ "productRef": product, "status": status }), code)
}

fn cross_sell(body: &Value) -> Value {
    let products = body["products"].as_array().map(Vec::as_slice).unwrap_or_default();
    let refs: Vec<_> = products.iter().filter_map(|product| integer(&product["productRef"])).collect();
    let code = match (products.is_empty(), body["language"].as_str().unwrap_or_default(), refs.as_slice()) {
        (true, ..) => 100,
        (_, "", _) => 130,
        (_, _, refs) if refs.len() < products.len() => 111,
        (_, _, refs) if refs.contains(&UNKNOWN) => 1010,
        _ => 0,
    };
    let offered = |kind: &str, name: &str, amount: f64| {
        json!({ "ref": refs.first(), "type": kind, "name": name, "amountDutyFree": amount, "currency": "EUR",
                "shortDescription": "", "language": body["language"], "imageSmall": "" })
    };
    let products = match code {
        0 => json!([
            offered("Download extension", "Extended Download Service", 4.9),
            offered("backup DVD", "Backup DVD", 9.9)
        ]),
        _ => json!([]),
    };
    with_code(json!({ "productsReturn": products }), code)
}

/// About an order that is this territory's.
pub(super) fn about_order(endpoint: Endpoint, book: &mut Book, number: &str, body: &[u8], now: Timestamp) -> Value {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(order) = book.order(number, now) else { return with_code(json!({ "partnerOrderNumber": number }), 1010) };
    let order_number = order.issues.last().map_or(0, |issue| issue.order_number);
    match endpoint {
        Endpoint::Download => {
            let file = json!({ "label": "Product - setup", "type": "install", "url": "http://cdn.example/setup.exe", "size": 0.96,
                               "group": "", "countStartDownload": 0, "countCompleteDownload": 0 });
            let lines = json!([{ "productRef": 811_537, "files": [file] }]);
            let until = order.downloads_until.as_deref().unwrap_or("2026-12-24");
            with_code(json!({ "partnerOrderNumber": number, "downloadEndDate": until, "orderLines": lines }), 0)
        }
        Endpoint::ExtendDownload => {
            let wanted = body["value"].as_str().filter(|wanted| !wanted.is_empty());
            let code = match wanted {
                None => 110,
                Some(_) if order.cancelled => 1011,
                Some(_) => 0,
            };
            if code == 0 {
                order.downloads_until = wanted.map(str::to_owned);
            }
            let end = if code == 0 { body["value"].clone() } else { Value::Null };
            with_code(json!({ "partnerOrderNumber": number, "newDownloadEndDate": end }), code)
        }
        _ => {
            let code = match integer(&body["reasonCode"]) {
                None => 100,
                Some(reason) if !REASONS.contains(&reason) => 101,
                Some(_) if order.cancelled => 1011,
                // All of its subscriptions renew no more; that it is known was seen above.
                Some(_) => {
                    order.cancelled = true;
                    book.change(number, None, now, |subscription| subscription.cancelled = true).map_or(1010, |()| 0)
                }
            };
            with_code(json!({ "partnerOrderNumber": number, "orderNumber": order_number }), code)
        }
    }
}

fn with_code(mut body: Value, code: i64) -> Value {
    body["responseCode"] = code.into();
    body["responseMessage"] = match code {
        0 => "OK".into(),
        1011 => "Order already cancelled".into(),
        code => message(code).into(),
    };
    body
}

/// Which of them a request is for.
pub(super) fn endpoint(method: &Method, path: &str) -> Option<Endpoint> {
    Some(match (method.as_str(), path) {
        ("POST", "/connect/stock") => Endpoint::Stock,
        ("POST", "/connect/order/crossupsell") => Endpoint::CrossSell,
        ("GET", "/connect/catalog/oslist") => Endpoint::Systems,
        ("GET", path) if path.starts_with("/connect/catalog/categories/") => Endpoint::Categories,
        ("PUT", "/connect/order/download") => Endpoint::ExtendDownload,
        ("PUT", "/connect/order/cancel") => Endpoint::CancelOrder,
        ("GET", path) if path.starts_with("/connect/order/") && path.ends_with("/download") => Endpoint::Download,
        _ => return None,
    })
}
