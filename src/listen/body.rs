//! How the body of a request is read: so much of it, and in so long.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::StatusCode;

use super::problem::Problem;

/// Metadata is the largest thing that anybody sends.
pub const BODY_BYTES: usize = 256 * 1024;
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// The whole of it.
///
/// # Errors
/// When it is too long, is cut off, or does not come in time.
pub async fn read(body: Body) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_WITHIN, to_bytes(body, BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => {
            let detail = format!("the body is longer than {BODY_BYTES} bytes, or was cut off");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail))
        }
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    }
}
