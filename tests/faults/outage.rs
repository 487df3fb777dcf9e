//! A provider that is down for a day, and comes back.
//!
//! The day itself is lived through by the daemon's own worker over real sockets, with both clocks in the test's hands: the
//! breaker counts by the monotonic one, which no process can be made to believe in. The real binary goes through a short outage
//! beside it, with a database that has not been asked for a day.

use std::iter::repeat_n;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant as RealInstant};

use fastrand::Rng;
use futures_util::poll;
use renewald::budget::Budget;
use renewald::clock::Timestamp;
use renewald::daemon::Worker;
use renewald::sandbox::{digital_river, nexway_connect, nexway_monetize, smartpay};
use renewald::settings::Settings;
use renewald::store::{Access, InstanceLock, Store};
use tokio::time::Instant;

use crate::ground::Ground;
use crate::harness::{DAY, Daemon, Installation, PATIENCE, Site, eventually};
use crate::{Round, Tally, Trial, oracle};

pub const OUTAGE: Trial = Trial {
    name: "outage",
    what: "a provider down for a day, or a week, then back",
    long: 2,
    run: run::<nexway_connect::Sandbox>,
};
pub const WITH_LISTS: Trial = Trial {
    name: "monetize-outage",
    what: "the same where lists are read, and upgrades come between renewals",
    long: 2,
    run: run::<nexway_monetize::Sandbox>,
};
pub const OF_CHARGES: Trial = Trial {
    name: "smartpay-outage",
    what: "the same where charges are listed, and some succeed late",
    long: 2,
    run: run::<smartpay::Sandbox>,
};
pub const OF_ORDERS: Trial = Trial {
    name: "river-outage",
    what: "the same where orders are listed",
    long: 2,
    run: run::<digital_river::Sandbox>,
};

const RATE: f64 = 20.0;
const SUBSCRIPTIONS: usize = 100;
/// Of the binary, whose requests are stamped on arrival at a busy machine: the further apart the less that matters.
const BINARYS_RATE: f64 = 10.0;
const BINARYS_SUBSCRIPTIONS: usize = 50;
/// What has happened is over when nothing happens for so long, by real time.
const SETTLED: Duration = Duration::from_millis(4);
/// The breaker's pauses, with their jitter; the longest with what the machine takes meanwhile, seconds being short here.
const SHORTEST_PAUSE: Duration = Duration::from_millis(4400);
const LONGEST_PAUSE: Duration = Duration::from_secs(420);
const INTERVAL: Duration = Duration::from_secs(4 * 3600);

/// The first round is down for a day, all others for a week.
fn run<P: Ground>(round: &mut Round) -> Tally {
    let days = if round.number == 0 { 1 } else { 7 };
    thread::scope(|scope| {
        let mut rng = round.rng.fork();
        let binary = scope.spawn(move || by_the_binary::<P>(&mut rng));
        let mut tally = through_days::<P>(days, &mut round.rng);
        tally.join(binary.join().expect("the binary holds"));
        tally
    })
}

/// Subscriptions that nobody has asked about for years; every other has renewed meanwhile, some more than once.
fn installed<P: Ground>(now: Timestamp, rate: f64, count: usize, rng: &mut Rng) -> Site<P> {
    let site = P::open(|setup| setup.requests_per_second = rate);
    site.sandbox.begin_at(now);
    for (n, name) in P::subscribe(&site, count).iter().enumerate().step_by(2) {
        (0..=n % 3).for_each(|_| P::deliver(&site, name, rng));
    }
    site.sandbox.silence(true);
    site
}

/// Nobody has had an answer for these yet.
fn unanswered(site: &Installation) -> i64 {
    site.value("SELECT count(*) FROM subscriptions WHERE last_answer_at IS NULL")
}

/// After the return: no second with more than the limit, and everything is delivered.
fn judge(site: &Site<impl Ground>, rate: f64) -> Tally {
    // Sent 1.005 / rate apart, but stamped on arrival: one more may slip into a second.
    assert!(site.sandbox.busiest() <= rate as usize + 1, "{} in one second", site.sandbox.busiest());
    oracle::finish(site);
    let held = oracle::judge(site, &site.messages());
    oracle::assert_in_order(&site.messages());
    Tally::of(1).count("renewals", held.renewals)
}

