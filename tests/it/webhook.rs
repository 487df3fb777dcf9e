//! The webhook sink against a receiver on a real socket: what goes over the wire, and what each answer leads to.

use std::time::Duration;

use renewald::clock::Timestamp;
use renewald::delivery::Message;
use renewald::sink::webhook::{Webhook, WebhookConfig};
use renewald::sink::{Answer as Answered, Failure, Sink};
use renewald::tls::CONNECTION_LIFE;
use reqwest::header::HeaderMap;
use secrecy::SecretString;

use crate::fake_receiver::{Answer, FakeReceiver};

const CURRENT: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PREVIOUS: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn webhook(receiver: &FakeReceiver, secrets: &[&str], timeout: Duration) -> Webhook {
    Webhook::new(config(receiver, secrets, timeout)).unwrap()
}

fn config(receiver: &FakeReceiver, secrets: &[&str], timeout: Duration) -> WebhookConfig {
    WebhookConfig {
        url: receiver.url(),
        secrets: secrets.iter().map(|secret| SecretString::from((*secret).to_owned())).collect(),
        headers: HeaderMap::new(),
        timeout,
        ca_file: None,
        identity: None,
        proxy: None,
        connection_life: CONNECTION_LIFE,
    }
}

/// With all the time it may need.
fn patient(receiver: &FakeReceiver, secrets: &[&str]) -> Webhook {
    webhook(receiver, secrets, Duration::from_secs(30))
}

fn message(body: &str) -> Message {
    Message {
        id: "ca7413ce-2f68-51bc-b542-7a17d45b4d6b".parse().unwrap(),
        event: "renewal.ready".to_owned(),
        queued_at: Timestamp::from_unix(1_795_291_200),
        body: body.into(),
        replays: 0,
    }
}

