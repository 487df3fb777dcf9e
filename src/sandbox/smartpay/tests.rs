//! The sandbox over real sockets.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

struct Client {
    http: reqwest::Client,
    api: String,
    key: Option<&'static str>,
}

impl Client {
    fn of(sandbox: &Sandbox) -> Self {
        crate::tls::install_crypto_provider(); // building a client needs it, plain http or not
        let http = reqwest::Client::builder().no_proxy().user_agent("test").build().unwrap();
        Self { http, api: sandbox.api_url(), key: Some("sandbox-merchant-key") }
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> (u16, String) {
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.api));
        let request = request.header("Accept-Language", "en-US").header("Content-Type", "application/json");
        let request = self.key.into_iter().fold(request, |request, key| request.header("X-API-KEY", key));
        let answer = request.body(body.to_string()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.send("GET", path, Value::Null).await.1).unwrap()
    }
}

/// Stands still, and has no rate limit.
fn sandbox() -> Sandbox {
    let account = Account { switches: Switches { rate_limit: 0, ..Switches::default() }, ..Account::default() };
    Sandbox::start(Options { speed: 0.0, account, ..Options::default() }).unwrap()
}

fn column(page: &Value, field: &str) -> Vec<Value> {
    page["data"].as_array().unwrap().iter().map(|row| row[field].clone()).collect()
}

#[tokio::test]
async fn a_subscription_is_charged_by_itself_and_tried_again() {
    let sandbox = sandbox();
    let client = Client::of(&sandbox);
    let new = NewSubscriptions { period: Period::days(30), ..NewSubscriptions::default() };
    let id = sandbox.create(new).unwrap().remove(0);
    let path = format!("/subscriptions/{id}");
    let before = client.get(&path).await;
    assert_eq!((&before["status"], &before["billingCyclesRemaining"]), (&json!("active"), &json!(119)));
    sandbox.advance(31 * DAY);
    let after = client.get(&path).await;
    assert_eq!(after["billingCyclesRemaining"], json!(118));
    assert_ne!((&after["nextBillingDate"], &after["updatedAt"]), (&before["nextBillingDate"], &before["updatedAt"]));

    sandbox.refuse(&id, Some(2)).unwrap();
    sandbox.advance(30 * DAY);
    let cycles = format!("{path}/billing-cycles?pageSize=100");
    assert_eq!(client.get(&path).await["status"], json!("overdue"));
    assert_eq!(column(&client.get(&cycles).await, "status"), [json!("Failed"), json!("Captured"), json!("Captured")]);
    sandbox.advance(2 * DAY);
    assert_eq!(client.get(&path).await["status"], json!("active"));
    let page = client.get(&cycles).await;
    assert_eq!((&page["count"], &page["page"], &page["totalPages"]), (&json!(3), &json!(0), &json!(1)));
    let newest = page["data"][0]["id"].as_str().unwrap();
    let transactions = client.get(&format!("{path}/billing-cycles/{newest}/transactions")).await;
    assert_eq!(column(&transactions, "paymentStatus"), [json!("captured"), json!(null), json!(null)]);
    let charges = sandbox.charges();
    assert_eq!((charges.len(), charges[2].attempts, charges[2].amount.as_str()), (3, 3, "10.00"));
    assert_eq!((charges[2].cycle_id.as_str(), charges[2].number), (newest, 2));
}

#[tokio::test]
async fn what_no_retry_brings_is_carried_over() {
    let sandbox = sandbox();
    let client = Client::of(&sandbox);
    let new = NewSubscriptions { retries: 1, ..NewSubscriptions::default() };
    let id = sandbox.create(new).unwrap().remove(0);
    sandbox.refuse(&id, Some(2)).unwrap();
    sandbox.advance(40 * DAY);
    sandbox.advance(30 * DAY);
    let (_, text) = client.send("GET", &format!("/subscriptions/{id}/billing-cycles"), Value::Null).await;
    assert!(text.contains("\"amount\":20.00") && text.contains("\"status\":\"Failed\""), "{text}");
}

