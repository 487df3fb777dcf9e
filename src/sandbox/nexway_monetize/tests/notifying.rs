//! Notifications, as a receiver sees them.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use tokio::sync::mpsc;

use super::*;

/// Hands over what it gets, and answers with these statuses first.
struct Hooks {
    url: String,
    got: mpsc::UnboundedReceiver<(Option<String>, Value)>,
}

type Inside = Arc<(Mutex<Vec<u16>>, mpsc::UnboundedSender<(Option<String>, Value)>)>;

impl Hooks {
    async fn listen(statuses: &[u16]) -> Self {
        let (sender, got) = mpsc::unbounded_channel();
        let statuses = Mutex::new(statuses.iter().rev().copied().collect());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks/x", listener.local_addr().unwrap());
        let router = Router::new().fallback(take).with_state(Arc::new((statuses, sender)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, got }
    }

    async fn next(&mut self) -> (Option<String>, Value) {
        self.got.recv().await.unwrap()
    }

    /// Subject and type of the next few.
    async fn types(&mut self, count: usize) -> Vec<String> {
        let mut types = Vec::new();
        for _ in 0..count {
            let body = self.next().await.1;
            types.push(format!("{} {}", text(&body["subject"]), text(&body["type"])));
        }
        types
    }
}

async fn take(State(inside): State<Inside>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    inside.1.send((authorization, serde_json::from_slice(&body).unwrap())).unwrap();
    let status = inside.0.lock().unwrap().pop().unwrap_or(200);
    StatusCode::from_u16(status).unwrap()
}

#[tokio::test]
async fn a_renewal_is_told_from_its_billing_to_its_key() {
    let (sandbox, mut hooks) = (sandbox(), Hooks::listen(&[]).await);
    let id = create(&sandbox, NewSubscriptions::default());
    sandbox.set_receiver(Some(Receiver::new(&hooks.url).basic("nexway", "secret")));
    sandbox.advance(360 * DAY);
    let (authorization, billed) = hooks.next().await;
    assert_eq!(authorization.as_deref(), Some("Basic bmV4d2F5OnNlY3JldA=="));
    assert_eq!((text(&billed["type"]), text(&billed["order"]["status"])), ("prebillingStarted", "CREATED"));
    assert_eq!(billed["subscription"]["id"], json!(id));
    sandbox.advance(6 * DAY);
    assert_eq!(hooks.types(1).await, ["order completed"]);
    let renewed = hooks.next().await.1;
    assert_eq!((text(&renewed["type"]), &renewed["objectId"]), ("renewCompleted", &billed["objectId"]));
    let item = &renewed["order"]["items"][0];
    assert_eq!((&item["subscriptionId"], &item["subscription"]["lifecycle"]["generation"]), (&json!(id), &json!(1)));
    assert_eq!(item["activationCode"], json!(sandbox.expected_keys(text(&renewed["objectId"]))[0]));
}

#[tokio::test]
async fn everything_that_happens_is_told_under_its_type() {
    let (sandbox, mut hooks) = (sandbox(), Hooks::listen(&[]).await);
    sandbox.set_receiver(Some(Receiver::new(&hooks.url)));
    let id = create(&sandbox, NewSubscriptions::default());
    assert_eq!(hooks.types(2).await, ["subscription created", "order completed"]);
    sandbox.accept_offer(&id, 0.2).unwrap();
    assert_eq!(hooks.types(1).await, ["order created"]);
    sandbox.suspend(&id).unwrap();
    assert_eq!(hooks.types(2).await, ["subscription suspended", "order aborted"]);
    sandbox.upgrade(&id, Product::bigger(), Script::statuses(["PAYMENT_PENDING"])).unwrap();
    assert_eq!(hooks.types(2).await, ["order created", "subscription reactivated"]);
    let client = Client::login(&sandbox).await;
    client.get(&format!("/ordersv2/{}", sandbox.upgrades()[0].order_id)).await;
    assert_eq!(hooks.types(1).await, ["order completed"], "once its script is through");
    sandbox.refuse_payment(&id, None).unwrap();
    assert_eq!(hooks.types(3).await, ["order prebillingStarted", "subscription unpaid", "order paymentRefused"]);
    sandbox.renew(&id).unwrap();
    assert_eq!(hooks.types(2).await, ["order completed", "order renewCompleted"]);
    sandbox.set_expiry(&id, sandbox.now() + 3 * DAY).unwrap();
    sandbox.expire(&id).unwrap();
    assert_eq!(hooks.types(1).await, ["subscription expirationDateUpdated"]);
    assert_eq!(hooks.types(3).await, ["order prebillingStarted", "subscription expired", "order aborted"]);
}

#[tokio::test]
async fn it_is_sent_again_until_it_is_taken_or_the_attempts_are_over() {
    let (sandbox, mut hooks) = (sandbox(), Hooks::listen(&[500, 204, 201, 401, 401]).await);
    let receiver = Receiver { attempts: 2, every: Duration::from_millis(1), ..Receiver::new(&hooks.url).bearer("b") };
    sandbox.set_receiver(Some(Receiver { attempts: 3, ..receiver.clone() }));
    sandbox.notify(json!({"nth": 1}));
    for _ in 0..3 {
        assert_eq!(hooks.next().await, (Some("Bearer b".into()), json!({"nth": 1})));
    }
    sandbox.set_receiver(Some(receiver));
    sandbox.notify(json!({"nth": 2}));
    assert_eq!([hooks.next().await.1, hooks.next().await.1], [json!({"nth": 2}), json!({"nth": 2})]);
    sandbox.notify(json!({"nth": 3}));
    assert_eq!(hooks.next().await.1, json!({"nth": 3}), "what came before is settled");
    let states: Vec<_> = sandbox.notifications().into_iter().map(|sent| (sent.attempts, sent.state)).collect();
    assert_eq!(states[..2], [(3, SendState::Done), (2, SendState::Error)]);
}

#[tokio::test]
async fn notifications_lie_as_switched() {
    let (sandbox, mut hooks) = (sandbox(), Hooks::listen(&[]).await);
    let id = create(&sandbox, NewSubscriptions::default());
    sandbox.set_receiver(Some(Receiver::new(&hooks.url)));
    sandbox.switch(|switches| {
        let notifications = &mut switches.notifications;
        (notifications.duplicates, notifications.unknown_types, notifications.strangers) = (1, true, true);
        switches.noted_dates = NotedDates::MillisText;
        switches.noted_spelling = Spelling::Prose;
    });
    sandbox.suspend(&id).unwrap();
    let mut bodies = Vec::new();
    for _ in 0..4 {
        bodies.push(hooks.next().await.1);
    }
    assert_eq!(bodies[0], bodies[1]);
    assert!(text(&bodies[0]["eventDate"]).parse::<i64>().is_ok());
    assert!(bodies[0]["subscription"]["endUserId"].is_string());
    assert_eq!((text(&bodies[2]["type"]), &bodies[2]["objectId"]), ("somethingElse", &json!(id)));
    assert_eq!(text(&bodies[3]["type"]), "suspended");
    assert_ne!(bodies[3]["objectId"], json!(id));

    sandbox.switch(|switches| {
        switches.notifications = Notifications { reversed: true, forged: true, ..Default::default() };
        (switches.noted_spelling, switches.noted_dates) = (Spelling::Spaced, NotedDates::default());
    });
    sandbox.renew(&id).unwrap();
    let renewed = hooks.next().await.1;
    assert_eq!(text(&renewed["type"]), "renewCompleted", "what came last comes first");
    let item = &renewed["order"]["items"][0];
    assert_eq!(
        (&item["subscription"]["lifecycle"]["generation"], text(&item["activationCode"])),
        (&json!(8), "FORGED-KEY-OF-NOBODY")
    );
    assert_eq!(hooks.types(2).await, ["order completed", "order created"]);
}

#[tokio::test]
async fn what_falls_due_by_the_clock_is_told_though_nobody_asks() {
    let mut hooks = Hooks::listen(&[]).await;
    let sandbox = Sandbox::start(Options { speed: 1_000_000.0, ..Options::default() }).unwrap();
    sandbox.set_receiver(Some(Receiver::new(&hooks.url)));
    let auto = NewSubscriptions { period: Period::days(30), ..Default::default() };
    sandbox.create(auto).unwrap();
    assert_eq!(hooks.types(4).await[2..], ["order prebillingStarted", "order completed"]);
}
