//! The control endpoint: [`Controls`] as JSON over HTTP, for people and for programs in other languages.

use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::Error;
use super::clock::{optional_duration, optional_timestamp};
use super::controls::Controls;
use super::faults::Fault;
use super::orders::NewOrder;
use super::script::Script;
use crate::clock::Timestamp;

/// Serves the control port until the runtime ends.
pub(super) async fn serve(listener: TcpListener, controls: Controls) -> std::io::Result<()> {
    let router = Router::new()
        .route("/", get(async || Json(routes())))
        .route("/clock", get(show_clock).post(set_clock))
        .route("/orders", get(list_orders).post(create_order))
        .route("/renew", post(renew))
        .route("/cancel", post(cancel))
        .route("/subscription", post(change_subscription))
        .route("/script", post(script))
        .route("/switches", get(show_switches).post(set_switches))
        .route("/faults", get(list_faults).post(add_fault).delete(clear_faults))
        .route("/release", post(release))
        .route("/tokens", axum::routing::delete(expire_tokens))
        .route("/requests", get(list_requests).delete(clear_requests))
        .route("/renewals", get(list_renewals))
        .route("/keys", get(keys))
        .fallback(async || Refusal(StatusCode::NOT_FOUND, "no such route; GET / lists them".into()))
        .with_state(controls);
    axum::serve(listener, router).await
}

/// What can be asked for, with an example each.
fn routes() -> Value {
    let named = |more: Value| {
        let mut body = json!({"partner_order_number": "PARTNER689"});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        body
    };
    let steps = json!([{"code": 1010}, {"code": 1060, "lasts": "6h"}, {"code": 1051, "level": "item"}]);
    let fault = json!({"status": {"status": 503, "body": "html", "retry_after": "5"}});
    let routes = [
        ("GET", "/clock", "the sandbox's time and speed", Value::Null),
        ("POST", "/clock", "advance or set it (now); its speed is in seconds a second", json!({"advance": "4h"})),
        ("GET", "/orders", "every subscription as it stands", Value::Null),
        ("POST", "/orders", "create one; only the number is needed", json!(NewOrder::new("PARTNER689"))),
        (
            "POST",
            "/renew",
            "renew now; the whole order without an id",
            named(json!({"subscription_id": 5_618_577, "times": 2})),
        ),
        ("POST", "/cancel", "cancel; the whole order without an id", named(Value::Null)),
        ("POST", "/subscription", "change what the status shows", named(json!({"generation": 1, "auto_renew": false}))),
        (
            "POST",
            "/script",
            "what this very number answers",
            json!({"number": "PARTNER689-1", "script": {"steps": steps}}),
        ),
        ("GET", "/switches", "every switch as it stands", Value::Null),
        ("POST", "/switches", "change some", json!({"generation": "string", "rate_limit": 0})),
        ("GET", "/faults", "the rules in force", Value::Null),
        ("POST", "/faults", "add a rule", json!({"endpoint": "status", "times": 3, "fault": fault})),
        ("DELETE", "/faults", "remove all rules", Value::Null),
        ("POST", "/release", "give the answers that are held", Value::Null),
        ("DELETE", "/tokens", "make every token unknown", Value::Null),
        ("GET", "/requests?since=0&limit=100", "what was asked, from this number on", Value::Null),
        ("DELETE", "/requests", "forget what was asked; the count goes on", Value::Null),
        ("GET", "/renewals", "everything ever renewed", Value::Null),
        ("GET", "/keys?number=PARTNER689-1&subscription_id=5618577", "the serials it gets", Value::Null),
    ];
    let routes = routes
        .map(|(method, path, what, example)| json!({"method": method, "path": path, "what": what, "example": example}));
    json!({"routes": routes, "faults": faults()})
}

/// Every fault once, as `POST /faults` takes it under `fault`.
fn faults() -> Value {
    json!([
        {"delay": {"by": "500ms"}}, "hold", "cut_before", "cut_mid_body",
        {"status": {"status": 502, "body": "empty"}}, {"body": {"body": "anything"}},
        "truncated_json", "empty_object", "html", "empty_body", "wrong_types",
        {"huge_body": {"bytes": 1_073_741_824}}, {"gzip_bomb": {"bytes": 1_073_741_824}},
        {"trickle": {"every": "1s"}}, "stall", {"deep_json": {"depth": 10_000}}, "duplicate_keys", "byte_order_mark",
        {"redirect": {"location": "/elsewhere"}},
    ])
}

/// A refusal, its reason under `error`.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match error {
            Error::NumberMissing | Error::UnknownTerritory(_) | Error::TooMany { .. } => StatusCode::BAD_REQUEST,
            Error::OrderExists(_) => StatusCode::CONFLICT,
            Error::UnknownOrder(_) | Error::UnknownSubscription { .. } => StatusCode::NOT_FOUND,
        };
        Self(status, error.to_string())
    }
}

type Answer = Result<Json<Value>, Refusal>;

/// Whatever the content type says; the reason names the field that is wrong.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal(StatusCode::BAD_REQUEST, error.to_string()))
}

fn done() -> Answer {
    Ok(Json(json!({"ok": true})))
}

