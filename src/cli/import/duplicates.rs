//! Which lines of a file name the same subscription, found in 24 bytes a line, and as many again for a number that may be a
//! renewal's.

use sha2::{Digest, Sha256};

use crate::store::NewSubscription;

/// The identities of a file's lines, as the halves of 128-bit hashes: by chance no two differing ones are ever equal.
#[derive(Debug, Default)]
pub struct Identities {
    own: Vec<([u64; 2], u64)>,
    /// Of the originals that these lines may be renewals of.
    originals: Vec<([u64; 2], u64)>,
}

/// Why a line is not good: the others that are the same subscription.
#[derive(Debug, PartialEq, Eq)]
pub enum Conflict {
    /// With the same number.
    Same(Vec<u64>),
    /// With the number of which this one is a renewal's.
    RenewalOf(u64),
    /// With the number of a renewal.
    RenewedBy(u64),
}

impl Identities {
    pub fn add(&mut self, new: &NewSubscription, line: u64) {
        self.own.push((hash(new, &new.partner_order_number), line));
        if let Some(original) = new.convention.original_of(&new.partner_order_number) {
            self.originals.push((hash(new, original), line));
        }
    }

    pub fn count(&self) -> u64 {
        self.own.len() as u64
    }

    /// The lines that are not alone with their subscription, sorted, each once.
    pub fn conflicts(mut self) -> Vec<(u64, Conflict)> {
        // Exceptionally many lines may be one subscription: nobody reads all the others of each.
        const OTHERS: usize = 6;
        self.own.sort_unstable();
        let mut found = Vec::new();
        for group in self.own.chunk_by(|(a, _), (b, _)| a == b).filter(|group| group.len() > 1) {
            for (_, line) in group {
                let others = group.iter().map(|(_, other)| *other).filter(|other| other != line);
                found.push((*line, Conflict::Same(others.take(OTHERS).collect())));
            }
        }
        for (original, line) in self.originals {
            let first = self.own.partition_point(|(own, _)| *own < original);
            if let Some((_, other)) = self.own.get(first).filter(|(own, _)| *own == original) {
                found.extend([(line, Conflict::RenewalOf(*other)), (*other, Conflict::RenewedBy(line))]);
            }
        }
        found.sort_by_key(|(line, _)| *line);
        found.dedup_by_key(|(line, _)| *line);
        found
    }
}

fn hash(new: &NewSubscription, number: &str) -> [u64; 2] {
    let mut hasher = Sha256::new();
    // None of them holds a zero byte.
    hasher.update(new.provider.as_bytes());
    hasher.update([0]);
    hasher.update(if new.convention.is_numbered() { number.as_bytes() } else { b"" });
    hasher.update([0]);
    hasher.update(new.subscription_id.as_bytes());
    let digest = hasher.finalize();
    let half = |at: usize| digest[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    [half(0), half(8)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixtures::subscription;

    #[test]
    fn each_line_names_the_others() {
        let mut identities = Identities::default();
        for (line, (number, id)) in [("A", 1), ("B", 1), ("A", 1), ("A", 2), ("B", 1), ("A", 1)].into_iter().enumerate()
        {
            identities.add(&subscription(number, id), line as u64 + 2);
        }
        let same = |line, others: &[u64]| (line, Conflict::Same(others.to_vec()));
        let expected = [same(2, &[4, 7]), same(3, &[6]), same(4, &[2, 7]), same(6, &[3]), same(7, &[2, 4])];
        assert_eq!(identities.conflicts(), expected);
    }

    #[test]
    fn an_original_and_its_renewal_name_each_other() {
        let mut identities = Identities::default();
        let rows = [("A-1", 1), ("B", 1), ("A", 1), ("A", 2), ("A-01", 1), ("A-2", 1), ("B", 1), ("B-3", 1), ("-1", 1)];
        (2..).zip(rows).for_each(|(line, (number, id))| identities.add(&subscription(number, id), line));
        let expected = [
            (2, Conflict::RenewalOf(4)),
            (3, Conflict::Same(vec![8])),
            (4, Conflict::RenewedBy(2)),
            (7, Conflict::RenewalOf(4)),
            (8, Conflict::Same(vec![3])),
            (9, Conflict::RenewalOf(3)),
        ];
        assert_eq!(identities.conflicts(), expected);
    }
}
