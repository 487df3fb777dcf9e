//! How a process ends: within the time promised, and with 0 only if nothing in hand was cut off.

use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use renewald::sandbox::nexway_connect::{Endpoint, Fault, FaultKind};
use rusqlite::Connection;

use crate::fake_receiver::Answer;
use crate::harness::{ACCOUNT, DAY, Daemon, Installation, PATIENCE, Setup, Site, eventually};
use crate::nexway_connect::account;
use crate::{Round, Tally, Trial, at_once, oracle};

pub const ENDS: Trial =
    Trial { name: "signals", what: "SIGTERM whatever it is doing, and storms of SIGHUP", long: 200, run: ends };

/// With no publish in hand, and with one.
const SOON: Duration = Duration::from_secs(2);
const LATE: Duration = Duration::from_secs(20);

/// What a daemon is doing when it is to end.
struct Case {
    name: &'static str,
    /// Brings it there.
    begin: fn(&Scene) -> Daemon,
    within: Duration,
    code: i32,
}

const CASES: [Case; 14] = [
    Case { name: "idle", begin: idle, within: SOON, code: 0 },
    Case { name: "token held", begin: |scene| asking(scene, Endpoint::Token, FaultKind::Hold), within: SOON, code: 0 },
    Case { name: "poll held", begin: |scene| asking(scene, Endpoint::Status, FaultKind::Hold), within: SOON, code: 0 },
    Case {
        name: "answer stalls",
        begin: |scene| asking(scene, Endpoint::Order, FaultKind::Stall),
        within: SOON,
        code: 0,
    },
    Case { name: "provider silent", begin: silent, within: SOON, code: 0 },
    Case { name: "half a request to the admin endpoint", begin: half_a_request, within: SOON, code: 0 },
    Case { name: "publish answered", begin: |scene| publishing(scene, true), within: LATE, code: 0 },
    Case { name: "publish unanswered", begin: |scene| publishing(scene, false), within: LATE, code: 1 },
    Case { name: "database busy, idle", begin: idle_and_busy, within: SOON, code: 0 },
    Case { name: "database busy, nothing begun", begin: busy_from_the_start, within: SOON, code: 0 },
    Case { name: "database busy, results unwritten", begin: unwritten, within: SOON, code: 1 },
    Case { name: "database busy, delivery unmarked", begin: unmarked, within: LATE, code: 1 },
    Case { name: "SIGHUP storm, idle", begin: storm_while_idle, within: SOON, code: 0 },
    Case { name: "SIGHUP storm, publishing", begin: storm_while_publishing, within: LATE, code: 0 },
];

/// One site; who holds its database goes with it.
struct Scene {
    site: Site,
    /// Its settings at the start.
    right: Setup,
    /// Takes connections and never answers.
    nobody: TcpListener,
    busy: Connection,
    releases: Cell<bool>,
    sockets: tempfile::TempDir,
    /// Kept open until the end.
    connection: Cell<Option<OwnedFd>>,
}

impl Scene {
    fn new() -> Self {
        let sockets = tempfile::tempdir().expect("a directory");
        let site = Site::with(|setup| {
            setup.sink_timeout = "60s";
            setup.listen(format_args!("unix:{}", admin(&sockets).display()));
        });
        ["A", "B", "C"].iter().for_each(|number| {
            site.renewed(number);
        });
        let right = site.setup();
        let busy = Connection::open(site.database()).expect("it is there");
        let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self { site, right, nobody, busy, sockets, releases: Cell::new(false), connection: Cell::new(None) }
    }

    fn lock_database(&self) {
        self.busy.busy_timeout(PATIENCE).expect("a time");
        self.busy.execute_batch("BEGIN IMMEDIATE").expect("the lock is free now and then");
    }

    fn unlock_database(&self) {
        if !self.busy.is_autocommit() {
            self.busy.execute_batch("ROLLBACK").expect("it is ours");
        }
    }
}

/// A socket and no port: nobody else on this machine takes it.
fn admin(sockets: &tempfile::TempDir) -> PathBuf {
    sockets.path().join("admin.sock")
}

fn ends(_: &mut Round) -> Tally {
    at_once::each(CASES, |case| end(&case));
    let with = |code| CASES.iter().filter(|case| case.code == code).count() as u64;
    Tally::of(CASES.len() as u64).count("clean ends", with(0)).count("ends that say what was cut off", with(1))
}

/// Measures from the signal to the end, and judges.
fn end(case: &Case) {
    let scene = Scene::new();
    let daemon = (case.begin)(&scene);
    let slack = slack(&scene.site);
    let signalled = Instant::now();
    daemon.terminate();
    if scene.releases.get() {
        daemon.wait_for_log("finishing what is in hand");
        scene.site.receiver.release();
    }
    let finished = daemon.wait();
    let took = signalled.elapsed();
    assert_eq!(finished.code, Some(case.code), "{}: {}", case.name, finished.stderr);
    assert!(took < case.within + slack, "{}: {took:?}, and the machine's own {slack:?}", case.name);
    scene.unlock_database();
    scene.site.sandbox.clear_faults();
    scene.site.sandbox.release();
    scene.site.receiver.answer(Answer::Status(200));
    scene.site.configure(&scene.right);
    oracle::finish(&scene.site);
    oracle::judge(&scene.site, &scene.site.messages());
}

