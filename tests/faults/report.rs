//! The figures of a run, for the terminal and for `tests/TORTURE.md`.

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::{Tally, Trial, all};

/// What all rounds of a trial came to.
pub struct Outcome {
    pub trial: &'static Trial,
    pub rounds: u64,
    pub tally: Tally,
    /// The rounds that failed.
    pub failed: Vec<u64>,
    pub took: Duration,
}

impl Outcome {
    fn counts(&self) -> String {
        let counts = self.tally.counts.iter().map(|(what, number)| format!("{number} {what}"));
        counts.collect::<Vec<_>>().join(", ")
    }

    /// Of the table, with what it was run on.
    fn line(&self, seed: u64) -> String {
        let Self { trial: Trial { name, what, .. }, rounds, tally, took, .. } = self;
        let (cases, counts, seconds, verdict) = (tally.cases, self.counts(), took.as_secs(), self.verdict());
        let date = said(&["date", "-u", "+%Y-%m-%d"]);
        let commit = said(&["git", "rev-parse", "--short=12", "HEAD"]);
        let changed = said(&["git", "status", "--porcelain", "--", ".", ":!tests/TORTURE.md"]);
        let changed = if changed.is_empty() { "" } else { " and changes" };
        let machine = said(&["uname", "-srm"]);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let build = if cfg!(debug_assertions) { "debug" } else { "release" };
        format!(
            "| {name} | {what} | {rounds} | {cases} | {counts} | {seed} | {date}, {commit}{changed}, {build}, {machine}, {cores} cores \
             | {seconds} s | {verdict} |"
        )
    }

    fn verdict(&self) -> String {
        match self.failed.as_slice() {
            [] => "held".to_owned(),
            failed => format!("BROKEN in rounds {failed:?}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, cases, seconds) = (self.trial.name, self.tally.cases, self.took.as_secs());
        write!(f, "{name:<16} {:<8} {cases} cases in {seconds} s", self.verdict())?;
        if !self.tally.counts.is_empty() {
            write!(f, ": {}", self.counts())?;
        }
        Ok(())
    }
}

const HEAD: &str = "# The last long run

Written by `tests/torture --release --long --report tests/TORTURE.md`, a line for each trial; see [docs/failures.md](../docs/failures.md).

| trial | what | rounds | cases | besides | seed | when, and what was tried | time | promises |
|---|---|--:|--:|---|--:|---|--:|---|
";

/// Puts the trial's line into the file, in the place of the one before it.
pub fn write(file: &Path, seed: u64, outcome: &Outcome) {
    let before = std::fs::read_to_string(file).unwrap_or_default();
    let line_of = |name: &str| before.lines().find(|line| line.starts_with(&format!("| {name} |"))).map(str::to_owned);
    let lines = all().filter_map(|trial| match trial.name == outcome.trial.name {
        true => Some(outcome.line(seed)),
        false => line_of(trial.name),
    });
    let text: String = std::iter::once(HEAD.to_owned()).chain(lines.map(|line| line + "\n")).collect();
    std::fs::write(file, text).expect("the report is written");
}

/// What a command says.
fn said(line: &[&str]) -> String {
    let output = Command::new(line[0]).args(&line[1..]).output().expect("a command");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
