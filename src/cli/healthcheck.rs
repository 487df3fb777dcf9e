//! `renewald healthcheck`: asks the daemon of these settings whether it does its work. Needs nothing but the settings file:
//! no store, no secret, no certificates.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::{Context, Error, Exit};
use crate::text::visible;

/// Shorter than what a container engine grants.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_BYTES: u64 = 64 * 1024;
const REQUEST: &[u8] = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Exit 0 when it is ready, 1 when it is not, with the reasons.
pub async fn run(context: &Context) -> Result<Exit, Error> {
    let listen = context.settings()?.settings.admin.listen;
    if listen.is_empty() {
        let text = "admin.listen is empty: the daemon has no endpoint that could be asked";
        return Err(not_ready(context, Exit::Settings, text.to_owned())?);
    }
    let (status, readiness) = match readiness(&listen).await {
        Ok(answer) => answer,
        Err(why) => return Err(not_ready(context, Exit::Failed, format!("{listen}: {why}"))?),
    };
    if context.global.json {
        context.print_json(&readiness)?;
    } else if status == 200 && context.global.quiet == 0 {
        context.print("ready")?;
    }
    if status == 200 {
        return Ok(Exit::Done);
    }
    let reasons = readiness["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let reasons = reasons.collect::<Vec<_>>().join("; ");
    Err(Error::new(Exit::Failed, visible(&format!("not ready: {reasons}"))))
}

/// Nobody has answered: the reason takes the place of the daemon's own.
fn not_ready(context: &Context, exit: Exit, reason: String) -> Result<Error, Error> {
    let text = visible(&format!("not ready: {reason}"));
    if context.global.json {
        context.print_json(&json!({"ready": false, "reasons": [reason]}))?;
    }
    Ok(Error::new(exit, text))
}

async fn readiness(listen: &str) -> Result<(u16, Value), String> {
    match timeout(ANSWER_WITHIN, ask(listen)).await {
        Ok(Ok(answer)) => parse(&answer).ok_or_else(|| "what answers there is not renewald".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", ANSWER_WITHIN.as_secs())),
    }
}

async fn ask(listen: &str) -> std::io::Result<Vec<u8>> {
    match listen.strip_prefix("unix:") {
        Some(path) => exchange(UnixStream::connect(path).await?).await,
        None => exchange(TcpStream::connect(reachable(listen)?).await?).await,
    }
}

/// Who listens on every address is reached on loopback.
pub fn reachable(listen: &str) -> std::io::Result<SocketAddr> {
    let mut address: SocketAddr = listen.parse().map_err(|_| std::io::ErrorKind::InvalidInput)?;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(address)
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<Vec<u8>> {
    stream.write_all(REQUEST).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Its status, and the JSON of its body, which the daemon sends in one piece.
fn parse(answer: &[u8]) -> Option<(u16, Value)> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let readiness: Value = serde_json::from_str(body).ok()?;
    readiness["ready"].is_boolean().then_some((status, readiness))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_here() {
        assert_eq!(reachable("0.0.0.0:9464").unwrap().to_string(), "127.0.0.1:9464");
        assert_eq!(reachable("[::]:9464").unwrap().to_string(), "[::1]:9464");
        assert_eq!(reachable("192.0.2.7:1").unwrap().to_string(), "192.0.2.7:1");
    }

    #[test]
    fn only_our_own_answer_counts() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\na: b\r\n\r\n{\"ready\": false, \"reasons\": []}";
        assert_eq!(parse(answer).unwrap().0, 503);
        for other in ["", "HTTP/1.1 200 OK\r\n\r\n<html>", "HTTP/1.1 200 OK\r\n\r\n{}", "SSH-2.0-x\r\n\r\n{}"] {
            assert!(parse(other.as_bytes()).is_none(), "{other}");
        }
    }
}
