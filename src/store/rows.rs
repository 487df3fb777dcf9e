//! Rows, read by name: for each type the columns of its SELECT and the reader of exactly these come from one list.
//!
//! What the tables hold is listed in the file below; what a single statement counts or sums, beside it. A value's place is that of
//! its name in the list, so no name is looked up while rows are read.

mod tables;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, ToSql};
use uuid::Uuid;

use super::Result;
use crate::vault::Stored;

/// What is made of a row.
pub(super) trait Columns: Sized {
    /// As they stand behind SELECT.
    const COLUMNS: &'static str;

    /// Reads them from this place on, and moves it behind them.
    fn read_from(row: &Row<'_>, at: &mut usize) -> rusqlite::Result<Self>;

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Self::read_from(row, &mut 0)
    }
}

/// Values by the names in their statement.
type Values<'a> = &'a [(&'a str, &'a dyn ToSql)];

/// `SELECT`, the columns of `T`, and `rest`.
pub(super) fn select<'a, T: Columns>(db: &'a Connection, rest: &str) -> Result<CachedStatement<'a>> {
    Ok(db.prepare_cached(&format!("SELECT {} {rest}", T::COLUMNS))?)
}

pub(super) fn all<T: Columns>(db: &Connection, rest: &str, named: Values<'_>) -> Result<Vec<T>> {
    let mut statement = select::<T>(db, rest)?;
    let rows = statement.query_map(named, T::read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn first<T: Columns>(db: &Connection, rest: &str, named: Values<'_>) -> Result<Option<T>> {
    Ok(select::<T>(db, rest)?.query_row(named, T::read).optional()?)
}

/// For what finds a row in any case.
pub(super) fn only<T: Columns>(db: &Connection, rest: &str, named: Values<'_>) -> Result<T> {
    Ok(select::<T>(db, rest)?.query_row(named, T::read)?)
}

/// The single value of a query that finds one in any case.
pub(super) fn value<T: FromSql>(db: &Connection, query: &str, named: Values<'_>) -> Result<T> {
    Ok(db.prepare_cached(query)?.query_row(named, |row| row.get(0))?)
}

pub(super) fn exists(db: &Connection, query: &str, named: Values<'_>) -> Result<bool> {
    Ok(db.prepare_cached(query)?.exists(named)?)
}

pub(super) fn next<T: FromSql>(row: &Row<'_>, at: &mut usize) -> rusqlite::Result<T> {
    let value = row.get(*at)?;
    *at += 1;
    Ok(value)
}

/// How long these are with a comma and a space between any two.
pub(super) const fn joined_length(parts: &[&str]) -> usize {
    let (mut length, mut part) = (0, 0);
    while part < parts.len() {
        length += parts[part].len() + 2;
        part += 1;
    }
    length - 2
}

pub(super) const fn joined<const LENGTH: usize>(parts: &[&str]) -> [u8; LENGTH] {
    let mut text = [b' '; LENGTH];
    let (mut end, mut part) = (0, 0);
    while part < parts.len() {
        if part > 0 {
            text[end] = b',';
            end += 2;
        }
        let (bytes, mut at) = (parts[part].as_bytes(), 0);
        while at < bytes.len() {
            text[end] = bytes[at];
            (end, at) = (end + 1, at + 1);
        }
        part += 1;
    }
    text
}

/// `field = "column"`, an expression of SQL and perhaps what is made of it; `field: Type`, the columns of another list; and
/// `field = { Type { .. } }`, a part that has no list of its own. Fields are read in the order in which they stand.
macro_rules! rows {
    ($($type:ty { $($field:ident $kind:tt $from:tt $(=> $made:expr)?),+ $(,)? })+) => {$(
        impl $crate::store::rows::Columns for $type {
            const COLUMNS: &'static str = {
                const PARTS: &[&str] = &[$($crate::store::rows::rows!(@columns $kind $from)),+];
                const TEXT: [u8; $crate::store::rows::joined_length(PARTS)] = $crate::store::rows::joined(PARTS);
                match std::str::from_utf8(&TEXT) {
                    Ok(text) => text,
                    Err(_) => panic!("parts of text, joined by text"),
                }
            };

            fn read_from(row: &rusqlite::Row<'_>, at: &mut usize) -> rusqlite::Result<Self> {
                Ok(Self { $($field: $crate::store::rows::rows!(@read row at $kind $from $(=> $made)?)),+ })
            }
        }
    )+};
    (@columns = { $type:ident { $first:ident = $column:literal $(, $field:ident = $more:literal)* } }) => {
        concat!($column $(, ", ", $more)*)
    };
    (@columns = $column:literal) => { $column };
    (@columns : $type:ident) => { <$type as $crate::store::rows::Columns>::COLUMNS };
    (@read $row:ident $at:ident = { $type:ident { $($field:ident = $column:literal),+ } }) => {
        $type { $($field: $crate::store::rows::next($row, $at)?),+ }
    };
    (@read $row:ident $at:ident = $column:literal) => { $crate::store::rows::next($row, $at)? };
    (@read $row:ident $at:ident = $column:literal => $made:expr) => { ($made)($crate::store::rows::next($row, $at)?) };
    (@read $row:ident $at:ident : $type:ident) => {
        <$type as $crate::store::rows::Columns>::read_from($row, $at)?
    };
}
pub(super) use rows;

/// A payload as it lies in the database.
pub(super) type Body = Stored<'static>;

/// An id that we wrote ourselves.
pub(super) struct Id(pub Uuid);

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Uuid::parse_str(value.as_str()?).map(Self).map_err(|error| FromSqlError::Other(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pair {
        left: i64,
        right: Inner,
        last: String,
    }

    struct Inner {
        one: i64,
        two: Option<i64>,
    }

    rows! {
        Pair { left = "1 + 1", right: Inner, last = "'x'" => |text: String| text + "y" }

        Inner { one = "3", two = "NULL" }
    }

    #[test]
    fn a_list_within_a_list_is_read_where_it_stands() {
        assert_eq!(Pair::COLUMNS, "1 + 1, 3, NULL, 'x'");
        let db = Connection::open_in_memory().unwrap();
        let pair: Pair = only(&db, "WHERE true", &[]).unwrap();
        assert_eq!((pair.left, pair.right.one, pair.right.two, pair.last.as_str()), (2, 3, None, "xy"));
        assert!(first::<Inner>(&db, "WHERE false", &[]).unwrap().is_none());
    }
}
