//! Where a demo leaves its things: a directory with settings, database and what was delivered, kept for the user.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::stage::{PROVIDER, Stage};
use crate::cli::{Error, Exit};
use crate::settings::{Provider, Settings};

/// The sink whose file is held against the provider's books.
pub(super) const SHOP: &str = "shop";

#[derive(Debug)]
pub(super) struct Place {
    directory: PathBuf,
}

impl Place {
    /// Makes the directory, or a temporary one, which is kept. One that holds anything already is refused.
    pub(super) fn create(wanted: Option<&Path>) -> Result<Self, Error> {
        let directory = match wanted {
            Some(wanted) => empty_directory(wanted).map_err(|error| cannot_create(wanted, &error))?,
            None => {
                let directory = tempfile::Builder::new().prefix("renewald-demo-").tempdir();
                directory.map_err(|error| cannot_create(&std::env::temp_dir(), &error))?.keep()
            }
        };
        Ok(Self { directory })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn settings_file(&self) -> PathBuf {
        self.directory.join("renewald.toml")
    }

    pub(super) fn database(&self) -> PathBuf {
        self.directory.join("renewald.db")
    }

    pub(super) fn deliveries(&self) -> PathBuf {
        self.directory.join("deliveries.jsonl")
    }

    /// Writes the settings file, and reads it as every command does.
    pub(super) fn settings(&self, stage: &dyn Stage) -> Result<Settings, Error> {
        let file = self.settings_file();
        fs::write(&file, settings_text(stage)).map_err(|error| cannot_create(&file, &error))?;
        let mut settings = Settings::load(Some(&file))?.settings;
        let provider = settings.providers.get_mut(PROVIDER).filter(|provider| is_of(provider, stage));
        match provider {
            // The sandbox is on this machine: no proxy of the environment's reaches it.
            Some(provider) if settings.store.path == self.database() => provider.proxy = Some(String::new()),
            _ => return Err(overridden()),
        }
        if settings.providers.len() > 1 || settings.sinks.len() > 2 {
            return Err(overridden());
        }
        Ok(settings)
    }
}

/// Whether the account, in a few words, begins with the address of ours.
fn is_of(provider: &Provider, stage: &dyn Stage) -> bool {
    provider.kind.to_string().starts_with(&stage.api_url())
}

/// The environment's settings lie over any file's; a demo must not touch what they name.
fn overridden() -> Error {
    Error::new(
        Exit::Settings,
        "the environment sets RENEWALD__… variables, which would change the demo; unset them first",
    )
}

fn empty_directory(wanted: &Path) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(wanted)?;
    if fs::read_dir(wanted)?.next().is_some() {
        return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, "the directory is not empty"));
    }
    fs::canonicalize(wanted)
}

fn cannot_create(what: &Path, error: &io::Error) -> Error {
    Error::new(Exit::CannotCreate, crate::text::visible(&format!("cannot create {}: {error}", what.display())))
}

/// As a user would write it, with `every = "4h"` and nothing accelerated.
fn settings_text(stage: &dyn Stage) -> String {
    format!(
        r#"# Written by `renewald demo`. Its fake provider has ended: list, explain and queue work, run and once reach nobody.

[store]
path = "renewald.db"

[poll]
every = "4h"

{account}
[sinks.{SHOP}]                 # stands for the shop: a line of JSON per message
kind = "file"
path = "deliveries.jsonl"
events = ["*"]

[sinks.queue]                  # the built-in queue: renewald queue pull
kind = "queue"
"#,
        account = stage.settings(),
    )
}
