//! JSON values that may come as another type than the reference says (nexway-connect.md, section 9).
//!
//! What a wrong value means for the answer as a whole is decided by who reads it.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::provider::times;

/// A string or a number, whichever was sent.
#[derive(Debug, Default)]
pub enum Scalar<'a> {
    /// Missing or null.
    #[default]
    Absent,
    Text(Cow<'a, str>),
    Integer(i64),
    Float(f64),
    Flag(bool),
    /// Anything else: its content is dropped.
    Odd,
}

/// A result code that is there but is no whole number.
#[derive(Debug)]
pub struct OddCode;

impl Scalar<'_> {
    /// As it was sent; a number as it is written. An empty string is nothing.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text.clone().into_owned()),
            Self::Integer(number) => Some(number.to_string()),
            Self::Float(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// A whole number, however it is written, or a string of one.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Float(number) => whole(*number),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// Missing, null or empty: not so a value that is no number.
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Absent => true,
            Self::Text(text) => text.trim().is_empty(),
            _ => false,
        }
    }

    pub fn flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            Self::Text(text) => text.trim().to_ascii_lowercase().parse().ok(),
            _ => None,
        }
    }

    pub fn decimal(&self) -> Option<f64> {
        let number = match self {
            Self::Integer(number) => *number as f64,
            Self::Float(number) => *number,
            Self::Text(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    /// Unlike elsewhere a wrong type matters: taken for missing, a failure would look like a success.
    pub fn code(&self) -> Result<Option<i64>, OddCode> {
        match self {
            _ if self.is_absent() => Ok(None),
            _ => self.integer().map(Some).ok_or(OddCode),
        }
    }

    /// An instant in any of the forms of section 9, told at `now`.
    pub fn instant(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Integer(number) => times::unix(*number, now),
            Self::Float(number) => times::unix(*number as i64, now),
            Self::Text(text) => times::written(text, now),
            _ => None,
        }
    }
}

/// `1.0` is 1; beyond 2^53 a float no longer tells one whole number from the next.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor(PhantomData))
    }
}

struct ScalarVisitor<'a>(PhantomData<&'a str>);

impl<'de: 'a, 'a> Visitor<'de> for ScalarVisitor<'a> {
    type Value = Scalar<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar<'a>, E> {
        Ok(i64::try_from(number).map_or(Scalar::Odd, Scalar::Integer))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Float(number))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Flag(flag))
    }

    fn visit_unit<E>(self) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scalar<'a>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Odd)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Scalar<'a>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Odd)
    }
}

/// A list that may be missing, null or, as XML turned into JSON has it, an empty string or object. Anything else is an error: it
/// might hold a key. Null elements are skipped.
#[derive(Debug)]
pub struct List<T>(pub Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData)).map(Self)
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element::<Option<T>>()? {
            elements.extend(element);
        }
        Ok(elements)
    }

    fn visit_unit<E>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<T>, E> {
        if text.trim().is_empty() { Ok(Vec::new()) } else { Err(E::custom("text instead of a list")) }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Vec<T>, A::Error> {
        match object.next_entry::<IgnoredAny, IgnoredAny>()? {
            None => Ok(Vec::new()),
            Some(_) => Err(A::Error::custom("an object instead of a list")),
        }
    }
}

/// An object that nothing important depends on: whatever else is sent counts as missing.
#[derive(Debug)]
pub struct Lenient<T>(pub Option<T>);

impl<T> Default for Lenient<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        Ok(Self(raw.starts_with('{').then(|| serde_json::from_str(raw).ok()).flatten()))
    }
}

/// An object whose own values are as lenient as this.
#[derive(Debug, Default)]
pub enum Object<T> {
    /// Missing or null.
    #[default]
    Absent,
    Of(T),
    /// Anything else: its content is dropped.
    Odd,
}

impl<T> Object<T> {
    pub fn into_option(self) -> Option<T> {
        match self {
            Self::Of(object) => Some(object),
            Self::Absent | Self::Odd => None,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(object)).map(Object::Of)
    }

    fn visit_unit<E>(self) -> Result<Object<T>, E> {
        Ok(Object::Absent)
    }

