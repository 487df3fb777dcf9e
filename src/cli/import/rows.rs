//! The rows of a CSV file or of JSON lines, one at a time, each with its line and what is wrong with it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Read};
use std::path::Path;

use serde_json::Value;
use serde_json::value::RawValue;

use super::super::track;
use crate::convention::Convention;
use crate::json::Members;
use crate::renewal::State;
use crate::renewal::news::KnownDelivery;
use crate::settings::{Settings, nearest};
use crate::store::{Metadata, NewSubscription};
use crate::text::visible;

/// Longer lines of JSON are not read.
const MOST_LINE_BYTES: u64 = 1 << 20;
const METADATA: &str = "metadata.";
const NOT_UTF_8: &str = "not UTF-8; save it as \"CSV UTF-8\"";
/// In place of a generation: the first poll notes it, as with `--adopt`.
pub const ADOPTED: &str = "adopt";
const NAMES: [&str; 7] =
    ["partner_order_number", "subscription_id", "generation", "provider", "territory", "expires_at", "state"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// With a header; separated by comma, semicolon or tab
    Csv,
    /// One object a line
    Jsonl,
}

impl Format {
    /// What a file's name says.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            _ => None,
        }
    }
}

/// Why no row of a file can be read.
#[derive(Debug)]
pub struct HeaderProblems(pub Vec<String>);

/// A field of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    PartnerOrderNumber,
    SubscriptionId,
    Generation,
    Provider,
    Territory,
    ExpiresAt,
    State,
    Metadata(String),
}

impl Column {
    fn named(name: &str) -> Result<Self, String> {
        Ok(match name {
            "partner_order_number" => Self::PartnerOrderNumber,
            "subscription_id" => Self::SubscriptionId,
            "generation" => Self::Generation,
            "provider" => Self::Provider,
            "territory" => Self::Territory,
            "expires_at" => Self::ExpiresAt,
            "state" => Self::State,
            _ => match name.strip_prefix(METADATA).filter(|key| !key.is_empty()) {
                Some(key) => Self::Metadata(key.to_owned()),
                None => return Err(unknown(name)),
            },
        })
    }
}

impl Column {
    /// Whether its blanks belong to it.
    fn is_data(&self) -> bool {
        matches!(self, Self::PartnerOrderNumber | Self::Metadata(_))
    }
}

/// Whether any of them is the name of a field, or nearly so where none is a number, as the id of a first row would be.
fn is_header(names: &[Cow<'_, str>]) -> bool {
    let is_near = |name: &str| nearest(name, NAMES).is_some();
    let has_number = names.iter().any(|name| name.trim().parse::<i64>().is_ok());
    names.iter().map(|name| name.trim()).any(|name| Column::named(name).is_ok() || (!has_number && is_near(name)))
}

fn unknown(name: &str) -> String {
    match nearest(name, NAMES.into_iter().chain(["metadata.KEY"])) {
        Some(near) => format!("unknown field {}; did you mean {near}?", visible(name)),
        None => format!("unknown field {}; your own fields are named metadata.KEY", visible(name)),
    }
}

/// A row's fields as text; what is absent or empty is `None`.
#[derive(Default)]
struct Fields<'a> {
    partner_order_number: Option<Cow<'a, str>>,
    subscription_id: Option<Cow<'a, str>>,
    generation: Option<Cow<'a, str>>,
    provider: Option<Cow<'a, str>>,
    territory: Option<Cow<'a, str>>,
    expires_at: Option<Cow<'a, str>>,
    state: Option<Cow<'a, str>>,
    /// A list, in JSON.
    known: Option<&'a str>,
    /// The whole object.
    metadata: Option<&'a str>,
    /// JSON by key, to be added to it.
    metadata_of: BTreeMap<String, String>,
}

