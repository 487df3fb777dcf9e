//! Sends notifications while the sandbox runs.

use std::time::{Duration, Instant};

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};

use super::{Notifying, Receiver};
use crate::sandbox::controls::Controls;

/// How often the clock is looked at, so that what falls due by itself is told though nobody asks.
const TICK: Duration = Duration::from_millis(50);
/// What a receiver gets for its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// One at a time, oldest first: the receiver sees them as they happened.
pub(in crate::sandbox) async fn run<F: Notifying>(controls: Controls<F>) {
    crate::tls::install_crypto_provider();
    let client =
        crate::tls::client_builder(None, Some("")).ok().and_then(|builder| builder.timeout(PATIENCE).build().ok());
    let Some(client) = client else {
        tracing::error!("the sandbox cannot send notifications");
        return;
    };
    let bell = controls.provider(|provider, _| provider.outbox().bell.clone());
    loop {
        let next = controls.provider(|provider, now| {
            provider.catch_up(now);
            provider.outbox().take(Instant::now())
        });
        match next {
            Some((seq, receiver, body)) => {
                let status = send(&client, &receiver, body).await;
                let is_taken = status.is_some_and(|status| F::TAKEN.contains(&status));
                controls.provider(|provider, _| provider.outbox().settle(seq, status, is_taken, Instant::now()));
            }
            None => wait(&controls, &bell).await,
        }
    }
}

/// Without a receiver there is nothing to look for.
async fn wait<F: Notifying>(controls: &Controls<F>, bell: &tokio::sync::Notify) {
    let (is_heard, due) =
        controls.provider(|provider, _| (provider.outbox().receiver.is_some(), provider.outbox().next_due()));
    let until_due = due.map_or(TICK, |due| due.saturating_duration_since(Instant::now()).min(TICK));
    tokio::select! {
        () = bell.notified() => {}
        () = tokio::time::sleep(until_due), if is_heard => {}
    }
}

/// The status answered, if any was.
async fn send(client: &reqwest::Client, receiver: &Receiver, body: String) -> Option<u16> {
    let mut request = client.post(&receiver.url).header(CONTENT_TYPE, "application/json").body(body);
    if let Some(authorization) = &receiver.authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    Some(request.send().await.ok()?.status().as_u16())
}
