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
    Man::new(command).render(&mut roff)?;
    Ok(roff)
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
