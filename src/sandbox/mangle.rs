//! Turns the true answer into what goes over the wire, faults included.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream::{self, StreamExt as _};
use serde_json::Value;

use super::call::{Answer, Fake};
use super::faults::{ErrorBody, FaultKind};
use super::wire::Cut;

const JSON: &str = "application/json";
const HTML: &str = "text/html";
/// One piece of a body that is made up while it is sent.
const PIECE: usize = 64 * 1024;

/// The response without any fault.
pub(super) fn plain(answer: Answer) -> Response {
    let response = build(answer.status, JSON, answer.body);
    match answer.header {
        Some((name, value)) => with(response, name, &value),
        None => response,
    }
}

/// The response with this fault; a cut connection gets a response that never reaches the wire.
pub(super) fn altered<F: Fake>(answer: Answer, fault: FaultKind, path: &str, cut: &Cut) -> Response {
    let true_body = |body: Vec<u8>| plain(Answer { body, status: answer.status, header: answer.header.clone() });
    let [text, number] = F::FIELDS;
    match fault {
        FaultKind::Delay { .. } | FaultKind::Hold | FaultKind::IgnoreQuery { .. } => true_body(answer.body.clone()),
        FaultKind::CutBefore => {
            cut.cut();
            build(200, JSON, Vec::new())
        }
        FaultKind::Status { status, body, retry_after } => error_page::<F>(status, body, retry_after.as_deref(), path),
        FaultKind::Body { body } => build(200, JSON, body.into_bytes()),
        FaultKind::DoneBut { status, body } => build(status, JSON, body.into_bytes()),
        FaultKind::TruncatedJson => true_body(answer.body[..answer.body.len() / 2].to_vec()),
        FaultKind::EmptyObject => build(200, JSON, b"{}".to_vec()),
        FaultKind::Html => build(200, HTML, page("Welcome to the network")),
        FaultKind::EmptyBody => build(200, JSON, Vec::new()),
        FaultKind::WrongTypes => true_body(retyped(&answer.body)),
        FaultKind::DeepJson { depth } => build(200, JSON, deep(number, depth)),
        FaultKind::DuplicateKeys => true_body(doubled(&answer.body)),
        FaultKind::ByteOrderMark => true_body([b"\xEF\xBB\xBF", answer.body.as_slice()].concat()),
        FaultKind::Redirect { location } => with(build(302, HTML, Vec::new()), LOCATION, &location),
        FaultKind::CutMidBody => cut_mid_body(answer),
        FaultKind::Trickle { every } => trickle(answer, every),
        FaultKind::Stall => with(streamed(answer.status, stalled()), CONTENT_LENGTH, &answer.body.len().to_string()),
        FaultKind::HugeBody { bytes } => streamed(200, huge(text, bytes)),
        FaultKind::GzipBomb { bytes } => with(streamed(200, gzip_bomb(text, bytes)), CONTENT_ENCODING, "gzip"),
    }
}

fn build(status: u16, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A value that no header can hold is left out.
fn with(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

fn streamed(status: u16, body: Body) -> Response {
    build(status, JSON, body)
}

fn error_page<F: Fake>(status: u16, body: ErrorBody, retry_after: Option<&str>, path: &str) -> Response {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error");
    let response = match body {
        ErrorBody::Html => build(status, HTML, page(&format!("{status} {reason}"))),
        ErrorBody::Empty => build(status, HTML, Vec::new()),
        ErrorBody::Json => plain(F::error(status, "injected fault", path)),
    };
    match retry_after {
        Some(value) => with(response, RETRY_AFTER, value),
        None => response,
    }
}

fn page(title: &str) -> Vec<u8> {
    format!("<html>\r\n<head><title>{title}</title></head>\r\n<body><h1>{title}</h1></body>\r\n</html>\r\n")
        .into_bytes()
}

/// Every value of the top object, or of each object of a list, as something else.
fn retyped(body: &[u8]) -> Vec<u8> {
    let wrong = |value: Value| match value {
        Value::Number(number) => Value::Array(vec![Value::Number(number)]),
        Value::String(text) => serde_json::json!({ "text": text }),
        Value::Array(_) | Value::Object(_) => "a string".into(),
        Value::Bool(_) | Value::Null => 42.into(),
    };
    let wrong_within = |value: Value| match value {
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, wrong(value))).collect(),
        value => value,
    };
    match serde_json::from_slice(body) {
        Ok(Value::Array(items)) => Answer::json(200, &items.into_iter().map(wrong_within).collect::<Vec<_>>()).body,
        Ok(value @ Value::Object(_)) => Answer::json(200, &wrong_within(value)).body,
        _ => body.to_vec(),
    }
}

