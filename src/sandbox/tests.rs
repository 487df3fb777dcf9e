//! The floor alone, under a provider that counts.

use axum::Router;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::call::Named;
use super::*;
use crate::clock::Timestamp;

/// Counts up with each answer by `step`, or by what the query's `by` says.
#[derive(Debug)]
struct Counter {
    count: u64,
    switches: Step,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Step {
    step: u64,
}

impl Fake for Counter {
    type Account = ();
    type Endpoint = char;
    type About = Named;
    type Switches = Step;

    const SERVICES: &'static [Service] = &[Service { path: "/counter", name: "api_url", title: "API" }];
    const FIELDS: [&'static str; 2] = ["name", "count"];

    fn open((): (), _: Random) -> Self {
        Self { count: 0, switches: Step { step: 1 } }
    }

    fn read(&self, _: usize, parts: &Parts, _: &[u8]) -> (char, Named) {
        ('c', Named::new(parts.uri.path()))
    }

    fn answer(&mut self, call: &CallOf<Self>, _: Timestamp) -> Answer {
        let by = call.query.strip_prefix("by=").and_then(|by| by.parse().ok());
        self.count += by.unwrap_or(self.switches.step);
        Answer::json(200, &json!({"count": self.count}))
    }

    fn error(status: u16, text: &str, _: &str) -> Answer {
        Answer::json(status, &json!({ "error": text }))
    }

    fn switches(&mut self) -> &mut Step {
        &mut self.switches
    }

    fn rate_limit(&self) -> (u32, Option<&str>) {
        (0, None)
    }
}

impl Controlled for Counter {
    fn calls() -> (Router<Controls<Self>>, Vec<Shown>) {
        (Router::new(), Vec::new())
    }

    fn examples() -> (char, Value) {
        ('c', json!({"step": 2}))
    }
}

#[tokio::test]
async fn a_kind_needs_nothing_but_itself() {
    crate::tls::install_crypto_provider(); // building a client needs it, plain http or not
    let sandbox = Sandbox::<Counter>::start(Options::default()).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let send = async |method: &str, url: String, body: Value| -> (u16, Value) {
        let answer = http.request(method.parse().unwrap(), url).body(body.to_string()).send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    };
    let count = async || send("GET", format!("{}?by=10", sandbox.url(0)), Value::Null).await;
    assert_eq!(count().await, (200, json!({"count": 10})));

    let control = |path: &str| format!("{}{path}", sandbox.control_url());
    let routes = send("GET", control("/"), Value::Null).await.1;
    for route in routes["routes"].as_array().unwrap() {
        let (method, path) = (route["method"].as_str().unwrap(), route["path"].as_str().unwrap());
        assert_eq!(send(method, control(path), route["example"].clone()).await.0, 200, "{route}");
    }
    let rule = json!({"name": "/counter", "times": 1, "fault": {"ignore_query": {"names": ["by"]}}});
    assert_eq!(send("POST", control("/faults"), rule).await.0, 200);
    let answers = [count().await, count().await];
    assert_eq!(answers, [(200, json!({"count": 12})), (200, json!({"count": 22}))], "by the switch, then by the query");
    let rule = json!({"number": "1", "fault": "hold"});
    assert_eq!(send("POST", control("/faults"), rule).await.0, 400, "a field of another kind");
    assert_eq!(sandbox.requests().iter().map(|request| request.seq).max(), Some(2));
}
