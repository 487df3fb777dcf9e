//! The sandbox over real sockets.

mod carts;
mod notifying;
mod paging;

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

/// A client that has logged in.
struct Client {
    http: reqwest::Client,
    api: String,
    token: String,
}

impl Client {
    async fn login(sandbox: &Sandbox) -> Self {
        crate::tls::install_crypto_provider(); // building a client needs it, plain http or not
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let body = json!({
            "client_id": "sandbox--x", "client_secret": "sandbox-client-secret", "grant_type": "client_credentials",
        });
        let answer = http.post(format!("{}/tokens", sandbox.iam_url())).body(body.to_string()).send().await.unwrap();
        let token: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let token = token["access_token"].as_str().unwrap().to_owned();
        Self { http, api: sandbox.api_url(), token }
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request =
            self.http.request(method.parse().unwrap(), format!("{}{path}", self.api)).bearer_auth(&self.token);
        let answer = request.body(body.to_string()).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> Value {
        self.send("GET", path, Value::Null).await.1
    }

    async fn subscription(&self, id: &str) -> Value {
        self.get(&format!("/subscription-manager/subscriptions/{id}")).await
    }

    async fn generation(&self, id: &str, generation: i64) -> (u16, Value) {
        self.send("GET", &format!("/ordersv2/subscription/{id}?generation={generation}"), Value::Null).await
    }

    async fn data(&self, order_id: &str) -> Value {
        self.get(&format!("/ordersv2/lineitemdata/order/{order_id}")).await
    }
}

/// Stands still, and has no rate limit.
fn sandbox() -> Sandbox {
    let switches = Switches { rate_limit: 0, ..Switches::default() };
    let account = Account { switches, ..Account::default() };
    Sandbox::start(Options { speed: 0.0, account, ..Options::default() }).unwrap()
}

fn create(sandbox: &Sandbox, new: NewSubscriptions) -> String {
    sandbox.create(new).unwrap().remove(0)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The values of a field in all rows.
fn column(rows: &Value, field: &str) -> Vec<Value> {
    rows.as_array().unwrap().iter().map(|row| row[field].clone()).collect()
}

#[tokio::test]
async fn a_renewal_is_billed_ahead_and_brings_its_own_key() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let id = create(&sandbox, NewSubscriptions::default());
    assert_eq!(client.generation(&id, 1).await.0, 404);
    sandbox.advance(360 * DAY);
    let billed = client.generation(&id, 1).await.1;
    assert_eq!((text(&billed["status"]), text(&billed["source"])), ("CREATED", "SUBSCRIPTION"));
    assert_eq!(client.subscription(&id).await["lifecycle"]["generation"], 0);
    assert_eq!(client.data(text(&billed["id"])).await, json!([]));

    sandbox.advance(6 * DAY);
    let after = client.subscription(&id).await;
    assert_eq!((&after["lifecycle"]["generation"], &after["lifecycle"]["status"]), (&json!(1), &json!("Active")));
    let order = client.generation(&id, 1).await.1;
    assert_eq!((&order["id"], text(&order["status"]), text(&order["generationId"])), (&billed["id"], "COMPLETED", "1"));
    let data = client.data(text(&order["id"])).await;
    assert_eq!((text(&data[0]["processingStatus"]), &data[0]["subscriptionId"]), ("COMPLETED", &json!(id)));
    assert_eq!(column(&data, "activationCode"), sandbox.expected_keys(text(&order["id"])));
    assert_eq!(after["products"][0]["lineItemId"], data[0]["lineItemId"]);

    let first = client.generation(&id, 0).await.1;
    assert_ne!(sandbox.expected_keys(text(&first["id"])), sandbox.expected_keys(text(&order["id"])));
    let renewals = sandbox.renewals();
    assert_eq!((renewals.len(), renewals[0].generation, &renewals[0].order_id), (1, 1, &text(&order["id"]).to_owned()));
}

#[tokio::test]
async fn tokens_are_asked_for_and_errors_have_the_platforms_body() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let id = create(&sandbox, NewSubscriptions::default());
    let (status, body) = client.send("GET", "/ordersv2/00000000000", Value::Null).await;
    assert_eq!((status, &body["status"], &body["error"]), (404, &json!(404), &json!("Not Found")));
    assert_eq!(body["details"][0]["resourceId"], "00000000000");
    assert!(body["timestamp"].is_i64());
    sandbox.expire_tokens(false);
    let path = format!("/subscription-manager/subscriptions/{id}");
    assert_eq!(client.send("GET", &path, Value::Null).await.0, 401);
}

