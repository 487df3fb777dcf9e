//! What the provider of these tests lists, honestly or not.

use serde_json::{Value, json};

/// Rows with `id`, `changed` and what else a look tells.
#[derive(Default)]
pub struct Lists {
    pub rows: Vec<Value>,
    /// Rows of a page; 0: all of them.
    pub size: usize,
    pub lies: Vec<Lie>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lie {
    /// This way of listing.
    Refused(&'static str),
    IgnoresSort,
    IgnoresFilter,
    /// Every page is the first.
    Repeats,
    /// There is always another page, with nobody on it.
    EndlessAndEmpty,
    /// Each page tells of fewer pages.
    Shrinks,
    /// From this page of this way on it does not answer.
    Fails(&'static str, usize),
}

impl Lists {
    pub fn page(&self, way: &str, query: &str) -> (u16, Value) {
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let number: usize = value("page").unwrap().parse().unwrap();
        let changed = |row: &Value| row["changed"].as_i64().unwrap();
        let mut rows = self.rows.clone();
        let lies = |lie: Lie| self.lies.contains(&lie);
        if self.lies.iter().any(|lie| matches!(lie, Lie::Refused(refused) if *refused == way)) {
            return (403, Value::Null);
        }
        if self.lies.iter().any(|lie| matches!(lie, Lie::Fails(failing, from) if *failing == way && number >= *from)) {
            return (500, Value::Null);
        }
        match way {
            "sorted" if !lies(Lie::IgnoresSort) => rows.sort_by_key(|row| -changed(row)),
            "recent" if !lies(Lie::IgnoresFilter) => {
                let since: i64 = value("since").map_or(0, |since| since.parse().unwrap());
                rows.retain(|row| changed(row) >= since);
            }
            _ => {}
        }
        let size = if self.size == 0 { rows.len().max(1) } else { self.size };
        let pages = rows.len().div_ceil(size).max(1);
        let shown = if lies(Lie::Repeats) { 0 } else { number };
        let page: Vec<_> = rows.into_iter().skip(shown * size).take(size).collect();
        let page = if lies(Lie::EndlessAndEmpty) { Vec::new() } else { page };
        let is_endless = lies(Lie::Repeats) || lies(Lie::EndlessAndEmpty);
        let told = if lies(Lie::Shrinks) { pages.saturating_sub(number) } else { pages };
        let (more, told) = (is_endless || number + 1 < pages, (!is_endless).then_some(told));
        (200, json!({"rows": page, "next": more.then(|| (number + 1).to_string()), "pages": told}))
    }
}
