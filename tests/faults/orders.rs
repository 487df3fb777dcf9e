//! SIGKILL at each point of an order's way: before each write and sync of the database, each byte sent and each received. Whoever sends
//! the same again, until it is told that it is placed, has one order, and one that is tracked and delivered.

use std::fs;

use renewald::sandbox::nexway_connect::Endpoint as Asked;
use serde_json::json;

use crate::barriers::{CUTS, Kind, RECEIVES, REMOVALS, SENDS, SYNCS, WRITES, until_none_is_left};
use crate::harness::{Setup, Site, id_of, keys};
use crate::oracle;
use crate::strace::Strace;
use crate::{Round, Tally, Trial};

pub const PLACED: Trial = Trial {
    name: "orders",
    what: "kill -9 before a write, sync, send and receive while an order is placed",
    long: 20,
    run: placed,
};

/// Of nearly two hundred writes a round takes one in so many.
const EVERY: u64 = 4;
const KINDS: [Kind; 6] = [WRITES, SYNCS, CUTS, REMOVALS, SENDS, RECEIVES];
const ORDER: [&str; 4] = ["shop", "order", "order.json", "--deliver"];
/// Told often enough that it is not there, some minutes after it was sent, renewald sends it again.
const LOOKS: usize = 6;
const AGED: &str = "UPDATE shop_orders SET sent_at = sent_at - 400 WHERE state = 'unclear'";

fn placed(round: &mut Round) -> Tally {
    let mut tally = Tally::default();
    for kind in &KINDS {
        let (of, first) = if kind.name == WRITES.name { (EVERY, round.rng.u64(..EVERY)) } else { (1, 0) };
        let killed = until_none_is_left(|n| kill_at(kind, n * of - first));
        assert!(killed > 0 || kind.may_be_missing, "no {}", kind.call);
        tally.join(Tally::of(killed).count(kind.name, killed));
    }
    tally
}

/// Kills it before the n-th call, sends the same again and judges. False when it ended before there were so many.
fn kill_at(kind: &Kind, n: u64) -> bool {
    let site = Site::with(Setup::one_territory);
    let location = json!({ "country": "FR" });
    let order = json!({
        "partnerOrderNumber": "PARTNER689", "orderDate": "2018-01-18T15:40:21+01:00", "currency": "EUR",
        "orderLines": [{ "productRef": 811_537, "quantity": 2 }],
        "customer": { "email": "a@example.org", "locationDelivery": location, "locationInvoice": location } });
    fs::write(site.path("order.json"), order.to_string()).expect("a file");
    let inject = format!("inject={}:signal=KILL:when={n}", kind.call);
    let strace = Strace::of(&site, kind.call, "strace.log").with(&["-e", &inject]);
    let strace = if kind.on_the_database { strace.on_the_database(&site) } else { strace };
    let process = strace.start(&site, &ORDER);
    let killed = process.wait().code.is_none();
    place_again(&site);
    let requests = site.sandbox.requests();
    // One that was answered "already created" made none.
    let subscriptions = site.sandbox.subscriptions();
    assert_eq!(subscriptions.len(), 2, "ordered twice, or not at all: {requests:?}");
    let created = requests.iter().filter(|request| request.endpoint == Asked::Create).count();
    assert!(created <= 2, "sent {created} times");
    oracle::finish(&site);
    let received = site.messages();
    for one in &subscriptions {
        let id = one.subscription_id.to_string();
        let mut ours: Vec<_> = received.iter().filter(|message| id_of(&message.json()) == id).collect();
        ours.dedup_by(|one, other| one.id == other.id);
        let [message] = ours[..] else { panic!("LOST or doubled: {id} has {} messages", ours.len()) };
        assert_eq!(keys(message), site.sandbox.expected_keys("PARTNER689", one.subscription_id), "its own keys");
        assert_eq!(message.data()["occasion"], "purchase");
    }
    assert_eq!(site.value::<i64>("SELECT count(*) FROM subscriptions WHERE tracked_by = 'order'"), 2);
    killed
}

fn place_again(site: &Site) {
    for _ in 0..LOOKS {
        match site.command(&ORDER).code {
            Some(0) => return,
            // Not known yet, or known to be absent: the same again.
            Some(75) => site.execute(AGED),
            code => panic!("sent again it ended with {code:?}"),
        }
    }
    panic!("it was never placed");
}
