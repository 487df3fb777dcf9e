//! The same at SmartPay: pages that shift and counts that are wrong, cycles of others, words, ids, dates and money in other forms.
//!
//! All subscriptions suffer. Several sites do this at once, since most of the time somebody waits for a stalled answer.

use std::thread;
use std::time::Duration;

use fastrand::Rng;
use renewald::sandbox::smartpay::{
    AmountForm, CountForm, Decline, Endpoint, Fault, FaultKind, NewSubscriptions, Sandbox, StatusForm, Switches,
};
use serde_json::json;

use super::kinds::{body, everywhere};
use crate::harness::Site;
use crate::smartpay::site_with;
use crate::{Round, Tally, Trial, oracle};

pub const ANSWERS: Trial = Trial {
    name: "smartpay-provider",
    what: "the same where charges are listed, and each time in another form",
    long: 50,
    run: answers,
};

/// Each suffers from its share of the kinds.
const SITES: usize = 10;
const SUBSCRIPTIONS: u32 = 15;
const SHARE: f64 = 0.3;
const STEP: Duration = Duration::from_secs(20 * 60);
/// Longer than anybody rests.
const EVERY: Duration = Duration::from_secs(25 * 3600);
const MOST_STEPS: u32 = 1500;

const ENDPOINTS: [Endpoint; 4] =
    [Endpoint::Subscription, Endpoint::BillingCycles, Endpoint::BillingCycle, Endpoint::Transactions];

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
    });
    let ids = site.subscribe_as(NewSubscriptions { count: SUBSCRIPTIONS, ..NewSubscriptions::default() });
    let begin = site.now() - MOST_STEPS * STEP;
    let mut work = site.work();
    work.pass(begin);
    let mut faults: Vec<_> = faults(&ids).into_iter().skip(number).step_by(SITES).collect();
    rng.shuffle(&mut faults);
    let cases = faults.len() as u64;
    let mut step = 0;
    loop {
        step += 1;
        assert!(step < MOST_STEPS, "{:?} have not struck", site.sandbox.faults());
        deliver(&site, &ids[step as usize % ids.len()], &mut rng);
        // A few at a time, since what nobody asks for cannot strike.
        while site.sandbox.faults().len() < 3
            && let Some(fault) = faults.pop()
        {
            site.sandbox.fault(fault);
        }
        if site.sandbox.faults().is_empty() {
            break;
        }
        let sin = rng.choice(SINS).expect("there are some");
        site.sandbox.switch(|switches| {
            *switches = honest();
            sin(switches);
        });
        work.pass(begin + step * STEP);
    }
    site.sandbox.switch(|switches| *switches = honest());
    (1..=5).for_each(|look| drop(work.pass(begin + step * STEP + look * EVERY)));
    drop(work);
    let requests = site.sandbox.request_count();
    oracle::finish(&site);
    let held = oracle::judge(&site, &site.messages());
    Tally::of(cases)
        .count("requests", requests)
        .count("renewals", held.renewals)
        .count("ways to answer", u64::from(step))
}

fn honest() -> Switches {
    Switches { rate_limit: 0, ..Switches::default() }
}

/// A charge: with success, or without and perhaps captured later.
fn deliver(site: &Site<Sandbox>, id: &str, rng: &mut Rng) {
    let sandbox = &site.sandbox;
    match rng.u8(..4) {
        0 => sandbox.bill_in_vain(id, if rng.bool() { Decline::Failed } else { Decline::Error }),
        1 => sandbox.capture(id).or_else(|_| sandbox.bill(id, 1)),
        _ => sandbox.bill(id, 1),
    }
    .expect("it is running");
}

/// Each form in which the API may answer.
const SINS: &[fn(&mut Switches)] = &[
    |_| (),
    |s| s.filters_honoured = false,
    |s| s.foreign_cycles = true,
    |s| s.page_size_max = 2,
    |s| (s.page_size_max, s.page_shift) = (2, -1),
    |s| (s.page_size_max, s.page_shift) = (2, 1),
    |s| s.count = CountForm::TooMany,
    |s| s.count = CountForm::TooFew,
    |s| s.count = CountForm::Missing,
    |s| s.empty_data = true,
    |s| s.billing_touches_subscription = false,
    |s| s.cycle_status = StatusForm::Lower,
    |s| s.amounts = AmountForm::Text,
    |s| s.cyrillic_paid_at = true,
    |s| s.paid_at_missing = true,
    |s| s.embedded_transactions = true,
];

/// What is answered to everything, and what only here can be answered: of others, and of the past.
fn faults(ids: &[String]) -> Vec<Fault> {
    let rule = |at: Endpoint, kind: FaultKind| Fault::new(kind).at(at).times(1).probability(SHARE);
    let stranger = "Subscription-99999999-9999-4999-8999-999999999999";
    let stale = |id: &String| {
        let old = json!({"id": id, "status": "active", "updatedAt": "2020-01-01T00:00:00.00Z", "billingCyclesRemaining": 999});
        rule(Endpoint::Subscription, body(old.to_string())).subscription(id)
    };
    let cycle = |status: &str| {
        json!({"id": "BillingCycle-99999999-9999-4999-8999-999999999999", "subscriptionId": stranger,
                                      "status": status, "paidAt": "2026-01-01T00:00:00.00Z", "amount": 666})
    };
    let cycles = json!({"page": 0, "pageSize": 100, "count": 1, "totalPages": 1, "data": [cycle("Captured")]});
    let empty = json!({"page": 0, "pageSize": 100, "count": 0, "totalPages": 0, "data": []});
    let others = [
        (Endpoint::Subscription, json!({"id": stranger, "status": "canceled"}).to_string()),
        (Endpoint::BillingCycles, cycles.to_string()),
        (Endpoint::BillingCycles, empty.to_string()),
        (Endpoint::BillingCycle, cycle("Captured").to_string()),
        (Endpoint::BillingCycle, cycle("Failed").to_string()),
        (Endpoint::Transactions, empty.to_string()),
    ];
    let everywhere = ENDPOINTS.into_iter().flat_map(|at| everywhere().into_iter().map(move |kind| rule(at, kind)));
    let others = others.into_iter().map(|(at, text)| rule(at, body(text)));
    everywhere.chain(others).chain(ids.iter().take(5).map(stale)).collect()
}