    fn visit_str<E>(self, _: &str) -> Result<Object<T>, E> {
        Ok(Object::Odd)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Object<T>, E> {
        Ok(Object::Odd)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Object<T>, E> {
        Ok(Object::Odd)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Object<T>, E> {
        Ok(Object::Odd)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Object<T>, E> {
        Ok(Object::Odd)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Object<T>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Object::Odd)
    }
}

/// A list of objects. Null elements are skipped.
#[derive(Debug)]
pub struct Objects<T> {
    pub all: Vec<T>,
    /// A list was sent, though perhaps an empty one.
    pub is_list: bool,
    /// Something was sent that is neither a list nor, in it, an object.
    pub has_odd: bool,
}

impl<T> Default for Objects<T> {
    fn default() -> Self {
        Self { all: Vec::new(), is_list: false, has_odd: false }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Objects<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectsVisitor(PhantomData))
    }
}

struct ObjectsVisitor<T>(PhantomData<T>);

impl<T> ObjectsVisitor<T> {
    fn odd() -> Objects<T> {
        Objects { has_odd: true, ..Objects::default() }
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectsVisitor<T> {
    type Value = Objects<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Objects<T>, A::Error> {
        let mut objects = Objects { is_list: true, ..Objects::default() };
        while let Some(element) = list.next_element::<Object<T>>()? {
            match element {
                Object::Of(object) => objects.all.push(object),
                Object::Absent => {}
                Object::Odd => objects.has_odd = true,
            }
        }
        Ok(objects)
    }

    fn visit_unit<E>(self) -> Result<Objects<T>, E> {
        Ok(Objects::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Objects<T>, E> {
        Ok(Self::odd())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Objects<T>, E> {
        Ok(Self::odd())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Objects<T>, E> {
        Ok(Self::odd())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Objects<T>, E> {
        Ok(Self::odd())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Objects<T>, E> {
        Ok(Self::odd())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Objects<T>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::odd())
    }
}

/// Text, or a number with every digit as it is written.
#[derive(Debug, Default)]
pub enum Written {
    /// Missing or null.
    #[default]
    Absent,
    Text(String),
    /// Anything else.
    Odd,
}

impl Written {
    /// What is there to be read; an empty text is nothing.
    pub fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        Ok(match raw.as_bytes() {
            [b'"', ..] => serde_json::from_str(raw).map_or(Self::Odd, Self::Text),
            [b'-' | b'0'..=b'9', ..] => Self::Text(raw.to_owned()),
            b"null" => Self::Absent,
            _ => Self::Odd,
        })
    }
}

/// A serial's data: what is neither text nor number is an error, because a key would be lost.
#[derive(Default)]
pub struct SerialData(pub String);

impl<'de> Deserialize<'de> for SerialData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Text(data) => Ok(Self(data)),
            Written::Absent => Ok(Self::default()),
            Written::Odd => Err(D::Error::custom("serial data is neither text nor number")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_600_000_000); // 2020-09-13T12:26:40Z

    fn scalar(json: &str) -> Scalar<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn numbers_come_as_numbers_or_text() {
        for (json, expected) in [
            ("5", Some(5)),
            ("\"5\"", Some(5)),
            ("\" 5 \"", Some(5)),
            ("-1", Some(-1)),
            ("\"12.0\"", None),
            ("12.0", Some(12)),
            ("-0.0", Some(0)),
            ("12.5", None),
            ("1e18", None),
            ("\"\"", None),
            ("null", None),
            ("true", None),
            ("[5]", None),
            ("{\"a\": 5}", None),
            ("18446744073709551615", None),
            ("99999999999999999999999", None),
        ] {
            assert_eq!(scalar(json).integer(), expected, "{json}");
        }
        assert_eq!(scalar("\"1906.39\"").decimal(), Some(1906.39));
        assert_eq!(scalar("\"NaN\"").decimal(), None);
        assert_eq!(scalar("2").decimal(), Some(2.0));
    }

    #[test]
    fn a_code_of_another_type_is_not_a_missing_code() {
        assert!(matches!(scalar("null").code(), Ok(None)));
        assert!(matches!(scalar("\"\"").code(), Ok(None)));
        assert!(matches!(scalar("\"17\"").code(), Ok(Some(17))));
        for json in ["\"E1\"", "true", "[]", "{}", "0.5"] {
            assert!(scalar(json).code().is_err(), "{json}");
        }
    }

    #[test]
    fn dates_come_in_many_forms() {
        let at = Some(Timestamp::from_unix(1_516_286_421)); // 2018-01-18T14:40:21Z
        for json in [
            "\"2018-01-18T15:40:21+01:00\"",
            "\"2018-01-18T15:40:21+0100\"",
            "\"2018-01-18T14:40:21.123Z\"",
            "\"2018-01-18T14:40:21.123+0000\"",
            "\"2018-01-18 15:40:21+01:00\"",
            "\"2018-01-18 14:40:21\"",
            "\"2018-01-18 14:40:21 UTC\"",
            "\" 2018-01-18T14:40:21 \"",
            "1516286421",
            "1516286421000",
            "1516286421.0",
            "\"1516286421\"",
            "\"1516286421999\"",
        ] {
            assert_eq!(scalar(json).instant(NOW), at, "{json}");
        }
        let midnight = Some(Timestamp::from_unix(1_516_233_600));
        assert_eq!(scalar("\"2018-01-18\"").instant(NOW), midnight);
        assert_eq!(scalar("\"20180118\"").instant(NOW), midnight);
        let odd = [
            "\"\"",
            "\"soon\"",
            "\"0000-00-00 00:00:00\"",
            "0",
            "-5",
            "true",
            "[1]",
            "\"2018-13-45\"",
            "\"99999999999999999999\"",
        ];
        for json in odd {
            assert_eq!(scalar(json).instant(NOW), None, "{json}");
        }
        assert_eq!(scalar("9e300").instant(NOW), None);
    }

    #[test]
    fn lists_may_be_nothing_in_several_ways() {
        for json in ["[]", "null", "\"\"", "{}", "[null]"] {
            assert!(serde_json::from_str::<List<i64>>(json).unwrap().0.is_empty(), "{json}");
        }
        assert_eq!(serde_json::from_str::<List<i64>>("[1,null,2]").unwrap().0, [1, 2]);
        for json in ["{\"a\":1}", "\"x\"", "1", "[\"x\"]", "true"] {
            assert!(serde_json::from_str::<List<i64>>(json).is_err(), "{json}");
        }
    }
}
