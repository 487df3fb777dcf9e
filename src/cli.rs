//! The command line: what the commands share. Each command is one thin file below.

mod audit;
pub mod backup;
pub mod check;
pub mod completions;
pub mod context;
pub mod demo;
pub mod discover;
mod erasing;
pub mod explain;
pub mod export;
pub mod healthcheck;
pub mod import;
pub mod init;
pub mod keys;
pub mod list;
pub mod man;
mod naming;
mod numbers;
pub mod once;
mod owner;
mod page;
pub mod pause;
pub mod poll;
pub mod queue;
pub mod refetch;
pub mod restore;
pub mod run;
pub mod sandbox;
pub mod schema;
pub mod shop;
pub mod status;
mod table;
pub mod track;
pub mod untrack;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use context::Context;

/// Watches resold subscriptions for renewals and hands every new licence key to your queue
#[derive(Debug, Parser)]
#[command(name = "renewald", version, max_term_width = 120, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Global {
    /// Settings file [default: $RENEWALD_CONFIG, ./renewald.toml, /etc/renewald/renewald.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON object (or JSON lines) instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Say less; twice: only errors
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub quiet: u8,
    /// Say more; twice: everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon
    Run,
    /// Catch up once, then exit
    Once(once::OnceArgs),
    /// See it work: 40 simulated days with a fake provider, in a few seconds
    Demo(demo::DemoArgs),
    /// Run a fake provider to try things with
    Sandbox(sandbox::SandboxArgs),
    /// Write commented settings (and unit or cron files) to begin with
    Init(init::InitArgs),
    /// Look at settings, files, permissions and capacity
    Check(check::CheckArgs),
    /// Watch a subscription, or those of an order
    Track(track::TrackArgs),
    /// Watch the subscriptions of a file: CSV or JSON lines
    Import(import::ImportArgs),
    /// Stop watching a subscription
    Untrack(untrack::UntrackArgs),
    /// Stop asking about subscriptions until they are resumed; what is queued is still delivered
    Pause(pause::PauseArgs),
    /// Ask about paused subscriptions again
    Resume(pause::PauseArgs),
    /// Ask the provider about subscriptions now
    Poll(poll::PollArgs),
    /// Ask for a generation's order data again, or accept a jump
    Refetch(refetch::RefetchArgs),
    /// List subscriptions, 50 at a time
    List(list::ListArgs),
    /// List subscriptions that a provider lists and nobody tracks
    Discover(discover::DiscoverArgs),
    /// Write all subscriptions as JSON lines, which `import` restores
    Export(export::ExportArgs),
    /// Tell all that is known of a subscription, and what comes next
    Explain(explain::ExplainArgs),
    /// Tell how everything stands, and whether the budget is enough
    Status(status::StatusArgs),
    /// Make a shop's calls at the provider: order, cancel, stock and others
    Shop(shop::ShopArgs),
    /// Look at messages, send them again, take them
    Queue(queue::QueueArgs),
    /// Copy the database while a daemon works on it
    Backup(backup::BackupArgs),
    /// Put a backup in the place of the database, which is kept
    Restore(restore::RestoreArgs),
    /// Make and change the key that payloads are encrypted with
    Keys(keys::KeysArgs),
    /// Ask the running daemon whether it does its work: exit 0 when it does
    Healthcheck,
    /// Print a link to the daemon's page that lets one browser in; over a Unix socket, bring it there
    Page,
    /// Print the JSON Schema of the messages
    Schema,
    /// Print completions for a shell
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write one for each command
    Man(man::ManArgs),
}

/// How a command ends (design section 6; docs/commands.md, "Exit codes").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 64,
    BadInput = 65,
    /// No call to a provider succeeded.
    NoProvider = 69,
    Internal = 70,
    CannotCreate = 73,
    TryLater = 75,
    Settings = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// A command that could not do what it was asked: what a person reads, and the exit code.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Error {
    pub exit: Exit,
    pub text: String,
}

impl Error {
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }

    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }

    pub fn bad_input(text: impl Into<String>) -> Self {
        Self::new(Exit::BadInput, text)
    }
}

impl From<crate::store::Error> for Error {
    fn from(error: crate::store::Error) -> Self {
        use crate::store::Error as Store;
        use crate::vault;
        let exit = match &error {
            Store::Locked { .. } | Store::Older { .. } => Exit::TryLater,
            // `store.path` names a file that is not for this build.
            Store::Newer { .. } | Store::Foreign { .. } => Exit::Settings,
            Store::Missing { .. } => Exit::BadInput,
            Store::File { .. } => Exit::CannotCreate,
            Store::Vault(vault::Error::Damaged { .. } | vault::Error::Random) => Exit::Failed,
            Store::Vault(_) => Exit::Settings,
            _ if error.is_transient() => Exit::TryLater,
            _ => Exit::Internal,
        };
        let advice = match &error {
            Store::File { source, .. } => crate::text::permission_advice(source),
            _ => "",
        };
        Self::new(exit, format!("{}{advice}", crate::chain(&error)))
    }
}

