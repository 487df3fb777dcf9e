//! Lists as the API pages them (smartpay.md, section 1): what a page holds, and whether it is the last.

use std::collections::HashSet;

use super::fields::Fields;
use crate::provider::lenient::Objects;
use crate::provider::{Error, body};

/// Rows on a page, as we ask for; how many there may be is not documented.
pub const ROWS: usize = 100;

#[derive(Default)]
pub struct Page<'a> {
    number: Option<i64>,
    size: Option<i64>,
    pub count: Option<i64>,
    pub pages: Option<i64>,
    pub rows: Vec<Fields<'a>>,
}

impl<'a> Page<'a> {
    /// A page, or a list that comes without one and is whole.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        if body::is_list(bytes) {
            let rows = rows(body::parse_list(bytes)?)?;
            return Ok(Self { pages: Some(1), rows, ..Self::default() });
        }
        let page: Fields<'_> = body::parse(bytes)?;
        let number = |key: &str| page.scalar(key).integer();
        Ok(Self {
            number: number("page"),
            size: number("pagesize"),
            count: number("count"),
            pages: number("totalpages"),
            rows: rows(page.objects("data"))?,
        })
    }

    fn size(&self) -> usize {
        self.size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0).unwrap_or(ROWS)
    }

    /// Whether nothing follows this page, the `asked`-th from 0.
    pub fn is_last(&self, asked: usize) -> bool {
        let next = i64::try_from(asked).unwrap_or(i64::MAX).saturating_add(1);
        let is_past = self.pages.map_or(self.rows.len() < self.size(), |pages| next >= pages);
        self.rows.is_empty() || is_past || self.is_another(asked)
    }

    /// Whether it has another number than was asked for: a server that ignores the number would send this page for ever.
    pub fn is_another(&self, asked: usize) -> bool {
        self.number.is_some_and(|number| usize::try_from(number) != Ok(asked))
    }

    /// Whether there are rows on it by its own word, and it shows none.
    pub fn is_hollow(&self, asked: usize) -> bool {
        let before = i64::try_from(asked.saturating_mul(self.size())).unwrap_or(i64::MAX);
        self.rows.is_empty() && self.count.is_some_and(|count| count > before)
    }

    /// How many pages hold so many rows.
    pub fn pages_of(&self, rows: i64) -> usize {
        usize::try_from(rows).unwrap_or(0).div_ceil(self.size())
    }
}

fn rows(rows: Objects<Fields<'_>>) -> Result<Vec<Fields<'_>>, Error> {
    match rows.is_list && !rows.has_odd {
        true => Ok(rows.all),
        false => Err(body::unreadable("no list of objects")),
    }
}

/// The rows of the pages that were read, each once: what is added while a list is read moves the others on.
pub struct Rows<T> {
    pub all: Vec<T>,
    seen: HashSet<String>,
    /// All that there are, as far as can be told.
    pub is_whole: bool,
    /// It counts more than it has shown.
    pub is_short: bool,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { all: Vec::new(), seen: HashSet::new(), is_whole: false, is_short: false }
    }
}

impl<T> Rows<T> {
    /// Takes a page in; whether the list ends with it.
    pub fn take(&mut self, page: Page<'_>, asked: usize, row: impl Fn(&Fields<'_>) -> Option<(String, T)>) -> bool {
        let is_last = page.is_last(asked);
        let (is_another, is_short) = (page.is_another(asked), page.rows.len() < page.size());
        let mut is_odd = false;
        for fields in &page.rows {
            match row(fields) {
                Some((id, row)) if self.seen.insert(id.to_ascii_lowercase()) => self.all.push(row),
                Some(_) => {}
                None => is_odd = true,
            }
        }
        // Where all of it stands on one page, a count that disagrees proves nothing; over several it is what tells that a row has slipped
        // from one to the other between them.
        let is_all_on_this = asked == 0 && is_short && !page.rows.is_empty();
        let is_counted = page.count.is_none_or(|count| i64::try_from(self.seen.len()).is_ok_and(|seen| seen >= count));
        self.is_short = !is_counted;
        self.is_whole = is_last && !is_another && !is_odd && (is_all_on_this || is_counted);
        is_last || is_odd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many rows were read of these pages, and whether that is all.
    fn read(pages: &[&str]) -> (usize, bool) {
        let mut rows = Rows::default();
        for (asked, page) in pages.iter().enumerate() {
            let page = Page::read(page.as_bytes()).unwrap();
            if rows.take(page, asked, |row| Some((row.text("id")?, ()))) {
                return (rows.all.len(), rows.is_whole);
            }
        }
        (rows.all.len(), rows.is_whole)
    }

    #[test]
    fn a_list_is_whole_when_all_that_it_counts_were_seen() {
        let one = r#"{"page": 0, "pageSize": 2, "count": 3, "totalPages": 2, "data": [{"id": "a"}, {"id": "b"}]}"#;
        let other =
            |rows: &str| format!(r#"{{"page": 1, "pageSize": 2, "count": 3, "totalPages": 2, "data": {rows}}}"#);
        assert_eq!(read(&[one, &other(r#"[{"id": "c"}]"#)]), (3, true));
        assert_eq!(read(&[one, &other(r#"[{"id": "B"}, {"id": "c"}]"#)]), (3, true), "moved on meanwhile");
        assert_eq!(read(&[one, &other(r#"[{"id": "b"}]"#)]), (2, false), "one was missed");
        assert_eq!(read(&[one, &other("[]")]), (2, false));
        assert_eq!(read(&[one, one]), (2, false), "the same page again");
        assert_eq!(read(&[one]), (2, false));
    }

    #[test]
    fn a_single_page_needs_no_count() {
        for (page, expected) in [
            (r#"{"data": [{"id": "a"}]}"#, (1, true)),
            (r#"{"page": "0", "pageSize": "10", "count": 7, "totalPages": 1, "data": [{"id": "a"}]}"#, (1, true)),
            (r#"{"count": 7, "data": []}"#, (0, false)),
            (r#"{"count": 0, "totalPages": 0, "data": []}"#, (0, true)),
            (r#"{"data": []}"#, (0, true)),
            (r#"[{"id": "a"}]"#, (1, true)),
            (r#"{"data": [{"id": "a"}, {"x": 1}]}"#, (1, false)),
            (r#"{"page": 3, "data": [{"id": "a"}]}"#, (1, false)),
        ] {
            assert_eq!(read(&[page]), expected, "{page}");
        }
        for page in ["{}", r#"{"data": null}"#, r#"{"data": {}}"#, r#"{"data": ["a"]}"#, "7", "", "[1]"] {
            assert!(Page::read(page.as_bytes()).is_err(), "{page}");
        }
    }
}
