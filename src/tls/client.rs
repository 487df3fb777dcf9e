//! An HTTP client whose connections live for a minute, so that a host that has moved is found.
//!
//! A name is resolved for a new connection only, and one that is used every few seconds would live for ever: at an address where
//! nobody who is meant listens any more.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::time::Instant;

use super::{Error, client_builder_with};

/// How long a connection serves further requests.
pub const CONNECTION_LIFE: Duration = Duration::from_secs(60);

/// Hands out one client for as long as a connection may live, then another with connections of its own. All have the same TLS
/// settings, roots and session tickets included.
pub struct Client {
    build: Box<dyn Fn() -> Result<reqwest::Client, Error> + Send + Sync>,
    life: Duration,
    /// Since when, and which.
    current: Mutex<(Instant, reqwest::Client)>,
}

impl Client {
    /// `shape` is what each client has besides [`super::client_builder`]'s. Opens no connection.
    pub fn new(
        tls: ClientConfig,
        proxy: Option<&str>,
        life: Duration,
        shape: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let proxy = proxy.map(str::to_owned);
        let build = move || {
            let builder = shape(client_builder_with(tls.clone(), proxy.as_deref())?);
            builder.build().map_err(|error| Error::Client(error.without_url()))
        };
        let current = Mutex::new((Instant::now(), build()?));
        Ok(Self { build: Box::new(build), life, current })
    }

    /// The client for one request. Those under way keep theirs, whose connections end with them.
    pub fn get(&self) -> reqwest::Client {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0.elapsed() >= self.life {
            match (self.build)() {
                Ok(client) => *current = (Instant::now(), client),
                Err(error) => {
                    tracing::warn!(error = %crate::chain(&error), "connections are used for longer than usual")
                }
            }
        }
        current.1.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::advance;

    use super::*;
    use crate::tls::client_config;

    #[tokio::test(start_paused = true)]
    async fn another_client_is_built_once_a_minute_while_it_is_used() {
        let built = Arc::new(AtomicU32::new(0));
        let counted = built.clone();
        let shape = move |builder| {
            counted.fetch_add(1, Ordering::Relaxed);
            builder
        };
        let client = Client::new(client_config(None, None).unwrap(), Some(""), CONNECTION_LIFE, shape).unwrap();
        let after = async |seconds| {
            advance(Duration::from_secs(seconds)).await;
            client.get();
            built.load(Ordering::Relaxed)
        };
        assert_eq!((after(0).await, after(59).await), (1, 1));
        assert_eq!((after(1).await, after(30).await, after(30).await), (2, 2, 3));
        assert_eq!(after(3600).await, 4, "not for each minute in which nobody asked");
    }
}