#[tokio::test]
async fn who_has_no_key_is_refused_and_what_is_required_is_asked_for() {
    let sandbox = sandbox();
    let client = Client::of(&sandbox);
    let status = async |client: &Client| client.send("GET", "/subscriptions", Value::Null).await.0;
    assert_eq!(status(&client).await, 200);
    assert_eq!(status(&Client { key: None, ..Client::of(&sandbox) }).await, 403);
    assert_eq!(status(&Client { key: Some("other"), ..Client::of(&sandbox) }).await, 403);
    sandbox.switch(|switches| switches.basic_required = true);
    assert_eq!(status(&client).await, 401);
    let bare = client.http.get(format!("{}/subscriptions", client.api)).header("X-API-KEY", "sandbox-merchant-key");
    sandbox.switch(|switches| switches.basic_required = false);
    assert_eq!(bare.send().await.unwrap().status().as_u16(), 400);
}

#[tokio::test]
async fn lists_are_filtered_and_paged_and_lie_as_switched() {
    let sandbox = sandbox();
    let client = Client::of(&sandbox);
    let ids = sandbox.create(NewSubscriptions { count: 5, apart: DAY, ..Default::default() }).unwrap();
    let newest_first: Vec<_> = ids.iter().rev().map(|id| json!(id)).collect();
    let page = client.get("/subscriptions?page=1&pageSize=2&unknown=7").await;
    assert_eq!(column(&page, "id"), newest_first[2..4]);
    assert_eq!((&page["count"], &page["totalPages"]), (&json!(5), &json!(3)));
    let since = (sandbox.now() - DAY).to_string();
    let filtered = format!("/subscriptions?updatedAtGte={since}&updatedAtLte={}&pageSize=100", sandbox.now());
    assert_eq!(column(&client.get(&filtered).await, "id"), newest_first[..2]);
    sandbox.switch(|switches| switches.filters_honoured = false);
    assert_eq!(column(&client.get(&filtered).await, "id").len(), 5);
    sandbox.switch(|switches| (switches.page_shift, switches.count) = (1, CountForm::TooMany));
    let page = client.get("/subscriptions?page=1&pageSize=2").await;
    assert_eq!((column(&page, "id"), &page["count"]), (newest_first[3..].to_vec(), &json!(6)));
    sandbox.switch(|switches| (switches.empty_data, switches.count) = (true, CountForm::Missing));
    let page = client.get("/subscriptions").await;
    assert_eq!((column(&page, "id").len(), page.get("count")), (0, None));
}

