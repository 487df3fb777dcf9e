//! The services on the wire: requests read, answers late or altered.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::call::{Answer, Call, CallOf, Fake};
use super::controls::Shared;
use super::faults::{FaultKind, Suffering};
use super::mangle;
use super::wire::{Cut, Door};

/// The most that a request may bring.
const REQUEST_LIMIT: usize = 1024 * 1024;

/// Serves the port of one service until the runtime ends.
pub(super) async fn serve<F: Fake>(listener: TcpListener, service: usize, shared: Arc<Shared<F>>) -> io::Result<()> {
    let router = Router::new().fallback(handle::<F>).with_state((service, shared));
    axum::serve(Door(listener), router.into_make_service_with_connect_info::<Cut>()).await
}

async fn handle<F: Fake>(
    State((service, shared)): State<(usize, Arc<Shared<F>>)>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, REQUEST_LIMIT).await else {
        return mangle::plain(F::error(413, "request is too long", parts.uri.path()));
    };
    let (endpoint, about) = shared.world().provider.read(service, &parts, &body);
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default().to_owned());
    let call = Call { endpoint, about, method: parts.method, path, query, headers: parts.headers, body };
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
        Some(fault) if fault.hides_request() => mangle::altered::<F>(Answer::raw(200, []), fault, &call.path, &cut),
        Some(FaultKind::IgnoreQuery { names }) => mangle::plain(shared.world().answer(&call.ignoring(&names))),
        Some(fault) => mangle::altered::<F>(shared.world().answer(&call), fault, &call.path, &cut),
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
fn arrive<F: Fake>(shared: &Shared<F>, call: &CallOf<F>) -> Arrival {
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