fn by_the_binary<P: Ground>(rng: &mut Rng) -> Tally {
    let site = installed::<P>(Timestamp::now(), BINARYS_RATE, BINARYS_SUBSCRIPTIONS, rng);
    site.let_pass(DAY);
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("provider does not answer: one probe at a time until it does");
    // What was on its way when it opened has ended; then there is silence until the first probe.
    let opened = RealInstant::now();
    let first = site.sandbox.asked();
    let has_probed = site.sandbox.wait_until_asked(first + 16, false, Duration::from_secs(3));
    assert!(!has_probed, "a storm against a closed door: {} requests", site.sandbox.asked() - first);
    site.sandbox.silence(false);
    daemon.wait_for_log("provider answers again");
    assert!(opened.elapsed() > Duration::from_secs(4), "the first probe came after {:?}", opened.elapsed());
    eventually("everybody is asked", || (unanswered(&site) == 0).then_some(()));
    eventually("everything is delivered", || (site.messages().len() >= site.sandbox.made().len()).then_some(()));
    daemon.drain();
    judge(&site, BINARYS_RATE)
}

fn through_days<P: Ground>(days: u32, rng: &mut Rng) -> Tally {
    let outage = days * DAY;
    let first = Timestamp::now() - outage - DAY;
    let site = installed::<P>(first, RATE, SUBSCRIPTIONS, rng);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let lived = runtime.block_on(async {
        let mut worker = worker(&site);
        let begin = Instant::now();
        let now = move || first + begin.elapsed();
        let is_over = Arc::new(AtomicBool::new(false));
        let (store, budget) = (worker.store.clone(), worker.sweepers[0].budget().clone());
        let clock = tokio::spawn(clock(site.sandbox.clone(), budget, store, outage, is_over.clone()));
        // A day is lived through in some ten seconds, on a machine that does nothing else.
        let deadline = RealInstant::now() + (3 + 2 * days) * PATIENCE;
        let made = site.sandbox.made().len();
        while site.messages().len() < made || unanswered(&site) > 0 {
            assert!(RealInstant::now() < deadline, "{} delivered", site.messages().len());
            worker.sweep(&now).await.expect("the store works");
            worker.relay(&now).await.expect("the store works");
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        is_over.store(true, Ordering::Relaxed);
        let lived = clock.await.expect("the clock");
        worker.close().await;
        lived
    });
    let requests = site.sandbox.without_answer();
    assert!(requests >= lived.probes.len() / 2, "{requests} requests: the others never got so far");
    let probes = lived.probes.as_slice();
    let of_first_day = if P::MAY_HAVE_CLOSED { assert_daily(probes, outage) } else { probes };
    assert_probes(of_first_day, if P::MAY_HAVE_CLOSED { DAY } else { outage });
    assert_no_storm(&lived.after);
    site.sandbox.forget_requests(); // stamped in real time
    let took = lived.after.last().expect("requests")[1] - lived.after[0][0];
    // Who has failed again and again is asked at its interval.
    assert!(took <= Duration::from_secs(5 * 3600), "caught up only after {took:?}");
    judge(&site, RATE).count("probes", lived.probes.len() as u64)
}

fn worker(site: &Installation) -> Worker {
    let settings = Settings::load(Some(&site.path("renewald.toml"))).expect("the settings are right").settings;
    let lock = InstanceLock::acquire(&settings.store.path).expect("nobody else works here");
    let store = Store::open(&settings.store.path, Access::Instance(lock)).expect("the store opens");
    Worker::new(Arc::new(settings), store).expect("everything is there")
}

/// After the first day one a day. Returns those of the first.
fn assert_daily(probes: &[Instant], outage: Duration) -> &[Instant] {
    let (first, rest) = probes.split_at(probes.partition_point(|at| *at < probes[0] + DAY));
    let days = outage.as_secs() / DAY.as_secs();
    assert!(
        (days.saturating_sub(2)..=days).contains(&(rest.len() as u64)),
        "{} probes after the first day",
        rest.len()
    );
    let gaps: Vec<_> = rest.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap >= DAY.mul_f64(0.89) && *gap <= DAY.mul_f64(1.11)), "{gaps:?}");
    first
}

