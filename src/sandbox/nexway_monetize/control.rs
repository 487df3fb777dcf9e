//! The control calls of this provider alone: its subscriptions, what their orders show, and who is notified.

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::books::Error;
use super::calls::Endpoint;
use super::carts::first_cart;
use super::platform::NexwayMonetize;
use super::product::Product;
use super::script::Script;
use super::subscriptions::NewSubscriptions;
use crate::clock::Timestamp;
use crate::sandbox::clock::optional_timestamp;
use crate::sandbox::control::{Answer, Controlled, Refusal, Shown, done, number, parameters, read};
use crate::sandbox::notifications;

type Controls = crate::sandbox::controls::Controls<NexwayMonetize>;

impl Controlled for NexwayMonetize {
    fn calls() -> (Router<Controls>, Vec<Shown>) {
        let router = Router::new()
            .route("/subscriptions", get(list_subscriptions).post(create))
            .route("/subscription", post(change_subscription))
            .route("/renew", post(renew))
            .route("/prebill", post(prebill))
            .route("/refuse", post(refuse_payment))
            .route("/offer", post(accept_offer))
            .route("/upgrade", post(upgrade))
            .route("/pay", post(pay))
            .route("/suspend", post(suspend))
            .route("/reactivate", post(reactivate))
            .route("/cancel", post(cancel))
            .route("/expire", post(expire))
            .route("/orders", get(list_orders))
            .route("/script", post(script))
            .route("/reorder", post(reorder))
            .route("/tokens", delete(expire_tokens))
            .route("/renewals", get(list_renewals))
            .route("/upgrades", get(list_upgrades))
            .route("/keys", get(keys))
            .merge(notifications::router());
        (router, shown())
    }

    fn examples() -> (Endpoint, Value) {
        (Endpoint::Subscriptions, json!({"dates": "iso", "rate_limit": 0}))
    }

    fn beside(controls: Controls) -> impl Future<Output = ()> {
        notifications::run(controls)
    }
}

/// One that the examples are about.
const ID: &str = "0d6d2c1e-8a4b-4f5e-9c37-1b2a3c4d5e6f";

fn shown() -> Vec<Shown> {
    let of = |more: Value| {
        let mut body = json!({ "subscription_id": ID });
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        body
    };
    let new = NewSubscriptions {
        ids: vec![ID.into()],
        external_ref_id: Some("PARTNER-2024-000123".into()),
        external_context: Some(json!({"shop": 7})),
        ..NewSubscriptions::default()
    };
    let steps = json!([{"status": "PAYMENT_PENDING"}, {"status": "FRAUD_PENDING", "lasts": "6h"}]);
    let data = json!([{"status": "PENDING", "ready": 0, "lasts": "1h"}]);
    let mut shown = vec![
        ("POST", "/subscriptions", "make some; all can be left out; `imported` for retail", json!(new)),
        ("GET", "/subscriptions?limit=100", "every subscription as it stands", Value::Null),
        ("POST", "/upgrade", "another product at once", of(json!({"product": Product::bigger()}))),
        ("POST", "/pay", "pay a cart, which makes an order of it", json!({"cart_id": first_cart()})),
        ("POST", "/offer", "accept an offer for the next renewal", of(json!({"discount": 0.2}))),
        ("POST", "/prebill", "make the next renewal's order now", of(Value::Null)),
        ("POST", "/refuse", "charge now, in vain; for ever without times", of(json!({"times": 3}))),
        ("POST", "/renew", "renew now; all of them without an id", of(json!({"times": 2}))),
        ("POST", "/subscription", "change what it shows", of(json!({"generation": 1, "replayable": false}))),
        (
            "POST",
            "/script",
            "what the order of a generation shows, or the one of this order_id",
            of(json!({"generation": 3, "script": {"steps": steps, "data": data}})),
        ),
        ("POST", "/reorder", "abort a generation's order, make a second", of(json!({"generation": 2}))),
        ("POST", "/suspend", "auto-renewal off", of(Value::Null)),
        ("POST", "/reactivate", "and on again", of(Value::Null)),
        ("POST", "/cancel", "end it by wish", of(Value::Null)),
        ("POST", "/expire", "end it for want of payment", of(Value::Null)),
        ("DELETE", "/tokens", "make every token unknown", Value::Null),
        ("GET", "/renewals", "everything ever renewed", Value::Null),
        ("GET", "/upgrades", "every upgrade", Value::Null),
        (
            "GET",
            "/orders?subscription_id=0d6d2c1e-8a4b-4f5e-9c37-1b2a3c4d5e6f",
            "a subscription's orders, oldest first",
            Value::Null,
        ),
        ("GET", "/keys?order_id=42WRNTVCTVJ", "the keys it gets", Value::Null),
    ];
    shown.extend(notifications::shown(json!({"subject": "order", "type": "renewCompleted", "objectId": "?"})));
    shown
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match error {
            Error::NoUuid(_) | Error::TooMany { .. } => StatusCode::BAD_REQUEST,
            Error::SubscriptionExists(_) | Error::NotNow { .. } | Error::NothingToPay(_) => StatusCode::CONFLICT,
            Error::UnknownSubscription(_) | Error::UnknownCart(_) | Error::UnknownOrder(_) | Error::NoOrder { .. } => {
                StatusCode::NOT_FOUND
            }
        };
        Self(status, error.to_string())
    }
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
struct SubscriptionChange {
    subscription_id: String,
    generation: Option<i64>,
    status: Option<String>,
    #[serde(default, deserialize_with = "optional_timestamp")]
    expires_at: Option<Timestamp>,
    replayable: Option<bool>,
    listed: Option<bool>,
}

