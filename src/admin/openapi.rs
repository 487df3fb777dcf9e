//! The OpenAPI document: collected from the handlers, and what is the same for all of them added here.

use std::sync::Arc;

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, Content, InfoBuilder, OpenApi, Ref, Response};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use super::Site;
use crate::listen::problem::{self, Problem};
use crate::shop;

const TOKEN: &str = "token";
const SHOP_TOKEN: &str = "shop_token";

/// Those that are open to everybody, and those for whoever has the token.
pub(super) type Paths = (OpenApiRouter<Arc<Site>>, OpenApiRouter<Arc<Site>>);

/// The document that `/openapi.json` serves.
pub(super) fn document((open, guarded): Paths) -> OpenApi {
    let (_, mut document) = open.split_for_parts();
    let (_, mut guarded) = guarded.split_for_parts();
    guarded.paths.paths.values_mut().flat_map(operations).for_each(guard);
    document.merge(guarded);
    let (_, mut shop) = shop::paths().split_for_parts();
    shop.paths.paths.values_mut().flat_map(operations).for_each(guard_shop);
    document.merge(shop);
    document.info = InfoBuilder::new()
        .title("renewald")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Health, metrics and the API of one renewald. Errors are problem details (RFC 9457)."))
        .build();
    let components = document.components.get_or_insert_with(Components::new);
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.add_security_scheme(TOKEN, SecurityScheme::Http(bearer.clone()));
    components.add_security_scheme(SHOP_TOKEN, SecurityScheme::Http(bearer));
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.delete].into_iter().flatten()
}

/// How every operation of `/v1` may be refused.
fn guard(operation: &mut Operation) {
    let mut refusals = vec![
        ("400", "Something about the request is wrong"),
        ("401", "The token is missing or wrong"),
        ("403", "Not permitted here, and why"),
        ("500", "A mistake of ours"),
        ("503", "Not now: try again later"),
    ];
    if operation.request_body.is_some() {
        refusals.extend([
            ("408", "The body did not arrive in time"),
            ("413", "The body is too long"),
            ("415", "The body is not JSON"),
        ]);
    }
    for (status, description) in refusals {
        let content = Content::new(Some(Ref::from_schema_name(Problem::name())));
        let mut response = Response::new(description);
        response.content.insert(problem::CONTENT_TYPE.to_owned(), content.into());
        operation.responses.responses.insert(status.to_owned(), response.into());
    }
    // Or none, where the settings have no token.
    let none = SecurityRequirement::default();
    operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], _>(TOKEN, []), none]);
}

/// The same of a shop's calls, which have a token of their own.
fn guard_shop(operation: &mut Operation) {
    guard(operation);
    operation.responses.responses.remove("403");
    operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], _>(SHOP_TOKEN, [])]);
}
