//! An object as the API sends it, its keys in whatever spelling: the vendor's own pages write several of them in two ways, one with a
//! Cyrillic letter that looks like ours (smartpay.md, section 1).
//!
//! What nobody asks for is skipped and never kept: much of it is about persons.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::provider::lenient::{Objects, Scalar, Written};

#[derive(Default)]
pub struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// `key` in lower case, without what joins words. The first that is not null counts.
    pub fn raw(&self, key: &str) -> Option<&'a RawValue> {
        let is_told = |(name, value): &&(String, &'a RawValue)| name == key && value.get() != "null";
        self.0.iter().find(is_told).map(|(_, value)| *value)
    }

    fn read<T: Deserialize<'a> + Default>(&self, key: &str) -> T {
        self.raw(key).and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or_default()
    }

    pub fn scalar(&self, key: &str) -> Scalar<'a> {
        self.read(key)
    }

    pub fn text(&self, key: &str) -> Option<String> {
        self.scalar(key).text().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The same, if it is no longer than so many bytes: what was cut would be another name.
    pub fn name(&self, key: &str, longest: usize) -> Option<String> {
        self.text(key).filter(|name| name.len() <= longest)
    }

    pub fn instant(&self, key: &str, now: Timestamp) -> Option<Timestamp> {
        self.scalar(key).instant(now)
    }

    /// Digit by digit as it is written.
    pub fn written(&self, key: &str) -> Option<String> {
        self.read::<Written>(key).into_text()
    }

    pub fn objects(&self, key: &str) -> Objects<Self> {
        self.read(key)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((key, value)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    fields.push((plain(&key), value));
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Object).map(Self)
    }
}

/// Without case and what joins words; a Cyrillic A is an A.
pub fn plain(word: &str) -> String {
    let latin = |c: char| if matches!(c, '\u{410}' | '\u{430}') { 'a' } else { c };
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).map(latin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_in_any_spelling_and_the_first_that_is_told_counts() {
        let json = "{\"paid\u{410}t\": null, \"PaidAt\": \"x\", \"paid_at\": \"y\", \"amount\": 10.00, \"b\": {\"id\": 7}, \"l\": [{}, 3]}";
        let fields: Fields<'_> = serde_json::from_str(json).unwrap();
        assert_eq!(fields.text("paidat").as_deref(), Some("x"));
        assert_eq!(fields.written("amount").as_deref(), Some("10.00"));
        let list = fields.objects("l");
        assert_eq!((list.all.len(), list.has_odd), (1, true));
        assert!(fields.text("b").is_none() && fields.text("none").is_none());
        let cyrillic: Fields<'_> = serde_json::from_str("{\"paid\u{410}t\": \"z\"}").unwrap();
        assert_eq!(cyrillic.text("paidat").as_deref(), Some("z"));
    }
}
