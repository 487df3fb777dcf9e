//! The map of `src/lib.rs`, held to what the sources import: who may see whom, and that no circle crosses a module's border.
//!
//! A path belongs to the deepest file that it names: what is taken through a parent's `pub use` is taken from the parent. Code that
//! only tests have is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Who never imports whom.
const NEVER: [(&str, &[&str]); 11] = [
    ("provider", &["store", "sink", "sweep", "relay", "view", "renewal"]),
    ("store", &["provider", "sink", "settings", "sweep", "relay", "view"]),
    ("sink", &["provider", "store", "sweep", "relay", "view", "renewal"]),
    ("admin", &["provider", "sink", "sweep", "relay", "daemon"]),
    ("hooks", &["provider", "sink", "sweep", "relay", "daemon", "admin"]),
    ("listen", &["provider", "sink", "settings", "sweep", "relay", "daemon", "admin", "hooks"]),
    ("view", &["provider", "sink", "sweep", "relay"]),
    ("sweep", &["sink", "relay", "view", "admin"]),
    ("relay", &["provider", "sweep", "view", "admin"]),
    ("renewal", &["settings", "store", "sink", "budget", "sweep"]),
    ("settings", &["store", "renewal", "delivery", "budget"]),
];

/// Who imports these, and nothing else of ours.
const NOTHING_BUT: [(&str, &[&str]); 12] = [
    ("choice", &["text", "clock"]),
    ("retry", &["clock"]),
    ("delivery", &["clock", "json", "text"]),
    ("convention", &["call"]),
    ("call", &["text"]),
    ("life", &["delivery", "text"]),
    ("clock", &[]),
    ("text", &[]),
    ("json", &[]),
    ("tls", &[]),
    ("vault", &[]),
    ("environment", &[]),
];

/// Who holds both: the parts that bring them together, and those that put the parts together.
const BOTH: [(&str, &str, &[&str]); 2] = [
    ("provider", "store", &["sweep", "shop", "daemon", "cli", "fuzzing"]),
    ("sink", "store", &["relay", "daemon", "cli"]),
];

/// From above to below: nobody imports a module that stands above its own.
const ARROWS: [&[&str]; 7] = [
    &["cli"],
    &["daemon"],
    &["admin", "hooks"],
    &["shop"],
    &["sweep", "relay", "view"],
    &["provider", "sink", "store"],
    &["choice", "renewal", "delivery", "retry", "clock"],
];

/// Decisions are made on answers, in the provider's words.
const AGAINST_THE_ARROWS: [(&str, &str); 1] = [("renewal", "provider")];

/// What only these files or folders may name.
const ONLY_THERE: [(&str, &[&str]); 6] = [
    ("rusqlite", &["store"]),
    ("minijinja", &["sink/smtp/template.rs", "admin/page/html.rs"]),
    ("lettre", &["sink/smtp"]),
    ("backoff::", &["retry.rs"]),
    ("SystemTime::now", &["clock.rs"]),
    ("env::var", &["environment.rs", "settings/source.rs", "sink/exec/settings.rs"]),
];

/// What belongs to one kind of provider.
const OF_ONE_KIND: [&str; 14] = [
    "1010",
    "1051",
    "1060",
    "1061",
    "1062",
    "1064",
    "NexwayConnect",
    "nexway_connect",
    "NexwayMonetize",
    "nexway_monetize",
    "Smartpay",
    "smartpay",
    "DigitalRiver",
    "digital_river",
];