async fn show_clock(State(controls): State<Controls>) -> Answer {
    Ok(Json(json!({"now": controls.now(), "speed": controls.speed()})))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ClockChange {
    #[serde(with = "optional_duration")]
    advance: Option<Duration>,
    #[serde(deserialize_with = "optional_timestamp")]
    now: Option<Timestamp>,
    speed: Option<f64>,
}

async fn set_clock(State(controls): State<Controls>, body: Bytes) -> Answer {
    let change: ClockChange = read(&body)?;
    if change.speed.is_some_and(|speed| !(0.0..=1e9).contains(&speed)) {
        return Err(Refusal(StatusCode::BAD_REQUEST, "speed must lie between 0 and 1e9".into()));
    }
    if let Some(now) = change.now {
        controls.set_now(now);
    }
    if let Some(by) = change.advance {
        controls.advance(by);
    }
    if let Some(speed) = change.speed {
        controls.set_speed(speed);
    }
    show_clock(State(controls)).await
}

async fn list_orders(State(controls): State<Controls>) -> Answer {
    Ok(Json(json!({"subscriptions": controls.subscriptions()})))
}

async fn create_order(State(controls): State<Controls>, body: Bytes) -> Result<(StatusCode, Json<Value>), Refusal> {
    let answer = controls.create_order(read(&body)?)?;
    Ok((StatusCode::CREATED, Json(json!(answer))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Renew {
    partner_order_number: String,
    subscription_id: Option<i64>,
    #[serde(default = "once")]
    times: u32,
}

fn once() -> u32 {
    1
}

async fn renew(State(controls): State<Controls>, body: Bytes) -> Answer {
    let renew: Renew = read(&body)?;
    controls.renew_times(&renew.partner_order_number, renew.subscription_id, renew.times)?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel {
    partner_order_number: String,
    subscription_id: Option<i64>,
}

async fn cancel(State(controls): State<Controls>, body: Bytes) -> Answer {
    let cancel: Cancel = read(&body)?;
    controls.cancel(&cancel.partner_order_number, cancel.subscription_id)?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubscriptionChange {
    partner_order_number: String,
    subscription_id: Option<i64>,
    generation: Option<i64>,
    technical_status: Option<String>,
    auto_renew: Option<bool>,
}

async fn change_subscription(State(controls): State<Controls>, body: Bytes) -> Answer {
    let change: SubscriptionChange = read(&body)?;
    let (number, id) = (change.partner_order_number.as_str(), change.subscription_id);
    if let Some(generation) = change.generation {
        controls.set_generation(number, id, generation)?;
    }
    if let Some(status) = &change.technical_status {
        controls.set_technical_status(number, id, Some(status))?;
    }
    if let Some(on) = change.auto_renew {
        controls.set_auto_renew(number, id, on)?;
    }
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptFor {
    number: String,
    script: Script,
}

async fn script(State(controls): State<Controls>, body: Bytes) -> Answer {
    let ScriptFor { number, script } = read(&body)?;
    controls.script(number, script);
    done()
}

async fn show_switches(State(controls): State<Controls>) -> Answer {
    Ok(Json(json!(controls.switches())))
}

async fn set_switches(State(controls): State<Controls>, body: Bytes) -> Answer {
    let changes: serde_json::Map<String, Value> = read(&body)?;
    let mut switches = json!(controls.switches());
    for (name, value) in changes {
        switches[name] = value;
    }
    let changed =
        serde_json::from_value(switches).map_err(|error| Refusal(StatusCode::BAD_REQUEST, error.to_string()))?;
    controls.switch(|switches| *switches = changed);
    show_switches(State(controls)).await
}

async fn list_faults(State(controls): State<Controls>) -> Answer {
    Ok(Json(json!({"faults": controls.faults()})))
}

async fn add_fault(State(controls): State<Controls>, body: Bytes) -> Answer {
    let fault: Fault = read(&body)?;
    controls.fault(fault);
    list_faults(State(controls)).await
}

async fn clear_faults(State(controls): State<Controls>) -> Answer {
    controls.clear_faults();
    done()
}

async fn release(State(controls): State<Controls>) -> Answer {
    controls.release();
    done()
}

async fn expire_tokens(State(controls): State<Controls>) -> Answer {
    controls.expire_tokens(true);
    done()
}

/// The query's parameters, each of which must be among `names`.
fn parameters<const N: usize>(query: Option<String>, names: [&str; N]) -> Result<[Option<String>; N], Refusal> {
    let mut values = [const { None }; N];
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let index = names.iter().position(|known| *known == name).ok_or_else(|| {
            Refusal(StatusCode::BAD_REQUEST, format!("unknown parameter {name:?}, expected one of {names:?}"))
        })?;
        values[index] = Some(percent_decode_str(value).decode_utf8_lossy().into_owned());
    }
    Ok(values)
}

fn number<T: std::str::FromStr>(name: &str, value: Option<String>) -> Result<Option<T>, Refusal> {
    let wrong = || Refusal(StatusCode::BAD_REQUEST, format!("parameter {name:?} is no number"));
    value.map(|text| text.parse().map_err(|_| wrong())).transpose()
}

async fn list_requests(State(controls): State<Controls>, RawQuery(query): RawQuery) -> Answer {
    let [since, limit] = parameters(query, ["since", "limit"])?;
    let (since, limit) = (number("since", since)?.unwrap_or(0), number("limit", limit)?.unwrap_or(100));
    let requests: Vec<_> = controls.requests().into_iter().filter(|request| request.seq >= since).take(limit).collect();
    Ok(Json(json!({"total": controls.request_count(), "requests": requests})))
}

async fn clear_requests(State(controls): State<Controls>) -> Answer {
    controls.clear_requests();
    done()
}

async fn list_renewals(State(controls): State<Controls>) -> Answer {
    Ok(Json(json!({"renewals": controls.renewals()})))
}

async fn keys(State(controls): State<Controls>, RawQuery(query): RawQuery) -> Answer {
    let [of, subscription_id] = parameters(query, ["number", "subscription_id"])?;
    let id = number("subscription_id", subscription_id)?.unwrap_or(0);
    Ok(Json(json!({"keys": controls.expected_keys(&of.unwrap_or_default(), id)})))
}
