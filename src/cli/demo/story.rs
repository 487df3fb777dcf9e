//! How the demo is told: a timeline 80 columns wide, in colour only on a terminal.

use std::io::{IsTerminal, Write};

use crate::cli::{Context, Error};
use crate::clock::Timestamp;
use crate::environment;

const WIDTH: usize = 80;
/// `day 12 09:50`, the label, and a space behind each.
const LABEL: usize = 14;
const INDENT: usize = "day 12 09:50 ".len() + LABEL + 1;

/// How a line is meant; the words alone must tell it as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    /// Background, and what happens elsewhere.
    Quiet,
    Good,
    NotYet,
    Bad,
    Strong,
}

impl Tone {
    fn escape(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Quiet => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::NotYet => "\x1b[33m",
            Self::Bad => "\x1b[31m",
            Self::Strong => "\x1b[1m",
        }
    }
}

/// What happened to one subscription.
#[derive(Clone, Debug)]
pub(super) struct Happening {
    pub(super) label: String,
    pub(super) text: String,
    pub(super) tone: Tone,
}

/// Writes to stdout as things happen.
#[derive(Debug)]
pub(super) struct Story {
    start: Timestamp,
    /// The summary is told even when the timeline is not.
    tells_timeline: bool,
    tells: bool,
    colour: bool,
    /// Time and label of the line before: what repeats is not written again.
    last: Option<(Timestamp, String)>,
}

impl Story {
    pub(super) fn new(context: &Context, start: Timestamp) -> Self {
        Self {
            start,
            tells: !context.global.json,
            tells_timeline: !context.global.json && context.global.quiet == 0,
            colour: std::io::stdout().is_terminal() && !environment::no_colour(),
            last: None,
        }
    }

    /// A paragraph before or after the timeline.
    pub(super) fn say(&self, text: &str, tone: Tone) -> Result<(), Error> {
        wrap(text, WIDTH).iter().try_for_each(|line| self.line(line, tone))
    }

    /// A line that must stay as it is: a table's, a command.
    pub(super) fn line(&self, line: &str, tone: Tone) -> Result<(), Error> {
        if self.tells { write(&self.painted(line, tone)) } else { Ok(()) }
    }

    /// What stands before the timeline; left out with it.
    pub(super) fn open(&self, lines: &[String]) -> Result<(), Error> {
        if !self.tells_timeline {
            return Ok(());
        }
        lines.iter().try_for_each(|line| self.line(line, Tone::Plain))?;
        self.line("", Tone::Plain)
    }

    /// What happens to renewald itself.
    pub(super) fn interlude(&mut self, now: Timestamp, text: &str) -> Result<(), Error> {
        self.last = None;
        self.entry(now, "", text, Tone::Strong)
    }

    pub(super) fn tell(&mut self, now: Timestamp, happening: &Happening) -> Result<(), Error> {
        self.entry(now, &happening.label, &happening.text, happening.tone)
    }

    fn entry(&mut self, now: Timestamp, label: &str, text: &str, tone: Tone) -> Result<(), Error> {
        if !self.tells_timeline {
            return Ok(());
        }
        let this = (now, label.to_owned());
        let same_time = self.last.as_ref().is_some_and(|last| last.0 == now);
        let same_label = same_time && self.last.as_ref().is_some_and(|last| last.1 == label);
        let time = if same_time { String::new() } else { self.time(now) };
        let shown = if same_label { "" } else { label };
        self.last = Some(this);
        for (nth, line) in wrap(text, WIDTH - INDENT).iter().enumerate() {
            let (time, label) = if nth == 0 { (time.as_str(), shown) } else { ("", "") };
            let margin = self.painted(&format!("{time:<12} "), Tone::Quiet);
            write(&format!("{margin}{label:<LABEL$} {}", self.painted(line, tone)))?;
        }
        Ok(())
    }

    /// `day  5 09:50`; the first day is 1.
    fn time(&self, now: Timestamp) -> String {
        let minutes = now.since(self.start).as_secs() / 60;
        format!("day {:>2} {:02}:{:02}", minutes / 1440 + 1, minutes / 60 % 24, minutes % 60)
    }

    fn painted(&self, text: &str, tone: Tone) -> String {
        match tone.escape() {
            escape if self.colour && !escape.is_empty() && !text.trim().is_empty() => format!("{escape}{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

fn write(line: &str) -> Result<(), Error> {
    writeln!(std::io::stdout().lock(), "{}", line.trim_end())?;
    Ok(())
}

/// Breaks text at its spaces; a longer word stays whole.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
}

/// `2 h 10 min`, `2 d 4 h`, `10 s`: the two largest units.
pub(super) fn elapsed(time: std::time::Duration) -> String {
    let seconds = time.as_secs();
    let units = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let first = units.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let shown = units[first..].iter().take(2).filter(|(count, _)| *count > 0);
    let shown: Vec<String> = shown.map(|(count, unit)| format!("{count} {unit}")).collect();
    if shown.is_empty() { "0 s".into() } else { shown.join(" ") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn text_is_broken_at_spaces() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("unbreakable", 3), ["unbreakable"]);
        assert_eq!(wrap("", 3), [""]);
    }

    #[test]
    fn times_show_their_two_largest_units() {
        let shown = [0, 10, 70, 7800, 180_000, 86_400].map(|seconds| elapsed(Duration::from_secs(seconds)));
        assert_eq!(shown, ["0 s", "10 s", "1 min 10 s", "2 h 10 min", "2 d 2 h", "1 d"]);
    }
}
