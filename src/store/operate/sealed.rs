//! Which payloads are encrypted, and with which key: what cannot be opened, and encrypting anew.

use std::fmt;

use rusqlite::{Connection, named_params};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::store::rows::{self, Body, Columns, Id, rows};
use crate::store::work::messages::mark_damaged;
use crate::store::{Result, Store};
use crate::text::number_of;
use crate::vault::{self, Stored, Vault};

/// Messages encrypted anew in one transaction, and about how many bytes of them.
const STEP: usize = 100;
const STEP_BYTES: usize = 16 << 20;

/// Messages that wait for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    pub key_id: String,
    pub dispatches: i64,
}

impl fmt::Display for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key_id, dispatches } = self;
        let wait = if *dispatches == 1 { "waits" } else { "wait" };
        write!(
            f,
            "{} {wait}: encrypted with key {key_id}, which neither store.encryption_key_file nor \
             store.encryption_key_previous_file holds",
            number_of(*dispatches, "message")
        )
    }
}

/// What one step of encrypting anew came to.
#[derive(Clone, Debug, Default)]
pub struct Resealed {
    pub messages: usize,
    /// Left as they are: their key is not given.
    pub locked: usize,
    /// Left as they are: they do not open with their key.
    pub damaged: Vec<Uuid>,
    /// Where to go on; `None`: this was the last step.
    pub next: Option<i64>,
}

impl Store {
    /// Why messages wait for a key, one reason each; empty where none does.
    pub async fn key_trouble(&self) -> Result<Vec<String>> {
        let trouble = self.vault.trouble().map(|reason| format!("no key for payloads: {reason}"));
        let locked = self.locked().await?;
        Ok(trouble.into_iter().chain(locked.iter().map(Locked::to_string)).collect())
    }

    /// What waits for a key that is not given, by key.
    async fn locked(&self) -> Result<Vec<Locked>> {
        let vault = self.vault.clone();
        self.read(move |db| {
            let mut locked = Vec::new();
            for key_id in key_ids(db)? {
                if [vault.current_id(), vault.previous_id()].contains(&Some(&key_id)) {
                    continue;
                }
                let dispatches = rows::value(
                    db,
                    "SELECT count(*) FROM dispatches d JOIN messages m ON m.seq = d.message
                     WHERE d.state = 'pending' AND m.key_id = :key_id AND m.body IS NOT NULL",
                    named_params! { ":key_id": key_id },
                )?;
                if dispatches > 0 {
                    locked.push(Locked { key_id, dispatches });
                }
            }
            Ok(locked)
        })
        .await
    }

    /// Messages that were found damaged, the first 20: there are more only where somebody has been at the file. Wiped ones are no
    /// trouble any more.
    pub async fn damaged(&self) -> Result<Vec<Uuid>> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT id FROM messages WHERE damaged_at IS NOT NULL AND body IS NOT NULL
                 ORDER BY damaged_at, seq LIMIT 20",
            )?;
            let ids = statement.query_map([], |row| row.get(0).map(|Id(id)| id))?;
            Ok(ids.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// How many payloads are plain or under another key than the one that seals. Looks at all messages.
    pub async fn count_not_sealed(&self) -> Result<i64> {
        let vault = self.vault.clone();
        self.read(move |db| {
            let query = "SELECT count(*) FROM messages WHERE body IS NOT NULL AND key_id IS NOT :current";
            rows::value(db, query, named_params! { ":current": vault.current_id() })
        })
        .await
    }

    /// Seals the next payloads behind `after` that are plain or under another key: a few, in one transaction. What is done stays
    /// done, so that whoever dies in between begins again and finds the rest.
    pub async fn reseal(&self, after: i64, now: Timestamp) -> Result<Resealed> {
        let vault = self.vault.clone();
        self.write(move |db| reseal(db, &vault, after, now)).await
    }
}

/// The keys that payloads are sealed with: a look at the index for each, not for each message.
fn key_ids(db: &Connection) -> Result<Vec<String>> {
    let mut next = db.prepare_cached("SELECT min(key_id) FROM messages WHERE body IS NOT NULL AND key_id > :after")?;
    let mut ids: Vec<String> = Vec::new();
    let mut after = String::new();
    while let Some(id) = next.query_row(named_params! { ":after": after }, |row| row.get::<_, Option<String>>(0))? {
        ids.push(id.clone());
        after = id;
    }
    Ok(ids)
}

/// A payload to be sealed anew.
struct Payload {
    seq: i64,
    id: Uuid,
    stored: Body,
}

rows! {
    Payload { seq = "m.seq", id = "m.id" => |Id(id)| id, stored: Body }
}

fn reseal(db: &Connection, vault: &Vault, after: i64, now: Timestamp) -> Result<Resealed> {
    let mut statement = rows::select::<Payload>(
        db,
        "FROM messages m
         WHERE m.seq > :after AND m.body IS NOT NULL AND m.key_id IS NOT :current ORDER BY m.seq LIMIT :limit",
    )?;
    let mut rows = statement.query(named_params! {
        ":after": after, ":current": vault.current_id(), ":limit": STEP as i64,
    })?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while bytes < STEP_BYTES
        && let Some(row) = rows.next()?
    {
        let payload = Payload::read(row)?;
        bytes += payload.stored.body.len();
        found.push(payload);
    }
    drop(rows);
    let mut step = Resealed { next: found.last().map(|payload| payload.seq), ..Resealed::default() };
    let mut replace =
        db.prepare_cached("UPDATE messages SET key_id = :key_id, checksum = :checksum, body = :body WHERE seq = :seq")?;
    for Payload { seq, id, stored } in found {
        match vault.open(id, stored) {
            Ok(body) => {
                let Stored { key_id, checksum, body } = vault.seal(id, &body)?;
                replace.execute(named_params! {
                    ":seq": seq, ":key_id": key_id, ":checksum": checksum, ":body": body,
                })?;
                step.messages += 1;
            }
            Err(vault::Error::Damaged { .. }) => {
                mark_damaged(db, seq, now)?;
                step.damaged.push(id);
            }
            Err(vault::Error::Locked { .. }) => step.locked += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(step)
}
