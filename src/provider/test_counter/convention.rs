//! How the counter names things: the count is the name of a delivery.

use crate::convention::{Advice, Convention, as_given};

pub static CONVENTION: Convention = Convention {
    canonical: as_given,
    numbers: None,
    reference: Some(|_, generation| generation.to_string()),
    lowest_generation: -1,
    created: None,
    advice: Advice { refused: "wrong key?", reasons: "wrong key", territory: "check the address" },
    rests_while_waiting: false,
};
