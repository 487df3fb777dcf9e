//! Months in one process: its memory, its log and its descriptors must not grow with the days.
//!
//! The process that is measured does the daemon's own passes and nothing else ([`work`]); provider, receiver and oracle are
//! in another. Time is the sandbox's: within each hour it passes when a real daemon would ask again after 10 s, 1 min, 5 min
//! and 30 min. A round is ten days; nine rounds or more are 90 days of 100,000 subscriptions in one process, a single round is
//! ten days of 5,000. Each is asked daily, 1 % renew a day, 5 % of the requests fail, and 5 % of the messages.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use renewald::clock::Timestamp;
use renewald::daemon::Worker;
use renewald::sandbox::nexway_connect::{Endpoint, ErrorBody, Fault, FaultKind, NewOrder, Sandbox};
use renewald::settings::Settings;
use renewald::store::{Access, InstanceLock, Store};

use crate::fake_receiver::Answer;
use crate::harness::{HOUR, Installation, Site, Track, numbered};
use crate::{Round, Tally, Trial, oracle};

pub const SOAK: Trial = Trial { name: "soak", what: "ninety days in one process, ten a round", long: 9, run: ten_days };

/// The first argument of the process that is measured.
const WORKER: &str = "soak-worker";
/// So many rounds are one life.
const ROUNDS: u64 = 9;
const DAYS: u64 = 10;
/// By then everything that is kept in memory is there once. The file, and what SQLite keeps of it, grows until the first payloads
/// are wiped, after 30 days: a long life is measured from then on.
const EARLY_DAY: u64 = 3;
const EARLY_DAY_OF_LONG: u64 = 35;
/// When the daemon looks within an hour.
const MOMENTS: [u64; 5] = [0, 15, 90, 450, 2400];
const FAULTS: f64 = 0.05;
const WAL_BYTES: u64 = 64 << 20;
/// Connections that are kept open come and go.
const CONNECTIONS: u64 = 8;

/// What goes on from one round to the next.
static LIFE: Mutex<Option<Life>> = Mutex::new(None);

fn ten_days(round: &mut Round) -> Tally {
    let of = round.of.min(ROUNDS);
    if round.number >= ROUNDS && round.of > 1 {
        return Tally::default(); // the ninety days are over
    }
    // Not there for the next round if this one fails.
    let before = LIFE.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
    let mut life = before.unwrap_or_else(|| match of {
        ROUNDS => Life::begin(100_000, EARLY_DAY_OF_LONG),
        _ => Life::begin(5_000, EARLY_DAY),
    });
    let begun = (life.polls, life.failures, life.renewed);
    for _ in 0..DAYS {
        life.day(&mut round.rng);
    }
    life.settle();
    let held = oracle::judge(&life.site, &life.site.messages());
    assert_eq!(held.renewals, life.renewed, "all that was renewed was judged");
    let now = life.worker.figures(&life.site);
    // On the first days of a long life there is nothing to compare with yet.
    let early = life.early.unwrap_or(now);
    assert!(now.memory * 100 < early.memory * 105, "memory grew from {} to {} kB", early.memory, now.memory);
    assert!(
        now.descriptors <= early.descriptors + CONNECTIONS,
        "descriptors: {} became {}",
        early.descriptors,
        now.descriptors
    );
    let mut tally = Tally::of(DAYS)
        .count("polls", life.polls - begun.0)
        .count("failed", life.failures - begun.1)
        .count("renewals", life.renewed - begun.2);
    if life.days == of * DAYS {
        tally = tally
            .count("subscriptions", life.numbers.len() as u64)
            .count("repeats", held.repeats)
            .count("kB resident early", early.memory)
            .count("kB at the end", now.memory)
            .count("kB of log at most", life.log / 1024)
            .count("descriptors", now.descriptors);
    } else {
        *LIFE.lock().expect("nobody panics with it") = Some(life);
    }
    tally
}

