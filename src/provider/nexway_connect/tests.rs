//! Over real loopback sockets: what is sent, and what each kind of answer becomes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{Request as Received, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::*;
use crate::provider::http::MIB;
use crate::provider::{self, connection::Connection};
use crate::tls;

/// A request as it arrived.
#[derive(Clone, Debug)]
struct Seen {
    method: String,
    path: String,
    authorization: String,
    secret: String,
    body: Value,
    /// The same = over the same connection.
    peer: SocketAddr,
}

/// Answers every request with what `answer` makes of it and of how many there were before.
struct Fake {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    server: tokio::task::JoinHandle<()>,
}

impl Fake {
    async fn start(answer: impl Fn(&Seen, usize) -> Response + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
        let router = axum::Router::new().fallback(move |request: Received<Body>| {
            let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
            async move {
                let request = receive(request).await;
                let before = log.lock().unwrap().len();
                log.lock().unwrap().push(request.clone());
                answer(&request, before)
            }
        });
        let server = tokio::spawn(async move {
            axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await.unwrap()
        });
        Self { url, seen, server }
    }

    fn seen(&self, path: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|request| request.path.starts_with(path)).cloned().collect()
    }

    fn client(&self) -> Client {
        Client::new(&self.config(), Budget::new(0.0)).unwrap()
    }

    fn config(&self) -> Config {
        Config {
            account: nexway::Config {
                api_url: format!("{}/connect/", self.url),
                iam_url: format!("{}/iam", self.url),
                realm: "acme".to_owned(),
                client_secret: "client-hush".into(),
                connection: Connection {
                    timeout: Duration::from_secs(5),
                    connect_timeout: Duration::from_secs(5),
                    ca_file: None,
                    proxy: None,
                    connection_life: tls::CONNECTION_LIFE,
                    concurrency: 4,
                },
            },
            territories: BTreeMap::from([("eu".to_owned(), "eu-hush".into()), ("us".to_owned(), "us-hush".into())]),
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn receive(request: Received<Body>) -> Seen {
    let (head, body) = request.into_parts();
    let header = |name| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let body = axum::body::to_bytes(body, MIB).await.unwrap();
    let ConnectInfo(peer) = *head.extensions.get::<ConnectInfo<SocketAddr>>().unwrap();
    Seen {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        authorization: header("authorization"),
        secret: header("secret"),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        peer,
    }
}

fn reply(status: u16, body: impl Into<Body>) -> Response {
    (StatusCode::from_u16(status).unwrap(), body.into()).into_response()
}

fn ok(body: Value) -> Response {
    reply(200, body.to_string())
}

fn active() -> Response {
    ok(json!({"partnerOrderNumber": "P", "generation": 0, "code": 0}))
}

fn token(name: impl Into<String>) -> Response {
    ok(json!({"access_token": name.into(), "expires_in": 300, "refresh_token": "again", "refresh_expires_in": 1800}))
}

/// A fake whose token service works and whose API always gives `answer`.
async fn api(answer: impl Fn() -> Response + Send + Sync + 'static) -> Fake {
    Fake::start(move |request, _| if request.path == "/iam/tokens" { token("t") } else { answer() }).await
}

const SUBJECT: Subject<'_> = Subject {
    territory: "eu",
    partner_order_number: "P",
    subscription_id: "7",
    generation: Some(0),
    memo: None,
    is_hinted: false,
};

async fn status(client: &Client) -> Result<Sighting, Error> {
    client.look(SUBJECT, client.account.http.budget.slot().await).await
}

async fn order(client: &Client, number: &str) -> Result<Fetched, Error> {
    client.fetch(Subject { territory: "us", ..SUBJECT }, number, client.account.http.budget.slot().await).await
}

#[tokio::test]
async fn requests_are_what_the_reference_says() {
    let fake = api(active).await;
    let client = fake.client();
    status(&client).await.unwrap();
    order(&client, "P-1").await.ok();
    let seen = fake.seen("/");
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("POST", "/iam/tokens"));
    let expected = json!({"clientSecret": "client-hush", "realmName": "acme", "grantType": "client_credentials"});
    assert_eq!(seen[0].body, expected);
    assert_eq!((seen[1].method.as_str(), seen[1].path.as_str()), ("POST", "/connect/subscription"));
    assert_eq!(seen[1].body, json!({"partnerOrderNumber": "P", "subscriptionId": 7}));
    assert_eq!((seen[1].authorization.as_str(), seen[1].secret.as_str()), ("Bearer t", "eu-hush"));
    assert_eq!((seen[2].method.as_str(), seen[2].path.as_str()), ("GET", "/connect/order/P-1"));
    assert_eq!((seen[2].authorization.as_str(), seen[2].secret.as_str()), ("Bearer t", "us-hush"));
}

