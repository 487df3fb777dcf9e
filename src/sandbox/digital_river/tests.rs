//! The sandbox over real sockets.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

struct Client {
    http: reqwest::Client,
    api: String,
    key: String,
}

impl Client {
    fn new(sandbox: &Sandbox) -> Self {
        crate::tls::install_crypto_provider(); // building a client needs it, plain http or not
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, api: sandbox.api_url(), key: Account::default().api_key }
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.api)).bearer_auth(&self.key);
        let answer = request.body(body.to_string()).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> Value {
        self.send("GET", path, Value::Null).await.1
    }

    async fn ids(&self, path: &str) -> Vec<String> {
        let rows = self.get(path).await["data"].as_array().cloned().unwrap_or_default();
        rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    }

    async fn types(&self) -> Vec<String> {
        let rows = self.get("/events?type=subscription.*&limit=100").await["data"].as_array().unwrap().clone();
        rows.iter().rev().map(|row| row["type"].as_str().unwrap().to_owned()).collect()
    }
}

fn sandbox() -> Sandbox {
    let switches = Switches { rate_limit: 0, ..Switches::default() };
    let account = Account { switches, ..Account::default() };
    Sandbox::start(Options { speed: 0.0, account, ..Options::default() }).unwrap()
}

fn create(sandbox: &Sandbox, new: NewSubscriptions) -> String {
    sandbox.create(new).unwrap().remove(0)
}

#[tokio::test]
async fn a_renewal_moves_the_period_and_has_an_order_an_event_and_an_invoice() {
    let sandbox = sandbox();
    let client = Client::new(&sandbox);
    let id = create(&sandbox, NewSubscriptions { upstream_id: Some("SHOP-1".into()), ..NewSubscriptions::default() });
    let before = client.get(&format!("/subscriptions/{id}")).await;
    assert_eq!((&before["state"], &before["metadata"]["upstreamId"]), (&json!("active"), &json!("SHOP-1")));
    sandbox.advance(26 * DAY);
    sandbox.open_invoice(&id).unwrap();
    sandbox.fail_attempt(&id, "insufficient_funds").unwrap();
    let open = client.get(&format!("/invoices/invoice-{id}")).await;
    assert_eq!((&open["state"], &open["attemptCount"]), (&json!("open"), &json!(1)));
    let order = sandbox.pay(&id).unwrap();
    let after = client.get(&format!("/subscriptions/{id}")).await;
    assert_eq!(after["currentPeriodStartDate"], before["currentPeriodEndDate"]);
    assert_eq!(client.ids(&format!("/orders?subscriptionId={id}")).await[0], order);
    let order = client.get(&format!("/orders/{order}?expand=true")).await;
    let charges = order["payment"]["charges"].as_array().unwrap();
    assert_eq!((charges.len(), &charges[0]["failureCode"]), (2, &json!("insufficient_funds")));
    assert_eq!((&order["totalAmount"], &order["state"]), (&json!(26.94), &json!("accepted")));
    let expected = ["created", "payment_failed", "extended"].map(|what| format!("subscription.{what}"));
    assert_eq!(client.types().await, expected);
    let (status, link) = client.send("POST", "/file-links", json!({"fileId": order["invoicePDFs"][0]["id"]})).await;
    assert!(status == 200 && link["url"].as_str().unwrap().starts_with("https://files.example/file-"));
    assert_eq!(sandbox.renewals().len(), 1);
}