#[tokio::test]
async fn spellings_are_as_switched() {
    let sandbox = sandbox();
    let client = Client::of(&sandbox);
    let id = sandbox.create(NewSubscriptions::default()).unwrap().remove(0);
    let cycles = async |id: &str| client.send("GET", &format!("/subscriptions/{id}/billing-cycles"), Value::Null).await;
    assert!(cycles(&id.to_uppercase()).await.1.contains("\"paidAt\":\"2"));
    sandbox.switch(|switches| {
        (switches.case_sensitive, switches.cyrillic_paid_at, switches.short_card_num) = (true, true, true);
        (switches.cycle_status, switches.amounts) = (StatusForm::Lower, AmountForm::Text);
        switches.embedded_transactions = true;
    });
    assert_eq!(cycles(&id.to_lowercase()).await.0, 404);
    let (_, text) = cycles(&id).await;
    for part in [
        "\"paid\u{410}t\":\"2",
        "\"shortCardNum\":",
        "\"status\":\"captured\"",
        "\"amount\":\"10.00\"",
        "\"transactions\":[{",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    sandbox.switch(|switches| switches.ids = IdForm::Lower);
    assert_eq!((cycles(&id).await.0, cycles(&id.to_lowercase()).await.0), (404, 200));
}

#[tokio::test]
async fn a_merchants_own_calls_work() {
    let sandbox = sandbox();
    let client = Client::of(&sandbox);
    let id = sandbox.create(NewSubscriptions::default()).unwrap().remove(0);
    let path = format!("/subscriptions/{id}");
    assert_eq!(client.send("PATCH", &path, json!({"status": "paused"})).await.0, 200);
    sandbox.advance(40 * DAY);
    assert_eq!(sandbox.charges().len(), 1, "paused");
    assert_eq!(client.send("PATCH", &path, json!({"status": "active", "billingCyclesRemaining": 7})).await.0, 200);
    assert_eq!(client.get(&path).await["billingCyclesRemaining"], json!(6), "what had waited is charged");
    sandbox.bill_in_vain(&id, Decline::Error).unwrap();
    let newest = column(&client.get(&format!("{path}/billing-cycles")).await, "id")[0].as_str().unwrap().to_owned();
    let retry = format!("{path}/billing-cycles/{newest}/manual-retries");
    assert_eq!(client.send("POST", &retry, json!({"reason": "new card"})).await.0, 201);
    assert_eq!(client.send("POST", &retry, json!({})).await.0, 400, "it is paid for");
    assert_eq!(client.send("DELETE", &path, Value::Null).await.0, 204);
    assert_eq!(client.send("PATCH", &path, json!({"status": "paused"})).await.0, 409, "it is over");
    assert_eq!(client.get(&path).await["status"], json!("canceled"));
    let events = client.get("/events?objectType=subscription&pageSize=50").await;
    assert!(column(&events, "eventType").contains(&json!("status.updated")));
    let one = column(&events, "id")[0].as_str().unwrap().to_owned();
    assert_eq!(client.get(&format!("/events/{one}")).await["objectId"], json!(id));
    sandbox.delete(&id).unwrap();
    assert!(client.get(&path).await["deletedAt"].is_string());
    sandbox.forget(&id).unwrap();
    assert_eq!(client.send("GET", &path, Value::Null).await.0, 404);
}

#[tokio::test]
async fn a_charge_is_tried_again_by_hand_only_once_no_automatic_retry_is_left() {
    let sandbox = sandbox();
    let client = Client::of(&sandbox);
    let new = NewSubscriptions { period: Period::days(30), retries: 1, ..NewSubscriptions::default() };
    let id = sandbox.create(new).unwrap().remove(0);
    sandbox.refuse(&id, Some(3)).unwrap();
    sandbox.advance(30 * DAY);
    let path = format!("/subscriptions/{id}/billing-cycles");
    let newest = column(&client.get(&path).await, "id")[0].as_str().unwrap().to_owned();
    let retry = format!("{path}/{newest}/manual-retries");
    let by_hand = async || {
        let (status, text) = client.send("POST", &retry, json!({"reason": "new card"})).await;
        (status, serde_json::from_str::<Value>(&text).unwrap())
    };
    let (status, pending) = by_hand().await;
    assert_eq!(status, 409);
    assert!(pending["errorMessage"].as_str().unwrap().contains("an automatic retry is pending"), "{pending}");
    sandbox.advance(DAY);
    let (status, again) = by_hand().await;
    assert_eq!((status, &again["billingCycle"]["status"]), (201, &json!("Failed")));
    let (status, again) = by_hand().await;
    assert_eq!((status, &again["billingCycle"]["status"]), (201, &json!("Captured")));
    assert_eq!(by_hand().await.0, 400, "it is paid for");
    assert_eq!((sandbox.charges().len(), sandbox.charges()[1].attempts), (2, 4));
}

#[tokio::test]
async fn each_control_call_works_as_its_example_says() {
    let sandbox = sandbox();
    let http = Client::of(&sandbox).http;
    let send = async |method: &str, path: &str, body: &Value| {
        let url = format!("{}{path}", sandbox.control_url());
        let answer = http.request(method.parse().unwrap(), url).body(body.to_string()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let routes: Value = serde_json::from_str(&send("GET", "/", &Value::Null).await.1).unwrap();
    let own = routes["routes"].as_array().unwrap().iter().skip_while(|route| route["path"] != "/subscriptions");
    for route in own {
        let (method, path) = (route["method"].as_str().unwrap(), route["path"].as_str().unwrap());
        let (status, text) = send(method, path, &route["example"]).await;
        assert!((200..300).contains(&status), "{route}: {text}");
    }
}
