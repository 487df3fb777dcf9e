//! A provider that answers anything: every fault there is, mixed with right answers, at the API and at the token service.
//!
//! Territory `us` suffers, `eu` does not; they share the account, its budget, its breaker and its tokens. Several sites do this
//! at once, since most of the time somebody waits for a stalled answer. What goes wrong before any answer (certificates,
//! names) is in [`connecting`].

pub mod connecting;
mod kinds;
pub mod monetize;
pub mod river;
pub mod smartpay;

use std::thread;
use std::time::Duration;

use fastrand::Rng;
use renewald::clock::Timestamp;
use renewald::sandbox::nexway_connect::{Endpoint, Fault, NewOrder, Sandbox};

use crate::harness::Site;
use crate::{Round, Tally, Trial, oracle};

pub const ANSWERS: Trial = Trial {
    name: "provider",
    what: "every fault of the provider's answers, 30 % of all requests",
    long: 50,
    run: answers,
};

/// How often each kind strikes in a round: on each of so many sites three times at the status and once at order data; on one of
/// them instead of one status at a token, where most kinds cost a pause of five seconds.
const EACH: usize = 20;
const SITES: usize = EACH / 4;
const SICK: usize = 40;
const HEALTHY: usize = 20;
/// Of the requests of the sick territory, which are the more because they are repeated.
const SHARE: f64 = 0.65;
const STEP: Duration = Duration::from_secs(5 * 60);
const MOST_STEPS: u32 = 2000;

fn answers(round: &mut Round) -> Tally {
    let rngs: Vec<_> = (0..SITES).map(|_| round.rng.fork()).collect();
    let tallies: Vec<_> = thread::scope(|scope| {
        let sites = rngs.into_iter().enumerate();
        let sites: Vec<_> = sites.map(|(n, rng)| scope.spawn(move || one_site(n, rng))).collect();
        sites.into_iter().map(|site| site.join().expect("a site holds")).collect()
    });
    let mut tally = Tally::of(0);
    tallies.into_iter().for_each(|site| tally.join(site));
    tally
}

/// One installation and its provider, by a clock of its own.
struct Ward {
    site: Site,
    sick: Vec<String>,
    healthy: Vec<String>,
}

fn one_site(number: usize, mut rng: Rng) -> Tally {
    let ward = Ward::open();
    let mut tokens = kinds::at(Endpoint::Token, number);
    rng.shuffle(&mut tokens);
    let api: Vec<_> = [Endpoint::Status, Endpoint::Order].into_iter().flat_map(|at| kinds::at(at, number)).collect();
    let cases = (api.iter().map(|fault| fault.times.unwrap_or(1) as usize).sum::<usize>() + tokens.len()) as u64;
    // Everything is over when the sandbox's own clock says so: what follows is done by the real one.
    let begin = ward.site.now() - MOST_STEPS * STEP;
    let mut work = ward.site.work();
    work.pass(begin);
    let mut mix = Mix { begun: ward.site.sandbox.request_count(), all: api.len(), times: times(&api), share: 0.0 };
    api.into_iter().for_each(|fault| ward.site.sandbox.fault(fault));
    for step in 1.. {
        assert!(step < MOST_STEPS, "{:?} have not struck", ward.site.sandbox.faults());
        ward.renew(step as usize);
        // One at a time: in a row they make the pauses longer and longer.
        if step % 3 == 0
            && !ward.waits_for_token()
            && let Some(fault) = tokens.pop()
        {
            ward.site.sandbox.fault(fault);
        }
        if ward.waits_for_token() {
            ward.site.sandbox.expire_tokens(true);
        }
        let left = ward.spread();
        mix.look(left, &ward.site.sandbox);
        if left == 0 && tokens.is_empty() {
            break;
        }
        let now = begin + step * STEP;
        work.pass(now);
        ward.assert_healthy_on_time(now);
    }
    drop(work);
    let (requests, again) = (ward.site.sandbox.request_count(), ward.statuses());
    oracle::finish(&ward.site);
    // Not in order: a generation whose order data is kept back holds up no later one.
    let held = oracle::judge(&ward.site, &ward.site.messages());
    assert!(mix.share >= 0.3, "{} of the requests are too thin", mix.share);
    Tally::of(cases).count("requests", requests).count("renewals", held.renewals).count("told by their status", again)
}