#[tokio::test]
async fn tokens_count_within_the_rate_limit() {
    let sandbox = sandbox();
    sandbox.switch(|switches| switches.rate_limit = 1);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |url: String| http.post(url).body("{}").send().await.unwrap().status().as_u16();
    let mut statuses = Vec::new();
    while !statuses.contains(&429) {
        statuses.push(ask(format!("{}/tokens", sandbox.iam_url())).await);
        statuses.push(ask(format!("{}/ordersv2", sandbox.api_url())).await);
    }
    let admitted: Vec<_> = sandbox.requests().into_iter().filter(|request| request.status != Some(429)).collect();
    let apart = admitted.windows(2).map(|pair| pair[1].at - pair[0].at);
    assert!(apart.clone().all(|apart| apart >= Duration::from_secs(1)), "{:?}", apart.collect::<Vec<_>>());
}

#[tokio::test]
async fn scripts_come_before_completion() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let renewal_script = Script {
        steps: [Step::status("PAYMENT_PENDING"), Step::status("FRAUD_PENDING").lasting(DAY)].into(),
        data: [DataStep::missing(), DataStep { ready: 1, ..DataStep::status("PENDING") }].into(),
        ..Script::default()
    };
    let product = Product { units: 2, ..Product::default() };
    let id = create(&sandbox, NewSubscriptions { renewal_script, product, ..NewSubscriptions::default() });
    sandbox.renew(&id).unwrap();
    let order_id = sandbox.renewals()[0].order_id.clone();
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(text(&client.get(&format!("/ordersv2/{order_id}")).await["status"]).to_owned());
    }
    sandbox.advance(DAY);
    seen.push(text(&client.generation(&id, 1).await.1["status"]).to_owned());
    assert_eq!(seen, ["PAYMENT_PENDING", "FRAUD_PENDING", "FRAUD_PENDING", "COMPLETED"]);
    let mut states = Vec::new();
    for _ in 0..3 {
        states.push(column(&client.data(&order_id).await, "processingStatus"));
    }
    assert_eq!(states, [vec![], vec![json!("COMPLETED"), json!("PENDING")], vec![json!("COMPLETED"); 2]]);
    sandbox
        .script(&id, 2, Script { data_body: Some("verbatim".into()), ..Script::statuses(["PARTIAL_COMPLETED"]) })
        .unwrap();
    sandbox.renew(&id).unwrap();
    let order = client.generation(&id, 2).await.1;
    assert_eq!((text(&order["status"]), client.data(text(&order["id"])).await), ("PARTIAL_COMPLETED", Value::Null));
}

#[tokio::test]
async fn an_aborted_order_has_a_second_one_of_its_generation() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let id = create(&sandbox, NewSubscriptions::default());
    sandbox.renew(&id).unwrap();
    let first = sandbox.renewals()[0].order_id.clone();
    let second = sandbox.reorder(&id, 1).unwrap();
    assert_eq!(client.get(&format!("/ordersv2/{first}")).await["status"], "ABORTED");
    assert_eq!(client.generation(&id, 1).await.1["id"], json!(second));
    let both = client.get(&format!("/ordersv2?subscriptionId={id}&generationId=1&source=SUBSCRIPTION")).await;
    assert_eq!(column(&both["items"], "status"), ["ABORTED", "COMPLETED"]);
    assert_eq!((sandbox.renewals().len(), &sandbox.renewals()[0].order_id), (1, &second));
    assert_eq!(column(&client.data(&first).await, "processingStatus"), ["CANCELED"]);
}

