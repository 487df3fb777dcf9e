//! Who sees what: all of it with a login or over the Unix socket, figures alone on a loopback address without a token.
//!
//! A name that somebody else has made point here is not answered: only addresses, `localhost` and `admin.public_url` are.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Redirect, Response};

use super::Pages;
use super::session::Session;
use crate::admin::gate::{Gate, is_local_name};
use crate::clock::Timestamp;
use crate::listen::problem::Problem;
use crate::settings::Admin;

/// The purpose of the key that sessions are signed with.
const SESSIONS: &[u8] = b"renewald page sessions";

/// Somebody who may look.
pub struct Visitor {
    /// Subscriptions and messages, and may change them; otherwise figures alone.
    pub sees_all: bool,
    /// Has logged in, and may log out.
    pub has_login: bool,
    session: Session,
    key: [u8; 32],
}

impl Visitor {
    /// What each of his forms carries.
    pub fn word(&self) -> String {
        self.session.word(&self.key)
    }

    pub fn is_word(&self, given: &str) -> bool {
        self.session.is_word(&self.key, given)
    }

    /// Refuses whoever sees figures alone.
    pub fn must_see_all(&self) -> Result<(), Problem> {
        match self.sees_all {
            true => Ok(()),
            false => Err(Problem::forbidden(
                "without a token this page shows figures only: set admin.token_file, or listen on a Unix socket and use `renewald page`",
            )),
        }
    }
}

impl FromRequestParts<Arc<Pages>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, pages: &Arc<Pages>) -> Result<Self, Response> {
        let live = pages.site.live();
        let admin = &live.settings.admin;
        let refused = |problem: Problem| pages.html.problem(problem);
        same_origin(&parts.headers, admin).map_err(refused)?;
        let open = |sees_all| Self { sees_all, has_login: false, session: Session::unnamed(), key: pages.key };
        match &live.gate {
            Gate::Socket => Ok(open(true)),
            Gate::Loopback => Ok(open(false)),
            Gate::Closed => {
                Err(refused(Problem::forbidden("beyond loopback the page needs a token: set admin.token_file")))
            }
            Gate::Token(expected) => {
                let key = expected.key_for(SESSIONS);
                match Session::of(&parts.headers, is_secure(admin), &key, Timestamp::now()) {
                    Some(session) => Ok(Self { sees_all: true, has_login: true, session, key }),
                    None if parts.method == Method::GET => Err(Redirect::to("/page/login").into_response()),
                    None => {
                        Err(refused(Problem::forbidden("the login is over: log in again, and nothing was changed")))
                    }
                }
            }
        }
    }
}

/// The key that a login with this token is signed with; `None`: there is none to log in with.
pub fn login_key(gate: &Gate) -> Option<[u8; 32]> {
    match gate {
        Gate::Token(expected) => Some(expected.key_for(SESSIONS)),
        _ => None,
    }
}

pub fn is_secure(admin: &Admin) -> bool {
    admin.public_url.as_ref().is_some_and(|url| url.starts_with("https://"))
}

/// Asked under a name of ours and, by a form, from a page of ours.
pub fn same_origin(headers: &HeaderMap, admin: &Admin) -> Result<(), Problem> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let public = admin.public_url.as_deref();
    let public_host = public.and_then(|url| url.split_once("://")).map(|(_, host)| host);
    if !is_local_name(host) && public_host.is_none_or(|public| !public.eq_ignore_ascii_case(host)) {
        return Err(Problem::forbidden(format!(
            "asked as {}: set admin.public_url to the address under which the page is opened",
            crate::text::visible(host)
        )));
    }
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let is_ours = *origin == format!("http://{host}") || public.is_some_and(|public| *origin == public);
    if is_ours { Ok(()) } else { Err(Problem::forbidden("sent by a page of another origin: nothing was done")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(public_url: Option<&str>, pairs: &[(&'static str, &'static str)]) -> u16 {
        let admin = Admin {
            listen: "127.0.0.1:9464".to_owned(),
            token: None,
            public_url: public_url.map(str::to_owned),
            shop_token: None,
            reveal: false,
            heartbeat_url: None,
            alert_after: std::time::Duration::ZERO,
        };
        let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        same_origin(&headers, &admin).map_or_else(|problem| problem.into_response().status().as_u16(), |()| 200)
    }

    #[test]
    fn a_name_that_was_made_to_point_here_is_not_answered() {
        for host in ["127.0.0.1:9464", "localhost:9464", "[::1]", "192.0.2.7"] {
            assert_eq!(status(None, &[("host", host)]), 200, "{host}");
        }
        for host in ["evil.example", "evil.example:9464", "127.0.0.1.evil.example", ""] {
            assert_eq!(status(None, &[("host", host)]), 403, "{host}");
            assert_eq!(status(Some("https://renewals.example"), &[("host", host)]), 403, "{host}");
        }
        assert_eq!(status(Some("https://renewals.example"), &[("host", "renewals.example")]), 200);
    }

    #[test]
    fn a_form_of_another_page_is_not_taken() {
        let public = Some("https://renewals.example");
        let of = |origin| status(public, &[("host", "renewals.example"), ("origin", origin)]);
        assert_eq!((of("https://renewals.example"), of("https://evil.example"), of("null")), (200, 403, 403));
        let of = |origin| status(None, &[("host", "127.0.0.1:9464"), ("origin", origin)]);
        assert_eq!((of("http://127.0.0.1:9464"), of("http://127.0.0.1:80"), of("null")), (200, 403, 403));
    }
}
