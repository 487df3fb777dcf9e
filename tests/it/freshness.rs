//! Polls go on whatever a provider does: stalls, storms of 429, a change of the rate, seven neighbours in the same process.

use std::sync::Arc;
use std::time::Duration;

use renewald::budget::Budget;
use renewald::clock::Timestamp;
use renewald::daemon;
use renewald::renewal::Rules;
use renewald::sandbox::nexway_connect::{Endpoint, ErrorBody, Fault, FaultKind, Request, Sandbox};
use renewald::settings::Settings;
use renewald::signals::Shutdown;
use renewald::store::{Access, Store};
use renewald::sweep::{Account, Bells, Scope, Sweeper};
use serde_json::Value;

use crate::harness::{Daemon, Installation, PATIENCE, Provider, Site, Track, eventually};
use crate::nexway_connect::{order, sandbox};

/// `count` subscriptions named `prefix` and a number.
fn track_many(site: &Site, prefix: &str, count: usize) {
    let numbers: Vec<_> = (0..count).map(|n| format!("{prefix}{n}")).collect();
    site.order_all(&numbers);
}

/// Polls that were answered as they should be.
fn answered(sandbox: &Sandbox) -> usize {
    let polls = |request: &&Request| request.endpoint == Endpoint::Status && request.status == Some(200);
    sandbox.requests().iter().filter(polls).count()
}

fn account(site: &Installation, provider: &str) -> Value {
    let told = site.command(&["status", "--json"]).expect_code(0).stdout;
    serde_json::from_str::<Value>(&told).expect("one object")["providers"][provider].take()
}

#[test]
fn a_provider_that_stalls_every_request_is_shown_asked_one_by_one_and_caught_up_with() {
    let site = Site::without_sink_and(|setup| setup.timeout = "1s");
    track_many(&site, "N", 40);
    site.sandbox.fault(Fault::new(FaultKind::Stall));
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("provider does not answer");
    let breaker =
        eventually("an open breaker", || Some(account(&site, "nexway")["breaker"].take()).filter(Value::is_object));
    assert!(breaker["reason"].as_str().is_some_and(|reason| reason.contains("could not be reached")), "{breaker}");
    let text = site.command(&["status"]).expect_code(0).stdout;
    assert!(text.contains("no answer") && text.contains("single requests only"), "{text}");
    let check = site.command(&["check"]).stdout;
    assert!(check.contains("provider nexway: the last run got no answer since"), "{check}");

    // A process that dies leaves it open in the store; the next one begins afresh.
    daemon.kill();
    assert!(account(&site, "nexway")["breaker"].is_object());
    site.sandbox.clear_faults();
    let _daemon = Daemon::spawn(&site);
    eventually("every poll answered", || (answered(&site.sandbox) >= 40).then_some(()));
    eventually("a closed breaker", || account(&site, "nexway")["breaker"].is_null().then_some(()));
}

#[test]
fn a_breaker_that_closes_is_no_longer_shown() {
    let site = Site::without_sink();
    track_many(&site, "N", 20);
    site.sandbox.fault(Fault::new(FaultKind::CutBefore));
    let daemon = Daemon::spawn(&site);
    eventually("an open breaker", || account(&site, "nexway")["breaker"].is_object().then_some(()));
    site.sandbox.clear_faults();
    daemon.wait_for_log("provider answers again");
    eventually("a closed breaker", || account(&site, "nexway")["breaker"].is_null().then_some(()));
    eventually("every poll answered", || (answered(&site.sandbox) >= 20).then_some(()));
}

#[test]
fn a_storm_of_429_is_shown_and_weathered() {
    // It takes a quarter of what the settings say.
    let site = Site::without_sink_and(|setup| setup.requests_per_second = 20.0);
    site.sandbox.switch(|switches| switches.rate_limit = 5);
    track_many(&site, "N", 30);
    let _daemon = Daemon::spawn(&site);
    let refused = |request: &Request| request.status == Some(429);
    site.sandbox.wait_for(refused, PATIENCE).expect("it is too much");
    let slowed =
        eventually("a lower rate", || Some(account(&site, "nexway")["slowed"].take()).filter(Value::is_object));
    assert!(slowed["requests_per_second"].as_f64().is_some_and(|rate| rate < 20.0), "{slowed}");
    let text = site.command(&["status"]).expect_code(0).stdout;
    assert!(text.contains("answered 429") && text.contains("of 20 requests a second"), "{text}");
    eventually("every poll answered", || (answered(&site.sandbox) >= 30).then_some(()));
    let storm = site.sandbox.requests().iter().filter(|request| refused(request)).count();
    assert!(storm < 15, "429 came {storm} times");
}