#[tokio::test]
async fn refused_payments_are_tried_again_until_the_grace_is_over() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let ids = sandbox.create(NewSubscriptions { count: 2, period: Period::days(30), ..Default::default() }).unwrap();
    sandbox.advance(29 * DAY);
    sandbox.refuse_payment(&ids[0], Some(3)).unwrap();
    sandbox.refuse_payment(&ids[1], None).unwrap();
    for id in &ids {
        assert_eq!(client.subscription(id).await["lifecycle"]["status"], "Dunning");
        let order = client.generation(id, 1).await.1;
        assert_eq!((text(&order["status"]), text(&order["payments"][0]["status"])), ("PAYMENT_REFUSED", "FAILED"));
    }
    sandbox.advance(20 * DAY);
    let states = sandbox.subscriptions();
    assert_eq!((states[0].status, states[0].generation), (Status::Active, 1));
    assert_eq!((states[1].status, states[1].generation), (Status::Expired, 0));
    assert_eq!(sandbox.renewals().len(), 1);
    assert_eq!(client.generation(&ids[0], 1).await.1["status"], "COMPLETED");
    assert_eq!(client.generation(&ids[1], 1).await.1["status"], "PAYMENT_REFUSED");
}

#[tokio::test]
async fn a_trial_becomes_generation_0() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let id = create(&sandbox, NewSubscriptions { generation: -1, period: Period::days(30), ..Default::default() });
    assert_eq!(client.subscription(&id).await["lifecycle"]["status"], "Trial");
    sandbox.advance(25 * DAY);
    assert_eq!(client.subscription(&id).await["lifecycle"]["status"], "TrialConversion");
    sandbox.advance(6 * DAY);
    assert_eq!(client.subscription(&id).await["lifecycle"]["generation"], 0);
    let order = client.generation(&id, 0).await.1;
    assert_eq!((text(&order["subscriptionSubSource"]), sandbox.renewals()[0].generation), ("TRIAL_CONVERSION", 0));
}

#[tokio::test]
async fn an_offer_is_used_at_the_renewal_or_aborted_before_it() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let ids = sandbox.create(NewSubscriptions { count: 2, ..Default::default() }).unwrap();
    sandbox.advance(DAY);
    let updated = async |id: &str| client.subscription(id).await["updateDate"].clone();
    let before = [updated(&ids[0]).await, updated(&ids[1]).await];
    let mut orders = Vec::new();
    for (id, touches) in [(&ids[0], true), (&ids[1], false)] {
        sandbox.switch(|switches| switches.offer_touches_subscription = touches);
        orders.push(sandbox.accept_offer(id, 0.25).unwrap());
    }
    assert_ne!(updated(&ids[0]).await, before[0]);
    assert_eq!(updated(&ids[1]).await, before[1]);
    let order = client.generation(&ids[0], 1).await.1;
    assert_eq!(
        (text(&order["source"]), text(&order["offerSubSource"]), text(&order["status"])),
        ("OFFER", "SUSPEND", "CREATED")
    );
    sandbox.suspend(&ids[1]).unwrap();
    assert_eq!(client.get(&format!("/ordersv2/{}", orders[1])).await["status"], "ABORTED");
    sandbox.advance(366 * DAY);
    let used = client.generation(&ids[0], 1).await.1;
    assert_eq!(
        (text(&used["id"]), text(&used["status"]), &used["totalAmount"]),
        (&*orders[0], "COMPLETED", &json!(40.5))
    );
    let price = &used["lineItems"][0]["price"];
    assert_eq!((&price["grossPrice"], &price["discountedPrice"]["discountedGrossPrice"]), (&json!(54.0), &json!(40.5)));
    assert_eq!(sandbox.renewals().iter().map(|sold| sold.source).collect::<Vec<_>>(), [Source::Offer]);
    assert_eq!(sandbox.subscriptions()[1].status, Status::Expired);
    sandbox.renew(&ids[0]).unwrap();
    assert_eq!(client.generation(&ids[0], 2).await.1["totalAmount"], 54.0);
}

