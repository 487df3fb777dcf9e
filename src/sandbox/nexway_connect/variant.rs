//! What products deliver.

use serde::{Deserialize, Serialize};

/// What a product delivers: the samples of the reference, and the traps around subscription ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// One key in plain text, two files, a download manager.
    #[default]
    PlainKey,
    /// Three serials in one item.
    SeveralSerials,
    /// No serial, two files, a remark that none is needed.
    NoSerial,
    /// Neither serial nor file nor download manager: a locker link, and a remark with it.
    Locker,
    /// A serial and a long remark of several lines.
    Steam,
    /// A serial, an HTML remark with placeholders, a file of empty size.
    Casual,
    /// The licence is a file, in base64.
    KeyFile,
    /// The same, its encoding named as nobody has heard of.
    UnknownEncoding,
    /// A line for each subscription, and one more for a product without any.
    SeveralLines,
    /// The key of generation 0 for ever.
    SameKey,
    /// Every subscription id is 0.
    NoIds,
    /// Every subscription id is null.
    NullIds,
    /// The subscription ids are another order's.
    ForeignIds,
    /// All codes 0, and nothing in it.
    Empty,
}
