//! How lists and times look to a person: tables without borders, instants absolute and relative.

use std::io::IsTerminal;
use std::time::Duration;

use comfy_table::{ContentArrangement, presets};

use crate::clock::Timestamp;
use crate::settings;
use crate::text::visible;

/// A header and rows; on a terminal it fits the width, elsewhere every row is one line.
pub struct Table(comfy_table::Table);

impl Table {
    pub fn new(header: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_header(header.iter().copied());
        if let Some(width) = terminal_width() {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self(table)
    }

    /// Adds a row; whatever the cells hold is made safe to show.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.add_row(cells.into_iter().map(|cell| visible(&cell)));
    }

    /// The table as text, its header bold where that can be seen.
    pub fn to_text(&self) -> String {
        let text = self.0.trim_fmt();
        match text.split_once('\n') {
            Some((header, rows)) => format!("{}\n{rows}\n", bold(header)),
            None => format!("{}\n", bold(&text)),
        }
    }
}

/// The text in bold on a terminal that may show it.
pub fn bold(text: &str) -> String {
    if std::io::stdout().is_terminal() && !settings::no_colour() {
        format!("\x1b[1m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// `None` when stdout is no terminal.
fn terminal_width() -> Option<u16> {
    let (width, _) = terminal_size::terminal_size_of(std::io::stdout())?;
    Some(width.0)
}

/// `3 h ago`, `in 2 d`, `now`.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    if at < now {
        format!("{} ago", roughly(now.since(at)))
    } else if at > now {
        format!("in {}", roughly(at.since(now)))
    } else {
        "now".to_owned()
    }
}

/// `2026-11-21T20:00:00Z (3 h ago)`.
pub fn when(at: Timestamp, now: Timestamp) -> String {
    format!("{at} ({})", relative(at, now))
}

/// In its largest unit, rounded down: up to 119 s, 119 min and 47 h, then days.
pub fn roughly(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_relative_to_now() {
        let now = Timestamp::from_unix(1_795_291_200);
        for (seconds, expected) in [
            (0, "now"),
            (5, "in 5 s"),
            (300, "in 5 min"),
            (-7_300, "2 h ago"),
            (-172_800, "2 d ago"),
            (-119, "119 s ago"),
        ] {
            let at = Timestamp::from_unix(now.as_unix() + seconds);
            assert_eq!(relative(at, now), expected);
        }
        assert_eq!(when(now, now), "2026-11-21T20:00:00Z (now)");
    }

    #[test]
    fn a_table_has_a_header_and_no_borders() {
        let mut table = Table::new(&["number", "state"]);
        table.row(["A\x1b".to_owned(), "watching".to_owned()]);
        table.row(["PARTNER689".to_owned(), String::new()]);
        assert_eq!(table.to_text(), "number      state\nA\\u{1b}     watching\nPARTNER689\n");
    }
}
