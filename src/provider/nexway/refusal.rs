//! Why the platform refuses a request, as every service of it says.

use serde::Deserialize;

use crate::provider::body::{message, parse};
use crate::provider::lenient::Scalar;
use crate::provider::{Class, Verdict};

/// Why an answer with a 4xx or 5xx status was refused, as far as its body or its status tells: a 401 that a new token did not
/// cure, 403, or something that does not exist. A 404 without the platform's body is a wrong address instead, which must not pass
/// for a missing order.
pub fn refusal(status: u16, body: &[u8]) -> Option<Verdict> {
    let code = i64::from(status);
    let body = parse::<ErrorBody<'_>>(body).unwrap_or_default();
    let is_the_platforms = || body.status.integer() == Some(code) || body.error.text().is_some();
    let class = match status {
        401 | 403 => Class::Configuration,
        404 if is_the_platforms() => Class::NotFound,
        _ => return None,
    };
    Some(Verdict { class, code, message: message([&body.message, &body.error]) })
}

/// What all services have in common of it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody<'a> {
    #[serde(borrow)]
    status: Scalar<'a>,
    #[serde(borrow)]
    error: Scalar<'a>,
    #[serde(borrow)]
    message: Scalar<'a>,
}
