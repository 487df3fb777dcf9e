//! Lists as the API pages them (digital-river.md, section 1): what a page holds, and where the list goes on.

use serde::Deserialize;

use crate::provider::lenient::{Objects, Scalar};
use crate::provider::{Error, body};

/// The most that the API puts on a page.
pub const ROWS_A_PAGE: usize = 100;

/// One page of a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "T: Deserialize<'de>"))]
pub struct Page<'a, T> {
    #[serde(borrow)]
    has_more: Scalar<'a>,
    pub data: Objects<T>,
}

impl<T> Default for Page<'_, T> {
    fn default() -> Self {
        Self { has_more: Scalar::Absent, data: Objects::default() }
    }
}

impl<'a, T: Deserialize<'a>> Page<'a, T> {
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let page: Self = body::parse(bytes)?;
        if page.data.has_odd || !page.data.is_list {
            return Err(body::unreadable("no list of objects"));
        }
        Ok(page)
    }

    /// `last`: the id of its last row. A page that is told to be followed by another and is full goes on; the order of rows is not
    /// documented.
    pub fn next(&self, last: Option<String>) -> Option<String> {
        (self.has_more.flag() == Some(true)).then_some(last).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Item {}

    #[test]
    fn a_page_is_followed_where_it_says_so_and_has_a_last_row() {
        let next = |json: &str, last: Option<&str>| {
            Page::<Item>::read(json.as_bytes()).map(|page| page.next(last.map(str::to_owned))).map_err(|_| ())
        };
        assert_eq!(next(r#"{"hasMore": true, "data": [{}]}"#, Some("7")), Ok(Some("7".to_owned())));
        assert_eq!(next(r#"{"hasMore": "true", "data": [{}]}"#, Some("7")), Ok(Some("7".to_owned())));
        assert_eq!(next(r#"{"hasMore": true, "data": []}"#, None), Ok(None));
        assert_eq!(next(r#"{"hasMore": false, "data": [{}]}"#, Some("7")), Ok(None));
        assert_eq!(next(r#"{"data": [{}]}"#, Some("7")), Ok(None));
        for json in ["{}", r#"{"data": null}"#, r#"{"data": {}}"#, r#"{"data": ["a"]}"#, "7", "[{}]", ""] {
            assert_eq!(next(json, None), Err(()), "{json}");
        }
    }
}