/// What a reload calls on a sweeper that works.
#[test]
fn a_change_of_the_rate_takes_effect_at_once_and_never_exceeds_either() {
    let site = Site::without_sink();
    track_many(&site, "N", 120);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let arrived =
        |count: u64| site.sandbox.wait_for(|request| request.seq + 1 >= count, PATIENCE).expect("requests go on");
    let (budget, shutdown) = (Budget::new(4.0), Shutdown::manual());
    let (mut sweeper, end) = (runtime.block_on(async { sweeper(&site, budget.clone()) }), shutdown.clone());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let pass = sweeper.pass(&Timestamp::now, Scope::Due, None, &end, &|_| {});
            runtime.block_on(pass).expect("the store works");
        });
        let slow = arrived(10).seq;
        budget.set_rate(20.0);
        let fast = arrived(slow + 40).seq;
        budget.set_rate(4.0);
        arrived(fast + 12);
        shutdown.request();
        let requests = site.sandbox.requests();
        let busiest = |from: u64, to: u64| {
            let times: Vec<_> = requests[from as usize..to as usize].iter().map(|request| request.at).collect();
            let within = |at: usize| times[at..].partition_point(|time| *time < times[at] + Duration::from_secs(1));
            (0..times.len()).map(within).max().unwrap_or(0)
        };
        // Sent 1.005 / rate apart, but stamped on arrival: one more may slip into a second (see the budget's own tests).
        assert!(busiest(0, slow) <= 5, "{}", busiest(0, slow));
        assert!((11..=21).contains(&busiest(slow, fast)), "{}", busiest(slow, fast));
        // One may have been on its way.
        assert!(busiest(fast + 2, fast + 12) <= 5, "{}", busiest(fast + 2, fast + 12));
    });
}

fn sweeper(site: &Installation, budget: Budget) -> Sweeper<renewald::provider::Configured> {
    let settings =
        Arc::new(Settings::load(Some(&site.path("renewald.toml"))).expect("the settings are right").settings);
    let store = Store::open(&site.database(), Access::Command).expect("the store opens");
    let provider = &settings.providers["nexway"];
    let client = daemon::client("nexway", provider, budget.clone()).expect("a client");
    let rules = Rules::from_settings(&settings);
    let account = Account {
        name: "nexway".to_owned(),
        concurrency: provider.concurrency,
        rules,
        convention: provider.kind.convention(),
        feed: None,
    };
    Sweeper::new(store, client, budget, account, settings, Bells::default())
}

#[test]
fn eight_providers_in_one_process_do_not_disturb_each_other() {
    const RATE: f64 = 10.0;
    let sandboxes: Vec<_> = (0..8).map(|_| Arc::new(sandbox())).collect();
    let site = Site::at(sandboxes[0].clone(), |mut setup, _| {
        setup.requests_per_second = RATE;
        let others = sandboxes.iter().enumerate().skip(1);
        setup.accounts.extend(others.map(|(n, sandbox)| sandbox.account(&format!("p{n}"))));
        setup
    });
    for (n, sandbox) in sandboxes.iter().enumerate() {
        let numbers: Vec<_> = (0..25).map(|order| format!("P{n}-{order}")).collect();
        let ids: Vec<_> = numbers.iter().map(|number| order(sandbox, number)).collect();
        site.track_all(numbers.iter().zip(ids).map(|(number, id)| Track::new(number, id)));
        if n > 0 {
            site.execute(&format!(
                "UPDATE subscriptions SET provider = 'p{n}' WHERE partner_order_number LIKE 'P{n}-%'"
            ));
        }
    }
    let refused = FaultKind::Status { status: 429, body: ErrorBody::default(), retry_after: Some("600".into()) };
    sandboxes[1].fault(Fault::new(FaultKind::Hold));
    sandboxes[2].fault(Fault::new(refused));
    sandboxes[3].fault(Fault::new(FaultKind::CutBefore));
    let _daemon = Daemon::spawn(&site);
    let well = [&sandboxes[0], &sandboxes[4], &sandboxes[5], &sandboxes[6], &sandboxes[7]];
    eventually("every poll of the five that work", || well.iter().all(|sandbox| answered(sandbox) == 25).then_some(()));
    for sandbox in well {
        assert!(sandbox.busiest_second() <= RATE as usize + 1, "{} in one second", sandbox.busiest_second());
    }
    let sent = |sandbox: &Sandbox| sandbox.requests().into_iter().map(|r| (r.endpoint, r.status)).collect::<Vec<_>>();
    assert_eq!([1, 2, 3].map(|n| answered(&sandboxes[n])), [0; 3]);
    assert_eq!(sent(&sandboxes[2]), [(Endpoint::Token, Some(429))], "Retry-After is its own");
}
