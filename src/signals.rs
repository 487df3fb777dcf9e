//! Signals: the first SIGTERM or SIGINT drains, the second ends the process at once, SIGHUP reloads, SIGUSR1 polls now.
//!
//! What draining, reloading and polling mean is up to those who hold the handles.

use std::io;
use std::sync::Arc;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::low_level::{exit, signal_name};
use tokio::sync::{Notify, watch};

/// The wish that work should end. All clones share it, and it is never taken back.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Shutdown {
    /// Requested by [`Shutdown::request`] alone.
    pub fn manual() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub fn request(&self) {
        self.0.send_replace(true);
    }

    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once shutdown is requested, at once if it was. Cancel-safe.
    pub async fn requested(&self) {
        self.0.subscribe().wait_for(|requested| *requested).await.expect("self keeps the sender alive");
    }
}

/// What signals ask for. SIGHUP and SIGUSR1 leave a permit when nobody waits.
pub struct Signals {
    pub shutdown: Shutdown,
    pub reload: Arc<Notify>,
    pub poll_now: Arc<Notify>,
}

impl Signals {
    /// Takes over the four signals for the rest of the process's life, on a thread of its own: a signal is heard even while
    /// the runtime is stuck.
    pub fn install() -> io::Result<Self> {
        let mut arriving = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1])?;
        let signals =
            Self { shutdown: Shutdown::manual(), reload: Arc::new(Notify::new()), poll_now: Arc::new(Notify::new()) };
        let (shutdown, reload, poll_now) = (signals.shutdown.clone(), signals.reload.clone(), signals.poll_now.clone());
        let listen = move || {
            let mut drains = false;
            for signal in arriving.forever() {
                match signal {
                    SIGHUP => reload.notify_one(),
                    SIGUSR1 => poll_now.notify_one(),
                    // Past all destructors: whoever asks twice does not want to wait for them.
                    _ if drains => exit(1),
                    _ => {
                        drains = true;
                        tracing::info!("{}: finishing what is in hand", signal_name(signal).unwrap_or("signal"));
                        shutdown.request();
                    }
                }
            }
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(listen)?;
        Ok(signals)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use signal_hook::low_level::raise;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_reaches_every_clone_and_stays() {
        let shutdown = Shutdown::manual();
        let clone = shutdown.clone();
        assert!(timeout(Duration::from_secs(3600), clone.requested()).await.is_err());
        let waiting = tokio::spawn({
            let clone = clone.clone();
            async move { clone.requested().await }
        });
        shutdown.request();
        waiting.await.unwrap();
        assert!(clone.is_requested());
        clone.requested().await;
    }

    /// In one test, as signals concern the whole process. The second SIGTERM is tried on the binary.
    #[tokio::test]
    async fn each_signal_asks_for_its_own() {
        let signals = Signals::install().unwrap();
        let soon = |heard| timeout(Duration::from_secs(20), heard);
        raise(SIGHUP).unwrap();
        soon(signals.reload.notified()).await.unwrap();
        raise(SIGUSR1).unwrap();
        soon(signals.poll_now.notified()).await.unwrap();
        assert!(!signals.shutdown.is_requested());
        raise(SIGTERM).unwrap();
        timeout(Duration::from_secs(20), signals.shutdown.requested()).await.unwrap();
    }
}
