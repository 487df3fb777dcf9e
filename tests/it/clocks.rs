//! Clocks that lie: a jump of a year and back loses nothing, and brings the end of nobody's patience nearer.

use renewald::sandbox::nexway_connect::{NewOrder, Script, Step};

use crate::fake_receiver::{Answer, FakeReceiver};
use crate::harness::{DAY, HOUR, Setup, new_order, numbers, order, sandbox};

#[test]
fn a_year_ahead_and_back_loses_no_poll() {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    site.track("A", order(&sandbox, "A"));
    let mut work = site.work();
    let start = sandbox.now();
    work.pass(start);
    work.pass(start + 365 * DAY);
    sandbox.renew("A", None).unwrap();
    work.pass(start + 4 * HOUR);
    assert_eq!(numbers(&receiver.messages()), ["A-1"]);
    sandbox.renew("A", None).unwrap();
    work.pass(start + 8 * HOUR + HOUR / 2);
    assert_eq!(numbers(&receiver.messages()), ["A-1", "A-2"]);
}

#[test]
fn a_clock_that_may_be_wrong_ends_no_term() {
    let sandbox = sandbox();
    let site = Setup::new(&sandbox).install();
    let past = NewOrder { expires_at: Some(sandbox.now() - 15 * DAY), auto_renew: false, ..NewOrder::new("A") };
    site.track("A", new_order(&sandbox, past)[0]);
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
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    site.track("A", order(&sandbox, "A"));
    sandbox.renew("A", None).unwrap();
    sandbox.script("A-1", Script::steps(std::iter::repeat_n(Step::order(1010), 12)));
    let mut work = site.work();
    let start = sandbox.now();
    // A jump of a year does not count as a year of waiting.
    for n in 0..12 {
        let glitch = if n == 4 { 365 } else { 0 };
        work.pass(start + glitch * DAY + n * HOUR);
        assert_eq!(receiver.messages().len(), 0, "given up after jump {n}");
    }
    work.pass(start + 30 * HOUR);
    work.pass(start + 60 * HOUR);
    let types: Vec<_> = receiver.messages().iter().map(|m| m.json()["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(types, ["renewald.renewal.ready.v1"]);
}

#[test]
fn a_year_ahead_and_back_loses_no_message() {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    site.track("A", order(&sandbox, "A"));
    sandbox.renew("A", None).unwrap();
    let mut work = site.work();
    let start = sandbox.now();
    receiver.answer(Answer::Status(400));
    work.pass(start);
    work.relay(start + 365 * DAY);
    assert_eq!(site.texts("SELECT state FROM dispatches"), ["pending"]);
    receiver.answer(Answer::Status(200));
    work.relay(start + HOUR);
    assert_eq!(site.texts("SELECT state FROM dispatches"), ["delivered"]);
}

#[test]
fn a_year_ahead_and_back_does_not_leave_a_sink_blocked() {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    site.track("A", order(&sandbox, "A"));
    sandbox.renew("A", None).unwrap();
    let start = sandbox.now();
    let mut work = site.work();
    work.sweep(start);
    receiver.answer(Answer::Status(503));
    work.relay(start + 365 * DAY);
    receiver.answer(Answer::Status(200));
    drop(work); // a restart as well
    site.work().relay(start + HOUR);
    assert_eq!(site.texts("SELECT state FROM dispatches"), ["delivered"]);
}

/// The other way round: set far too early, then put right.
#[test]
fn a_clock_that_was_in_the_past_loses_nothing() {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    site.track("A", order(&sandbox, "A"));
    let mut work = site.work();
    let right = sandbox.now();
    work.pass(right);
    work.pass(right - 3 * 365 * DAY);
    sandbox.renew("A", None).unwrap();
    work.pass(right - 3 * 365 * DAY + 5 * HOUR);
    work.pass(right + 5 * HOUR);
    assert_eq!(numbers(&receiver.messages()), ["A-1"]);
}
