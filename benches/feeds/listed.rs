//! A platform that lists subscriptions, and a bare loop that reads its pages. All are alike but for the id. How many there are stands
//! first in the path; nothing ever happens to them, unless it is `renewing`: then one in twenty has renewed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Deserialize;

use crate::{connect, measure};

const ROWS_A_PAGE: usize = 500;

/// A UUID.
pub fn id(number: usize) -> String {
    format!("{number:08x}-0000-4000-8000-{number:012x}")
}

pub fn pages(rows: usize) -> usize {
    rows.div_ceil(ROWS_A_PAGE)
}

/// Of a platform with this at the beginning of its path instead of a number.
pub const RENEWING: &str = "renewing";
const RENEWING_ROWS: usize = 10_000;

/// The path at which the platform tells what it was asked for, and how often.
pub const KINDS: &str = "/kinds";

thread_local! {
    static ASKED: RefCell<BTreeMap<&'static str, u32>> = RefCell::default();
}

pub fn answer(request: &str, head: usize) -> String {
    let path = request.split(' ').nth(1).unwrap_or_default();
    if path == KINDS {
        let told = |asked: &BTreeMap<&str, u32>| -> Vec<_> {
            asked.iter().map(|(kind, count)| format!("{count} {kind}")).collect()
        };
        return ASKED.with_borrow(|asked| told(asked).join(", "));
    }
    let (kind, body) = asked_for(request, path, head);
    ASKED.with_borrow_mut(|asked| *asked.entry(kind).or_default() += 1);
    body
}

fn asked_for(request: &str, path: &str, head: usize) -> (&'static str, String) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
    match parts[..] {
        ["iam", "tokens"] => ("tokens", token(3600)),
        ["short", "iam", "tokens"] => ("tokens", token(40)),
        ["connect", ..] => ("requests of the other account", connect::answer(request, head)),
        [rows, "subscription-manager", "subscriptions"] => {
            let number = query.split('&').find_map(|part| part.strip_prefix("page=")).unwrap_or_default();
            ("pages", page(rows, number.parse().unwrap_or(0)))
        }
        [rows, "subscription-manager", "subscriptions", id] => {
            let (mut body, id) = (String::new(), id.replace("%2D", "-"));
            subscription(&mut body, &id, generation(rows, &id));
            ("looks", body)
        }
        [RENEWING, "ordersv2"] if query.contains("generationId=1") => ("orders", order(query)),
        [RENEWING, "ordersv2", "lineitemdata", "order", order] => ("orders' keys", keys(order)),
        // Its orders: none.
        _ => {
            let none = r#"{"items":[],"number":0,"size":100,"totalItems":0,"totalPages":0,"last":true}"#;
            ("looks for orders", none.to_owned())
        }
    }
}

fn token(life: u32) -> String {
    format!(r#"{{"access_token":"bench","expires_in":{life},"token_type":"bearer"}}"#)
}

/// The id of a subscription stands in the id of its order.
fn order(query: &str) -> String {
    let id = query.split('&').find_map(|part| part.strip_prefix("subscriptionId=")).unwrap_or_default();
    let id = id.replace("%2D", "-");
    format!(
        r#"{{"items":[{{"id":"ORDER-{id}","subscriptionId":"{id}","generationId":"1","source":"SUBSCRIPTION","status":"COMPLETED","lineItems":[{{"id":"LINE-{id}"}}]}}],"number":0,"size":100,"totalItems":1,"totalPages":1,"last":true}}"#
    )
}

fn keys(order: &str) -> String {
    let order = order.replace("%2D", "-");
    let id = order.trim_start_matches("ORDER-");
    format!(
        r#"[{{"id":"1","orderId":"{order}","lineItemId":"LINE-{id}","subscriptionId":"{id}","processingStatus":"COMPLETED","activationCode":"KEY-{id}"}}]"#
    )
}

fn generation(rows: &str, id: &str) -> u8 {
    let number = id.get(..8).and_then(|number| usize::from_str_radix(number, 16).ok());
    u8::from(rows == RENEWING && number.is_some_and(|number| number.is_multiple_of(20)))
}

fn page(rows: &str, number: usize) -> String {
    let count = if rows == RENEWING { RENEWING_ROWS } else { rows.parse().unwrap_or(0) };
    let (first, pages) = (number * ROWS_A_PAGE, pages(count));
    let mut body = String::with_capacity(600 * ROWS_A_PAGE);
    body.push_str(r#"{"items":["#);
    for row in first..count.min(first + ROWS_A_PAGE) {
        if row > first {
            body.push(',');
        }
        let id = id(row);
        subscription(&mut body, &id, generation(rows, &id));
    }
    let last = number + 1 >= pages;
    let told = format!(
        r#"],"number":{number},"size":{ROWS_A_PAGE},"totalItems":{count},"totalPages":{pages},"last":{last}}}"#
    );
    body + &told
}

fn subscription(body: &mut String, id: &str, generation: u8) {
    write!(
        body,
        r#"{{"id":"{id}","customerId":"7c1f5f0e-27a1-4b6d-9d6c-0b5d1c7f8a01","enduserId":"7c1f5f0e-27a1-4b6d-9d6c-0b5d1c7f8a02","storeId":"7c1f5f0e-27a1-4b6d-9d6c-0b5d1c7f8a03","name":"Security 1 year","modelId":"NEXWAY_1Y","model":{{"id":"NEXWAY_1Y","name":"1 year","durationUntilTrialEnd":0,"term":{{"unit":"year","value":"1"}}}},"products":[{{"id":"7c1f5f0e-27a1-4b6d-9d6c-0b5d1c7f8a04","lineItemId":"7c1f5f0e-27a1-4b6d-9d6c-0b5d1c7f8a05"}}],"currency":"EUR","createDate":1700000000000,"updateDate":1770000000000,"dbVersion":7,"imported":false,"source":"Nexway","initialOrderId":"40M63XUA7GU","lifecycle":{{"status":"Active","generation":{generation},"anniversaryDate":1926513621000,"expirationDate":1926513621000,"creationDate":1700000000000,"nextBillingDate":1926513621000}}}}"#
    )
    .expect("written to memory");
}

/// What the loop reads of a page.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow)]
    items: Vec<Item<'a>>,
    last: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    id: &'a str,
    update_date: i64,
    lifecycle: Lifecycle<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lifecycle<'a> {
    status: &'a str,
    generation: i64,
    anniversary_date: i64,
}

/// Asks for one page after the other, and parses it.
pub fn read_all(arguments: &[String]) {
    let (address, rows): (&str, usize) = (&arguments[0], arguments[1].parse().expect("a number"));
    renewald::tls::install_crypto_provider();
    let client = renewald::tls::client_builder(None, Some(""))
        .expect("client")
        .timeout(Duration::from_secs(30))
        .build()
        .expect("client");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    measure::report(|| {
        runtime.block_on(async {
            for number in 0.. {
                let url = format!("http://{address}/{rows}/subscription-manager/subscriptions?page={number}&size=500");
                let answer = client.get(url).header("authorization", "Bearer bench").send().await.expect("an answer");
                let body = answer.bytes().await.expect("a body");
                let page: Page<'_> = serde_json::from_slice(&body).expect("a page");
                let is_alike = |item: &Item<'_>| {
                    let Lifecycle { status, generation, anniversary_date } = item.lifecycle;
                    item.id.len() == 36 && status == "Active" && generation == 0 && item.update_date < anniversary_date
                };
                assert!(page.items.iter().all(is_alike));
                if page.last {
                    break;
                }
            }
        });
        pages(rows) as u64
    });
}