/// Where that may stand all the same, whoever reads it, and the lines of the enum elsewhere.
const ITS_OWN: [&str; 7] = [
    "provider/digital_river/",
    "provider/nexway_connect/",
    "provider/nexway_monetize/",
    "provider/smartpay.rs",
    "provider/smartpay/",
    "sandbox/",
    "cli/demo/",
];
const ENUM_AND_EXAMPLES: [(&str, &str); 35] = [
    (
        "provider.rs",
        "//! ([`nexway_connect`], [`nexway_monetize`], [`smartpay`], [`digital_river`]); what follows from an answer is decided in",
    ),
    ("provider.rs", "pub mod digital_river;"),
    ("provider/kinds.rs", "DigitalRiver = \"digital-river\" in digital_river,"),
    ("sandbox.rs", "pub mod digital_river;"),
    ("sandbox.rs", "DigitalRiver,"),
    ("sandbox.rs", "Self::DigitalRiver => digital_river::offer(options, notify),"),
    ("cli/demo.rs", "mod digital_river;"),
    ("cli/demo.rs", "Kind::DigitalRiver => Arc::new(digital_river::DigitalRiver::start(start)?),"),
    ("cli/demo.rs", "let (renewals, delivered, refused) = played(Kind::DigitalRiver, &place).await;"),
    ("provider.rs", "pub mod nexway_connect;"),
    ("provider.rs", "pub mod nexway_monetize;"),
    (
        "provider/nexway.rs",
        "//! What is asked and what an answer means belongs to each: `nexway_connect`, `nexway_monetize`.",
    ),
    ("provider/kinds.rs", "NexwayMonetize = \"nexway-monetize\" in nexway_monetize,"),
    ("provider/kinds.rs", "NexwayConnect = \"nexway-connect\" in nexway_connect,"),
    ("sandbox.rs", "pub mod nexway_connect;"),
    ("sandbox.rs", "NexwayConnect,"),
    ("sandbox.rs", "Self::NexwayConnect => nexway_connect::offer(options),"),
    ("sandbox.rs", "self != Self::NexwayConnect"),
    ("cli/demo.rs", "mod nexway_connect;"),
    ("cli/demo.rs", "Kind::NexwayConnect => Arc::new(nexway_connect::NexwayConnect::start(start)?),"),
    ("cli/demo.rs", "assert_eq!(played(Kind::NexwayConnect, &place).await, (15, 14, 1));"),
    ("sandbox.rs", "pub mod nexway_monetize;"),
    ("sandbox.rs", "NexwayMonetize,"),
    ("sandbox.rs", "Self::NexwayMonetize => nexway_monetize::offer(options, notify),"),
    ("cli/demo.rs", "mod nexway_monetize;"),
    ("cli/demo.rs", "Kind::NexwayMonetize => Arc::new(nexway_monetize::NexwayMonetize::start(start)?),"),
    ("cli/demo.rs", "assert_eq!(played(Kind::NexwayMonetize, &place).await, (16, 15, 1));"),
    ("provider.rs", "pub mod smartpay;"),
    ("provider/kinds.rs", "Smartpay = \"smartpay\" or \"subscription-module\" in smartpay,"),
    ("sandbox.rs", "pub mod smartpay;"),
    ("sandbox.rs", "Smartpay,"),
    ("sandbox.rs", "Self::Smartpay => smartpay::offer(options, notify),"),
    ("cli/demo.rs", "mod smartpay;"),
    ("cli/demo.rs", "Kind::Smartpay => Arc::new(smartpay::Smartpay::start(start)?),"),
    ("cli/demo.rs", "assert_eq!(played(Kind::Smartpay, &place).await, (13, 13, 0));"),
];

/// A module by its names from the crate's root down.
type Module = Vec<String>;

struct Sources {
    /// As they are, by path from `src`.
    whole: BTreeMap<String, String>,
    /// Each file with the files it imports.
    imports: BTreeMap<String, BTreeSet<String>>,
    /// Without comments and tests.
    code: BTreeMap<String, String>,
}

impl Sources {
    fn read() -> Self {
        let mut whole = BTreeMap::new();
        read_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut whole);
        let tests: BTreeSet<Module> = whole.iter().flat_map(|(file, text)| test_modules(file, text)).collect();
        let is_test = |file: &str| (1..=module(file).len()).any(|depth| tests.contains(&module(file)[..depth]));
        let kept = whole.iter().filter(|(file, _)| !is_test(file));
        let code: BTreeMap<_, _> = kept.map(|(file, text)| (file.clone(), code_of(text))).collect();
        let files: BTreeMap<Module, &str> = code.keys().map(|file| (module(file), file.as_str())).collect();
        // The root names everybody, to make the crate of them.
        let mut imports = BTreeMap::new();
        for (file, text) in code.iter().filter(|(file, _)| !matches!(file.as_str(), "lib.rs" | "main.rs")) {
            imports.insert(file.clone(), imports_of(file, text, &files));
        }
        Self { whole, imports, code }
    }

    /// Every import that crosses a border: from which file, and which modules.
    fn across(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let pairs = self.imports.iter().flat_map(|(file, all)| all.iter().map(move |import| (file, import)));
        pairs.map(|(file, import)| (file.as_str(), top(file), top(import))).filter(|(_, from, to)| from != to)
    }

    /// The files from one to another along imports.
    fn way(&self, from: &str, to: &str) -> Option<Vec<&str>> {
        let mut ways = vec![vec![self.imports.get_key_value(from)?.0.as_str()]];
        let mut seen = BTreeSet::from([from.to_owned()]);
        while !ways.is_empty() {
            let mut longer = Vec::new();
            for way in ways {
                let last = way[way.len() - 1];
                if last == to {
                    return Some(way);
                }
                let unseen = self.imports.get(last).into_iter().flatten().filter(|next| seen.insert((*next).clone()));
                longer.extend(unseen.map(|next| [&way[..], &[next.as_str()]].concat()));
            }
            ways = longer;
        }
        None
    }
}

