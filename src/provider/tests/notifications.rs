//! Notifications from the socket to the message, and everything that anybody may send in place of one.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::site::Site;
use super::{FIRST, SECOND};
use crate::daemon::{self, Drained, Source, Worker};
use crate::hooks;
use crate::listen::Endpoint;
use crate::logging::Logging;
use crate::metrics::Metrics;
use crate::signals::{Shutdown, Signals};

const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "Authorization: Bearer sesame\r\n";

/// Waits until there is one.
async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} never came");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Takes notifications with `hints` in the provider's table. Both subscriptions are tracked, were looked at two hours ago, and are
/// due in two.
async fn site(hints: &str) -> Site {
    let site = Site::new().await;
    let socket = site.path("hooks.sock");
    let table = format!("[providers.counts.hints]\nlisten = \"unix:{}\"\n{hints}\n[sinks.out]", socket.display());
    site.change("[sinks.out]", &table);
    site.change("listen = \"\"", &format!("listen = \"unix:{}\"", site.path("admin.sock").display()));
    fs::create_dir(site.path("secrets")).unwrap();
    fs::write(site.path("secrets/token"), "sesame\n").unwrap();
    for id in [FIRST, SECOND] {
        site.done(&["track", id, id, "--provider", "counts", "--generation", "0"]).await;
        site.counts(id, 0);
    }
    site.sql(
        "UPDATE subscriptions SET last_asked_at = unixepoch() - 7200, last_answer_at = unixepoch() - 7200,
              last_outcome = 'ok', due_at = unixepoch() + 7200",
    );
    site
}

async fn bearer() -> Site {
    site("auth = \"bearer\"\ntoken_file = \"token\"").await
}

/// Lane and seconds until it is due.
fn due(site: &Site, id: &str) -> (i64, i64) {
    let column =
        |column: &str| site.value(&format!("SELECT {column} FROM subscriptions WHERE subscription_id = '{id}'"));
    (column("lane"), column("due_at - unixepoch()"))
}

/// The status and the head of the answer.
async fn exchange(socket: PathBuf, request: &[u8]) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    // It may have been answered before all of it was read.
    drop(stream.write_all(request).await);
    answer(&mut stream).await
}

async fn answer(stream: &mut UnixStream) -> (u16, String) {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    let head = String::from_utf8(head).unwrap();
    (head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default(), head)
}

