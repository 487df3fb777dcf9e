//! Where settings come from: the file and, over it, the environment, with the place of every value kept.
//!
//! The `config` crate does the layering, but forgets positions; the lines of the keys are read from the same text
//! beforehand. What the values mean belongs to [`super::rules`].

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use config::{Config, FileFormat, Map, Value};
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem, Problems};
use crate::text::permission_advice;

const PREFIX: &str = "RENEWALD__";
const TABLES: [&str; 7] = ["ADMIN", "LOG", "ORDER_DATA", "POLL", "PROVIDERS", "SINKS", "STORE"];

/// More is no settings file.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// What the settings take from the process's environment.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    /// `$RENEWALD_CONFIG`
    pub config: Option<PathBuf>,
    /// `$CREDENTIALS_DIRECTORY`
    pub credentials: Option<PathBuf>,
    /// All that begin with `RENEWALD__`.
    pub variables: Vec<(OsString, OsString)>,
    /// Those that were meant to.
    pub ignored: Vec<String>,
}

impl Environment {
    pub fn of_process() -> Self {
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let ours = |name: &OsString| name.to_string_lossy().starts_with(PREFIX);
        Self {
            config: path("RENEWALD_CONFIG"),
            credentials: path("CREDENTIALS_DIRECTORY"),
            variables: std::env::vars_os().filter(|(name, _)| ours(name)).collect(),
            ignored: std::env::vars_os()
                .filter_map(|(name, _)| name.into_string().ok())
                .filter(|n| is_slip(n))
                .collect(),
        }
    }
}

/// Whether a variable was meant as a setting: `RENEWALD_POLL_EVERY`. Others are left alone: Kubernetes sets RENEWALD_PORT, an exec
/// sink RENEWALD_MESSAGE_ID.
pub(super) fn is_slip(name: &str) -> bool {
    let rest = name.strip_prefix("RENEWALD_").filter(|rest| !rest.starts_with('_'));
    let of_table =
        |rest: &str| TABLES.iter().any(|table| rest.strip_prefix(table).is_some_and(|key| key.starts_with('_')));
    rest.is_some_and(|rest| of_table(&rest.to_uppercase()))
}

/// All values, and where each was written.
pub(super) struct Layers {
    pub root: Map<String, Value>,
    pub origins: Origins,
    /// Mistakes in names and notation; the values concerned are left out.
    pub problems: Vec<Problem>,
}

/// Reads and merges file and environment. `Err` is for what leaves nothing to check: no file, or not TOML.
pub(super) fn layers(file: Option<&Path>, environment: &Environment) -> Result<Layers, Problems> {
    let text = file.map(read).transpose()?.unwrap_or_default();
    let mut origins = Origins { file: file.map(Path::to_owned), ..Origins::default() };
    let mut problems = Vec::new();
    let table = DeTable::parse(&text).map_err(|error| syntax_error(&text, file, &error))?;
    Positions { text: &text, origins: &mut origins, problems: &mut problems }.table("", table.get_ref());
    if let Some(problems) = Problems::new(problems) {
        return Err(problems); // nothing that `config` would understand
    }
    let mut problems = Vec::new();
    let variables = read_variables(environment, &mut origins, &mut problems);
    let layered = Config::builder()
        .add_source(config::File::from_str(&text, FileFormat::Toml))
        .add_source(config::Environment::with_prefix("RENEWALD").separator("__").source(Some(variables)))
        .build()
        .and_then(|layered| layered.cache.into_table());
    // Its message could repeat a value; that both sources were readable was seen above.
    let root = layered.map_err(|_| problem(origins.place(""), "", "file and environment cannot be combined"))?;
    Ok(Layers { root, origins, problems })
}

/// The file to read: the one asked for, or the first of `usual` that exists. `None` when there is none of these.
pub(super) fn find(explicit: Option<&Path>, environment: &Environment, usual: &[&Path]) -> Option<PathBuf> {
    let asked_for = explicit.or(environment.config.as_deref());
    // One that may not be looked at is taken too: reading it says why.
    let may_exist = |path: &&Path| !matches!(path.try_exists(), Ok(false));
    asked_for.or_else(|| usual.iter().copied().find(may_exist)).map(Path::to_owned)
}

fn read(path: &Path) -> Result<String, Problem> {
    let place = Place::File { path: path.to_owned(), line: None };
    let bytes = super::secret::read_at_most(path, MAX_FILE_BYTES).map_err(|error| {
        problem(place.clone(), "", &format!("cannot be read: {error}{}", permission_advice(&error)))
    })?;
    String::from_utf8(bytes.to_vec()).map_err(|error| {
        let line = Some(line_of(&bytes, error.utf8_error().valid_up_to()));
        problem(Place::File { path: path.to_owned(), line }, "", "is not UTF-8 text")
    })
}

fn problem(place: Place, key: &str, text: &str) -> Problem {
    Problem { place, key: key.to_owned(), text: text.to_owned() }
}

/// Without the line itself, which could hold a secret.
fn syntax_error(text: &str, file: Option<&Path>, error: &toml::de::Error) -> Problem {
    let start = error.span().map_or(text.len(), |span| span.start).min(text.len());
    let line_start = text.as_bytes()[..start].iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
    let column = String::from_utf8_lossy(&text.as_bytes()[line_start..start]).chars().count() + 1;
    let place = match file {
        Some(path) => Place::File { path: path.to_owned(), line: Some(line_of(text.as_bytes(), start)) },
        None => Place::Nowhere,
    };
    problem(place, "", &format!("column {column}: not valid TOML: {}", error.message()))
}

