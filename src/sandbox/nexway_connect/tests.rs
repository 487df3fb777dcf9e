//! The sandbox over real sockets.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);
const SOON: Duration = Duration::from_secs(10);

/// A client that has logged in.
struct Client {
    http: reqwest::Client,
    api: String,
    token: String,
    secret: &'static str,
}

impl Client {
    async fn login(sandbox: &Sandbox) -> Self {
        crate::tls::install_crypto_provider(); // building a client needs it, plain http or not
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let body =
            json!({"clientSecret": "sandbox-client-secret", "realmName": "sandbox", "grantType": "client_credentials"});
        let answer = http.post(format!("{}/tokens", sandbox.iam_url())).body(body.to_string()).send().await.unwrap();
        let token: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let token = token["access_token"].as_str().unwrap().to_owned();
        Self { http, api: sandbox.api_url(), token, secret: "sandbox-secret-eu" }
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().unwrap();
        self.http.request(method, format!("{}{path}", self.api)).bearer_auth(&self.token).header("secret", self.secret)
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let answer = self.request(method, path).body(body.to_string()).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(Value::Null))
    }

    async fn status(&self, number: &str, id: i64) -> Value {
        self.send("POST", "/subscription", json!({"partnerOrderNumber": number, "subscriptionId": id})).await.1
    }

    async fn order(&self, segment: &str) -> Value {
        self.send("GET", &format!("/order/{segment}"), Value::Null).await.1
    }

    async fn broken_order(&self, number: &str) -> reqwest::Error {
        match self.request("GET", &format!("/order/{number}")).send().await {
            Ok(answer) => answer.bytes().await.unwrap_err(),
            Err(error) => error,
        }
    }
}

/// Stands still, and has no rate limit.
fn sandbox() -> Sandbox {
    let switches = Switches { rate_limit: 0, ..Switches::default() };
    let account = Account { switches, ..Account::default() };
    Sandbox::start(Options { speed: 0.0, account, ..Options::default() }).unwrap()
}

fn create(sandbox: &Sandbox, order: NewOrder) -> i64 {
    sandbox.create_order(order).unwrap().subscription_ids()[0]
}

#[tokio::test]
async fn a_renewal_shows_in_the_status_and_brings_its_own_key() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let id = create(&sandbox, NewOrder::new("PARTNER689"));
    let before = client.status("PARTNER689", id).await;
    assert_eq!((&before["generation"], &before["partnerOrderNumber"]), (&json!(0), &json!("PARTNER689")));
    assert_eq!(client.order("PARTNER689-1").await["responseCode"], 1010);

    sandbox.advance(366 * DAY);
    let after = client.status("PARTNER689", id).await;
    assert_eq!((&after["generation"], &after["partnerOrderNumber"]), (&json!(1), &json!("PARTNER689-1")));
    let order = client.order("PARTNER689-1").await;
    let serial = &order["orderLines"][0]["lineItems"][0]["serials"][0]["data"];
    assert_eq!(serial, &json!(sandbox.expected_keys("PARTNER689-1", id)[0]));
    assert_ne!(sandbox.expected_keys("PARTNER689-1", id), sandbox.expected_keys("PARTNER689", id));
    let renewal = &sandbox.renewals()[0];
    assert_eq!((renewal.generation, json!(renewal.order_number)), (1, order["orderNumber"].clone()));
}

#[tokio::test]
async fn secrets_and_tokens_are_checked() {
    let sandbox = sandbox();
    let mut client = Client::login(&sandbox).await;
    let id = create(&sandbox, NewOrder::new("A"));
    client.secret = "wrong";
    assert_eq!(client.status("A", id).await["code"], 71);
    assert_eq!(client.order("A").await["responseCode"], 71);
    client.secret = "";
    assert_eq!(client.status("A", id).await["code"], 70);
    client.secret = "sandbox-secret-us";
    assert_eq!(client.status("A", id).await["code"], 1010);
    sandbox.switch(|switches| switches.other_territory = OtherTerritory::SecretNotValid);
    assert_eq!(client.order("A").await["responseCode"], 71);
    sandbox.expire_tokens(false);
    let (status, body) = client.send("POST", "/subscription", json!({})).await;
    assert_eq!((status, &body["error"]), (401, &json!("Unauthorized")));
}

