//! The control calls of this provider alone: its subscriptions and their orders.

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Of;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::books::{Error, NewSubscriptions, State};
use super::calls::Endpoint;
use super::platform::DigitalRiver;
use crate::clock::Timestamp;
use crate::sandbox::clock::optional_timestamp;
use crate::sandbox::control::{Answer, Controlled, Refusal, Shown, done, read};
use crate::sandbox::notifications;

type Controls = crate::sandbox::controls::Controls<DigitalRiver>;

impl Controlled for DigitalRiver {
    fn calls() -> (Router<Controls>, Vec<Shown>) {
        let router = Router::new()
            .route("/subscriptions", get(list).post(create))
            .route("/subscription", post(change))
            .route("/activate", post(activate))
            .route("/open-invoice", post(open_invoice))
            .route("/fail-attempt", post(fail_attempt))
            .route("/pay", post(pay))
            .route("/extend", post(extend))
            .route("/order", post(add_order))
            .route("/order-state", post(order_state))
            .route("/invalidate-source", post(invalidate_source))
            .route("/end", post(end))
            .route("/delete", post(delete))
            .route("/renewals", get(renewals))
            .merge(notifications::router());
        (router, shown())
    }

    fn examples() -> (Endpoint, Value) {
        (Endpoint::Orders, json!({"list_order": "oldest_first", "times": "offset", "rate_limit": 0}))
    }

    fn beside(controls: Controls) -> impl Future<Output = ()> {
        notifications::run(controls)
    }
}

fn shown() -> Vec<Shown> {
    let of = |name: &str, value: Value| {
        let mut body = json!({"subscription_id": "DR_1"});
        if !name.is_empty() {
            body[name] = value;
        }
        body
    };
    let only = || of("", Value::Null);
    let new = NewSubscriptions { ids: vec!["DR_1".into()], ..NewSubscriptions::default() };
    let mut shown = vec![
        ("POST", "/subscriptions", "make some; all can be left out", json!(new)),
        ("GET", "/subscriptions", "every subscription as it stands", Value::Null),
        ("POST", "/activate", "activate a draft", only()),
        ("POST", "/open-invoice", "bill the next term: not paid at once", only()),
        ("POST", "/fail-attempt", "an attempt fails", of("code", json!("insufficient_funds"))),
        ("POST", "/pay", "the next term is paid for", only()),
        ("POST", "/extend", "the same without an order", only()),
        (
            "POST",
            "/order",
            "the order of the last term without one appears",
            of("made_at", json!("2026-11-21T20:00:00Z")),
        ),
        ("POST", "/order-state", "an order's state", json!({"order_id": "237569660336", "state": "blocked"})),
        ("POST", "/invalidate-source", "its means of payment is not valid", only()),
        ("POST", "/end", "failed, lapsed, cancelled or ended", of("state", json!("cancelled"))),
        ("POST", "/delete", "delete a draft", only()),
        ("POST", "/subscription", "change what it shows", of("state", json!("paused"))),
        ("GET", "/renewals", "everything ever renewed", Value::Null),
    ];
    shown.extend(notifications::shown(json!({"type": "subscription.updated", "data": {"object": {"id": "DR_1"}}})));
    shown
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match error {
            Error::TooMany { .. } => StatusCode::BAD_REQUEST,
            Error::SubscriptionExists(_) | Error::NotNow { .. } => StatusCode::CONFLICT,
            Error::UnknownSubscription(_) | Error::UnknownOrder(_) => StatusCode::NOT_FOUND,
        };
        Self(status, error.to_string())
    }
}

async fn create(Of(controls): Of<Controls>, body: Bytes) -> Result<(StatusCode, Json<Value>), Refusal> {
    let ids = controls.create(read(&body)?)?;
    Ok((StatusCode::CREATED, Json(json!({ "subscription_ids": ids }))))
}

async fn list(Of(controls): Of<Controls>) -> Answer {
    Ok(Json(json!({ "subscriptions": controls.subscriptions() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    subscription_id: String,
    state: Option<String>,
    #[serde(default, deserialize_with = "optional_timestamp")]
    ends_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "optional_timestamp")]
    next_invoice_at: Option<Timestamp>,
}

async fn change(Of(controls): Of<Controls>, body: Bytes) -> Answer {
    let change: Change = read(&body)?;
    let id = change.subscription_id.as_str();
    controls.show_state(id, change.state.as_deref())?;
    if let Some(end) = change.ends_at {
        controls.set_end(id, end)?;
    }
    if let Some(next) = change.next_invoice_at {
        controls.set_next_invoice(id, next)?;
    }
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Only {
    subscription_id: String,
}

async fn activate(Of(controls): Of<Controls>, body: Bytes) -> Answer {
    controls.activate(&read::<Only>(&body)?.subscription_id)?;
    done()
}

async fn open_invoice(Of(controls): Of<Controls>, body: Bytes) -> Answer {
    controls.open_invoice(&read::<Only>(&body)?.subscription_id)?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attempt {
    subscription_id: String,
    code: String,
}

async fn fail_attempt(Of(controls): Of<Controls>, body: Bytes) -> Answer {
    let attempt: Attempt = read(&body)?;
    controls.fail_attempt(&attempt.subscription_id, &attempt.code)?;
    done()
}

async fn pay(Of(controls): Of<Controls>, body: Bytes) -> Answer {
    Ok(Json(json!({"order_id": controls.pay(&read::<Only>(&body)?.subscription_id)?})))
}

async fn extend(Of(controls): Of<Controls>, body: Bytes) -> Answer {
    controls.extend(&read::<Only>(&body)?.subscription_id)?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Made {
    subscription_id: String,
    #[serde(default, deserialize_with = "optional_timestamp")]
    made_at: Option<Timestamp>,
}

async fn add_order(Of(controls): Of<Controls>, body: Bytes) -> Answer {
    let Made { subscription_id, made_at } = read(&body)?;
    let made_at = made_at.unwrap_or_else(|| controls.now());
    Ok(Json(json!({"order_id": controls.add_order(&subscription_id, made_at)?})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderState {
    order_id: String,
    state: String,
}

async fn order_state(Of(controls): Of<Controls>, body: Bytes) -> Answer {
    let OrderState { order_id, state } = read(&body)?;
    controls.set_order_state(&order_id, &state)?;
    done()
}

async fn invalidate_source(Of(controls): Of<Controls>, body: Bytes) -> Answer {
    controls.invalidate_source(&read::<Only>(&body)?.subscription_id)?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    subscription_id: String,
    state: State,
}

async fn end(Of(controls): Of<Controls>, body: Bytes) -> Answer {
    let End { subscription_id, state } = read(&body)?;
    controls.end(&subscription_id, state)?;
    done()
}

async fn delete(Of(controls): Of<Controls>, body: Bytes) -> Answer {
    controls.delete(&read::<Only>(&body)?.subscription_id)?;
    done()
}

async fn renewals(Of(controls): Of<Controls>) -> Answer {
    Ok(Json(json!({ "renewals": controls.renewals() })))
}