fn line_of(text: &[u8], offset: usize) -> usize {
    text[..offset.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1
}

/// Notes each key's line, and what `config` would misunderstand.
struct Positions<'a> {
    text: &'a str,
    origins: &'a mut Origins,
    problems: &'a mut Vec<Problem>,
}

impl Positions<'_> {
    fn table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let dotted = join(path, key.get_ref());
            let line = line_of(self.text.as_bytes(), key.span().start);
            self.origins.lines.insert(dotted.clone(), line);
            if is_key(key.get_ref()) {
                self.value(&dotted, value.get_ref());
            } else {
                self.report(&dotted, "unknown key; keys are made of letters, digits, _ and -");
            }
        }
    }

    fn value(&mut self, dotted: &str, value: &DeValue<'_>) {
        match value {
            DeValue::Table(table) => self.table(dotted, table),
            DeValue::Array(values) => values.iter().for_each(|value| self.value(dotted, value.get_ref())),
            DeValue::Integer(number) if i64::from_str_radix(number.as_str(), number.radix()).is_err() => {
                self.report(dotted, "the number is too large");
            }
            DeValue::Float(number) if !number.as_str().parse::<f64>().is_ok_and(f64::is_finite) => {
                self.report(dotted, "must be a finite number");
            }
            _ => {}
        }
    }

    fn report(&mut self, dotted: &str, text: &str) {
        self.problems.push(problem(self.origins.place(dotted), dotted, text));
    }
}

/// The variables that can be keys, as `config` wants them; their names are noted in `origins`.
fn read_variables(
    environment: &Environment,
    origins: &mut Origins,
    problems: &mut Vec<Problem>,
) -> HashMap<String, String> {
    let mut variables = HashMap::new();
    for (name, value) in &environment.variables {
        let shown = name.to_string_lossy().into_owned();
        let place = Place::Variable(shown.clone());
        let dotted = shown[PREFIX.len()..].to_lowercase().replace("__", ".");
        if name.to_str().is_none() || !dotted.split('.').all(is_key) {
            problems.push(problem(place, &dotted, "unknown name; write for example RENEWALD__POLL__EVERY"));
            continue;
        }
        let Some(value) = value.to_str() else {
            problems.push(problem(place, &dotted, "is not UTF-8 text"));
            continue;
        };
        origins.variables.insert(dotted, shown.clone());
        variables.insert(shown, value.to_owned());
    }
    variables
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The environment's name for a key: `poll.every` is `RENEWALD__POLL__EVERY`.
pub(super) fn variable_name(dotted: &str) -> String {
    format!("{PREFIX}{}", dotted.to_uppercase().replace('.', "__"))
}

/// Where each value was written, by dotted key.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    file: Option<PathBuf>,
    lines: BTreeMap<String, usize>,
    variables: BTreeMap<String, String>,
}

impl Origins {
    /// The directory that relative paths start from: that of the settings file.
    pub fn directory(&self) -> PathBuf {
        self.file.as_deref().and_then(Path::parent).map(Path::to_owned).unwrap_or_default()
    }

    pub fn is_in_file(&self, dotted: &str) -> bool {
        self.lines.contains_key(dotted)
    }

    pub fn is_variable(&self, dotted: &str) -> bool {
        self.variables.contains_key(dotted)
    }

    /// The keys at and below `dotted` that the environment gives, with the variables' names.
    pub fn variables_below(&self, dotted: &str) -> impl Iterator<Item = (&str, &str)> {
        let prefix = format!("{dotted}.");
        let all = self.variables.iter().map(|(key, name)| (key.as_str(), name.as_str()));
        all.filter(move |(key, _)| *key == dotted || key.starts_with(&prefix))
    }

    /// Where the value stands, or should stand: at the head of the closest table around it.
    pub fn place(&self, dotted: &str) -> Place {
        if let Some(name) = self.variables.get(dotted) {
            return Place::Variable(name.clone());
        }
        let mut around = dotted;
        loop {
            if let Some(line) = self.lines.get(around) {
                return self.place_in_file(Some(*line));
            }
            if !around.is_empty() && self.variables_below(around).next().is_some() {
                return Place::Variable(variable_name(dotted));
            }
            match around.rsplit_once('.') {
                Some((outer, _)) => around = outer,
                None => return self.place_in_file(None),
            }
        }
    }

    /// Where the file has the key, whatever the environment says.
    pub fn place_in_file_of(&self, dotted: &str) -> Place {
        self.place_in_file(self.lines.get(dotted).copied())
    }

    /// The keys that the file has directly in the table `around`.
    pub fn names_in_file<'a>(&'a self, around: &str) -> impl Iterator<Item = &'a str> {
        let prefix = format!("{around}.");
        let below = move |key: &'a String| key.strip_prefix(prefix.as_str());
        self.lines.keys().filter_map(below).filter(|name| !name.contains('.'))
    }

    fn place_in_file(&self, line: Option<usize>) -> Place {
        match &self.file {
            Some(path) => Place::File { path: path.clone(), line },
            None => Place::Nowhere,
        }
    }
}