#[tokio::test]
async fn clashing_numbers_answer_as_switched() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let plain = create(&sandbox, NewOrder::new("NEXWAY"));
    let dashed = create(&sandbox, NewOrder::new("NEXWAY-1"));
    sandbox.renew("NEXWAY", None).unwrap();
    let mut answers = Vec::new();
    for form in [ClashingNumber::Original, ClashingNumber::Renewal, ClashingNumber::Both] {
        sandbox.switch(|switches| switches.clashing_number = form);
        let order = client.order("NEXWAY-1").await;
        let lines = order["orderLines"].as_array().unwrap().clone();
        answers.push(lines.iter().map(|line| line["lineItems"][0]["subscriptionId"].clone()).collect::<Vec<_>>());
    }
    assert_eq!(answers, [vec![json!(dashed)], vec![json!(plain)], vec![json!(dashed), json!(plain)]]);
    assert_eq!(client.status("NEXWAY-1", dashed).await["generation"], 0);
}

#[tokio::test]
async fn scripts_come_before_the_order_data() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let renewal_script = vec![Step::order(1010), Step::order(1060).lasting(DAY), Step::item(1051)];
    create(&sandbox, NewOrder { renewal_script, ..NewOrder::new("A") });
    sandbox.renew("A", None).unwrap();
    assert_eq!(client.order("A-1").await["responseCode"], 1010);
    assert_eq!(client.order("A-1").await["responseCode"], 1060);
    assert_eq!(client.order("A-1").await["responseCode"], 1060);
    sandbox.advance(DAY);
    let late = client.order("A-1").await;
    let item = &late["orderLines"][0]["lineItems"][0];
    assert_eq!((&late["responseCode"], &item["responseCode"], &item["serials"]), (&json!(0), &json!(1051), &json!([])));
    assert_eq!(client.order("A-1").await["orderLines"][0]["lineItems"][0]["responseCode"], 0);
    sandbox.script("A-1", Script::order_body("verbatim"));
    let body = client.request("GET", "/order/A-1").send().await.unwrap().text().await.unwrap();
    assert_eq!(body, "verbatim");
}

#[tokio::test]
async fn odd_numbers_survive_the_path() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    for (number, segment) in [("a/b", "a%2Fb"), ("../x", "..%2fx"), ("a b", "a%20b"), ("ä#?&%", "%C3%A4%23%3F%26%25")]
    {
        create(&sandbox, NewOrder::new(number));
        assert_eq!(client.order(segment).await["partnerOrderNumber"], number);
    }
}

#[tokio::test]
async fn every_variant_answers_with_the_keys_expected() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let expected = [
        (Variant::PlainKey, 1),
        (Variant::SeveralSerials, 3),
        (Variant::NoSerial, 0),
        (Variant::Locker, 0),
        (Variant::Steam, 1),
        (Variant::Casual, 1),
        (Variant::KeyFile, 1),
        (Variant::UnknownEncoding, 1),
        (Variant::SeveralLines, 1),
        (Variant::SameKey, 1),
        (Variant::NoIds, 2),
        (Variant::NullIds, 2),
        (Variant::ForeignIds, 0),
        (Variant::Empty, 0),
    ];
    for (variant, count) in expected {
        let number = format!("{variant:?}");
        let answer = sandbox
            .create_order(NewOrder {
                variant,
                subscriptions: 2,
                subscription_ids: vec![7, 8],
                ..NewOrder::new(&number)
            })
            .unwrap();
        assert_eq!(sandbox.expected_keys(&number, 7).len(), count, "{variant:?}");
        assert_eq!(client.order(&number).await, json!(answer));
    }
    assert_eq!(sandbox.expected_keys("SameKey", 7), sandbox.expected_keys("SameKey-3", 7));
}

#[tokio::test]
async fn more_than_the_limit_in_a_second_is_429() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    sandbox.switch(|switches| (switches.rate_limit, switches.retry_after) = (3, Some("2".into())));
    let before = sandbox.request_count();
    let mut answers = Vec::new();
    for _ in 0..5 {
        let answer = client.request("GET", "/order/A").send().await.unwrap();
        answers.push((answer.status().as_u16(), answer.headers().contains_key("retry-after")));
    }
    // What must have come follows from when the requests arrived: a stalled machine may have spread them over seconds.
    let mut admitted: Vec<Instant> = Vec::new();
    let mut expected = Vec::new();
    for request in sandbox.requests().iter().filter(|request| request.seq >= before) {
        let in_window = |at: &&Instant| request.at.duration_since(**at) < Duration::from_secs(1);
        let refused = admitted.iter().filter(in_window).count() >= 3;
        if !refused {
            admitted.push(request.at);
        }
        expected.push(if refused { (429, true) } else { (200, false) });
    }
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn cut_connections_and_bodies_break() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    create(&sandbox, NewOrder::new("A"));
    for fault in [FaultKind::CutBefore, FaultKind::CutMidBody] {
        sandbox.fault(Fault::new(fault.clone()).at(Endpoint::Order).times(1));
        let error = client.broken_order("A").await;
        assert!(!error.is_timeout(), "{fault:?}: {error:?}");
        assert_eq!(client.order("A").await["responseCode"], 0);
    }
}

