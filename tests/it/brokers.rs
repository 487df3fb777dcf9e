//! What the tests of all brokers' sinks share: many renewals, an outage in the middle, the examples of docs/sinks.md.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::thread;

use renewald::clock::Timestamp;
use rusqlite::Connection;
use serde_json::Value;

use crate::harness::{HOUR, Installation, Site, Track, Work, eventually, numbered};
use crate::nexway_connect::order;
use crate::servers::Restart;

pub const SUBSCRIPTIONS: usize = 250;
pub const GENERATIONS: usize = 4;
const MESSAGES: usize = SUBSCRIPTIONS * GENERATIONS;

/// Subscriptions `A0`, `A1`, …, tracked, each renewed so often.
pub fn renewed(site: &Site, subscriptions: usize, generations: usize) {
    renewed_with(site, subscriptions, generations, "{}");
}

/// The same, with metadata for the first of them.
pub fn renewed_with(site: &Site, subscriptions: usize, generations: usize, metadata: &str) {
    let numbers = numbered("A", subscriptions);
    let ids: Vec<_> = numbers.iter().map(|number| order(&site.sandbox, number)).collect();
    site.track_all(numbers.iter().zip(ids).map(|(number, id)| {
        let metadata = if number == "A0" { metadata } else { "{}" };
        Track { metadata, ..Track::new(number, id) }
    }));
    for number in numbers.iter().flat_map(|number| std::iter::repeat_n(number, generations)) {
        site.renew(number);
    }
}

/// A thousand messages, the server killed when some have been delivered and started again later. Everything is delivered in
/// the end, with no attempt counted and nobody asked for help.
pub fn through_an_outage(site: &Site, server: &mut impl Restart) {
    renewed(site, SUBSCRIPTIONS, GENERATIONS);
    let mut work = site.work();
    let start = site.now();
    work.sweep(start);
    let report = thread::scope(|scope| {
        let (database, server) = (site.database(), &mut *server);
        scope.spawn(move || {
            eventually("a part is delivered", || (delivered(&database) >= 100).then_some(()));
            server.stop();
        });
        work.relay(start)
    });
    assert!(report.blocked, "{report:?}");
    assert!((100..MESSAGES as u64).contains(&report.delivered), "{report:?}");
    assert_eq!(work.relay(start + HOUR).delivered, 0, "it is down");
    server.start();
    let mut hours = 2;
    while delivered(&site.database()) < MESSAGES {
        let report = work.relay(start + hours * HOUR);
        assert_eq!(report.dead, 0);
        hours += 1;
        assert!(hours < 30, "{report:?}: {}", last_error(site));
    }
}

fn delivered(database: &Path) -> usize {
    let db = Connection::open(database).expect("the database is there");
    let count = "SELECT count(*) FROM dispatches WHERE state = 'delivered'";
    db.query_row(count, [], |row| row.get::<_, i64>(0)).expect("a count") as usize
}

/// None lost, each subscription's in order, and what came twice is the same message.
pub fn assert_complete(bodies: &[Value]) {
    let mut seen: HashMap<&str, &Value> = HashMap::new();
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for body in bodies {
        let id = body["id"].as_str().expect("an id");
        if let Some(before) = seen.insert(id, body) {
            assert_eq!(before, body, "the same id, another message");
            continue;
        }
        let generation = body["data"]["generation"].as_i64().expect("a number");
        let subject = body["subject"].as_str().expect("a subject");
        let before = last.insert(subject, generation).unwrap_or(0);
        assert_eq!(generation, before + 1, "the order of {subject}");
    }
    assert_eq!(seen.len(), MESSAGES);
    assert!(last.values().all(|generation| *generation == GENERATIONS as i64), "{last:?}");
}

/// Relays until nothing waits any more, an hour at a time.
pub fn relay_all(work: &mut Work, site: &Installation, from: Timestamp) {
    let waiting = || site.value::<i64>("SELECT count(*) FROM dispatches WHERE state = 'pending'");
    for hours in 0..30 {
        work.relay(from + hours * HOUR);
        if waiting() == 0 {
            return;
        }
    }
    panic!("{} still wait: {}", waiting(), last_error(site));
}

/// Why the one sink is in trouble.
pub fn last_error(site: &Installation) -> String {
    site.texts("SELECT last_error FROM sinks").pop().unwrap_or_default()
}

/// All messages are in the queue, and none has lost an attempt.
pub fn assert_waiting(site: &Installation, messages: i64) {
    let waiting = "SELECT count(*) FROM dispatches WHERE state = 'pending' AND attempts = 0";
    assert_eq!(site.value::<i64>(waiting), messages, "{}", last_error(site));
}

/// What `check --online` says of the sink named `shop`, and that it exits with this code.
pub fn check(site: &Installation, code: i32) -> String {
    let finished = site.command(&["check", "--online"]).expect_code(code);
    let lines = finished.stdout.lines().filter(|line| line.contains("sink shop"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The example of a kind in docs/sinks.md, without its heading and with another address.
pub fn example(kind: &str, url: &str) -> String {
    let page = include_str!("../../docs/sinks.md");
    let blocks = page.split("```toml\n[sinks.shop]\n").skip(1).filter_map(|block| block.split("```").next());
    let mut blocks = blocks.filter(|block| block.contains(&format!("kind = \"{kind}\"")));
    let block = blocks.next().expect("an example");
    let lines =
        block.lines().map(|line| if line.starts_with("url = ") { format!("url = \"{url}\"") } else { line.to_owned() });
    lines.collect::<Vec<_>>().join("\n")
}
