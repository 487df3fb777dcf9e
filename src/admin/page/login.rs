//! Logging in with the token, and out. Mistakes slow down their sender and lock nobody out.

use std::sync::Arc;

use super::Pages;
use super::change::{Change, Fields};
use super::door::{is_secure, login_key, same_origin};
use super::html::Page;
use super::session::Session;
use crate::admin::gate::Gate;
use crate::clock::Timestamp;
use crate::listen::guests::Answer;
use crate::listen::problem::Problem;
use crate::listen::{Peer, body};
use crate::settings::Admin;
use crate::vault;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

pub async fn ask(State(pages): State<Arc<Pages>>, request: Request) -> Response {
    let live = pages.site.live();
    let asked = same_origin(request.headers(), &live.settings.admin).map(|()| match login_key(&live.gate) {
        Some(_) => pages.html.login(StatusCode::OK),
        None => Redirect::to("/").into_response(),
    });
    pages.html.shown(asked)
}

pub async fn take(State(pages): State<Arc<Pages>>, request: Request) -> Response {
    pages.html.shown(taken(&pages, request).await)
}

async fn taken(pages: &Pages, request: Request) -> Page {
    let live = pages.site.live();
    let admin = &live.settings.admin;
    same_origin(request.headers(), admin)?;
    let peer = request.extensions().get().copied().unwrap_or(Peer(None));
    let fields = Fields::read(&body::read(request.into_body()).await?);
    let (Gate::Token(expected), Some(key)) = (&live.gate, login_key(&live.gate)) else {
        return Ok(Redirect::to("/").into_response());
    };
    if expected.is(fields.text("token").trim().as_bytes()) {
        tracing::info!(peer = ?peer.0, "the page: logged in");
        return let_in(admin, &key);
    }
    tracing::warn!(peer = ?peer.0, "the page: a login with a wrong token");
    match pages.guests.refused(peer).await {
        Answer::Refused => Ok(pages.html.login(StatusCode::FORBIDDEN)),
        Answer::TooMany => {
            let what = "too many wrong tokens at once: wait a moment; whoever has the right one is let in";
            Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, what))
        }
    }
}

/// By the link of `renewald page`.
pub async fn enter(State(pages): State<Arc<Pages>>, request: Request) -> Response {
    pages.html.shown(entered(&pages, &request))
}

fn entered(pages: &Pages, request: &Request) -> Page {
    let live = pages.site.live();
    let admin = &live.settings.admin;
    same_origin(request.headers(), admin)?;
    let (Gate::Token(expected), Some(key)) = (&live.gate, login_key(&live.gate)) else {
        return Ok(Redirect::to("/").into_response());
    };
    let code = request.uri().query().and_then(|query| query.strip_prefix("code=")).unwrap_or_default();
    if !pages.entries.take(expected, code, Timestamp::now()) {
        let what = "this link was used, or its minute is over: `renewald page` makes another one";
        return Err(Problem::forbidden(what));
    }
    tracing::info!("the page: entered by a link of `renewald page`");
    let_in(admin, &key)
}

fn let_in(admin: &Admin, key: &[u8; 32]) -> Page {
    let random = vault::Key::generate().map_err(|_| Problem::internal())?;
    let session = Session::begin(&random, Timestamp::now());
    Ok(with_cookie("/", &session.cookie(is_secure(admin), key)))
}

pub async fn end(State(pages): State<Arc<Pages>>, _: Change) -> Response {
    with_cookie("/page/login", &Session::end(is_secure(&pages.site.live().settings.admin)))
}

fn with_cookie(to: &str, cookie: &str) -> Response {
    ([(header::SET_COOKIE, cookie.to_owned())], Redirect::to(to)).into_response()
}
