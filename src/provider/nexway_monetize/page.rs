//! Lists as the platform pages them (nexway-monetize.md, section 1): what a page holds, and whether it is the last.

use serde::Deserialize;

use crate::provider::Error;
use crate::provider::body;
use crate::provider::lenient::{Objects, Scalar};

/// One page of a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "T: Deserialize<'de>"))]
pub struct Page<'a, T> {
    #[serde(borrow)]
    number: Scalar<'a>,
    #[serde(borrow)]
    total_items: Scalar<'a>,
    #[serde(borrow)]
    total_pages: Scalar<'a>,
    #[serde(borrow)]
    last: Scalar<'a>,
    pub items: Objects<T>,
}

impl<T> Default for Page<'_, T> {
    fn default() -> Self {
        let [number, total_items, total_pages, last] = [const { Scalar::Absent }; 4];
        Self { number, total_items, total_pages, last, items: Objects::default() }
    }
}

impl<'a, T: Deserialize<'a>> Page<'a, T> {
    /// A page, or a list that comes without one and is whole.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let page = if body::is_list(bytes) {
            Self { items: body::parse_list(bytes)?, last: Scalar::Flag(true), ..Self::default() }
        } else {
            body::parse(bytes)?
        };
        // An empty page may say nothing else of itself.
        let says_nothing = !page.items.is_list && page.last.is_absent() && page.total_items.is_absent();
        if page.items.has_odd || says_nothing {
            return Err(body::unreadable("no list of objects"));
        }
        Ok(page)
    }

    /// How many pages there are, where that is told.
    pub fn pages(&self) -> Option<u64> {
        self.total_pages.integer().and_then(|pages| u64::try_from(pages).ok())
    }

    /// How many there are on all pages.
    pub fn total(&self) -> Option<i64> {
        self.total_items.integer()
    }

    /// Whether nothing follows this page, the `asked`-th from 0. No sign is trusted alone; another number than was asked for is that of
    /// a server that would send this page for ever.
    pub fn is_last(&self, asked: usize) -> bool {
        let asked = i64::try_from(asked).unwrap_or(i64::MAX);
        self.last.flag() == Some(true)
            || self.items.all.is_empty()
            || self.total_pages.integer().is_some_and(|pages| asked + 1 >= pages)
            || self.is_another(asked)
    }

    /// Whether it has another number than was asked for.
    pub fn is_another(&self, asked: impl TryInto<i64>) -> bool {
        self.number.integer().zip(asked.try_into().ok()).is_some_and(|(number, asked)| number != asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Item {}

    fn page(json: &str) -> Result<(usize, bool), String> {
        let page = Page::<Item>::read(json.as_bytes()).map_err(|error| error.to_string())?;
        Ok((page.items.all.len(), page.is_last(1)))
    }

    #[test]
    fn a_page_is_the_last_on_any_sign() {
        for (json, is_last) in [
            (r#"{"items": [{}]}"#, false),
            (r#"{"items": [{}], "last": false, "totalPages": 3, "number": 1}"#, false),
            (r#"{"items": [{}], "last": true, "totalPages": 9}"#, true),
            (r#"{"items": [{}], "last": "true"}"#, true),
            (r#"{"items": [{}], "last": false, "totalPages": "2"}"#, true),
            (r#"{"items": [{}], "last": false, "number": 0}"#, true),
            ("[{}]", true),
        ] {
            assert_eq!(page(json), Ok((1, is_last)), "{json}");
        }
        assert_eq!(page(r#"{"items": [], "last": false}"#), Ok((0, true)));
        for json in ["[]", r#"{"items": []}"#, r#"{"items": null, "totalItems": 0}"#] {
            assert_eq!(page(json), Ok((0, true)), "{json}");
        }
    }

    #[test]
    fn what_is_no_list_is_not_an_empty_one() {
        for json in
            ["{}", r#"{"items": null}"#, r#"{"items": {}, "last": true}"#, r#"{"items": ["a"]}"#, "7", "[1]", ""]
        {
            assert!(page(json).is_err(), "{json}");
        }
    }
}
