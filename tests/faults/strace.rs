//! The binary under strace: killed at a chosen system call, or with every write to its files written down.
//!
//! strace runs beside the binary (`-D`), so that signals and the exit status are the binary's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::{Daemon, Installation, eventually};

/// What strace is to look at and to do.
pub struct Strace {
    options: Vec<String>,
    log: PathBuf,
}

impl Strace {
    /// Looks at these system calls; its log is this file of the site's directory.
    pub fn of(site: &Installation, calls: &str, log: &str) -> Self {
        let mut options: Vec<String> = ["-D", "-f", "-q", "-ttt", "-T", "-y"].map(str::to_owned).into();
        let log = site.path(log);
        options.extend(["-o".to_owned(), log.display().to_string(), "-e".to_owned(), format!("trace={calls}")]);
        Self { options, log }
    }

    /// Only at calls that concern the database, its journals and their directory.
    pub fn on_the_database(self, site: &Installation) -> Self {
        let paths = files(site).map(|file| file.display().to_string());
        paths.into_iter().fold(self, |strace, path| strace.with(&["-P", &path]))
    }

    pub fn with(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|option| (*option).to_owned()));
        self
    }

    /// Starts the binary with these arguments.
    pub fn start(&self, site: &Installation, arguments: &[&str]) -> Daemon {
        site.start_through(&self.line(), arguments)
    }

    /// Runs another program, which must end well; its log.
    pub fn run(&self, line: &[&str]) -> String {
        let line = [&self.line(), line].concat();
        let mut child =
            Command::new(line[0]).args(&line[1..]).stdin(Stdio::null()).spawn().expect("strace is installed");
        let status = child.wait().expect("it is ours");
        assert!(status.success(), "{line:?}: {status}");
        self.log(child.id())
    }

    /// Attaches to all threads of a process that runs; whoever has started this ends it, by SIGINT.
    pub fn attach(&self, process: u32) -> Child {
        let line = self.line();
        let options = line[1..].iter().filter(|option| **option != "-D");
        let child =
            Command::new(line[0]).args(options).args(["-p", &process.to_string()]).stderr(Stdio::null()).spawn();
        let child = child.expect("strace is installed");
        let is_traced = || {
            let tasks = fs::read_dir(format!("/proc/{process}/task")).ok()?;
            let traced = |task: fs::DirEntry| !text(&task.path().join("status")).contains("TracerPid:\t0\n");
            tasks.flatten().all(traced).then_some(())
        };
        eventually("strace is attached", is_traced);
        child
    }

    /// Its log, complete once this process has ended.
    pub fn log(&self, process: u32) -> String {
        // strace outlives by a moment what it looks at; the end is the last that it tells of.
        let main = format!("{process} ");
        eventually("strace has ended", || {
            let log = text(&self.log);
            let is_end = |line: &str| line.starts_with(&main) && line.ends_with("+++");
            log.lines().next_back().is_some_and(is_end).then_some(log)
        })
    }

    /// What it has logged so far.
    pub fn log_so_far(&self) -> String {
        text(&self.log)
    }

    fn line(&self) -> Vec<&str> {
        ["strace"].into_iter().chain(self.options.iter().map(String::as_str)).collect()
    }
}

/// The files in which SQLite keeps a database, and their directory. What is in shared memory does not outlive a process.
pub fn files(site: &Installation) -> [PathBuf; 4] {
    let database = site.database();
    let beside = |suffix: &str| PathBuf::from(format!("{}{suffix}", database.display()));
    let directory = database.parent().expect("a directory").to_owned();
    [database.clone(), beside("-wal"), beside("-journal"), directory]
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
