//! How the words and instants of others stand in a column.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};

use crate::clock::Timestamp;
use crate::delivery::Occasion;
use crate::life::Life;
use crate::renewal::{Outcome, Pace, State};

/// As the names that `text_forms!` gives them.
macro_rules! sql_forms {
    ($($type:ident),+ $(,)?) => {
        $(
            impl ToSql for $type {
                fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                    Ok(self.as_str().into())
                }
            }

            impl FromSql for $type {
                fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                    value.as_str()?.parse().map_err(|e: String| FromSqlError::Other(e.into()))
                }
            }
        )+
    };
}

sql_forms!(Life, Occasion, Outcome, Pace, State);

/// Unix seconds.
impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_unix().into())
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self::from_unix)
    }
}
