//! Which lines of a file name the same subscription, found in 24 bytes a line.

use sha2::{Digest, Sha256};

use crate::store::NewSubscription;

/// The identities of a file's lines, as the halves of 128-bit hashes: by chance no two differing ones are ever equal.
#[derive(Debug, Default)]
pub struct Identities(Vec<([u64; 2], u64)>);

impl Identities {
    pub fn add(&mut self, new: &NewSubscription, line: u64) {
        self.0.push((hash(new), line));
    }

    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// The lines that are not alone with their identity, sorted, each with the others.
    pub fn duplicates(mut self) -> Vec<(u64, Vec<u64>)> {
        // Exceptionally many lines may be one subscription: nobody reads all the others of each.
        const OTHERS: usize = 6;
        self.0.sort_unstable();
        let mut found = Vec::new();
        for group in self.0.chunk_by(|(a, _), (b, _)| a == b).filter(|group| group.len() > 1) {
            for (_, line) in group {
                let others = group.iter().map(|(_, other)| *other).filter(|other| other != line);
                found.push((*line, others.take(OTHERS).collect()));
            }
        }
        found.sort_unstable();
        found
    }
}

fn hash(new: &NewSubscription) -> [u64; 2] {
    let mut hasher = Sha256::new();
    // Neither name holds a zero byte.
    hasher.update(new.provider.as_bytes());
    hasher.update([0]);
    hasher.update(new.partner_order_number.as_bytes());
    hasher.update([0]);
    hasher.update(new.subscription_id.to_be_bytes());
    let digest = hasher.finalize();
    let half = |at: usize| digest[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    [half(0), half(8)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: &str, subscription_id: i64) -> NewSubscription {
        NewSubscription {
            provider: "nexway".into(),
            territory: "eu".into(),
            partner_order_number: number.into(),
            subscription_id,
            generation: Some(0),
            expires_at: None,
            metadata: None,
            tracked_by: "import",
        }
    }

    #[test]
    fn each_line_names_the_others() {
        let mut identities = Identities::default();
        for (line, (number, id)) in [("A", 1), ("B", 1), ("A", 1), ("A", 2), ("B", 1), ("A", 1)].into_iter().enumerate()
        {
            identities.add(&row(number, id), line as u64 + 2);
        }
        let found = identities.duplicates();
        assert_eq!(found, [(2, vec![4, 7]), (3, vec![6]), (4, vec![2, 7]), (6, vec![3]), (7, vec![2, 4])]);
    }
}
