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

use super::call::Fake;
use super::clock::{optional_duration, optional_timestamp};
use super::controls::Controls;
use crate::clock::Timestamp;

/// What a kind adds to the control calls of all kinds.
pub trait Controlled: Fake {
    /// Its own calls, and how they are shown.
    fn calls() -> (Router<Controls<Self>>, Vec<Shown>);
    /// One of its endpoints and a change of its switches, to be shown in examples.
    fn examples() -> (Self::Endpoint, Value);
    /// What it does while it runs, unasked.
    fn beside(_: Controls<Self>) -> impl Future<Output = ()> {
        std::future::pending()
    }
}

/// A control call as `GET /` shows it: method, path, what it does, a body.
pub type Shown = (&'static str, &'static str, &'static str, Value);

/// Serves the control port until the runtime ends.
pub(super) async fn serve<F: Controlled>(listener: TcpListener, controls: Controls<F>) -> std::io::Result<()> {
    let (own, shown) = F::calls();
    let routes = routes::<F>(shown);
    let router = Router::new()
        .route("/", get(async || Json(routes)))
        .route("/clock", get(show_clock::<F>).post(set_clock::<F>))
        .route("/switches", get(show_switches::<F>).post(set_switches::<F>))
        .route("/faults", get(list_faults::<F>).post(add_fault::<F>).delete(clear_faults::<F>))
        .route("/release", post(release::<F>))
        .route("/requests", get(list_requests::<F>).delete(clear_requests::<F>))
        .merge(own)
        .fallback(async || Refusal(StatusCode::NOT_FOUND, "no such route; GET / lists them".into()))
        .with_state(controls);
    axum::serve(listener, router).await
}

/// What can be asked for, with an example each.
fn routes<F: Controlled>(own: Vec<Shown>) -> Value {
    let (endpoint, switches) = F::examples();
    let fault = json!({"status": {"status": 503, "body": "html", "retry_after": "5"}});
    let common = [
        ("GET", "/clock", "the sandbox's time and speed", Value::Null),
        ("POST", "/clock", "advance or set it (now); its speed is in seconds a second", json!({"advance": "4h"})),
        ("GET", "/switches", "every switch as it stands", Value::Null),
        ("POST", "/switches", "change some", switches),
        ("GET", "/faults", "the rules in force", Value::Null),
        ("POST", "/faults", "add a rule", json!({"endpoint": endpoint, "times": 3, "fault": fault})),
        ("DELETE", "/faults", "remove all rules", Value::Null),
        ("POST", "/release", "give the answers that are held", Value::Null),
        ("GET", "/requests?since=0&limit=100", "what was asked, from this number on", Value::Null),
        ("DELETE", "/requests", "forget what was asked; the count goes on", Value::Null),
    ];
    let shown = common.into_iter().chain(own);
    let routes: Vec<Value> = shown
        .map(|(method, path, what, example)| json!({"method": method, "path": path, "what": what, "example": example}))
        .collect();
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
        {"redirect": {"location": "/elsewhere"}}, {"ignore_query": {"names": ["updatedSince"]}},
    ])
}

/// A refusal, its reason under `error`.
pub(super) struct Refusal(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

pub(super) type Answer = Result<Json<Value>, Refusal>;

/// Whatever the content type says; the reason names the field that is wrong.
pub(super) fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal(StatusCode::BAD_REQUEST, error.to_string()))
}

pub(super) fn done() -> Answer {
    Ok(Json(json!({"ok": true})))
}

async fn show_clock<F: Fake>(State(controls): State<Controls<F>>) -> Answer {
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

async fn set_clock<F: Fake>(State(controls): State<Controls<F>>, body: Bytes) -> Answer {
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

async fn show_switches<F: Fake>(State(controls): State<Controls<F>>) -> Answer {
    Ok(Json(json!(controls.switches())))
}

async fn set_switches<F: Fake>(State(controls): State<Controls<F>>, body: Bytes) -> Answer {
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

async fn list_faults<F: Fake>(State(controls): State<Controls<F>>) -> Answer {
    Ok(Json(json!({"faults": controls.faults()})))
}

async fn add_fault<F: Fake>(State(controls): State<Controls<F>>, body: Bytes) -> Answer {
    controls.fault(read(&body)?);
    list_faults(State(controls)).await
}

async fn clear_faults<F: Fake>(State(controls): State<Controls<F>>) -> Answer {
    controls.clear_faults();
    done()
}

async fn release<F: Fake>(State(controls): State<Controls<F>>) -> Answer {
    controls.release();
    done()
}

/// The query's parameters, each of which must be among `names`.
pub(super) fn parameters<const N: usize>(
    query: Option<String>,
    names: [&str; N],
) -> Result<[Option<String>; N], Refusal> {
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

pub(super) fn number<T: std::str::FromStr>(name: &str, value: Option<String>) -> Result<Option<T>, Refusal> {
    let wrong = || Refusal(StatusCode::BAD_REQUEST, format!("parameter {name:?} is no number"));
    value.map(|text| text.parse().map_err(|_| wrong())).transpose()
}

async fn list_requests<F: Fake>(State(controls): State<Controls<F>>, RawQuery(query): RawQuery) -> Answer {
    let [since, limit] = parameters(query, ["since", "limit"])?;
    let (since, limit) = (number("since", since)?.unwrap_or(0), number("limit", limit)?.unwrap_or(100));
    let requests: Vec<_> = controls.requests().into_iter().filter(|request| request.seq >= since).take(limit).collect();
    Ok(Json(json!({"total": controls.request_count(), "requests": requests})))
}

async fn clear_requests<F: Fake>(State(controls): State<Controls<F>>) -> Answer {
    controls.clear_requests();
    done()
}
