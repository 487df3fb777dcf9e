//! A webhook receiver on loopback, for tests: it remembers every message in order and answers as it is told.
//!
//! Plain threads and blocking calls, so that it does not share a runtime, or a paused clock, with what it tests.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Far longer than anything waited for takes: reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// One message as it came over the wire.
#[derive(Clone, Debug)]
pub struct Received {
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`.
    pub timestamp: String,
    /// `webhook-signature`; `None` = unsigned.
    pub signature: Option<String>,
    pub content_type: String,
    /// All of them, their names in lower case.
    #[allow(dead_code, reason = "tests/faults has no gate")]
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Counted from 0 in the order of acceptance: the same number = the same connection.
    pub connection: usize,
    /// When it was read to its end.
    #[allow(dead_code, reason = "tests/faults holds it against what was on the disk by then")]
    pub arrived_at: SystemTime,
}

impl Received {
    /// The CloudEvent.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("a message is JSON")
    }

    /// The CloudEvent's `data`.
    pub fn data(&self) -> serde_json::Value {
        self.json()["data"].clone()
    }

    /// Whether one of the signatures is that of this `whsec_` secret, according to Python's own HMAC.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        const VERIFY: &str = r#"
import base64, hmac, sys
secret, message_id, timestamp, signatures = sys.argv[1:]
key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
signed = message_id.encode() + b"." + timestamp.encode() + b"." + sys.stdin.buffer.read()
expected = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
sys.exit(0 if expected in signatures.split(" ") else 1)
"#;
        let mut python = Command::new("python3")
            .args(["-c", VERIFY, secret, &self.id, &self.timestamp, self.signature.as_deref().unwrap_or_default()])
            .stdin(Stdio::piped())
            .spawn()
            .expect("python3 is installed");
        python.stdin.take().expect("piped").write_all(self.body.as_bytes()).expect("python reads its input");
        match python.wait().expect("python ends").code() {
            Some(0) => true,
            Some(1) => false,
            other => panic!("python ended with {other:?}"),
        }
    }
}

/// What a message gets.
#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16),
    /// A status with this body.
    #[allow(dead_code, reason = "tests/faults reads no answers")]
    Says(u16, Vec<u8>),
    /// A status with this `Retry-After`.
    RetryAfter(u16, String),
    /// A redirect to this place.
    Redirect(u16, String),
    /// Nothing, with the connection kept open until the other side closes it.
    Never,
    /// Half of the answer's head, then as [`Answer::Never`].
    Stall,
    /// The connection is closed without an answer.
    Cut,
    /// This status, but only after [`FakeReceiver::release`].
    Held(u16),
}

#[derive(Default)]
struct State {
    received: Vec<Received>,
    /// How many of them `next_message` has handed out.
    taken: usize,
    default: Option<Answer>,
    /// For one message each, before all rules.
    next: VecDeque<Answer>,
    /// By a part of the body; the latest that fits counts.
    rules: Vec<(String, Answer)>,
    released: bool,
    stopped: bool,
    connections: Vec<TcpStream>,
    /// How many of them are over.
    ended: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread of the receiver panics")
    }
}

/// Answers 200 until told otherwise. Stops when dropped.
pub struct FakeReceiver {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl FakeReceiver {
    pub fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    pub fn that_never_answers() -> Self {
        Self::that_answers(Answer::Never)
    }

    pub fn that_answers(answer: Answer) -> Self {
        let receiver = Self::start();
        receiver.answer(answer);
        receiver
    }

    /// At the address of one that was stopped, say.
    pub fn start_at(address: SocketAddr) -> Self {
        Self::start_with(address, None)
    }

    /// Encrypted, and perhaps wanting a certificate.
    #[allow(dead_code, reason = "tests/faults has no gate")]
    pub fn behind(tls: Arc<ServerConfig>) -> Self {
        Self::start_with(SocketAddr::from(([127, 0, 0, 1], 0)), Some(tls))
    }

    fn start_with(address: SocketAddr, tls: Option<Arc<ServerConfig>>) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind(address).expect("the address is free");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let accepting = thread::spawn({
            let shared = shared.clone();
            move || accept(listener, tls, &shared)
        });
        Self { address, scheme, shared, accepting: Mutex::new(Some(accepting)) }
    }

    pub fn url(&self) -> String {
        format!("{}://{}/hooks/renewals", self.scheme, self.address)
    }

    /// The answer from now on to what no rule says otherwise of.
    pub fn answer(&self, answer: Answer) {
        self.shared.lock().default = Some(answer);
    }

    /// The answers to the next messages, one each; they come before all rules.
    pub fn answer_next(&self, answers: impl IntoIterator<Item = Answer>) {
        self.shared.lock().next.extend(answers);
    }

    /// The answer from now on to messages whose body contains `part`. The latest rule that fits counts.
    pub fn answer_to(&self, part: &str, answer: Answer) {
        self.shared.lock().rules.push((part.to_owned(), answer));
    }

    /// Lets all held answers go, those to come included.
    pub fn release(&self) {
        self.shared.lock().released = true;
        self.shared.changed.notify_all();
    }

    /// The next message not handed out yet, read to its end but perhaps not answered.
    pub fn next_message(&self) -> Received {
        self.next_message_within(PATIENCE).expect("a message arrives")
    }

    /// As [`Self::next_message`], `None` when none came in time.
    pub fn next_message_within(&self, patience: Duration) -> Option<Received> {
        let deadline = Instant::now() + patience;
        let mut state = self.shared.lock();
        while state.received.len() == state.taken {
            let left = deadline.checked_duration_since(Instant::now())?;
            state = self.shared.changed.wait_timeout(state, left).expect("no thread of the receiver panics").0;
        }
        state.taken += 1;
        state.received.get(state.taken - 1).cloned()
    }

    /// Waits until so many have come since the start.
    #[allow(dead_code, reason = "for tests/faults")]
    pub fn wait_for_messages(&self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.lock();
        while state.received.len() < count {
            let left = deadline.checked_duration_since(Instant::now());
            let left = left.unwrap_or_else(|| panic!("{} of {count} messages came", state.received.len()));
            state = self.shared.changed.wait_timeout(state, left).expect("no thread of the receiver panics").0;
        }
    }

    /// Waits until so many connections are over, by whichever side.
    #[allow(dead_code, reason = "tests/faults looks at messages")]
    pub fn wait_until_ended(&self, count: usize) {
        let state = self.shared.lock();
        let waiting = |state: &mut State| state.ended < count;
        let waited = self.shared.changed.wait_timeout_while(state, PATIENCE, waiting);
        let (state, time) = waited.expect("no thread of the receiver panics");
        assert!(!time.timed_out(), "{} of {count} connections have ended", state.ended);
    }

    /// Everything so far, handed out or not, in the order of arrival.
    pub fn messages(&self) -> Vec<Received> {
        self.shared.lock().received.clone()
    }

    /// Closes its connections and its port. What it received is still known.
    pub fn stop(&self) -> SocketAddr {
        let Some(accepting) = self.accepting.lock().expect("nobody panics with it").take() else { return self.address };
        let mut state = self.shared.lock();
        state.stopped = true;
        for connection in state.connections.drain(..) {
            drop(connection.shutdown(Shutdown::Both)); // fails where the other side was faster
        }
        drop(state);
        self.shared.changed.notify_all();
        drop(TcpStream::connect(self.address)); // wakes `accept`, which then gives up the port
        drop(accepting.join()); // its panic has been printed
        self.address
    }
}

impl Drop for FakeReceiver {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Ends when stopped, after the threads of all connections.
fn accept(listener: TcpListener, tls: Option<Arc<ServerConfig>>, shared: &Arc<Shared>) {
    let mut serving = Vec::new();
    for (number, stream) in listener.incoming().enumerate() {
        let mut state = shared.lock();
        if state.stopped {
            break;
        }
        let stream = stream.expect("a connection is accepted");
        state.connections.push(stream.try_clone().expect("its descriptor is copied"));
        let (shared, tls) = (shared.clone(), tls.clone());
        serving.push(thread::spawn(move || {
            // The other side going away is no matter here: it is what some tests do.
            drop(match tls {
                None => serve(stream, number, &shared),
                Some(tls) => {
                    let connection = ServerConnection::new(tls).expect("TLS is set up");
                    serve(StreamOwned::new(connection, stream), number, &shared)
                }
            });
            shared.lock().ended += 1;
            shared.changed.notify_all();
        }));
    }
    serving.into_iter().for_each(|thread| drop(thread.join()));
}

/// One connection, request after request.
fn serve(stream: impl Read + Write, connection: usize, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some((is_message, received)) = read_request(&mut reader, connection)? {
        let writer = reader.get_mut();
        if !is_message {
            write_answer(writer, 405, "")?;
            continue;
        }
        match record(shared, received) {
            Answer::Status(status) => write_answer(writer, status, "")?,
            Answer::Says(status, body) => write_body(writer, status, "", &body)?,
            Answer::RetryAfter(status, after) => write_answer(writer, status, &format!("retry-after: {after}\r\n"))?,
            Answer::Redirect(status, to) => write_answer(writer, status, &format!("location: {to}\r\n"))?,
            Answer::Never => return io::copy(&mut reader, &mut io::sink()).map(drop),
            Answer::Stall => {
                writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-le")?;
                return io::copy(&mut reader, &mut io::sink()).map(drop);
            }
            Answer::Cut => return shared.lock().connections[connection].shutdown(Shutdown::Both),
            Answer::Held(status) => {
                let state = shared.lock();
                let waiting = |state: &mut State| !state.released && !state.stopped;
                drop(shared.changed.wait_while(state, waiting).expect("no thread of the receiver panics"));
                write_answer(writer, status, "")?;
            }
        }
    }
    Ok(())
}

/// Remembers the message and says what it gets.
fn record(shared: &Shared, received: Received) -> Answer {
    let mut state = shared.lock();
    let by_rule = |state: &State| {
        let rule = state.rules.iter().rev().find(|(part, _)| received.body.contains(part));
        rule.map(|(_, answer)| answer.clone())
    };
    let answer = state.next.pop_front().or_else(|| by_rule(&state)).or_else(|| state.default.clone());
    state.received.push(received);
    shared.changed.notify_all();
    answer.unwrap_or(Answer::Status(200))
}

/// `None` at the end of the connection. Only a POST is a message.
fn read_request(reader: &mut impl BufRead, connection: usize) -> io::Result<Option<(bool, Received)>> {
    let mut request_line = String::new();
    if reader.read_line(&mut request_line)? == 0 {
        return Ok(None);
    }
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let received = Received {
        id: header("webhook-id").unwrap_or_default(),
        timestamp: header("webhook-timestamp").unwrap_or_default(),
        signature: header("webhook-signature"),
        content_type: header("content-type").unwrap_or_default(),
        headers: headers.clone(),
        body: String::from_utf8(body).map_err(io::Error::other)?,
        connection,
        arrived_at: SystemTime::now(),
    };
    Ok(Some((request_line.starts_with("POST "), received)))
}

/// The body is there to show up where it must not: in a log or an error.
fn write_answer(writer: &mut impl Write, status: u16, headers: &str) -> io::Result<()> {
    let body = if matches!(status, 204 | 304) { "" } else { "WORDS OF THE RECEIVER" };
    write_body(writer, status, headers, body.as_bytes())
}

fn write_body(writer: &mut impl Write, status: u16, headers: &str, body: &[u8]) -> io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} PHRASE OF THE RECEIVER\r\n{headers}content-length: {length}\r\n\r\n");
    writer.write_all(&[head.as_bytes(), body].concat())
}
