//! A platform that lists subscriptions, and a bare loop that reads its pages. All are alike but for the id; nothing ever happens to
//! them. How many there are stands first in the path.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Deserialize;

use crate::measure;

const ROWS_A_PAGE: usize = 500;

/// A UUID.
pub fn id(number: usize) -> String {
    format!("{number:08x}-0000-4000-8000-{number:012x}")
}

pub fn pages(rows: usize) -> usize {
    rows.div_ceil(ROWS_A_PAGE)
}

pub fn answer(request: &str, _: usize) -> String {
    if request.starts_with("POST ") {
        return r#"{"access_token":"bench","expires_in":3600,"token_type":"bearer"}"#.to_owned();
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
    match parts[..] {
        [rows, "subscription-manager", "subscriptions"] => {
            let number = query.split('&').find_map(|part| part.strip_prefix("page=")).unwrap_or_default();
            page(rows.parse().unwrap_or(0), number.parse().unwrap_or(0))
        }
        [_, "subscription-manager", "subscriptions", id] => {
            let mut body = String::new();
            subscription(&mut body, id);
            body
        }
        // Its orders: none.
        _ => r#"{"items":[],"number":0,"size":100,"totalItems":0,"totalPages":0,"last":true}"#.to_owned(),
    }
}

fn page(rows: usize, number: usize) -> String {
    let (first, pages) = (number * ROWS_A_PAGE, pages(rows));
    let mut body = String::with_capacity(600 * ROWS_A_PAGE);
    body.push_str(r#"{"items":["#);
    for row in first..rows.min(first + ROWS_A_PAGE) {
        if row > first {
            body.push(',');
        }
        subscription(&mut body, &id(row));
    }
    let last = number + 1 >= pages;
    let told =
        format!(r#"],"number":{number},"size":{ROWS_A_PAGE},"totalItems":{rows},"totalPages":{pages},"last":{last}}}"#);
    body + &told
}

fn subscription(body: &mut String, id: &str) {
    write!(
        body,
        r#"{{"id":"{id}","customerId":"7c1f5f0e-27a1-4b6d-9d6c-0b5d1c7f8a01","enduserId":"7c1f5f0e-27a1-4b6d-9d6c-0b5d1c7f8a02","storeId":"7c1f5f0e-27a1-4b6d-9d6c-0b5d1c7f8a03","name":"Security 1 year","modelId":"NEXWAY_1Y","model":{{"id":"NEXWAY_1Y","name":"1 year","durationUntilTrialEnd":0,"term":{{"unit":"year","value":"1"}}}},"products":[{{"id":"7c1f5f0e-27a1-4b6d-9d6c-0b5d1c7f8a04","lineItemId":"7c1f5f0e-27a1-4b6d-9d6c-0b5d1c7f8a05"}}],"currency":"EUR","createDate":1700000000000,"updateDate":1770000000000,"dbVersion":7,"imported":false,"source":"Nexway","initialOrderId":"40M63XUA7GU","lifecycle":{{"status":"Active","generation":0,"anniversaryDate":1926513621000,"expirationDate":1926513621000,"creationDate":1700000000000,"nextBillingDate":1926513621000}}}}"#
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
