//! JSON as somebody wrote it: for what is passed on, where a number must not become another.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// An object's values as they were written, by key.
#[derive(Debug, Default)]
pub struct Members<'a> {
    pub by_key: BTreeMap<String, &'a RawValue>,
    /// A key that is there more than once.
    pub twice: Option<String>,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Members::default();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    if members.by_key.insert(key.clone(), value).is_some() {
                        members.twice = Some(key);
                    }
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// An object of these members, each as it was written.
pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, &'a RawValue)>) -> Option<Box<RawValue>> {
    // Text keys and what was read as JSON: serde_json cannot fail on them.
    to_raw_value(&members.into_iter().collect::<BTreeMap<_, _>>()).ok()
}

/// Whether it is a text, a number, a flag or null: nothing else can stand in it.
pub fn is_single(value: &RawValue) -> bool {
    !value.get().starts_with(['{', '['])
}

/// The same without white space between tokens, hence on one line.
pub fn compact(json: &str) -> String {
    let mut in_text = false;
    let mut escaped = false;
    let is_kept = |&c: &char| {
        if in_text {
            in_text = escaped || c != '"';
            escaped = !escaped && c == '\\';
            return true;
        }
        in_text = c == '"';
        !matches!(c, ' ' | '\t' | '\n' | '\r')
    };
    json.chars().filter(is_kept).collect()
}

/// The same for texts that differ in the order of keys, the spelling of strings and white space only. A number counts as it is
/// written: to some readers 1.10 is another one than 1.1.
pub fn canonical(json: &str) -> String {
    if let Ok(Members { by_key, .. }) = serde_json::from_str(json) {
        let member = |(key, value): (&String, &&RawValue)| {
            let key = Value::from(key.as_str());
            format!("{key}:{}", canonical(value.get()))
        };
        format!("{{{}}}", by_key.iter().map(member).collect::<Vec<_>>().join(","))
    } else if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(json) {
        format!("[{}]", items.iter().map(|item| canonical(item.get())).collect::<Vec<_>>().join(","))
    } else if let Ok(text) = serde_json::from_str::<String>(json) {
        Value::from(text).to_string()
    } else {
        json.to_owned()
    }
}
