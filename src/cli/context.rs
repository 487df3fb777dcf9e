//! What a command works with: settings, store, and the ways to answer.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;

use super::{Error, Exit, Global, owner};
use crate::daemon;
use crate::settings::{Loaded, Settings};
use crate::store::{self, Access, Store};
use crate::text::visible_json;

/// The options of every command and what follows from them.
#[derive(Debug)]
pub struct Context {
    pub global: Global,
}

impl Context {
    pub fn new(global: Global) -> Self {
        Self { global }
    }

    /// Reads and checks the settings; their mistakes end the command with exit 78. No secret is read.
    pub fn settings(&self) -> Result<Loaded, Error> {
        Ok(Settings::load(self.global.config.as_deref())?)
    }

    /// As root, becomes the owner of the store's directory: to be called before anything there is opened.
    pub fn become_owner(&self, settings: &Settings) -> Result<(), Error> {
        owner::become_owner(&settings.store.path)
    }

    /// Opens the store beside a daemon that may be running. A `store.path` with nothing there is a mistake, and said to be one.
    pub fn store(&self, settings: &Settings) -> Result<Store, Error> {
        self.become_owner(settings)?;
        Ok(Store::open(&settings.store.path, Access::Existing)?)
    }

    /// The same for what begins a new database: one that is not there is created.
    pub fn store_to_fill(&self, settings: &Settings) -> Result<Store, Error> {
        self.become_owner(settings)?;
        Ok(Store::open(&settings.store.path, Access::Command)?)
    }

    /// The same for what lists what there is, as scripts do before anything is tracked: where there is no database there is
    /// nothing, which stderr says and no file is created for.
    pub fn store_to_list(&self, settings: &Settings) -> Result<Store, Error> {
        self.become_owner(settings)?;
        match Store::open(&settings.store.path, Access::Existing) {
            Err(missing @ store::Error::Missing { .. }) => {
                self.remark(&missing.to_string());
                Ok(Store::empty(&settings.store.path)?)
            }
            opened => Ok(opened?),
        }
    }

    /// The same with the keys for payloads, for what shows or hands them out.
    pub fn store_with_keys(&self, settings: &Settings) -> Result<Store, Error> {
        Ok(self.store(settings)?.with_vault(daemon::vault(&settings.store)))
    }

    /// Prints one JSON object on a line of its own, harmless to a terminal.
    pub fn print_json(&self, value: &impl Serialize) -> Result<(), Error> {
        let line = serde_json::to_string(value).map_err(|e| Error::new(Exit::Internal, e.to_string()))?;
        writeln!(std::io::stdout().lock(), "{}", visible_json(&line))?;
        Ok(())
    }

    /// Prints text for a person; the caller has made it safe to show.
    pub fn print(&self, text: &str) -> Result<(), Error> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Says on stderr what went wrong.
    pub fn complain(&self, text: &str) {
        // Nobody is left to tell when stderr is closed.
        writeln!(std::io::stderr().lock(), "renewald: {text}").ok();
    }

    /// Says on stderr what is no mistake and belongs to no answer; not with `-q`.
    pub fn remark(&self, text: &str) {
        if self.global.quiet == 0 {
            self.complain(text);
        }
    }

    /// Whether a progress bar has a place to be seen.
    pub fn shows_progress(&self) -> bool {
        !self.global.json && self.global.quiet == 0 && std::io::stderr().is_terminal()
    }

    /// A progress bar on stderr, or one that nobody sees. In `template`, `{rate}` is what was done each second.
    pub fn bar(&self, length: u64, template: &str) -> ProgressBar {
        let bar = ProgressBar::hidden();
        self.show(&bar, length, template);
        bar
    }

    /// The same with one that was hidden until now.
    pub fn show(&self, bar: &ProgressBar, length: u64, template: &str) {
        if !self.shows_progress() {
            return;
        }
        bar.set_style(style(template));
        bar.set_length(length);
        bar.reset();
        bar.set_draw_target(ProgressDrawTarget::stderr());
        bar.enable_steady_tick(Duration::from_millis(200));
    }

    /// For the log filter: -1 per `-q`, +1 per `-v`.
    pub fn verbosity(&self) -> i8 {
        let count = |n: u8| i8::try_from(n).unwrap_or(i8::MAX);
        count(self.global.verbose).saturating_sub(count(self.global.quiet))
    }
}

pub(super) fn style(template: &str) -> ProgressStyle {
    // Our templates are constants; a plain bar is as good if the crate should ever think otherwise.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        // A bar that cannot be written is not worth failing for.
        write!(out, "{:.0}", state.per_sec()).ok();
    })
}
