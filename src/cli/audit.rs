//! The audit line: who sent messages again or removed data by hand, and how much of it. Nothing about customers.

use nix::unistd::{Uid, User};

use super::{Context, Error, Exit};
use crate::logging;
use crate::settings::Settings;

/// Logs what was done, with the user who did it. Call it once in a command.
pub fn record(context: &Context, settings: &Settings, what: &str) -> Result<(), Error> {
    logging::init(&settings.log, context.verbosity()).map_err(|e| Error::new(Exit::Settings, crate::chain(&e)))?;
    let uid = Uid::current();
    // A container may know no names.
    let user = User::from_uid(uid).ok().flatten().map_or_else(|| "unknown".to_owned(), |user| user.name);
    tracing::info!(uid = uid.as_raw(), %user, "{what}");
    Ok(())
}
