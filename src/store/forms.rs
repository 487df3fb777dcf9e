//! How the words and instants of others stand in a column.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, Null, ToSqlOutput, ValueRef};

use crate::call::Name as Call;
use crate::clock::Timestamp;
use crate::delivery::{Occasion, OfferState, Warning};
use crate::life::Life;
use crate::renewal::walk::{End, What};
use crate::renewal::ways::Trust;
use crate::renewal::{Outcome, Pace, State};
use crate::store::operate::OrderState;

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

sql_forms!(Call, End, Life, Occasion, OfferState, OrderState, Outcome, Pace, State, Trust, What);

/// As a list of JSON; NULL where there are none.
pub(super) struct Warnings<T>(pub T);

impl ToSql for Warnings<&Vec<Warning>> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let is_any = !self.0.is_empty();
        Ok(is_any.then(|| serde_json::json!(self.0).to_string()).map_or(ToSqlOutput::from(Null), ToSqlOutput::from))
    }
}

impl FromSql for Warnings<Vec<Warning>> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let Some(text) = value.as_str_or_null()? else { return Ok(Self(Vec::new())) };
        let names: Vec<&str> = serde_json::from_str(text).map_err(|error| FromSqlError::Other(error.into()))?;
        let warnings = names.into_iter().map(str::parse).collect::<Result<_, String>>();
        warnings.map(Self).map_err(|error| FromSqlError::Other(error.into()))
    }
}

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