async fn change_subscription(State(controls): State<Controls>, body: Bytes) -> Answer {
    let change: SubscriptionChange = read(&body)?;
    let id = change.subscription_id.as_str();
    if let Some(generation) = change.generation {
        controls.set_generation(id, generation)?;
    }
    if let Some(status) = &change.status {
        controls.set_status(id, Some(status))?;
    }
    if let Some(expires_at) = change.expires_at {
        controls.set_expiry(id, expires_at)?;
    }
    if let Some(replayable) = change.replayable {
        controls.set_replayable(id, replayable)?;
    }
    if let Some(is_listed) = change.listed {
        controls.set_listed(id, is_listed)?;
    }
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Renew {
    subscription_id: Option<String>,
    #[serde(default = "once")]
    times: u32,
}

fn once() -> u32 {
    1
}

async fn renew(State(controls): State<Controls>, body: Bytes) -> Answer {
    let renew: Renew = read(&body)?;
    match renew.subscription_id {
        Some(id) => controls.renew_times(&id, renew.times)?,
        None => (0..renew.times).for_each(|_| controls.renew_all()),
    }
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Of {
    subscription_id: String,
}

fn order(id: String) -> Answer {
    Ok(Json(json!({ "order_id": id })))
}

async fn prebill(State(controls): State<Controls>, body: Bytes) -> Answer {
    order(controls.prebill(&read::<Of>(&body)?.subscription_id)?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refuse {
    subscription_id: String,
    times: Option<u32>,
}

async fn refuse_payment(State(controls): State<Controls>, body: Bytes) -> Answer {
    let refuse: Refuse = read(&body)?;
    controls.refuse_payment(&refuse.subscription_id, refuse.times)?;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accept {
    subscription_id: String,
    discount: f64,
}

async fn accept_offer(State(controls): State<Controls>, body: Bytes) -> Answer {
    let accept: Accept = read(&body)?;
    order(controls.accept_offer(&accept.subscription_id, accept.discount)?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Upgrade {
    subscription_id: String,
    product: Product,
    #[serde(default)]
    script: Script,
}

async fn upgrade(State(controls): State<Controls>, body: Bytes) -> Answer {
    let Upgrade { subscription_id, product, script } = read(&body)?;
    order(controls.upgrade(&subscription_id, product, script)?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pay {
    cart_id: String,
}

async fn pay(State(controls): State<Controls>, body: Bytes) -> Answer {
    Ok(Json(json!({ "orders": controls.pay(&read::<Pay>(&body)?.cart_id)? })))
}

async fn suspend(State(controls): State<Controls>, body: Bytes) -> Answer {
    controls.suspend(&read::<Of>(&body)?.subscription_id)?;
    done()
}

async fn reactivate(State(controls): State<Controls>, body: Bytes) -> Answer {
    controls.reactivate(&read::<Of>(&body)?.subscription_id)?;
    done()
}

async fn cancel(State(controls): State<Controls>, body: Bytes) -> Answer {
    controls.cancel(&read::<Of>(&body)?.subscription_id)?;
    done()
}

async fn expire(State(controls): State<Controls>, body: Bytes) -> Answer {
    controls.expire(&read::<Of>(&body)?.subscription_id)?;
    done()
}

async fn list_orders(State(controls): State<Controls>, RawQuery(query): RawQuery) -> Answer {
    let [id] = parameters(query, ["subscription_id"])?;
    Ok(Json(json!({ "orders": controls.orders(&id.unwrap_or_default())? })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptFor {
    subscription_id: Option<String>,
    generation: Option<i64>,
    order_id: Option<String>,
    script: Script,
}

async fn script(State(controls): State<Controls>, body: Bytes) -> Answer {
    let ScriptFor { subscription_id, generation, order_id, script } = read(&body)?;
    match (subscription_id, generation, order_id) {
        (Some(id), Some(generation), None) => controls.script(&id, generation, script)?,
        (None, None, Some(order_id)) => controls.script_order(&order_id, script)?,
        _ => {
            let why = "either subscription_id and generation, or order_id";
            return Err(Refusal(StatusCode::BAD_REQUEST, why.into()));
        }
    }
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reorder {
    subscription_id: String,
    generation: i64,
}

async fn reorder(State(controls): State<Controls>, body: Bytes) -> Answer {
    let reorder: Reorder = read(&body)?;
    order(controls.reorder(&reorder.subscription_id, reorder.generation)?)
}

async fn expire_tokens(State(controls): State<Controls>) -> Answer {
    controls.expire_tokens(true);
    done()
}

async fn list_renewals(State(controls): State<Controls>) -> Answer {
    Ok(Json(json!({ "renewals": controls.renewals() })))
}

async fn list_upgrades(State(controls): State<Controls>) -> Answer {
    Ok(Json(json!({ "upgrades": controls.upgrades() })))
}

async fn keys(State(controls): State<Controls>, RawQuery(query): RawQuery) -> Answer {
    let [order_id] = parameters(query, ["order_id"])?;
    Ok(Json(json!({ "keys": controls.expected_keys(&order_id.unwrap_or_default()) })))
}
