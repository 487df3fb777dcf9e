//! What can happen to a database file, and what it then has to come to.

use std::fs;

use fastrand::Rng;
use rusqlite::Connection;

use super::Original;
use crate::harness::Installation;

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Whatever the file still holds was worked on.
    Worked,
    /// Refused, with the advice to restore a backup.
    Damaged,
    /// Refused as not ours, or not for this build, and untouched.
    Foreign,
}

/// A place in a file, from 0 to 1.
type Place = f64;

#[derive(Clone, Debug)]
pub enum Damage {
    None,
    /// So many bits of the database.
    Flips(Vec<(Place, u8)>),
    /// A page of zeroes.
    ZeroedPage(Place),
    /// A page of noise.
    NoisyPage(Place, u64),
    /// The end of the database is missing.
    Cut(Place),
    LogFlip(Place, u8),
    LogCut(Place),
    LogZeroed,
    LogEmpty,
    LogMissing,
    Text,
    Png,
    /// Another application's SQLite file.
    OtherDatabase,
    Directory,
    NewerVersion,
}

const PAGE: usize = 4096;
/// What every PNG begins with.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0\0\0\x01\0\x08\x06\0\0\0";

impl Damage {
    /// Half of them are bits flipped, which can do anything.
    pub fn random(rng: &mut Rng) -> Self {
        let flips =
            |rng: &mut Rng, count: usize| Self::Flips((0..count).map(|_| (rng.f64(), 1 << rng.u8(..8))).collect());
        match rng.usize(..40) {
            0..14 => flips(rng, 1),
            14..18 => flips(rng, 8),
            18..20 => flips(rng, 200),
            20 => Self::ZeroedPage(rng.f64()),
            21 => Self::NoisyPage(rng.f64(), rng.u64(..)),
            22..25 => Self::Cut(rng.f64()),
            25..29 => Self::LogFlip(rng.f64(), 1 << rng.u8(..8)),
            29..31 => Self::LogCut(rng.f64()),
            31 => Self::LogZeroed,
            32 => Self::LogEmpty,
            33 => Self::LogMissing,
            34..36 => Self::Text,
            36 => Self::Png,
            37 => Self::OtherDatabase,
            38 => Self::Directory,
            _ => Self::NewerVersion,
        }
    }

    /// What the log has lost is as if it had never been done: it is found again at the provider.
    pub fn is_harmless(&self) -> bool {
        use Damage::*;
        matches!(self, None | LogFlip(..) | LogCut(_) | LogZeroed | LogEmpty | LogMissing)
    }

    pub fn must_end(&self) -> Option<End> {
        use Damage::*;
        match self {
            Text | Png | OtherDatabase | Directory | NewerVersion => Some(End::Foreign),
            _ if self.is_harmless() => Some(End::Worked),
            _ => Option::None,
        }
    }

    /// Renewals that may be lost where SQLite finds nothing wrong: every bit may be another row's.
    pub fn most_lost(&self) -> usize {
        match self {
            Self::Flips(flips) => flips.len(),
            _ => 0,
        }
    }

    /// Puts the database there, with what has become of it.
    pub fn inflict(&self, original: &Original, site: &Installation) {
        let (mut database, mut log) = (original.database.clone(), original.log.clone());
        match self {
            Self::Flips(flips) => flips.iter().for_each(|(place, bit)| flip(&mut database, *place, *bit)),
            Self::ZeroedPage(place) => page(&mut database, *place).fill(0),
            Self::NoisyPage(place, seed) => Rng::with_seed(*seed).fill(page(&mut database, *place)),
            Self::Cut(place) => database.truncate(1 + at(database.len() - 1, *place)),
            Self::LogFlip(place, bit) => flip(&mut log, *place, *bit),
            Self::LogCut(place) => log.truncate(at(log.len(), *place)),
            Self::LogZeroed => log.fill(0),
            Self::LogEmpty => log.clear(),
            Self::Text => database = b"Dear diary,\n".repeat(400),
            Self::Png => database = [PNG, &[0x55; 2000][..]].concat(),
            Self::OtherDatabase => database = other_database(),
            Self::NewerVersion => database[60..64].copy_from_slice(&99_u32.to_be_bytes()),
            Self::None | Self::LogMissing | Self::Directory => {}
        }
        if matches!(self, Self::Directory) {
            return fs::create_dir(site.database()).expect("a directory");
        }
        fs::write(site.database(), database).expect("the database");
        // What is not ours has no log of ours.
        if !matches!(self, Self::LogMissing) && self.must_end() != Some(End::Foreign) {
            fs::write(site.path("renewald.db-wal"), log).expect("the log");
        }
    }
}

fn at(length: usize, place: Place) -> usize {
    ((length as f64 * place) as usize).min(length.saturating_sub(1))
}

fn flip(bytes: &mut [u8], place: Place, bit: u8) {
    let at = at(bytes.len(), place);
    bytes[at] ^= bit;
}

fn page(bytes: &mut [u8], place: Place) -> &mut [u8] {
    let at = at(bytes.len() / PAGE, place) * PAGE;
    &mut bytes[at..at + PAGE]
}

fn other_database() -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("db");
    let db = Connection::open(&path).expect("a database");
    db.execute_batch("CREATE TABLE accounts (id INTEGER); INSERT INTO accounts VALUES (1); PRAGMA user_version = 1")
        .expect("statements");
    db.close().expect("closed");
    fs::read(path).expect("a file")
}
