//! Arguments → command → exit code.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use renewald::cli::{self, Cli, Exit};

fn main() -> ExitCode {
    // What is in memory, keys and secrets, is for no core file and for no other process of the same user.
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        eprintln!("renewald: cannot keep its memory out of core files: {error}");
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(help) => return usage(&help),
    };
    // One thread is the faster client: no request waits for another thread to wake up.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("renewald: cannot start: {error}");
            return Exit::Internal.into();
        }
    };
    let exit = runtime.block_on(cli::run(cli));
    // A write that hangs in a sink's file or pipe must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    exit.into()
}

/// Prints help, version or what is wrong with the arguments.
fn usage(help: &clap::Error) -> ExitCode {
    // Nobody is left to tell when even this cannot be written.
    help.print().ok();
    if help.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() }
}
