//! The provider's budget over real sockets: never above the rate, whatever happens, and nobody forgotten.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use renewald::clock::Timestamp;
use renewald::sandbox::nexway_connect::{Endpoint, ErrorBody, Fault, FaultKind, Request, Sandbox, Script};

use crate::harness::{Daemon, HOUR, PATIENCE, Site, eventually};

const RATE: f64 = 20.0;

/// `count` subscriptions named `prefix` and a number, tracked in this order.
fn track_many(site: &Site, prefix: &str, count: usize) -> Vec<String> {
    let numbers: Vec<_> = (0..count).map(|n| format!("{prefix}{n}")).collect();
    site.order_all(&numbers);
    numbers
}

/// Waits until so many requests have arrived in all.
fn arrived(sandbox: &Sandbox, count: u64) -> Request {
    sandbox.wait_for(|request| request.seq + 1 >= count, PATIENCE).expect("requests go on")
}

fn polls(sandbox: &Sandbox) -> Vec<Request> {
    sandbox.requests().into_iter().filter(|request| request.endpoint == Endpoint::Status).collect()
}

#[test]
fn no_second_holds_more_than_the_rate_across_a_new_token_a_restart_and_an_outage() {
    let site = Site::without_sink_and(|setup| setup.requests_per_second = RATE);
    track_many(&site, "N", 200);
    let daemon = Daemon::spawn(&site);
    arrived(&site.sandbox, 20);
    site.sandbox.expire_tokens(true);
    arrived(&site.sandbox, 45);
    daemon.kill();
    let daemon = Daemon::spawn(&site);
    arrived(&site.sandbox, 70);
    site.sandbox.fault(Fault::new(FaultKind::CutBefore));
    daemon.wait_for_log("provider does not answer");
    site.sandbox.clear_faults();
    daemon.wait_for_log("provider answers again");
    arrived(&site.sandbox, site.sandbox.request_count() + 30);
    // Sent 1.005 / rate apart, but stamped on arrival: a machine that pauses for a moment may push one more into a second. A burst
    // after any of the above would bring several.
    assert!(site.sandbox.busiest_second() <= RATE as usize + 1, "{} in one second", site.sandbox.busiest_second());
    let tokens = site.sandbox.requests().iter().filter(|request| request.endpoint == Endpoint::Token).count();
    assert!(tokens >= 3, "the token service counts too; it was asked {tokens} times");
}

#[test]
fn what_a_person_asks_for_is_answered_within_a_second_while_all_other_polls_stall() {
    let site = Site::without_sink_and(|setup| setup.requests_per_second = 5.0);
    for number in track_many(&site, "STALLS", 60) {
        site.sandbox.fault(Fault::new(FaultKind::Hold).number(number));
    }
    site.order_all(&["A", "B"]);
    let _daemon = Daemon::spawn(&site);
    // A token and four polls: every slot is taken as it comes. Then: every connection that polls may take is.
    for (asked_before, number) in [(5, "A"), (15, "B")] {
        arrived(&site.sandbox, asked_before);
        site.command(&["poll", number]).expect_code(0);
        let asked = Instant::now();
        let answered =
            |request: &Request| request.partner_order_number.as_deref() == Some(number) && request.status == Some(200);
        let request = site.sandbox.wait_for(answered, PATIENCE).expect("it is answered");
        let waited = request.at.saturating_duration_since(asked);
        assert!(waited < Duration::from_secs(1), "{number} waited {waited:?}");
    }
}

/// A provider that never answers for order data has answers for polls all the same.
#[test]
fn order_data_that_stalls_leaves_connections_to_polls() {
    let site = Site::without_sink_and(|setup| setup.timeout = "30s");
    for number in track_many(&site, "R", 40) {
        site.renew(&number);
    }
    site.sandbox.fault(Fault::new(FaultKind::Hold).at(Endpoint::Order));
    let _daemon = Daemon::spawn(&site);
    let stalled = || site.sandbox.requests().iter().filter(|request| request.endpoint == Endpoint::Order).count();
    eventually("order data stalls", || (stalled() >= 14).then_some(()));
    track_many(&site, "N", 100);
    let answered =
        "SELECT count(*) FROM subscriptions WHERE partner_order_number LIKE 'N%' AND last_answer_at IS NOT NULL";
    eventually("all polls are answered", || (site.value::<i64>(answered) == 100).then_some(()));
    assert_eq!(stalled(), 14, "two connections are never theirs");
}

