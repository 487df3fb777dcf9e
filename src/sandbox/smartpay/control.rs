//! The control calls of this provider alone.

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::books::{Decline, Error, NewSubscriptions, Status};
use super::calls::Endpoint;
use super::platform::Smartpay;
use crate::sandbox::control::{Answer, Controlled, Refusal, Shown, done, number, parameters, read};
use crate::sandbox::notifications;

type Controls = crate::sandbox::controls::Controls<Smartpay>;

/// One that the examples are about.
const ID: &str = "Subscription-0d6d2c1e-8a4b-4f5e-9c37-1b2a3c4d5e6f";

impl Controlled for Smartpay {
    fn calls() -> (Router<Controls>, Vec<Shown>) {
        let router = Router::new()
            .route("/subscriptions", get(list_subscriptions).post(create))
            .route("/bill", post(bill))
            .route("/bill-and-fail", post(bill_in_vain))
            .route(
                "/capture",
                post(async |State(controls): State<Controls>, body| of(&body, |id| controls.capture(id))),
            )
            .route("/refuse", post(refuse))
            .route(
                "/take-back",
                post(async |State(controls): State<Controls>, body| of(&body, |id| controls.take_back(id))),
            )
            .route("/status", post(set_status))
            .route("/show", post(show_status))
            .route("/delete", post(async |State(controls): State<Controls>, body| of(&body, |id| controls.delete(id))))
            .route("/forget", post(async |State(controls): State<Controls>, body| of(&body, |id| controls.forget(id))))
            .route("/charges", get(list_charges))
            .merge(notifications::router());
        (router, shown())
    }

    fn examples() -> (Endpoint, Value) {
        (Endpoint::BillingCycles, json!({"cyrillic_paid_at": true, "rate_limit": 0}))
    }

    fn beside(controls: Controls) -> impl Future<Output = ()> {
        notifications::run(controls)
    }
}

fn shown() -> Vec<Shown> {
    let of = |more: Value| {
        let mut body = json!({ "subscription_id": ID });
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        body
    };
    let new = NewSubscriptions {
        ids: super::books::uuid_in(ID).into_iter().collect(),
        external_merchant_id: Some("SHOP-2024-000123".into()),
        merchant_metadata: Some(json!({"shop": 7})),
        ..NewSubscriptions::default()
    };
    let mut shown = vec![
        ("POST", "/subscriptions", "make some; all can be left out", json!(new)),
        ("GET", "/subscriptions?limit=100", "every subscription as it stands", Value::Null),
        ("POST", "/bill", "charge now, with success; all of them without an id", of(json!({"times": 2}))),
        ("POST", "/bill-and-fail", "charge now, without: failed or error", of(json!({"decline": "failed"}))),
        ("POST", "/capture", "a retry of the oldest unpaid billing cycle succeeds", of(Value::Null)),
        ("POST", "/refuse", "refuse the charges to come; for ever without times", of(json!({"times": 3}))),
        ("POST", "/status", "paused, active, canceled, expired", of(json!({"status": "paused"}))),
        ("POST", "/show", "show another status; its own without a word", of(json!({"word": "frozen"}))),
        ("POST", "/take-back", "what was captured last is not any more", of(Value::Null)),
        ("POST", "/delete", "mark it as deleted", of(Value::Null)),
        ("POST", "/forget", "answer 404 for it", of(Value::Null)),
        ("GET", "/charges", "everything ever captured", Value::Null),
    ];
    shown.extend(notifications::shown(json!({"sourceSystem": "subscription-module", "objectType": "subscription", "eventType": "updated", "objectId": ID})));
    shown
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match error {
            Error::TooMany { .. } => StatusCode::BAD_REQUEST,
            Error::SubscriptionExists(_) | Error::NotNow { .. } | Error::NothingUnpaid => StatusCode::CONFLICT,
            Error::UnknownSubscription(_) => StatusCode::NOT_FOUND,
        };
        Self(status, error.to_string())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Of {
    subscription_id: String,
}

fn of(body: &Bytes, act: impl FnOnce(&str) -> Result<(), Error>) -> Answer {
    act(&read::<Of>(body)?.subscription_id)?;
    done()
}

async fn create(State(controls): State<Controls>, body: Bytes) -> Result<(StatusCode, Json<Value>), Refusal> {
    let ids = controls.create(read(&body)?)?;
    Ok((StatusCode::CREATED, Json(json!({ "subscription_ids": ids }))))
}

async fn list_subscriptions(State(controls): State<Controls>, RawQuery(query): RawQuery) -> Answer {
    let [limit] = parameters(query, ["limit"])?;
    let mut subscriptions = controls.subscriptions();
    subscriptions.truncate(number("limit", limit)?.unwrap_or(100));
    Ok(Json(json!({ "subscriptions": subscriptions })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bill {
    subscription_id: Option<String>,
    #[serde(default = "once")]
    times: u32,
}

fn once() -> u32 {
    1
}

async fn bill(State(controls): State<Controls>, body: Bytes) -> Answer {
    let bill: Bill = read(&body)?;
    match bill.subscription_id {
        Some(id) => controls.bill(&id, bill.times)?,
        None => (0..bill.times).for_each(|_| controls.bill_all()),
    }
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InVain {
    subscription_id: String,
    decline: Decline,
}

async fn bill_in_vain(State(controls): State<Controls>, body: Bytes) -> Answer {
    let InVain { subscription_id, decline } = read(&body)?;
    controls.bill_in_vain(&subscription_id, decline)?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refuse {
    subscription_id: String,
    times: Option<u32>,
}

async fn refuse(State(controls): State<Controls>, body: Bytes) -> Answer {
    let Refuse { subscription_id, times } = read(&body)?;
    controls.refuse(&subscription_id, times)?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stand {
    subscription_id: String,
    status: Status,
}

async fn set_status(State(controls): State<Controls>, body: Bytes) -> Answer {
    let Stand { subscription_id, status } = read(&body)?;
    controls.set_status(&subscription_id, status)?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Show {
    subscription_id: String,
    word: Option<String>,
}

async fn show_status(State(controls): State<Controls>, body: Bytes) -> Answer {
    let Show { subscription_id, word } = read(&body)?;
    controls.show_status(&subscription_id, word.as_deref())?;
    done()
}

async fn list_charges(State(controls): State<Controls>) -> Answer {
    Ok(Json(json!({ "charges": controls.charges() })))
}
