//! What a person waits for at a terminal with a million subscriptions: `cargo bench --bench operating`, or with fewer of them
//! `cargo bench --bench operating -- 100000`.
//!
//! Every command is the real binary, its start included. `import` is compared with a bare loop of one prepared statement, in the
//! same run, because a shared machine's speed drifts. The other commands are asked three times: right after the import, after
//! years of work, and after an absence that made everybody overdue.

mod bare;
mod history;
#[path = "../machine.rs"]
mod machine;
mod site;

use std::time::Duration;

use machine::median;
use site::Site;

const ROUNDS: usize = 9;

fn main() {
    let rows = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    println!("machine: {}", machine::machine());
    let bare = bare::insert(rows);
    let site = Site::new(rows);
    let import = site.time(&["import", "rows.csv"]);
    println!(
        "import     {rows} rows: {:.1} s; {:.2} of the rows a second of a bare prepared statement, {:.1} s",
        import.as_secs_f64(),
        bare.as_secs_f64() / import.as_secs_f64(),
        bare.as_secs_f64()
    );
    commands(&site, "imported");
    history::years(&site.database());
    commands(&site, "years");
    history::absence(&site.database());
    commands(&site, "absence");
    for (command, arguments) in
        [("export", &["export", "--output", "copy.jsonl"][..]), ("backup", &["backup", "copy.db", "--verify"][..])]
    {
        println!("{command:<10} {:.1} s", site.time(arguments).as_secs_f64());
    }
}

/// What is asked for often must answer at once.
fn commands(site: &Site, state: &str) {
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["list"],
        &["list", "--json"],
        &["explain", "BENCH-4711"],
        &["queue", "list"],
    ] {
        let mut times: Vec<f64> = (0..ROUNDS).map(|_| milliseconds(site.time(arguments))).collect();
        println!("{state:<10} {:<20} {:.0} ms", arguments.join(" "), median(&mut times));
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
