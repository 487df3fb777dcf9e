//! A port of this machine that leads to the daemon's Unix socket, for the one browser that came with the link. It is closed when
//! nothing was asked for half an hour, after twelve hours, or by Ctrl-C.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use futures_util::stream;
use subtle::ConstantTimeEq;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use crate::cli::{Context, Error, Exit};
use crate::listen::{Bound, Endpoint};
use crate::tls::{self, CONNECTION_LIFE, Client};
use crate::vault::Key;

const OPEN_FOR: Duration = Duration::from_secs(12 * 3600);
/// The overview asks by itself as long as its tab is open.
const CLOSES_AFTER: Duration = Duration::from_secs(30 * 60);
/// A page of the daemon's takes no longer; figures go on and on.
const ANSWER_WITHIN: Duration = Duration::from_secs(15 * 60);
const COOKIE: &str = "renewald-forward";
/// What goes on to the daemon, and what comes back from it.
const FORTH: [header::HeaderName; 5] =
    [header::HOST, header::ORIGIN, header::CONTENT_TYPE, header::COOKIE, header::ACCEPT];
const BODY_BYTES: usize = 256 * 1024;

struct Forward {
    client: Client,
    /// In the link, for once; in the cookie, as long as it is open.
    code: String,
    was_entered: AtomicBool,
    asked: Notify,
}

pub async fn run(context: &Context, socket: PathBuf) -> Result<Exit, Error> {
    let failed = |error: tls::Error| Error::new(Exit::Internal, crate::chain(&error));
    let shape = move |builder: reqwest::ClientBuilder| {
        builder.unix_socket(socket.as_path()).timeout(ANSWER_WITHIN).redirect(reqwest::redirect::Policy::none())
    };
    let client = Client::new(tls::client_config(None, None).map_err(failed)?, Some(""), CONNECTION_LIFE, shape)
        .map_err(failed)?;
    let random = Key::generate().map_err(|error| Error::new(Exit::Internal, crate::chain(&error)))?;
    let (was_entered, asked) = (AtomicBool::new(false), Notify::new());
    let forward = Arc::new(Forward { client, code: BASE64.encode(*random), was_entered, asked });
    let unopened = |error: std::io::Error| Error::new(Exit::CannotCreate, format!("no port can be opened: {error}"));
    let bound = Bound::at("127.0.0.1:0").map_err(unopened)?;
    let address = bound.address().map_err(unopened)?;
    let router = Router::new().fallback(pass).with_state(forward.clone());
    let endpoint = Endpoint::open("page", vec![(bound, router)], std::future::ready(()))
        .map_err(|error| Error::new(Exit::CannotCreate, crate::chain(&error)))?;
    let link = format!("http://{address}/enter?code={}", forward.code);
    super::show(context, &link, "good once; open until Ctrl-C, or until nothing was asked for half an hour")?;
    let end = Instant::now() + OPEN_FOR;
    tokio::select! {
        () = sleep_until(end) => {}
        () = async { while timeout(CLOSES_AFTER, forward.asked.notified()).await.is_ok() {} } => {}
    }
    endpoint.close().await;
    Ok(Exit::Done)
}

async fn pass(State(forward): State<Arc<Forward>>, request: Request) -> Response {
    forward.asked.notify_one();
    if request.uri().path() == "/enter" {
        return forward.enter(request.uri().query().unwrap_or_default());
    }
    if !forward.is_known(request.headers()) {
        return (StatusCode::FORBIDDEN, "open the link that `renewald page` has printed").into_response();
    }
    forward.on(request).await.unwrap_or_else(|error| {
        let text = format!("the daemon does not answer: {}", crate::chain(&error.without_url()));
        (StatusCode::BAD_GATEWAY, text).into_response()
    })
}

impl Forward {
    fn is_code(&self, given: &str) -> bool {
        given.as_bytes().ct_eq(self.code.as_bytes()).into()
    }

    /// The first browser that has the link gets in, and nobody after it.
    fn enter(&self, query: &str) -> Response {
        let is_it = query.strip_prefix("code=").is_some_and(|given| self.is_code(given));
        if !is_it || self.was_entered.swap(true, Ordering::Relaxed) {
            return (StatusCode::FORBIDDEN, "this link was used, or is none").into_response();
        }
        let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict", self.code);
        ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
    }

    fn is_known(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.any(|(name, value)| name == COOKIE && self.is_code(value))
    }

    async fn on(&self, request: Request) -> reqwest::Result<Response> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut onward = self.client.get().request(parts.method, format!("http://localhost{path}"));
        for (name, value) in parts.headers.iter().filter(|(name, _)| FORTH.contains(name)) {
            onward = onward.header(name, value);
        }
        let Ok(body) = axum::body::to_bytes(body, BODY_BYTES).await else {
            return Ok(StatusCode::PAYLOAD_TOO_LARGE.into_response());
        };
        let answer = onward.body(body).send().await?;
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        headers.remove(header::TRANSFER_ENCODING);
        headers.remove(header::CONNECTION);
        let pieces = stream::unfold(answer, |mut answer| async move {
            let piece = answer.chunk().await.transpose()?;
            Some((piece, answer))
        });
        let mut response = Response::new(Body::from_stream(pieces));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}
