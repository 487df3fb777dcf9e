//! The control calls of all kinds that notify: who is told, and what became of each.

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{Notifying, Receiver};
use crate::sandbox::control::{Answer, Shown, done, number, parameters, read};
use crate::sandbox::controls::Controls;

pub(in crate::sandbox) fn router<F: Notifying>() -> Router<Controls<F>> {
    Router::new()
        .route("/receiver", post(set_receiver::<F>).delete(no_receiver::<F>))
        .route("/notifications", get(list::<F>).post(notify::<F>))
}

/// `example`: what may be sent as it is.
pub(in crate::sandbox) fn shown(example: Value) -> [Shown; 4] {
    let receiver = json!({"url": "http://127.0.0.1:9/hooks/sandbox", "authorization": "Bearer secret", "attempts": 10, "every": "500ms"});
    [
        ("POST", "/receiver", "send notifications there, until they are taken", receiver),
        ("DELETE", "/receiver", "send none", Value::Null),
        ("POST", "/notifications", "send this", example),
        ("GET", "/notifications?limit=100", "the last ones, and what became of each", Value::Null),
    ]
}

async fn set_receiver<F: Notifying>(State(controls): State<Controls<F>>, body: Bytes) -> Answer {
    controls.set_receiver(Some(read::<Receiver>(&body)?));
    done()
}

async fn no_receiver<F: Notifying>(State(controls): State<Controls<F>>) -> Answer {
    controls.set_receiver(None);
    done()
}

async fn notify<F: Notifying>(State(controls): State<Controls<F>>, body: Bytes) -> Answer {
    controls.notify(read(&body)?);
    done()
}

async fn list<F: Notifying>(State(controls): State<Controls<F>>, RawQuery(query): RawQuery) -> Answer {
    let [limit] = parameters(query, ["limit"])?;
    let mut sent = controls.notifications();
    let older = sent.len().saturating_sub(number("limit", limit)?.unwrap_or(100));
    Ok(Json(json!({ "notifications": sent.split_off(older) })))
}
