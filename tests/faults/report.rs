//! The figures of a run, for the terminal and for `tests/TORTURE.md`.

use std::fmt;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::{Tally, Trial};

/// What all rounds of a trial came to.
pub struct Outcome {
    pub trial: &'static Trial,
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

/// Writes all of it, with what it was run on.
pub fn write(file: &Path, seed: u64, rounds: u64, outcomes: &[Outcome]) {
    let mut text = String::from(
        "# The last long run\n\nWritten by `tests/torture --report`; see the README, \"What can go wrong, and what happens then\".\n\n",
    );
    let date = said(&["date", "-u", "+%Y-%m-%d %H:%M UTC"]);
    let commit = said(&["git", "describe", "--always", "--dirty", "--abbrev=12"]);
    let machine = said(&["uname", "-srm"]);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    write!(text, "{date}, commit {commit}, {machine}, {cores} cores; seed {seed}, {rounds} rounds.\n\n").expect("text");
    text.push_str("| trial | what | cases | besides | time | promises |\n|---|---|--:|---|--:|---|\n");
    for outcome in outcomes {
        let Trial { name, what, .. } = outcome.trial;
        let (cases, counts, seconds) = (outcome.tally.cases, outcome.counts(), outcome.took.as_secs());
        let verdict = outcome.verdict();
        writeln!(text, "| {name} | {what} | {cases} | {counts} | {seconds} s | {verdict} |").expect("text");
    }
    std::fs::write(file, text).expect("the report is written");
}

/// What a command says.
fn said(line: &[&str]) -> String {
    let output = Command::new(line[0]).args(&line[1..]).output().expect("a command");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
