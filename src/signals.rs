//! Signals: the first SIGTERM or SIGINT drains, the second ends the process at once, SIGHUP reloads, SIGUSR1 polls now.
//!
//! What draining, reloading and polling mean is up to those who hold the handles.

use std::io;
use std::sync::Arc;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::low_level::{exit, signal_name};
use tokio::sync::{Notify, watch};

/// How urgently work should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    GoOn,
    /// Take nothing new, finish what is in hand in its own time: somebody else goes on.
    WindUp,
    /// Drain: the process ends.
    End,
}

/// The wish that work should end. All clones share it, and it is never taken back.
#[derive(Clone, Debug)]
pub struct Shutdown {
    own: Arc<watch::Sender<Wish>>,
    /// Of everybody, where `own` concerns one alone.
    all: Option<Arc<watch::Sender<Wish>>>,
}

impl Shutdown {
    /// Requested by [`Shutdown::request`] alone.
    pub fn manual() -> Self {
        Self { own: Arc::new(watch::Sender::new(Wish::GoOn)), all: None }
    }

    /// For one of those who share this wish: it ends with all others, and may be wound up alone.
    pub fn of_one(&self) -> Self {
        Self { all: Some(self.own.clone()), ..Self::manual() }
    }

    pub fn request(&self) {
        self.own.send_replace(Wish::End);
    }

    /// Asks for an end that loses nothing and hurries nobody. A shutdown that is requested too goes first.
    pub fn wind_up(&self) {
        self.own.send_if_modified(|wish| {
            let changes = *wish < Wish::WindUp;
            *wish = Wish::WindUp.max(*wish);
            changes
        });
    }

    pub fn is_requested(&self) -> bool {
        self.has(Wish::End)
    }

    /// Whether this is the end, hurried or not.
    pub fn is_winding_up(&self) -> bool {
        self.has(Wish::WindUp)
    }

    /// Returns once shutdown is requested, at once if it was. Cancel-safe.
    pub async fn requested(&self) {
        self.reached(Wish::End).await;
    }

    /// Returns once the end is wished for, hurried or not. Cancel-safe.
    pub async fn winding_up(&self) {
        self.reached(Wish::WindUp).await;
    }

    /// Returns once more is wished for than what is being done already: `winding_up`, or nothing. Cancel-safe.
    pub async fn next_wish(&self, winding_up: bool) {
        self.reached(if winding_up { Wish::End } else { Wish::WindUp }).await;
    }

    fn has(&self, wish: Wish) -> bool {
        [Some(&self.own), self.all.as_ref()].into_iter().flatten().any(|sender| *sender.borrow() >= wish)
    }

    async fn reached(&self, wish: Wish) {
        match &self.all {
            None => reached(&self.own, wish).await,
            Some(all) => tokio::select! {
                () = reached(&self.own, wish) => {}
                () = reached(all, wish) => {}
            },
        }
    }
}

async fn reached(sender: &watch::Sender<Wish>, wish: Wish) {
    sender.subscribe().wait_for(|now| *now >= wish).await.expect("the sender is borrowed meanwhile");
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

    #[tokio::test(start_paused = true)]
    async fn one_is_wound_up_alone_and_ends_with_all() {
        let all = Shutdown::manual();
        let [one, other] = [all.of_one(), all.of_one()];
        one.wind_up();
        one.winding_up().await;
        assert!(!one.is_requested() && !other.is_winding_up() && !all.is_winding_up());
        assert!(timeout(Duration::from_secs(3600), one.requested()).await.is_err());
        all.request();
        other.winding_up().await;
        one.requested().await;
        all.wind_up();
        assert!(all.is_requested(), "never taken back");
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
