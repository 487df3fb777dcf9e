//! The keys of a sink of kind `exec`.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::settings::reader::Section;

#[derive(Clone, Debug, PartialEq)]
pub struct Exec {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// What the command sees of our environment.
    pub environment: Vec<(OsString, OsString)>,
}

pub(crate) const KEYS: &[&str] = &["command"];

/// What a program may need to find its way, and nothing that is ours: no credentials, no settings.
const PASSED_ON: [&str; 5] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ"];

pub(crate) fn read(section: &mut Section) -> Exec {
    let known = section.report.problems.len();
    let mut command = section.list("command").unwrap_or_default().into_iter();
    let program = PathBuf::from(command.next().unwrap_or_default());
    if program.as_os_str().is_empty() {
        if section.report.problems.len() == known {
            section.problem("command", "missing; give the program and its arguments: [\"/usr/local/bin/deliver\"]");
        }
    } else if !program.is_absolute() {
        let text =
            "must begin with the program's absolute path: no shell looks it up, and no shell splits it into words";
        section.problem("command", text);
    }
    let environment = PASSED_ON.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?))).collect();
    Exec { program, arguments: command.collect(), environment }
}
