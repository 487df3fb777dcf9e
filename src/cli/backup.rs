//! `renewald backup`: a copy of the database, and whether it is whole.

use std::path::PathBuf;

use serde::Serialize;

use super::naming;
use super::{Context, Error, Exit};
use crate::store::{self, Copy};
use crate::text::number_of;

#[derive(Clone, Debug, clap::Args)]
pub struct BackupArgs {
    /// A new file; it is readable by its owner only, and holds licence keys
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Open the copy afterwards, look whether it is whole, and count what it holds
    #[arg(long)]
    pub verify: bool,
}

/// What `backup --json` prints.
#[derive(Serialize)]
struct Answer {
    file: String,
    /// `null` without `--verify`.
    verified: Option<Verified>,
}

/// What a copy was found to hold.
#[derive(Serialize)]
pub(super) struct Verified {
    bytes: u64,
    subscriptions: i64,
    renewals: i64,
    messages: i64,
    dispatches: i64,
}

impl From<Copy> for Verified {
    fn from(copy: Copy) -> Self {
        let Copy { bytes, subscriptions, renewals, messages, dispatches } = copy;
        Self { bytes, subscriptions, renewals, messages, dispatches }
    }
}

pub async fn run(args: BackupArgs, context: &Context) -> Result<Exit, Error> {
    let (_, store) = naming::open(context)?;
    let copied = store.backup(args.file.clone()).await;
    store.close().await;
    copied.map_err(explained)?;
    let verified = args.verify.then(|| store::verify_copy(&args.file)).transpose()?.map(Verified::from);
    if context.global.json {
        context.print_json(&Answer { file: args.file.display().to_string(), verified })?;
    } else if context.global.quiet == 0 {
        context.print(&format!("{}: {}", args.file.display(), to_text(verified.as_ref())))?;
    }
    Ok(Exit::Done)
}

fn explained(error: store::Error) -> Error {
    match &error {
        store::Error::File { path, source } if source.kind() == std::io::ErrorKind::AlreadyExists => Error::new(
            Exit::CannotCreate,
            format!("{} is there already: a backup takes no file's place", path.display()),
        ),
        store::Error::File { path, source } if source.kind() == std::io::ErrorKind::PermissionDenied => Error::new(
            Exit::CannotCreate,
            format!(
                "cannot write {}: {source}; a copy is written by the user to whom the database belongs, also for root",
                path.display()
            ),
        ),
        _ => error.into(),
    }
}

fn to_text(verified: Option<&Verified>) -> String {
    match verified {
        None => "copied; --verify looks whether a copy is whole".to_owned(),
        Some(verified) => format!("copied and whole, {} bytes: {}", verified.bytes, counts(verified)),
    }
}

/// `2 subscriptions, 1 renewal, …`
pub(super) fn counts(Verified { subscriptions, renewals, messages, dispatches, .. }: &Verified) -> String {
    format!(
        "{}, {}, {}, {}",
        number_of(*subscriptions, "subscription"),
        number_of(*renewals, "renewal"),
        number_of(*messages, "message"),
        if *dispatches == 1 { "1 dispatch".to_owned() } else { format!("{dispatches} dispatches") }
    )
}
