//! The names in a request's path.

use std::fmt::Display;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::listen::problem::Problem;
use crate::store::Identity;
use crate::text::visible;

impl<S: Send + Sync> FromRequestParts<S> for Identity {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path((provider, partner_order_number, subscription_id)) =
            Path::<(String, String, String)>::from_request_parts(parts, state).await.map_err(wrong_path)?;
        Ok(Self { provider, partner_order_number, subscription_id })
    }
}

/// A message's id in the path.
#[derive(Debug)]
pub struct MessageId(pub uuid::Uuid);

impl<S: Send + Sync> FromRequestParts<S> for MessageId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(wrong_path)?;
        let id = text.parse().map_err(|_| Problem::bad_request(format!("{:?} is no message id", visible(&text))))?;
        Ok(Self(id))
    }
}

fn wrong_path(rejection: impl Display) -> Problem {
    Problem::bad_request(visible(&rejection.to_string()))
}