/// What this machine takes now for a process that does nothing: a promise in seconds is not about one that is busy otherwise.
fn slack(site: &Installation) -> Duration {
    let started = Instant::now();
    site.command(&["schema"]).expect_code(0);
    started.elapsed()
}

fn idle(scene: &Scene) -> Daemon {
    let daemon = Daemon::spawn(&scene.site);
    scene.site.wait_until_delivered(3);
    daemon
}

fn asking(scene: &Scene, endpoint: Endpoint, fault: FaultKind) -> Daemon {
    scene.site.sandbox.fault(Fault::new(fault).at(endpoint));
    let daemon = Daemon::spawn(&scene.site);
    scene.site.sandbox.wait_for(|request| request.endpoint == endpoint, PATIENCE).expect("it is asked");
    daemon
}

/// Somebody listens, and never accepts.
fn silent(scene: &Scene) -> Daemon {
    let url = format!("http://{}", scene.nobody.local_addr().expect("it is bound"));
    scene.site.change(|setup| {
        setup.accounts[0] = account(ACCOUNT, &url, &url);
        setup.listen("");
        setup.sink_timeout = "15s";
    });
    let daemon = Daemon::spawn(&scene.site);
    let (connection, _) = scene.nobody.accept().expect("a connection");
    connection.peek(&mut [0]).expect("a request");
    scene.connection.set(Some(connection.into()));
    daemon
}

fn half_a_request(scene: &Scene) -> Daemon {
    let daemon = idle(scene);
    let mut connection = UnixStream::connect(admin(&scene.sockets)).expect("it listens");
    connection.write_all(b"GET /readyz HTTP/1.1\r\n").expect("it reads");
    scene.connection.set(Some(connection.into()));
    daemon
}

fn publishing(scene: &Scene, is_answered: bool) -> Daemon {
    scene.site.receiver.answer(if is_answered { Answer::Held(200) } else { Answer::Never });
    scene.releases.set(is_answered);
    let daemon = Daemon::spawn(&scene.site);
    scene.site.receiver.wait_for_messages(3);
    daemon
}

fn idle_and_busy(scene: &Scene) -> Daemon {
    let daemon = idle(scene);
    scene.lock_database();
    daemon
}

/// Messages wait, and none can be taken in hand.
fn busy_from_the_start(scene: &Scene) -> Daemon {
    scene.site.receiver.answer(Answer::Status(503));
    let daemon = Daemon::spawn(&scene.site);
    let in_trouble = "SELECT count(*) FROM sinks";
    eventually("the sink is in trouble", || (scene.site.value::<i64>(in_trouble) > 0).then_some(()));
    daemon.kill();
    scene.site.receiver.answer(Answer::Status(200));
    scene.site.let_pass(DAY);
    let before = scene.site.messages().len();
    scene.lock_database();
    let daemon = Daemon::spawn(&scene.site);
    eventually("the thread that writes waits for the database", || is_writer_waiting(&daemon).then_some(()));
    assert_eq!(scene.site.messages().len(), before);
    daemon
}

/// The answers have come, and cannot be written down.
fn unwritten(scene: &Scene) -> Daemon {
    let daemon = asking(scene, Endpoint::Status, FaultKind::Hold);
    scene.lock_database();
    scene.site.sandbox.clear_faults();
    scene.site.sandbox.release();
    let answered = |request: &renewald::sandbox::nexway_connect::Request| {
        request.endpoint == Endpoint::Status && request.status.is_some()
    };
    scene.site.sandbox.wait_for(answered, PATIENCE).expect("it is answered");
    eventually("the thread that writes waits for the database", || is_writer_waiting(&daemon).then_some(()));
    daemon
}

/// SQLite sleeps between its looks whether the database is free.
fn is_writer_waiting(daemon: &Daemon) -> bool {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.id())).expect("it runs");
    let read = |task: &fs::DirEntry, file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
    tasks.flatten().any(|task| read(&task, "comm") == "store-writer\n" && read(&task, "wchan").contains("nanosleep"))
}

/// The receiver has taken it, and that cannot be written down.
fn unmarked(scene: &Scene) -> Daemon {
    let daemon = publishing(scene, true);
    scene.lock_database();
    daemon
}

/// Each is a reload, or at least one after the last.
fn storm_while_idle(scene: &Scene) -> Daemon {
    let daemon = idle(scene);
    storm(&daemon);
    daemon
}

fn storm_while_publishing(scene: &Scene) -> Daemon {
    let daemon = publishing(scene, true);
    storm(&daemon);
    daemon
}

fn storm(daemon: &Daemon) {
    const HANGUPS: usize = 200;
    daemon.signal("HUP", HANGUPS);
    daemon.wait_for_log("reading the settings again");
}
