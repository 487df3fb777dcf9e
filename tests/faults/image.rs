//! What a disk holds after the power went: what was synced, and of the rest as much as chance would have it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use fastrand::Rng;

use crate::writes::{Act, Done};

/// The least that a disk writes at once.
const SECTOR: usize = 512;

/// What became of the writes that no barrier followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tail {
    Dropped,
    Kept,
    /// Some writes, not the first ones first.
    Some,
    /// Some sectors of some writes.
    Torn,
}

pub const TAILS: [Tail; 4] = [Tail::Dropped, Tail::Kept, Tail::Some, Tail::Torn];

#[derive(Default)]
struct Inode {
    synced: Vec<u8>,
    tail: Vec<Act>,
}

/// A directory, and what of it is on the disk. Names are made durable in the order in which they were changed, as journals do.
#[derive(Default)]
struct Disk {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    renamed: Vec<(String, Option<usize>)>,
}

/// The files as they are found when the power goes at `cut`.
pub fn after_cut(done: &[Done], cut: SystemTime, tail: Tail, rng: &mut Rng) -> BTreeMap<String, Vec<u8>> {
    let mut disk = Disk::default();
    for one in done.iter().filter(|done| done.begun_at < cut) {
        // A barrier that had not ended by then promised nothing yet.
        if !one.is_barrier() || one.ended_at <= cut {
            disk.take(&one.act);
        }
    }
    disk.found(tail, rng)
}

impl Disk {
    fn take(&mut self, act: &Act) {
        match act {
            Act::Create(file) => {
                self.inodes.push(Inode::default());
                let inode = self.inodes.len() - 1;
                self.names.insert(file.clone(), inode);
                self.renamed.push((file.clone(), Some(inode)));
            }
            Act::Remove(file) => {
                self.names.remove(file);
                self.renamed.push((file.clone(), None));
            }
            Act::Write { file, .. } | Act::Cut { file, .. } => self.inode(file).tail.push(act.clone()),
            Act::Sync(file) => {
                let inode = self.inode(file);
                std::mem::take(&mut inode.tail).iter().for_each(|act| apply(&mut inode.synced, act));
            }
            Act::SyncDirectory => {
                let renamed = std::mem::take(&mut self.renamed);
                renamed.into_iter().for_each(|(name, inode)| self.rename(name, inode));
            }
        }
    }

    fn inode(&mut self, file: &str) -> &mut Inode {
        &mut self.inodes[self.names[file]]
    }

    fn rename(&mut self, name: String, inode: Option<usize>) {
        match inode {
            Some(inode) => drop(self.durable.insert(name, inode)),
            None => drop(self.durable.remove(&name)),
        }
    }

    fn found(mut self, tail: Tail, rng: &mut Rng) -> BTreeMap<String, Vec<u8>> {
        let renamed = match tail {
            Tail::Dropped => 0,
            Tail::Kept => self.renamed.len(),
            Tail::Some | Tail::Torn => rng.usize(..=self.renamed.len()),
        };
        let kept: Vec<_> = self.renamed.drain(..renamed).collect();
        kept.into_iter().for_each(|(name, inode)| self.rename(name, inode));
        let Self { inodes, durable, .. } = self;
        let mut found = |inode: usize| {
            let Inode { synced, tail: unsynced } = &inodes[inode];
            let mut bytes = synced.clone();
            unsynced.iter().for_each(|act| perhaps(&mut bytes, act, tail, rng));
            bytes
        };
        durable.into_iter().map(|(name, inode)| (name, found(inode))).collect()
    }
}

fn perhaps(bytes: &mut Vec<u8>, act: &Act, tail: Tail, rng: &mut Rng) {
    match (tail, act) {
        (Tail::Dropped, _) => {}
        (Tail::Torn, Act::Write { at, bytes: new, .. }) => {
            let mut at = *at;
            let mut new = new.as_slice();
            while !new.is_empty() {
                let (sector, rest) = new.split_at(new.len().min(SECTOR - at % SECTOR));
                if rng.bool() {
                    write(bytes, at, sector);
                }
                (at, new) = (at + sector.len(), rest);
            }
        }
        (Tail::Kept, _) => apply(bytes, act),
        (Tail::Some | Tail::Torn, _) if rng.bool() => apply(bytes, act),
        (Tail::Some | Tail::Torn, _) => {}
    }
}

fn apply(bytes: &mut Vec<u8>, act: &Act) {
    match act {
        Act::Write { at, bytes: new, .. } => write(bytes, *at, new),
        Act::Cut { length, .. } => bytes.resize(*length, 0),
        _ => {}
    }
}

/// Where it begins behind the end, the gap is read as zeros.
fn write(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    let end = at + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(new);
}
