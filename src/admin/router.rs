//! Which path is whose, how long its requests may take, and who may use `/v1`.

use std::sync::Arc;
use std::time::Duration;

use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Json, Router};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Site, gate, health, messages, metrics, openapi, page, queue, status, subscriptions, tracking};
use crate::listen::frame::{ANSWER_WITHIN, framed};
use crate::shop::{self, Desk, Door};
use crate::vault;

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

pub(super) fn router(site: Arc<Site>, shop: Desk) -> Result<Router, vault::Error> {
    let (open, guarded) = paths();
    let (open, _) = open.split_for_parts();
    let (guarded, _) = guarded.split_for_parts();
    let document = Arc::new(openapi::document(paths()));
    let router = open
        .route("/openapi.json", get(move || std::future::ready(Json(document.clone()))))
        .merge(guarded.route_layer(from_fn_with_state(site.clone(), gate::check)))
        .merge(shop::router(shop, Door::Token))
        .merge(page::router(site.clone())?);
    Ok(framed(router, answer_within).with_state(site))
}

/// A claim may wait for messages besides, and a shop's call for the provider.
fn answer_within(path: &str) -> Duration {
    match path {
        "/v1/queue:claim" => ANSWER_WITHIN + queue::LONGEST_WAIT,
        path if path.starts_with("/v1/shop/") => shop::ANSWER_WITHIN,
        _ => ANSWER_WITHIN,
    }
}
