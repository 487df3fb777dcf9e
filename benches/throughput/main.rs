//! How much of a bare client's speed the daemon keeps, and what it costs: `cargo bench --bench throughput`.
//!
//! Every figure is a ratio of two measurements taken in turn in one run, because a shared machine's speed drifts. Each
//! measured part is a process of its own, this program called again, so that its CPU time and memory are its own: `fake` is
//! a provider that does nothing but answer, `ceiling` a bare client that sends the same requests and parses the same
//! answers, `pass` the real sweep over a real database.

mod api;
mod ceiling;
mod connect;
mod daemon;
mod fake;
#[path = "../machine.rs"]
mod machine;
mod measure;
mod pass;
#[path = "../tracked.rs"]
mod tracked;

use std::time::Duration;

use machine::median;
use measure::{Child, Sample};

const CONNECTIONS: usize = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let role = arguments.first().map(String::as_str);
    match role {
        Some("fake") => fake::run(&arguments[1..], connect::answer),
        Some("ceiling") => ceiling::run(&arguments[1..]),
        Some("prepare") => pass::prepare(&arguments[1..]),
        Some("pass") => pass::run(&arguments[1..]),
        wanted => report(wanted),
    }
}

/// Runs all measurements, or the one that is named.
fn report(wanted: Option<&str>) {
    println!("machine: {}", machine::machine());
    let all: [(&str, fn()); 8] = [
        ("share", share_of_ceiling),
        ("memory", memory),
        ("scale", cpu_at_scale),
        ("start", start),
        ("latency", latency),
        ("api", api),
        ("idle", idle),
        ("budget", budget),
    ];
    for (name, measurement) in all {
        if wanted.is_none_or(|wanted| wanted == name) {
            measurement();
        }
    }
}

fn share_of_ceiling() {
    const ROUNDS: usize = 5;
    let fake = Child::fake(Duration::ZERO);
    let (mut shares, mut costs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let ceiling = Sample::of("ceiling", &[&fake.address, "50000"]);
        let database = pass::Database::with(50_000);
        let pass = Sample::of("pass", &[&fake.address, &database.path(), "0", "all"]);
        shares.push(pass.per_second() / ceiling.per_second());
        costs.push(pass.cpu_per_request() / ceiling.cpu_per_request());
        println!(
            "  ceiling {:.0}/s at {:.1} µs, pass {:.0}/s at {:.1} µs",
            ceiling.per_second(),
            ceiling.cpu_per_request(),
            pass.per_second(),
            pass.cpu_per_request()
        );
    }
    let database = pass::Database::newly_imported(50_000);
    let first = Sample::of("pass", &[&fake.address, &database.path(), "0", "all"]);
    println!("  the first pass after an import: {:.0}/s at {:.1} µs", first.per_second(), first.cpu_per_request());
    println!(
        "share      one pass over 50,000, 5 % renewed and queued: {:.2} of the ceiling's requests/s",
        median(&mut shares)
    );
    println!("cpu        per poll: {:.2} x the ceiling's", median(&mut costs));
}

fn memory() {
    for rows in [50_000, 1_000_000] {
        let fake = Child::fake(Duration::ZERO);
        let database = pass::Database::with(rows);
        let pass = Sample::of("pass", &[&fake.address, &database.path(), "0", "50000"]);
        println!("memory     {rows} tracked, while polling: {:.1} MB resident at most", pass.peak_megabytes);
    }
}

fn cpu_at_scale() {
    const ROUNDS: usize = 3;
    let fake = Child::fake(Duration::ZERO);
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let of = |rows: usize| {
            let database = pass::Database::with(rows);
            Sample::of("pass", &[&fake.address, &database.path(), "0", "all"]).cpu_per_request()
        };
        ratios.push(of(1_000_000) / of(10_000));
    }
    println!("scale      CPU per poll at 1,000,000 against 10,000: {:.2} x", median(&mut ratios));
}

fn start() {
    let fake = Child::fake(Duration::ZERO);
    let database = pass::Database::with(1_000_000);
    let mut times: Vec<f64> = (0..3).map(|_| daemon::start_to_first_request(&fake, &database)).collect();
    println!("start      to the first request at 1,000,000 tracked: {:.2} s", median(&mut times));
}

fn latency() {
    const ANSWER: Duration = Duration::from_millis(50);
    let fake = Child::fake(ANSWER);
    let database = pass::Database::with(20_000);
    let pass = Sample::of("pass", &[&fake.address, &database.path(), "0", "all"]);
    let possible = CONNECTIONS as f64 / ANSWER.as_secs_f64();
    println!("latency    with 50 ms answers: {:.2} of connections / latency", pass.per_second() / possible);
}

fn api() {
    const ROUNDS: usize = 5;
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let (alone, asked) = (api::sweep(0), api::sweep(500));
        ratios.push(asked.seconds / alone.seconds);
        println!(
            "  a sweep alone {:.1} s, beside {:.0} GETs a second {:.1} s",
            alone.seconds, asked.gets_per_second, asked.seconds
        );
    }
    println!("api        500 GETs a second make a sweep take {:.2} x its time", median(&mut ratios));
}

fn idle() {
    let database = pass::Database::with_nothing_due(100_000);
    let fake = Child::fake(Duration::ZERO);
    let share = daemon::idle_share(&fake, &database, Duration::from_secs(60));
    println!("idle       100,000 tracked, nothing due, a minute: {:.3} % of a core", share * 100.0);
}

fn budget() {
    let seconds = 300;
    let fake = Child::fake(Duration::ZERO);
    let database = pass::Database::with(10_000);
    let kept = daemon::budget(&fake, &database, 9.0, Duration::from_secs(seconds));
    println!(
        "budget     requests_per_second = 9 over {seconds} s: at most {} in any second, {:.2} on average",
        kept.most, kept.mean
    );
}
