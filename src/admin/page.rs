//! The page: how everything stands, for people with a browser. Served whole from the binary, without a build step or a foreign host,
//! and without JavaScript but for figures that go on by themselves.
//!
//! Who sees what is decided in `door`; each page gathers what it shows and leaves how that looks to its template.

mod assets;
mod change;
mod door;
mod entry;
mod html;
mod live;
mod login;
mod messages;
mod overview;
mod plots;
mod receivers;
mod session;
mod subscription;
mod subscriptions;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};

use self::entry::Entries;
pub use self::entry::code as entry_code;
use self::html::Html;
use self::live::Figures;
use self::overview::Freshness;
use super::Site;
use crate::listen::guests::Guests;
use crate::vault;

/// What all of them share.
struct Pages {
    site: Arc<Site>,
    html: Html,
    guests: Guests,
    /// For the forms of those who need no login; another one after each start.
    key: [u8; 32],
    freshness: Freshness,
    figures: Figures,
    entries: Entries,
}

/// # Errors
/// When the system has no random bytes.
pub fn router(site: Arc<Site>) -> Result<Router<Arc<Site>>, vault::Error> {
    let pages = Pages {
        html: Html::new(),
        guests: Guests::default(),
        key: *vault::Key::generate()?,
        freshness: Freshness::default(),
        figures: Figures::default(),
        entries: Entries::default(),
        site,
    };
    let router = Router::new()
        .route("/", get(overview::show))
        .route("/page/login", get(login::ask).post(login::take))
        .route("/page/enter", get(login::enter))
        .route("/page/logout", post(login::end))
        .route("/page/subscriptions", get(subscriptions::show))
        .route("/page/subscription", get(subscription::show).post(subscription::change))
        .route("/page/messages", get(messages::list))
        .route("/page/message", get(messages::show).post(messages::change))
        .route("/page/receivers", get(receivers::show))
        .route("/page/figures", get(live::stream))
        .route("/page/{asset}", get(assets::show))
        .layer(from_fn(guarded));
    Ok(router.with_state(Arc::new(pages)))
}

/// Nothing but our own files runs or is shown, nobody frames us, and nothing of a customer stays in a cache.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

async fn guarded(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