#[tokio::test]
async fn every_end_is_told_as_the_reference_has_it() {
    let sandbox = sandbox();
    let client = Client::new(&sandbox);
    for (state, event) in [
        (State::Failed, Some("failed")),
        (State::Lapsed, Some("lapsed")),
        (State::Cancelled, Some("updated")),
        (State::Ended, None),
    ] {
        let id = create(&sandbox, NewSubscriptions::default());
        sandbox.end(&id, state).unwrap();
        assert_eq!(client.get(&format!("/subscriptions/{id}")).await["state"], json!(state));
        let last = client.types().await.pop().unwrap();
        assert_eq!(last, format!("subscription.{}", event.unwrap_or("created")));
        assert!(sandbox.pay(&id).is_err() && sandbox.activate(&id).is_err());
    }
    let draft = create(&sandbox, NewSubscriptions { draft: true, ..NewSubscriptions::default() });
    assert_eq!(client.get(&format!("/subscriptions/{draft}")).await["currentPeriodEndDate"], Value::Null);
    let other = create(&sandbox, NewSubscriptions { draft: true, free: true, ..NewSubscriptions::default() });
    sandbox.activate(&other).unwrap();
    assert_eq!(client.get(&format!("/subscriptions/{other}")).await["state"], "activeFree");
    sandbox.delete(&draft).unwrap();
    let (status, body) = client.send("GET", &format!("/subscriptions/{draft}"), Value::Null).await;
    assert_eq!((status, &body["type"]), (404, &json!("not_found")));
    let events = client.get("/events?type=subscription.deleted").await;
    assert_eq!(events["data"][0]["data"], json!({"object": {}, "previousAttributes": {"id": draft}}));
}

#[tokio::test]
async fn a_seller_activates_and_cancels_and_events_tell_of_it() {
    let sandbox = sandbox();
    let client = Client::new(&sandbox);
    let id = create(&sandbox, NewSubscriptions { draft: true, ..NewSubscriptions::default() });
    let path = format!("/subscriptions/{id}");
    let code =
        |answer: &(u16, Value)| (answer.0, answer.1["errors"][0]["code"].as_str().unwrap_or_default().to_owned());
    let refused = |status: u16, word: &str| (status, word.to_owned());
    let change = async |body: Value| client.send("POST", &path, body).await;
    assert_eq!(code(&change(json!({"state": "cancelled"})).await), refused(409, "invalid_state"), "a draft");
    assert_eq!(code(&change(json!({"state": "active", "planId": "p"})).await), refused(409, "restricted_update"));
    assert_eq!(code(&change(json!({"state": "paused"})).await), refused(400, "invalid_parameter"));
    assert_eq!(code(&change(json!({})).await), refused(400, "missing_parameter"));
    assert_eq!(code(&change(json!([])).await), refused(400, "invalid_request"));
    assert_eq!(client.types().await, ["subscription.created"], "nothing has happened");
    let (status, active) = change(json!({"state": "active"})).await;
    assert_eq!((status, &active["state"]), (200, &json!("active")));
    assert_eq!(active["currentPeriodStartDate"], json!(sandbox.now().to_string()));
    assert_eq!(code(&change(json!({"state": "active"})).await), refused(409, "invalid_state"));
    sandbox.open_invoice(&id).unwrap();
    let (status, cancelled) = change(json!({"state": "cancelled"})).await;
    assert_eq!((status, &cancelled["state"]), (200, &json!("cancelled")));
    assert_eq!(code(&change(json!({"state": "cancelled"})).await), refused(409, "invalid_state"));
    assert_eq!(client.types().await[1..], ["subscription.updated", "subscription.updated"]);
    let events = client.get("/events?type=subscription.updated").await;
    assert_eq!(events["data"][0]["data"]["object"]["state"], "cancelled");
    assert_eq!(client.send("POST", "/subscriptions/nobody", json!({"state": "active"})).await.0, 404);
    let stranger = Client { key: "another".into(), ..Client::new(&sandbox) };
    assert_eq!(stranger.send("POST", &path, json!({"state": "active"})).await.0, 401);
}

#[tokio::test]
async fn lists_are_paged_by_cursor_in_either_order() {
    let sandbox = sandbox();
    let client = Client::new(&sandbox);
    let ids = sandbox.create(NewSubscriptions { count: 25, ..NewSubscriptions::default() }).unwrap();
    for order in [ListOrder::NewestFirst, ListOrder::OldestFirst] {
        sandbox.switch(|switches| switches.list_order = order);
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = client.get(&format!("/subscriptions?limit=10{after}")).await;
            let rows = page["data"].as_array().unwrap();
            seen.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            if page["hasMore"] == false {
                break;
            }
            after = format!("&startingAfter={}", seen.last().unwrap());
        }
        if order == ListOrder::NewestFirst {
            seen.reverse();
        }
        assert_eq!(seen, ids);
    }
    assert_eq!(client.ids("/subscriptions").await.len(), 10, "without a limit");
    for path in ["/subscriptions?limit=101", "/orders?limit=0", "/events?limit=x", "/orders?startingAfter=nobody"] {
        assert_eq!(client.send("GET", path, Value::Null).await.0, 400, "{path}");
    }
}