#[tokio::test]
async fn stalled_and_trickled_bodies_outlast_the_client() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    for fault in [FaultKind::Stall, FaultKind::Trickle { every: Duration::from_secs(1) }] {
        sandbox.fault(Fault::new(fault.clone()).times(1));
        let answer = client.request("GET", "/order/A").timeout(Duration::from_millis(200)).send().await;
        let error = answer.expect("headers arrive").bytes().await.unwrap_err();
        assert!(error.is_timeout(), "{fault:?}: {error:?}");
    }
}

#[tokio::test]
async fn made_up_bodies_are_as_long_as_asked() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    const LENGTH: u64 = 3_000_000;
    sandbox.fault(Fault::new(FaultKind::GzipBomb { bytes: LENGTH }).times(1));
    sandbox.fault(Fault::new(FaultKind::HugeBody { bytes: LENGTH }).times(1));
    for _ in 0..2 {
        let body = client.request("GET", "/order/A").send().await.unwrap().bytes().await.unwrap();
        assert_eq!(body.len() as u64, LENGTH + "{\"partnerOrderNumber\":\"".len() as u64);
    }
}

#[tokio::test]
async fn altered_answers_are_altered() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    create(&sandbox, NewOrder::new("A"));
    let truth = client.request("GET", "/order/A").send().await.unwrap().text().await.unwrap();
    let status = FaultKind::Status { status: 503, body: ErrorBody::Html, retry_after: Some("soon".into()) };
    let redirect = FaultKind::Redirect { location: "/elsewhere".into() };
    let faults = [
        (FaultKind::TruncatedJson, 200, truth[..truth.len() / 2].to_owned()),
        (FaultKind::EmptyObject, 200, "{}".into()),
        (FaultKind::EmptyBody, 200, String::new()),
        (FaultKind::ByteOrderMark, 200, format!("\u{feff}{truth}")),
        (FaultKind::Body { body: "null".into() }, 200, "null".into()),
        (redirect, 302, String::new()),
    ];
    for (fault, status, body) in faults {
        sandbox.fault(Fault::new(fault.clone()).times(1));
        let answer = client.request("GET", "/order/A").send().await.unwrap();
        assert_eq!(answer.status(), status, "{fault:?}");
        assert_eq!(answer.bytes().await.unwrap(), body.as_bytes(), "{fault:?}");
    }
    sandbox.fault(Fault::new(status).times(1));
    let answer = client.request("GET", "/order/A").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (503, "soon"));
}

#[tokio::test]
async fn a_held_answer_is_logged_at_once_and_given_when_released() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let id = create(&sandbox, NewOrder::new("A"));
    sandbox.fault(Fault::new(FaultKind::Hold).number("A"));
    let controls = sandbox.controls();
    let release = async {
        let held = controls.wait_for_async(|request| request.endpoint == Endpoint::Status, SOON).await.unwrap();
        assert_eq!((held.status, held.subscription_id, held.territory.as_deref()), (None, Some(id), Some("eu")));
        controls.renew("A", None).unwrap(); // the answer is that of the moment it is given
        controls.release();
    };
    let (answer, ()) = tokio::join!(client.status("A", id), release);
    assert_eq!(answer["generation"], 1);
    let answered =
        sandbox.wait_for(|request| request.endpoint == Endpoint::Status && request.status == Some(200), SOON);
    assert!(answered.is_some());
    assert!(sandbox.wait_for(|request| request.endpoint == Endpoint::Renew, Duration::ZERO).is_none());
}

#[tokio::test]
async fn orders_are_created_cancelled_and_renewed_over_the_api() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let new = json!({"partnerOrderNumber": "A", "currency": "EUR", "orderLines": [{"productRef": "5", "quantity": 2}]});
    let (status, created) = client.send("POST", "/order/new", new.clone()).await;
    assert_eq!((status, created["orderLines"][0]["lineItems"].as_array().unwrap().len()), (201, 2));
    let (status, again) = client.send("POST", "/order/new", new).await;
    assert_eq!((status, &again["responseCode"]), (201, &json!(1010)));
    let id = created["orderLines"][0]["lineItems"][0]["subscriptionId"].as_i64().unwrap();
    let named = json!({"partnerOrderNumber": "A", "subscriptionId": id});
    assert_eq!(client.send("PUT", "/subscription/renew", named.clone()).await.1["responseCode"], 0);
    sandbox.switch(|switches| switches.renew_method = RenewMethod::Post);
    assert_eq!(client.send("PUT", "/subscription/renew", named.clone()).await.0, 405);
    assert_eq!(client.send("PUT", "/subscription", named).await.1["responseCode"], 0);
    assert_eq!(client.status("A", id).await["technicalStatus"], "CANCELED");
    assert_eq!(sandbox.renewals().len(), 1);
}

