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
use crate::vault;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

pub async fn ask(State(pages): State<Arc<Pages>>, request: Request) -> Page {
    let live = pages.site.live();
    same_origin(request.headers(), &live.settings.admin).map_err(|problem| pages.html.problem(problem))?;
    match login_key(&live.gate) {
        Some(_) => Ok(pages.html.login(StatusCode::OK)),
        None => Err(Redirect::to("/").into_response()),
    }
}

pub async fn take(State(pages): State<Arc<Pages>>, request: Request) -> Page {
    let refused = |problem: Problem| pages.html.problem(problem);
    let live = pages.site.live();
    let admin = &live.settings.admin;
    same_origin(request.headers(), admin).map_err(refused)?;
    let peer = request.extensions().get().copied().unwrap_or(Peer(None));
    let fields = Fields::read(&body::read(request.into_body()).await.map_err(refused)?);
    let (Gate::Token(expected), Some(key)) = (&live.gate, login_key(&live.gate)) else {
        return Err(Redirect::to("/").into_response());
    };
    if !expected.is(fields.text("token").trim().as_bytes()) {
        tracing::warn!(peer = ?peer.0, "the page: a login with a wrong token");
        return Err(match pages.guests.refused(peer).await {
            Answer::Refused => pages.html.login(StatusCode::FORBIDDEN),
            Answer::TooMany => {
                let what = "too many wrong tokens at once: wait a moment; whoever has the right one is let in";
                refused(Problem::new(StatusCode::TOO_MANY_REQUESTS, what))
            }
        });
    }
    let random = vault::Key::generate().map_err(|_| refused(Problem::internal()))?;
    tracing::info!(peer = ?peer.0, "the page: logged in");
    let session = Session::begin(&random, Timestamp::now());
    Ok(with_cookie("/", &session.cookie(is_secure(admin), &key)))
}

/// By the link of `renewald page`.
pub async fn enter(State(pages): State<Arc<Pages>>, request: Request) -> Page {
    let refused = |problem: Problem| pages.html.problem(problem);
    let live = pages.site.live();
    let admin = &live.settings.admin;
    same_origin(request.headers(), admin).map_err(refused)?;
    let (Gate::Token(expected), Some(key)) = (&live.gate, login_key(&live.gate)) else {
        return Err(Redirect::to("/").into_response());
    };
    let code = request.uri().query().and_then(|query| query.strip_prefix("code=")).unwrap_or_default();
    if !pages.entries.take(expected, code, Timestamp::now()) {
        let what = "this link was used, or its minute is over: `renewald page` makes another one";
        return Err(refused(Problem::forbidden(what)));
    }
    let random = vault::Key::generate().map_err(|_| refused(Problem::internal()))?;
    tracing::info!("the page: entered by a link of `renewald page`");
    let session = Session::begin(&random, Timestamp::now());
    Ok(with_cookie("/", &session.cookie(is_secure(admin), &key)))
}

pub async fn end(State(pages): State<Arc<Pages>>, _: Change) -> Response {
    with_cookie("/page/login", &Session::end(is_secure(&pages.site.live().settings.admin)))
}

fn with_cookie(to: &str, cookie: &str) -> Response {
    ([(header::SET_COOKIE, cookie.to_owned())], Redirect::to(to)).into_response()
}