fn post(name: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST /hooks/{name} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn about(ids: &[&str]) -> Vec<u8> {
    json!({"type": "renewCompleted", "about": ids, "generation": 99, "key": "FORGED"}).to_string().into_bytes()
}

impl Site {
    async fn sends(&self, headers: &str, body: &[u8]) -> u16 {
        exchange(self.path("hooks.sock"), &post("counts", headers, body)).await.0
    }

    fn messages(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("out.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Of `/metrics`: what has become of notifications.
    async fn counted(&self, outcome: &str) -> u64 {
        let mut stream = UnixStream::connect(self.path("admin.sock")).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let series = format!("renewald_hints_total{{provider=\"counts\",outcome=\"{outcome}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.unwrap_or_else(|| panic!("{outcome}: {text}")).parse().unwrap()
    }
}

/// The daemon, as `run` runs it.
struct Running {
    shutdown: Shutdown,
    reload: Arc<Notify>,
    task: JoinHandle<Result<Drained, daemon::Error>>,
}

impl Running {
    async fn start(site: &Site) -> Self {
        let signals = Signals { shutdown: Shutdown::manual(), reload: Arc::default(), poll_now: Arc::default() };
        let (shutdown, reload) = (signals.shutdown.clone(), signals.reload.clone());
        let worker = Worker::new(Arc::new(site.settings()), site.store()).unwrap();
        let source = Source { file: Some(site.path("renewald.toml")), logging: Logging::unheard() };
        let task = tokio::spawn(worker.run(signals, source));
        let socket = site.path("hooks.sock");
        eventually("the door", async || UnixStream::connect(&socket).await.ok()).await;
        Self { shutdown, reload, task }
    }

    async fn ends(self) {
        self.shutdown.request();
        assert_eq!(self.task.await.unwrap().unwrap(), Drained::Clean);
    }
}

/// The doors alone: nobody looks at what is due.
fn doors(site: &Site) -> (Endpoint, Arc<Notify>) {
    let live = hooks::Live::new(Arc::new(site.settings())).unwrap();
    let (_, live) = tokio::sync::watch::channel(Arc::new(live));
    let (sweep_bell, metrics) = (Arc::<Notify>::default(), Metrics::default());
    let parts = hooks::Parts { live, store: site.store(), metrics, sweep_bell: sweep_bell.clone() };
    (hooks::open(parts).unwrap().unwrap(), sweep_bell)
}

#[tokio::test]
async fn a_notification_brings_the_message_and_those_that_follow_one_look_a_minute_later() {
    let site = bearer().await;
    let daemon = Running::start(&site).await;
    site.counts(FIRST, 1);
    site.has_keys(FIRST, "1");
    assert_eq!(site.account.asked(), Vec::<String>::new(), "nobody was due");
    assert_eq!(site.sends(SECRET, &about(&[FIRST])).await, 200);
    let message = eventually("the message", async || site.messages().pop()).await;
    let data = &message["data"];
    assert_eq!((&data["generation"], &data["reference"]), (&json!(1), &json!("1")), "what it was told is not believed");
    assert!(!message.to_string().contains("FORGED"));
    let asked = site.account.asked();
    assert_eq!(asked, ["/counter/Sub%2D%C3%A4%2F1", "/counter/Sub%2D%C3%A4%2F1/keys/1"], "and nobody else");

    for _ in 0..5 {
        assert_eq!(site.sends(SECRET, &about(&[FIRST])).await, 200);
    }
    assert_eq!((site.counted("raised").await, site.counted("soon").await), (2, 4));
    let (lane, seconds) = due(&site, FIRST);
    assert!(lane == 1 && (1..=60).contains(&seconds), "{lane} {seconds}");
    assert_eq!(site.account.asked(), Vec::<String>::new());
    daemon.ends().await;
}

#[tokio::test]
async fn whoever_does_not_know_the_secret_changes_nothing() {
    let site = site("auth = \"basic\"\nuser = \"nexway\"\npassword_file = \"token\"").await;
    let (doors, _) = doors(&site);
    for wrong in ["", SECRET, "Authorization: Basic bmV4d2F5OnNlc2Ft\r\n", "Authorization: Basic\r\n"] {
        let (status, head) = exchange(site.path("hooks.sock"), &post("counts", wrong, &about(&[FIRST]))).await;
        assert_eq!(status, 401, "{wrong}");
        assert!(
            head.contains("www-authenticate: Basic realm=\"renewald\"") && head.contains("connection: close"),
            "{head}"
        );
    }
    assert_eq!(due(&site, FIRST).0, 3);
    assert_eq!(site.sends("Authorization: Basic bmV4d2F5OnNlc2FtZQ==\r\n", &about(&[FIRST])).await, 200);
    assert_eq!(due(&site, FIRST).0, 1);
    doors.close().await;
}

#[tokio::test]
async fn what_is_no_notification_is_answered_for_what_it_is() {
    let site = bearer().await;
    let (doors, _) = doors(&site);
    let socket = || site.path("hooks.sock");
    for name in ["lists", "nobody", "counts/more", ""] {
        assert_eq!(exchange(socket(), &post(name, SECRET, &about(&[FIRST]))).await.0, 404, "{name}");
    }
    for method in ["GET", "PUT", "DELETE"] {
        let request = format!("{method} /hooks/counts HTTP/1.1\r\nHost: x\r\n{SECRET}\r\n");
        let (status, head) = exchange(socket(), request.as_bytes()).await;
        assert!(status == 405 && head.contains("allow: POST"), "{head}");
    }
    assert_eq!(exchange(socket(), b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.0, 404);
    // Unknown types, and what is no JSON: the sender would only come again.
    let bodies: [&[u8]; 7] = [b"", b"{", b"\xff\xfe", b"[]", b"{\"about\": 7}", b"{\"about\": [null]}", b"null"];
    for body in bodies {
        assert_eq!(site.sends(SECRET, body).await, 200);
    }
    let long = "x".repeat(300_000);
    let odd = ["", "\u{7}", long.as_str(), "' OR 1 = 1 --", "Sub-ä/3"];
    assert_eq!(site.sends(SECRET, &about(&odd[..2])).await, 200);
    assert_eq!(site.sends(SECRET, &about(&odd[3..])).await, 200);
    assert_eq!(site.sends(SECRET, &about(&odd)).await, 413);
    assert_eq!((due(&site, FIRST).0, due(&site, SECOND).0), (3, 3));
    doors.close().await;
}

#[tokio::test]
async fn a_body_may_come_in_pieces_but_not_without_end() {
    let site = bearer().await;
    let (doors, _) = doors(&site);
    let head = format!("POST /hooks/counts HTTP/1.1\r\nHost: x\r\n{SECRET}Transfer-Encoding: chunked\r\n\r\n");
    let body = String::from_utf8(about(&[FIRST])).unwrap();
    let (first, rest) = body.split_at(10);
    let pieces = format!("{head}a\r\n{first}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n", rest.len());
    assert_eq!(exchange(site.path("hooks.sock"), pieces.as_bytes()).await.0, 200);
    assert_eq!(due(&site, FIRST).0, 1);
    let endless = format!("{head}{}", format!("10000\r\n{}\r\n", " ".repeat(0x10000)).repeat(5));
    assert_eq!(exchange(site.path("hooks.sock"), endless.as_bytes()).await.0, 413);

    // Those that never go on keep nobody else waiting.
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = UnixStream::connect(site.path("hooks.sock")).await.unwrap();
        stream.write_all(format!("{head}a\r\n{first}\r\n").as_bytes()).await.unwrap();
        slow.push(stream);
    }
    assert_eq!(site.sends(SECRET, &about(&[SECOND])).await, 200);
    assert_eq!(due(&site, SECOND).0, 1);
    drop(slow);
    doors.close().await;
}

#[tokio::test]
async fn thousands_of_ids_raise_those_that_are_watched_and_ask_for_no_others() {
    let site = bearer().await;
    let (doors, _) = doors(&site);
    let strangers: Vec<String> = (0..5000).map(|n| format!("stranger-{n}")).collect();
    let named: Vec<&str> =
        [FIRST, FIRST].into_iter().chain(strangers.iter().map(String::as_str)).chain([SECOND]).collect();
    assert_eq!(site.sends(SECRET, &about(&named)).await, 200);
    assert_eq!((due(&site, FIRST).0, due(&site, SECOND).0), (1, 3), "the first thousand are looked at");
    assert_eq!(site.value("SELECT count(*) FROM subscriptions"), 2, "nobody is stored");
    doors.close().await;
}

#[tokio::test]
async fn a_flood_of_wrong_secrets_locks_nobody_out() {
    let site = bearer().await;
    let (doors, _) = doors(&site);
    let flood: Vec<_> =
        (0..40).map(|_| tokio::spawn(exchange(site.path("hooks.sock"), &*post("counts", "", b"{}").leak()))).collect();
    assert_eq!(site.sends(SECRET, &about(&[FIRST])).await, 200);
    let mut statuses = Vec::new();
    for one in flood {
        statuses.push(one.await.unwrap().0);
    }
    assert!(statuses.iter().all(|status| matches!(status, 401 | 429)), "{statuses:?}");
    assert_eq!(due(&site, FIRST).0, 1);
    doors.close().await;
}

#[tokio::test]
async fn without_a_secret_one_a_second_is_taken() {
    let site = site("auth = \"none\"").await;
    let (doors, _) = doors(&site);
    assert_eq!(site.sends("", &about(&[FIRST])).await, 200);
    let refused = async || {
        let (status, head) = exchange(site.path("hooks.sock"), &post("counts", "", &about(&[FIRST]))).await;
        (status == 429).then_some(head)
    };
    let head = eventually("429", refused).await;
    assert!(head.contains("retry-after: 1"), "{head}");
    doors.close().await;
}

#[tokio::test]
async fn what_was_answered_is_on_disk_whatever_happens_then() {
    let mut site = bearer().await;
    let (doors, bell) = doors(&site);
    site.counts(FIRST, 1);
    site.has_keys(FIRST, "1");
    assert_eq!(site.sends(SECRET, &about(&[FIRST])).await, 200);
    bell.notified().await;
    // Nobody has heard it: the process is gone. The next one looks.
    std::mem::forget(doors);
    let mut worker = Worker::new(Arc::new(site.settings()), site.store()).unwrap();
    let now = crate::clock::Timestamp::now();
    assert_eq!(worker.sweep(&|| now).await.unwrap().renewals, 1);
    worker.close().await;
    assert_eq!(site.turn().await.len(), 1);
}

#[tokio::test]
async fn a_reload_changes_secrets_at_once_and_addresses_at_the_next_start() {
    let site = bearer().await;
    let daemon = Running::start(&site).await;
    fs::write(site.path("secrets/token"), "open\n").unwrap();
    let other = site.path("other.sock");
    site.change("hooks.sock", "other.sock");
    daemon.reload.notify_one();
    let renewed = "Authorization: Bearer open\r\n";
    eventually("the new secret", async || (site.sends(renewed, &about(&[FIRST])).await == 200).then_some(())).await;
    assert_eq!(site.sends(SECRET, &about(&[FIRST])).await, 401);
    assert!(!other.exists());
    // Switched off: nobody is let in any more.
    let text = fs::read_to_string(site.path("renewald.toml")).unwrap();
    let (begin, end) = (text.find("[providers.counts.hints]").unwrap(), text.find("[sinks.out]").unwrap());
    fs::write(site.path("renewald.toml"), text[..begin].to_owned() + &text[end..]).unwrap();
    daemon.reload.notify_one();
    eventually("the end", async || (site.sends(renewed, &about(&[FIRST])).await == 404).then_some(())).await;
    daemon.ends().await;
}
