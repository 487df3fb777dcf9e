//! Clocks that lie: a jump of a year and back loses nothing, and brings the end of nobody's patience nearer.

use renewald::sandbox::nexway_connect::{NewOrder, Script, Step};

use crate::fake_receiver::Answer;
use crate::harness::{DAY, HOUR, Site};

#[test]
fn a_year_ahead_and_back_loses_no_poll() {
    let site = Site::new();
    site.order("A");
    let mut work = site.work();
    let start = site.now();
    work.pass(start);
    work.pass(start + 365 * DAY);
    site.renew("A");
    work.pass(start + 4 * HOUR);
    assert_eq!(site.numbers(), ["A-1"]);
    site.renew("A");
    work.pass(start + 8 * HOUR + HOUR / 2);
    assert_eq!(site.numbers(), ["A-1", "A-2"]);
}

#[test]
fn a_clock_that_may_be_wrong_ends_no_term() {
    let site = Site::without_sink();
    let past = NewOrder { expires_at: Some(site.now() - 15 * DAY), auto_renew: false, ..NewOrder::new("A") };
    site.place(past);
    let told = |noted: &str| {
        site.execute(&format!(
            "INSERT OR REPLACE INTO clock VALUES (1, unixepoch() {noted}); UPDATE subscriptions SET due_at = 1"
        ));
        let once = site.command(&["once", "--json"]).stdout;
        serde_json::from_str::<serde_json::Value>(&once).expect("an object")["not_renewed"].as_u64()
    };
    for wrong in ["- 400 * 86400", "+ 3600"] {
        assert_eq!(told(wrong), Some(0), "the last run noted {wrong}");
    }
    assert_eq!(told("- 40 * 86400"), Some(1), "nobody ran for so long");
}

#[test]
fn a_year_ahead_and_back_loses_no_order_data() {
    let site = Site::new();
    site.renewed("A");
    site.sandbox.script("A-1", Script::steps(std::iter::repeat_n(Step::order(1010), 12)));
    let mut work = site.work();
    let start = site.now();
    // A jump of a year does not count as a year of waiting.
    for n in 0..12 {
        let glitch = if n == 4 { 365 } else { 0 };
        work.pass(start + glitch * DAY + n * HOUR);
        assert_eq!(site.messages().len(), 0, "given up after jump {n}");
    }
    work.pass(start + 30 * HOUR);
    work.pass(start + 60 * HOUR);
    let types: Vec<_> = site.messages().iter().map(|m| m.json()["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(types, ["renewald.renewal.ready.v1"]);
}

#[test]
fn a_year_ahead_and_back_loses_no_message() {
    let site = Site::new();
    site.renewed("A");
    let mut work = site.work();
    let start = site.now();
    site.receiver.answer(Answer::Status(400));
    work.pass(start);
    work.relay(start + 365 * DAY);
    assert_eq!(site.texts("SELECT state FROM dispatches"), ["pending"]);
    site.receiver.answer(Answer::Status(200));
    work.relay(start + HOUR);
    assert_eq!(site.texts("SELECT state FROM dispatches"), ["delivered"]);
}

#[test]
fn a_year_ahead_and_back_does_not_leave_a_sink_blocked() {
    let site = Site::new();
    site.renewed("A");
    let start = site.now();
    let mut work = site.work();
    work.sweep(start);
    site.receiver.answer(Answer::Status(503));
    work.relay(start + 365 * DAY);
    site.receiver.answer(Answer::Status(200));
    drop(work); // a restart as well
    site.work().relay(start + HOUR);
    assert_eq!(site.texts("SELECT state FROM dispatches"), ["delivered"]);
}

/// The other way round: set far too early, then put right.
#[test]
fn a_clock_that_was_in_the_past_loses_nothing() {
    let site = Site::new();
    site.order("A");
    let mut work = site.work();
    let right = site.now();
    work.pass(right);
    work.pass(right - 3 * 365 * DAY);
    site.renew("A");
    work.pass(right - 3 * 365 * DAY + 5 * HOUR);
    work.pass(right + 5 * HOUR);
    assert_eq!(site.numbers(), ["A-1"]);
}