impl<'a> Fields<'a> {
    fn set(&mut self, column: &Column, text: Cow<'a, str>) {
        let field = match column {
            Column::PartnerOrderNumber => &mut self.partner_order_number,
            Column::SubscriptionId => &mut self.subscription_id,
            Column::Generation => &mut self.generation,
            Column::Provider => &mut self.provider,
            Column::Territory => &mut self.territory,
            Column::ExpiresAt => &mut self.expires_at,
            Column::State => &mut self.state,
            Column::Metadata(key) => return self.set_metadata(key, Value::from(text).to_string()),
        };
        *field = Some(text);
    }

    fn set_metadata(&mut self, key: &str, json: String) {
        self.metadata_of.insert(key.to_owned(), json);
    }

    /// What was given as a whole stays as it was written.
    fn metadata(&self) -> Result<Option<Metadata>, String> {
        if self.metadata_of.is_empty() {
            return self.metadata.map(Metadata::parse).transpose();
        }
        let whole = self.metadata.and_then(|whole| whole.strip_suffix('}')).unwrap_or("{");
        let members = self.metadata_of.iter().map(|(key, json)| format!("{}:{json}", Value::from(key.as_str())));
        let members = members.collect::<Vec<_>>().join(",");
        let comma = if whole.trim_ascii_end() == "{" { "" } else { "," };
        Metadata::parse(&format!("{whole}{comma}{members}}}")).map(Some)
    }
}

/// The rows of one file from its beginning.
pub struct Rows<'a> {
    lines: Lines<'a>,
    settings: &'a Settings,
    adopt: bool,
    /// Whether a row, or the header, lacked it.
    pub missing_generation: bool,
}

