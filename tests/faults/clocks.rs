//! A wall clock that jumps, stands still and comes back, under the running daemon: libfaketime on the real binary, its
//! monotonic clock left alone.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use renewald::sandbox::{digital_river, nexway_connect, nexway_monetize, smartpay};

use crate::ground::Ground;
use crate::harness::{Daemon, Installation, Site, eventually};
use crate::it::servers;
use crate::{Round, Tally, Trial, oracle};

pub const CLOCKS: Trial = Trial {
    name: "clocks",
    what: "the wall clock set, stopped and slept through",
    long: 20,
    run: run::<nexway_connect::Sandbox>,
};
pub const WITH_LISTS: Trial = Trial {
    name: "monetize-clocks",
    what: "the same where lists are read, and upgrades come between renewals",
    long: 20,
    run: run::<nexway_monetize::Sandbox>,
};
pub const OF_CHARGES: Trial = Trial {
    name: "smartpay-clocks",
    what: "the same where charges are listed, and some succeed late",
    long: 20,
    run: run::<smartpay::Sandbox>,
};
pub const OF_ORDERS: Trial = Trial {
    name: "river-clocks",
    what: "the same where orders are listed",
    long: 20,
    run: run::<digital_river::Sandbox>,
};

const RATE: f64 = 20.0;
const SUBSCRIPTIONS: usize = 20;
const EVERY: Duration = Duration::from_secs(2);
/// What a sweep may be late by the monotonic clock: so far may the wall clock go wrong before it is noticed, and then some for
/// looking, for asking everybody and for a busy machine.
const TOLERANCE: Duration = Duration::from_secs(5 + 4);

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

#[derive(Clone, Copy, Debug)]
enum Change {
    /// Seconds from where the clock is wrong now.
    Step(i64),
    /// To right after the beginning of time.
    Epoch,
    Suspended,
    Frozen,
    PutRight,
}

fn changes(round: &mut Round) -> Vec<Change> {
    let steps = [1, HOUR, DAY, YEAR].into_iter().flat_map(|by| [Change::Step(by), Change::Step(-by)]);
    let mut all: Vec<_> = steps.chain([Change::Epoch, Change::Suspended, Change::Frozen]).collect();
    round.rng.shuffle(&mut all);
    all.push(Change::PutRight);
    all
}

fn run<P: Ground>(round: &mut Round) -> Tally {
    let Some(library) = library() else { return Tally::of(0) };
    let site = P::open(|setup| {
        setup.every = "2s";
        setup.requests_per_second = RATE;
    });
    let names = P::subscribe_restless(&site, SUBSCRIPTIONS);
    let mut clock = Clock { file: site.path("faketime"), offset: 0 };
    clock.write(&"+0");
    let daemon = start(&site, &library, &clock);
    everybody_is_asked(&site, &names, Instant::now(), "at the start");
    let (changes, mut longest) = (changes(round), Duration::ZERO);
    for (n, change) in changes.iter().enumerate() {
        let changed = clock.change(*change, &daemon);
        for name in [&names[n % SUBSCRIPTIONS], &names[round.rng.usize(..SUBSCRIPTIONS)]] {
            site.sandbox.let_go_by(Duration::from_secs(1));
            P::deliver(&site, name, &mut round.rng);
        }
        let took = everybody_is_asked(&site, &names, changed, &format!("{change:?} after {:?}", &changes[..n]));
        longest = longest.max(took);
        if matches!(change, Change::Frozen) {
            // It stands still for as long as would be noticed, and longer.
            everybody_is_asked(&site, &names, Instant::now() + EVERY, "frozen still");
        }
        eventually(&format!("what came with {change:?} is delivered after {:?}", &changes[..n]), || {
            (site.messages().len() >= site.sandbox.made().len()).then_some(())
        });
    }
    // Stamped on arrival: a machine that pauses for a tenth of a second pushes what was sent meanwhile into the next. A burst after a
    // change would bring all that was due.
    let most = (RATE * 1.1) as usize + 1;
    assert!(site.sandbox.busiest() <= most, "{} in one second", site.sandbox.busiest());
    daemon.terminate();
    let finished = daemon.wait().expect_code(0);
    assert!(!finished.stderr.contains("panicked"), "{finished:?}");
    oracle::finish(&site);
    let held = oracle::judge(&site, &site.messages());
    oracle::assert_in_order(&site.messages());
    let tally = Tally::of(changes.len() as u64).count("renewals", held.renewals).count("repeats", held.repeats);
    tally.count("ms at the most until everybody was asked, summed", longest.as_millis() as u64)
}

/// The one for programs with threads.
fn library() -> Option<PathBuf> {
    servers::find("faketime", "faketime")?;
    let mut places = fs::read_dir("/usr/lib").expect("a directory").flatten().map(|place| place.path());
    let library = places.find_map(|place| Some(place.join("faketime/libfaketimeMT.so.1")).filter(|file| file.exists()));
    Some(library.expect("the library of that program"))
}

fn start(site: &Installation, library: &std::path::Path, clock: &Clock) -> Daemon {
    let [preload, file] =
        [format!("LD_PRELOAD={}", library.display()), format!("FAKETIME_TIMESTAMP_FILE={}", clock.file.display())];
    let real =
        ["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1", "TZ=UTC"];
    let starter = [&["env", &preload, &file], &real[..]].concat();
    let daemon = site.start_through(&starter, &["run"]);
    daemon.wait_for_log("started");
    daemon
}

/// The wall clock of the daemon.
struct Clock {
    file: PathBuf,
    offset: i64,
}

impl Clock {
    /// Never half written.
    fn write(&self, time: &dyn std::fmt::Display) {
        let part = self.file.with_extension("part");
        fs::write(&part, format!("{time}\n")).expect("a file");
        fs::rename(part, &self.file).expect("a file");
    }

    /// Returns when.
    fn change(&mut self, change: Change, daemon: &Daemon) -> Instant {
        let now = renewald::clock::Timestamp::now();
        self.offset = match change {
            // No kernel lets a clock be set to before 1970.
            Change::Step(by) => (self.offset + by).max(10 - now.as_unix()),
            Change::Suspended => self.offset + 5 * HOUR,
            Change::Epoch => 10 - now.as_unix(),
            Change::PutRight => 0,
            Change::Frozen => self.offset,
        };
        if let Change::Suspended = change {
            daemon.signal("STOP", 1);
        }
        match change {
            // An absolute time stands still.
            Change::Frozen => {
                let shown = renewald::clock::Timestamp::from_unix(now.as_unix() + self.offset).to_string();
                self.write(&shown.trim_end_matches('Z').replace('T', " "));
            }
            _ => self.write(&format!("{:+}", self.offset)),
        }
        if let Change::Suspended = change {
            daemon.signal("CONT", 1);
        }
        Instant::now()
    }
}

/// Every subscription is asked since then, within its interval by the monotonic clock. Returns how long it took.
fn everybody_is_asked(site: &Site<impl Ground>, names: &[String], since: Instant, when: &str) -> Duration {
    let asked = || site.sandbox.asked_about(names, since);
    eventually(&format!("everybody is asked: {when}"), || (asked() == names.len()).then_some(()));
    let took = since.elapsed();
    assert!(took <= EVERY + TOLERANCE, "{when}: only after {took:?}");
    took
}
