//! `renewald man`: the manual pages, made from the same texts as `--help`.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_mangen::Man;

use super::{Cli, Context, Error, Exit};

#[derive(Clone, Debug, clap::Args)]
pub struct ManArgs {
    /// Write renewald.1 and a page for each command into this directory
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

pub fn run(args: ManArgs, context: &Context) -> Result<Exit, Error> {
    let command = command();
    match args.dir {
        None => context.print(&String::from_utf8_lossy(&page(command)?))?,
        Some(dir) => write_all(command, &dir)?,
    }
    Ok(Exit::Done)
}

fn command() -> clap::Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    // Gives each subcommand its full name.
    command.build();
    command
}

fn page(command: clap::Command) -> Result<Vec<u8>, Error> {
    let mut roff = Vec::new();
    let is_main = command.get_name() == "renewald";
    Man::new(command).render(&mut roff)?;
    if is_main {
        SECTIONS.iter().for_each(|(name, entries)| roff.extend(section(name, entries).bytes()));
    }
    Ok(roff)
}

/// What `--help` does not tell.
const SECTIONS: [(&str, &[(&str, &str)]); 3] = [
    (
        "EXIT STATUS",
        &[
            ("0", "done"),
            ("1", "failed; once: something is newly dead or abandoned, or a territory is stopped"),
            ("64", "the command line is wrong"),
            ("65", "the input is wrong, or what is named does not exist"),
            ("69", "no call to a provider succeeded"),
            ("70", "internal error"),
            ("73", "a file cannot be created or opened"),
            ("75", "try later: another renewald works, or a time limit or signal left work"),
            ("78", "the settings are wrong, or the database is not for this build"),
        ],
    ),
    (
        "FILES",
        &[
            (
                "./renewald.toml, /etc/renewald/renewald.toml",
                "the settings, unless --config or RENEWALD_CONFIG names them",
            ),
            ("secrets/", "beside the settings: the secrets that they name"),
            ("/var/lib/renewald/renewald.db", "the database, unless store.path names it; beside it its locks"),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            ("RENEWALD_CONFIG", "the settings file"),
            ("RENEWALD__TABLE__KEY", "a setting, over that of the file: RENEWALD__POLL__EVERY=4h"),
            ("CREDENTIALS_DIRECTORY", "where secrets are looked for first, as systemd sets it"),
            ("NO_COLOR", "no colour, where it is not empty"),
        ],
    ),
];

fn section(name: &str, entries: &[(&str, &str)]) -> String {
    let told: String = entries.iter().map(|(what, text)| format!(".TP\n\\fB{what}\\fR\n{text}\n")).collect();
    // Else a dash becomes a hyphen, which no shell takes for one.
    format!(".SH \"{name}\"\n{}", told.replace('-', "\\-"))
}

fn write_all(command: clap::Command, dir: &Path) -> Result<(), Error> {
    for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        write_all(subcommand.clone(), dir)?;
    }
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let path = dir.join(format!("{name}.1"));
    std::fs::write(&path, page(command)?)
        .map_err(|error| Error::new(Exit::CannotCreate, format!("cannot write {}: {error}", path.display())))
}