/// One at a time, further and further apart, and never forgotten.
fn assert_probes(probes: &[Instant], outage: Duration) {
    let gaps: Vec<_> = probes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap >= SHORTEST_PAUSE && *gap <= INTERVAL), "{gaps:?}");
    // Who has failed five times is asked at its interval: now and then nobody is due.
    let long = gaps.iter().filter(|gap| **gap > LONGEST_PAUSE).count();
    assert!(long * 50 <= gaps.len(), "{long} long gaps: {gaps:?}");
    let (fewest, most) = (outage.as_secs() / LONGEST_PAUSE.as_secs() - 10, outage.as_secs() / 270 + 10);
    assert!((fewest..=most).contains(&(probes.len() as u64)), "{} probes in {outage:?}", probes.len());
}

/// When slots were taken from the budget, by the clock of the simulated days.
#[derive(Default)]
struct Lived {
    /// While the breaker was open.
    probes: Vec<Instant>,
    /// Since the provider was back and known to be: not before the one time, and not after the other.
    after: Vec<[Instant; 2]>,
}

/// By the clock that the budget goes by, no window of a second has more than the limit. What the clock passed over while nobody
/// looked counts for a window only if it is all inside.
fn assert_no_storm(slots: &[[Instant; 2]]) {
    let within = |from: usize| slots[from..].partition_point(|[_, at]| *at < slots[from][0] + Duration::from_secs(1));
    let busiest = (0..slots.len()).map(within).max().unwrap_or(0);
    // A step of the clock is a part of a spacing.
    assert!((2..=RATE as usize + 1).contains(&busiest), "{busiest} in one second");
}

/// Lets both clocks go on, but only while nothing happens. At the end of the outage the provider is back.
async fn clock(
    sandbox: Arc<impl Ground>,
    budget: Budget,
    store: Store,
    outage: Duration,
    is_over: Arc<AtomicBool>,
) -> Lived {
    let begin = Instant::now();
    let (mut lived, mut before, mut still_since) = (Lived::default(), (0, 0), RealInstant::now());
    let (mut is_back, mut last, mut looked) = (false, begin, begin);
    while !is_over.load(Ordering::Relaxed) {
        tokio::task::yield_now().await;
        let (state, requests) = (budget.state(), sandbox.asked());
        if before != (requests, state.slots_taken) {
            last = Instant::now();
            let taken = (state.slots_taken - before.1) as usize;
            match state.breaker {
                Some(_) if !is_back => lived.probes.extend(repeat_n(last, taken)),
                None if is_back => lived.after.extend(repeat_n([looked, last], taken)),
                _ => {}
            }
            before = (requests, state.slots_taken);
            still_since = RealInstant::now();
        }
        looked = Instant::now();
        if still_since.elapsed() < SETTLED {
            // Others of this machine need the processor to answer.
            thread::sleep(Duration::from_micros(50));
            continue;
        }
        if !is_back && begin.elapsed() >= outage {
            assert!(state.breaker.is_some(), "it has opened");
            sandbox.silence(false);
            is_back = true;
        }
        let is_busy = state.breaker.is_none() && last.elapsed() < Duration::from_secs(2);
        let step = if is_busy { Duration::from_millis(5) } else { Duration::from_secs(1) };
        sandbox.let_go_by(step);
        tokio::time::advance(step).await;
        without_waiting(store.data_version()).await.expect("the store works");
        without_waiting(store.territories_in_use()).await.expect("the store works");
    }
    lived
}

/// Returns once it is done, and the store with what was asked of it before; meanwhile no time goes by, as it would if the
/// runtime had nothing to do.
async fn without_waiting<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(done) = poll!(work.as_mut()) {
            return done;
        }
        tokio::task::yield_now().await;
    }
}
