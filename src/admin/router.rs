//! Which path is whose, and what holds for all of them: how long a request may take, what is no path, who may use `/v1`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::FutureExt;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Problem;
use super::{Site, gate, health, messages, metrics, openapi, queue, status, subscriptions, tracking};
use crate::text::visible;

/// A whole request, its body included. A claim may wait for messages besides.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Every path with its handler, and its part of the OpenAPI document.
fn paths() -> openapi::Paths {
    let open = OpenApiRouter::new()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics));
    let guarded = OpenApiRouter::new()
        .routes(routes!(status::status))
        .routes(routes!(subscriptions::list, tracking::track))
        .routes(routes!(subscriptions::show, subscriptions::untrack))
        .routes(routes!(subscriptions::pause))
        .routes(routes!(subscriptions::resume))
        .routes(routes!(subscriptions::poll))
        .routes(routes!(messages::list))
        .routes(routes!(messages::show))
        .routes(routes!(messages::retry))
        .routes(routes!(queue::claim))
        .routes(routes!(queue::acknowledge));
    (open, guarded)
}

pub(super) fn router(site: Arc<Site>) -> Router {
    let (open, guarded) = paths();
    let (open, _) = open.split_for_parts();
    let (guarded, _) = guarded.split_for_parts();
    let document = Arc::new(openapi::document(paths()));
    open.route("/openapi.json", get(move || std::future::ready(Json(document.clone()))))
        .merge(guarded.route_layer(from_fn_with_state(site.clone(), gate::check)))
        .fallback(|uri: Uri| {
            std::future::ready(Problem::not_found(format!("there is nothing at {}", visible(uri.path()))))
        })
        .method_not_allowed_fallback(|method: Method| std::future::ready(not_allowed(&method)))
        .layer(from_fn(bounded))
        .with_state(site)
}

fn not_allowed(method: &Method) -> Problem {
    let detail = format!("{} is not done here; the header Allow says what is", visible(method.as_str()));
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

/// Every request ends in time and with an answer, whatever happens to it.
async fn bounded(request: Request, next: Next) -> Response {
    let may_wait = request.uri().path() == "/v1/queue:claim";
    let within = if may_wait { ANSWER_WITHIN + queue::LONGEST_WAIT } else { ANSWER_WITHIN };
    let path = request.uri().path().to_owned();
    let answering = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(within, answering).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!(path = %visible(&path), "admin endpoint: a request failed by a mistake of ours");
            Problem::internal().into_response()
        }
        Err(_) => {
            let detail = format!("not answered within {} s; try again later", within.as_secs());
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
        }
    }
}
