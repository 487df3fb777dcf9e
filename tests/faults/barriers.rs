//! SIGKILL at each point of the path: just before each write and each sync of the database, each new name of it, each byte sent and
//! each received.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::at_once::run_on_all_cores;
use crate::harness::{Installation, Site};
use crate::nexway_connect::order;
use crate::strace::Strace;
use crate::{Round, Tally, Trial, oracle};

pub const AT_EACH: Trial = Trial {
    name: "barriers",
    what: "kill -9 before each write, sync, send and receive of a way",
    long: 20,
    run: at_each,
};

/// Points of one kind, counted by strace in each thread for itself; all but those of the database are the main thread's.
pub struct Kind {
    pub name: &'static str,
    pub call: &'static str,
    pub on_the_database: bool,
    pub may_be_missing: bool,
}

pub const WRITES: Kind = Kind { name: "writes", call: "pwrite64", on_the_database: true, may_be_missing: false };
pub const SYNCS: Kind = Kind { name: "syncs", call: "fsync", on_the_database: true, may_be_missing: false };
pub const CUTS: Kind = Kind { name: "cuts", call: "ftruncate", on_the_database: true, may_be_missing: true };
pub const REMOVALS: Kind = Kind { name: "removals", call: "unlink", on_the_database: true, may_be_missing: true };
const LINKS: Kind = Kind { name: "links", call: "linkat", on_the_database: true, may_be_missing: false };
/// strace looks at the first of two paths, which is the copy's here.
const RENAMES: Kind = Kind { name: "renames", call: "rename", on_the_database: false, may_be_missing: false };
pub const SENDS: Kind = Kind { name: "sends", call: "writev", on_the_database: false, may_be_missing: false };
pub const RECEIVES: Kind = Kind { name: "receives", call: "recvfrom", on_the_database: false, may_be_missing: false };

/// A command that is killed on its way, and what was there before it.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    /// Whether there is a database with subscriptions in it before.
    begun: bool,
    command: fn(&Installation, i64) -> Vec<String>,
    kinds: &'static [Kind],
}

const WAYS: [Way; 4] = [
    Way { name: "create", begun: false, command: track, kinds: &[WRITES, SYNCS, CUTS, REMOVALS] },
    Way { name: "track", begun: true, command: track, kinds: &[WRITES, SYNCS, CUTS, REMOVALS] },
    Way { name: "once", begun: true, command: once, kinds: &[WRITES, SYNCS, CUTS, REMOVALS, SENDS, RECEIVES] },
    Way { name: "restore", begun: true, command: restore, kinds: &[WRITES, SYNCS, CUTS, REMOVALS, LINKS, RENAMES] },
];

fn track(_: &Installation, id: i64) -> Vec<String> {
    let id = id.to_string();
    ["track", "B", &id, "--territory", "eu", "--generation", "0"].map(str::to_owned).into()
}

fn once(_: &Installation, _: i64) -> Vec<String> {
    vec!["once".to_owned()]
}

/// Of a database that knows B to one that does not.
fn restore(site: &Installation, id: i64) -> Vec<String> {
    site.command(&["backup", "copy.db"]).expect_code(0);
    site.track("B", id);
    ["restore", "copy.db", "--yes"].map(str::to_owned).into()
}

fn at_each(_: &mut Round) -> Tally {
    let mut tally = Tally::default();
    for way in WAYS {
        for kind in way.kinds {
            let killed = until_none_is_left(|n| kill_at(way, kind, n));
            assert!(killed > 0 || kind.may_be_missing, "{}: no {}", way.name, kind.call);
            tally.join(Tally::of(killed).count(kind.name, killed));
        }
    }
    tally
}

/// N = 1, 2, … until a run ends by itself. How many were killed.
pub fn until_none_is_left(kill_at: impl Fn(u64) -> bool + Sync) -> u64 {
    let (next, ended) = (AtomicU64::new(1), AtomicBool::new(false));
    let killed = AtomicU64::new(0);
    run_on_all_cores(|| {
        while !ended.load(Ordering::Relaxed) {
            match kill_at(next.fetch_add(1, Ordering::Relaxed)) {
                true => drop(killed.fetch_add(1, Ordering::Relaxed)),
                false => ended.store(true, Ordering::Relaxed),
            };
        }
    });
    killed.into_inner()
}

/// Kills it before the n-th call, starts it again and judges. False when it ended before there were so many.
fn kill_at(way: Way, kind: &Kind, n: u64) -> bool {
    let site = Site::new();
    let ids = ["A", "B"].map(|number| order(&site.sandbox, number));
    if way.begun {
        site.track("A", ids[0]);
    }
    renew(&site);
    let inject = format!("inject={}:signal=KILL:when={n}", kind.call);
    let strace = Strace::of(&site, kind.call, "strace.log").with(&["-e", &inject]);
    let strace = if kind.on_the_database { strace.on_the_database(&site) } else { strace };
    let command = (way.command)(&site, ids[1]);
    let daemon = strace.start(&site, &command.iter().map(String::as_str).collect::<Vec<_>>());
    let process = daemon.id();
    let finished = daemon.wait();
    let killed = finished.code.is_none();
    if killed {
        assert!(strace.log(process).contains("+++ killed by SIGKILL"), "strace did it");
    } else {
        finished.expect_code(0);
    }
    // Whoever was not told that it is tracked tracks it again.
    ["A", "B"].iter().zip(ids).for_each(|(number, id)| site.track(number, id));
    oracle::finish(&site);
    oracle::judge(&site, &site.messages());
    oracle::assert_in_order(&site.messages());
    killed
}

fn renew(site: &Site) {
    site.renew_times("A", 2);
    site.renew("B");
}
