//! The records of a CSV file under its header.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Read};

use super::HeaderProblems;
use super::fields::{Column, Fields, NAMES, is_header};
use super::spreadsheet::separator_line;
use crate::cli::track;
use crate::text::visible;

const NOT_UTF_8: &str = "not UTF-8; save it as \"CSV UTF-8\"";

pub(super) struct CsvLines<'a> {
    /// The newline behind the file makes every record end with one.
    reader: csv::Reader<Chain<BufReader<&'a File>, &'static [u8]>>,
    record: csv::ByteRecord,
    columns: Vec<Column>,
    /// Lines and bytes before what it reads.
    skipped: (u64, u64),
}

impl<'a> CsvLines<'a> {
    pub(super) fn open(
        mut file: BufReader<&'a File>,
        adopt: bool,
        needs_number: bool,
    ) -> io::Result<Result<Self, HeaderProblems>> {
        let start = file.fill_buf()?;
        let (delimiter, skipped) = match separator_line(start) {
            Some((separator, bytes)) => (separator, bytes),
            None => (delimiter(start), 0),
        };
        file.consume(skipped);
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            // Ended by itself only, so that the line can be counted; a `\r` before it is taken off in `cell`.
            .terminator(csv::Terminator::Any(b'\n'))
            .from_reader(file.chain(&b"\n"[..]));
        let skipped = (u64::from(skipped > 0), skipped as u64);
        let mut lines = Self { reader, record: csv::ByteRecord::new(), columns: Vec::new(), skipped };
        let Some(line) = lines.advance()? else {
            return Ok(Err(HeaderProblems::of_file("the file is empty; it needs a header")));
        };
        match header(&lines.record, adopt, needs_number) {
            Ok(columns) => Ok(Ok(Self { columns, ..lines })),
            Err(problems) => Ok(Err(HeaderProblems { line, problems })),
        }
    }

    /// Reads the next record with anything in it and returns the line it begins on. Spreadsheets write the rows below a table as
    /// separators alone.
    pub(super) fn advance(&mut self) -> io::Result<Option<u64>> {
        loop {
            let earliest = self.reader.position().line();
            if !self.reader.read_byte_record(&mut self.record)? {
                return Ok(None);
            }
            if self.record.iter().any(|cell| !cell.trim_ascii().is_empty()) {
                // After a quote that is never closed the last newline does not end the record.
                let line = self.reader.position().line() - 1 - self.inner_newlines();
                return Ok(Some(line.max(earliest) + self.skipped.0));
            }
        }
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.reader.position().byte() + self.skipped.1
    }

    fn inner_newlines(&self) -> u64 {
        self.record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64
    }

    pub(super) fn fields(&self) -> Result<Fields<'_>, String> {
        if self.record.len() != self.columns.len() {
            let open_quote = if self.inner_newlines() > 0 { "; is a quote left open?" } else { "" };
            return Err(format!(
                "{} fields where the header has {}{open_quote}",
                self.record.len(),
                self.columns.len()
            ));
        }
        let mut fields = Fields::default();
        for (at, column) in self.columns.iter().enumerate() {
            let text = std::str::from_utf8(cell(&self.record, at)).map_err(|_| NOT_UTF_8.to_owned())?;
            let text = if column.is_data() { text } else { text.trim() };
            if !text.is_empty() {
                fields.set(column, Cow::Borrowed(text));
            }
        }
        Ok(fields)
    }
}

/// A field without the `\r` of the line's end.
fn cell(record: &csv::ByteRecord, at: usize) -> &[u8] {
    let field = &record[at];
    if at + 1 == record.len() { field.strip_suffix(b"\r").unwrap_or(field) } else { field }
}

/// Spreadsheets of many countries write semicolons.
fn delimiter(start: &[u8]) -> u8 {
    let header = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    [b',', b';', b'\t'].into_iter().find(|delimiter| header.contains(delimiter)).unwrap_or(b',')
}

fn header(record: &csv::ByteRecord, adopt: bool, needs_number: bool) -> Result<Vec<Column>, Vec<String>> {
    let mut problems = Vec::new();
    let mut columns = Vec::new();
    let names: Vec<_> = (0..record.len()).map(|at| String::from_utf8_lossy(cell(record, at))).collect();
    if !is_header(&names) {
        let fields = NAMES.join(", ").replacen("generation, ", "generation, and if you like ", 1);
        return Err(vec![format!("the first line is no header: expected {fields}, metadata.KEY")]);
    }
    for (at, name) in names.iter().enumerate() {
        match Column::named(name.trim()) {
            Err(_) if name.trim().is_empty() => problems.push(format!("column {} has no name", at + 1)),
            Ok(column) if columns.contains(&column) => problems.push(format!("{} is there twice", visible(name))),
            Ok(column) => columns.push(column),
            Err(problem) => problems.push(problem),
        }
    }
    let required = [(Column::PartnerOrderNumber, NAMES[0], needs_number), (Column::SubscriptionId, NAMES[1], true)];
    for (column, name, is_required) in required {
        if is_required && !columns.contains(&column) {
            problems.push(format!("the header lacks {name}"));
        }
    }
    if !adopt && !columns.contains(&Column::Generation) {
        let (why, adopt) = (track::NEVER_GUESSED, track::ADOPT);
        problems.push(format!("the header lacks generation; {why}; add the column, or give {adopt}"));
    }
    if problems.is_empty() { Ok(columns) } else { Err(problems) }
}