/// Faults that cost no real time: what stalls is tried elsewhere.
fn add_faults(sandbox: &Sandbox) {
    let status = |status| FaultKind::Status { status, body: ErrorBody::Html, retry_after: None };
    let kinds = [
        status(500),
        status(503),
        FaultKind::CutBefore,
        FaultKind::CutMidBody,
        FaultKind::TruncatedJson,
        FaultKind::Html,
        FaultKind::EmptyObject,
        FaultKind::DuplicateKeys,
    ];
    let each = FAULTS / kinds.len() as f64;
    for kind in kinds {
        for endpoint in [Endpoint::Status, Endpoint::Order] {
            sandbox.fault(Fault::new(kind.clone()).at(endpoint).probability(each));
        }
    }
}

struct Life {
    site: Site,
    worker: Measured,
    numbers: Vec<String>,
    /// When memory is measured for the first time.
    early_day: u64,
    days: u64,
    renewed: u64,
    polls: u64,
    failures: u64,
    /// The largest that the write-ahead log was.
    log: u64,
    early: Option<Figures>,
}

impl Life {
    fn begin(subscriptions: usize, early_day: u64) -> Self {
        let site = Site::with(|setup| (setup.every, setup.log_level) = ("24h", "info"));
        let numbers = numbered("S-", subscriptions);
        let id = |number: &String| {
            site.sandbox.create_order(NewOrder::new(number.as_str())).expect("a new order").subscription_ids()[0]
        };
        let ids: Vec<i64> = numbers.iter().map(id).collect();
        site.track_all(numbers.iter().zip(ids).map(|(number, id)| Track::new(number, id)));
        let worker = Measured::start(&site);
        let mut life =
            Self { site, worker, numbers, early_day, days: 0, renewed: 0, polls: 0, failures: 0, log: 0, early: None };
        // Asked for the first time, and then spread over the day.
        life.hour();
        life
    }

    fn day(&mut self, rng: &mut Rng) {
        add_faults(&self.site.sandbox);
        let mut left = self.numbers.len() / 100;
        for hours_left in (1..=24).rev() {
            let now = left / hours_left;
            left -= now;
            for _ in 0..now {
                let number = &self.numbers[rng.usize(..self.numbers.len())];
                self.site.renew(number);
                self.renewed += 1;
            }
            let refused = (0..now).filter(|_| rng.f64() < FAULTS);
            self.site.receiver.answer_next(refused.map(|_| Answer::Status(400)));
            if rng.f64() < FAULTS {
                self.site.receiver.answer_next([Answer::Cut, Answer::Status(503)]);
            }
            self.hour();
        }
        self.site.sandbox.clear_faults();
        self.days += 1;
        assert!(self.failures > 0, "requests failed");
        assert_eq!(self.overdue(), 0, "on day {} everybody was answered for in time", self.days);
        if self.days == self.early_day {
            self.early = Some(self.worker.figures(&self.site));
        }
    }

    fn hour(&mut self) {
        let start = self.site.now();
        for moment in MOMENTS {
            self.site.sandbox.set_now(start + Duration::from_secs(moment));
            let [polls, failures] = self.worker.pass(self.site.now());
            self.polls += polls;
            self.failures += failures;
            self.log = self.log.max(self.worker.figures(&self.site).log);
        }
        assert!(self.log < WAL_BYTES, "{} bytes of write-ahead log", self.log);
        self.site.sandbox.set_now(start + HOUR);
    }

    /// Until everything that was renewed is delivered: who was renewed while order data waited is asked a day later.
    fn settle(&mut self) {
        const UNFINISHED: &str = "SELECT (SELECT count(*) FROM dispatches WHERE state <> 'delivered')
                                       + (SELECT count(*) FROM renewals WHERE state <> 'queued')";
        for _ in 0..3 * 24 {
            self.hour();
            let recorded: i64 = self.site.value("SELECT count(*) FROM renewals");
            if recorded as u64 >= self.renewed && self.site.value::<i64>(UNFINISHED) == 0 {
                return;
            }
        }
        panic!("{} renewals are not delivered after three more days", self.site.value::<i64>(UNFINISHED));
    }

