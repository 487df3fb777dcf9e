//! The same at Nexway Monetize, which has its own sins besides: filters, sorting and ids as it likes, rows of the past, dates and
//! money in other forms, orders and keys of others, the upgrade's order in place of the generation's.
//!
//! All subscriptions suffer. Several sites do this at once, since most of the time somebody waits for a stalled answer.

use std::thread;
use std::time::Duration;

use fastrand::Rng;
use renewald::sandbox::nexway_monetize::{
    CurrencyForm, DateForm, Endpoint, Fault, FaultKind, GenerationForm, IdForm, LastForm, NewSubscriptions, NoOrder,
    OrderOfGeneration, PrebillingGeneration, Product, Sandbox, Script, Step, Switches, TotalsForm,
};
use serde_json::json;

use super::kinds::{body, everywhere};
use crate::harness::Site;
use crate::nexway_monetize::site_with;
use crate::{Round, Tally, Trial, oracle};

pub const ANSWERS: Trial = Trial {
    name: "monetize-provider",
    what: "the same where subscriptions, orders and keys are asked for apart, and each time in another form",
    long: 50,
    run: answers,
};

/// Each suffers from its share of the kinds.
const SITES: usize = 10;
const SUBSCRIPTIONS: u32 = 15;
const SHARE: f64 = 0.3;
const STEP: Duration = Duration::from_secs(20 * 60);
/// More than the interval of the settings.
const EVERY: Duration = Duration::from_secs(5 * 3600);
const MOST_STEPS: u32 = 1500;

/// The token service is the one that [`super::ANSWERS`] tries.
const ENDPOINTS: [Endpoint; 4] =
    [Endpoint::Subscription, Endpoint::Orders, Endpoint::Order, Endpoint::OrderLineItemData];

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
        if step.is_multiple_of(8) {
            site.sandbox.expire_tokens(rng.bool());
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
    // An upgrade is not waited for before it is paid for.
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

/// A renewal, or an upgrade; at once, or only after its order has been through something.
fn deliver(site: &Site<Sandbox>, id: &str, rng: &mut Rng) {
    let run = match rng.u8(..4) {
        0 => Script::statuses(["PAYMENT_PENDING", "FRAUD_PENDING", "PENDING"]),
        1 => Script::steps([Step::status("PAYMENT_REFUSED")]),
        2 => Script::steps([Step::status("PARTIAL_COMPLETED")]),
        _ => Script::default(),
    };
    if rng.u8(..3) > 0 {
        let state = site.sandbox.subscriptions().into_iter().find(|state| state.subscription_id == id);
        site.sandbox.script(id, state.expect("a subscription").generation + 1, run).expect("a subscription");
        return site.renew(id);
    }
    let product = Product { id: format!("product-{}", rng.u32(..)), ..Product::bigger() };
    site.sandbox.upgrade(id, product, run).expect("it is running");
}

/// Each form in which a platform may answer.
const SINS: &[fn(&mut Switches)] = &[
    |_| (),
    |s| s.filters_honoured = false,
    |s| (s.filters_honoured, s.order_of_generation) = (false, OrderOfGeneration::Newest),
    |s| s.foreign_lines = true,
    |s| s.subscription_named = false,
    |s| s.sort_honoured = false,
    |s| s.ids = IdForm::OtherCase,
    |s| s.order_of_generation = OrderOfGeneration::Newest,
    |s| s.dates = DateForm::Iso,
    |s| s.dates = DateForm::IsoOffset,
    |s| s.dates = DateForm::Unreadable,
    |s| s.dates = DateForm::Null,
    |s| s.currency = CurrencyForm::Object,
    |s| s.generation = GenerationForm::Text,
    |s| s.generation = GenerationForm::Missing,
    |s| s.no_order = NoOrder::Empty,
    |s| s.prebilling_generation = PrebillingGeneration::Current,
    |s| s.page_shift = 1,
    |s| (s.last, s.totals) = (LastForm::Missing, TotalsForm::Missing),
    |s| (s.last, s.totals) = (LastForm::AlwaysFalse, TotalsForm::TooMany),
    |s| s.subscription_status = Some("Renewing".into()),
];

/// What is answered to everything, and what only here can be answered: of others, and of the past.
fn faults(ids: &[String]) -> Vec<Fault> {
    let rule = |at: Endpoint, kind: FaultKind| Fault::new(kind).at(at).times(1).probability(SHARE);
    let lifecycle = |generation: i64| json!({"status": "Active", "generation": generation});
    let stranger = "99999999-9999-4999-8999-999999999999";
    let stale = |id: &String| {
        let old = json!({"id": id, "dbVersion": 1, "updateDate": 1_500_000_000_000_i64, "lifecycle": lifecycle(-1)});
        rule(Endpoint::Subscription, body(old.to_string())).subscription(id.as_str())
    };
    let foreign = json!({"id": stranger, "dbVersion": 99, "lifecycle": lifecycle(9)});
    let order = |owner: &str| json!({"id": "STRANGE0001", "subscriptionId": owner, "generationId": "1", "source": "SUBSCRIPTION", "status": "COMPLETED"});
    let orders = json!({"items": [order(stranger)], "last": true});
    let key = |owner: serde_json::Value, order: serde_json::Value| json!([{"id": "x", "orderId": order, "subscriptionId": owner, "processingStatus": "COMPLETED", "activationCode": "STOLEN"}]);
    let others = [
        (Endpoint::Subscription, foreign.to_string()),
        (Endpoint::Orders, orders.to_string()),
        (Endpoint::Order, order(stranger).to_string()),
        (Endpoint::Order, order(&ids[0]).to_string()),
        (Endpoint::OrderLineItemData, key(json!(stranger), json!(null)).to_string()),
        (Endpoint::OrderLineItemData, key(json!(null), json!(null)).to_string()),
        (Endpoint::OrderLineItemData, key(json!({"id": ids[0]}), json!(null)).to_string()),
        (Endpoint::OrderLineItemData, key(json!(ids[0]), json!("STRANGE0001")).to_string()),
        (Endpoint::OrderLineItemData, "[]".to_owned()),
    ];
    let everywhere = ENDPOINTS.into_iter().flat_map(|at| everywhere().into_iter().map(move |kind| rule(at, kind)));
    let others = others.into_iter().map(|(at, text)| rule(at, body(text)));
    everywhere.chain(others).chain(ids.iter().take(5).map(stale)).collect()
}
