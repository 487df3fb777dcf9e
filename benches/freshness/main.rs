//! How soon a renewal is seen when one account holds more subscriptions than its budget lets us ask in time.
//!
//! `cargo bench --bench freshness` drives the real choice, the real decisions and the real statements over a real database
//! through a year of virtual time, subscriptions and rate scaled down by one factor. `… -- full` runs one case at full size,
//! which shows that scaling is fair. `… -- choosing` measures what choosing the next 1,000 polls costs at 1,000,000 and
//! 5,000,000 rows.

mod choosing;
mod model;
mod simulation;
#[path = "../tracked.rs"]
mod tracked;

use std::sync::Mutex;

use model::{DAY, Delays, MONTH, YEAR};
use simulation::{Case, Outcome, simulate};

/// What `cargo bench --bench freshness` runs: narrow is a window of 2 days before and 1 day after the expiry.
#[rustfmt::skip]
const CASES: [Case; 9] = [
    Case { name: "270,000 yearly",                    count: 270_000,   term: YEAR,  window: (2, 1),  scale: 100,  days: 365, peak: false },
    Case { name: "500,000 yearly",                    count: 500_000,   term: YEAR,  window: (2, 1),  scale: 100,  days: 365, peak: false },
    Case { name: "1,000,000 yearly",                  count: 1_000_000, term: YEAR,  window: (2, 1),  scale: 200,  days: 365, peak: false },
    Case { name: "1,000,000 yearly, the day of 10 %", count: 1_000_000, term: YEAR,  window: (2, 1),  scale: 100,  days: 365, peak: true },
    Case { name: "5,000,000 yearly",                  count: 5_000_000, term: YEAR,  window: (2, 1),  scale: 500,  days: 365, peak: false },
    Case { name: "500,000 monthly",                   count: 500_000,   term: MONTH, window: (2, 1),  scale: 200,  days: 365, peak: false },
    Case { name: "1,900,000 monthly",                 count: 1_900_000, term: MONTH, window: (2, 1),  scale: 500,  days: 365, peak: false },
    Case { name: "500,000 yearly, default window",    count: 500_000,   term: YEAR,  window: (3, 14), scale: 200,  days: 365, peak: false },
    Case { name: "1,500,000 monthly, default window", count: 1_500_000, term: MONTH, window: (3, 14), scale: 500,  days: 365, peak: false },
];

/// Every request of 20 days at 10 a second, above it the same scaled down as far as any case.
#[rustfmt::skip]
const SCALED_AND_FULL: [Case; 2] = [
    Case { name: "500,000 yearly", count: 500_000, term: YEAR, window: (2, 1), scale: 500, days: 365, peak: false },
    Case { name: "500,000 yearly", count: 500_000, term: YEAR, window: (2, 1), scale: 1,   days: 3,   peak: false },
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match wanted.first().map(String::as_str) {
        Some("choosing") => choosing::report(),
        Some("full") => report(&SCALED_AND_FULL),
        Some(name) => report(&CASES.into_iter().filter(|case| case.name.contains(name)).collect::<Vec<_>>()),
        None => report(&CASES),
    }
}

/// Runs the cases, two at a time, and prints them as a Markdown table.
fn report(cases: &[Case]) {
    let started = std::time::Instant::now();
    let outcomes: Vec<_> = cases.iter().map(|_| Mutex::new(None)).collect();
    let next = Mutex::new(0..cases.len());
    let work = || loop {
        // A statement of its own: the lock must not be held while the case runs.
        let taken = next.lock().expect("no panic while held").next();
        let Some(at) = taken else { return };
        let outcome = simulate(&cases[at]);
        eprintln!("{:.0} s: {}", started.elapsed().as_secs_f64(), row(&cases[at], &outcome));
        *outcomes[at].lock().expect("no panic while held") = Some(outcome);
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    println!(
        "| tracked on one account, 10 requests/s | scale | renewals | on time, p50 · p99 | early, p50 · p99 | all, p99 | in turn, p50 · p99 |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for (case, outcome) in cases.iter().zip(outcomes) {
        let outcome = outcome.into_inner().expect("no panic while held");
        println!("{}", row(case, &outcome.expect("every case was run")));
    }
    println!("({:.0} s)", started.elapsed().as_secs_f64());
}

fn row(case: &Case, outcome: &Outcome) -> String {
    let both = |delays: &Delays| format!("{} · {}", hours(delays.quantile(0.5)), hours(delays.quantile(0.99)));
    let mut all = Delays::default();
    all.add_all(&outcome.on_time);
    all.add_all(&outcome.early);
    format!(
        "| {} | 1:{} | {:.0} | {} | {} | {} | {} |",
        case.name,
        case.scale,
        all.count(),
        both(&outcome.on_time),
        both(&outcome.early),
        hours(all.quantile(0.99)),
        both(&outcome.in_turn)
    )
}

fn hours(seconds: f64) -> String {
    if seconds < 2.0 * DAY { format!("{:.1} h", seconds / 3600.0) } else { format!("{:.1} d", seconds / DAY) }
}
