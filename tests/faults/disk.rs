//! A disk that is full, and a directory that may not be written to: the daemon stops, says so, and goes on by itself.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use renewald::sandbox::nexway_connect::{Endpoint, Fault, FaultKind};

use crate::fake_receiver::Answer;
use crate::harness::{Daemon, Installation, PATIENCE, Site, numbered};
use crate::http::{Endpoint as Admin, free_port};
use crate::nexway_connect::order;
use crate::strace::Strace;
use crate::{Round, Tally, Trial, oracle};

pub const FULL: Trial =
    Trial { name: "disk", what: "the disk is full or read-only for a while, or the directory", long: 20, run: full };

const SUBSCRIPTIONS: usize = 20;
/// How long the trouble lasts: some probes long.
const LASTS: Duration = Duration::from_secs(22);
/// What the daemon had in hand when the first write failed may still come to its end.
const IN_HAND: Duration = Duration::from_secs(1);
const PROBES_EVERY: Duration = Duration::from_secs(10);
/// As much as some polls or probes may still find room for; and less than a single commit of marks needs.
const LEFT_AT_MOST: u64 = 12 * 4096;
const LEFT_FOR_MARKS: u64 = 3 * 4096;

/// What it is doing when the disk takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Sweep,
    Relay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// But for so many bytes.
    Full(u64),
    /// As a file system that has met an error and became read-only under its files.
    ReadOnly,
}

fn full(round: &mut Round) -> Tally {
    let mut left = |at_most: u64| round.rng.u64(4096..at_most);
    let troubles = [
        (Doing::Sweep, Trouble::Full(0)),
        (Doing::Relay, Trouble::Full(0)),
        (Doing::Sweep, Trouble::Full(left(LEFT_AT_MOST))),
        (Doing::Relay, Trouble::Full(left(LEFT_FOR_MARKS))),
        (Doing::Sweep, Trouble::ReadOnly),
    ];
    // They wait most of the time: all at once.
    let failed = std::thread::scope(|scope| {
        let running: Vec<_> =
            troubles.map(|(doing, trouble)| scope.spawn(move || goes_on_after(doing, trouble))).into();
        read_only_directory();
        running.into_iter().map(|case| case.join().expect("it held")).sum()
    });
    Tally::of(troubles.len() as u64 + 1).count("failed writes", failed)
}

