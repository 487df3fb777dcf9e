//! `renewald restore`: a backup takes the place of the database, and that one is kept beside it.

mod since;

use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::backup::{self, Verified};
use super::{Context, Error, Exit, audit, erasing};
use crate::clock::Timestamp;
use crate::daemon;
use crate::settings::Settings;
use crate::store::{self, Access, Incoming, InstanceLock, Standing, Store};
use crate::text::{for_shell, visible};
use since::{Item, Since};

#[derive(Clone, Debug, clap::Args)]
pub struct RestoreArgs {
    /// What `backup` wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// A newer file of `export`, to name the subscriptions that the backup lacks [default: by the database in its place, if
    /// that can be read]
    #[arg(long, value_name = "EXPORT")]
    pub export: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// What `restore --json` prints.
#[derive(Serialize)]
struct Answer {
    file: String,
    database: String,
    /// Where the old database is now; `null` where there was none.
    kept: Option<String>,
    holds: Verified,
    /// Why messages will wait for a key.
    key_trouble: Vec<String>,
    /// Tracked since the backup; `null` where nothing tells.
    missing: Option<Vec<Item>>,
    /// Untracked or forgotten since, and watched again; `null` where nothing tells.
    returning: Option<Vec<Item>>,
}

/// What whoever is asked should know before.
struct Found {
    old: Standing,
    key_trouble: Vec<String>,
    since: Option<Since>,
}

pub async fn run(args: RestoreArgs, context: &Context) -> Result<Exit, Error> {
    let settings = context.settings()?.settings;
    context.become_owner(&settings)?;
    let database = &settings.store.path;
    let lock = InstanceLock::acquire(database).map_err(in_use)?;
    if is_same(&args.file, database) {
        return Err(Error::bad_input(format!("{} is the database itself", name(&args.file))));
    }
    let incoming = Incoming::copy(&args.file, database).map_err(|error| unusable(&args.file, error))?;
    let found = Found::look(&args, &settings, &incoming).await?;
    found.warn(context, database);
    let holds = incoming.holds().into();
    if found.old != Standing::Nothing && !args.yes && !confirmed(&args.file, &holds, database)? {
        return Err(Error::new(Exit::Failed, NOTHING_CHANGED));
    }
    let kept = incoming.replace(found.old, Timestamp::now()).map_err(in_use)?;
    Store::open(database, Access::Instance(lock))?.close().await;
    audit::record(context, &settings, "restored a backup")?;
    let kept = kept.map(|kept| kept.display().to_string());
    let advice = found.advice(args.export.as_deref(), kept.as_deref());
    let (missing, returning) = found.since.map_or((None, None), |since| (Some(since.missing), since.returning));
    let [file, database] = [&args.file, database].map(|path| path.display().to_string());
    let answer = Answer { file, database, kept, holds, key_trouble: found.key_trouble, missing, returning };
    if context.global.json {
        context.print_json(&answer)?;
    } else if context.global.quiet == 0 {
        context.print(&answer.to_text())?;
    }
    advice.iter().for_each(|advice| context.complain(advice));
    Ok(Exit::Done)
}

const NOTHING_CHANGED: &str = "nothing was changed";

fn name(path: &Path) -> String {
    visible(&path.display().to_string())
}

fn is_same(file: &Path, database: &Path) -> bool {
    let identity = |path: &Path| path.metadata().ok().map(|file| (file.dev(), file.ino()));
    identity(file).is_some_and(|file| Some(file) == identity(database))
}

fn in_use(error: store::Error) -> Error {
    let is_locked = matches!(error, store::Error::Locked { .. });
    let Error { exit, text } = error.into();
    Error::new(exit, if is_locked { format!("{text}: {NOTHING_CHANGED}; stop it, then restore") } else { text })
}

/// Why the file is no backup. A newer one is a matter of what is installed here.
fn unusable(file: &Path, error: store::Error) -> Error {
    use store::Error as Store;
    let file = name(file);
    let (exit, reason) = match &error {
        Store::Foreign { .. } => (Exit::BadInput, "is not a renewald database".to_owned()),
        Store::Damaged { .. } | Store::Incomplete { .. } | Store::Broken(_) => {
            (Exit::BadInput, "is damaged: SQLite finds faults in it".to_owned())
        }
        Store::Newer { found, known, .. } => {
            let reason =
                format!("is of schema version {found}, and this renewald knows {known}: install the newer one");
            (Exit::Settings, reason)
        }
        Store::File { path, source } if name(path) == file => {
            let who = if source.kind() == std::io::ErrorKind::PermissionDenied { AS_OWNER } else { "" };
            (Exit::BadInput, format!("cannot be read{who}: {source}"))
        }
        _ => return error.into(),
    };
    Error::new(exit, format!("{file} {reason}; {NOTHING_CHANGED}"))
}

const AS_OWNER: &str = " by the user to whom the database's directory belongs, which root becomes too";

fn not_ours(error: store::Error) -> Error {
    match &error {
        store::Error::Foreign { path } => {
            let text = format!(
                "{} is another program's database; {NOTHING_CHANGED}: set store.path right, or move that one away",
                name(path)
            );
            Error::new(Exit::Settings, text)
        }
        _ => error.into(),
    }
}

/// Asks on a terminal; elsewhere `--yes` is the only way to say so.
fn confirmed(file: &Path, holds: &Verified, database: &Path) -> Result<bool, Error> {
    let (file, database) = (name(file), name(database));
    if !std::io::stdin().is_terminal() {
        return Err(Error::usage(format!("{NOTHING_CHANGED}: --yes says that {database} is to be replaced")));
    }
    let counts = backup::counts(holds);
    Ok(erasing::ask(&format!("Replace {database}, which is kept, by {file} with {counts}?"))?)
}

impl Found {
    async fn look(args: &RestoreArgs, settings: &Settings, incoming: &Incoming) -> Result<Self, Error> {
        let database = &settings.store.path;
        let old = Standing::look(database).map_err(not_ours)?;
        let copy = Store::look(incoming)?.with_vault(daemon::vault(&settings.store));
        let since = match (&args.export, old) {
            (Some(export), _) => Some(since::export(export, settings, &copy).await?),
            (None, Standing::Whole) => since::database(database, &copy).await?,
            (None, _) => None,
        };
        let key_trouble = copy.key_trouble().await?;
        copy.close().await;
        Ok(Self { old, key_trouble, since })
    }

