//! The objects of a file of JSON lines.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use serde_json::Value;
use serde_json::value::RawValue;

use super::fields::{Column, Fields};
use crate::json::Members;
use crate::text::visible;

/// Longer lines are not read.
const MOST_LINE_BYTES: u64 = 1 << 20;

pub(super) struct JsonLines<'a> {
    reader: BufReader<&'a File>,
    buffer: Vec<u8>,
    line: u64,
    bytes: u64,
}

impl<'a> JsonLines<'a> {
    pub(super) fn new(reader: BufReader<&'a File>) -> Self {
        Self { reader, buffer: Vec::new(), line: 0, bytes: 0 }
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes
    }

    /// Reads the next line that is not empty and returns its number.
    pub(super) fn advance(&mut self) -> io::Result<Option<u64>> {
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

    pub(super) fn fields(&self) -> Result<Fields<'_>, String> {
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
            object if object.starts_with('{') => fields.set_whole_metadata(object),
            _ => return Err("metadata is not a JSON object".to_owned()),
        }
        return Ok(());
    }
    if let Some(field) = match name {
        "known" => Some(&mut fields.known),
        "known_before" => Some(&mut fields.known_before),
        _ => None,
    } {
        *field = Some(json.get()).filter(|json| *json != "null");
        return Ok(());
    }
    let column = Column::named(name)?;
    if let Column::Metadata(key) = &column {
        fields.set_metadata(key, json.get());
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