fn read_below(directory: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).expect("the sources") {
        let entry = entry.expect("the sources");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            read_below(&entry.path(), &format!("{name}/"), files);
        } else if name.ends_with(".rs") {
            files.insert(name, fs::read_to_string(entry.path()).expect("text"));
        }
    }
}

fn module(file: &str) -> Module {
    file.trim_end_matches(".rs").split('/').filter(|name| *name != "lib").map(str::to_owned).collect()
}

fn top(file: &str) -> &str {
    file.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

/// Modules in files of their own that only tests have.
fn test_modules(file: &str, text: &str) -> Vec<Module> {
    let declared = text.split("#[cfg(test)]\n").skip(1).filter_map(|rest| {
        let line = rest.lines().next()?.trim();
        Some(line.strip_suffix(';')?.split_once("mod ")?.1.to_owned())
    });
    declared.map(|name| [module(file), vec![name]].concat()).collect()
}

/// Tests in the file itself stand at its end.
fn code_of(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut code = String::new();
    let mut is_for_tests = false;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default();
        let is_item = line.ends_with(';');
        if !(is_for_tests && is_item) {
            code.push_str(line);
            code.push('\n');
        }
        is_for_tests = line.trim() == "#[cfg(test)]";
    }
    code
}

fn imports_of(file: &str, text: &str, files: &BTreeMap<Module, &str>) -> BTreeSet<String> {
    let here = module(file);
    // `pub(super)` is no import.
    let text =
        ["pub(super)", "pub(crate)", "pub(in "].iter().fold(text.to_owned(), |text, word| text.replace(word, "pub "));
    let tokens = tokens(&text);
    let mut paths = Vec::new();
    for at in 0..tokens.len() {
        let begins = at == 0 || tokens[at - 1] != "::";
        let is_child = || files.contains_key(&[&here[..], &[tokens[at].to_owned()]].concat());
        if begins && tokens.get(at + 1) == Some(&"::") && (is_root(tokens[at]) || is_child()) {
            read_path(&tokens, at, Vec::new(), &mut paths);
        }
    }
    let found = paths.iter().filter_map(|path| resolve(&here, path, files));
    found.filter(|import| *import != file).map(str::to_owned).collect()
}

fn is_root(word: &str) -> bool {
    matches!(word, "crate" | "super" | "self")
}

/// Words, `::`, and every other character alone.
fn tokens(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            _ if rest.starts_with("::") => 2,
            c => c.len_utf8(),
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// Reads `a::b` or `a::{b, c::d as e}` from `at` on, and returns where it ends.
fn read_path<'a>(tokens: &[&'a str], mut at: usize, mut path: Vec<&'a str>, paths: &mut Vec<Vec<&'a str>>) -> usize {
    loop {
        match tokens.get(at) {
            Some(&"{") => {
                at += 1;
                while !matches!(tokens.get(at), None | Some(&"}")) {
                    at = read_path(tokens, at, path.clone(), paths);
                    // Another name, say, and the comma.
                    while !matches!(tokens.get(at), None | Some(&"," | &"}")) {
                        at += 1;
                    }
                    at += usize::from(tokens.get(at) == Some(&","));
                }
                return at + 1;
            }
            Some(word) => {
                path.push(word);
                if tokens.get(at + 1) != Some(&"::") {
                    paths.push(path);
                    return at + 1;
                }
                at += 2;
            }
            None => return at,
        }
    }
}

/// The deepest file that a path names; none for the root.
fn resolve<'a>(here: &Module, path: &[&str], files: &BTreeMap<Module, &'a str>) -> Option<&'a str> {
    let mut module: Module = if path[0] == "crate" { Vec::new() } else { here.clone() };
    for word in path {
        match *word {
            "crate" | "self" => {}
            "super" => drop(module.pop()),
            name => module.push(name.to_owned()),
        }
    }
    while !module.is_empty() {
        if let Some(file) = files.get(&module) {
            return Some(file);
        }
        module.pop();
    }
    None
}

