//! How the lister names things: ids that differ in case only are one, and a delivery's name is its own.

use crate::convention::{Advice, Convention};

pub static CONVENTION: Convention = Convention {
    canonical: |id| Ok(id.trim().to_lowercase()),
    numbers: None,
    reference: None,
    lowest_generation: 0,
    created: None,
    hinted: None,
    advice: Advice { refused: "wrong account?", reasons: "wrong account", territory: "check the address" },
    rests_while_waiting: false,
    unknown_is_deleted: true,
    may_have_closed: false,
    feed: None,
    shop: None,
    begin: None,
};
