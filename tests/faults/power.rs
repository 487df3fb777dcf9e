//! Power cuts: the database and its journals as a disk would hold them when the power goes at any barrier of a working life,
//! opened by the real binary and continued.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::SystemTime;

use renewald::sandbox::nexway_connect::{Sandbox, Script};

use crate::fake_receiver::Received;
use crate::harness::{Installation, Setup, Site, eventually};
use crate::image::{TAILS, Tail, after_cut};
use crate::nexway_connect::order;
use crate::strace::Strace;
use crate::writes::{self, Done};
use crate::{Round, Tally, Trial, at_once, oracle};

pub const CUT: Trial = Trial {
    name: "power",
    what: "the power goes at a barrier; files rebuilt from a log of the writes",
    long: 50,
    run: cut,
};

const IMAGES: usize = 100;
const SUBSCRIPTIONS: usize = 6;

/// A life of one database, with everything that was written and sent.
struct Life {
    sandbox: Arc<Sandbox>,
    subscriptions: Vec<(String, i64)>,
    done: Vec<Done>,
    sent: Vec<Received>,
    /// When it was answered that all of them are tracked.
    tracked_at: SystemTime,
}

/// The power goes just before this barrier has been reached.
#[derive(Clone, Copy)]
struct Cut {
    at: SystemTime,
    tail: Tail,
    seed: u64,
}

/// What was found after a cut.
struct After {
    repeats: u64,
    /// Messages that had been sent before the cut.
    sent: usize,
    tail: Tail,
}

fn cut(round: &mut Round) -> Tally {
    let life = live(&mut round.rng);
    let mut barriers: Vec<_> = life.done.iter().filter(|done| done.is_barrier()).map(|done| done.begun_at).collect();
    assert!(barriers.len() > 40, "a life has many barriers: {}", barriers.len());
    round.rng.shuffle(&mut barriers);
    let reached = barriers.len().min(IMAGES);
    let cuts: Vec<_> = (0..IMAGES)
        .map(|n| Cut {
            at: barriers[n % barriers.len()],
            tail: TAILS[round.rng.usize(..TAILS.len())],
            seed: round.rng.u64(..),
        })
        .collect();
    let after = at_once::each(cuts, |cut| go_on(&life, cut));
    let torn = after.iter().filter(|after| matches!(after.tail, Tail::Some | Tail::Torn)).count();
    let midway = after.iter().filter(|after| after.sent > 0 && after.sent < life.sent.len()).count();
    assert!(midway > IMAGES / 4, "most cuts fall between messages: {midway}");
    Tally::of(IMAGES as u64)
        .count("barriers", reached as u64)
        .count("with a torn or partial tail", torn as u64)
        .count("repeats", after.iter().map(|after| after.repeats).sum())
}

/// From the creation of the database by a command to a second run, with a kill between, and a checkpoint by another process while
/// the daemon goes on writing: in a small database none comes by itself.
fn live(rng: &mut fastrand::Rng) -> Life {
    let site = Site::with(|setup| setup.every = "1s");
    let numbers = (0..SUBSCRIPTIONS).map(|n| format!("P-{n}"));
    let subscriptions: Vec<_> = numbers.map(|number| (number.clone(), order(&site.sandbox, &number))).collect();
    site.sandbox.script("P-1-1", Script::codes([1010]));
    let mut logs = Vec::new();
    for (n, (number, id)) in subscriptions.iter().enumerate() {
        let track = ["track", number, &id.to_string(), "--territory", "eu", "--generation", "0"];
        let strace = recorder(&site, &format!("track-{n}.log"));
        let daemon = strace.start(&site, &track);
        let process = daemon.id();
        daemon.wait().expect_code(0);
        logs.push(strace.log(process));
    }
    let tracked_at = SystemTime::now();

    let mut sent = 0;
    let mut renew = |rng: &mut fastrand::Rng| {
        for _ in 0..3 {
            site.renew(&subscriptions[rng.usize(..SUBSCRIPTIONS)].0);
            sent += 1;
        }
        sent
    };
    let run = |name: &str| {
        let strace = recorder(&site, name);
        let daemon = strace.start(&site, &["run"]);
        (daemon.id(), daemon, strace)
    };
    renew(rng);
    let (process, daemon, strace) = run("run.log");
    site.receiver.wait_for_messages(renew(rng));
    let checkpoint = recorder(&site, "checkpoint.log");
    logs.push(checkpoint.run(&["python3", "-c", CHECKPOINT, &site.database().display().to_string()]));
    site.receiver.wait_for_messages(renew(rng));
    site.receiver.wait_for_messages(renew(rng));
    // Else the next run would have to wait until an attempt of this one is over.
    eventually("all are marked", || (site.value::<i64>(PENDING) == 0).then_some(()));
    daemon.kill();
    logs.push(strace.log(process));

    // Between two runs nobody else may open the database: whoever is the last to close it writes.
    renew(rng);
    let (process, daemon, strace) = run("again.log");
    site.receiver.wait_for_messages(renew(rng));
    daemon.drain();
    logs.push(strace.log(process));
    let done = writes::read(&logs, &site.path(""));
    Life { sandbox: site.sandbox.clone(), subscriptions, done, sent: site.messages(), tracked_at }
}

const PENDING: &str = "SELECT count(*) FROM dispatches WHERE state = 'pending'";

/// What a daemon does by itself every 4000 pages.
const CHECKPOINT: &str = "
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=20)
busy, pages, moved = db.execute('PRAGMA wal_checkpoint(RESTART)').fetchone()
assert not busy and pages == moved > 0, (busy, pages, moved)
";

fn recorder(site: &Installation, log: &str) -> Strace {
    Strace::of(site, writes::CALLS, log).on_the_database(site).with(&writes::WITH_BYTES)
}

fn go_on(life: &Life, cut: Cut) -> After {
    let site = Site::at(life.sandbox.clone(), Setup::webhook);
    for (name, bytes) in after_cut(&life.done, cut.at, cut.tail, &mut fastrand::Rng::with_seed(cut.seed)) {
        fs::write(site.path(&name), bytes).expect("it is written");
    }
    site.command(&["check"]).expect_code(0);
    // Creates the database where the power went before there was one.
    fs::write(site.path("none.jsonl"), "").expect("it is written");
    site.command(&["import", "none.jsonl"]).expect_code(0);
    let known: BTreeSet<_> = site.texts("SELECT partner_order_number FROM subscriptions").into_iter().collect();
    for (number, id) in &life.subscriptions {
        assert!(known.contains(number) || cut.at < life.tracked_at, "LOST: {number} was tracked");
        site.track(number, id);
    }
    let delivered = "SELECT m.id FROM messages m JOIN dispatches d ON d.message = m.seq WHERE d.state = 'delivered'";
    let delivered: BTreeSet<_> = site.texts(delivered).into_iter().collect();
    oracle::finish(&site);
    let again = site.messages();
    let needless = again.iter().find(|message| delivered.contains(&message.id));
    assert!(needless.is_none(), "what is marked as delivered is not sent again: {needless:?}");
    let mut received: Vec<_> = life.sent.iter().filter(|message| message.arrived_at < cut.at).cloned().collect();
    let sent = received.len();
    received.extend(again);
    let held = oracle::judge(&site, &received);
    oracle::assert_in_order(&received);
    After { repeats: held.repeats, sent, tail: cut.tail }
}