#[test]
fn imports_are_found_however_they_are_written() {
    let files = ["a.rs", "a/b.rs", "a/b/c.rs", "d.rs", "d/e.rs", "f.rs"].map(|file| (module(file), file));
    let found = |text: &str| Vec::from_iter(imports_of("a/b.rs", &code_of(text), &BTreeMap::from(files.clone())));
    assert_eq!(found("use crate::{d::{self, e as g}, f};\nuse std::fmt;"), ["d.rs", "d/e.rs", "f.rs"]);
    assert_eq!(found("pub use crate::d::e::{\n    Thing,\n    other,\n};"), ["d/e.rs"]);
    assert_eq!(
        found("pub(super) mod c;\nuse super::Thing;\nfn x() -> c::Thing { crate::d::y() }"),
        ["a.rs", "a/b/c.rs", "d.rs"]
    );
    assert_eq!(found("use self::c::Thing; // not crate::d\n/// [`crate::f`]"), ["a/b/c.rs"]);
    assert_eq!(
        found("#[cfg(test)]\nuse crate::d;\n#[cfg(test)]\nmod tests {\n    use crate::f;\n}"),
        Vec::<String>::new()
    );
    assert_eq!(test_modules("a.rs", "#[cfg(test)]\npub(crate) mod t;\nmod u;"), [module("a/t.rs")]);
}

#[test]
fn no_circle_crosses_a_border() {
    let sources = Sources::read();
    let mut circles = BTreeSet::new();
    for (file, import) in sources.imports.iter().flat_map(|(file, all)| all.iter().map(move |import| (file, import))) {
        if top(file) != top(import)
            && let Some(way) = sources.way(import, file)
        {
            circles.insert(format!("{file} -> {}", way.join(" -> ")));
        }
    }
    assert_eq!(circles, BTreeSet::new());
}

#[test]
fn nobody_sees_whom_he_must_not() {
    let sources = Sources::read();
    let is_forbidden = |from: &str, to: &str| {
        NEVER.iter().any(|(who, whom)| *who == from && whom.contains(&to))
            || NOTHING_BUT.iter().any(|(who, whom)| *who == from && !whom.contains(&to))
    };
    let seen = sources.across().filter(|(_, from, to)| is_forbidden(from, to));
    assert_eq!(seen.map(|(file, _, to)| format!("{file} imports {to}")).collect::<BTreeSet<_>>(), BTreeSet::new());
}

#[test]
fn only_who_brings_them_together_holds_both() {
    let sources = Sources::read();
    for (one, other, allowed) in BOTH {
        let who = |whom: &str| sources.across().filter(|(.., to)| *to == whom).map(|(_, from, _)| from).collect();
        let (ones, others): (BTreeSet<_>, BTreeSet<_>) = (who(one), who(other));
        let both = ones.intersection(&others).filter(|who| !allowed.contains(who));
        assert_eq!(both.collect::<Vec<_>>(), Vec::<&&str>::new(), "{one} and {other}");
    }
}

#[test]
fn arrows_point_one_way() {
    let sources = Sources::read();
    let height = |module: &str| ARROWS.iter().position(|row| row.contains(&module));
    let upwards = sources.across().filter(|(_, from, to)| {
        height(from).zip(height(to)).is_some_and(|(from, to)| from > to) && !AGAINST_THE_ARROWS.contains(&(from, to))
    });
    assert_eq!(upwards.map(|(file, _, to)| format!("{file} imports {to}")).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn what_one_file_owns_no_other_names() {
    let sources = Sources::read();
    for (what, owners) in ONLY_THERE {
        let elsewhere = sources.code.iter().filter(|(file, _)| !owners.iter().any(|owner| file.starts_with(owner)));
        let named = elsewhere.filter(|(_, text)| text.contains(what)).map(|(file, _)| file);
        assert_eq!(named.collect::<Vec<_>>(), Vec::<&String>::new(), "{what}");
    }
}

#[test]
fn what_belongs_to_one_kind_of_provider_stands_in_its_folder() {
    let sources = Sources::read();
    let mut named = Vec::new();
    for (file, text) in &sources.whole {
        if ITS_OWN.iter().any(|its| file.starts_with(its)) || file.contains("/tests") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let names = |word: &&str| OF_ONE_KIND.contains(word);
            let is_allowed = ENUM_AND_EXAMPLES.contains(&(file.as_str(), line.trim()));
            if !is_allowed && line.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| names(&word)) {
                named.push(format!("src/{file}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(named.is_empty(), "{}", named.join("\n"));
}
