//! From an older file to this build's schema: numbered steps, only ever added to, in one transaction.

use rusqlite::{Connection, TransactionBehavior};

use crate::store::Result;

/// `rnwd`, in the header of every file of ours.
pub(super) const APPLICATION_ID: i32 = 0x726e_7764;

/// The version of `schema.sql`.
pub(super) const VERSION: i64 = 1;

/// `STEPS[n]` takes a file from version n + 1 to n + 2.
const STEPS: [&str; (VERSION - 1) as usize] = [];

/// Brings an empty file (0) or one of version `found` to [`VERSION`]: all of the steps, or none.
pub(super) fn migrate(db: &mut Connection, found: i64) -> Result<()> {
    if found == VERSION {
        return Ok(());
    }
    let transaction = db.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    if found == 0 {
        transaction.execute_batch(include_str!("../../../schema.sql"))?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    } else {
        for step in STEPS.iter().skip(usize::try_from(found - 1).unwrap_or(usize::MAX)) {
            transaction.execute_batch(step)?;
        }
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    // So that the header, which is looked at first, tells the version.
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}
