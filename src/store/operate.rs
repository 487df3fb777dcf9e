//! What people ask and order, by the command line and the API: tracking, finding, listing, counting, pausing, sending again,
//! removing, exporting. And the alerts that tell them of something.

mod alerts;
mod discovered;
mod dispatches;
mod due;
mod export;
mod find;
mod gauges;
mod hint;
mod identity;
mod late;
mod list;
mod messages;
mod metadata;
mod odd;
mod overview;
mod pausing;
pub(super) mod purge;
mod renewals;
mod replay;
mod sealed;
mod track;
mod warned;

pub use alerts::{Alert, AlertChange, Raised};
pub use discovered::{Discovered, Discovery};
pub use dispatches::{DispatchRow, QueueDepth, QueueFilter};
pub use due::{DueCounts, LastFailure, RenewalsDue};
pub use export::Exported;
pub use find::{Named, SubscriptionRow};
pub use gauges::{Answers, DispatchCounts};
pub use hint::Heard;
pub(super) use hint::hint_rows;
pub use identity::{Clash, Identity};
pub use late::{Late, Leeway, counted};
pub use list::{ListFilter, Listed};
pub use messages::MessageRow;
pub use metadata::Metadata;
pub use odd::Odd;
pub use overview::{Awaited, Group, counts_of};
pub use pausing::Paused;
pub use purge::{ForgottenRow, PurgeFilter, Purgeable};
pub use renewals::RenewalRow;
pub use replay::Retried;
pub use sealed::{Locked, Resealed};
pub use track::{NewSubscription, Tracked};
pub use warned::LastWarned;
