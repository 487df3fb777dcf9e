//! What reading a provider's list brings and costs: `cargo bench --bench feeds`.
//!
//! A bare loop that asks for the same pages and parses them is measured in turn with it, because a shared machine's speed drifts.
//! Each measured part is a process of its own, as in `throughput`. How soon a renewal arrives, and how many requests a second holds,
//! is measured with the real binary, beside nothing: `… -- soon` and `… -- budget` run these alone, five minutes each.

mod budget;
#[path = "../throughput/connect.rs"]
mod connect;
#[allow(dead_code, reason = "throughput asks it for more")]
#[path = "../throughput/fake.rs"]
mod fake;
mod listed;
mod lister;
#[path = "../machine.rs"]
mod machine;
#[allow(dead_code, reason = "throughput measures more")]
#[path = "../throughput/measure.rs"]
mod measure;
mod receiver;
mod soon;
#[path = "../tracked.rs"]
mod tracked;
mod walk;

use std::time::Duration;

use machine::median;
use measure::{Child, Sample};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some("fake") => fake::run(&arguments[1..], listed::answer),
        Some("bare") => listed::read_all(&arguments[1..]),
        Some("prepare") => walk::prepare(&arguments[1..]),
        Some("walk") => walk::run(&arguments[1..]),
        wanted => report(wanted),
    }
}

/// Runs all measurements, or the one that is named.
fn report(wanted: Option<&str>) {
    println!("machine: {}", machine::machine());
    let all: [(&str, fn()); 4] =
        [("answered", answered), ("share", share_of_a_bare_loop), ("soon", soon::report), ("budget", budget::report)];
    for (name, measurement) in all {
        if wanted.is_none_or(|wanted| wanted == name) {
            measurement();
        }
    }
}

fn answered() {
    const ROWS: usize = 100_000;
    let fake = Child::fake(Duration::ZERO);
    let database = walk::Database::with(&fake, ROWS);
    Sample::of("walk", &[&fake.address, &database.path(), &ROWS.to_string()]);
    let (answered, pages) = database.answered();
    assert_eq!(answered, ROWS as i64, "everybody was answered for");
    println!("answered   {ROWS} tracked and listed: {:.0} for each page", answered as f64 / pages as f64);
}

fn share_of_a_bare_loop() {
    const ROWS: usize = 1_000_000;
    const ROUNDS: usize = 3;
    let fake = Child::fake(Duration::ZERO);
    let (mut shares, mut most) = (Vec::new(), 0.0_f64);
    for _ in 0..ROUNDS {
        let bare = Sample::of("bare", &[&fake.address, &ROWS.to_string()]);
        let database = walk::Database::with(&fake, ROWS);
        let walk = Sample::of("walk", &[&fake.address, &database.path(), &ROWS.to_string()]);
        println!("  a bare loop {:.0} pages/s, a walk {:.0}", bare.per_second(), walk.per_second());
        shares.push(walk.per_second() / bare.per_second());
        most = most.max(walk.peak_megabytes);
    }
    println!("share      a walk over {ROWS}: {:.2} of the bare loop's pages/s", median(&mut shares));
    println!("memory     while doing so: {most:.1} MB resident at most");
}
