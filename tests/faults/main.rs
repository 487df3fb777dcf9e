//! Tries to break the promises, again and again with other random numbers: the long form of the tests, run by `tests/torture`.
//!
//! A [`Trial`] is one way of trying. One round of it is what `tests/run` does; more rounds, each from a seed of its own, are the
//! long form. Whatever a trial does, it ends with [`oracle`]: what the provider renewed is what the ledger says and what the
//! receiver got. A trial that fails says with which command exactly that round is run again.

mod at_once;
mod barriers;
mod clocks;
mod corruption;
#[allow(dead_code, reason = "tests/it does more")]
#[path = "../it/digital_river.rs"]
mod digital_river;
mod disk;
#[allow(dead_code, reason = "tests/it looks at more")]
#[path = "../it/fake_receiver.rs"]
mod fake_receiver;
mod fleet;
mod ground;
#[allow(dead_code, reason = "tests/it does more")]
#[path = "../it/harness.rs"]
mod harness;
#[allow(dead_code, reason = "tests/it asks for more")]
#[path = "../it/http.rs"]
mod http;
mod image;
mod instances;
#[path = "../it"]
mod it {
    #[allow(dead_code, reason = "tests/it starts more of them")]
    pub mod servers;
}
mod kills;
#[allow(dead_code, reason = "tests/it does more")]
#[path = "../it/nexway_connect.rs"]
mod nexway_connect;
#[allow(dead_code, reason = "tests/it does more")]
#[path = "../it/nexway_monetize.rs"]
mod nexway_monetize;
mod oracle;
mod orders;
mod outage;
mod power;
mod properties;
mod provider;
mod proxy;
mod report;
mod signals;
mod sinks;
#[allow(dead_code, reason = "tests/it does more")]
#[path = "../it/smartpay.rs"]
mod smartpay;
mod soak;
mod strace;
mod writes;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use fastrand::Rng;

/// In the order in which they run.
const TRIALS: &[Trial] = &[
    kills::AT_RANDOM,
    kills::WITH_UPGRADES,
    kills::OF_CHARGES,
    kills::WITHOUT_COUNT,
    barriers::AT_EACH,
    orders::PLACED,
    power::CUT,
    instances::AT_ONCE,
    signals::ENDS,
    disk::FULL,
    corruption::FILES,
    provider::ANSWERS,
    provider::monetize::ANSWERS,
    provider::smartpay::ANSWERS,
    provider::river::ANSWERS,
    provider::connecting::CONNECTING,
    outage::OUTAGE,
    outage::WITH_LISTS,
    fleet::FLEET,
    clocks::CLOCKS,
    clocks::WITH_LISTS,
    sinks::TROUBLES,
    sinks::few::FEW,
    properties::PROPERTIES,
    soak::SOAK,
];

/// Those that try the same again at kinds whose answers are of the same sort: they are run where time does not matter, or by name.
const LONG_ONLY: &[Trial] = &[outage::OF_CHARGES, outage::OF_ORDERS, clocks::OF_CHARGES, clocks::OF_ORDERS];

fn all() -> impl Iterator<Item = &'static Trial> {
    TRIALS.iter().chain(LONG_ONLY)
}

/// One way of trying to break a promise.
pub struct Trial {
    pub name: &'static str,
    /// What is tried, for people: "kill -9 at a random moment".
    pub what: &'static str,
    /// Rounds of its long form.
    pub long: u64,
    pub run: fn(&mut Round) -> Tally,
}

/// One round of a trial.
pub struct Round {
    /// Everything random comes from here.
    pub rng: Rng,
    /// Counted from 0.
    pub number: u64,
    /// How many rounds are run in all.
    pub of: u64,
}

/// What a round came to.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How often it was tried: kills, files, starts.
    pub cases: u64,
    /// What was counted besides. Rounds are added up.
    pub counts: Vec<(&'static str, u64)>,
}

impl Tally {
    pub fn of(cases: u64) -> Self {
        Self { cases, counts: vec![] }
    }

    pub fn count(mut self, what: &'static str, number: u64) -> Self {
        self.add(what, number);
        self
    }

    fn add(&mut self, what: &'static str, number: u64) {
        match self.counts.iter_mut().find(|(name, _)| *name == what) {
            Some((_, sum)) => *sum += number,
            None => self.counts.push((what, number)),
        }
    }

    fn join(&mut self, other: Tally) {
        self.cases += other.cases;
        other.counts.into_iter().for_each(|(what, number)| self.add(what, number));
    }
}

/// Tries to break renewald's promises
#[derive(Parser)]
#[command(name = "tests/torture")]
struct Arguments {
    /// How often each trial is run; the first round is what tests/run does
    #[arg(long, default_value_t = 1, conflicts_with = "long")]
    rounds: u64,
    /// Runs each trial as often as its long form asks for: 9 times a soak, 200 times a SIGTERM; and those that have no other form
    #[arg(long)]
    long: bool,
    /// Where the random numbers begin; a random one without it
    #[arg(long)]
    seed: Option<u64>,
    /// Begins with this round, to run one again that failed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Writes the figures into this file, each trial's when it is over; those of other trials in it stay
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Only lists the trials
    #[arg(long)]
    list: bool,
    /// Only these
    trials: Vec<String>,
}

fn main() -> ExitCode {
    if soak::work() {
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    if arguments.list {
        all().for_each(|trial| println!("{:<16} {}; long: {} rounds", trial.name, trial.what, trial.long));
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = arguments.trials.iter().find(|name| all().all(|trial| trial.name != **name)) {
        eprintln!("there is no trial {unknown:?}; --list lists them");
        return ExitCode::from(64);
    }
    let wanted: Vec<_> = match arguments.trials.as_slice() {
        [] if arguments.long => all().collect(),
        [] => TRIALS.iter().collect(),
        names => all().filter(|trial| names.iter().any(|name| name == trial.name)).collect(),
    };
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("seed {seed}");
    let mut all_held = true;
    for trial in wanted {
        let rounds = if arguments.long { trial.long } else { arguments.rounds };
        let outcome = try_to_break(trial, seed, arguments.from, rounds);
        println!("{outcome}");
        if let Some(file) = &arguments.report {
            report::write(file, seed, &outcome);
        }
        all_held &= outcome.failed.is_empty();
    }
    if all_held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn try_to_break(trial: &'static Trial, seed: u64, from: u64, rounds: u64) -> report::Outcome {
    let start = Instant::now();
    let (mut tally, mut failed) = (Tally::default(), Vec::new());
    for number in from..from + rounds {
        let mut round = Round { rng: Rng::with_seed(seed_of(seed, trial.name, number)), number, of: rounds };
        match catch_unwind(AssertUnwindSafe(|| (trial.run)(&mut round))) {
            Ok(done) => tally.join(done),
            Err(_) => {
                eprintln!("FAILED; again: tests/torture --seed {seed} --from {number} --rounds 1 {}", trial.name);
                failed.push(number);
            }
        }
    }
    report::Outcome { trial, rounds, tally, failed, took: start.elapsed() }
}

/// Each round of each trial has its own, so that it can be run again by itself.
fn seed_of(seed: u64, trial: &str, round: u64) -> u64 {
    let named = trial.bytes().fold(seed, |mixed, byte| mixed.rotate_left(7) ^ u64::from(byte));
    Rng::with_seed(named ^ round.rotate_left(32)).u64(..)
}
