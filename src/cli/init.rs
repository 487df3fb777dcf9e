//! `renewald init`: writes the commented settings, and the unit or cron files that go with them. On a terminal it asks the few things
//! that it must know, and tries what it has written.
//!
//! The files are those of `deploy/`, embedded, so that the two cannot drift apart.

mod ask;
mod terminal;

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use self::ask::{Answers, Interview};

/// A file to write: its path below the directory, mode and content.
type Template = (&'static str, u32, &'static str);

/// Readable by the group alone besides: secrets may find their way into it.
const SETTINGS: Template = ("renewald.toml", 0o640, include_str!("../../deploy/renewald.toml"));

const SYSTEMD: [Template; 4] = [
    ("sysusers.d/renewald.conf", 0o644, include_str!("../../deploy/sysusers.d/renewald.conf")),
    ("renewald.service", 0o644, include_str!("../../deploy/renewald.service")),
    ("renewald-once.service", 0o644, include_str!("../../deploy/renewald-once.service")),
    ("renewald-once.timer", 0o644, include_str!("../../deploy/renewald-once.timer")),
];

const CRON: Template = ("cron.d/renewald", 0o644, include_str!("../../deploy/cron.d/renewald"));

#[derive(Clone, Debug, clap::Args)]
pub struct InitArgs {
    /// Directory to write to
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Write the systemd units too
    #[arg(long)]
    pub systemd: bool,
    /// Write a file for /etc/cron.d too
    #[arg(long)]
    pub cron: bool,
}

