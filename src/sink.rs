//! What a sink is: it publishes one message and tells whose fault a failure was.
//!
//! Each kind is one file below, its keys in a `settings` of its own; `kinds` lists them all, `broker` has what the keys of brokers
//! share, `domain` how names are written for DNS. Retries, order and back-off belong to [`crate::relay`].

pub mod amqp;
mod answer;
pub mod broker;
mod domain;
pub mod exec;
pub mod file;
pub mod kinds;
pub mod nats;
pub mod redis;
pub mod smtp;
pub mod stdout;
pub mod webhook;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

pub use answer::Answer;

use crate::delivery::Message;

/// A configured notifier. `publish` returns `Ok` only once the receiver has taken responsibility for the message (2xx,
/// fsync, broker confirm); it always ends within the sink's configured timeout.
pub trait Sink: Send + Sync {
    /// Sends the message's stored bytes unchanged. May be called again with the same message, also after success.
    fn publish(&self, message: &Message) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Whether the sink could be reached and would take a message, without sending one, for `check --online`. The error
    /// says what is missing, for a person.
    fn check(&self) -> impl Future<Output = Result<(), String>> + Send;
}

/// A sink of any kind that pushes, as the settings have it.
pub enum Configured {
    Webhook(webhook::Webhook),
    Amqp(amqp::Amqp),
    Nats(Box<nats::Nats>),
    Redis(Box<redis::Redis>),
    Smtp(Box<smtp::Smtp>),
    Exec(exec::Exec),
    File(file::FileSink),
    Stdout(stdout::StdoutSink),
}

impl Sink for Configured {
    async fn publish(&self, message: &Message) -> Result<(), Failure> {
        match self {
            Self::Webhook(sink) => sink.publish(message).await,
            Self::Amqp(sink) => sink.publish(message).await,
            Self::Nats(sink) => sink.publish(message).await,
            Self::Redis(sink) => sink.publish(message).await,
            Self::Smtp(sink) => sink.publish(message).await,
            Self::Exec(sink) => sink.publish(message).await,
            Self::File(sink) => sink.publish(message).await,
            Self::Stdout(sink) => sink.publish(message).await,
        }
    }

    async fn check(&self) -> Result<(), String> {
        match self {
            Self::Webhook(sink) => sink.check().await,
            Self::Amqp(sink) => sink.check().await,
            Self::Nats(sink) => sink.check().await,
            Self::Redis(sink) => sink.check().await,
            Self::Smtp(sink) => sink.check().await,
            Self::Exec(sink) => sink.check().await,
            Self::File(sink) => sink.check().await,
            Self::Stdout(sink) => sink.check().await,
        }
    }
}

/// A failed publish. The reason is safe to show: no URL query, no key, no raw control characters. An `answer` is what the receiver
/// said besides, for the operator alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The sink's trouble: no answer, blocked, authentication, 5xx, 410. The message waits and loses no attempt. Where it is not
    /// `surely` so, the message itself may bring it about: then it fails again while others pass.
    #[error("{reason}")]
    Sink { reason: String, answer: Option<Answer>, retry_after: Option<Duration>, surely: bool },
    /// The receiver's answer to this message: it counts against `max_attempts`.
    #[error("{reason}")]
    Message { reason: String, answer: Option<Answer>, retry_after: Option<Duration> },
    /// The receiver's answer to this message, and final: dead at once.
    #[error("{reason}")]
    Final { reason: String },
    /// About this message, before the receiver has heard of it: counts, or is final, and says nothing of the sink.
    #[error("{reason}")]
    Unsent { reason: String, is_final: bool },
}

impl Failure {
    /// The sink's trouble as far as it is known, with nothing said of when to try again.
    fn of_sink(reason: String) -> Self {
        Self::Sink { reason, answer: None, retry_after: None, surely: false }
    }

    /// The sink's trouble whatever is sent: nothing was, because there is no connection or we are not let in.
    fn surely_of_sink(reason: String) -> Self {
        Self::Sink { reason, answer: None, retry_after: None, surely: true }
    }

    /// The receiver's answer to this message, likewise.
    fn of_message(reason: String) -> Self {
        Self::Message { reason, answer: None, retry_after: None }
    }

    /// With what the receiver said besides.
    fn with_answer(mut self, said: Option<Answer>) -> Self {
        if let Self::Sink { answer, .. } | Self::Message { answer, .. } = &mut self {
            *answer = said;
        }
        self
    }

    /// Could not be sent as things are.
    fn unsent(reason: String) -> Self {
        Self::Unsent { reason, is_final: false }
    }

    /// Can never be sent.
    fn never_sent(reason: String) -> Self {
        Self::Unsent { reason, is_final: true }
    }
}

/// Without the parser's words, which may quote the body.
fn unreadable(_: serde_json::Error) -> Failure {
    Failure::never_sent("the body is not a message of ours".to_owned())
}

/// The message as one JSON line, its end included.
fn json_line(message: &Message) -> Result<Vec<u8>, Failure> {
    if message.body.contains(&b'\n') {
        return Err(Failure::never_sent("the body is not a single line".to_owned()));
    }
    let mut line = Vec::with_capacity(message.body.len() + 1);
    line.extend_from_slice(&message.body);
    line.push(b'\n');
    Ok(line)
}

/// Does blocking work on what only one may use at a time. The error is a text for people.
///
/// After `timeout` nobody waits any more, but work that was begun goes on and keeps the lock until it ends.
async fn blocking<T: Send + 'static, R: Send + 'static>(
    owned: &Arc<Mutex<T>>,
    timeout: Duration,
    work: impl FnOnce(&mut T) -> io::Result<R> + Send + 'static,
) -> Result<R, String> {
    let in_turn = async {
        let mut owned = owned.clone().lock_owned().await;
        tokio::task::spawn_blocking(move || work(&mut owned)).await
    };
    match tokio::time::timeout(timeout, in_turn).await {
        Ok(Ok(result)) => result.map_err(|error| error.to_string()),
        Ok(Err(stopped)) => Err(stopped.to_string()),
        Err(_) => Err(format!("not written within {timeout:?}")),
    }
}

#[cfg(test)]
mod tests {
    use crate::clock::Timestamp;
    use crate::delivery::Message;

    pub fn message(body: &str) -> Message {
        Message {
            id: uuid::Uuid::nil(),
            event: "renewal.ready".to_owned(),
            queued_at: Timestamp::from_unix(0),
            body: body.into(),
            replays: 0,
        }
    }
}
