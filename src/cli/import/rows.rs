//! The rows of a CSV file or of JSON lines, one at a time, each with its line and what is wrong with it.

mod csv_lines;
mod fields;
mod json_lines;
mod spreadsheet;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use crate::cli::track;
use crate::clock::Timestamp;
use crate::convention::{Convention, check_name};
use crate::renewal::State;
use crate::renewal::news::KnownDelivery;
use crate::settings::Settings;
use crate::store::NewSubscription;
use crate::text::visible;
use csv_lines::CsvLines;
use fields::Fields;
use json_lines::JsonLines;

/// In place of a generation: the first poll notes it, as with `--adopt`.
pub const ADOPTED: &str = "adopt";

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

/// Why no row of a file can be read, and the line that tells it.
#[derive(Debug)]
pub struct HeaderProblems {
    pub line: u64,
    pub problems: Vec<String>,
}

impl HeaderProblems {
    fn of_file(problem: &str) -> Self {
        Self { line: 1, problems: vec![problem.to_owned()] }
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

/// What a row wants tracked.
#[derive(Debug)]
pub struct Good {
    pub new: NewSubscription,
    /// `watching` unless it says otherwise.
    pub state: State,
    /// What makes it doubtful that this is what was meant.
    pub warning: Option<String>,
}

/// A row, or all that is wrong with it.
pub type Row = Result<Good, String>;

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
            return Ok(Err(HeaderProblems::of_file("the file is UTF-16; save it as UTF-8")));
        }
        if spreadsheet::has_old_mac_lines(start) {
            let problem = "the lines end with CR alone, as on old Macs; save it as \"CSV UTF-8\", with LF or CRLF";
            return Ok(Err(HeaderProblems::of_file(problem)));
        }
        let lines = match format {
            Format::Csv => match CsvLines::open(reader, adopt, settings.conventions().all(Convention::is_numbered))? {
                Ok(lines) => Lines::Csv(lines),
                Err(problems) => return Ok(Err(problems)),
            },
            Format::Jsonl => Lines::Json(JsonLines::new(reader)),
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
            Lines::Csv(lines) => lines.bytes_read(),
            Lines::Json(lines) => lines.bytes_read(),
        }
    }
}

fn build(mut fields: Fields<'_>, settings: &Settings, adopt: bool, missing_generation: &mut bool) -> Row {
    let mut reasons = Vec::new();
    let mut warnings = std::mem::take(&mut fields.damaged);
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
    let known = match (fields.known, convention) {
        (Some(json), Some(convention)) => known(json, convention, &fields, generation.as_ref().ok().copied().flatten()),
        _ => Ok(Vec::new()),
    };
    let known = known.map_err(|reason| reasons.push(reason));
    let known_before = fields.known_before.map(known_before).transpose();
    let known_before = known_before.map_err(|reason| reasons.push(reason));
    let expires_at = fields.expires_at.as_deref().map(track::expiry).transpose();
    let expires_at = expires_at.map_err(|reason| reasons.push(reason));
    let state = fields.state.as_deref().map_or(Ok(State::Watching), str::parse);
    let state = state.map_err(|reason| reasons.push(format!("state: {reason}")));
    let metadata = fields.metadata().map_err(|reason| reasons.push(reason));
    match (number, subscription_id, generation, known, known_before, place, convention, expires_at, state, metadata) {
        (
            Ok(number),
            Ok(subscription_id),
            Ok(generation),
            Ok(known),
            Ok(known_before),
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
                // Who names what the customer has had has not had the rest.
                known_before: known_before.or((!known.is_empty()).then_some(Timestamp::from_unix(0))),
                known,
                expires_at,
                metadata,
                tracked_by: "import",
            };
            if track::is_padded(&new.partner_order_number) {
                warnings.push(format!("the partner order number {}", track::PADDED));
            }
            let warning = Some(warnings.join("; ")).filter(|warning| !warning.is_empty());
            Ok(Good { new, state, warning })
        }
        _ => Err([reasons, warnings].concat().join("; ")),
    }
}

/// The deliveries that an export names. One that the provider counts, and that is to come only, is none of them: its renewal would
/// be taken for delivered.
fn known(
    json: &str,
    convention: &Convention,
    fields: &Fields<'_>,
    at: Option<i64>,
) -> Result<Vec<KnownDelivery>, String> {
    /// Far beyond what a subscription can have.
    const HIGHEST: i64 = i32::MAX as i64;
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Known {
        reference: String,
        generation: i64,
    }
    let known: Vec<Known> = serde_json::from_str(json)
        .map_err(|_| "known must be a list of objects with reference and generation".to_owned())?;
    let original = fields.partner_order_number.as_deref().unwrap_or_default();
    let lowest = convention.lowest_generation;
    let check = |Known { reference, generation }| {
        check_name("a known reference", &reference)?;
        if !(lowest..=HIGHEST).contains(&generation) {
            return Err(format!("known generation {generation} is not from {lowest} to {HIGHEST}"));
        }
        match convention.generation_in(original, &reference) {
            Some(counted) if at.is_none_or(|at| counted > at) => {
                Err(format!("known names {}, which is above the generation", visible(&reference)))
            }
            _ => Ok(KnownDelivery { generation, reference }),
        }
    };
    known.into_iter().map(check).collect()
}

/// The time that an export names.
fn known_before(json: &str) -> Result<Timestamp, String> {
    let text: Option<String> = serde_json::from_str(json).ok();
    let instant = text.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let wrong = || "known_before must be a time such as 2026-11-21T20:00:00Z".to_owned();
    instant.map(|instant| Timestamp::from_unix(instant.as_second())).ok_or_else(wrong)
}

#[cfg(test)]
mod tests;
