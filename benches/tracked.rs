//! What the benches share: a subscription as an import has it tracked.

use renewald::clock::Timestamp;
use renewald::provider::Kind;
use renewald::store::NewSubscription;

/// In territory `eu` of the account `bench`, with its first purchase delivered.
pub fn subscription(number: String, id: i64, expires_at: Option<Timestamp>) -> NewSubscription {
    NewSubscription {
        provider: "bench".to_owned(),
        convention: Kind::NexwayConnect.convention(),
        territory: "eu".to_owned(),
        partner_order_number: number,
        subscription_id: id.to_string(),
        generation: Some(0),
        known: Vec::new(),
        known_before: None,
        expires_at,
        metadata: None,
        tracked_by: "import",
    }
}