/// A small file system of its own. Only root can make one.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn at(place: PathBuf) -> Self {
        fs::create_dir(&place).expect("a directory");
        let line = ["-t", "tmpfs", "-o", "size=8m", "renewald-test"];
        let mounted = Command::new("mount").args(line).arg(&place).output().expect("mount is installed");
        let said = String::from_utf8_lossy(&mounted.stderr);
        assert!(
            mounted.status.success(),
            "this trial needs a small disk of its own, which only root can mount: {said}"
        );
        Self(place)
    }

    /// Fills it up to the last so many bytes; the file that does so.
    fn fill(&self, left: u64) -> PathBuf {
        let filler = self.0.join("filler");
        let mut file = fs::File::create(&filler).expect("a file");
        while file.write(&[0xa5; 4096]).is_ok_and(|written| written > 0) {}
        let length = file.metadata().expect("its length").len();
        file.set_len(length - left).expect("it is cut");
        filler
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: where a trial has failed, a process may still be there.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// Makes it fail, looks what the daemon does meanwhile, mends it, and judges. How many writes failed.
fn goes_on_after(doing: Doing, trouble: Trouble) -> u64 {
    let port = free_port();
    let site = Site::with(|setup| {
        setup.every = "1s";
        setup.database = "disk/renewald.db";
        setup.log_level = "info";
        setup.listen(format_args!("127.0.0.1:{port}"));
    });
    let disk = Tmpfs::at(site.path("disk"));
    let numbers = numbered("D-", SUBSCRIPTIONS);
    site.order_all(&numbers);
    let mut daemon = Daemon::spawn(&site);
    daemon.wait_for_log("admin endpoint is open");
    begin(doing, &site, &numbers);

    let watched = Watched::begin(&site, &daemon, trouble);
    let filler = if let Trouble::Full(left) = trouble { Some(disk.fill(left)) } else { None };
    match doing {
        Doing::Sweep => numbers.iter().for_each(|number| site.renew(number)),
        Doing::Relay => site.receiver.release(),
    }
    daemon.wait_for_log(COMPLAINT);
    sleep(IN_HAND);
    let admin = Admin::at(port);
    let before = (site.sandbox.request_count(), site.messages().len());
    for _ in 0..LASTS.as_secs() {
        let told = admin.get("/readyz");
        if !matches!(trouble, Trouble::Full(1..)) {
            let reason = told.expect(503).json()["reasons"][0].as_str().expect("a reason").to_owned();
            assert!(reason.starts_with("the database cannot be written: "), "{reason}");
        }
        sleep(Duration::from_secs(1));
    }
    let after = (site.sandbox.request_count(), site.messages().len());
    let complaints = daemon.stderr().lines().filter(|line| line.contains("the database")).count();
    assert_eq!(complaints, 1, "{doing:?}, {trouble:?}: told at most once a minute: {}", daemon.stderr());
    if let Trouble::Full(1..) = trouble {
        // A probe may find room where work finds none. Then work is tried, once for each probe.
        let tries = LASTS.as_secs() / PROBES_EVERY.as_secs() + 1;
        assert!(after.0 - before.0 <= tries * (SUBSCRIPTIONS as u64 + 2), "{before:?}, {after:?}");
    } else {
        assert_eq!(before, after, "{doing:?}, {trouble:?}: nothing is asked or published meanwhile");
    }
    let failed = watched.end(trouble);
    filler.into_iter().for_each(|filler| fs::remove_file(filler).expect("it is ours"));

    site.sandbox.clear_faults();
    site.sandbox.release();
    site.receiver.wait_for_messages(SUBSCRIPTIONS);
    daemon.wait_for_log("writing to the database works again");
    admin.get("/readyz").expect(200);
    assert!(daemon.status().is_none(), "without a restart");
    daemon.drain();
    oracle::finish(&site);
    oracle::judge(&site, &site.messages());
    failed
}

const COMPLAINT: &str = "cannot write to the database: nothing is asked or published until it works again";

/// Brings it to what it is to be doing.
fn begin(doing: Doing, site: &Site, numbers: &[String]) {
    let asked = |after: u64| {
        let seen = |request: &renewald::sandbox::nexway_connect::Request| {
            request.seq >= after && request.endpoint == Endpoint::Status
        };
        site.sandbox.wait_for(seen, PATIENCE).expect("it works");
    };
    if doing == Doing::Relay {
        site.receiver.answer(Answer::Held(200));
        numbers.iter().for_each(|number| site.renew(number));
        site.receiver.wait_for_messages(1);
        // So that no answer of the provider is what cannot be written down.
        let fault = Fault::new(FaultKind::Hold).at(Endpoint::Status);
        let before = site.sandbox.request_count();
        site.sandbox.fault(fault);
        return asked(before);
    }
    asked(0);
}

/// strace, which writes down the writes that fail, or makes them fail.
struct Watched {
    strace: Strace,
    process: Child,
}

impl Watched {
    fn begin(site: &Installation, daemon: &Daemon, trouble: Trouble) -> Self {
        let strace = Strace::of(site, "pwrite64", "failed.log").on_the_database(site).with(&["-Z"]);
        let strace = match trouble {
            Trouble::Full(_) => strace,
            Trouble::ReadOnly => strace.with(&["-e", "inject=pwrite64:error=EROFS"]),
        };
        let process = strace.attach(daemon.id());
        Self { strace, process }
    }

    /// Lets go of the daemon. However many failed, each was a probe but for those that were in hand at first.
    fn end(mut self, trouble: Trouble) -> u64 {
        let stopped = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        assert!(stopped.expect("kill").success());
        self.process.wait().expect("it is ours");
        let log = self.strace.log_so_far();
        let at = |line: &str| line.split_whitespace().nth(1).and_then(|time| time.parse::<f64>().ok());
        let failed: Vec<f64> = log.lines().filter(|line| line.contains("pwrite64(")).filter_map(at).collect();
        let first = *failed.first().expect("a write has failed");
        let probes: Vec<_> = failed.iter().filter(|at| **at > first + IN_HAND.as_secs_f64()).collect();
        if !matches!(trouble, Trouble::Full(1..)) {
            assert!(probes.len() >= 2, "it is tried again and again: {failed:?}");
            let apart = probes.windows(2).map(|two| two[1] - two[0]);
            assert!(
                apart.clone().all(|apart| apart > 0.9 * PROBES_EVERY.as_secs_f64()),
                "one probe at a time: {failed:?}"
            );
        }
        failed.len() as u64
    }
}

/// Names can neither be made nor removed: a daemon that has its files goes on; who has to make them says why it cannot.
fn read_only_directory() {
    const NOBODY: u32 = 65534;
    let site = Site::with(|setup| {
        setup.every = "1s";
        setup.database = "data/renewald.db";
    });
    let directory = site.path("data");
    let set_mode = |mode| fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).expect("it is ours");
    fs::create_dir(&directory).expect("a directory");
    chown(&directory, Some(NOBODY), Some(NOBODY)).expect("this trial becomes another user, which only root can");
    chown(site.path(""), Some(NOBODY), Some(NOBODY)).expect("as above");
    set_mode(0o555);
    let refused = site.command(&["run"]).expect_code(73);
    assert!(refused.stderr.contains("Permission denied"), "{refused:?}");

    set_mode(0o755);
    let id = order(&site.sandbox, "D").to_string();
    site.command(&["track", "D", &id, "--territory", "eu", "--generation", "0"]).expect_code(0);
    let daemon = Daemon::spawn(&site);
    let before = site.sandbox.request_count();
    site.sandbox.wait_for(|request| request.seq >= before && request.status == Some(200), PATIENCE).expect("it works");
    set_mode(0o555);
    site.renew("D");
    site.receiver.wait_for_messages(1);
    daemon.drain();
    // It could not remove its write-ahead log, and that is no harm: the next run has it.
    site.catch_up();
    set_mode(0o755);
    site.catch_up();
    assert!(!directory.join("renewald.db-wal").exists(), "now it could");
    set_mode(0o555);
    let refused = site.command(&["once"]).expect_code(75);
    assert!(refused.stderr.contains("is one of them read-only"), "{refused:?}");
    set_mode(0o755);
    oracle::finish(&site);
    oracle::judge(&site, &site.messages());
}
