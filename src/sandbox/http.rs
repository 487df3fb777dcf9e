//! The API and the token service on the wire: connections that can be cut, requests read, answers late or altered.

use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::controls::Shared;
use super::faults::Suffering;
use super::mangle;
use super::world::{Answer, Call, Endpoint, Secret, integer};

/// The most that a request may bring.
const REQUEST_LIMIT: usize = 1024 * 1024;

/// Serves one port until the runtime ends.
pub(super) async fn serve(listener: TcpListener, service: Service, shared: Arc<Shared>) -> io::Result<()> {
    let router = Router::new().fallback(handle).with_state((service, shared));
    axum::serve(Door(listener), router.into_make_service_with_connect_info::<Cut>()).await
}

/// Which of the two services a port offers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Service {
    Api,
    Iam,
}

async fn handle(
    State((service, shared)): State<(Service, Arc<Shared>)>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, REQUEST_LIMIT).await else {
        return mangle::plain(Answer::platform_error(413, "request is too long", parts.uri.path()));
    };
    let call = read_call(service, &shared, parts, body);
    let arrival = arrive(&shared, &call);
    shared.log_changed();
    let (seq, suffering, mut released) = match arrival {
        Arrival::Answered(answer) => return mangle::plain(answer),
        Arrival::Suffers(seq, suffering, released) => (seq, suffering, released),
    };
    if suffering.hold {
        let _ = released.changed().await; // an error means that the sandbox ends
    }
    if !suffering.delay.is_zero() {
        tokio::time::sleep(suffering.delay).await;
    }
    let response = match suffering.alteration {
        Some(fault) if fault.hides_request() => mangle::altered(Answer::raw(200, []), fault, &call.path, &cut),
        Some(fault) => mangle::altered(shared.world().answer(&call), fault, &call.path, &cut),
        None => mangle::plain(shared.world().answer(&call)),
    };
    if !cut.is_cut() {
        shared.world().log.answered(seq, response.status().as_u16());
        shared.log_changed();
    }
    response
}

enum Arrival {
    Answered(Answer),
    Suffers(u64, Suffering, watch::Receiver<u64>),
}

/// Logs the request and, when nothing is wrong with it, answers it under the same lock.
fn arrive(shared: &Shared, call: &Call) -> Arrival {
    let mut world = shared.world();
    let (seq, admitted) = world.arrive(call);
    let answer = match admitted {
        Ok(suffering) if suffering.waits() || suffering.alteration.is_some() => {
            // Subscribed under the lock: a release after the arrival was logged is never missed.
            return Arrival::Suffers(seq, suffering, shared.released.subscribe());
        }
        Ok(_) => world.answer(call),
        Err(refusal) => refusal,
    };
    world.log.answered(seq, answer.status);
    Arrival::Answered(answer)
}

/// The body of everything that is about one subscription, and of *Create order*.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Named<'a> {
    #[serde(borrow)]
    partner_order_number: Option<Cow<'a, str>>,
    subscription_id: Value,
}

fn read_call(service: Service, shared: &Shared, parts: Parts, body: Bytes) -> Call {
    let path = parts.uri.path();
    let endpoint = endpoint(service, &parts.method, path);
    let (number, subscription_id) = match endpoint {
        Endpoint::Token | Endpoint::Other => (None, None),
        Endpoint::Order => (order_number(path).map(Arc::from), None),
        _ => match serde_json::from_slice::<Named<'_>>(&body) {
            Ok(named) => (
                Some(Arc::from(named.partner_order_number.as_deref().unwrap_or_default())),
                integer(&named.subscription_id),
            ),
            Err(_) => (None, None),
        },
    };
    Call {
        endpoint,
        number,
        subscription_id,
        secret: secret(shared, &parts.headers),
        path: path.to_owned(),
        method: parts.method,
        headers: parts.headers,
        body,
    }
}

fn secret(shared: &Shared, headers: &HeaderMap) -> Secret {
    let Some(sent) = headers.get("secret").filter(|value| !value.is_empty()) else { return Secret::Missing };
    let territory = shared.territories.iter().find(|(_, secret)| sent.as_bytes() == secret.as_bytes());
    territory.map_or(Secret::Wrong, |(name, _)| Secret::Of(name.clone()))
}

fn endpoint(service: Service, method: &Method, path: &str) -> Endpoint {
    match (service, method.as_str(), path) {
        (Service::Iam, "POST", "/iam/tokens") => Endpoint::Token,
        (Service::Iam, "DELETE", "/iam/tokens/reset" | "/iam/tokens/invalidate") => Endpoint::Token,
        (Service::Api, "POST", "/connect/subscription") => Endpoint::Status,
        (Service::Api, "PUT", "/connect/subscription") => Endpoint::Cancel,
        (Service::Api, "POST" | "PUT", "/connect/subscription/renew") => Endpoint::Renew,
        (Service::Api, "POST", "/connect/order/new") => Endpoint::Create,
        (Service::Api, "GET", path) if order_segment(path).is_some() => Endpoint::Order,
        _ => Endpoint::Other,
    }
}

/// The one raw segment behind `/order/`. A slash inside a number must come encoded.
fn order_segment(path: &str) -> Option<&str> {
    path.strip_prefix("/connect/order/").filter(|segment| !segment.is_empty() && !segment.contains('/'))
}

/// `None` when it does not decode to UTF-8.
fn order_number(path: &str) -> Option<String> {
    percent_decode_str(order_segment(path)?).decode_utf8().ok().map(Cow::into_owned)
}

/// Accepts connections that a fault can cut.
struct Door(TcpListener);

impl Listener for Door {
    type Io = Wire;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Wire, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::trace!(%error, "could not set TCP_NODELAY");
        }
        (Wire { stream, cut: Cut::default() }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// The knife for one connection: once cut, not a byte more is written, and the connection closes.
#[derive(Clone, Debug, Default)]
pub(super) struct Cut(Arc<AtomicBool>);

impl Cut {
    pub(super) fn cut(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_cut(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Connected<IncomingStream<'_, Door>> for Cut {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().cut.clone()
    }
}

struct Wire {
    stream: TcpStream,
    cut: Cut,
}

impl Wire {
    fn check(&self) -> io::Result<()> {
        if self.cut.is_cut() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decoded_from_the_raw_path() {
        let decoded = |segment: &str| order_number(&format!("/connect/order/{segment}"));
        assert_eq!(decoded("a%2Fb").as_deref(), Some("a/b"));
        assert_eq!(decoded("..%2f").as_deref(), Some("../"));
        assert_eq!(decoded("a%20b+c").as_deref(), Some("a b+c"));
        assert_eq!(decoded("%C3%A4").as_deref(), Some("ä"));
        assert_eq!(decoded("%23%3F%26%25").as_deref(), Some("#?&%"));
        assert_eq!(decoded("%FF"), None);
        assert_eq!(decoded("a/b"), None);
        assert_eq!(decoded(""), None);
    }
}
