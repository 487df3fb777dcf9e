//! A client for the admin endpoint: one request, one connection, every byte in the test's hands.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Daemon, Installation, PATIENCE};

/// A port of 127.0.0.1 that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("it is bound").port()
}

/// The endpoint of a daemon that a test has started.
pub struct Endpoint {
    pub port: u16,
    token: Option<String>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// A refusal must be a problem that says why.
    pub fn expect_problem(self, status: u16) -> String {
        let answer = self.expect(status);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
        let problem = answer.json();
        assert_eq!((&problem["status"], &problem["type"]), (&status.into(), &"about:blank".into()));
        assert!(problem["title"].is_string());
        problem["detail"].as_str().expect("a detail").to_owned()
    }
}

impl Endpoint {
    /// Starts a daemon that listens on a free port of this machine; `more` stands in `[admin]` too.
    pub fn start(site: &Installation, more: &str) -> (Daemon, Self) {
        let port = free_port();
        site.change(|setup| setup.admin = format!("listen = \"127.0.0.1:{port}\"\n{more}"));
        let daemon = Daemon::spawn(site);
        daemon.wait_for_log("admin endpoint is open");
        (daemon, Self { port, token: None })
    }

    pub fn at(port: u16) -> Self {
        Self { port, token: None }
    }

    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), port: self.port }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], None)
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, &[], None)
    }

    pub fn post(&self, path: &str) -> Answer {
        self.ask("POST", path, &[], None)
    }

    pub fn send(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, &["Content-Type: application/json"], Some(&body.to_string()))
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[&str], body: Option<&str>) -> Answer {
        let authorization = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}"));
        let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            write!(text, "Host: 127.0.0.1:{}\r\n", self.port).expect("a string");
        }
        for header in headers.iter().copied().chain(authorization.as_deref()) {
            write!(text, "{header}\r\n").expect("a string");
        }
        match body {
            Some(body) => write!(text, "Content-Length: {}\r\n\r\n{body}", body.len()).expect("a string"),
            None => text.push_str("\r\n"),
        }
        exchange(self.connect(), &text)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.set_read_timeout(Some(3 * PATIENCE)).expect("a time");
        stream
    }
}

/// Asks over a Unix socket.
pub fn get_over(socket: &Path, path: &str) -> Answer {
    let stream = UnixStream::connect(socket).expect("it listens");
    exchange(stream, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
}

pub fn exchange(mut stream: impl Read + Write, request: &str) -> Answer {
    // Whoever is refused early may not read to the end.
    stream.write_all(request.as_bytes()).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    let text = String::from_utf8(answer).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}
