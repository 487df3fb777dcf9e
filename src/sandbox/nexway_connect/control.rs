//! The control calls of this provider alone: its orders, and what their numbers answer.

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::calls::Endpoint;
use super::orders::{Error, NewOrder};
use super::platform::NexwayConnect;
use super::script::Script;
use crate::sandbox::control::{Answer, Controlled, Refusal, Shown, done, number, parameters, read};

type Controls = crate::sandbox::controls::Controls<NexwayConnect>;

impl Controlled for NexwayConnect {
    fn calls() -> (Router<Controls>, Vec<Shown>) {
        let router = Router::new()
            .route("/orders", get(list_orders).post(create_order))
            .route("/renew", post(renew))
            .route("/cancel", post(cancel))
            .route("/subscription", post(change_subscription))
            .route("/script", post(script))
            .route("/tokens", delete(expire_tokens))
            .route("/renewals", get(list_renewals))
            .route("/keys", get(keys));
        (router, shown())
    }

    fn examples() -> (Endpoint, Value) {
        (Endpoint::Status, json!({"generation": "string", "rate_limit": 0}))
    }
}

fn shown() -> Vec<Shown> {
    let named = |more: Value| {
        let mut body = json!({"partner_order_number": "PARTNER689"});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        body
    };
    let steps = json!([{"code": 1010}, {"code": 1060, "lasts": "6h"}, {"code": 1051, "level": "item"}]);
    vec![
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
        ("DELETE", "/tokens", "make every token unknown", Value::Null),
        ("GET", "/renewals", "everything ever renewed", Value::Null),
        ("GET", "/keys?number=PARTNER689-1&subscription_id=5618577", "the serials it gets", Value::Null),
    ]
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

async fn expire_tokens(State(controls): State<Controls>) -> Answer {
    controls.expire_tokens(true);
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