#[tokio::test]
async fn an_upgrade_leaves_the_generation_and_brings_the_new_products_key() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let id = create(&sandbox, NewSubscriptions::default());
    sandbox.suspend(&id).unwrap();
    let before = client.subscription(&id).await;
    sandbox.advance(100 * DAY);
    let order_id = sandbox.upgrade(&id, Product::bigger(), Script::default()).unwrap();
    let after = client.subscription(&id).await;
    assert_eq!((&after["lifecycle"]["status"], &after["lifecycle"]["generation"]), (&json!("Active"), &json!(0)));
    assert_ne!(after["products"][0]["lineItemId"], before["products"][0]["lineItemId"]);
    assert_ne!(after["updateDate"], before["updateDate"]);
    let order = client.get(&format!("/ordersv2/{order_id}")).await;
    assert_eq!((text(&order["source"]), text(&order["generationId"])), ("MID_TERM_UPGRADE", "0"));
    assert_eq!(order["totalAmount"], 39.21); // 265 of 365 days of what it costs more
    assert_eq!(column(&client.data(&order_id).await, "activationCode"), sandbox.expected_keys(&order_id));
    assert_eq!(client.generation(&id, 0).await.1["source"], "PURCHASE");
    sandbox.switch(|switches| switches.order_of_generation = OrderOfGeneration::Newest);
    assert_eq!(client.generation(&id, 0).await.1["id"], json!(order_id));
    assert_eq!((sandbox.renewals().len(), sandbox.upgrades()[0].order_id == order_id), (0, true));
    sandbox.advance(270 * DAY);
    assert_eq!(client.generation(&id, 1).await.1["lineItems"][0]["productId"], json!(Product::bigger().id));
}

#[tokio::test]
async fn retail_buyers_come_with_a_reference_and_a_context_and_a_free_order() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let id = create(
        &sandbox,
        NewSubscriptions {
            imported: true,
            external_ref_id: Some("PARTNER-2024-000123".into()),
            external_context: Some(json!({"shop": {"order": "R-7"}})),
            ..Default::default()
        },
    );
    let subscription = client.subscription(&id).await;
    assert_eq!(
        (text(&subscription["externalRefId"]), &subscription["imported"]),
        ("PARTNER-2024-000123", &json!(true))
    );
    assert_eq!(subscription["decodedExternalContext"]["shop"]["order"], "R-7");
    assert_eq!(client.generation(&id, 0).await.1["totalAmount"], 0.0);
}

#[tokio::test]
async fn each_licence_shows_in_its_own_way() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let mut shown = Vec::new();
    for licence in [
        Licence::Key,
        Licence::SameKey,
        Licence::Link,
        Licence::KeyAndLink,
        Licence::QrCode,
        Licence::File,
        Licence::Nothing,
    ] {
        let product = Product { licence, ..Product::default() };
        let id = create(&sandbox, NewSubscriptions { product, ..Default::default() });
        sandbox.renew(&id).unwrap();
        let orders = sandbox.orders(&id).unwrap();
        let entry = client.data(&orders[1].order_id).await[0].clone();
        assert_eq!(entry["processingStatus"], "COMPLETED");
        let keys = orders.iter().map(|order| sandbox.expected_keys(&order.order_id)).collect::<Vec<_>>();
        assert_eq!(keys[0] == keys[1], !matches!(licence, Licence::Key | Licence::KeyAndLink), "{licence:?}");
        assert_eq!(entry["activationCode"].as_str(), keys[1].first().map(String::as_str));
        let has = |name: &str| entry[name].is_string();
        shown.push([
            has("activationCode"),
            has("activationLink"),
            has("qrCodeBase64"),
            entry["activationFileFulfillment"] == true,
        ]);
    }
    let expected = ["key", "key", "link", "key link", "qr", "file", ""];
    let named = |row: &[bool; 4]| {
        let names = ["key", "link", "qr", "file"].iter().zip(row).filter(|(_, is)| **is).map(|(name, _)| *name);
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(shown.iter().map(named).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn the_file_of_a_licence_is_named_by_the_summary() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let id = create(
        &sandbox,
        NewSubscriptions { product: Product { licence: Licence::File, ..Product::default() }, ..Default::default() },
    );
    let order_id = sandbox.orders(&id).unwrap()[0].order_id.clone();
    let summary = client.get(&format!("/ordersv2/views/{order_id}/summary")).await;
    let url = text(&summary["exportActivationCodeFileUrl"]);
    let file = client.http.get(url).send().await.unwrap().text().await.unwrap();
    assert!(file.contains(&order_id), "{file}");
}

#[tokio::test]
async fn the_api_suspends_reactivates_and_cancels() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let id = create(&sandbox, NewSubscriptions::default());
    let mut states = Vec::new();
    for verb in ["suspend", "reactivate", "cancel", "suspend"] {
        let path = format!("/subscription-manager/subscriptions/{id}/{verb}");
        let status = client.send("POST", &path, json!({})).await.0;
        states.push((status, sandbox.subscriptions()[0].status));
    }
    assert_eq!(
        states,
        [(200, Status::Suspended), (200, Status::Active), (200, Status::Canceled), (400, Status::Canceled)]
    );
}

