//! The receivers of `examples/receivers`, run by their interpreters: each takes what the daemon sends and stores it once, and nobody
//! else's.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use renewald::clock::Timestamp;
use serde_json::Value;
use sha2::Sha256;

use crate::harness::{SIGNING_SECRET, Site, eventually};
use crate::http::{Endpoint, free_port};
use crate::servers;

const PHP: [&str; 3] = ["php", "php-cli", "php/receiver.php"];
const NODE: [&str; 3] = ["node", "nodejs", "node/receiver.mjs"];
const PYTHON: [&str; 3] = ["python3", "python3", "python/receiver.py"];

/// A running example. Killed when dropped.
struct Receiver {
    child: Child,
    port: u16,
    inbox: PathBuf,
}

impl Receiver {
    /// As its first lines say it is started.
    fn start([interpreter, package, example]: [&str; 3], place: &Path) -> Option<Self> {
        let interpreter = servers::find(interpreter, package)?;
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/receivers").join(example);
        let (port, inbox) = (free_port(), place.join("inbox"));
        let mut command = Command::new(interpreter);
        match example.extension().and_then(|kind| kind.to_str()) {
            Some("php") => command.arg("-S").arg(format!("127.0.0.1:{port}")).arg(example).env("INBOX", &inbox),
            _ => command.arg(example).arg(port.to_string()).arg(&inbox),
        };
        let child = command.env("SIGNING_SECRET", SIGNING_SECRET).stderr(Stdio::null()).stdout(Stdio::null());
        let receiver = Self { child: child.spawn().expect("it starts"), port, inbox };
        eventually("it listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        Some(receiver)
    }

    /// By id; what is not whole yet included, under another name.
    fn stored(&self) -> BTreeMap<String, String> {
        let Ok(files) = fs::read_dir(&self.inbox) else { return BTreeMap::new() };
        let read = |file: fs::DirEntry| {
            let name = file.file_name().into_string().expect("a name");
            (name.trim_end_matches(".json").to_owned(), fs::read_to_string(file.path()).expect("text"))
        };
        files.map(|file| read(file.expect("a file"))).collect()
    }

    fn send(&self, id: &str, sent_at: i64, signature: &str) -> u16 {
        let headers = [
            format!("webhook-id: {id}"),
            format!("webhook-timestamp: {sent_at}"),
            format!("webhook-signature: {signature}"),
        ];
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        Endpoint::at(self.port).ask("POST", "/", &headers, Some("{}")).status
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn signature(id: &str, sent_at: i64) -> String {
    let key = STANDARD.decode(SIGNING_SECRET.trim_start_matches("whsec_")).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any key will do");
    mac.update(format!("{id}.{sent_at}.{{}}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn takes_each_message_once(example: [&str; 3]) {
    let site = Site::without_sink();
    let Some(receiver) = Receiver::start(example, &site.path("")) else { return };
    let url = format!("http://127.0.0.1:{}/", receiver.port);
    site.change(|setup| {
        setup.set_sink("shop", &format!("kind = \"webhook\"\nurl = \"{url}\"\nsigning_secret_file = \"signing\""));
    });
    for number in ["A", "B", "C"] {
        site.order(number);
        site.renew(number);
    }
    site.catch_up();
    let stored = receiver.stored();
    assert_eq!(stored.keys().cloned().collect::<Vec<_>>(), site.texts("SELECT id FROM messages ORDER BY id"));
    for (id, body) in &stored {
        let message: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(message["id"].as_str(), Some(id.as_str()));
    }
    assert_eq!(stored.len(), 3);
    site.command(&["queue", "replay", "--sink", "shop", "--since", "1h"]).expect_code(0);
    site.catch_up();
    assert_eq!(site.value::<i64>("SELECT count(*) FROM dispatches WHERE state = 'delivered' AND replays = 1"), 3);
    assert_eq!(receiver.stored(), stored, "sent twice, and stored once");
}

fn takes_nobody_elses(example: [&str; 3]) {
    let place = tempfile::tempdir().expect("a directory");
    let Some(receiver) = Receiver::start(example, place.path()) else { return };
    let (now, id) = (Timestamp::now().as_unix(), "5a9a1e0e-6a2f-5b43-9a3c-0d9f2f6c1b11");
    let genuine = signature(id, now);
    let another = signature(id, now + 1);
    let outside = "../../../../../../../tmp/5a9a1e0e-6a2";
    let refused = [
        receiver.send(id, now, &another),
        receiver.send(id, now, ""),
        receiver.send(id, now, "v1,ä"),
        receiver.send(id, now, genuine.trim_start_matches("v1,")),
        receiver.send(id, now - 3600, &signature(id, now - 3600)),
        receiver.send("", now, &signature("", now)),
        receiver.send(outside, now, &signature(outside, now)),
    ];
    assert_eq!(refused, [401; 7]);
    assert_eq!(receiver.stored().len(), 0);
    let rotated = format!("{another} {genuine}");
    assert_eq!((receiver.send(id, now, &genuine), receiver.send(id, now, &rotated)), (204, 204));
    assert_eq!(receiver.stored(), BTreeMap::from([(id.to_owned(), "{}".to_owned())]));
}

#[test]
fn the_receiver_in_php_takes_each_message_once() {
    takes_each_message_once(PHP);
}

#[test]
fn the_receiver_in_php_takes_nobody_elses() {
    takes_nobody_elses(PHP);
}

#[test]
fn the_receiver_for_node_takes_each_message_once() {
    takes_each_message_once(NODE);
}

#[test]
fn the_receiver_for_node_takes_nobody_elses() {
    takes_nobody_elses(NODE);
}

#[test]
fn the_receiver_in_python_takes_each_message_once() {
    takes_each_message_once(PYTHON);
}

#[test]
fn the_receiver_in_python_takes_nobody_elses() {
    takes_nobody_elses(PYTHON);
}