/// Those of the token service, too.
#[tokio::test]
async fn a_connection_serves_its_time_and_no_longer() {
    for (connection_life, connections) in [(tls::CONNECTION_LIFE, 1), (Duration::ZERO, 4)] {
        let fake = api(active).await;
        let mut config = fake.config();
        config.account.connection.connection_life = connection_life;
        let client = Client::new(&config, Budget::new(0.0)).unwrap();
        for _ in 0..3 {
            status(&client).await.unwrap();
        }
        let peers: BTreeSet<_> = fake.seen("/").iter().map(|request| request.peer).collect();
        assert_eq!((fake.seen("/").len(), peers.len()), (4, connections), "{connection_life:?}");
    }
}

#[tokio::test]
async fn any_number_stays_one_path_segment() {
    let fake = api(active).await;
    let client = fake.client();
    for number in
        ["a/b", "..%2f", "%2e%2e", "#?&%", "with space", "\\", "é😀", "a;b=c", "+", "-._~", "...", "'\"<>`{|}^[]:@"]
    {
        order(&client, number).await.ok();
        let path = fake.seen("/connect/order/").pop().unwrap().path;
        let segment = path.strip_prefix("/connect/order/").unwrap();
        assert!(!segment.contains(['/', '?', '#']), "{number}: {segment}");
        let decoded = percent_encoding::percent_decode_str(segment).decode_utf8().unwrap();
        assert_eq!(decoded, number);
    }
}

