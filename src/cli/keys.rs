//! `keys generate` and `keys rotate`: the key that payloads are encrypted with, made and changed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use nix::unistd::geteuid;
use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use uuid::Uuid;

use super::{Context, Error, Exit, audit, erasing};
use crate::clock::Timestamp;
use crate::store::{Resealed, Store};
use crate::text::number_of;
use crate::vault::{Error::Damaged, Key};

/// Between two steps, so that a daemon gets its turn.
const BREATHER: Duration = Duration::from_millis(20);

#[derive(Debug, clap::Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, clap::Subcommand)]
enum KeysCommand {
    /// Write a new key into a new file that only its owner can read
    Generate {
        /// Where to; must not exist yet
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Encrypt with the key of the settings what is plain or under the previous one
    Rotate,
}

/// What `keys generate --json` prints.
#[derive(Serialize)]
struct Generated {
    file: String,
    key_id: String,
}

/// What `keys rotate --json` prints.
#[derive(Serialize)]
struct Rotated {
    key_id: String,
    /// Messages encrypted now.
    rotated: usize,
    /// Messages whose key is not given: they stay as they are.
    locked: usize,
    /// Messages that do not open: they stay as they are, and are not delivered.
    damaged: Vec<Uuid>,
    #[serde(flatten)]
    erased: erasing::Outcome,
}

pub async fn run(args: KeysArgs, context: &Context) -> Result<Exit, Error> {
    match args.command {
        KeysCommand::Generate { file } => generate(&file, context),
        KeysCommand::Rotate => rotate(context).await,
    }
}

fn generate(file: &Path, context: &Context) -> Result<Exit, Error> {
    let key = Key::generate().map_err(|error| Error::new(Exit::Internal, error.to_string()))?;
    let line = Zeroizing::new(format!("{}\n", base64::engine::general_purpose::STANDARD.encode(*key)));
    write(file, line.as_bytes()).map_err(|error| {
        let text = format!("cannot create {}: {error}", file.display());
        Error::new(Exit::CannotCreate, crate::text::visible(&text))
    })?;
    let (file, key_id) = (file.display().to_string(), Key::new(&key).id().to_owned());
    if context.global.json {
        context.print_json(&Generated { file, key_id })?;
    } else {
        context.print(&format!(
            "{file}: key {key_id}\nName it in store.encryption_key_file. Without it nobody reads what it has encrypted: keep a copy, and \
             keep it apart from the database's backups.",
            file = crate::text::visible(&file)
        ))?;
        if geteuid().is_root() {
            context.print(&format!(
                "Only root may read it. For the daemon's user: chgrp renewald {file} && chmod 640 {file}",
                file = crate::text::visible(&file)
            ))?;
        }
    }
    Ok(Exit::Done)
}

/// On disk when it returns: what it encrypts is lost without it.
fn write(path: &Path, line: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(line)?;
    file.sync_all()?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

/// Killed at any point it may be run again: what is done is passed over.
async fn rotate(context: &Context) -> Result<Exit, Error> {
    let settings = context.settings()?.settings;
    let store = context.store_with_keys(&settings)?;
    if let Some(reason) = store.vault().trouble() {
        return Err(Error::new(Exit::Settings, reason));
    }
    let Some(key_id) = store.vault().current_id().map(str::to_owned) else {
        let text = "store.encryption_key_file is not given: there is no key to encrypt with; `renewald keys generate FILE` makes one";
        return Err(Error::new(Exit::Settings, text));
    };
    let Resealed { messages: rotated, locked, damaged, .. } = reseal_all(&store).await?;
    audit::record(context, &settings, &format!("encrypted {} with key {key_id}", number_of(rotated, "payload")))?;
    // Plain copies may be left beside what took their place, also by a run that was killed before it came here.
    let erased = erasing::erase(&store).await?;
    store.close().await;
    let is_whole = locked == 0 && damaged.is_empty();
    if context.global.json {
        context.print_json(&Rotated { key_id, rotated, locked, damaged, erased: erased.clone() })?;
    } else {
        context.print(&format!(
            "{} encrypted with key {key_id}\n{}",
            number_of(rotated, "payload"),
            erased.to_text()
        ))?;
        if locked > 0 {
            context.complain(&format!(
                "{} {are} encrypted with a key that is not given: see store.encryption_key_previous_file",
                number_of(locked, "payload"),
                are = if locked == 1 { "is" } else { "are" }
            ));
        }
        for message in damaged {
            context.complain(&Damaged { message }.to_string());
        }
    }
    erased.complain(context);
    Ok(if is_whole { erased.exit() } else { Exit::Failed })
}

async fn reseal_all(store: &Store) -> Result<Resealed, Error> {
    let mut total = Resealed::default();
    let mut after = Some(0);
    while let Some(place) = after {
        let step = store.reseal(place, Timestamp::now()).await?;
        total.messages += step.messages;
        total.locked += step.locked;
        total.damaged.extend(step.damaged);
        after = step.next;
        tokio::time::sleep(BREATHER).await;
    }
    Ok(total)
}
