//! How lists look to a person: tables without borders.

use std::io::IsTerminal;

use comfy_table::{ColumnConstraint, ContentArrangement, Width, presets};

use crate::environment;
use crate::text::visible;

/// Between two columns.
const GAP: u16 = 2;

/// A header and rows; elsewhere than on a terminal every row is one line. On one it fits the width, as far as no word is broken:
/// whoever copies an id or a number gets all of it.
pub struct Table {
    table: comfy_table::Table,
    /// The longest word of each column.
    words: Vec<u16>,
    width: Option<u16>,
}

impl Table {
    pub fn new(header: &[&str]) -> Self {
        Self::of_width(header, terminal_width())
    }

    fn of_width(header: &[&str], width: Option<u16>) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_header(header.iter().copied());
        for column in table.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        Self { table, words: header.iter().map(|name| longest_word(name)).collect(), width }
    }

    /// Adds a row; whatever the cells hold is made safe to show.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().map(|cell| visible(&cell)).collect();
        for (longest, cell) in self.words.iter_mut().zip(&cells) {
            *longest = longest_word(cell).max(*longest);
        }
        self.table.add_row(cells);
    }

    /// The table as text, its header bold where that can be seen.
    pub fn to_text(&self) -> String {
        let mut table = self.table.clone();
        let needed: u16 = self.words.iter().fold(0, |sum, longest| sum.saturating_add(longest.saturating_add(GAP)));
        // Where not even the words fit, the terminal folds the lines.
        if let Some(width) = self.width.filter(|width| needed <= *width) {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            for (column, longest) in table.column_iter_mut().zip(&self.words) {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(longest + GAP)));
            }
        }
        let text = table.trim_fmt();
        match text.split_once('\n') {
            Some((header, rows)) => format!("{}\n{rows}\n", bold(header)),
            None => format!("{}\n", bold(&text)),
        }
    }
}

fn longest_word(text: &str) -> u16 {
    let longest = text.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
    u16::try_from(longest).unwrap_or(u16::MAX)
}

/// The text behind `used` columns of a line; on a terminal folded between words, with `indent` blanks before what is left.
pub fn folded(text: &str, used: usize, indent: usize) -> String {
    terminal_width().map_or_else(|| text.to_owned(), |width| fold(text, used, indent, usize::from(width)))
}

fn fold(text: &str, mut used: usize, indent: usize, width: usize) -> String {
    let mut folded = String::new();
    for (n, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if n > 0 && used + 1 + length > width {
            folded.push('\n');
            folded.extend(std::iter::repeat_n(' ', indent));
            used = indent;
        } else if n > 0 {
            folded.push(' ');
            used += 1;
        }
        folded.push_str(word);
        used += length;
    }
    folded
}

/// The text in bold on a terminal that may show it.
pub fn bold(text: &str) -> String {
    if std::io::stdout().is_terminal() && !environment::no_colour() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_header_and_no_borders() {
        let mut table = Table::new(&["number", "state"]);
        table.row(["A\x1b".to_owned(), "watching".to_owned()]);
        table.row(["PARTNER689".to_owned(), String::new()]);
        assert_eq!(table.to_text(), "number      state\nA\\u{1b}     watching\nPARTNER689\n");
    }

    /// At any width an id can be copied.
    #[test]
    fn no_word_is_broken() {
        let of_width = |width| {
            let mut table = Table::of_width(&["subscription", "note"], Some(width));
            table.row(["0189f7ea-ae2c-7809-8aeb-b819cf5e9e7f".to_owned(), "answered too late?".to_owned()]);
            table.to_text()
        };
        let id = "0189f7ea-ae2c-7809-8aeb-b819cf5e9e7f";
        let whole = format!("subscription                          note\n{id}  answered too late?\n");
        assert_eq!(of_width(100), whole);
        let indent = " ".repeat(38);
        let folded = format!("{id}  answered too\n{indent}late?\n");
        assert_eq!(of_width(55), format!("subscription                          note\n{folded}"));
        assert_eq!(of_width(40), whole, "the terminal folds it");
    }

    #[test]
    fn text_is_folded_between_words() {
        assert_eq!(
            fold("no answer for 3 h: connection refused", 8, 8, 30),
            "no answer for 3 h:\n        connection refused"
        );
        assert_eq!(fold("short", 8, 8, 30), "short");
        assert_eq!(
            fold("a a-word-that-is-longer-than-the-line b", 2, 2, 12),
            "a\n  a-word-that-is-longer-than-the-line\n  b"
        );
    }
}