#[test]
fn a_storm_of_429_halves_the_rate_once() {
    let site = Site::without_sink_and(|setup| setup.requests_per_second = RATE);
    track_many(&site, "N", 200);
    let _daemon = Daemon::spawn(&site);
    arrived(&site.sandbox, 30);
    let too_many = FaultKind::Status { status: 429, body: ErrorBody::default(), retry_after: None };
    site.sandbox.fault(Fault::new(too_many).at(Endpoint::Status).times(3));
    let refused = site.sandbox.wait_for(|request| request.status == Some(429), PATIENCE).expect("it is answered 429");
    arrived(&site.sandbox, refused.seq + 35);
    let requests = site.sandbox.requests();
    let length = |from: usize, to: usize| requests[to].at.duration_since(requests[from].at).as_secs_f64();
    let refused = refused.seq as usize;
    let slower = length(refused + 8, refused + 28) / length(refused - 21, refused - 1);
    assert!((1.7..2.6).contains(&slower), "{slower} times as slow");
}

#[test]
fn a_pause_that_the_provider_asked_for_outlives_the_process() {
    let site = Site::without_sink_and(|setup| setup.requests_per_second = RATE);
    track_many(&site, "N", 3);
    let pause = FaultKind::Status { status: 429, body: ErrorBody::default(), retry_after: Some("600".to_owned()) };
    site.sandbox.fault(Fault::new(pause).at(Endpoint::Status).times(1));
    let daemon = Daemon::spawn(&site);
    let stored = "SELECT count(*) FROM providers WHERE paused_until IS NOT NULL";
    eventually("the pause is on disk", || (site.value::<i64>(stored) == 1).then_some(()));
    assert!(site.command(&["status"]).expect_code(0).stdout.contains("asked again in 10 min"));
    daemon.drain();
    let asked = site.sandbox.request_count();
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("pause that the provider asked for goes on");
    daemon.kill();
    let once = site.command(&["once"]).expect_code(75);
    assert!(once.stderr.contains("longer than a one-shot run waits"), "{}", once.stderr);
    assert_eq!(site.sandbox.request_count(), asked);
    site.let_pass(Duration::from_secs(610));
    site.catch_up();
    assert!(site.sandbox.request_count() > asked);
}

#[test]
fn renewals_that_wait_for_their_order_data_leave_every_other_request_to_polls() {
    let site = Site::without_sink();
    let renewed = track_many(&site, "R", 100);
    for number in &renewed {
        site.renew(number);
        site.sandbox.script(format!("{number}-1"), Script::codes([1051; 8]));
    }
    let mut work = site.work();
    let now = Timestamp::now();
    assert_eq!(work.sweep(now).renewals, 100);
    track_many(&site, "N", 100);
    site.sandbox.clear_requests();
    let report = work.sweep(now + 5 * HOUR);
    assert_eq!((report.polls, report.calls), (100, 200), "those that wait are not polled");
    let first: Vec<_> = site.sandbox.requests().into_iter().take(100).map(|request| request.endpoint).collect();
    let polls = first.iter().filter(|endpoint| **endpoint == Endpoint::Status).count();
    assert!((35..=65).contains(&polls), "{polls} polls among the first 100 requests");
}

#[test]
fn nobody_is_asked_twice_within_the_interval_and_nobody_is_forgotten() {
    let site = Site::without_sink();
    let numbers = track_many(&site, "N", 130);
    let mut work = site.work();
    let begin = Timestamp::now();
    let step = HOUR / 4;
    let mut asked: HashMap<String, Vec<u32>> = HashMap::new();
    for at in 0..96 {
        site.sandbox.clear_requests();
        work.sweep(begin + at * step);
        for request in polls(&site.sandbox) {
            let number = request.about.partner_order_number.expect("a number").to_string();
            asked.entry(number).or_default().push(at);
        }
    }
    for number in &numbers {
        let times = &asked[number];
        let gaps: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]) * step).collect();
        // The second poll comes earlier, so that an import does not stay together.
        assert!(gaps[0] >= 2 * HOUR && gaps[0] <= 4 * HOUR + step, "{number}: {gaps:?}");
        assert!(gaps[1..].iter().all(|gap| *gap >= 4 * HOUR && *gap <= 4 * HOUR + step), "{number}: {gaps:?}");
        assert!(times.last().is_some_and(|last| *last >= 96 - 17), "{number}: {times:?}");
    }
}
