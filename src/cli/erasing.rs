//! How commands that remove data tell whether it is gone from the files too.

use std::io::{self, BufRead, Write};

use serde::Serialize;

use super::{Context, Error, Exit};
use crate::store::{Erased, Store};

/// Part of the answers of `queue purge` and `untrack --forget`. Both `false` where nothing was to be cleaned.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// Whether the database file was rewritten without what was removed.
    file_clean: bool,
    /// Whether its log was emptied as well.
    log_clean: bool,
    /// Why one of them was not.
    #[serde(skip)]
    complaint: Option<String>,
}

/// Asks whoever sits at the terminal; all but yes is no.
pub fn ask(question: &str) -> io::Result<bool> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// Makes sure that no copy is left of what was removed before.
pub async fn erase(store: &Store) -> Result<Outcome, Error> {
    let again = "run `renewald queue purge --finish`";
    Ok(match store.erase().await? {
        Erased::Completely => Outcome { file_clean: true, log_clean: true, complaint: None },
        Erased::NotFromTheFile(reason) => Outcome {
            complaint: Some(format!("removed, but copies may be left in the database file ({reason}): {again}")),
            ..Outcome::default()
        },
        Erased::NotFromTheLog => Outcome {
            file_clean: true,
            log_clean: false,
            complaint: Some(format!(
                "removed, but copies may be left in the write-ahead log, which another process keeps reading: {again} when it has ended"
            )),
        },
    })
}

impl Outcome {
    pub fn to_text(&self) -> &'static str {
        if self.log_clean {
            "the database file was rewritten and its log emptied: no copy is left in them\n"
        } else {
            ""
        }
    }

    /// Says on stderr what is left to do.
    pub fn complain(&self, context: &Context) {
        if let Some(complaint) = &self.complaint {
            context.complain(complaint);
        }
    }

    pub fn exit(&self) -> Exit {
        if self.complaint.is_some() { Exit::TryLater } else { Exit::Done }
    }
}
