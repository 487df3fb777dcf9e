//! What listens for requests, whoever asks and whatever for: the doors, the connections and their limits, a thread of its own, how a
//! body is read, and errors as everybody gets them.
//!
//! Which paths there are, and who may use them, belongs to those who open it: [`crate::admin`], [`crate::hooks`] and [`crate::shop`].

pub mod body;
mod connections;
mod door;
pub mod frame;
pub mod guests;
pub mod input;
pub mod problem;
pub mod secret;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

pub use self::door::Bound;
use self::door::Door;
use crate::signals::Shutdown;

/// What requests in hand get when an endpoint closes.
const LAST_ANSWERS: Duration = Duration::from_millis(300);

/// Why it could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{key}: cannot listen on {listen}; choose another address, or \"\" for none")]
    Listen {
        /// Of the settings.
        key: String,
        listen: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot listen on {path}")]
    Socket {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot start the thread {name:?}")]
    Thread {
        name: &'static str,
        #[source]
        source: io::Error,
    },
}

/// Who is at the other end of a connection, as an extension of its requests; whoever comes by a Unix socket is nobody in particular.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub Option<IpAddr>);

/// Doors that are open, on a thread and a runtime of their own: what is asked here holds up nothing else.
pub struct Endpoint {
    stop: Shutdown,
    ended: oneshot::Receiver<()>,
}

/// Listens at an address as the settings have it, and answers nobody yet. `key` is the one that names it.
///
/// # Errors
/// When it cannot listen there.
pub fn bind(key: &str, listen: &str) -> Result<Bound, Error> {
    let failed = |source| Error::Listen { key: key.to_owned(), listen: listen.to_owned(), source };
    Bound::at(listen).map_err(failed)
}

/// Listens on a Unix socket that nobody else may open.
///
/// # Errors
/// When it cannot listen there.
pub fn bind_private(path: &Path) -> Result<Bound, Error> {
    let failed = |source| Error::Socket { path: path.to_owned(), source };
    Bound::at_path(path, 0o600).map_err(failed)
}

impl Endpoint {
    /// Answers from now on. `beside` is done there too.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn open(
        name: &'static str,
        doors: Vec<(Bound, Router)>,
        beside: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Self, Error> {
        let (stop, (end, ended)) = (Shutdown::manual(), oneshot::channel());
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let stopping = stop.clone();
        let work = move || {
            match open(doors) {
                Ok((runtime, doors)) => {
                    started.send(Ok(())).ok();
                    runtime.block_on(async { tokio::join!(serve(doors, stopping), beside) });
                }
                Err(error) => drop(started.send(Err(error))),
            }
            // Whoever waited for this may have stopped waiting.
            end.send(()).ok();
        };
        let failed = |source| Error::Thread { name, source };
        std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(failed)?;
        start.recv().unwrap_or(Err(io::ErrorKind::Other.into())).map_err(failed)?;
        Ok(Self { stop, ended })
    }

    /// Takes no more requests, and finishes those in hand: they get a moment.
    pub async fn close(self) {
        self.stop.request();
        // An error means that its thread has ended already.
        drop(tokio::time::timeout(LAST_ANSWERS + LAST_ANSWERS / 2, self.ended).await);
    }
}

/// A runtime cannot be made and given up again inside another one: it is made on its own thread.
fn open(doors: Vec<(Bound, Router)>) -> io::Result<(Runtime, Vec<(Door, Router)>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let opened = {
        let _inside = runtime.enter();
        let open = |(bound, router): (Bound, Router)| Ok((bound.open()?, router));
        doors.into_iter().map(open).collect::<io::Result<_>>()?
    };
    Ok((runtime, opened))
}

async fn serve(doors: Vec<(Door, Router)>, stop: Shutdown) {
    let serving = doors.into_iter().map(|(door, router)| connections::serve(door, router, stop.clone()));
    serving.collect::<JoinSet<_>>().join_all().await;
}