#[tokio::test]
async fn values_are_written_as_switched() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let id = create(&sandbox, NewSubscriptions::default());
    let plain = client.subscription(&id).await;
    assert!(plain["updateDate"].is_i64());
    for (dates, written) in [
        (DateForm::Iso, json!(sandbox.now().to_string())),
        (DateForm::MillisText, json!(plain["updateDate"].to_string())),
        (DateForm::Unreadable, json!("next Tuesday")),
        (DateForm::Null, Value::Null),
    ] {
        sandbox.switch(|switches| switches.dates = dates);
        assert_eq!(client.subscription(&id).await["updateDate"], written, "{dates:?}");
    }
    sandbox.switch(|switches| {
        switches.currency = CurrencyForm::Object;
        switches.generation = GenerationForm::Missing;
        switches.ids = IdForm::OtherCase;
        switches.subscription_status = Some("Dozing".into());
        switches.subscription_named = false;
        switches.prebilling_generation = PrebillingGeneration::Current;
    });
    let odd = client.subscription(&id).await;
    assert_eq!((&odd["id"], odd["lifecycle"].get("generation")), (&json!(id.to_uppercase()), None));
    assert_eq!(odd["lifecycle"]["status"], "Dozing");
    let order_id = sandbox.prebill(&id).unwrap();
    let order = client.get(&format!("/ordersv2/{order_id}")).await;
    assert_eq!((&order["id"], &order["generationId"]), (&json!(order_id.to_lowercase()), &json!("0")));
    assert_eq!(order.get("subscriptionId"), None);
    assert_eq!(order["lineItems"][0]["price"]["currency"]["currencyCode"], "EUR");
    for (no_order, answer) in [(NoOrder::NotFound, 404), (NoOrder::Empty, 200), (NoOrder::Null, 200)] {
        sandbox.switch(|switches| switches.no_order = no_order);
        assert_eq!(client.generation(&id, 5).await.0, answer);
    }
}

#[tokio::test]
async fn the_control_endpoint_does_everything_and_names_what_it_does_not_know() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    // One of the examples pays the first cart.
    assert_eq!(client.send("POST", "/carts", carts::retail()).await.0, 201);
    let client = Client { api: sandbox.control_url(), ..client };
    let routes = client.get("/").await;
    // Every example must be taken as it is shown, in the order shown: what is renewed was made before.
    let (own, common): (Vec<_>, Vec<_>) = routes["routes"].as_array().unwrap().iter().partition(|route| {
        !["/clock", "/switches", "/faults", "/release", "/requests"]
            .iter()
            .any(|path| text(&route["path"]).starts_with(path))
    });
    for route in own.into_iter().chain(common) {
        let (method, path) = (text(&route["method"]), text(&route["path"]));
        let (status, answer) = client.send(method, path, route["example"].clone()).await;
        assert!(status == 200 || status == 201, "{method} {path}: {status} {answer}");
    }
    let unknown = [
        ("/subscriptions", json!({"number": "A"})),
        ("/switches", json!({"dattes": 1})),
        ("/renew", json!({"time": 1})),
        ("/script", json!({"script": {"step": []}})),
    ];
    for (path, body) in unknown {
        let (status, answer) = client.send("POST", path, body.clone()).await;
        let field = body.as_object().unwrap().keys().next_back().unwrap();
        let field = if path == "/script" { "step" } else { field };
        assert_eq!(status, 400);
        assert!(text(&answer["error"]).contains(field), "{answer}");
    }
    assert_eq!(client.send("POST", "/renew", json!({"subscription_id": "nobody"})).await.0, 404);
}