impl From<crate::settings::Problems> for Error {
    fn from(problems: crate::settings::Problems) -> Self {
        Self::new(Exit::Settings, problems.to_string())
    }
}

impl From<crate::admin::Error> for Error {
    fn from(error: crate::admin::Error) -> Self {
        use crate::admin::Error as Admin;
        match error {
            Admin::Store(error) => error.into(),
            Admin::Listen(error) => error.into(),
            Admin::Random(error) => Self::new(Exit::Internal, crate::chain(&error)),
        }
    }
}

impl From<crate::hooks::Error> for Error {
    fn from(error: crate::hooks::Error) -> Self {
        use crate::hooks::Error as Hooks;
        match error {
            Hooks::Store(error) => error.into(),
            Hooks::Listen(error) => error.into(),
        }
    }
}

impl From<crate::listen::Error> for Error {
    fn from(error: crate::listen::Error) -> Self {
        Self::new(Exit::CannotCreate, crate::chain(&error))
    }
}

impl From<crate::daemon::Error> for Error {
    fn from(error: crate::daemon::Error) -> Self {
        use crate::daemon::Error as Daemon;
        match error {
            Daemon::Store(error) => error.into(),
            Daemon::Admin(error) => error.into(),
            Daemon::Hooks(error) => error.into(),
            Daemon::Several(_) => Self::new(Exit::Settings, error.lines()),
            Daemon::Secret(_) | Daemon::Provider { .. } | Daemon::Sink { .. } => {
                Self::new(Exit::Settings, crate::chain(&error))
            }
            Daemon::Signals(_) | Daemon::Task(_) => Self::new(Exit::Internal, crate::chain(&error)),
        }
    }
}

/// Writing to stdout failed. A reader that went away (`| head`) is no failure worth words.
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        let quiet = error.kind() == std::io::ErrorKind::BrokenPipe;
        Self::new(Exit::Failed, if quiet { String::new() } else { format!("cannot write the answer: {error}") })
    }
}

/// Runs a command to its end. Errors are printed here and nowhere else.
pub async fn run(cli: Cli) -> Exit {
    let context = Context::new(cli.global);
    match dispatch(cli.command, &context).await {
        Ok(exit) => exit,
        Err(error) => {
            if !error.text.is_empty() {
                context.complain(&error.text);
            }
            error.exit
        }
    }
}

async fn dispatch(command: Command, context: &Context) -> Result<Exit, Error> {
    match command {
        Command::Run => run::run(context).await,
        Command::Once(args) => once::run(args, context).await,
        Command::Demo(args) => demo::run(args, context).await,
        Command::Sandbox(args) => sandbox::run(args, context).await,
        Command::Init(args) => match init::run(&args, context.global.json, &mut std::io::stdout()) {
            Ok(()) => Ok(Exit::Done),
            Err(error) => {
                let exit = if error.exit_code() == 73 { Exit::CannotCreate } else { Exit::Failed };
                Err(Error::new(exit, crate::chain(&error)))
            }
        },
        Command::Check(args) => check::run(args, context).await,
        Command::Track(args) => track::run(args, context).await,
        Command::Import(args) => import::run(args, context).await,
        Command::Untrack(args) => untrack::run(args, context).await,
        Command::Pause(args) => pause::pause(args, context).await,
        Command::Resume(args) => pause::resume(args, context).await,
        Command::Poll(args) => poll::run(args, context).await,
        Command::Refetch(args) => refetch::run(args, context).await,
        Command::List(args) => list::run(args, context).await,
        Command::Discover(args) => discover::run(args, context).await,
        Command::Export(args) => export::run(args, context).await,
        Command::Explain(args) => explain::run(args, context).await,
        Command::Status(args) => status::run(args, context).await,
        Command::Shop(args) => shop::run(args, context).await,
        Command::Queue(args) => queue::run(args, context).await,
        Command::Backup(args) => backup::run(args, context).await,
        Command::Restore(args) => restore::run(args, context).await,
        Command::Keys(args) => keys::run(args, context).await,
        Command::Healthcheck => healthcheck::run(context).await,
        Command::Page => page::run(context).await,
        Command::Schema => schema::run(context),
        Command::Completions(args) => completions::run(args, context),
        Command::Man(args) => man::run(args, context),
    }
}
