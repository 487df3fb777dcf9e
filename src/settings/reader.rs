//! Takes typed values out of the layered settings, one table at a time, and collects what is wrong with them.
//!
//! A mistake never ends the reading: a stand-in value takes its place, and the [`Report`] refuses the whole at the end.
//! What is left in a [`Section`] when it is finished is an unknown key, so that each key is named only once in the code.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use config::{Map, Value, ValueKind};
use reqwest::Url;

use super::duration::{format_duration, parse_duration};
use super::problem::{Place, Problem, nearest};
use super::secret::Secret;
use super::source::{Origins, join, variable_name};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A request that takes longer will not end well any more.
pub(crate) const TIMEOUTS: RangeInclusive<Duration> = SECOND..=Duration::from_secs(600);

/// What was found, and where everything stands.
pub(crate) struct Report {
    pub origins: Origins,
    pub credentials: Option<PathBuf>,
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

impl Report {
    pub fn problem(&mut self, dotted: &str, text: impl Into<String>) {
        let place = self.origins.place(dotted);
        self.problems.push(Problem { place, key: dotted.to_owned(), text: text.into() });
    }

    pub fn warning(&mut self, dotted: &str, text: impl Into<String>) {
        let place = self.origins.place(dotted);
        self.warnings.push(Problem { place, key: dotted.to_owned(), text: text.into() });
    }
}

/// A mistake that has been reported already.
#[derive(Debug)]
pub(crate) struct Reported;

/// One table. Every method that takes a key out of it remembers the key as known.
pub(crate) struct Section<'a> {
    pub path: String,
    values: Map<String, Value>,
    known: Vec<String>,
    pub report: &'a mut Report,
}

impl<'a> Section<'a> {
    pub fn root(values: Map<String, Value>, report: &'a mut Report) -> Self {
        Self { path: String::new(), values, known: Vec::new(), report }
    }

