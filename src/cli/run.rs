//! `renewald run`: the daemon.

use std::sync::Arc;

use super::{Context, Error, Exit};
use crate::daemon::{self, Drained, Source, Worker};
use crate::logging;
use crate::signals::Signals;
use crate::store::{Access, InstanceLock, Store};

/// Exit 0 after a clean drain, 1 otherwise.
pub async fn run(context: &Context) -> Result<Exit, Error> {
    let loaded = context.settings()?;
    let logging = logging::init(&loaded.settings.log, context.verbosity())
        .map_err(|e| Error::new(Exit::Settings, crate::chain(&e)))?;
    let settings = Arc::new(loaded.settings);
    context.become_owner(&settings)?;
    let lock = InstanceLock::acquire(&settings.store.path)?;
    let signals = Signals::install().map_err(daemon::Error::Signals)?;
    let store = Store::open(&settings.store.path, Access::Instance(lock))?;
    let worker = Worker::new(settings.clone(), store)?;
    // Before anything is said to have started; as with every other secret, a restart would not help.
    let of_hints = settings.providers.values().filter_map(|provider| provider.hints.as_ref()?.secret());
    for secret in settings.admin.token.iter().chain(of_hints) {
        secret.read().map_err(daemon::Error::Secret)?;
    }
    for warning in &loaded.warnings {
        tracing::warn!("{}", crate::text::visible(warning));
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        database = %settings.store.path.display(),
        providers = settings.providers.len(),
        sinks = settings.sinks.len(),
        "started"
    );
    match worker.run(signals, Source { file: loaded.path, logging }).await {
        Ok(Drained::Clean) => {
            tracing::info!("ended; nothing was cut off");
            Ok(Exit::Done)
        }
        Ok(Drained::Unclean) => Ok(Exit::Failed),
        Err(error @ (daemon::Error::Admin(_) | daemon::Error::Hooks(_) | daemon::Error::Secret(_))) => {
            Err(error.into())
        }
        Err(error) => Err(Error::new(Exit::Failed, crate::chain(&error))),
    }
}
