//! The admin endpoint through the real binary: who may ask, what is answered, and that it matches its own description.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use renewald::sandbox::nexway_connect::Endpoint as Asked;
use serde_json::{Value, json};

use crate::fake_receiver::Answer as Receives;
use crate::harness::{Daemon, PATIENCE, Site, eventually, keys_of, numbered, shown};
use crate::http::{Endpoint, exchange, free_port, get_over};
use crate::nexway_connect::order;
use crate::servers;

const TOKEN: &str = "a-token-of-some-length";

fn start(site: &Site) -> (Daemon, Endpoint) {
    Endpoint::start(site, "")
}

/// With a token, so that keys are given out.
fn start_with_token(site: &Site, more: &str) -> (Daemon, Endpoint) {
    let (daemon, endpoint) = Endpoint::start(site, &format!("token = \"{TOKEN}\"\n{more}"));
    (daemon, endpoint.with_token(TOKEN))
}

#[test]
fn a_daemon_at_work_is_alive_and_ready_and_healthcheck_says_so() {
    let site = Site::without_sink();
    let (daemon, endpoint) = start(&site);
    assert_eq!(endpoint.get("/healthz").expect(200).json()["alive"], true);
    assert_eq!(endpoint.get("/readyz").expect(200).json(), json!({"ready": true, "reasons": []}));
    assert_eq!(site.command(&["healthcheck"]).expect_code(0).stdout, "ready\n");
    daemon.drain();
    let gone = site.command(&["healthcheck"]).expect_code(1);
    assert!(gone.stderr.contains("not ready: 127.0.0.1:"), "{}", gone.stderr);
}

#[test]
fn a_database_that_takes_no_writes_makes_it_unready() {
    let site = Site::without_sink();
    let (_daemon, endpoint) = start(&site);
    endpoint.get("/readyz").expect(200);
    let other = rusqlite::Connection::open(site.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let told = eventually("it is not ready", || Some(endpoint.get("/readyz")).filter(|answer| answer.status == 503));
    assert_eq!(told.json()["reasons"], json!(["the database took no write within 2 s"]));
    let checked = site.command(&["healthcheck", "--json"]).expect_code(1);
    assert!(checked.stderr.contains("took no write"), "{}", checked.stderr);
    assert_eq!(checked.json()["ready"], false);
    endpoint.get("/healthz").expect(200);
    other.execute_batch("ROLLBACK").unwrap();
    eventually("it is ready again", || (endpoint.get("/readyz").status == 200).then_some(()));
}

#[test]
fn a_clock_that_was_set_back_makes_it_unready() {
    let site = Site::without_sink();
    let (daemon, endpoint) = start(&site);
    endpoint.get("/readyz").expect(200);
    site.execute("INSERT OR REPLACE INTO clock (only, seen_at) VALUES (1, unixepoch() + 3600)");
    let told = endpoint.get("/readyz").expect(503).json();
    let reasons: Vec<_> = told["reasons"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap()).collect();
    assert!(matches!(reasons.as_slice(), [one] if one.starts_with("the clock says ")), "{reasons:?}");
    site.execute("UPDATE clock SET seen_at = unixepoch() + 200");
    endpoint.get("/readyz").expect(200);
    daemon.drain();
}

#[test]
fn half_a_request_is_not_waited_for() {
    let site = Site::without_sink();
    let (daemon, endpoint) = start(&site);
    let (mut head, mut body) = (endpoint.connect(), endpoint.connect());
    head.write_all(b"GET /healthz HTTP/1.1\r\nHost: 127").unwrap();
    let begun = "POST /v1/subscriptions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
                 Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    assert_eq!(exchange(&mut body, begun).expect_problem(408), "the body did not arrive in time");
    let mut answer = String::new();
    head.read_to_string(&mut answer).expect("it is closed");
    assert_eq!(answer, "");
    daemon.drain();
}

#[test]
fn a_reload_changes_who_may_ask_and_what_is_known() {
    let site = Site::without_sink();
    let (daemon, endpoint) = start_with_token(&site, "");
    endpoint.get("/v1/status").expect(200);
    let settings = fs::read_to_string(site.path("renewald.toml")).unwrap();
    let changed = settings.replace(TOKEN, "another-token-of-some-length");
    fs::write(site.path("renewald.toml"), changed + "[sinks.new]\nkind = \"queue\"\n").unwrap();
    daemon.reload();
    endpoint.get("/v1/status").expect_problem(401);
    let endpoint = endpoint.with_token("another-token-of-some-length");
    let status = eventually("the new sink is known", || {
        let status = endpoint.get("/v1/status").expect(200).json();
        status["sinks"].as_array().unwrap().iter().any(|sink| sink["sink"] == "new").then_some(status)
    });
    assert_eq!(status["running"], true);
    daemon.drain();
}

#[test]
fn an_address_in_use_ends_the_start_with_words() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let site = Site::without_sink_and(|setup| setup.listen(address));
    let failed = site.command(&["run"]).expect_code(73);
    assert!(failed.stderr.contains(&format!("admin.listen: cannot listen on {address}")), "{}", failed.stderr);
}

