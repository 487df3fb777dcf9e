//! Connections and their limits: how many, how long, and how much a request's head may hold. What a request may take is in
//! [`super::frame`].

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::door::{Door, Stream};
use super::{LAST_ANSWERS, Peer};
use crate::signals::Shutdown;

/// More wait in the kernel until one of them is closed.
const MOST_CONNECTIONS: usize = 64;
/// For the head of a request, and for a connection on which nothing is asked.
const HEAD_WITHIN: Duration = Duration::from_secs(15);
const MOST_HEADERS: usize = 64;
/// Of the head, and of what is read ahead of a body.
const BUFFER_BYTES: usize = 32 * 1024;
/// Then it is closed after the answer in hand: who does not read its answers must not keep a place for ever.
const LONGEST_CONNECTION: Duration = Duration::from_secs(600);
/// As long as the longest answer takes.
const LAST_ANSWER: Duration = Duration::from_secs(90);
/// Before the next try where no connection can be taken: all file descriptors are in use.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// Answers until `end` is requested, then finishes what is in hand.
pub async fn serve(door: Door, router: Router, end: Shutdown) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut open = JoinSet::new();
    let accepting = async {
        loop {
            // The semaphore is never closed.
            let Ok(place) = places.clone().acquire_owned().await else { return };
            match door.accept().await {
                Ok((stream, peer)) => {
                    let (router, end) = (router.clone().layer(Extension(Peer(peer))), end.clone());
                    open.spawn(async move {
                        converse(stream, router, end).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "could not take a connection");
                    sleep(ACCEPT_AGAIN).await;
                }
            }
            while open.try_join_next().is_some() {}
        }
    };
    tokio::select! {
        () = accepting => {}
        () = end.requested() => {}
    }
    drop(door);
    let finished = async { while open.join_next().await.is_some() {} };
    // The rest is cut off with the set.
    drop(timeout(LAST_ANSWERS, finished).await);
}

async fn converse(stream: Stream, router: Router, end: Shutdown) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_headers(MOST_HEADERS)
        .max_buf_size(BUFFER_BYTES);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let over = async {
        tokio::select! {
            () = end.requested() => {}
            () = sleep(LONGEST_CONNECTION) => {}
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = over => {
            connection.as_mut().graceful_shutdown();
            timeout(LAST_ANSWER, connection).await.ok()
        }
    };
    if let Some(Err(error)) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}
