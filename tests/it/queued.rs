//! A thousand messages for one sink, and whether all of them arrived as they must.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::{Installation, Site, Track, eventually};
use crate::nexway_connect::order;

/// So many subscriptions, and so many renewals of each.
pub const SUBSCRIPTIONS: u32 = 250;
pub const RENEWALS: u32 = 4;

/// Tracks them, with an address each, and queues a message for every renewal. Nothing is sent.
pub fn thousand(site: &Site) {
    let tracks = (0..SUBSCRIPTIONS).map(|n| (format!("A{n}"), format!("{{\"email\": \"a{n}@example.com\"}}")));
    let tracks: Vec<_> = tracks.map(|(number, metadata)| (order(&site.sandbox, &number), number, metadata)).collect();
    site.track_all(tracks.iter().map(|(id, number, metadata)| Track { metadata, ..Track::new(number, id) }));
    for (_, number, _) in &tracks {
        site.renew_times(number, RENEWALS);
    }
    site.work().sweep(site.now());
    assert_eq!(site.value::<u32>("SELECT count(*) FROM dispatches WHERE state = 'pending'"), SUBSCRIPTIONS * RENEWALS);
}

/// Waits until so many are marked as delivered, as long as there are more and more.
pub fn wait_for_delivered(site: &Installation, count: i64) {
    let mut known = site.delivered();
    while known < count {
        known = eventually("more than before are delivered", || Some(site.delivered()).filter(|now| *now > known));
    }
}

/// What arrived, by message id and number, in its order: nothing is missing, each subscription's renewals came one after the
/// other, and what came twice has the same id.
pub fn assert_complete(arrived: &[(String, String)]) {
    let mut numbers: BTreeMap<&str, &str> = BTreeMap::new();
    let mut in_order: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, number) in arrived {
        match numbers.insert(id, number) {
            Some(before) => assert_eq!(before, number, "one id, two renewals"),
            None => {
                let (original, generation) = number.split_once('-').expect("a renewal's number");
                in_order.entry(original).or_default().push(generation);
            }
        }
    }
    let distinct: BTreeSet<_> = numbers.values().collect();
    assert_eq!(distinct.len(), numbers.len(), "one renewal, two ids");
    assert_eq!(in_order.len(), SUBSCRIPTIONS as usize);
    let expected: Vec<_> = (1..=RENEWALS).map(|n| n.to_string()).collect();
    for (original, generations) in in_order {
        assert_eq!(generations, expected, "{original}");
    }
}

/// The block for this kind of sink in docs/sinks.md, without its header.
pub fn documented_example(kind: &str) -> String {
    let page = include_str!("../../docs/sinks.md");
    let is_it = |block: &&str| block.starts_with("[sinks.") && block.contains(&format!("\nkind = \"{kind}\"\n"));
    let mut blocks = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block = blocks.find(is_it).expect("docs/sinks.md has an example");
    block.split_once('\n').expect("a header").1.to_owned()
}