/// `{a}` as `{a,a}`.
fn doubled(body: &[u8]) -> Vec<u8> {
    let members = body.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")).filter(|rest| !rest.is_empty());
    members.map_or_else(|| body.to_vec(), |members| [b"{", members, b",", members, b"}"].concat())
}

fn deep(field: &str, depth: usize) -> Vec<u8> {
    format!("{}0{}", format!("{{\"{field}\":").repeat(depth), "}".repeat(depth)).into_bytes()
}

fn cut_mid_body(answer: Answer) -> Response {
    let length = answer.body.len().max(1).to_string();
    let half = Bytes::from(answer.body).split_to(length.parse::<usize>().unwrap_or(0) / 2);
    let first = stream::once(async move { Ok::<_, io::Error>(half) });
    let broken = stream::once(async {
        // Lets the first half reach the wire before the connection goes down.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    });
    with(streamed(answer.status, Body::from_stream(first.chain(broken))), CONTENT_LENGTH, &length)
}

fn trickle(answer: Answer, every: Duration) -> Response {
    let length = answer.body.len().to_string();
    let bytes = stream::iter(answer.body).then(move |byte| async move {
        tokio::time::sleep(every).await;
        Ok::<_, Infallible>(Bytes::from(vec![byte]))
    });
    with(streamed(answer.status, Body::from_stream(bytes)), CONTENT_LENGTH, &length)
}

fn stalled() -> Body {
    Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())
}

/// `{"field":"000…`, `bytes` long behind the quotation mark.
fn huge(field: &'static str, bytes: u64) -> Body {
    let piece = Bytes::from(vec![b'0'; PIECE]);
    let pieces = stream::unfold(bytes, move |left| {
        let piece = piece.clone();
        async move {
            let length = left.min(PIECE as u64);
            (length > 0).then(|| (Ok::<_, Infallible>(piece.slice(..length as usize)), left - length))
        }
    });
    Body::from_stream(stream::once(async move { Ok(opening(field)) }).chain(pieces))
}

fn opening(field: &str) -> Bytes {
    Bytes::from(format!("{{\"{field}\":\""))
}

/// The same, compressed while it is sent: other requests are answered in between.
fn gzip_bomb(field: &'static str, bytes: u64) -> Body {
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    Body::from_stream(stream::try_unfold(Some((encoder, bytes)), move |state| async move {
        let Some((mut encoder, mut left)) = state else { return Ok::<_, io::Error>(None) };
        if left == bytes {
            encoder.write_all(&opening(field))?;
        }
        while left > 0 && encoder.get_ref().len() < PIECE {
            let length = left.min(PIECE as u64);
            encoder.write_all(&[b'0'; PIECE][..length as usize])?;
            left -= length;
            tokio::task::yield_now().await;
        }
        if left == 0 {
            return Ok(Some((Bytes::from(encoder.finish()?), None)));
        }
        let piece = Bytes::from(std::mem::take(encoder.get_mut()));
        Ok(Some((piece, Some((encoder, left)))))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn altered_bodies_are_wrong_in_one_way_only() {
        let body = br#"{"code":0,"message":"OK","lines":[]}"#;
        assert_eq!(doubled(b"{\"code\":0}"), b"{\"code\":0,\"code\":0}");
        assert_eq!(doubled(b"{}"), b"{}");
        let wrong: Value = serde_json::from_slice(&retyped(body)).unwrap();
        assert_eq!(wrong, serde_json::json!({"code": [0], "message": {"text": "OK"}, "lines": "a string"}));
        assert_eq!(retyped(br#"[{"a":1},2]"#), br#"[{"a":[1]},2]"#);
        assert_eq!(deep("code", 2), br#"{"code":{"code":0}}"#);
    }
}
