//! The same at Digital River: orders that appear late, in either order and under filters that are refused or ignored, orders of others,
//! times and ids in other forms, words that nobody knows.
//!
//! All subscriptions suffer. Several sites do this at once, since most of the time somebody waits for a stalled answer.

use std::thread;
use std::time::Duration;

use fastrand::Rng;
use renewald::clock::Timestamp;
use renewald::sandbox::Period;
use renewald::sandbox::digital_river::{
    Endpoint, Fault, FaultKind, ListOrder, NewSubscriptions, Sandbox, Switches, TimeForm,
};
use serde_json::json;

use super::kinds::{body, everywhere};
use crate::digital_river::site_with;
use crate::harness::{DAY, Site};
use crate::{Round, Tally, Trial, oracle};

pub const ANSWERS: Trial = Trial {
    name: "river-provider",
    what: "the same where orders are listed and events tell of them, and each time in another form",
    long: 50,
    run: answers,
};

/// Each suffers from its share of the kinds.
const SITES: usize = 10;
/// One is billed at each step, and all of them in a term.
const SUBSCRIPTIONS: u32 = 8;
const STEP: Duration = Duration::from_secs(12 * 3600);
const TERM_DAYS: i16 = 4;
const SHARE: f64 = 0.3;
/// Longer than anybody rests.
const EVERY: Duration = Duration::from_secs(25 * 3600);
const MOST_STEPS: u32 = 600;

const ENDPOINTS: [Endpoint; 5] =
    [Endpoint::Subscription, Endpoint::Orders, Endpoint::Order, Endpoint::Events, Endpoint::FileLinks];

fn answers(round: &mut Round) -> Tally {
    let rngs: Vec<_> = (0..SITES).map(|_| round.rng.fork()).collect();
    let mut tally = Tally::of(0);
    thread::scope(|scope| {
        let sites: Vec<_> =
            rngs.into_iter().enumerate().map(|(n, rng)| scope.spawn(move || one_site(n, rng))).collect();
        sites.into_iter().for_each(|site| tally.join(site.join().expect("a site holds")));
    });
    tally
}

fn one_site(number: usize, mut rng: Rng) -> Tally {
    let site = site_with(|setup| {
        setup.timeout = "1s";
        setup.requests_per_second = 5000.0;
        setup.concurrency = 3;
        setup.accounts[0].keys.push_str("keys_pointer = \"/licence_key\"\ninvoice_links = true\n");
    });
    let begin = Timestamp::now() - MOST_STEPS * STEP;
    site.sandbox.set_now(begin);
    site.sandbox.switch(|switches| *switches = honest());
    let ids: Vec<_> =
        (0..SUBSCRIPTIONS).map(|nth| site.subscribe(billed_at(begin + (nth + 1) * STEP)).remove(0)).collect();
    let mut work = site.work();
    work.pass(begin);
    let mut faults: Vec<_> = faults(&ids).into_iter().skip(number).step_by(SITES).collect();
    rng.shuffle(&mut faults);
    // Who has once been refused the filter by subscription never uses it again.
    let sins = if number < SITES / 2 { &SINS[1..] } else { SINS };
    let cases = faults.len() as u64;
    let (mut step, mut later) = (0, None);
    loop {
        step += 1;
        assert!(step < MOST_STEPS, "{:?} have not struck", site.sandbox.faults());
        site.sandbox.advance(STEP);
        if let Some(later) = later.take() {
            settle(&site, later);
        }
        // A few at a time, since what nobody asks for cannot strike.
        while site.sandbox.faults().len() < 3
            && let Some(fault) = faults.pop()
        {
            site.sandbox.fault(fault);
        }
        if site.sandbox.faults().is_empty() {
            break;
        }
        let sin = rng.choice(sins).expect("there are some");
        site.sandbox.switch(|switches| {
            *switches = honest();
            sin(switches);
        });
        later = bill(&site, &ids[((step - 1) % SUBSCRIPTIONS) as usize], &mut rng);
        let now = begin + step * STEP;
        work.pass(now);
        // What the events say is looked at.
        work.pass(now + Duration::from_secs(60));
        if step.is_multiple_of(4) {
            // A list that has failed rests by the real clock, until the next start.
            drop(work);
            work = site.work();
        }
    }
    site.sandbox.switch(|switches| *switches = honest());
    for look in 1..=8 {
        site.sandbox.advance(EVERY);
        work.pass(begin + step * STEP + look * EVERY);
    }
    drop(work);
    let requests = site.sandbox.request_count();
    site.sandbox.set_now(Timestamp::now());
    oracle::finish(&site);
    let held = oracle::judge(&site, &site.messages());
    Tally::of(cases)
        .count("requests", requests)
        .count("renewals", held.renewals)
        .count("ways to answer", u64::from(step))
}

fn honest() -> Switches {
    Switches { rate_limit: 0, keys: true, ..Switches::default() }
}

