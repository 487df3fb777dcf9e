//! The ceiling: a bare reqwest loop that sends the requests of a pass and parses the same answers.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Deserialize;

use crate::{CONNECTIONS, measure};

#[derive(Deserialize)]
#[allow(non_snake_case, reason = "the provider's names")]
struct Status<'a> {
    #[serde(borrow)]
    partnerOrderNumber: &'a str,
    generation: i64,
    technicalStatus: &'a str,
    expiration_datetime: &'a str,
    code: i64,
}

pub fn run(arguments: &[String]) {
    let (address, requests): (&str, u64) = (&arguments[0], arguments[1].parse().expect("a number"));
    renewald::tls::install_crypto_provider();
    let client = renewald::tls::client_builder(None, Some(""))
        .expect("client")
        .pool_max_idle_per_host(CONNECTIONS)
        .timeout(Duration::from_secs(30))
        .build()
        .expect("client");
    let url = format!("http://{address}/connect/subscription");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    measure::report(|| {
        runtime.block_on(async {
            let mut next = 1..=requests;
            let mut in_flight: FuturesUnordered<_> =
                next.by_ref().take(CONNECTIONS).map(|id| ask(&client, &url, id)).collect();
            while in_flight.next().await.is_some() {
                if let Some(id) = next.next() {
                    in_flight.push(ask(&client, &url, id));
                }
            }
        });
        requests
    });
}

async fn ask(client: &reqwest::Client, url: &str, id: u64) {
    let answer = client
        .post(url)
        .header("authorization", "Bearer bench")
        .header("secret", "bench")
        .header("content-type", "application/json")
        .header("accept", "application/json")
        .body(format!(r#"{{"partnerOrderNumber":"BENCH-{id}","subscriptionId":{id}}}"#))
        .send()
        .await
        .expect("an answer");
    let body = answer.bytes().await.expect("a body");
    let status: Status<'_> = serde_json::from_slice(&body).expect("a status");
    assert!(status.code == 0 && status.partnerOrderNumber.starts_with("BENCH-") && status.generation < 2);
    assert!(!status.technicalStatus.is_empty() && !status.expiration_datetime.is_empty());
}