#[tokio::test]
async fn a_message_is_signed_with_both_secrets() {
    let receiver = FakeReceiver::start();
    let before = Timestamp::now();
    patient(&receiver, &[CURRENT, PREVIOUS]).publish(&message(r#"{"data":"é"}"#)).await.unwrap();
    let received = receiver.next_message();
    assert_eq!(received.id, "ca7413ce-2f68-51bc-b542-7a17d45b4d6b");
    assert_eq!(received.content_type, "application/cloudevents+json");
    assert_eq!(received.body, r#"{"data":"é"}"#);
    assert_eq!(received.data(), "é");
    let timestamp = Timestamp::from_unix(received.timestamp.parse().unwrap());
    assert!((before..=Timestamp::now()).contains(&timestamp), "the attempt's time: {timestamp}");
    assert!(received.is_signed_with(CURRENT) && received.is_signed_with(PREVIOUS), "{received:?}");
    assert!(!received.is_signed_with("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
}

#[tokio::test]
async fn without_secret_there_is_no_signature() {
    let receiver = FakeReceiver::start();
    patient(&receiver, &[]).publish(&message("{}")).await.unwrap();
    assert_eq!(receiver.next_message().signature, None);
}

#[tokio::test]
async fn messages_share_a_connection_whatever_the_answers() {
    let receiver = FakeReceiver::start();
    receiver.answer_next([200, 204, 500, 400, 200].map(Answer::Status));
    let webhook = patient(&receiver, &[CURRENT]);
    for delivered in [true, true, false, false, true] {
        assert_eq!(webhook.publish(&message("{}")).await.is_ok(), delivered);
    }
    assert!(receiver.messages().iter().all(|received| received.connection == 0), "{:?}", receiver.messages());
}

/// A receiver that has moved is found by the next connection.
#[tokio::test]
async fn a_connection_that_has_lived_long_enough_is_closed() {
    let receiver = FakeReceiver::start();
    let config = config(&receiver, &[CURRENT], Duration::from_secs(30));
    let webhook = Webhook::new(WebhookConfig { connection_life: Duration::ZERO, ..config }).unwrap();
    for connection in 0..3 {
        webhook.publish(&message("{}")).await.unwrap();
        assert_eq!(receiver.next_message().connection, connection);
        receiver.wait_until_ended(connection);
    }
}

#[tokio::test]
async fn answers_tell_whose_fault_it_was_in_our_words() {
    let receiver = FakeReceiver::start();
    receiver.answer_to("slow", Answer::RetryAfter(429, "17".to_owned()));
    receiver.answer_to("moved", Answer::Redirect(308, receiver.url()));
    receiver.answer_to("strange", Answer::Status(422));
    receiver.answer_to("down", Answer::Status(503));
    let webhook = patient(&receiver, &[CURRENT]);
    let seventeen = Some(Duration::from_secs(17));
    let words = Some("WORDS OF THE RECEIVER");
    for (body, expected) in [
        ("slow", ("sink", "answered 429 Too Many Requests", words, seventeen)),
        ("down", ("sink", "answered 503 Service Unavailable", None, None)),
        ("moved", ("sink", "answered 308 Permanent Redirect; redirects are not followed, set the new url", None, None)),
        ("strange", ("message", "answered 422 Unprocessable Entity", words, None)),
    ] {
        let failure = webhook.publish(&message(&format!("\"{body}\""))).await.unwrap_err();
        let reason = failure.to_string();
        let (whose, answer, retry_after) = match failure {
            Failure::Sink { answer, retry_after, surely, .. } => {
                assert_eq!(surely, retry_after.is_some(), "{body}");
                ("sink", answer, retry_after)
            }
            Failure::Message { answer, retry_after, .. } => ("message", answer, retry_after),
            other => panic!("{other:?}"),
        };
        let answer = answer.map(Answered::into_text);
        assert_eq!((whose, reason.as_str(), answer.as_deref(), retry_after), expected);
    }
    assert_eq!(receiver.messages().len(), 4, "the redirect was not followed");
}

#[tokio::test]
async fn no_answer_is_the_sinks_trouble() {
    for receiver in [
        FakeReceiver::that_never_answers(),
        FakeReceiver::that_answers(Answer::Stall),
        FakeReceiver::that_answers(Answer::Cut),
    ] {
        let webhook = webhook(&receiver, &[CURRENT], Duration::from_millis(300));
        let failure = webhook.publish(&message("{}")).await.unwrap_err();
        assert!(matches!(&failure, Failure::Sink { surely: false, .. }), "{failure:?}");
        assert!(!failure.to_string().contains("127.0.0.1"), "{failure}");
    }
}

#[tokio::test]
async fn a_receiver_that_was_down_gets_the_message_again() {
    let receiver = FakeReceiver::start();
    let webhook = patient(&receiver, &[CURRENT]);
    let address = receiver.stop();
    let failure = webhook.publish(&message("{}")).await.unwrap_err();
    assert!(failure.to_string().starts_with("could not connect: "), "{failure}");
    assert!(matches!(failure, Failure::Sink { surely: true, .. }), "{failure:?}");
    assert!(webhook.check().await.is_err());

    let receiver = FakeReceiver::start_at(address);
    webhook.publish(&message("{}")).await.unwrap();
    webhook.check().await.unwrap();
    assert_eq!(receiver.messages().len(), 1, "a check is no message");
}

#[tokio::test]
async fn a_held_answer_delivers_when_it_comes() {
    let receiver = FakeReceiver::that_answers(Answer::Held(202));
    let webhook = patient(&receiver, &[CURRENT]);
    let publish = tokio::spawn(async move { webhook.publish(&message("{}")).await });
    let receiver = tokio::task::spawn_blocking(move || {
        receiver.next_message();
        receiver
    })
    .await
    .unwrap();
    assert!(!publish.is_finished());
    receiver.release();
    publish.await.unwrap().unwrap();
    assert!(receiver.next_message_within(Duration::ZERO).is_none());
}
