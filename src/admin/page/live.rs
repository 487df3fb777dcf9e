//! Figures that go on by themselves, as server-sent events: made once for all who look, and only while somebody does.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::Pages;
use super::door::Visitor;
use super::overview::brief;

const EVERY: Duration = Duration::from_secs(5);
/// Then the browser comes again: a connection has its end.
const EVENTS: u32 = 100;
/// Of all connections they leave most to those who ask for something.
const MOST_STREAMS: usize = 24;

pub struct Figures {
    latest: Mutex<Option<(Instant, Bytes)>>,
    places: Arc<Semaphore>,
}

impl Default for Figures {
    fn default() -> Self {
        Self { latest: Mutex::default(), places: Arc::new(Semaphore::new(MOST_STREAMS)) }
    }
}

impl Figures {
    /// One event; empty while the store does not answer.
    async fn event(&self, pages: &Pages) -> Bytes {
        let mut latest = self.latest.lock().await;
        if let Some((_, event)) = latest.as_ref().filter(|(at, _)| at.elapsed() < EVERY / 2) {
            return event.clone();
        }
        let json = brief(pages).await.ok().and_then(|brief| serde_json::to_string(&brief).ok());
        let event = Bytes::from(json.map_or(": nothing\n\n".to_owned(), |json| format!("data: {json}\n\n")));
        *latest = Some((Instant::now(), event.clone()));
        event
    }
}

/// Where a stream stands: how many events are left, and its place among the streams.
struct Left(Arc<Pages>, u32, OwnedSemaphorePermit);

pub async fn stream(State(pages): State<Arc<Pages>>, _: Visitor) -> Response {
    let Ok(place) = pages.figures.places.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "60")]).into_response();
    };
    let events = stream::unfold(Left(pages, EVENTS, place), |Left(pages, left, place)| async move {
        if left == 0 || pages.site.shutdown.is_requested() {
            return None;
        }
        if left < EVENTS {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = pages.site.shutdown.requested() => return None,
            }
        }
        let event = pages.figures.event(&pages).await;
        Some((Ok::<_, Infallible>(event), Left(pages, left - 1, place)))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}
