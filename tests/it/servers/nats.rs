//! A private NATS server with JetStream, and a client of its protocol that shares nothing with the one under test.

use std::cell::Cell;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use renewald::tls::Identity;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::authority::Authority;
use super::operator::User;
use super::{Restart, Server, find, free_port};

/// A server; `stop` and `start` keep its port and its streams.
pub struct Nats {
    program: PathBuf,
    dir: TempDir,
    port: u16,
    server: Option<Server>,
}

impl Nats {
    /// With these further lines in its configuration. `None` where it is not installed.
    pub fn with(configuration: &str) -> Option<Self> {
        let program = find("nats-server", "nats-server")?;
        let mut this =
            Self { program, dir: tempfile::tempdir().expect("a directory"), port: free_port(), server: None };
        let (port, store) = (this.port, this.dir.path().join("jetstream"));
        let text = format!("listen: 127.0.0.1:{port}\njetstream {{ store_dir: {store:?} }}\n{configuration}\n");
        fs::write(this.dir.path().join("nats.conf"), text).expect("the configuration is written");
        this.start();
        Some(this)
    }

    pub fn new() -> Option<Self> {
        Self::with("")
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn client(&self) -> Client {
        self.client_as(&json!({}))
    }

    /// With these fields in its CONNECT: `user`, `pass`.
    pub fn client_as(&self, connect: &Value) -> Client {
        Client::connect(self.port, |_| connect.clone(), None)
    }

    /// As somebody whom an operator vouches for.
    pub fn client_of(&self, user: &User) -> Client {
        Client::connect(self.port, |greeting| user.connect(greeting["nonce"].as_str().expect("a nonce")), None)
    }

    /// Encrypted, with the authority's client certificate.
    pub fn tls_client(&self, authority: &Authority, connect: &Value) -> Client {
        let [ca, certificate, key] =
            ["authority.pem", "client.pem", "client.key"].map(|name| authority.file(name).into());
        let identity = Identity { certificate, key };
        let config = renewald::tls::client_config(Some(PathBuf::as_path(&ca)), Some(&identity)).expect("its files");
        Client::connect(self.port, |_| connect.clone(), Some(config))
    }
}

impl Restart for Nats {
    fn start(&mut self) {
        let file = |name: &str| self.dir.path().join(name);
        let configuration = file("nats.conf").display().to_string();
        let server = Server::start(&self.program, &["-c", &configuration], &[], &file("log"));
        // JetStream is there a moment after the port.
        server.wait_until("JetStream", || fs::read_to_string(file("log")).unwrap_or_default().contains("is ready"));
        server.wait_for_port(self.port);
        self.server = Some(server);
    }

    /// Its log begins anew.
    fn stop(&mut self) {
        self.server = None;
        fs::remove_file(self.dir.path().join("log")).expect("its log");
    }
}

/// A message as a stream has it.
#[derive(Debug)]
pub struct Stored {
    pub subject: String,
    /// As in HTTP: `NATS/1.0`, then a line per header.
    pub headers: String,
    pub body: String,
}

impl Stored {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }
}

/// A connection, plain or encrypted.
trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// Speaks the text protocol: one request at a time.
pub struct Client {
    reader: BufReader<Box<dyn Stream>>,
    requests: Cell<u32>,
}

