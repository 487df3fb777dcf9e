//! Who may use the API: with a token, or without one from this machine alone. Health and metrics are open.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use secrecy::ExposeSecret;

use super::Site;
use crate::listen::problem::Problem;
use crate::listen::secret::{Expected, given};
use crate::settings::{Admin, SecretError};

/// The rule that the settings amount to.
#[derive(Debug)]
pub enum Gate {
    /// Whoever knows the token.
    Token(Expected),
    /// Whoever may open the Unix socket.
    Socket,
    /// Every user of this machine, but no web page that one of them looks at.
    Loopback,
    /// Nobody: reachable from outside, and without a token.
    Closed,
}

impl Gate {
    pub fn new(admin: &Admin) -> Result<Self, SecretError> {
        if admin.listen.is_empty() {
            return Ok(Self::Closed);
        }
        if let Some(token) = &admin.token {
            return Ok(Self::Token(Expected::of(token.read()?.expose_secret().as_bytes())));
        }
        if admin.listen.starts_with("unix:") {
            return Ok(Self::Socket);
        }
        let is_loopback = admin.listen.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback());
        Ok(if is_loopback { Self::Loopback } else { Self::Closed })
    }

    fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        match self {
            Self::Token(expected) => match given(headers, "bearer") {
                Some(given) if expected.is(given.as_bytes()) => Ok(()),
                Some(_) => Err(Problem::new(StatusCode::UNAUTHORIZED, "the token is wrong")),
                None => Err(Problem::new(StatusCode::UNAUTHORIZED, "give the token: Authorization: Bearer …")),
            },
            Self::Socket => Ok(()),
            Self::Loopback => no_web_page(headers),
            Self::Closed => Err(Problem::forbidden(
                "beyond loopback /v1 is served only with a token: set admin.token_file, or listen on 127.0.0.1 or a Unix socket",
            )),
        }
    }

    /// Licence keys go only where a token or a file's mode says who it is: on loopback alone every user of the machine would get them.
    pub fn admit_to_keys(&self) -> Result<(), Problem> {
        match self {
            Self::Token(_) | Self::Socket => Ok(()),
            Self::Loopback | Self::Closed => Err(Problem::forbidden(
                "licence keys are given out, and acknowledged, only with a token or over a Unix socket: set admin.token_file",
            )),
        }
    }
}

/// Lets through who may use the API.
pub async fn check(State(site): State<Arc<Site>>, request: Request, next: Next) -> Result<Response, Problem> {
    site.live().gate.admit(request.headers())?;
    Ok(next.run(request).await)
}

/// A page in a browser on this machine can send requests here: under its own name, made to point to 127.0.0.1, or across sites.
fn no_web_page(headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers.get(HOST).map(|host| host.to_str().unwrap_or("?"));
    if let Some(host) = host.filter(|host| !is_local_name(host)) {
        return Err(Problem::forbidden(format!(
            "asked as {}: without a token only an IP address or localhost is answered",
            crate::text::visible(host)
        )));
    }
    match headers.get(ORIGIN) {
        None => Ok(()),
        Some(origin) if host.is_some_and(|host| *origin == format!("http://{host}")) => Ok(()),
        Some(_) => Err(Problem::forbidden("a web page of another origin is answered only with a token")),
    }
}

pub fn is_local_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn status(gate: &Gate, pairs: &[(&'static str, &'static str)]) -> u16 {
        gate.admit(&headers(pairs))
            .map_or_else(|problem| axum::response::IntoResponse::into_response(problem).status().as_u16(), |()| 200)
    }

    #[test]
    fn only_the_token_itself_is_let_in() {
        let gate = Gate::Token(Expected::of(b"sesame"));
        assert_eq!(status(&gate, &[("authorization", "Bearer sesame")]), 200);
        assert_eq!(status(&gate, &[("authorization", "bearer sesame")]), 200);
        for wrong in ["Bearer sesam", "Bearer sesame2", "Bearer ", "Bearer", "Basic sesame", "sesame"] {
            assert_eq!(status(&gate, &[("authorization", wrong)]), 401, "{wrong}");
        }
        assert_eq!(status(&gate, &[]), 401);
    }

    #[test]
    fn without_a_token_no_web_page_is_let_in() {
        for host in ["127.0.0.1:9464", "localhost", "LOCALHOST:1", "[::1]:9464", "[::1]"] {
            assert_eq!(status(&Gate::Loopback, &[("host", host)]), 200, "{host}");
        }
        for host in ["shop.example", "shop.example:9464", "127.0.0.1.shop.example", "localhost.shop.example:80", ""] {
            assert_eq!(status(&Gate::Loopback, &[("host", host)]), 403, "{host}");
        }
        let with = |origin| status(&Gate::Loopback, &[("host", "127.0.0.1:9464"), ("origin", origin)]);
        assert_eq!(with("http://127.0.0.1:9464"), 200);
        assert_eq!((with("http://shop.example"), with("null"), with("http://127.0.0.1:80")), (403, 403, 403));
    }

    #[test]
    fn keys_need_more_than_being_on_this_machine() {
        assert!(Gate::Token(Expected::of(b"")).admit_to_keys().is_ok() && Gate::Socket.admit_to_keys().is_ok());
        assert!(Gate::Loopback.admit_to_keys().is_err());
        assert_eq!(status(&Gate::Closed, &[]), 403);
    }
}