#[tokio::test]
async fn fifty_calls_share_one_token_request() {
    let fake = api(active).await;
    let client = fake.client();
    let results = join_all((0..50).map(|_| status(&client))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!((fake.seen("/iam").len(), fake.seen("/connect").len()), (1, 50));
}

#[tokio::test]
async fn a_failed_token_request_fails_all_who_waited_for_it() {
    let fake =
        Fake::start(|_, _| reply(401, r#"{"error": "invalid_client", "message": "no client-hush\u0007"}"#)).await;
    let client = fake.client();
    for result in join_all((0..50).map(|_| status(&client))).await {
        let error = result.unwrap_err();
        assert!(error.is_outage() && matches!(error, Error::Unauthorized { .. }), "{error:?}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
    assert_eq!(fake.seen("/iam").len(), 1);
    assert!(status(&client).await.is_err());
    assert_eq!(fake.seen("/iam").len(), 2);
}

#[tokio::test]
async fn when_the_call_that_fetches_the_token_is_cancelled_the_next_one_does() {
    let fake = Fake::start(|request, before| match (request.path.as_str(), before) {
        ("/iam/tokens", 0) => {
            reply(200, Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>()))
        }
        ("/iam/tokens", _) => token("t"),
        _ => active(),
    })
    .await;
    let client = Arc::new(fake.client());
    let [first, second] =
        [Arc::clone(&client), client].map(|client| tokio::spawn(async move { status(&client).await }));
    while fake.seen("/iam").is_empty() {
        tokio::task::yield_now().await;
    }
    first.abort();
    second.await.unwrap().unwrap();
    assert_eq!(fake.seen("/iam").len(), 2);
}

#[tokio::test]
async fn both_spellings_of_the_token_answer_are_understood() {
    let camel = json!({"accessToken": "camel", "expiresIn": "300", "refreshToken": null});
    let fake =
        Fake::start(move |request, _| if request.path == "/iam/tokens" { ok(camel.clone()) } else { active() }).await;
    let client = fake.client();
    status(&client).await.unwrap();
    status(&client).await.unwrap();
    assert_eq!(fake.seen("/connect")[1].authorization, "Bearer camel");
    assert_eq!(fake.seen("/iam").len(), 1);
}

#[tokio::test]
async fn a_senseless_token_answer_concerns_the_whole_provider() {
    for (status_code, body) in [
        (200, "<html>"),
        (200, "{}"),
        (200, r#"{"error": "x"}"#),
        (302, ""),
        (405, ""),
        (404, ""),
        (
            200,
            r#"{"access_token": "a
b"}"#,
        ),
    ] {
        let fake = Fake::start(move |_, _| reply(status_code, body)).await;
        let error = status(&fake.client()).await.unwrap_err();
        assert!(matches!(error, Error::Unauthorized { .. }), "{status_code} {body}: {error:?}");
    }
    let fake = Fake::start(|_, _| reply(503, "")).await;
    assert!(matches!(status(&fake.client()).await, Err(Error::Unavailable { status: 503, .. })));
}

/// Answers 401 to every token but those in `good`; tokens are numbered.
async fn picky(good: &'static [&'static str]) -> Fake {
    let count = AtomicUsize::new(0);
    Fake::start(move |request, _| match request.path.as_str() {
        "/iam/tokens" => token((count.fetch_add(1, Ordering::SeqCst) + 1).to_string()),
        _ if good.iter().any(|good| request.authorization == format!("Bearer {good}")) => active(),
        _ => reply(401, r#"{"status": 401, "error": "Unauthorized", "message": "JWT token is not valid"}"#),
    })
    .await
}

#[tokio::test]
async fn a_401_is_repeated_once_with_a_new_token() {
    let fake = picky(&["2"]).await;
    let client = fake.client();
    let results = join_all((0..20).map(|_| status(&client))).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!((fake.seen("/iam").len(), fake.seen("/connect").len()), (2, 40));
    assert!(fake.seen("/iam").iter().all(|request| request.body["grantType"] == "client_credentials"));
}

#[tokio::test]
async fn a_second_401_is_a_refusal_and_no_outage_of_the_provider() {
    let fake = picky(&[]).await;
    let verdict = status(&fake.client()).await.unwrap().verdict;
    assert_eq!((verdict.class, verdict.code), (Class::Configuration, 401));
    assert_eq!((fake.seen("/iam").len(), fake.seen("/connect").len()), (2, 2));
}

/// Gives out tokens of the shortest life, as `refused` says for a refresh.
async fn short_lived(refused: Option<u16>) -> Fake {
    Fake::start(move |request, _| match (request.path.as_str(), request.body["grantType"].as_str(), refused) {
        ("/iam/tokens", Some("refresh_token"), Some(status)) => reply(status, "{}"),
        ("/iam/tokens", Some(kind), _) => {
            ok(json!({"access_token": kind, "expires_in": 1, "refresh_token": "again", "refresh_expires_in": 0}))
        }
        _ => active(),
    })
    .await
}

/// Lets the held token reach the time of its renewal, as time would do.
fn make_due(client: &Client, expired: bool) {
    client.account.tokens.age(if expired { Duration::from_secs(5) } else { Duration::from_millis(2500) });
}

#[tokio::test]
async fn a_token_is_refreshed_before_it_expires() {
    let fake = short_lived(None).await;
    let client = fake.client();
    status(&client).await.unwrap();
    make_due(&client, false);
    let results = join_all((0..20).map(|_| status(&client))).await;
    assert!(results.iter().all(Result::is_ok));
    let tokens = fake.seen("/iam");
    assert_eq!((tokens.len(), &tokens[1].body["grantType"]), (2, &json!("refresh_token")));
    assert_eq!(tokens[1].body["refreshToken"], "again");
    make_due(&client, true);
    status(&client).await.unwrap();
    assert_eq!(fake.seen("/connect").pop().unwrap().authorization, "Bearer refresh_token");
}

#[tokio::test]
async fn a_refused_refresh_is_followed_by_a_new_session() {
    let fake = short_lived(Some(400)).await;
    let client = fake.client();
    status(&client).await.unwrap();
    make_due(&client, true);
    status(&client).await.unwrap();
    assert_eq!(fake.seen("/iam").last().unwrap().body["grantType"], "client_credentials");
    assert_eq!(fake.seen("/iam").len(), 3);
}

#[tokio::test]
async fn while_the_token_is_valid_a_failed_refresh_hurts_nobody() {
    let fake = short_lived(Some(503)).await;
    let client = fake.client();
    status(&client).await.unwrap();
    make_due(&client, false);
    for _ in 0..5 {
        status(&client).await.unwrap();
    }
    assert_eq!(fake.seen("/iam").len(), 2, "tried again only after a while");
    make_due(&client, true);
    assert!(matches!(status(&client).await, Err(Error::Unavailable { status: 503, .. })));
}

#[tokio::test]
async fn every_request_takes_a_slot_of_its_own() {
    let fake = picky(&["2"]).await;
    let client = fake.client();
    join_all((0..10).map(|_| status(&client))).await;
    let requests = fake.seen("/").len() as u64;
    assert!(client.account.http.budget.state().slots_taken >= requests, "{requests}");
}

#[tokio::test]
async fn calls_that_waited_for_a_token_do_not_go_out_together() {
    let fake = api(active).await;
    let client = Client::new(&fake.config(), Budget::new(50.0)).unwrap();
    let times = Mutex::new(Vec::new());
    join_all((0..10).map(|_| async {
        status(&client).await.unwrap();
        times.lock().unwrap().push(Instant::now());
    }))
    .await;
    let times = times.into_inner().unwrap();
    assert!(times[9] - times[0] >= Duration::from_millis(90), "nine spacings of 20 ms, less some jitter");
}

#[tokio::test]
async fn http_statuses_become_typed_outcomes() {
    let fake = Fake::start(|request, _| match request.path.as_str() {
        "/iam/tokens" => token("t"),
        path => reply(path.rsplit('/').next().unwrap().parse().unwrap(), "<html>"),
    })
    .await;
    let client = fake.client();
    for status in [500, 502, 503, 504, 598, 599, 408, 425] {
        let error = order(&client, &status.to_string()).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { status: s, .. } if s == status), "{status}: {error:?}");
    }
    for status in [400, 405, 415, 422, 404, 301, 302, 307] {
        let error = order(&client, &status.to_string()).await.unwrap_err();
        assert!(matches!(error, Error::Rejected { status: s } if s == status), "{status}: {error:?}");
    }
    assert!(matches!(order(&client, "204").await, Err(Error::Unreadable { .. })));
    assert!(matches!(order(&client, "200").await, Err(Error::Unreadable { .. })));
    let refused = order(&client, "403").await.unwrap().verdict;
    assert_eq!((refused.class, refused.code), (Class::Configuration, 403));
}

#[tokio::test]
async fn business_errors_are_found_under_any_status() {
    let fake = api(|| reply(400, r#"{"responseCode": 1060, "responseMessage": "waiting"}"#)).await;
    assert_eq!(order(&fake.client(), "P-1").await.unwrap().verdict.class, Class::Waiting);
    let fake = api(|| reply(404, r#"{"status": 404, "error": "Not Found"}"#)).await;
    assert_eq!(status(&fake.client()).await.unwrap().verdict.class, Class::NotFound);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = api(active).await;
    let target = format!("{}/connect/subscription", elsewhere.url);
    let fake = api(move || (StatusCode::TEMPORARY_REDIRECT, [("location", target.clone())]).into_response()).await;
    assert!(matches!(status(&fake.client()).await, Err(Error::Rejected { status: 307 })));
    assert!(elsewhere.seen("/").is_empty());
}

#[tokio::test]
async fn a_429_slows_the_budget_down() {
    let fake = api(|| (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")], "{\"code\": 0}").into_response()).await;
    let client = Client::new(&fake.config(), Budget::new(400.0)).unwrap();
    let error = status(&client).await.unwrap_err();
    assert!(matches!(error, Error::TooManyRequests { retry_after: Some(pause) } if pause.as_secs() == 7), "{error:?}");
    let state = client.account.http.budget.state();
    let pause = state.paused_until.unwrap() - tokio::time::Instant::now();
    assert!(pause > Duration::from_secs(6) && state.rate <= 200.0, "{state:?}");
}

#[tokio::test]
async fn retry_after_is_read_from_a_date() {
    let headers = [("retry-after", "Sun, 06 Nov 1994 08:49:52 GMT"), ("date", "Sun, 06 Nov 1994 08:49:37 GMT")];
    let fake = api(move || (StatusCode::SERVICE_UNAVAILABLE, headers, "").into_response()).await;
    let error = status(&fake.client()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { retry_after: Some(pause), .. } if pause.as_secs() == 15), "{error:?}");
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn gzip_is_understood_and_a_bomb_stopped() {
    let plain = gzip(br#"{"generation": 3}"#);
    let fake = api(move || ([("content-encoding", "gzip")], plain.clone()).into_response()).await;
    let seen = status(&fake.client()).await.unwrap().seen;
    assert!(matches!(seen, provider::Seen::Counted { generation: 3, .. }), "{seen:?}");
    let bomb = gzip(&vec![b' '; 2 * MIB]);
    let fake = api(move || ([("content-encoding", "gzip")], bomb.clone()).into_response()).await;
    let error = status(&fake.client()).await.unwrap_err();
    assert_eq!(error.to_string(), "provider's answer cannot be used: longer than 1 MiB");
    let fake = api(|| ([("content-encoding", "gzip")], "no gzip at all").into_response()).await;
    assert!(matches!(status(&fake.client()).await, Err(Error::Unreadable { .. })));
}

#[tokio::test]
async fn an_endless_body_is_stopped_where_the_limit_is() {
    let endless = || {
        let chunk = Bytes::from(vec![b' '; 1 << 16]);
        let chunks = futures_util::stream::repeat_with(move || Ok::<_, std::convert::Infallible>(chunk.clone()));
        reply(200, Body::from_stream(chunks))
    };
    let fake = api(endless).await;
    let client = fake.client();
    let error = status(&client).await.unwrap_err().to_string();
    assert!(error.ends_with("longer than 1 MiB"), "{error}");
    let error = order(&client, "P-1").await.unwrap_err().to_string();
    assert!(error.ends_with("longer than 16 MiB"), "{error}");
    let large = format!("{}{}", " ".repeat(15 * MIB), r#"{"responseCode": 1060}"#);
    let fake = api(move || reply(200, large.clone())).await;
    assert_eq!(order(&fake.client(), "P-1").await.unwrap().verdict.code, 1060);
}

/// Speaks no HTTP library's HTTP: sends `answer` as it is and closes the connection.
async fn raw(answer: &'static [u8]) -> Client {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let fake = api(active).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = fake.config();
    config.account.api_url = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::new(&config, Budget::new(0.0)).unwrap();
    drop(client.account.tokens.current(client.account.http.budget.slot().await).await.unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 4096];
            assert!(socket.read(&mut request).await.unwrap() > 0);
            socket.write_all(answer).await.unwrap();
        }
    });
    client
}

#[tokio::test]
async fn a_cut_connection_says_nothing_about_the_subscription() {
    for answer in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"generation\": 1}", b"nonsense\r\n\r\n"]
    {
        let error = status(&raw(answer).await).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
        assert!(!format!("{error:?}").contains("127.0.0.1"), "{error:?}");
    }
    let error = status(&raw(b"HTTP/1.1 503 Down\r\ncontent-length: 100\r\n\r\n<html>").await).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { status: 503, .. }), "{error:?}");
}

#[tokio::test]
async fn a_silent_provider_ends_in_an_error() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let fake = api(active).await;
    let mut config = fake.config();
    config.account.api_url = url;
    config.account.connection.timeout = Duration::from_millis(200);
    let client = Client::new(&config, Budget::new(0.0)).unwrap();
    assert!(matches!(status(&client).await, Err(Error::Unreachable(error)) if error.is_timeout()));
}

#[tokio::test]
async fn an_unknown_territory_is_a_matter_of_settings() {
    let fake = api(active).await;
    let client = fake.client();
    let status =
        client.look(Subject { territory: "mars", ..SUBJECT }, client.account.http.budget.slot().await).await.unwrap();
    assert_eq!(status.verdict.class, Class::Configuration);
    assert!(fake.seen("/").is_empty());
}

#[tokio::test]
async fn wrong_settings_are_named() {
    let fake = api(active).await;
    let failure = |config: Config| Client::new(&config, Budget::new(0.0)).err().unwrap().to_string();
    for url in ["", "api.example", "ftp://x", "http://x/?a=1", "http://x/#a", "mailto:a@b"] {
        let mut config = fake.config();
        config.account.iam_url = url.to_owned();
        assert!(failure(config).contains("iam_url"), "{url}");
    }
    let territories = BTreeMap::from([("eu".to_owned(), "hush\n".into())]);
    let text = failure(Config { territories, ..fake.config() });
    assert!(text.contains("`eu`") && !text.contains("hush"), "{text}");
}

#[tokio::test]
async fn a_look_ends_when_the_slot_for_its_second_question_is_far_away() {
    let fake = api(|| ok(json!({"code": 1010, "message": "unknown"}))).await;
    let mut config = fake.config();
    config.account.connection.timeout = Duration::from_millis(200);
    let client = Client::new(&config, Budget::new(1000.0)).unwrap();
    drop(client.account.tokens.current(client.account.http.budget.slot().await).await.unwrap());
    let slot = client.account.http.budget.slot().await;
    client.account.http.budget.slow_down(Some(Duration::from_secs(600)));
    let look = client.look(Subject { generation: Some(3), ..SUBJECT }, slot);
    let ended = tokio::time::timeout(Duration::from_secs(30), look).await.expect("it ends");
    assert!(matches!(ended, Err(Error::TooManyRequests { retry_after: None })), "{ended:?}");
}
