//! How the counter names things: the count is the name of a delivery. And what it lists.

use crate::convention::{Advice, Convention, Feed, Lists, Way, as_given};

/// `{"about": ["ID", …]}`.
fn hinted(body: &[u8]) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Notification {
        about: Vec<String>,
    }
    serde_json::from_slice(body).map(|Notification { about }| about).unwrap_or_default()
}

pub static CONVENTION: Convention = Convention {
    canonical: as_given,
    numbers: None,
    reference: Some(|_, generation| generation.to_string()),
    lowest_generation: -1,
    created: None,
    hinted: Some(hinted),
    advice: Advice { refused: "wrong key?", reasons: "wrong key", territory: "check the address" },
    rests_while_waiting: false,
    unknown_is_deleted: false,
    may_have_closed: false,
    feed: Some(&Feed {
        ways: &[
            Way { name: "sorted", lists: Lists::NewestFirst, answers: true },
            Way { name: "all", lists: Lists::Everything, answers: true },
            Way { name: "recent", lists: Lists::ChangedSince, answers: false },
        ],
    }),
    shop: None,
    begin: None,
};
