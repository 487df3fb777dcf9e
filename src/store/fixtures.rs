//! What tests begin with: a store in a directory of its own, and a subscription that somebody wants watched.

use tempfile::TempDir;

use super::{Access, NewSubscription, Store};
use crate::renewal::fixtures::COUNTS;

/// The directory is gone with the second.
pub fn opened() -> (Store, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (Store::open(&dir.path().join("renewald.db"), Access::Command).unwrap(), dir)
}

/// Bought once and not renewed yet.
pub fn subscription(number: &str, subscription_id: i64) -> NewSubscription {
    NewSubscription {
        provider: "nexway".to_owned(),
        convention: &COUNTS,
        territory: "eu".to_owned(),
        partner_order_number: number.to_owned(),
        subscription_id: subscription_id.to_string(),
        generation: Some(0),
        known: Vec::new(),
        known_before: None,
        expires_at: None,
        metadata: None,
        tracked_by: "track",
    }
}
