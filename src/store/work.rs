//! What goes on by itself: which subscriptions and renewals are due and what came of asking, what is queued and sent, and what is
//! put right or removed when its time has come.

mod clock;
mod due;
mod due_times;
mod feeds;
mod healing;
mod lease;
mod mark;
pub(super) mod messages;
mod polls;
mod providers;
pub(super) mod renewals;
mod settle;
mod sinks;
mod take;
pub(super) mod territories;
mod wipe;

pub use due::DuePage;
pub use due_times::Moved;
pub use feeds::{FeedRow, FeedState, PageRecord, Stranger};
pub use healing::Reached;
pub use lease::Leased;
pub use mark::{Mark, Why};
pub use messages::NewMessage;
pub use polls::{PollRecord, Recorded};
pub use providers::{BreakerState, ProviderTrouble, SlowedState};
pub use renewals::{DueRenewal, Order};
pub use settle::{Settled, Settlement, WithWarnings};
pub use sinks::SinkState;
pub(super) use take::Taken;
pub use take::{Attempt, MOST_BODY_BYTES, Take};
pub use territories::{NOBODY_ASKS, StoppedTerritory};
pub use wipe::Purged;
