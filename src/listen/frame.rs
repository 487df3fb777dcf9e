//! What holds for all paths of an endpoint: every request ends in time and with an answer, whatever happens to it, and what is no path
//! or no method is said.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use super::problem::Problem;
use crate::text::visible;

/// A whole request, its body included.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Puts the frame around a router that has its paths. `within` tells how long a request to a path may take.
pub fn framed<S>(router: Router<S>, within: fn(&str) -> Duration) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router
        .fallback(|uri: Uri| {
            std::future::ready(Problem::not_found(format!("there is nothing at {}", visible(uri.path()))))
        })
        .method_not_allowed_fallback(|method: Method| std::future::ready(not_allowed(&method)))
        .layer(from_fn(move |request, next| bounded(within, request, next)))
}

fn not_allowed(method: &Method) -> Problem {
    let detail = format!("{} is not done here; the header Allow says what is", visible(method.as_str()));
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

async fn bounded(within: fn(&str) -> Duration, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let within = within(&path);
    let answering = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(within, answering).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!(path = %visible(&path), "a request failed by a mistake of ours");
            Problem::internal().into_response()
        }
        Err(_) => {
            let detail = format!("not answered within {} s; try again later", within.as_secs());
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
        }
    }
}
