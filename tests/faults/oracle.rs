//! What must be true in the end, whatever went wrong before: what the provider renewed is what the ledger says and what the
//! receiver got.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::fake_receiver::Received;
use crate::harness::{DAY, Installation, Site, eventually, id_of, keys, number};

/// What the receiver had to get more than once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Generations that the provider renewed, all of them delivered.
    pub renewals: u64,
    /// Messages that came again, under the same id and with the same bytes.
    pub repeats: u64,
}

/// Catches up until nothing is left to do.
pub fn finish(site: &Installation) {
    const UNFINISHED: &str = "SELECT (SELECT count(*) FROM dispatches WHERE state <> 'delivered')
                                   + (SELECT count(*) FROM renewals WHERE state <> 'queued')";
    eventually("everything is handed over", || {
        site.let_pass(DAY);
        site.catch_up();
        (site.value::<i64>(UNFINISHED) == 0).then_some(())
    });
}

/// Holds everything that was renewed against the ledger and against what was received.
///
/// # Panics
/// When something is lost, there is a row too many, a key went to another subscription, or a repeat is not the same.
pub fn judge(site: &Site, received: &[Received]) -> Held {
    assert_eq!(site.value::<String>("PRAGMA integrity_check"), "ok");
    assert!(site.texts("SELECT \"table\" FROM pragma_foreign_key_check").is_empty(), "no row points nowhere");
    let ledger = ledger(site);
    let mut got = by_subscription_and_number(received);
    let renewals = site.sandbox.renewals();
    for renewal in &renewals {
        let (number, id) = (&renewal.partner_order_number, renewal.subscription_id);
        let name = (id.to_string(), number.clone());
        let in_ledger = ledger.get(&name).unwrap_or_else(|| panic!("LOST: {number} of {id} is not in the ledger"));
        assert_eq!(in_ledger.len(), 1, "{number} of {id} is in the ledger once: {in_ledger:?}");
        let messages = got.remove(&name).unwrap_or_else(|| panic!("LOST: {number} of {id} was never received"));
        for message in &messages {
            assert_eq!(message.id, in_ledger[0].to_string(), "{number} of {id}: a repeat has the id of the ledger");
            assert_eq!(message.body, messages[0].body, "{number} of {id}: a repeat has the same bytes");
            assert_eq!(keys(message), site.sandbox.expected_keys(number, id), "{number} of {id}: its own keys");
        }
    }
    assert!(got.is_empty(), "nothing was delivered that was never renewed: {:?}", got.keys());
    assert_eq!(ledger.len(), renewals.len(), "nothing is in the ledger that was never renewed");
    let renewed = renewals.len() as u64;
    let ready = received.iter().filter(|message| is_ready(message)).count() as u64;
    Held { renewals: renewed, repeats: ready - renewed }
}

/// A subscription's id and an order number.
type Name = (String, String);

/// The ids of the `renewal.ready` messages of each subscription and number.
fn ledger(site: &Installation) -> BTreeMap<Name, Vec<Uuid>> {
    let mut ledger: BTreeMap<Name, Vec<Uuid>> = BTreeMap::new();
    let rows = site.texts(
        "SELECT m.id || ' ' || s.subscription_id || ' ' || s.partner_order_number || '-' || m.generation
         FROM messages m JOIN subscriptions s ON s.id = m.subscription WHERE m.type = 'renewal.ready'",
    );
    for row in rows {
        let mut parts = row.splitn(3, ' ');
        let mut part = || parts.next().expect("three parts");
        let (message, id, number) = (part().parse().expect("a UUID"), part().to_owned(), part().to_owned());
        ledger.entry((id, number)).or_default().push(message);
    }
    ledger
}

fn by_subscription_and_number(received: &[Received]) -> BTreeMap<Name, Vec<&Received>> {
    let mut got: BTreeMap<Name, Vec<&Received>> = BTreeMap::new();
    for message in received.iter().filter(|message| is_ready(message)) {
        got.entry((id_of(&message.json()), number(message))).or_default().push(message);
    }
    got
}

fn is_ready(message: &Received) -> bool {
    message.json()["type"] == "renewald.renewal.ready.v1"
}

/// For each subscription, a generation first comes after the one before it: repeats may come at any time.
pub fn assert_in_order(received: &[Received]) {
    let mut newest: BTreeMap<String, i64> = BTreeMap::new();
    for event in received.iter().filter(|message| is_ready(message)).map(Received::json) {
        let (id, generation) = (id_of(&event), event["data"]["generation"].as_i64().expect("a number"));
        let seen = newest.entry(id.clone()).or_insert(generation);
        assert!(generation <= *seen + 1, "{id}: generation {generation} came right after {seen}");
        *seen = generation.max(*seen);
    }
}