#[tokio::test]
async fn the_control_endpoint_does_everything_and_names_what_it_does_not_know() {
    let sandbox = sandbox();
    let client = Client { api: sandbox.control_url(), ..Client::login(&sandbox).await };
    let routes = client.send("GET", "/", Value::Null).await.1;
    // Every example must be taken as it is shown.
    let mut bodies: Vec<Value> = routes["routes"].as_array().unwrap().clone();
    bodies.sort_by_key(|route| route["path"] != "/orders");
    for route in bodies {
        let (method, path) = (route["method"].as_str().unwrap(), route["path"].as_str().unwrap());
        let (status, answer) = client.send(method, path, route["example"].clone()).await;
        assert!(status == 200 || status == 201, "{method} {path}: {status} {answer}");
    }
    for fault in routes["faults"].as_array().unwrap() {
        let (status, answer) = client.send("POST", "/faults", json!({ "fault": fault })).await;
        assert_eq!(status, 200, "{fault}: {answer}");
    }
    let unknown = [
        ("/clock", json!({"advanced": "4h"})),
        ("/orders", json!({"number": "A"})),
        ("/switches", json!({"dattes": 1})),
        ("/renew", json!({"partner_order_number": "A", "time": 1})),
        ("/script", json!({"number": "A", "script": {"step": []}})),
    ];
    for (path, body) in unknown {
        let (status, answer) = client.send("POST", path, body.clone()).await;
        let field = body.as_object().unwrap().keys().next_back().unwrap();
        let field = if path == "/script" { "step" } else { field };
        assert_eq!(status, 400);
        assert!(answer["error"].as_str().unwrap().contains(field), "{answer}");
    }
    assert_eq!(client.send("POST", "/renew", json!({"partner_order_number": "nobody"})).await.0, 404);
}

#[test]
fn dropping_it_closes_its_ports_and_connections() {
    let sandbox = sandbox();
    let url = sandbox.api_url();
    let address = url.trim_start_matches("http://").trim_end_matches("/connect");
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    sandbox.shutdown();
    let read = std::io::Read::read(&mut connection, &mut [0]);
    assert!(matches!(read, Ok(0) | Err(_)));
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[tokio::test]
async fn a_status_takes_and_shows_numbers_as_switched() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let id = create(&sandbox, NewOrder::new("A"));
    sandbox.renew_times("A", None, 3).unwrap();
    let mut codes = Vec::new();
    for accepted in [AcceptedNumber::Original, AcceptedNumber::LastSuffixed, AcceptedNumber::Both] {
        sandbox.switch(|switches| switches.accepted_number = accepted);
        for number in ["A", "A-2", "A-3"] {
            codes.push(client.status(number, id).await["code"].as_i64().unwrap());
        }
    }
    assert_eq!(codes, [0, 1010, 1010, 1010, 1010, 0, 0, 1010, 0]);

    sandbox.switch(|switches| {
        switches.returned_number = ReturnedNumber::Original;
        switches.generation = GenerationForm::String;
        switches.result_names = ResultNames::ResponseCode;
        switches.technical_status = Some("WAT".into());
        switches.unknown_subscription = UnknownSubscription::Status;
    });
    let answer = client.status("A", id).await;
    assert_eq!((&answer["partnerOrderNumber"], &answer["generation"]), (&json!("A"), &json!("3")));
    assert_eq!((answer.get("code"), &answer["responseCode"]), (None, &json!(0)));
    assert_eq!(answer["technicalStatus"], "WAT");
    assert_eq!(client.status("A", id + 1).await["status"], 404);
    sandbox.set_generation("A", None, 1).unwrap();
    assert_eq!(client.status("A", id).await["generation"], "1");
}

#[tokio::test]
async fn what_a_gateway_answers_moves_no_script_on() {
    let sandbox = sandbox();
    let client = Client::login(&sandbox).await;
    let id = create(&sandbox, NewOrder::new("A"));
    sandbox.script("A", Script { status_codes: [1000, 70].into(), ..Script::codes([1051]) });
    let fault = FaultKind::Status { status: 502, body: ErrorBody::Html, retry_after: None };
    sandbox.fault(Fault::new(fault).times(2));
    assert_eq!(client.order("A").await, Value::Null);
    assert_eq!(client.status("A", id).await, Value::Null);
    assert_eq!(client.order("A").await["responseCode"], 1051);
    let codes = [client.status("A", id).await, client.status("A", id).await, client.status("A", id).await];
    assert_eq!(codes.map(|answer| answer["code"].clone()), [1000, 70, 0]);
}
