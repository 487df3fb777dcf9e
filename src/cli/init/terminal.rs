//! The terminal, where somebody sits at it.

use std::io::{self, IsTerminal};

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

/// Whether somebody can be asked, and sees the questions.
pub fn is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Hides what is typed from now on, or shows it again.
///
/// # Errors
/// When the terminal is gone.
pub fn hide(is_hidden: bool) -> io::Result<()> {
    let stdin = io::stdin();
    let mut flags = tcgetattr(&stdin)?;
    flags.local_flags.set(LocalFlags::ECHO, !is_hidden);
    Ok(tcsetattr(&stdin, SetArg::TCSAFLUSH, &flags)?)
}
