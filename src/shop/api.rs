//! `POST /v1/shop/PROVIDER/CALL`: at the admin endpoint for whoever has the shop's token, at the socket beside the database for
//! whoever may open that.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Failure};
use super::order::Wanted;
use super::{Desk, Live};
use crate::call::{self, Call, Name};
use crate::listen::frame::framed;
use crate::listen::input::{Body, Query, parse};
use crate::listen::problem::Problem;
use crate::listen::secret::given;
use crate::store::Metadata;
use crate::text::visible;

/// A few requests to a provider that takes its time, and their turns.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(240);
/// The header in which the command line says who uses it. Believed at the socket alone.
pub const USER: &str = "renewald-user";
const MOST_USER_BYTES: usize = 64;

/// An order to be placed.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The provider's own JSON.
    #[schema(value_type = Object)]
    pub order: Box<RawValue>,
    /// An object of your own, passed on with every message about what the order brings.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<RawValue>>,
    /// Deliver what it brings to the sinks, as `renewal.ready` with `occasion` `purchase`.
    #[serde(default)]
    pub deliver: bool,
}

/// What each call takes.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "for the OpenAPI document")]
enum Bodies {
    Stock(call::Stock),
    CrossSell(call::CrossSell),
    Categories(call::Categories),
    Order(Request),
    OfOrder(call::OfOrder),
    ExtendDownload(call::ExtendDownload),
    CancelOrder(call::CancelOrder),
    OfSubscription(call::OfSubscription),
    Offer(call::Offer),
    OfferAccept(call::OfferAccept),
    Upgrade(call::Upgrade),
}

/// Who is let in.
#[derive(Clone, Copy)]
pub enum Door {
    /// With the shop's token.
    Token,
    /// Whoever may open the socket.
    Socket,
}

#[derive(Clone)]
pub struct Site {
    desk: Desk,
    door: Door,
}

/// The paths, and their part of the OpenAPI document.
pub fn paths() -> OpenApiRouter<Site> {
    OpenApiRouter::new().routes(routes!(make))
}

/// Ready to be served, by itself or as part of another one.
pub fn router<S: Clone + Send + Sync + 'static>(desk: Desk, door: Door) -> Router<S> {
    let (router, _) = paths().split_for_parts();
    let router = match door {
        Door::Token => router,
        Door::Socket => framed(router, |_| ANSWER_WITHIN),
    };
    router.with_state(Site { desk, door })
}

/// Makes one call at the provider, in the account's budget. Which calls there are depends on the provider's kind.
#[utoipa::path(
    post,
    path = "/v1/shop/{provider}/{call}",
    tag = "shop",
    params(
        ("provider" = String, Path, description = "As the settings name it"),
        ("call" = String, Path, description = "stock, cross-sell, categories, systems, order, order-data, download-info, extend-download, cancel, cancel-order, renew, suspend, reactivate, pause, resume, offer, offer-accept, upgrade or retail"),
        ("territory" = Option<String>, Query, description = "May be left out where what it is about is tracked, or the provider has only one"),
    ),
    request_body(content = Bodies, description = "What the call takes; retail takes the provider's own JSON, systems an empty object"),
    responses(
        (status = 200, description = "The provider has done it", body = Answer),
        (status = 404, description = "There is no such call, provider or order", content_type = "application/problem+json", body = Problem),
        (status = 409, description = "The provider refused it, or the number is another order's", content_type = "application/problem+json", body = Problem),
        (status = 422, description = "The request has to be mended: `fields` says where", content_type = "application/problem+json", body = Problem),
        (status = 502, description = "The provider does not accept our settings", content_type = "application/problem+json", body = Problem),
    )
)]
async fn make(
    State(site): State<Site>,
    Path((provider, name)): Path<(String, String)>,
    headers: HeaderMap,
    mut query: Query,
    Body(body): Body<Box<RawValue>>,
) -> Result<Json<Answer>, Problem> {
    let user = site.admit(&site.desk.live(), &headers)?;
    let territory = query.text("territory");
    query.finish()?;
    let name: Name = name.parse().map_err(|_| Problem::not_found(format!("there is no call {}", visible(&name))))?;
    let asked = read(name, &body)?;
    // To its end, whoever hangs up meanwhile.
    let made = tokio::spawn(async move {
        let desk = site.desk;
        let answer = match asked {
            Asked::Order(wanted) => desk.order(&provider, territory.as_deref(), wanted, &user).await,
            Asked::Call(call) => desk.call(&provider, territory.as_deref(), call, &user).await,
        };
        desk.count(&provider, name, &answer);
        answer
    });
    match made.await {
        Ok(answer) => Ok(Json(answer.map_err(Failure::problem)?)),
        Err(error) => {
            tracing::error!(%error, call = %name, "a shop's call failed by a mistake of ours");
            Err(Problem::internal())
        }
    }
}

enum Asked {
    Order(Wanted),
    Call(Call),
}

fn read(name: Name, body: &RawValue) -> Result<Asked, Problem> {
    fn of<T: DeserializeOwned>(body: &RawValue) -> Result<T, Problem> {
        parse(body.get().as_bytes())
    }
    Ok(Asked::Call(match name {
        Name::Order => {
            let Request { order, metadata, deliver } = of(body)?;
            let metadata =
                metadata.map(|json| Metadata::parse(json.get())).transpose().map_err(Problem::bad_request)?;
            return Ok(Asked::Order(Wanted { order, metadata, deliver }));
        }
        Name::Stock => Call::Stock(of(body)?),
        Name::CrossSell => Call::CrossSell(of(body)?),
        Name::Categories => Call::Categories(of(body)?),
        Name::Systems => Call::Systems,
        Name::OrderData => Call::OrderData(of(body)?),
        Name::DownloadInfo => Call::DownloadInfo(of(body)?),
        Name::ExtendDownload => Call::ExtendDownload(of(body)?),
        Name::CancelOrder => Call::CancelOrder(of(body)?),
        Name::Cancel => Call::Cancel(of(body)?),
        Name::Suspend => Call::Suspend(of(body)?),
        Name::Reactivate => Call::Reactivate(of(body)?),
        Name::Pause => Call::Pause(of(body)?),
        Name::Resume => Call::Resume(of(body)?),
        Name::Renew => Call::Renew(of(body)?),
        Name::Offer => Call::Offer(of(body)?),
        Name::OfferAccept => Call::OfferAccept(of(body)?),
        Name::Upgrade => Call::Upgrade(of(body)?),
        Name::Retail => Call::Retail(body.to_owned()),
    }))
}

impl Site {
    /// Says who it is.
    fn admit(&self, live: &Arc<Live>, headers: &HeaderMap) -> Result<String, Problem> {
        match (self.door, &live.token) {
            (Door::Socket, _) => {
                let named = headers.get(USER).and_then(|user| user.to_str().ok()).unwrap_or("socket");
                Ok(visible(named).chars().take(MOST_USER_BYTES).collect())
            }
            (Door::Token, None) => {
                Err(Problem::not_found("a shop's calls are not served here: set admin.shop_token_file"))
            }
            (Door::Token, Some(expected)) => match given(headers, "bearer") {
                Some(given) if expected.is(given.as_bytes()) => Ok("shop_token".to_owned()),
                _ => Err(Problem::unauthorized("give the shop's token: Authorization: Bearer …")),
            },
        }
    }
}