enum Lines<'a> {
    Csv(CsvLines<'a>),
    Json(JsonLines<'a>),
}

/// What a row wants tracked, and in which state: `watching` unless it says otherwise; or all that is wrong with it.
pub type Row = Result<(NewSubscription, State), String>;

impl<'a> Rows<'a> {
    /// Reads the header, if there is one. A row without generation is a bad one unless `adopt`.
    pub fn open(
        mut reader: BufReader<&'a File>,
        format: Format,
        settings: &'a Settings,
        adopt: bool,
    ) -> io::Result<Result<Self, HeaderProblems>> {
        let start = reader.fill_buf()?;
        if start.starts_with(b"\xFF\xFE") || start.starts_with(b"\xFE\xFF") {
            return Ok(Err(HeaderProblems(vec!["the file is UTF-16; save it as UTF-8".to_owned()])));
        }
        let lines = match format {
            Format::Csv => match CsvLines::open(reader, adopt, settings.conventions().all(Convention::is_numbered))? {
                Ok(lines) => Lines::Csv(lines),
                Err(problems) => return Ok(Err(problems)),
            },
            Format::Jsonl => Lines::Json(JsonLines { reader, buffer: Vec::new(), line: 0, bytes: 0 }),
        };
        Ok(Ok(Self { lines, settings, adopt, missing_generation: false }))
    }

    /// The next row with the line it begins on; `None` at the end. Empty lines are passed over.
    pub fn next(&mut self) -> io::Result<Option<(u64, Row)>> {
        let Self { settings, adopt, missing_generation, .. } = self;
        let mut build = |fields: Result<Fields<'_>, String>| build(fields?, settings, *adopt, missing_generation);
        match &mut self.lines {
            Lines::Csv(lines) => Ok(lines.advance()?.map(|line| (line, build(lines.fields())))),
            Lines::Json(lines) => Ok(lines.advance()?.map(|line| (line, build(lines.fields())))),
        }
    }

    /// For a progress bar.
    pub fn bytes_read(&self) -> u64 {
        match &self.lines {
            Lines::Csv(lines) => lines.reader.position().byte(),
            Lines::Json(lines) => lines.bytes,
        }
    }
}

fn build(fields: Fields<'_>, settings: &Settings, adopt: bool, missing_generation: &mut bool) -> Row {
    let mut reasons = Vec::new();
    // Where no provider is meant the row is bad already.
    let convention = settings.convention_meant(fields.provider.as_deref());
    let subscription_id = match (&fields.subscription_id, convention) {
        (Some(id), Some(convention)) => convention.subscription_id(id),
        (Some(id), None) => Ok(id.to_string()),
        (None, _) => Err("subscription_id is missing".to_owned()),
    };
    let number = match (convention, &subscription_id) {
        (Some(convention), id) => {
            let id = id.as_deref().unwrap_or_default();
            convention.number_or(fields.partner_order_number.as_deref(), id)
        }
        (None, _) => Ok(String::new()),
    };
    let number = number.map_err(|reason| reasons.push(reason));
    let subscription_id = subscription_id.map_err(|reason| reasons.push(reason));
    let generation = match (&fields.generation, convention) {
        (Some(generation), _) if generation == ADOPTED => Ok(None),
        (Some(generation), Some(convention)) => track::generation(generation, convention).map(Some),
        (Some(_), None) => Ok(None),
        (None, _) if adopt => Ok(None),
        (None, _) => {
            *missing_generation = true;
            Err("generation is missing".to_owned())
        }
    };
    let generation = generation.map_err(|reason| reasons.push(reason));
    let place = settings.place(fields.provider.as_deref(), fields.territory.as_deref());
    let place = place.map_err(|reason| reasons.push(reason));
    let known = fields.known.map_or(Ok(Vec::new()), known);
    let known = known.map_err(|reason| reasons.push(reason));
    let expires_at = fields.expires_at.as_deref().map(track::expiry).transpose();
    let expires_at = expires_at.map_err(|reason| reasons.push(reason));
    let state = fields.state.as_deref().map_or(Ok(State::Watching), str::parse);
    let state = state.map_err(|reason| reasons.push(format!("state: {reason}")));
    let metadata = fields.metadata().map_err(|reason| reasons.push(reason));
    match (number, subscription_id, generation, known, place, convention, expires_at, state, metadata) {
        (
            Ok(number),
            Ok(subscription_id),
            Ok(generation),
            Ok(known),
            Ok((provider, territory)),
            Some(convention),
            Ok(expires_at),
            Ok(state),
            Ok(metadata),
        ) => {
            let new = NewSubscription {
                provider,
                convention,
                territory,
                partner_order_number: number,
                subscription_id,
                generation,
                known,
                expires_at,
                metadata,
                tracked_by: "import",
            };
            Ok((new, state))
        }
        _ => Err(reasons.join("; ")),
    }
}

/// The deliveries that an export names.
fn known(json: &str) -> Result<Vec<KnownDelivery>, String> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Known {
        reference: String,
        generation: i64,
    }
    let known: Vec<Known> = serde_json::from_str(json)
        .map_err(|_| "known must be a list of objects with reference and generation".to_owned())?;
    Ok(known.into_iter().map(|Known { reference, generation }| KnownDelivery { generation, reference }).collect())
}

struct CsvLines<'a> {
    /// The newline behind the file makes every record end with one.
    reader: csv::Reader<Chain<BufReader<&'a File>, &'static [u8]>>,
    record: csv::ByteRecord,
    columns: Vec<Column>,
}

impl<'a> CsvLines<'a> {
    fn open(
        mut file: BufReader<&'a File>,
        adopt: bool,
        needs_number: bool,
    ) -> io::Result<Result<Self, HeaderProblems>> {
        let delimiter = delimiter(file.fill_buf()?);
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            // Ended by itself only, so that the line can be counted; a `\r` before it is taken off in `cell`.
            .terminator(csv::Terminator::Any(b'\n'))
            .from_reader(file.chain(&b"\n"[..]));
        let mut lines = Self { reader, record: csv::ByteRecord::new(), columns: Vec::new() };
        if lines.advance()?.is_none() {
            return Ok(Err(HeaderProblems(vec!["the file is empty; it needs a header".to_owned()])));
        }
        match header(&lines.record, adopt, needs_number) {
            Ok(columns) => Ok(Ok(Self { columns, ..lines })),
            Err(problems) => Ok(Err(HeaderProblems(problems))),
        }
    }