/// A subscription that is billed then for the first time, and again with each round of the others.
fn billed_at(at: Timestamp) -> NewSubscriptions {
    NewSubscriptions {
        period: Period::days(TERM_DAYS),
        billed_before: DAY,
        created_at: Some(at - 3 * DAY),
        ends_at: Some(at + DAY),
        ..Default::default()
    }
}

/// What is left of a payment for the next step.
enum Later {
    Pay(String),
    Accept(String),
}

/// The day has come: it is paid for at once, after an attempt in vain, or with an order that is looked into first.
fn bill(site: &Site<Sandbox>, id: &str, rng: &mut Rng) -> Option<Later> {
    let sandbox = &site.sandbox;
    match rng.u8(..4) {
        0 => {
            sandbox.open_invoice(id).expect("it is running");
            sandbox.fail_attempt(id, "insufficient_funds").expect("its invoice is open");
            Some(Later::Pay(id.to_owned()))
        }
        1 => {
            let order = sandbox.pay(id).expect("it is running");
            sandbox.set_order_state(&order, "in_review").expect("an order");
            Some(Later::Accept(order))
        }
        _ => {
            sandbox.pay(id).expect("it is running");
            None
        }
    }
}

fn settle(site: &Site<Sandbox>, later: Later) {
    match later {
        Later::Pay(id) => drop(site.sandbox.pay(&id).expect("it is running")),
        Later::Accept(order) => site.sandbox.set_order_state(&order, "accepted").expect("an order"),
    }
}

/// Each form in which the API may answer.
const SINS: &[fn(&mut Switches)] = &[
    |s| s.subscription_filter = false,
    |_| (),
    |s| s.list_order = ListOrder::OldestFirst,
    |s| s.times = TimeForm::Offset,
    |s| s.times = TimeForm::Fraction,
    |s| s.numeric_ids = true,
    |s| s.event_filter = false,
    |s| s.events_twice = true,
    |s| s.period_start = false,
    |s| s.order_terms = true,
    |s| s.order_hidden_for = 2,
    |s| s.keys = false,
    |s| s.state = Some("paused".into()),
];

/// What is answered to everything, and what only here can be answered: of others, and of the past.
fn faults(ids: &[String]) -> Vec<Fault> {
    let rule = |at: Endpoint, kind: FaultKind| Fault::new(kind).at(at).times(1).probability(SHARE);
    let stale = |id: &String| {
        let old = json!({"id": id, "state": "active", "updatedTime": "2020-01-01T00:00:00Z",
                         "currentPeriodEndDate": "2020-02-01T00:00:00Z", "nextInvoiceDate": "2020-01-31T00:00:00Z"});
        rule(Endpoint::Subscription, body(old.to_string())).subscription(id.as_str())
    };
    let order = |owner: &str, state: &str| {
        json!({"id": "999999999999", "state": state, "createdTime": "2026-01-01T00:00:00Z", "totalAmount": 666.0,
               "items": [{"subscriptionInfo": {"subscriptionId": owner}, "metadata": {"licence_key": "STOLEN"}}]})
    };
    let list = |rows: serde_json::Value| json!({"hasMore": false, "data": rows}).to_string();
    let event = |id: &str| json!({"id": "e", "type": "subscription.deleted", "data": {"object": {}, "previousAttributes": {"id": id}}});
    let others = [
        (Endpoint::Subscription, json!({"id": "DR_stranger", "state": "cancelled"}).to_string()),
        (Endpoint::Orders, list(json!([order("DR_stranger", "accepted")]))),
        (Endpoint::Orders, list(json!([{"state": "accepted"}]))),
        (Endpoint::Orders, list(json!([]))),
        (Endpoint::Order, order("DR_stranger", "accepted").to_string()),
        (Endpoint::Order, order(&ids[0], "blocked").to_string()),
        (Endpoint::Events, list(json!([event("DR_stranger"), event(&ids[1])]))),
        (Endpoint::Events, json!({"hasMore": true, "data": [event(&ids[2])]}).to_string()),
        (Endpoint::FileLinks, json!({"url": 7}).to_string()),
    ];
    let ignoring = |at, names: &[&str]| {
        rule(at, FaultKind::IgnoreQuery { names: names.iter().map(|name| (*name).to_owned()).collect() })
    };
    let ignored = [
        ignoring(Endpoint::Orders, &["subscriptionId", "customerId"]),
        ignoring(Endpoint::Events, &["type", "createdTime[gt]"]),
    ];
    let everywhere = ENDPOINTS.into_iter().flat_map(|at| everywhere().into_iter().map(move |kind| rule(at, kind)));
    let others = others.into_iter().map(|(at, text)| rule(at, body(text)));
    everywhere.chain(others).chain(ignored).chain(ids.iter().take(5).map(stale)).collect()
}
