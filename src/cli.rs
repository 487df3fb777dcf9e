//! The command line: one thin file per command.

pub mod init;
