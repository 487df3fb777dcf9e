//! `POST /v1/subscriptions`: tracks one, as often as it is sent.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Site;
use crate::clock::Timestamp;
use crate::listen::input::{Body, Query};
use crate::listen::problem::Problem;
use crate::settings::Settings;
use crate::store::{Identity, Metadata, NewSubscription, SubscriptionRow, Tracked};
use crate::view::Item;

/// A subscription to be tracked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Track {
    /// May be left out where the settings have only one.
    provider: Option<String>,
    /// May be left out where the provider has only one.
    territory: Option<String>,
    /// The number the order was created with, without a renewal's -N. May be left out where the provider's kind has no such: it
    /// is the subscription id then.
    #[schema(min_length = 1, max_length = 255)]
    partner_order_number: Option<String>,
    /// The provider's id; a number is taken too.
    #[serde(deserialize_with = "text_or_number")]
    #[schema(min_length = 1, max_length = 255)]
    subscription_id: String,
    /// The last generation the customer has: 0 for the first purchase, N for the N-th renewal. Never guessed: give this or `adopt`.
    #[schema(minimum = -1)]
    generation: Option<i64>,
    /// Take the generation of the first poll as delivered.
    #[serde(default)]
    adopt: bool,
    /// End of the current term.
    #[schema(value_type = Option<Timestamp>)]
    expires_at: Option<String>,
    /// An object of your own, passed on with every message.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Box<RawValue>>,
    /// Change territory, expiry and metadata of one that is tracked already; never its generation.
    #[serde(default)]
    update: bool,
}

fn text_or_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Text(String),
        Number(i64),
    }
    Ok(match Id::deserialize(deserializer)? {
        Id::Text(text) => text,
        Id::Number(number) => number.to_string(),
    })
}

/// What tracking came to.
#[derive(Serialize, ToSchema)]
pub struct TrackedSubscription {
    /// `added`, `already_tracked` (left as it was), `updated` or `revived` (it had been untracked).
    outcome: &'static str,
    subscription: Item,
}

/// Tracks a subscription. Sent again with the same content it changes nothing.
#[utoipa::path(
    post,
    path = "/v1/subscriptions",
    tag = "subscriptions",
    request_body = Track,
    responses(
        (status = 201, description = "It is tracked from now on", body = TrackedSubscription, headers(("Location" = String, description = "Its path"))),
        (status = 200, description = "It was tracked already, or is again", body = TrackedSubscription),
        (status = 409, description = "It is tracked with other content, or is a renewal of a tracked one, or the original of a tracked renewal", content_type = "application/problem+json", body = Problem),
    )
)]
pub async fn track(
    State(site): State<Arc<Site>>,
    query: Query,
    Body(wanted): Body<Track>,
) -> Result<Response, Problem> {
    query.finish()?;
    let update = wanted.update;
    let new = wanted.check(&site.live().settings)?;
    let identity = Identity::of(&new);
    let outcomes = site.store.track(vec![new.clone()], update, Timestamp::now()).await?;
    let (status, outcome) = match outcomes.into_iter().next() {
        Some(Tracked::Clashes(clash)) => return Err(Problem::conflict(clash.to_string())),
        Some(Tracked::Added) => (StatusCode::CREATED, "added"),
        Some(Tracked::Updated) => (StatusCode::OK, "updated"),
        Some(Tracked::Revived) => (StatusCode::OK, "revived"),
        Some(Tracked::Already) | None => (StatusCode::OK, "already_tracked"),
    };
    let row = site.subscription(&identity).await?;
    if outcome == "already_tracked" {
        refuse_other_content(&new, &row)?;
    }
    site.ring_sweeps();
    Ok(answer(&identity, status, outcome, Item::new(&row, &site.live().rules, Timestamp::now())))
}

impl Track {
    pub(super) fn check(self, settings: &Settings) -> Result<NewSubscription, Problem> {
        let place = settings.place(self.provider.as_deref(), self.territory.as_deref());
        let (provider, territory) = place.map_err(Problem::bad_request)?;
        let convention = settings.convention(&provider);
        let subscription_id = convention.subscription_id(&self.subscription_id).map_err(Problem::bad_request)?;
        let number = convention.number_or(self.partner_order_number.as_deref(), &subscription_id);
        let partner_order_number = number.map_err(Problem::bad_request)?;
        let lowest = convention.lowest_generation;
        match (self.generation, self.adopt) {
            (Some(generation), false) if generation >= lowest => {}
            (None, true) => {}
            (Some(_), false) => {
                return Err(Problem::bad_request(format!("generation must be a whole number from {lowest}")));
            }
            _ => return Err(Problem::bad_request("give either generation, which is never guessed, or adopt: true")),
        }
        let metadata = |json: Box<RawValue>| Metadata::parse(json.get());
        let instant = |text: String| match text.parse::<jiff::Timestamp>() {
            Ok(instant) => Ok(Timestamp::from_unix(instant.as_second())),
            Err(_) => Err(Problem::bad_request("expires_at must be a time such as 2026-11-21T20:00:00Z")),
        };
        Ok(NewSubscription {
            provider,
            convention,
            territory,
            partner_order_number,
            subscription_id,
            generation: self.generation,
            known: Vec::new(),
            known_before: None,
            expires_at: self.expires_at.map(instant).transpose()?,
            metadata: self.metadata.map(metadata).transpose().map_err(Problem::bad_request)?,
            tracked_by: "track",
        })
    }
}

/// What is tracked already must be what was sent, as far as it was: otherwise the sender believes something that is not so. The
/// provider's expiry beats the given one, and the generation may have grown meanwhile: then the given expiry is of a term that is over.
fn refuse_other_content(new: &NewSubscription, row: &SubscriptionRow) -> Result<(), Problem> {
    let subscription = &row.subscription;
    let differs =
        |what: &str| Err(Problem::conflict(format!("it is tracked with another {what}; \"update\": true changes it")));
    if new.territory != subscription.territory {
        return differs("territory");
    }
    if new.metadata.as_ref().is_some_and(|metadata| *metadata != row.metadata) {
        return differs("metadata");
    }
    if new.other_number(subscription).is_some() {
        return differs("partner_order_number");
    }
    if new.other_expiry(subscription).is_some() {
        return differs("expires_at");
    }
    match (new.generation, subscription.generation) {
        (Some(given), Some(stored)) if given > stored => Err(Problem::conflict(format!(
            "it is tracked at generation {stored}, not {given}; a generation comes from the provider, or by `renewald refetch`"
        ))),
        _ => Ok(()),
    }
}

fn answer(identity: &Identity, status: StatusCode, outcome: &'static str, subscription: Item) -> Response {
    let body = Json(TrackedSubscription { outcome, subscription });
    if status != StatusCode::CREATED {
        return (status, body).into_response();
    }
    let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let (number, id) = (encoded(&identity.partner_order_number), encoded(&identity.subscription_id));
    let place = format!("/v1/subscriptions/{}/{number}/{id}", identity.provider);
    (status, [(LOCATION, place)], body).into_response()
}
