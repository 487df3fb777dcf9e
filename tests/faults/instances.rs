//! Several instances at one database, of which exactly one works: the others end with 75 at once, and nobody is told of a lock.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use fastrand::Rng;
use renewald::sandbox::nexway_connect::{Endpoint, Fault, FaultKind};

use crate::harness::{Daemon, PATIENCE, Site, eventually};
use crate::{Round, Tally, Trial, at_once, oracle};

pub const AT_ONCE: Trial =
    Trial { name: "instances", what: "five started at once; the holder stopped for seconds", long: 3, run: at_once };

const FIVE: usize = 5;
/// "At once" on a machine where five are started at the same time, and others besides.
const AT_ONCE_IS: Duration = Duration::from_secs(5);
const STOPPED: Duration = Duration::from_secs(3);

/// What is there before they are started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Directory {
    Empty,
    Full,
}

/// What came of it.
#[derive(Default)]
struct Started {
    starts: u64,
    refused: u64,
    stops: u64,
}

fn at_once(round: &mut Round) -> Tally {
    let directories = [Directory::Empty, Directory::Full, Directory::Empty, Directory::Full];
    let begun = directories.map(|directory| (directory, round.rng.u64(..)));
    let all = at_once::each(begun, |(directory, seed)| start_five(directory, &mut Rng::with_seed(seed)));
    let sum = |count: fn(&Started) -> u64| all.iter().map(count).sum::<u64>();
    assert_eq!(sum(|one| one.refused), sum(|one| one.starts) - all.len() as u64);
    Tally::of(sum(|one| one.starts))
        .count("refused with 75", sum(|one| one.refused))
        .count("holders stopped", sum(|one| one.stops))
}

fn start_five(directory: Directory, rng: &mut Rng) -> Started {
    let site = Site::with(|setup| setup.every = "1s");
    if directory == Directory::Full {
        track(&site);
        // The holder is at work as long as the others try, `once` as well.
        site.sandbox.fault(Fault::new(FaultKind::Hold).at(Endpoint::Status));
    }
    let mut started = Started { starts: FIVE as u64, ..Started::default() };
    // On an empty directory `once` has nothing to do, and would be gone before the others come.
    let words = |rng: &mut Rng| match directory {
        Directory::Empty => RUN,
        Directory::Full => [RUN, ONCE, CRON][rng.usize(..3)],
    };
    let begun = Instant::now();
    let all = (0..FIVE).map(|_| site.start(words(rng))).collect();
    let (holder, refused) = one_is_left(all, begun);
    started.refused += refused;
    if directory == Directory::Empty {
        track(&site);
    }
    site.sandbox
        .wait_for(|request| request.endpoint == Endpoint::Status, PATIENCE)
        .expect("the one that is left works");

    // Stopped, it still holds the lock; whoever is started meanwhile does not wait for it.
    holder.signal("STOP", 1);
    eventually("it is stopped", || is_stopped(&holder).then_some(()));
    let stopped = Instant::now();
    let mut tried = 0;
    while tried == 0 || stopped.elapsed() < STOPPED {
        let begun = Instant::now();
        let all: Vec<_> = (0..2).map(|_| site.start([RUN, ONCE, CRON][rng.usize(..3)])).collect();
        tried += all.len() as u64;
        all.into_iter().for_each(|one| expect_refused(one, begun));
        site.command(&["list"]).expect_code(0);
    }
    started.stops += 1;
    started.starts += tried;
    started.refused += tried;
    site.sandbox.clear_faults();
    site.sandbox.release();
    holder.signal("CONT", 1);
    site.receiver.wait_for_messages(RENEWED);
    holder.terminate();
    let end = holder.wait();
    assert!(matches!(end.code, Some(0 | 75)), "a pass that is ended early leaves work: {end:?}");
    oracle::finish(&site);
    oracle::judge(&site, &site.messages());
    for n in 0.. {
        let Ok(stderr) = fs::read_to_string(site.path(&format!("{n}.stderr"))) else { break };
        assert!(!stderr.contains("database is locked") && !stderr.contains("panicked"), "{stderr}");
    }
    started
}

const RUN: &[&str] = &["run"];
const ONCE: &[&str] = &["once"];
const CRON: &[&str] = &["once", "--cron"];

const RENEWED: usize = 5;

fn track(site: &Site) {
    for number in (0..RENEWED).map(|n| format!("I-{n}")) {
        site.renewed(&number);
    }
}

/// Waits until all but one have ended, as they must; how many have.
fn one_is_left(mut running: Vec<Daemon>, begun: Instant) -> (Daemon, u64) {
    let mut ended = Vec::new();
    eventually("all but one have ended", || {
        ended.extend(running.extract_if(.., |one| one.status().is_some()));
        (running.len() == 1).then_some(())
    });
    let refused = ended.len() as u64;
    ended.into_iter().for_each(|one| expect_refused(one, begun));
    (running.remove(0), refused)
}

fn expect_refused(one: Daemon, begun: Instant) {
    let finished = one.wait().expect_code(75);
    let took = begun.elapsed();
    assert!(took < AT_ONCE_IS, "refused at once: {took:?}");
    let silent = finished.stderr.is_empty() && finished.stdout.is_empty();
    assert!(silent || finished.stderr.contains("another renewald works on"), "{finished:?}");
}

fn is_stopped(holder: &Daemon) -> bool {
    let line = ["-o", "stat=", "-p", &holder.id().to_string()].map(str::to_owned);
    let said = Command::new("ps").args(line).output().expect("ps");
    said.stdout.starts_with(b"T")
}