    fn warn(&self, context: &Context, database: &Path) {
        if self.old == Standing::Damaged {
            context.complain(&format!("{} is damaged", name(database)));
        }
        self.key_trouble.iter().for_each(|reason| context.complain(reason));
        match &self.since {
            Some(since) => since.to_lines().iter().for_each(|line| context.complain(line)),
            None if self.old == Standing::Nothing => {}
            None => context
                .complain("what was tracked since the backup cannot be told: --export names a newer file of `export`"),
        }
    }

    /// How to track again what is missing. `kept`: where the old database is now.
    fn advice(&self, export: Option<&Path>, kept: Option<&str>) -> Option<String> {
        self.since.as_ref().filter(|since| !since.missing.is_empty())?;
        match (export, kept) {
            (Some(export), _) => {
                Some(format!("`renewald import {}` tracks what is missing", for_shell(&export.display().to_string())))
            }
            (None, Some(kept)) => Some(format!(
                "`RENEWALD__STORE__PATH={} renewald export -o since.jsonl`, then `renewald import since.jsonl` tracks what \
                 is missing",
                for_shell(kept)
            )),
            (None, None) => None,
        }
    }
}

impl Answer {
    fn to_text(&self) -> String {
        let restored = format!("restored: {}", backup::counts(&self.holds));
        let again = "renewals since the backup are found and sent again, under the same ids";
        match &self.kept {
            Some(kept) => format!("{restored}\nthe database before it is kept as {}\n{again}\n", visible(kept)),
            None => format!("{restored}\n{again}\n"),
        }
    }
}
