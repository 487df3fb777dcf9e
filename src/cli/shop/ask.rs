//! Brings a call to whoever makes it: over the socket beside the database, which the process with the instance lock serves. Where
//! nobody has that, the command takes it for the time of the call.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{Uid, User};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::Asked;
use crate::cli::{Context, Error, Exit};
use crate::daemon::Worker;
use crate::logging;
use crate::settings::Settings;
use crate::shop::{ANSWER_WITHIN, USER, socket_of};
use crate::store::{self, Access, InstanceLock, Store};
use crate::text::visible;
use crate::tls::{self, CONNECTION_LIFE, Client};

/// A little more than whoever answers gives itself.
const PATIENCE: Duration = ANSWER_WITHIN.saturating_add(Duration::from_secs(5));

/// From taking the lock to serving calls.
const STARTS_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// # Errors
/// What was not done, with the exit code that says what to do about it.
pub async fn ask(context: &Context, settings: Settings, asked: &Asked) -> Result<Box<RawValue>, Error> {
    context.become_owner(&settings)?;
    let socket = socket_of(&settings.store.path);
    let lock = match served_or_free(&settings, &socket).await? {
        Some(lock) => lock,
        None => return exchange(socket, asked).await,
    };
    // What is done is said by the answer; what goes wrong on the way, by the log.
    logging::init(&settings.log, context.verbosity().saturating_sub(1))
        .map_err(|error| Error::new(Exit::Settings, crate::chain(&error)))?;
    let store = Store::open(&settings.store.path, Access::Instance(lock))?;
    let mut worker = Worker::new(Arc::new(settings), store)?;
    let Some(counter) = worker.serve_one_call().await? else {
        return Err(Error::new(
            Exit::CannotCreate,
            format!("cannot listen on {}", visible(&socket.display().to_string())),
        ));
    };
    let answer = exchange(socket, asked).await;
    counter.close().await;
    worker.close().await;
    answer
}

/// The lock, where nobody has it; `None`: whoever has it answers. One that starts, or is about to end, gets a moment.
async fn served_or_free(settings: &Settings, socket: &PathBuf) -> Result<Option<InstanceLock>, Error> {
    let deadline = Instant::now() + STARTS_WITHIN;
    loop {
        if is_served(socket).await? {
            return Ok(None);
        }
        match InstanceLock::acquire(&settings.store.path) {
            Err(store::Error::Locked { .. }) if Instant::now() < deadline => tokio::time::sleep(LOOK_EVERY).await,
            Err(store::Error::Locked { .. }) => {
                let text = "another renewald holds the database and makes no calls just now: try again";
                return Err(Error::new(Exit::TryLater, text));
            }
            lock => return Ok(Some(lock?)),
        }
    }
}

/// Whether somebody answers there. A file that a crash left behind answers nobody.
async fn is_served(socket: &PathBuf) -> Result<bool, Error> {
    match UnixStream::connect(socket).await {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(false),
        Err(error) => {
            let advice = crate::text::permission_advice(&error);
            Err(Error::new(Exit::CannotCreate, format!("{}: {error}{advice}", visible(&socket.display().to_string()))))
        }
    }
}

async fn exchange(socket: PathBuf, asked: &Asked) -> Result<Box<RawValue>, Error> {
    let failed = |error: tls::Error| Error::new(Exit::Internal, crate::chain(&error));
    let shape = move |builder: reqwest::ClientBuilder| builder.unix_socket(socket.as_path()).timeout(PATIENCE);
    let client = Client::new(tls::client_config(None, None).map_err(failed)?, Some(""), CONNECTION_LIFE, shape)
        .map_err(failed)?;
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut url = format!("http://localhost/v1/shop/{}/{}", encoded(&asked.provider), asked.name);
    if let Some(territory) = &asked.territory {
        url.push_str(&format!("?territory={}", encoded(territory)));
    }
    let request = client.get().post(url).header("content-type", "application/json").header(USER, user());
    let unanswered = |error: reqwest::Error| {
        let text = format!("whoever makes the call did not answer: {}", crate::chain(&error.without_url()));
        Error::new(Exit::TryLater, text)
    };
    let response = request.body(asked.body.clone()).send().await.map_err(unanswered)?;
    let status = response.status().as_u16();
    let body = response.bytes().await.map_err(unanswered)?;
    if status == 200 {
        let foreign = |_| Error::new(Exit::Internal, "what answers there is not renewald");
        return serde_json::from_slice(&body).map_err(foreign);
    }
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    Err(Error::new(exit(status), visible(problem["detail"].as_str().unwrap_or("no reason was given"))))
}

/// Mend the request, try later, or refused.
fn exit(status: u16) -> Exit {
    match status {
        400 | 404 | 413 | 422 => Exit::BadInput,
        408 | 503 => Exit::TryLater,
        502 => Exit::Settings,
        409 => Exit::Failed,
        _ => Exit::Internal,
    }
}

/// For the story of what is changed.
fn user() -> String {
    let uid = Uid::current();
    User::from_uid(uid).ok().flatten().map_or_else(|| format!("uid {uid}"), |user| user.name)
}
