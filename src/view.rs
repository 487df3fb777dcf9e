//! What is shown of the state: the objects that `--json` prints and the API answers with, made from the store alone.
//!
//! How they look to a person is up to the command line.

pub mod ages;
mod feed;
mod messages;
pub mod next;
mod refetch;
mod status;
mod story;
mod subscription;
mod telling;
mod verdict;

use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

pub use feed::{Distrusted, Feed, Walk};
pub use messages::{Dispatch, DispatchPage, Forgotten, Message, Shown, event};
pub use refetch::Refetch;
pub use status::{Account, Receiver, Status};
pub use story::{Known, Story};
pub use subscription::{Forecasts, InPath, Item, SubscriptionPage, label};
pub use telling::{Chapter, tell};
pub use verdict::{Sums, Verdict};

use crate::clock::Timestamp;
use crate::delivery::{Occasion, OfferState, Warning};
use crate::renewal::walk::End;
use crate::renewal::ways::Trust;
use crate::renewal::{Outcome, State};

impl ToSchema for Timestamp {}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        ObjectBuilder::new().schema_type(Type::String).format(Some(format)).into()
    }
}

/// The text forms of an enum, as the only values of a string.
macro_rules! words {
    ($type:ident) => {
        impl ToSchema for $type {}

        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                let names = $type::VARIANTS.iter().map(|one| one.as_str());
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
            }
        }
    };
}

words!(Occasion);
words!(OfferState);
words!(Warning);
words!(State);
words!(Outcome);
words!(End);
words!(Trust);