/// How thickly the faults were strewn, until four of five kinds had all struck: the last ones are waited for.
struct Mix {
    begun: u64,
    all: usize,
    times: u32,
    share: f64,
}

impl Mix {
    fn look(&mut self, left: usize, sandbox: &Sandbox) {
        if left * 5 > self.all {
            let log = sandbox.requests();
            let asked = log.iter().filter(|request| request.seq >= self.begun && request.endpoint != Endpoint::Token);
            let (struck, asked) = (self.times.saturating_sub(times(&sandbox.faults())), asked.count());
            self.share = f64::from(struck) / asked.max(1) as f64;
        }
    }
}

fn times(faults: &[Fault]) -> u32 {
    faults.iter().filter(|fault| fault.endpoint != Some(Endpoint::Token)).filter_map(|fault| fault.times).sum()
}

impl Ward {
    fn open() -> Self {
        let site = Site::with(|setup| {
            setup.timeout = "1s";
            // A limit, so that 429 costs half of it and not a second each; and less in hand than opens the breaker at once.
            setup.requests_per_second = 5000.0;
            setup.concurrency = 3;
        });
        let group = |territory: &'static str, count: usize| -> Vec<String> {
            (0..count).map(|n| format!("{}-{n}", territory.to_uppercase())).collect()
        };
        let ward = Self { sick: group("us", SICK), healthy: group("eu", HEALTHY), site };
        for (territory, numbers) in [("us", &ward.sick), ("eu", &ward.healthy)] {
            for number in numbers {
                ward.site.place(NewOrder { territory: territory.to_owned(), ..NewOrder::new(number) });
                // So that there is a generation to go back from.
                ward.site.renew(number);
            }
        }
        ward
    }

    /// One of the sick renews at every step, one of the healthy now and then.
    fn renew(&self, step: usize) {
        self.site.renew(&self.sick[step % SICK]);
        if step.is_multiple_of(5) {
            self.site.renew(&self.healthy[step / 5 % HEALTHY]);
        }
    }

    /// Gives each rule such a chance that all together strike their share of the requests. Returns how many faults are left.
    fn spread(&self) -> usize {
        let left = self.site.sandbox.faults();
        self.site.sandbox.clear_faults();
        for fault in &left {
            let rivals = left.iter().filter(|other| other.endpoint == fault.endpoint).count();
            let chance = match fault.endpoint {
                Some(Endpoint::Token) => 1.0,
                _ => 1.0 - (1.0 - SHARE).powf(1.0 / rivals as f64),
            };
            self.site.sandbox.fault(fault.clone().probability(chance));
        }
        left.len()
    }

    fn waits_for_token(&self) -> bool {
        self.site.sandbox.faults().iter().any(|fault| fault.endpoint == Some(Endpoint::Token))
    }

    /// Nobody of the territory that answers waits longer than design section 2 allows, whatever happens beside it.
    fn assert_healthy_on_time(&self, now: Timestamp) {
        let overdue = (now - Duration::from_secs(4 * 3600 * 11 / 10)).as_unix();
        let query = format!(
            "SELECT partner_order_number || ' ' || coalesce(last_answer_at, 0) FROM subscriptions
             WHERE territory = 'eu' AND coalesce(last_answer_at, 0) < {overdue}"
        );
        let late = self.site.texts(&query);
        assert!(late.is_empty(), "overdue at {now}: {late:?}");
    }

    /// How many answers the sandbox's log has with a status that only a fault gives; each was to come so often.
    fn statuses(&self) -> u64 {
        let log = self.site.sandbox.requests();
        let count = |status: u16| log.iter().filter(|request| request.status == Some(status)).count();
        for (status, kinds) in kinds::STATUSES {
            assert!(count(status) >= kinds * EACH / SITES, "{status}: {} in the log", count(status));
        }
        kinds::STATUSES.iter().map(|(status, _)| count(*status) as u64).sum()
    }
}

/// The fault of a territory.
fn of_the_sick(fault: Fault) -> Fault {
    fault.territory("us")
}
