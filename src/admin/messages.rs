//! `/v1/messages`: what is in the outbox, and sending again what a person has looked at.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Site;
use super::input::MessageId;
use crate::clock::Timestamp;
use crate::delivery::EVENTS;
use crate::listen::input::Query;
use crate::listen::problem::Problem;
use crate::store::QueueFilter;
use crate::view::{self, Dispatch, DispatchPage, Shown};

pub const STATES: [&str; 3] = ["pending", "delivered", "dead"];

/// What sending again came to.
#[derive(Serialize, ToSchema)]
pub struct Retried {
    /// So many of its dispatches are due now, with all their attempts before them; 0: all are delivered.
    due: usize,
}

/// Messages and where they are, one item for each message and sink, oldest first. Never bodies.
#[utoipa::path(
    get,
    path = "/v1/messages",
    tag = "messages",
    params(
        ("sink" = Option<String>, Query),
        ("state" = Option<String>, Query, description = "`pending`, `delivered` or `dead`", pattern = "^(pending|delivered|dead)$"),
        ("type" = Option<String>, Query, description = "Such as `renewal.ready`", pattern = "^(renewal\\.(ready|failed|payment_failing)|subscription\\.(status_changed|renewal_due|offer|ended|discovered|not_renewed))$"),
        ("limit" = Option<i32>, Query, minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before", pattern = "^[0-9]{1,18}$"),
    ),
    responses((status = 200, description = "As `renewald queue list --json`", body = DispatchPage))
)]
pub async fn list(State(site): State<Arc<Site>>, mut query: Query) -> Result<Json<DispatchPage>, Problem> {
    let limit = query.limit()?;
    let filter = QueueFilter {
        sink: query.text("sink"),
        state: one_of(&mut query, "state", &STATES)?,
        event: one_of(&mut query, "type", &EVENTS)?,
        after: query.cursor()?,
        limit,
        ..QueueFilter::default()
    };
    query.finish()?;
    Ok(Json(DispatchPage::read(filter, &site.store).await?))
}

/// All of one message. Its body, and the licence keys in it, only with `reveal`.
#[utoipa::path(
    get,
    path = "/v1/messages/{id}",
    tag = "messages",
    params(
        ("id" = String, Path, format = "uuid"),
        ("reveal" = Option<bool>, Query, description = "Show the body too, where `admin.reveal` permits it"),
    ),
    responses(
        (status = 200, description = "As `renewald queue show --json`", body = Shown),
        (status = 404, description = "There is no such message", content_type = "application/problem+json", body = Problem),
    )
)]
pub async fn show(
    State(site): State<Arc<Site>>,
    MessageId(id): MessageId,
    mut query: Query,
) -> Result<Json<Shown>, Problem> {
    let reveal = query.flag("reveal")?;
    query.finish()?;
    if reveal {
        site.admit_to_bodies()?;
    }
    let message = site.store.message(id).await?.ok_or_else(|| no_such_message(id))?;
    let filter = QueueFilter { message: Some(id), limit: usize::MAX, ..QueueFilter::default() };
    let dispatches = site.store.dispatches(filter).await?.into_iter().map(Dispatch::from).collect();
    let body = match reveal {
        true => Some(site.store.message_body(id).await?.map(view::event).transpose().map_err(|_| Problem::internal())?),
        false => None,
    };
    Ok(Json(Shown { message: message.into(), dispatches, body }))
}

/// Sends a message again wherever it is dead or waiting for its next attempt.
#[utoipa::path(
    post,
    path = "/v1/messages/{id}/retry",
    tag = "messages",
    params(
        ("id" = String, Path, format = "uuid"),
        ("sink" = Option<String>, Query, description = "Only to this sink"),
    ),
    responses(
        (status = 200, description = "It is due", body = Retried),
        (status = 404, description = "There is no such message, or not for this sink", content_type = "application/problem+json", body = Problem),
        (status = 409, description = "Its payload is wiped", content_type = "application/problem+json", body = Problem),
    )
)]
pub async fn retry(
    State(site): State<Arc<Site>>,
    MessageId(id): MessageId,
    mut query: Query,
) -> Result<Json<Retried>, Problem> {
    let sink = query.text("sink");
    query.finish()?;
    let message = site.store.message(id).await?.ok_or_else(|| no_such_message(id))?;
    if message.wiped_at.is_some() {
        let detail = "its payload is wiped, there is nothing left to send; `renewald refetch` asks for it again";
        return Err(Problem::conflict(detail));
    }
    let filter = QueueFilter { message: Some(id), sink: sink.clone(), limit: 1, ..QueueFilter::default() };
    if site.store.dispatches(filter).await?.is_empty() {
        return Err(Problem::not_found("this message was never meant for that sink"));
    }
    let due = site.store.retry_message(id, sink, Timestamp::now()).await?;
    site.ring_sinks();
    Ok(Json(Retried { due }))
}

impl Site {
    pub(super) fn admit_to_bodies(&self) -> Result<(), Problem> {
        let live = self.live();
        if !live.settings.admin.reveal {
            return Err(Problem::forbidden("bodies hold licence keys; admin.reveal = true lets the API show them"));
        }
        live.gate.admit_to_keys()
    }
}

fn one_of(query: &mut Query, name: &str, known: &[&str]) -> Result<Option<String>, Problem> {
    match query.text(name) {
        Some(given) if !known.contains(&given.as_str()) => {
            Err(Problem::bad_request(format!("{name} must be one of {}", known.join(", "))))
        }
        given => Ok(given),
    }
}

pub fn no_such_message(id: uuid::Uuid) -> Problem {
    Problem::not_found(format!("there is no message {id}"))
}