    /// Design section 2: nobody waits longer than 1.1 times the interval, but for order data; or after five failures in a row,
    /// which one poll of three million meets here: then it is asked at its interval, and that is told.
    fn overdue(&self) -> i64 {
        let now = self.site.now().as_unix();
        self.site.value(&format!(
            "SELECT count(*) FROM subscriptions s WHERE s.last_answer_at < {now} - 86400 * 1.1 AND s.failures < 5
             AND NOT EXISTS (SELECT 1 FROM renewals r WHERE r.subscription = s.id AND r.state = 'awaiting_order_data')"
        ))
    }
}

/// What must not grow.
#[derive(Clone, Copy, Debug)]
struct Figures {
    /// kB resident.
    memory: u64,
    descriptors: u64,
    /// Bytes of the write-ahead log.
    log: u64,
}

/// The kB that the kernel counts of a process: `VmRSS:`, or `VmHWM:` for the most there was of it.
pub fn memory(process: u32, of: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let memory = status.lines().find_map(|line| line.strip_prefix(of)).expect("its memory");
    memory.trim().trim_end_matches(" kB").parse().expect("kB")
}

/// The process that is measured, told the time on its stdin; it ends when that is closed.
struct Measured {
    child: Child,
    times: ChildStdin,
    done: BufReader<ChildStdout>,
}

impl Measured {
    fn start(site: &Installation) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .arg(WORKER)
            .arg(site.path("renewald.toml"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("it starts");
        let times = child.stdin.take().expect("piped");
        let done = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, times, done }
    }

    /// Lets it do what is due; how many polls there were, and how many requests failed.
    fn pass(&mut self, now: Timestamp) -> [u64; 2] {
        writeln!(self.times, "{}", now.as_unix()).expect("it listens");
        let mut line = String::new();
        self.done.read_line(&mut line).expect("it answers");
        let mut figures = line.split_whitespace().map(|figure| figure.parse().expect("a number"));
        [(); 2].map(|()| figures.next().expect("two figures"))
    }

    fn figures(&self, site: &Installation) -> Figures {
        let process = self.child.id();
        let log = std::fs::metadata(site.path("renewald.db-wal")).map_or(0, |file| file.len());
        Figures {
            memory: memory(process, "VmRSS:"),
            descriptors: std::fs::read_dir(format!("/proc/{process}/fd")).expect("it is ours").count() as u64,
            log,
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
    }
}

/// In the measured process: whether this is it, and if so all of its life.
pub fn work() -> bool {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(WORKER) {
        return false;
    }
    let settings =
        Settings::load(Some(Path::new(&arguments.next().expect("settings")))).expect("they are right").settings;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(passes(Arc::new(settings)));
    true
}

async fn passes(settings: Arc<Settings>) {
    let lock = InstanceLock::acquire(&settings.store.path).expect("nobody else works here");
    let store = Store::open(&settings.store.path, Access::Instance(lock)).expect("the store opens");
    let mut worker = Worker::new(settings.clone(), store).expect("everything is there");
    let sinks: Vec<String> = settings.sinks.keys().cloned().collect();
    let mut wiped_at = Timestamp::default();
    for line in std::io::stdin().lines() {
        let now = Timestamp::from_unix(line.expect("text").parse().expect("a time"));
        let swept = worker.sweep(&|| now).await.expect("the store works");
        worker.relay(&|| now).await.expect("the store works");
        // The daemon does so hourly, and it empties the log: seldom enough for the log to grow.
        if now >= wiped_at + 24 * HOUR {
            let (delivered, dead) = (now - settings.store.retention, now - settings.store.dead_retention);
            worker.store.wipe_payloads(delivered, dead, sinks.clone(), now).await.expect("the store works");
            wiped_at = now;
        }
        println!("{} {}", swept.polls, swept.failures);
    }
    worker.close().await;
}