impl Client {
    /// `answer` makes a CONNECT of the server's INFO.
    fn connect(port: u16, answer: impl FnOnce(&Value) -> Value, tls: Option<ClientConfig>) -> Self {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("NATS listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time");
        // A request goes out in two writes: the second would wait 40 ms for the server's leave.
        stream.set_nodelay(true).expect("an option");
        // The server speaks first, in plain text, and only then encrypted.
        let (mut greeting, mut byte) = (Vec::new(), [0]);
        while byte != *b"\n" {
            stream.read_exact(&mut byte).expect("NATS speaks");
            greeting.extend(byte);
        }
        let greeting = greeting.strip_prefix(b"INFO ").and_then(|info| serde_json::from_slice(info).ok());
        let mut connect = answer(&greeting.expect("NATS says who it is"));
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(stream),
            Some(config) => {
                let name = "localhost".try_into().expect("a name");
                let session = ClientConnection::new(Arc::new(config), name).expect("a session");
                Box::new(StreamOwned::new(session, stream))
            }
        };
        let mut this = Self { reader: BufReader::new(stream), requests: Cell::new(0) };
        connect["verbose"] = false.into();
        this.send(&format!("CONNECT {connect}\r\nPING\r\n"));
        while this.line() != "PONG" {}
        this
    }

    fn send(&mut self, text: &str) {
        let stream = self.reader.get_mut();
        stream.write_all(text.as_bytes()).and_then(|()| stream.flush()).expect("NATS reads");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("NATS answers");
        assert!(!line.is_empty() && !line.starts_with("-ERR"), "NATS says {line:?}");
        line.trim_end().to_owned()
    }

    /// Asks JetStream's API; the answer, also where it is an error.
    pub fn ask(&mut self, what: &str, request: &Value) -> Value {
        let n = self.requests.replace(self.requests.get() + 1);
        let request = if request.is_null() { String::new() } else { request.to_string() };
        self.send(&format!("SUB inbox.{n} {n}\r\nUNSUB {n} 1\r\n"));
        self.send(&format!("PUB $JS.API.{what} inbox.{n} {}\r\n{request}\r\n", request.len()));
        let header = loop {
            let line = self.line();
            match line.as_str() {
                "PING" => self.send("PONG\r\n"),
                _ if line.starts_with("MSG ") => break line,
                _ => {}
            }
        };
        let length: usize = header.rsplit(' ').next().and_then(|length| length.parse().ok()).expect("a length");
        let mut body = vec![0; length + 2];
        self.reader.read_exact(&mut body).expect("NATS sends it all");
        serde_json::from_slice(&body[..length]).expect("JetStream answers JSON")
    }

    /// Creates or changes a stream; `more` goes into its configuration.
    pub fn stream(&mut self, what: &str, name: &str, subjects: &[&str], more: Value) {
        let mut configuration = json!({"name": name, "subjects": subjects, "storage": "file", "num_replicas": 1,
            "retention": "limits", "discard": "old", "max_msgs": -1, "max_bytes": -1, "max_consumers": -1});
        for (key, value) in more.as_object().expect("an object") {
            configuration[key] = value.clone();
        }
        let answer = self.ask(&format!("STREAM.{what}.{name}"), &configuration);
        assert!(answer["error"].is_null(), "{answer}");
    }

    pub fn create_stream(&mut self, name: &str, subjects: &[&str]) {
        self.stream("CREATE", name, subjects, json!({}));
    }

    /// Everything that a stream holds, in its order.
    pub fn messages(&mut self, stream: &str) -> Vec<Stored> {
        let state = self.ask(&format!("STREAM.INFO.{stream}"), &Value::Null)["state"].clone();
        let sequence = |name: &str| state[name].as_u64().expect("a sequence");
        (sequence("first_seq")..=sequence("last_seq")).filter_map(|n| self.message(stream, n)).collect()
    }

    fn message(&mut self, stream: &str, sequence: u64) -> Option<Stored> {
        let answer = self.ask(&format!("STREAM.MSG.GET.{stream}"), &json!({"seq": sequence}));
        let message = answer.get("message")?;
        let decoded = |name: &str| {
            let bytes = BASE64_STANDARD.decode(message[name].as_str().unwrap_or_default()).expect("base64");
            String::from_utf8(bytes).expect("UTF-8")
        };
        let subject = message["subject"].as_str().expect("a subject").to_owned();
        Some(Stored { subject, headers: decoded("hdrs"), body: decoded("data") })
    }
}