#[tokio::test]
async fn each_switch_shows_what_it_says() {
    let sandbox = sandbox();
    let client = Client::new(&sandbox);
    let ids = sandbox.create(NewSubscriptions { count: 2, one_customer: true, ..NewSubscriptions::default() }).unwrap();
    let path = format!("/subscriptions/{}", ids[0]);
    sandbox.switch(|switches| {
        (switches.numeric_ids, switches.order_hidden_for, switches.keys) = (true, 2, true);
        (switches.state, switches.period_start) = (Some("paused".into()), false);
        (switches.subscription_filter, switches.event_filter) = (false, false);
    });
    let shown = client.get(&path).await;
    assert!(shown["customerId"].is_u64() && shown["currentPeriodStartDate"].is_null() && shown["state"] == "paused");
    for (form, end) in [(TimeForm::Offset, ".061+0000"), (TimeForm::Fraction, ".1077785Z")] {
        sandbox.switch(|switches| switches.times = form);
        assert!(client.get(&path).await["createdTime"].as_str().unwrap().ends_with(end));
    }
    assert_eq!(client.send("GET", &format!("/orders?subscriptionId={}", ids[0]), Value::Null).await.0, 400);
    assert_eq!(client.send("GET", "/events?createdTime%5Bgt%5D=2026-01-01T00:00:00Z", Value::Null).await.0, 400);
    let order = sandbox.pay(&ids[0]).unwrap();
    let customer = shown["customerId"].as_u64().unwrap();
    let count = async || client.get(&format!("/orders?customerId={customer}")).await["data"].as_array().unwrap().len();
    assert_eq!((count().await, client.send("GET", &format!("/orders/{order}"), Value::Null).await.0), (2, 404));
    assert_eq!(count().await, 3, "after two answers without it");
    let order = client.get(&format!("/orders/{order}")).await;
    assert_eq!(order["items"][0]["metadata"]["licence_key"], sandbox.expected_keys(&order["id"].to_string())[0]);
}

#[tokio::test]
async fn it_refuses_another_key_and_renews_by_itself() {
    let sandbox = sandbox();
    let client = Client { key: "another".into(), ..Client::new(&sandbox) };
    let (status, body) = client.send("GET", "/subscriptions", Value::Null).await;
    assert_eq!((status, &body["type"]), (401, &json!("unauthorized")));
    let id = create(&sandbox, NewSubscriptions { pays: true, ..NewSubscriptions::default() });
    sandbox.advance(24 * DAY);
    assert_eq!(sandbox.renewals().len(), 0);
    sandbox.advance(40 * DAY);
    let renewals = sandbox.renewals();
    assert_eq!(renewals.len(), 2);
    assert!(renewals.iter().all(|sold| sold.subscription_id == id && sold.order_id.is_some()));
}

#[tokio::test]
async fn the_control_calls_do_what_they_show() {
    let sandbox = sandbox();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = |path: &str| format!("{}{path}", sandbox.control_url());
    let shown: Value = http.get(url("/")).send().await.unwrap().text().await.unwrap().parse().unwrap();
    let routes = shown["routes"].as_array().unwrap();
    let post = async |path: &str, body: &Value| {
        let answer = http.post(url(path)).body(body.to_string()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    for path in [
        "/subscriptions",
        "/open-invoice",
        "/fail-attempt",
        "/pay",
        "/extend",
        "/order",
        "/invalidate-source",
        "/order-state",
        "/subscription",
        "/end",
    ] {
        let route = routes.iter().find(|route| route["path"] == path && route["method"] == "POST").unwrap();
        let (status, body) = post(path, &route["example"]).await;
        assert!(status < 300, "{path}: {status} {body}");
    }
    assert_eq!(post("/activate", &json!({"subscription_id": "DR_1"})).await.0, 409);
    assert_eq!(post("/pay", &json!({"subscription_id": "nobody"})).await.0, 404);
}
