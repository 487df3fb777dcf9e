//! What a process did to its files, out of strace's log: the writes with their bytes, and the barriers between them.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is logged for [`read`]; of these, only what it understands may happen to a database.
pub const CALLS: &str = "openat,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,link,linkat,unlink,\
                         unlinkat,rename,renameat,renameat2,fsync,fdatasync,sync_file_range,sync,syncfs";
/// How: every byte of them.
pub const WITH_BYTES: [&str; 3] = ["-xx", "-s", "1000000"];

/// Something done to a file; files by their names in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    Create(String),
    Write { file: String, at: usize, bytes: Vec<u8> },
    Cut { file: String, length: usize },
    Remove(String),
    Sync(String),
    SyncDirectory,
}

#[derive(Clone, Debug)]
pub struct Done {
    pub begun_at: SystemTime,
    pub ended_at: SystemTime,
    pub act: Act,
}

impl Done {
    /// Whether what was written before it must be on the disk once it has ended.
    pub fn is_barrier(&self) -> bool {
        matches!(self.act, Act::Sync(_) | Act::SyncDirectory)
    }
}

/// Everything that the processes with these logs did to the files of a directory, in the order in which it was begun.
pub fn read(logs: &[String], directory: &Path) -> Vec<Done> {
    let mut all = Vec::new();
    for log in logs {
        let mut unfinished: HashMap<&str, (&str, &str)> = HashMap::new();
        for line in log.lines() {
            let mut parts = line.splitn(2, ' ');
            let process = parts.next().expect("a process");
            let (time, call) = parts.next().and_then(|rest| rest.trim_start().split_once(' ')).expect("a time");
            if let Some(begin) = call.strip_suffix("<unfinished ...>") {
                unfinished.insert(process, (time, begin));
            } else if let Some((_, end)) = call.strip_prefix("<... ").and_then(|call| call.split_once(" resumed>")) {
                let (time, begin) = unfinished.remove(process).expect("it was begun");
                all.extend(done(time, &format!("{begin}{end}"), directory));
            } else {
                all.extend(done(time, call, directory));
            }
        }
    }
    all.sort_by_key(|done| done.begun_at);
    keep_creations(&mut all);
    all
}

/// `None`: an end, a signal, or a call that failed or was cut off by a kill.
fn done(time: &str, line: &str, directory: &Path) -> Option<Done> {
    let (name, rest) =
        line.split_once('(').filter(|(name, _)| name.bytes().all(|byte| byte.is_ascii_alphanumeric()))?;
    let (arguments, result) = rest.rsplit_once(" = ").expect("a result");
    let (result, took) = result.rsplit_once(" <").unwrap_or((result, "0>"));
    if result.starts_with(['-', '?']) {
        return None;
    }
    let begun_at = UNIX_EPOCH + seconds(time);
    let ended_at = begun_at + seconds(took.trim_end_matches('>'));
    let act = act(name, arguments.trim_end_matches([')', ' ']), result, directory)?;
    Some(Done { begun_at, ended_at, act })
}

fn act(name: &str, arguments: &str, result: &str, directory: &Path) -> Option<Act> {
    let last = || arguments.rsplit_once(", ").expect("more than one argument").1.parse().expect("a number");
    match name {
        "openat" => arguments.contains("O_CREAT").then(|| Act::Create(file(&text_in(result, '<', '>')))),
        "unlink" => Some(Act::Remove(file(&text_in(arguments, '"', '"')))),
        "fsync" | "fdatasync" => {
            let path = text_in(arguments, '<', '>');
            Some(if Path::new(&path) == directory { Act::SyncDirectory } else { Act::Sync(file(&path)) })
        }
        "ftruncate" => Some(Act::Cut { file: file(&text_in(arguments, '<', '>')), length: last() }),
        "pwrite64" => {
            let bytes = between(arguments, '"', '"');
            assert_eq!(result.parse(), Ok(bytes.len()), "written and logged in full");
            Some(Act::Write { file: file(&text_in(arguments, '<', '>')), at: last(), bytes })
        }
        other => panic!("the database does what is not understood here: {other}({arguments}"),
    }
}

/// SQLite opens its files as if to create them; the first to do so does.
fn keep_creations(all: &mut Vec<Done>) {
    let mut names = std::collections::HashSet::new();
    all.retain(|done| match &done.act {
        Act::Create(file) => names.insert(file.clone()),
        Act::Remove(file) => names.remove(file),
        _ => true,
    });
}

fn seconds(text: &str) -> Duration {
    let (seconds, micros) = text.split_once('.').unwrap_or((text, "0"));
    Duration::new(seconds.parse().expect("seconds"), 1000 * micros.parse::<u32>().expect("microseconds"))
}

fn file(path: &str) -> String {
    Path::new(path).file_name().expect("a file").to_string_lossy().into_owned()
}

fn text_in(text: &str, open: char, close: char) -> String {
    String::from_utf8(between(text, open, close)).expect("a path")
}

/// What stands between these, all of it as `\x2f`.
fn between(text: &str, open: char, close: char) -> Vec<u8> {
    let (_, rest) = text.split_once(open).unwrap_or_else(|| panic!("no {open} in {text:.80}"));
    let (escaped, _) = rest.split_once(close).unwrap_or_else(|| panic!("no {close} in {text:.80}"));
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hexadecimal digit") as u8;
    escaped.as_bytes().chunks(4).map(|byte| digit(byte[2]) << 4 | digit(byte[3])).collect()
}