#[test]
fn a_unix_socket_replaces_a_stale_one_and_goes_with_the_daemon() {
    let site = Site::without_sink();
    let socket = site.path("admin.sock");
    site.change(|setup| setup.listen(format_args!("unix:{}", socket.display())));
    fs::write(&socket, "").unwrap();
    let failed = site.command(&["run"]).expect_code(73);
    assert!(failed.stderr.contains("it is no socket"), "{}", failed.stderr);
    fs::remove_file(&socket).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());

    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("admin endpoint is open");
    let file = fs::metadata(&socket).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o660);
    get_over(&socket, "/v1/status").expect(200);
    site.command(&["healthcheck"]).expect_code(0);
    daemon.drain();
    assert!(!socket.exists());
}

#[test]
fn a_subscription_is_tracked_once_however_often_it_is_sent() {
    let site = Site::without_sink();
    let id = order(&site.sandbox, "A/1");
    let (daemon, endpoint) = start(&site);
    let wanted = json!({"partner_order_number": "A/1", "subscription_id": shown(id), "territory": "eu", "generation": 0,
                        "expires_at": "2027-01-18T00:00:00Z", "metadata": {"customer": "4711"}});
    let path = format!("/v1/subscriptions/nexway/A%2F1/{id}");
    let added = endpoint.send("/v1/subscriptions", wanted.clone()).expect(201);
    assert_eq!((added.header("location"), &added.json()["outcome"]), (Some(path.as_str()), &json!("added")));
    let again = endpoint.send("/v1/subscriptions", wanted.clone()).expect(200).json();
    assert_eq!((&again["outcome"], &again["subscription"]["generation"]), (&json!("already_tracked"), &json!(0)));
    let with = |key: &str, value: Value| {
        let mut other = wanted.clone();
        other[key] = value;
        endpoint.send("/v1/subscriptions", other)
    };
    let as_number = with("subscription_id", json!(id)).expect(200).json();
    assert_eq!(as_number["subscription"]["subscription_id"], shown(id));
    endpoint.get(&format!("/v1/subscriptions/nexway/A%2F1/00{id}")).expect(200);
    assert!(with("subscription_id", json!("x")).expect_problem(400).contains("not a whole number above 0"));
    for (key, value) in [("territory", json!("us")), ("metadata", json!({})), ("generation", json!(3))] {
        assert!(with(key, value).expect_problem(409).contains(key), "{key}");
    }
    assert!(with("metadata", json!([1])).expect_problem(400).contains("not a JSON object"));
    let of_metadata = |metadata: &str| {
        let body = wanted.to_string().replace(r#"{"customer":"4711"}"#, metadata);
        endpoint.ask("POST", "/v1/subscriptions", &["Content-Type: application/json"], Some(&body))
    };
    of_metadata(r#"{ "customer": "\u0034711" }"#).expect(200);
    of_metadata(r#"{"customer": "4711", "customer": "4711"}"#).expect_problem(400);
    assert!(with("partner_order_number", json!("A/1-1")).expect_problem(409).contains("generation 1 of A/1"));
    let refused = with("generation", Value::Null).expect_problem(400);
    assert!(refused.contains("never guessed"), "{refused}");
    assert!(with("colour", json!(1)).expect_problem(400).contains("colour"));
    // The daemon acts on it without being told otherwise.
    assert!(site.sandbox.wait_for(|request| request.endpoint == Asked::Status, PATIENCE).is_some());

    let story = endpoint.get(&path).expect(200).json();
    assert_eq!(
        (&story["tracked_by"], &story["subscription"]["partner_order_number"]),
        (&json!("track"), &json!("A/1"))
    );
    endpoint.get(&format!("/v1/subscriptions/nexway/A/{id}")).expect_problem(404);
    // Renewed by an answer that named no expiry: the one that was sent is of a term that is over.
    let is_asked = || (site.texts("SELECT last_outcome FROM subscriptions") == ["ok"]).then_some(());
    eventually("its answer is recorded", is_asked);
    site.execute("UPDATE subscriptions SET generation = 1, expires_at = NULL, expiry_reported = 0");
    endpoint.send("/v1/subscriptions", wanted.clone()).expect(200);
    assert!(with("generation", json!(1)).expect_problem(409).contains("expires_at"));

    let renewed =
        json!({"partner_order_number": "B-1", "subscription_id": shown(99), "territory": "eu", "adopt": true});
    endpoint.send("/v1/subscriptions", renewed.clone()).expect(201);
    let original = json!({"partner_order_number": "B", "subscription_id": shown(99), "territory": "eu", "adopt": true});
    let refused = endpoint.send("/v1/subscriptions", original).expect_problem(409);
    assert!(refused.contains("B-1, subscription 99 (nexway/eu), is, or was, tracked"), "{refused}");
    daemon.drain();
}

#[test]
fn what_is_paused_is_not_asked_until_it_is_resumed() {
    let site = Site::without_sink();
    let id = site.order("A");
    let (daemon, endpoint) = start(&site);
    let path = format!("/v1/subscriptions/nexway/A/{id}");
    let asked = || site.sandbox.requests().iter().filter(|request| request.endpoint == Asked::Status).count();
    eventually("it is asked", || (asked() == 1).then_some(()));
    let paused = eventually("its answer is recorded", || {
        let story = endpoint.get(&path).json();
        story["subscription"]["last_answer_at"].is_string().then(|| endpoint.post(&format!("{path}/pause")))
    });
    assert_eq!((&paused.expect(200).json()["state"]), "paused");
    assert_eq!(endpoint.post(&format!("{path}/pause")).expect(200).json()["next_poll_at"], Value::Null);
    assert!(endpoint.post(&format!("{path}/poll")).expect_problem(409).contains("it is paused"));
    assert_eq!(endpoint.post(&format!("{path}/resume")).expect(200).json()["state"], "watching");
    eventually("it is asked once more", || (asked() == 2).then_some(()));
    // What is asked for while an answer is on its way is answered by that one.
    let is_answered = || site.value::<bool>("SELECT due_at > unixepoch() FROM subscriptions").then_some(());
    eventually("its answer is recorded", is_answered);
    endpoint.post(&format!("{path}/poll")).expect(200);
    eventually("and once more", || (asked() == 3).then_some(()));

    assert_eq!(endpoint.delete(&path).expect(200).json()["outcome"], "untracked");
    assert_eq!(endpoint.delete(&path).expect(200).json()["outcome"], "already_untracked");
    assert!(endpoint.post(&format!("{path}/resume")).expect_problem(409).contains("untracked"));
    assert_eq!(endpoint.delete(&format!("{path}?forget=true")).expect(200).json()["outcome"], "forgotten");
    endpoint.delete(&path).expect_problem(404);
    daemon.drain();
}

#[test]
fn a_list_is_read_page_by_page_and_filtered() {
    let site = Site::without_sink();
    let (daemon, endpoint) = start(&site);
    let numbers = numbered("N", 5);
    numbers.iter().zip(1..).for_each(|(number, id)| site.track(number, id));
    let mut seen = Vec::new();
    let mut path = "/v1/subscriptions?limit=2".to_owned();
    loop {
        let page = endpoint.get(&path).expect(200).json();
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["partner_order_number"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/subscriptions?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, numbers);
    let count = |query: &str| {
        endpoint.get(&format!("/v1/subscriptions?{query}")).expect(200).json()["items"].as_array().unwrap().len()
    };
    assert_eq!(
        (count("state=watching"), count("state=paused"), count("territory=us"), count("name=N3-2")),
        (5, 0, 0, 1)
    );
    for wrong in
        ["state=asleep", "limit=0", "limit=1001", "cursor=x", "colour=1", "limit=1&limit=2", "name=A&state=paused"]
    {
        endpoint.get(&format!("/v1/subscriptions?{wrong}")).expect_problem(400);
    }
    let told = site.command(&["status", "--json"]).expect_code(0).json();
    let mut status = endpoint.get("/v1/status").expect(200).json();
    status["at"] = told["at"].clone();
    assert_eq!(status["providers"]["nexway"]["subscriptions"], told["providers"]["nexway"]["subscriptions"]);
    assert_eq!(
        status.as_object().unwrap().keys().collect::<Vec<_>>(),
        told.as_object().unwrap().keys().collect::<Vec<_>>()
    );
    daemon.drain();
}

#[test]
fn a_waiting_consumer_gets_a_message_as_soon_as_it_is_queued() {
    let site = Site::without_sink();
    let id = site.order("A");
    let (daemon, endpoint) = start_with_token(&site, "");
    assert_eq!(endpoint.send("/v1/queue:claim", json!({})).expect(200).json(), json!({"messages": []}));
    let waiting = {
        let endpoint = Endpoint::at(endpoint.port).with_token(TOKEN);
        thread::spawn(move || endpoint.send("/v1/queue:claim", json!({"wait_seconds": 60, "lease_seconds": 600})))
    };
    site.renew("A");
    endpoint.post(&format!("/v1/subscriptions/nexway/A/{id}/poll")).expect(200);
    let claimed = waiting.join().unwrap().expect(200).json();
    let message = &claimed["messages"][0];
    assert_eq!(keys_of(&message["event"]), site.sandbox.expected_keys("A-1", id));
    assert_eq!(message["id"], message["event"]["id"]);

    let unknown = json!({"ids": [message["id"], "00000000-0000-0000-0000-000000000000"]});
    assert!(endpoint.send("/v1/queue:ack", unknown).expect_problem(404).contains("nothing done"));
    assert_eq!(site.delivered(), 0);
    for _ in 0..2 {
        let done = endpoint.send("/v1/queue:ack", json!({"ids": [message["id"]]})).expect(200).json();
        assert_eq!(done, json!({"acknowledged": 1}));
    }
    assert_eq!(site.delivered(), 1);
    for wrong in [json!({"max": 0}), json!({"lease_seconds": 0}), json!({"wait_seconds": 61}), json!({"sink": "shop"})]
    {
        endpoint.send("/v1/queue:claim", wrong).expect_problem(400);
    }
    daemon.drain();
}

#[test]
fn waiting_consumers_share_what_comes_and_a_lease_that_ends_is_handed_out_again() {
    let site = Site::without_sink();
    let (daemon, endpoint) = start_with_token(&site, "");
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let endpoint = Endpoint::at(endpoint.port).with_token(TOKEN);
            thread::spawn(move || {
                endpoint
                    .send("/v1/queue:claim", json!({"max": 1, "wait_seconds": 60, "lease_seconds": 1}))
                    .expect(200)
                    .json()
            })
        })
        .collect();
    // Tracked by this process: the daemon notices by itself, and wakes them when the messages are queued.
    for number in ["A", "B"] {
        let id = order(&site.sandbox, number);
        site.renew(number);
        site.track(number, id);
    }
    let id = |claimed: &Value| claimed["messages"][0]["id"].as_str().expect("one message").to_owned();
    let first: Vec<_> = waiting.into_iter().map(|thread| id(&thread.join().unwrap())).collect();
    // Nobody acknowledged: both come again, and a lease of a second may have ended between the two above as well.
    let again = || id(&endpoint.send("/v1/queue:claim", json!({"max": 1, "wait_seconds": 60})).expect(200).json());
    let mut both = [again(), again()];
    both.sort();
    assert_ne!(both[0], both[1]);
    assert!(first.iter().all(|id| both.contains(id)), "{first:?} {both:?}");
    daemon.drain();
}

#[test]
fn a_drain_lets_waiting_consumers_go() {
    let site = Site::without_sink();
    let (daemon, endpoint) = start_with_token(&site, "");
    let mut waiting = endpoint.connect();
    let body = json!({"wait_seconds": 60}).to_string();
    let request = format!(
        "POST /v1/queue:claim HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    waiting.write_all(request.as_bytes()).unwrap();
    // Another request on another connection is answered after this one began.
    endpoint.get("/v1/status").expect(200);
    daemon.drain();
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("{\"messages\":[]}"), "{answer}");
}

#[test]
fn a_dead_message_is_seen_and_sent_again_and_its_keys_are_shown_only_where_permitted() {
    let site = Site::new();
    site.receiver.answer(Receives::Status(410));
    let id = site.renewed("A");
    let (daemon, endpoint) = start_with_token(&site, "");
    site.next_message();
    let first = eventually("it is in the outbox", || {
        endpoint.get("/v1/messages?type=renewal.ready").expect(200).json()["items"].get(0).cloned()
    });
    let path = format!("/v1/messages/{}", first["id"].as_str().unwrap());
    let shown = endpoint.get(&path).expect(200);
    assert_eq!((&shown.json()["message"]["partner_order_number"], shown.json().get("body")), (&json!("A"), None));
    let key = &site.sandbox.expected_keys("A-1", id)[0];
    assert!(!shown.body.contains(key.as_str()));
    assert!(endpoint.get(&format!("{path}?reveal=true")).expect_problem(403).contains("admin.reveal"));
    site.receiver.answer(Receives::Status(200));
    assert_eq!(endpoint.post(&format!("{path}/retry")).expect(200).json(), json!({"due": 1}));
    assert!(endpoint.post(&format!("{path}/retry?sink=other")).expect_problem(404).contains("never meant"));
    endpoint.get("/v1/messages/00000000-0000-0000-0000-000000000000").expect_problem(404);
    endpoint.get("/v1/messages/x").expect_problem(400);
    daemon.drain();

    site.change(|setup| setup.admin.push_str("\nreveal = true"));
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("admin endpoint is open");
    let revealed = endpoint.get(&format!("{path}?reveal=true")).expect(200).json();
    assert_eq!(keys_of(&revealed["body"]), site.sandbox.expected_keys("A-1", id));
    daemon.drain();
}

#[test]
fn only_the_token_opens_the_api_and_health_needs_none() {
    let site = Site::without_sink();
    let (daemon, endpoint) = start_with_token(&site, "");
    endpoint.get("/v1/status").expect(200);
    for stranger in [Endpoint::at(endpoint.port), Endpoint::at(endpoint.port).with_token("another")] {
        let refused = stranger.get("/v1/status").expect(401);
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        stranger.send("/v1/subscriptions", json!({})).expect_problem(401);
        for open in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
            stranger.get(open).expect(200);
        }
    }
    assert!(!daemon.stderr().contains(TOKEN));
    daemon.drain();
}

#[test]
fn beyond_loopback_nothing_is_done_without_a_token() {
    let port = free_port();
    let site = Site::without_sink_and(|setup| setup.listen(format_args!("0.0.0.0:{port}")));
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("admin endpoint is open");
    let endpoint = Endpoint::at(port);
    assert!(endpoint.get("/v1/status").expect_problem(403).contains("set admin.token_file"));
    endpoint.get("/healthz").expect(200);
    site.command(&["healthcheck"]).expect_code(0);
    daemon.drain();
}

#[test]
fn on_loopback_without_a_token_neither_web_pages_nor_keys_are_served() {
    let site = Site::without_sink();
    let (daemon, endpoint) = start(&site);
    endpoint.get("/v1/status").expect(200);
    let from = |headers: &[&str]| endpoint.ask("GET", "/v1/status", headers, None);
    assert!(from(&["Host: rebound.example"]).expect_problem(403).contains("rebound.example"));
    from(&["Origin: http://shop.example"]).expect_problem(403);
    assert!(endpoint.send("/v1/queue:claim", json!({})).expect_problem(403).contains("admin.token_file"));
    let ids = json!({"ids": ["ca7413ce-2f68-51bc-b542-7a17d45b4d6b"]});
    assert!(endpoint.send("/v1/queue:ack", ids).expect_problem(403).contains("admin.token_file"));
    daemon.drain();
}

#[test]
fn requests_beyond_the_limits_are_refused_in_words() {
    let site = Site::without_sink();
    let (daemon, endpoint) = start(&site);
    endpoint.get("/v1/nothing").expect_problem(404);
    let not_allowed = endpoint.ask("PUT", "/v1/status", &[], None);
    assert_eq!(not_allowed.header("allow"), Some("GET,HEAD"));
    not_allowed.expect_problem(405);
    let json = ["Content-Type: application/json"];
    endpoint.ask("POST", "/v1/subscriptions", &[], Some("{}")).expect_problem(415);
    endpoint.ask("POST", "/v1/subscriptions", &["Content-Type: text/plain"], Some("{}")).expect_problem(415);
    endpoint.ask("POST", "/v1/subscriptions", &json, Some("{")).expect_problem(400);
    endpoint.ask("POST", "/v1/subscriptions", &json, Some(&" ".repeat(300_000))).expect_problem(413);
    endpoint.get(&format!("/v1/subscriptions?name={}", "a".repeat(200_000))).expect(431);
    let many: Vec<_> = (0..80).map(|n| format!("X-{n}: 1")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    endpoint.ask("GET", "/healthz", &many, None).expect(431);
    exchange(endpoint.connect(), "nonsense\r\n\r\n").expect(400);
    endpoint.get("/healthz").expect(200);
    daemon.drain();
}

/// A program of the Python environment that `tests/run` makes; `None`, and words, where it is missing.
pub fn test_python(program: &str) -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-venv/bin").join(program);
    if program.exists() {
        return Some(program);
    }
    servers::missing(&program.display().to_string(), "tests/run installs it");
    None
}

/// Waiting for messages that nobody queues is shortened, and the one message there is is asked for by its id.
const HOOKS: &str = "
import os, schemathesis

@schemathesis.hook
def before_call(context, case, kwargs):
    if isinstance(case.body, dict) and isinstance(case.body.get('wait_seconds'), int) and 1 < case.body['wait_seconds'] <= 60:
        case.body['wait_seconds'] = 1
    if len(str((case.path_parameters or {}).get('id', ''))) == 36:
        case.path_parameters['id'] = os.environ['MESSAGE']
";

#[test]
fn schemathesis_finds_no_error_and_nothing_undocumented() {
    let Some(schemathesis) = test_python("schemathesis") else { return };
    let site = Site::with(|setup| setup.set_sink("pulled", "kind = \"queue\""));
    site.renewed("A");
    let (daemon, endpoint) = start_with_token(&site, "reveal = true");
    let message = site.next_message().id;
    fs::write(site.path("hooks.py"), HOOKS).unwrap();
    let output = Command::new(schemathesis)
        .args(["run", &format!("http://127.0.0.1:{}/openapi.json", endpoint.port)])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}"), "--request-timeout", "90", "--no-color"])
        .args(["--phases", "coverage,fuzzing", "--max-examples", "20", "--seed", "1", "--checks"])
        .arg(
            "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
             response_schema_conformance,unsupported_method,ignored_auth",
        )
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", site.path(""))
        .env("MESSAGE", message)
        .current_dir(site.path(""))
        .output()
        .expect("schemathesis starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("Tested: 17"), "{said}");
    endpoint.get("/readyz").expect(200);
    daemon.drain();
}
