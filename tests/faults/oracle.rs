//! What must be true in the end, whatever went wrong before: what the provider renewed is what the ledger says and what the
//! receiver got.

use std::collections::BTreeMap;

use uuid::Uuid;

use renewald::sandbox::{digital_river, nexway_connect, nexway_monetize, smartpay};

use crate::fake_receiver::Received;
use crate::harness::{DAY, Installation, Site, eventually, id_of, keys};

/// One delivery that the provider made.
pub struct Made {
    pub subscription_id: String,
    pub reference: String,
    pub keys: Vec<String>,
}

/// A provider that can say what it made, all of it.
pub trait Maker {
    fn made(&self) -> Vec<Made>;
}

impl Maker for nexway_connect::Sandbox {
    fn made(&self) -> Vec<Made> {
        let made = |(reference, id): (String, i64)| Made {
            keys: self.expected_keys(&reference, id),
            subscription_id: id.to_string(),
            reference,
        };
        self.renewals().into_iter().map(|one| made((one.partner_order_number, one.subscription_id))).collect()
    }
}

impl Maker for nexway_monetize::Sandbox {
    fn made(&self) -> Vec<Made> {
        let made = |sold: nexway_monetize::Sold, reference| Made {
            keys: self.expected_keys(&sold.order_id),
            subscription_id: sold.subscription_id,
            reference,
        };
        let counted = self.renewals().into_iter().map(|sold| (sold.generation.to_string(), sold));
        let besides = self.upgrades().into_iter().map(|sold| (sold.order_id.clone(), sold));
        counted.chain(besides).map(|(reference, sold)| made(sold, reference)).collect()
    }
}

impl Maker for smartpay::Sandbox {
    /// What was charged before anybody watched is known.
    fn made(&self) -> Vec<Made> {
        let made = |charged: smartpay::Charged| Made {
            subscription_id: charged.subscription_id.to_lowercase(),
            reference: charged.cycle_id.to_lowercase(),
            keys: Vec::new(),
        };
        self.charges().into_iter().filter(|charged| charged.number > 0).map(made).collect()
    }
}

impl Maker for digital_river::Sandbox {
    fn made(&self) -> Vec<Made> {
        let made = |sold: digital_river::Sold| {
            let reference = sold.order_id.expect("each is paid for");
            Made { keys: self.expected_keys(&reference), subscription_id: sold.subscription_id, reference }
        };
        self.renewals().into_iter().map(made).collect()
    }
}

/// What the receiver had to get more than once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// What the provider made, all of it delivered.
    pub renewals: u64,
    /// Messages that came again, under the same id and with the same bytes.
    pub repeats: u64,
}

/// Catches up until nothing is left to do.
pub fn finish(site: &Installation) {
    const UNFINISHED: &str = "SELECT (SELECT count(*) FROM dispatches WHERE state <> 'delivered')
                                   + (SELECT count(*) FROM renewals WHERE state NOT IN ('queued', 'known'))";
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
pub fn judge(site: &Site<impl Maker>, received: &[Received]) -> Held {
    assert_eq!(site.value::<String>("PRAGMA integrity_check"), "ok");
    assert!(site.texts("SELECT \"table\" FROM pragma_foreign_key_check").is_empty(), "no row points nowhere");
    let ledger = ledger(site);
    let mut got = by_delivery(received);
    let all = site.sandbox.made();
    for Made { subscription_id, reference, keys: made } in &all {
        let name = (subscription_id.clone(), reference.clone());
        let what = format!("{reference} of {subscription_id}");
        let in_ledger = ledger.get(&name).unwrap_or_else(|| panic!("LOST: {what} is not in the ledger"));
        assert_eq!(in_ledger.len(), 1, "{what} is in the ledger once: {in_ledger:?}");
        let messages = got.remove(&name).unwrap_or_else(|| panic!("LOST: {what} was never received"));
        for message in &messages {
            assert_eq!(message.id, in_ledger[0].to_string(), "{what}: a repeat has the id of the ledger");
            assert_eq!(message.body, messages[0].body, "{what}: a repeat has the same bytes");
            assert_eq!(keys(message), *made, "{what}: its own keys");
        }
    }
    assert!(got.is_empty(), "nothing was delivered that was never made: {:?}", got.keys());
    assert_eq!(ledger.len(), all.len(), "nothing is in the ledger that was never made");
    let renewals = all.len() as u64;
    let ready = received.iter().filter(|message| is_ready(message)).count() as u64;
    Held { renewals, repeats: ready - renewals }
}

/// A subscription's id and a delivery's reference.
type Name = (String, String);

/// The ids of the `renewal.ready` messages of each delivery.
fn ledger(site: &Installation) -> BTreeMap<Name, Vec<Uuid>> {
    let mut ledger: BTreeMap<Name, Vec<Uuid>> = BTreeMap::new();
    let rows = site.texts(
        "SELECT m.id || ' ' || s.subscription_id || ' ' || m.reference
         FROM messages m JOIN subscriptions s ON s.id = m.subscription WHERE m.type = 'renewal.ready'",
    );
    for row in rows {
        let mut parts = row.splitn(3, ' ');
        let mut part = || parts.next().expect("three parts");
        let (message, id, reference) = (part().parse().expect("a UUID"), part().to_owned(), part().to_owned());
        ledger.entry((id, reference)).or_default().push(message);
    }
    ledger
}

fn by_delivery(received: &[Received]) -> BTreeMap<Name, Vec<&Received>> {
    let mut got: BTreeMap<Name, Vec<&Received>> = BTreeMap::new();
    for message in received.iter().filter(|message| is_ready(message)) {
        let reference = message.data()["reference"].as_str().unwrap_or_default().to_owned();
        got.entry((id_of(&message.json()), reference)).or_default().push(message);
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
