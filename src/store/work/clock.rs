//! When the clock was last looked at, so that one that is far from it is not believed.

use rusqlite::{OptionalExtension, named_params};

use crate::clock::Timestamp;
use crate::store::{Result, Store};

impl Store {
    /// When the daemon last looked at the clock; `None` on a new database.
    pub async fn noted_time(&self) -> Result<Option<Timestamp>> {
        self.read(|db| Ok(db.query_row("SELECT seen_at FROM clock", [], |row| row.get(0)).optional()?)).await
    }

    /// Notes the time of the wall clock, and returns what was noted before.
    pub async fn note_time(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        self.write(move |db| {
            let before = db.query_row("SELECT seen_at FROM clock", [], |row| row.get(0)).optional()?;
            db.execute(
                "INSERT INTO clock (only, seen_at) VALUES (1, :now) ON CONFLICT (only) DO UPDATE SET seen_at = :now",
                named_params! { ":now": now },
            )?;
            Ok(before)
        })
        .await
    }

    /// As if the clock had last been looked at before all time: the next start does not believe it either.
    pub async fn forget_time(&self) -> Result<()> {
        self.note_time(Timestamp::from_unix(i64::MIN)).await.map(drop)
    }
}
