//! What is wrong with the settings: every mistake, with the place where to mend it.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::text::visible;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    File {
        path: PathBuf,
        /// `None` where the mistake is in no line: something is missing altogether.
        line: Option<usize>,
    },
    Variable(String),
    /// Neither: the defaults, or no settings at all.
    Nowhere,
}

/// One mistake. The text never repeats a value that may be secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub place: Place,
    /// Dotted, as in `poll.every`; empty where the mistake belongs to no key.
    pub key: String,
    /// What is wrong and what to do.
    pub text: String,
}

/// `renewald.toml:12: poll.every: 4 needs a unit`, or with the variable in place of file, line and key.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File { path, line: Some(line) } => write!(f, "{}:{line}: ", shown(path))?,
            Place::File { path, line: None } => write!(f, "{}: ", shown(path))?,
            Place::Variable(name) => write!(f, "{}: ", visible(name))?,
            Place::Nowhere => {}
        }
        // The variable's name already says the key.
        if !self.key.is_empty() && !matches!(self.place, Place::Variable(_)) {
            write!(f, "{}: ", visible(&self.key))?;
        }
        f.write_str(&visible(&self.text))
    }
}

/// Everything that is wrong, in the order of the file, then of the environment. Displayed one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// `None` when there are none.
    pub(super) fn new(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort();
        problems.dedup();
        if problems.is_empty() { None } else { Some(Self(problems)) }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

pub(crate) fn shown(path: &Path) -> String {
    visible(&path.display().to_string())
}

/// The candidate that `word` is most likely a slip of; `None` when nothing is near.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word.to_lowercase(), candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        let known = ["every", "window_before", "window_after"];
        assert_eq!(nearest("evrey", known), Some("every"));
        assert_eq!(nearest("window_befor", known), Some("window_before"));
        assert_eq!(nearest("Window_After", known), Some("window_after"));
        assert_eq!(nearest("password", known), None);
    }

    #[test]
    fn nothing_raw_is_shown() {
        let place = Place::File { path: "a\x1b.toml".into(), line: Some(3) };
        let problem = Problem { place, key: "x\ny".into(), text: "odd \u{202e}".into() };
        assert_eq!(problem.to_string(), "a\\u{1b}.toml:3: x\\ny: odd \\u{202e}");
    }
}
