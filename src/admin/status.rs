//! `/v1/status`: what `renewald status --json` prints.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Site;
use crate::clock::Timestamp;
use crate::listen::problem::Problem;
use crate::view::Status;

/// How everything stands, and how much of the request budget is needed.
#[utoipa::path(
    get,
    path = "/v1/status",
    tag = "status",
    responses((status = 200, description = "As `renewald status --json`", body = Status))
)]
pub async fn status(State(site): State<Arc<Site>>) -> Result<Json<Status>, Problem> {
    Ok(Json(Status::read(&site.live().settings, &site.counting, Timestamp::now()).await?))
}