    /// Reads the next record with anything in it and returns the line it begins on. Spreadsheets write the rows below a table as
    /// separators alone.
    fn advance(&mut self) -> io::Result<Option<u64>> {
        loop {
            let earliest = self.reader.position().line();
            if !self.reader.read_byte_record(&mut self.record)? {
                return Ok(None);
            }
            if self.record.iter().any(|cell| !cell.trim_ascii().is_empty()) {
                // After a quote that is never closed the last newline does not end the record.
                let line = self.reader.position().line() - 1 - self.inner_newlines();
                return Ok(Some(line.max(earliest)));
            }
        }
    }

    fn inner_newlines(&self) -> u64 {
        self.record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64
    }

    fn fields(&self) -> Result<Fields<'_>, String> {
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

struct JsonLines<'a> {
    reader: BufReader<&'a File>,
    buffer: Vec<u8>,
    line: u64,
    bytes: u64,
}

impl JsonLines<'_> {
    /// Reads the next line that is not empty and returns its number.
    fn advance(&mut self) -> io::Result<Option<u64>> {
        loop {
            self.buffer.clear();
            let read = self.reader.by_ref().take(MOST_LINE_BYTES).read_until(b'\n', &mut self.buffer)?;
            self.line += 1;
            self.bytes += read as u64;
            if read as u64 == MOST_LINE_BYTES && !self.buffer.ends_with(b"\n") {
                self.bytes += self.reader.skip_until(b'\n')? as u64;
            }
            if self.line == 1 && self.buffer.starts_with(b"\xEF\xBB\xBF") {
                self.buffer.drain(..3);
            }
            if read == 0 {
                return Ok(None);
            }
            if !self.buffer.trim_ascii().is_empty() {
                return Ok(Some(self.line));
            }
        }
    }

    fn fields(&self) -> Result<Fields<'_>, String> {
        if self.buffer.len() as u64 == MOST_LINE_BYTES && !self.buffer.ends_with(b"\n") {
            return Err("longer than 1 MiB".to_owned());
        }
        let text = std::str::from_utf8(&self.buffer).map_err(|_| "not UTF-8".to_owned())?;
        // The error's own text may quote metadata.
        let Members { by_key, twice } =
            serde_json::from_str(text.trim_ascii()).map_err(|error| match error.is_data() {
                true => "not a JSON object".to_owned(),
                false => format!("broken JSON at column {}", error.column()),
            })?;
        let mut fields = Fields::default();
        let mut reasons = Vec::from_iter(twice.map(|name| format!("{} is there twice", visible(&name))));
        for (name, value) in by_key {
            if let Err(reason) = set_json(&mut fields, &name, value) {
                reasons.push(reason);
            }
        }
        if reasons.is_empty() { Ok(fields) } else { Err(reasons.join("; ")) }
    }
}

fn set_json<'a>(fields: &mut Fields<'a>, name: &str, json: &'a RawValue) -> Result<(), String> {
    if name == "metadata" {
        match json.get() {
            "null" => {}
            object if object.starts_with('{') => fields.metadata = Some(object),
            _ => return Err("metadata is not a JSON object".to_owned()),
        }
        return Ok(());
    }
    if name == "known" {
        fields.known = Some(json.get()).filter(|json| *json != "null");
        return Ok(());
    }
    let column = Column::named(name)?;
    if let Column::Metadata(key) = &column {
        fields.set_metadata(key, json.get().to_owned());
        return Ok(());
    }
    let wrong = || format!("{name} is of the wrong type");
    match (column, serde_json::from_str(json.get()).map_err(|_| wrong())?) {
        (_, Value::Null) => {}
        (column, Value::String(text)) => fields.set(&column, Cow::Owned(text)),
        (column @ (Column::SubscriptionId | Column::Generation | Column::ExpiresAt), Value::Number(number)) => {
            fields.set(&column, Cow::Owned(number.to_string()));
        }
        _ => return Err(wrong()),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
