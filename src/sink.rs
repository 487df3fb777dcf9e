//! What a sink is: it publishes one message and tells whose fault a failure was.
//!
//! Each kind is one file below. Retries, order and back-off belong to [`crate::relay`].

pub mod file;
pub mod stdout;
pub mod webhook;

use std::time::Duration;

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

/// A failed publish. The text is safe to show: no URL query, no key, no raw control characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The sink's trouble: no answer, blocked, authentication, 5xx, 410. The message waits and loses no attempt.
    #[error("{reason}")]
    Sink { reason: String, retry_after: Option<Duration> },
    /// About this message: it counts against `max_attempts`.
    #[error("{reason}")]
    Message { reason: String, retry_after: Option<Duration> },
    /// About this message, and final: dead at once.
    #[error("{reason}")]
    Final { reason: String },
}