    /// A table inside this one; a missing one is empty.
    pub fn section(&mut self, key: &str) -> Section<'_> {
        let dotted = self.dotted(key);
        let values = match self.take(key) {
            None => Map::new(),
            Some(Value { kind: ValueKind::Table(values), .. }) => values,
            Some(_) => {
                self.report.problem(&dotted, format!("must be a table: [{dotted}]"));
                Map::new()
            }
        };
        Section { path: dotted, values, known: Vec::new(), report: self.report }
    }

    /// The keys not yet taken, sorted: for tables whose keys are names.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.values.keys().cloned().collect();
        names.sort();
        names
    }

    /// What names a table here: providers, territories and sinks are called by it everywhere.
    pub fn check_name(&mut self, name: &str) {
        let bytes = name.as_bytes();
        let regular = bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if !(regular && bytes.len() <= 32 && bytes.first().is_some_and(u8::is_ascii_lowercase)) {
            self.problem(name, "not a name: at most 32 of a-z, 0-9 and _, beginning with a letter");
        }
    }

    pub fn dotted(&self, key: &str) -> String {
        join(&self.path, key)
    }

    pub fn problem(&mut self, key: &str, text: impl Into<String>) {
        self.report.problem(&self.dotted(key), text);
    }

    pub fn warning(&mut self, key: &str, text: impl Into<String>) {
        self.report.warning(&self.dotted(key), text);
    }

    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.known.push(key.to_owned());
        self.values.remove(key)
    }

    fn is_variable(&self, key: &str) -> bool {
        self.report.origins.is_variable(&self.dotted(key))
    }

    fn wrong_type(&mut self, key: &str, wanted: &str, found: &ValueKind) -> Reported {
        // A variable below a key turns its value into a table: it is the variable that is wrong.
        let below = self.report.origins.variables_below(&self.dotted(key)).map(|(key, _)| key.to_owned()).next();
        let found = match found {
            ValueKind::Table(_) => "a table",
            ValueKind::Array(_) => "a list",
            ValueKind::String(_) => "text",
            ValueKind::Boolean(_) => "true or false",
            _ => "a number",
        };
        let dotted = below.unwrap_or_else(|| self.dotted(key));
        self.report.problem(&dotted, format!("must be {wanted}, not {found}"));
        Reported
    }

    /// Text; an empty one counts as not given.
    pub fn text(&mut self, key: &str) -> Result<Option<String>, Reported> {
        match self.take(key).map(|value| value.kind) {
            None => Ok(None),
            Some(ValueKind::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
            Some(other) => Err(self.wrong_type(key, "text in quotes", &other)),
        }
    }

    /// Text that must be given, or the empty stand-in.
    pub fn required(&mut self, key: &str, what: &str) -> Option<String> {
        match self.text(key) {
            Ok(None) => {
                let hint = self.misnamed_section().map(|name| format!("; did you mean {name}?")).unwrap_or_default();
                self.problem(key, format!("missing; give {what}{hint}"));
                None
            }
            Ok(given) => given,
            Err(Reported) => None,
        }
    }

    /// Where only variables speak of this section and the file has one of nearly that name: how its variables begin.
    fn misnamed_section(&self) -> Option<String> {
        let (around, name) = self.path.rsplit_once('.')?;
        if self.report.origins.is_in_file(&self.path) {
            return None;
        }
        let siblings = self.report.origins.names_in_file(around);
        nearest(name, siblings).map(|near| format!("{}__…", variable_name(&join(around, near))))
    }

    pub fn duration(&mut self, key: &str, default: Duration, allowed: RangeInclusive<Duration>) -> Duration {
        let text = match self.take(key).map(|value| value.kind) {
            None => return default,
            Some(ValueKind::String(text)) => text,
            Some(ValueKind::I64(number)) => number.to_string(), // told to add a unit
            Some(other) => {
                self.wrong_type(key, "a duration such as \"4h\"", &other);
                return default;
            }
        };
        match parse_duration(&text) {
            Ok(duration) if allowed.contains(&duration) => return duration,
            Ok(duration) if duration < *allowed.start() => {
                self.problem(key, format!("must be at least {}", format_duration(*allowed.start())));
            }
            Ok(_) => self.problem(key, format!("must be at most {}", format_duration(*allowed.end()))),
            Err(error) => self.problem(key, error.to_string()),
        }
        default
    }

    pub fn integer(&mut self, key: &str, default: i64, allowed: RangeInclusive<i64>) -> i64 {
        let wanted = format!("a whole number from {} to {}", allowed.start(), allowed.end());
        match self.take(key).map(|value| value.kind) {
            None => default,
            Some(ValueKind::I64(number)) if allowed.contains(&number) => number,
            Some(ValueKind::String(text)) if self.is_variable(key) => {
                match text.parse().ok().filter(|number| allowed.contains(number)) {
                    Some(number) => number,
                    None => {
                        self.problem(key, format!("must be {wanted}"));
                        default
                    }
                }
            }
            Some(ValueKind::I64(_) | ValueKind::Float(_)) => {
                self.problem(key, format!("must be {wanted}"));
                default
            }
            Some(other) => {
                self.wrong_type(key, &wanted, &other);
                default
            }
        }
    }

    /// A number, with or without fraction. It is finite.
    pub fn number(&mut self, key: &str, default: f64) -> f64 {
        match self.take(key).map(|value| value.kind) {
            None => default,
            Some(ValueKind::I64(number)) => number as f64,
            Some(ValueKind::Float(number)) => number,
            Some(ValueKind::String(text)) if self.is_variable(key) => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => number,
                _ => {
                    self.problem(key, "must be a number");
                    default
                }
            },
            Some(other) => {
                self.wrong_type(key, "a number", &other);
                default
            }
        }
    }

    /// `true` or `false`, without quotes.
    pub fn flag(&mut self, key: &str, default: bool) -> bool {
        match self.take(key).map(|value| value.kind) {
            None => default,
            Some(ValueKind::Boolean(flag)) => flag,
            Some(ValueKind::String(text)) if self.is_variable(key) && matches!(text.as_str(), "true" | "false") => {
                text == "true"
            }
            Some(other) => {
                self.wrong_type(key, "true or false", &other);
                default
            }
        }
    }

    /// A list of texts; in the environment separated by commas. A single `"*"` needs no brackets.
    pub fn list(&mut self, key: &str) -> Option<Vec<String>> {
        let wanted = "a list of texts such as [\"a\", \"b\"]";
        match self.take(key)?.kind {
            ValueKind::String(text) if self.is_variable(key) => {
                Some(text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect())
            }
            ValueKind::String(text) if text == "*" => Some(vec![text]),
            ValueKind::Array(values) => {
                let mut items = Vec::new();
                for value in values {
                    match value.kind {
                        ValueKind::String(item) => items.push(item),
                        other => {
                            self.problem(key, format!("must be {wanted}; {other} is not text"));
                            return None;
                        }
                    }
                }
                Some(items)
            }
            other => {
                self.wrong_type(key, wanted, &other);
                None
            }
        }
    }

    /// A path; a relative one starts from the directory of the settings file.
    pub fn path(&mut self, key: &str) -> Option<PathBuf> {
        let text = self.text(key).ok()??;
        Some(self.report.origins.directory().join(text))
    }

    /// An address, checked by [`check_url`].
    pub fn url(&mut self, key: &str) -> Option<Url> {
        let text = self.text(key).ok()??;
        self.checked_url(key, &text)
    }

    pub fn required_url(&mut self, key: &str, what: &str) -> Option<Url> {
        let text = self.required(key, what)?;
        self.checked_url(key, &text)
    }

    /// An address without a trailing slash, to be continued with a path.
    pub fn base_url(&mut self, key: &str, what: &str) -> String {
        let Some(url) = self.required_url(key, what) else { return String::new() };
        if url.query().is_some() {
            self.problem(key, "must not have a query (?…): paths are appended to it");
        }
        url.as_str().trim_end_matches('/').to_owned()
    }

    /// A proxy's address; plain http to it is usual, what goes through it is encrypted by itself.
    pub fn proxy(&mut self) -> Option<String> {
        let text = self.text("proxy").ok()??;
        let url = check_url(&text);
        url.map(String::from).map_err(|reason| self.problem("proxy", reason)).ok()
    }

    fn checked_url(&mut self, key: &str, text: &str) -> Option<Url> {
        match check_url(text) {
            Ok(url) => {
                if url.scheme() == "http" && !is_loopback(&url) {
                    self.warning(key, "http sends secrets and licence keys in plain text; use https");
                }
                Some(url)
            }
            Err(reason) => {
                self.problem(key, reason);
                None
            }
        }
    }

    /// A secret under `key`, or in a file named under `key_file`.
    pub fn secret(&mut self, key: &str) -> Option<Secret> {
        let file_key = format!("{key}_file");
        let (inline, file) = (self.text(key), self.text(&file_key));
        match (inline.ok()?, file.ok()?) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                self.problem(key, format!("given twice: {} and {}; keep one", self.named(key), self.named(&file_key)));
                None
            }
            (Some(secret), None) => {
                let instead = format!("put it into a file and name that in {}", self.dotted(&file_key));
                self.warning(key, format!("the secret itself stands here, readable to whoever sees it; {instead}"));
                Some(Secret::Inline(secret.into()))
            }
            (None, Some(name)) => self.secret_file(&file_key, PathBuf::from(name), false),
        }
    }

    pub fn required_secret(&mut self, key: &str, what: &str) -> Option<Secret> {
        let file_key = format!("{key}_file");
        let given = self.values.get(key).or(self.values.get(&file_key)).is_some_and(|value| !is_empty(value));
        let secret = self.secret(key);
        if !given {
            self.problem(&file_key, format!("missing; give the name of the file that holds {what}"));
        }
        secret
    }

    /// A file under `key` that holds a secret of several lines, such as a private key.
    pub fn secret_lines(&mut self, key: &str) -> Option<Secret> {
        let name = self.text(key).ok()??;
        self.secret_file(key, PathBuf::from(name), true)
    }

    fn secret_file(&mut self, key: &str, name: PathBuf, lines: bool) -> Option<Secret> {
        if !name.is_absolute() && (name.file_name() != Some(name.as_os_str()) || name.as_os_str() == "..") {
            self.problem(
                key,
                "must be an absolute path, or a bare file name that is looked up in secrets/ beside the settings file",
            );
            return None;
        }
        Some(Secret::File {
            name,
            key: self.dotted(key),
            secrets: self.report.origins.directory().join("secrets"),
            credentials: self.report.credentials.clone(),
            lines,
        })
    }

    /// A key as the operator wrote it: the variable's name where it comes from one.
    fn named(&self, key: &str) -> String {
        match self.report.origins.place(&self.dotted(key)) {
            Place::Variable(name) => name,
            _ => self.dotted(key),
        }
    }

    /// Takes a key whose mistake has been reported.
    pub fn ignore(&mut self, key: &str) {
        self.take(key);
    }

    /// Accepts whatever is left: where it cannot be told what is known.
    pub fn ignore_rest(&mut self) {
        self.values.clear();
    }

    /// Reports what nobody took.
    pub fn finish(self) {
        self.finish_with(|_| None);
    }

    /// Reports what nobody took, with a better explanation where there is one.
    pub fn finish_with(self, explain: impl Fn(&str) -> Option<String>) {
        for key in self.names() {
            let dotted = self.dotted(&key);
            let near = nearest(&key, self.known.iter().map(String::as_str));
            if self.report.origins.is_in_file(&dotted) {
                let text = explain(&key).unwrap_or_else(|| match near {
                    Some(near) => format!("unknown key; did you mean \"{near}\"?"),
                    None => format!("unknown key; known here: {}", self.known.join(", ")),
                });
                let place = self.report.origins.place_in_file_of(&dotted);
                self.report.problems.push(Problem { place, key: dotted.clone(), text });
            }
            let variables: Vec<_> =
                self.report.origins.variables_below(&dotted).map(|(key, _)| key.to_owned()).collect();
            for variable in variables {
                let rest = &variable[dotted.len()..];
                let known = |key: &str| variable_name(&self.dotted(key));
                let text = explain(&key).unwrap_or_else(|| match near {
                    Some(near) => format!("unknown name; did you mean {}?", known(&format!("{near}{rest}"))),
                    None => {
                        let names: Vec<_> = self.known.iter().map(|key| known(key)).collect();
                        format!("unknown name; known are {}", names.join(", "))
                    }
                });
                self.report.problem(&variable, text);
            }
        }
    }
}

fn is_empty(value: &Value) -> bool {
    matches!(&value.kind, ValueKind::String(text) if text.is_empty())
}

/// http or https, with a host, and without anything that does not belong into a log: the text is the mistake.
fn check_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("not a URL: {error}; write for example https://host/path"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must begin with https:// or http://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or password: addresses are shown in logs".to_owned());
    }
    if url.fragment().is_some() {
        return Err("must not have a fragment (#…): it is never sent".to_owned());
    }
    Ok(url)
}

/// Whether the address is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    is_loopback_host(url.host_str().unwrap_or_default())
}

/// The same of a name or an address alone.
pub(crate) fn is_loopback_host(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}
