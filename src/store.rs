//! The store: everything which must survive a restart, and every SQL statement.
//!
//! Three rooms. `work` holds what goes on by itself: what is due, what came of it, what is sent. `operate` holds what
//! people ask and order. `sqlite` is the database they work on, and the only one of them that knows of files, locks and
//! pragmas. The statements are each beside the method that runs it; decisions are elsewhere. `rows` says which columns make
//! which type.

mod error;
#[cfg(test)]
pub(crate) mod fixtures;
mod forms;
mod operate;
mod outage;
mod rows;
mod sqlite;
mod work;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

pub use error::Error;
pub use operate::{
    Alert, AlertChange, Answers, Awaited, Begun, Clash, Discovered, Discovery, DispatchCounts, DispatchRow, DueCounts,
    Exported, ForgottenRow, Group, Heard, Identity, LastFailure, LastWarned, Late, Leeway, ListFilter, Listed, Locked,
    MessageRow, Metadata, Named, NewOrder, NewSubscription, Odd, OpenOrders, OrderState, Paused, PlacedOrder,
    PurgeFilter, Purgeable, QueueDepth, QueueFilter, Raised, RenewalDay, RenewalRow, RenewalsDue, Resealed, Retried,
    ShopCall, SubscriptionRow, Tracked, counted, counts_of,
};
pub use outage::{PROBE_EVERY, tend};
pub use sqlite::{Copy, Erased, Incoming, InstanceLock, Standing, verify, verify_copy};
pub use work::{
    Attempt, BreakerState, DuePage, DueRenewal, FeedRow, FeedState, Leased, MOST_BODY_BYTES, Mark, Moved, NOBODY_ASKS,
    NewMessage, Order, PageRecord, PollRecord, ProviderTrouble, Purged, Reached, Recorded, Settled, Settlement,
    SinkState, SlowedState, StoppedTerritory, Stranger, Take, Why, WithWarnings,
};

pub use crate::renewal::Subscription;
use crate::vault::Vault;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How the file is opened.
#[derive(Debug)]
pub enum Access {
    /// `run` and `once`: held with the instance lock, which lives as long as the store.
    Instance(InstanceLock),
    /// A command beside them.
    Command,
    /// The same, where there is nothing to do without a database: none is created.
    Existing,
}

/// A cheap handle to the open store; clones share it. All of them dropped, or [`Store::close`], closes the database.
#[derive(Clone, Debug)]
pub struct Store {
    database: sqlite::Database,
    vault: Arc<Vault>,
    outage: Arc<outage::Outage>,
}

impl Store {
    /// Opens the store, creating or migrating the file where that is allowed (design section 5). The setup lock is held
    /// meanwhile; `user_version` is looked at before anything is changed.
    pub fn open(path: &Path, access: Access) -> Result<Self> {
        Ok(Self::of(sqlite::Database::open(path, access)?))
    }

    /// Stands in for a database that does not exist yet, for those who only read: an empty one in memory. `path` is only
    /// its name; nothing is looked for or created there.
    pub fn empty(path: &Path) -> Result<Self> {
        Ok(Self::of(sqlite::Database::in_memory(path)?))
    }

    /// What a backup holds, before it takes the database's place.
    pub fn look(incoming: &Incoming) -> Result<Self> {
        Ok(Self::of(sqlite::Database::immutable(incoming.path())?))
    }

    fn of(database: sqlite::Database) -> Self {
        Self { database, vault: Arc::new(Vault::without_key()), outage: Arc::default() }
    }

    /// With the keys for payloads. Whoever neither queues, hands out nor shows them needs none.
    pub fn with_vault(self, vault: Vault) -> Self {
        Self { vault: Arc::new(vault), ..self }
    }

    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    pub fn path(&self) -> &Path {
        self.database.path()
    }

    /// The same store with a reading connection of its own: its long queries hold up nobody else's.
    pub fn beside(&self) -> Result<Self> {
        Ok(Self { database: self.database.beside()?, ..self.clone() })
    }

    /// Waits until everything queued is committed and both connections are closed.
    pub async fn close(self) {
        self.database.close().await;
    }

    /// Changes whenever another connection has committed something: another process, never ourselves.
    pub async fn data_version(&self) -> Result<i64> {
        self.database.data_version().await
    }

    /// Writes and syncs one page that stays as it is: whether the disk takes anything at all.
    pub async fn probe_write(&self) -> Result<()> {
        self.database.probe_write().await
    }

    /// The size of the database as it sees itself, without its log.
    pub async fn bytes(&self) -> Result<i64> {
        self.database.bytes().await
    }

    /// Makes sure that no byte is left in the database and its log of what was removed before. Nobody else can write meanwhile.
    pub async fn erase(&self) -> Result<Erased> {
        self.database.erase().await
    }

    /// Copies the database to a new file of mode 0600, as it is at one moment. The file has its name only once it is whole and
    /// on the disk; one that exists is left alone (`AlreadyExists` in [`Error::File`]).
    pub async fn backup(&self, to: PathBuf) -> Result<()> {
        self.database.copy(to).await
    }

    /// Runs `unit` in the next transaction, alone in a savepoint, and returns once that transaction is on disk. An error
    /// undoes this unit and no other.
    async fn write<T: Send + 'static>(
        &self,
        unit: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.database.write(unit).await
    }

    /// Runs `query` on the reading connection. It sees what is committed, nothing of an open transaction.
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.database.read(query).await
    }
}

#[cfg(test)]
mod tests;