/// What `init --json` prints.
#[derive(serde::Serialize)]
struct Answer {
    written: Vec<PathBuf>,
    /// What is left to do, in this order: commands, and words where no command can do it.
    next: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("nothing written, there is already: {}", list(.0))]
    Exists(Vec<PathBuf>),
    #[error("cannot create {}", .0.display())]
    Create(PathBuf, #[source] io::Error),
    #[error("cannot write the answer")]
    Output(#[source] io::Error),
    #[error("nothing written: the questions were not answered")]
    Unanswered(#[source] io::Error),
}

impl Error {
    /// 73, cannot create, or 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Exists(_) | Self::Create(..) => 73,
            Self::Output(_) | Self::Unanswered(_) => 1,
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Asks where somebody can be asked, writes the files, and tries the settings.
pub fn run(args: &InitArgs, json: bool, out: &mut dyn Write) -> Result<(), Error> {
    if json || !terminal::is_there() {
        return write_files(args, json, None, out);
    }
    refuse_existing(args)?;
    let database = (!args.systemd && !args.cron).then_some("renewald.db");
    let (mut input, mut asking) = (io::stdin().lock(), io::stderr().lock());
    let mut interview = Interview { input: &mut input, out: &mut asking, hide: &mut terminal::hide };
    let answers = interview.hold(database).map_err(Error::Unanswered)?;
    drop((input, asking));
    write_files(args, false, Some(answers), out)?;
    let settings = args.dir.join(SETTINGS.0);
    let program = std::env::current_exe().map_err(Error::Output)?;
    writeln!(out, "\n$ renewald check --config {}", settings.display()).map_err(Error::Output)?;
    // What it finds it says itself; the files stay.
    Command::new(program).arg("--config").arg(settings).arg("check").status().map_err(Error::Output)?;
    Ok(())
}

fn refuse_existing(args: &InitArgs) -> Result<(), Error> {
    let taken = |path: &PathBuf| fs::symlink_metadata(path).is_ok();
    let existing: Vec<_> = templates(args).iter().map(|(name, ..)| args.dir.join(name)).filter(taken).collect();
    if existing.is_empty() { Ok(()) } else { Err(Error::Exists(existing)) }
}

/// Writes the files and says what to do next, with `json` as one object. An existing file is never touched: then nothing is
/// written at all.
fn write_files(args: &InitArgs, json: bool, answers: Option<Answers>, out: &mut dyn Write) -> Result<(), Error> {
    refuse_existing(args)?;
    create_directory(&args.dir, 0o755)?;
    create_directory(&args.dir.join("secrets"), 0o700)?;
    let mut written = Vec::new();
    let settings = answers.as_ref().map(|answers| answers.settings.as_str());
    let keys = answers.iter().flat_map(|answers| &answers.keys).filter(|(_, key)| !key.is_empty());
    let keys: Vec<_> = keys.map(|(name, key)| (format!("secrets/{name}"), 0o600, key.as_str())).collect();
    let templates = templates(args).into_iter().map(|(name, mode, content)| {
        let content = if name == SETTINGS.0 { settings.unwrap_or(content) } else { content };
        (name.to_owned(), mode, content)
    });
    for (name, mode, content) in templates.chain(keys) {
        let path = args.dir.join(name);
        if let Some(parent) = path.parent() {
            create_directory(parent, 0o755)?;
        }
        write_new(&path, mode, content).map_err(|error| Error::Create(path.clone(), error))?;
        if !json {
            writeln!(out, "wrote {}", path.display()).map_err(Error::Output)?;
        }
        written.push(path);
    }
    let next = next_steps(args, answers.as_ref());
    if json {
        let line = serde_json::to_string(&Answer { written, next }).map_err(|error| Error::Output(error.into()))?;
        return writeln!(out, "{line}").map_err(Error::Output);
    }
    let numbered: String = next.iter().enumerate().map(|(n, step)| format!("{}. {step}\n", n + 1)).collect();
    write!(out, "\nNext:\n{numbered}").map_err(Error::Output)
}

fn templates(args: &InitArgs) -> Vec<Template> {
    let mut templates = vec![SETTINGS];
    if args.systemd {
        templates.extend(SYSTEMD);
    }
    if args.cron {
        templates.push(CRON);
    }
    templates
}

/// One that exists keeps its mode.
fn create_directory(path: &Path, mode: u32) -> Result<(), Error> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|error| Error::Create(path.to_owned(), error))
}

fn write_new(path: &Path, mode: u32, content: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(content.as_bytes())
}

fn next_steps(args: &InitArgs, answers: Option<&Answers>) -> Vec<String> {
    let dir = args.dir.display();
    let settings = args.dir.join(SETTINGS.0).display().to_string();
    let mut steps = match answers {
        None => vec![
            format!("In {settings}: give your realm, territories and a sink."),
            format!("Put each secret into a file of {dir}/secrets/, with the name that the settings give it."),
        ],
        Some(answers) => {
            let missing = answers.keys.iter().filter(|(_, key)| key.is_empty());
            missing.map(|(name, _)| format!("Put the key into {dir}/secrets/{name}.")).collect()
        }
    };
    let mut add = |step: String| steps.push(step);
    if args.systemd || args.cron {
        add(if args.systemd {
            format!("systemd-sysusers {dir}/sysusers.d/renewald.conf")
        } else {
            "useradd --system --home-dir /var/lib/renewald --shell /usr/sbin/nologin renewald".to_owned()
        });
        add("install -d -o renewald -g renewald -m 700 /var/lib/renewald".to_owned());
        let readable = "chown -R root:renewald /etc/renewald && chmod -R u=rwX,g=rX,o= /etc/renewald";
        add(format!("Settings and secrets belong into /etc/renewald: {readable}"));
    }
    add(format!("renewald check --config {settings} --online"));
    add(format!("renewald import --config {settings} subscriptions.csv, or renewald track"));
    let enable = "systemctl enable --now renewald.service, or renewald-once.timer for a pass now and then";
    let cron = format!("cp {dir}/cron.d/renewald /etc/cron.d/");
    if args.systemd {
        add(format!(
            "cp {dir}/renewald*.service {dir}/renewald-once.timer /etc/systemd/system/ && systemctl daemon-reload"
        ));
    }
    match (args.systemd, args.cron) {
        (true, true) => add(format!("One of the two: {enable}; or a pass now and then by cron: {cron}")),
        (true, false) => add(enable.to_owned()),
        (false, true) => add(cron),
        (false, false) => add(format!("renewald run --config {settings}")),
    }
    steps
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::settings::Settings;

    fn init(dir: &Path, systemd: bool, cron: bool) -> Result<String, Error> {
        let mut out = Vec::new();
        write_files(&InitArgs { dir: dir.to_owned(), systemd, cron }, false, None, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn writes_settings_that_load_and_a_private_directory_for_secrets() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("new/etc");
        let said = init(&dir, false, false).unwrap();
        assert!(said.contains("renewald check"), "{said}");
        assert_eq!(mode(&dir.join("secrets")) & 0o077, 0);
        assert_eq!(mode(&dir.join("renewald.toml")) & 0o007, 0);
        let loaded = Settings::load(Some(&dir.join("renewald.toml"))).unwrap();
        assert_eq!(loaded.settings.providers.len(), 1);
        assert!(!dir.join("renewald.service").exists());
    }

    #[test]
    fn writes_units_and_cron_file_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let said = init(dir.path(), true, true).unwrap();
        assert!(said.contains(". One of the two: systemctl enable"), "{said}");
        for (name, _, content) in SYSTEMD.iter().chain([&CRON, &SETTINGS]) {
            assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), *content);
        }
    }

    /// Otherwise systemd ends the commands of exec sinks in the middle of a delivery.
    #[test]
    fn the_units_ask_the_daemon_alone_to_stop() {
        for (name, _, content) in SYSTEMD.iter().filter(|(name, ..)| name.ends_with(".service")) {
            assert!(content.lines().any(|line| line == "KillMode=mixed"), "{name}");
        }
    }

    #[test]
    fn an_existing_file_is_named_and_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let existing = dir.path().join("renewald-once.timer");
        fs::write(&existing, "mine").unwrap();
        let error = init(dir.path(), true, false).unwrap_err();
        assert_eq!(error.exit_code(), 73);
        assert!(error.to_string().contains("renewald-once.timer"), "{error}");
        assert_eq!(fs::read_to_string(&existing).unwrap(), "mine");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
