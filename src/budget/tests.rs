use super::*;
use tokio::time::{advance, timeout};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// When each of `count` slots was given.
pub(super) async fn take(budget: &Budget, count: usize) -> Vec<Instant> {
    let mut times = Vec::new();
    for _ in 0..count {
        let Slot(()) = budget.slot().await;
        times.push(Instant::now());
    }
    times
}

/// The most slots in any window of one second.
pub(super) fn most_in_a_second(times: &[Instant]) -> usize {
    let ends = (0..times.len()).map(|first| times[first..].partition_point(|at| *at < times[first] + SECOND));
    ends.max().unwrap_or(0)
}

fn mean_rate(times: &[Instant]) -> f64 {
    (times.len() - 1) as f64 / (times[times.len() - 1] - times[0]).as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn no_window_of_a_second_holds_more_than_the_rate() {
    for rate in [1.0, 2.0, 5.0, 9.0, 10.0, 50.0, 400.0, 2000.0] {
        let budget = Budget::new(rate);
        let times = take(&budget, rate as usize * 20).await;
        assert!(most_in_a_second(&times) <= rate as usize, "at {rate}");
        assert!(mean_rate(&times) >= rate * 0.989, "{} at {rate}", mean_rate(&times));
    }
}

#[tokio::test(start_paused = true)]
async fn late_wake_ups_do_not_lower_the_mean() {
    let budget = Budget::new(9.0);
    let mut times = take(&budget, 1).await;
    for turn in 1..2700u32 {
        // The loop is busy until up to 3 ms after the next slot is due.
        let due = times[0] + Duration::from_micros(111_667) * turn;
        tokio::time::sleep_until(due + Duration::from_micros(u64::from(turn) * 7919 % 3000)).await;
        times.extend(take(&budget, 1).await);
    }
    assert!(mean_rate(&times) >= 8.9, "{}", mean_rate(&times));
    assert_eq!(most_in_a_second(&times), 9);
}

#[tokio::test(start_paused = true)]
async fn wake_ups_late_by_more_still_never_exceed_the_rate() {
    let budget = Budget::new(9.0);
    let mut times = Vec::new();
    for turn in 0..2700u64 {
        times.extend(take(&budget, 1).await);
        advance(Duration::from_millis((turn * 7919) % 140)).await;
    }
    assert!(most_in_a_second(&times) <= 9);
}

#[tokio::test(start_paused = true)]
async fn idleness_saves_nothing_up() {
    let budget = Budget::new(10.0);
    take(&budget, 3).await;
    advance(Duration::from_secs(3600)).await;
    let times = take(&budget, 20).await;
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(100)));
}

#[tokio::test(start_paused = true)]
async fn a_restart_continues_evenly() {
    let mut times = take(&Budget::new(5.0), 5).await;
    times.extend(take(&Budget::new(5.0), 5).await);
    assert_eq!(most_in_a_second(&times), 5);
    let started = Instant::now();
    take(&Budget::new(0.01), 1).await;
    assert!(
        started.elapsed() < SECOND + Duration::from_millis(10),
        "a slow rate delays the start by no more than a second"
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_takes_nothing() {
    let budget = Budget::new(10.0);
    let first = take(&budget, 1).await[0];
    for _ in 0..10 {
        assert!(timeout(Duration::from_millis(5), budget.slot()).await.is_err());
    }
    assert_eq!(budget.state().slots_taken, 1);
    let second = take(&budget, 1).await[0];
    assert!(second - first <= Duration::from_millis(102));
}

#[tokio::test(start_paused = true)]
async fn waiting_callers_share_the_slots() {
    let budget = Budget::new(10.0);
    let calls = (0..30).map(|_| {
        let budget = budget.clone();
        tokio::spawn(async move {
            let Slot(()) = budget.slot().await;
            Instant::now()
        })
    });
    let mut times = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        times.push(call.await.unwrap());
    }
    times.sort();
    assert_eq!(most_in_a_second(&times), 10);
    assert!(times[29] - times[0] < Duration::from_millis(3000));
}

#[tokio::test]
async fn no_limit_costs_nothing() {
    let budget = Budget::new(0.0);
    let started = std::time::Instant::now();
    for _ in 0..50_000 {
        let Slot(()) = budget.slot().await;
    }
    assert!(started.elapsed() < SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_429_halves_the_rate_once_and_it_grows_back() {
    let budget = Budget::new(8.0);
    take(&budget, 1).await;
    for _ in 0..16 {
        budget.slow_down(None); // all that were in flight
    }
    assert_eq!(budget.state().rate, 4.0);
    assert_eq!(budget.state().slowed_until, Some(Instant::now() + Duration::from_secs(300)));
    let times = take(&budget, 10).await;
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(245)));
    advance(Duration::from_secs(150)).await;
    assert!((5.9..6.2).contains(&budget.state().rate), "{}", budget.state().rate);
    advance(Duration::from_secs(160)).await;
    assert_eq!((budget.state().rate, budget.state().slowed_until), (8.0, None));
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_429_leaves_a_trickle() {
    let budget = Budget::new(8.0);
    for _ in 0..50 {
        budget.slow_down(None);
        advance(Duration::from_secs(2)).await;
    }
    assert!((0.25..0.35).contains(&budget.state().rate), "{}", budget.state().rate);
    assert!(timeout(Duration::from_secs(5), budget.slot()).await.is_ok());
    budget.set_rate(4.0);
    assert!(budget.state().rate < 0.3, "a reload does not forget it");
}

#[tokio::test(start_paused = true)]
async fn retry_after_pauses_every_slot() {
    let budget = Budget::new(10.0);
    take(&budget, 1).await;
    budget.slow_down(Some(Duration::from_secs(20)));
    budget.slow_down(Some(Duration::from_secs(3))); // does not shorten it
    let asked = Instant::now();
    let times = take(&budget, 10).await;
    assert_eq!(times[0] - asked, Duration::from_secs(20));
    assert_eq!(most_in_a_second(&times), 5);
}

#[tokio::test(start_paused = true)]
async fn hostile_pauses_are_capped_or_ignored() {
    let budget = Budget::new(10.0);
    budget.slow_down(Some(Duration::MAX));
    assert_eq!(budget.state().paused_until, None);
    budget.slow_down(Some(Duration::from_secs(3000)));
    assert_eq!(budget.state().paused_until, Some(Instant::now() + Duration::from_secs(3000)));
    budget.slow_down(Some(Duration::from_secs(80_000)));
    assert_eq!(budget.state().paused_until, Some(Instant::now() + LONGEST_PAUSE));
    assert_eq!(LONGEST_PAUSE, Duration::from_secs(3600));
    advance(LONGEST_PAUSE).await;
    assert_eq!(budget.state().paused_until, None);
    let unlimited = Budget::new(0.0);
    unlimited.slow_down(None);
    let slowed = Instant::now();
    assert_eq!(take(&unlimited, 1).await[0] - slowed, SECOND);
    assert_eq!(unlimited.state().paused_until, None, "nobody asked for that one");
}

#[tokio::test(start_paused = true)]
async fn a_reload_takes_effect_while_somebody_waits() {
    let budget = Budget::new(0.001);
    take(&budget, 1).await;
    let waiting = tokio::spawn({
        let budget = budget.clone();
        async move { take(&budget, 20).await }
    });
    advance(SECOND).await;
    budget.set_rate(5.0);
    let times = timeout(Duration::from_secs(6), waiting).await.unwrap().unwrap();
    assert_eq!(most_in_a_second(&times), 5);
}

#[tokio::test(start_paused = true)]
async fn odd_rates_are_survived() {
    for rate in [f64::NAN, f64::INFINITY, -1.0] {
        take(&Budget::new(rate), 3).await;
    }
    take(&Budget::new(f64::MIN_POSITIVE), 2).await;
    take(&Budget::new(f64::MAX), 2).await;
}

/// Turns, lateness, idleness, refusals, outages, restarts and reloads in any order; the same on every machine.
#[tokio::test(start_paused = true)]
async fn whatever_happens_no_window_of_a_second_holds_more_than_the_rate() {
    for seed in 1..=30u64 {
        let mut random = seed;
        let mut below = |most: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % most
        };
        let mut budget = Budget::new(9.0);
        let mut times = Vec::new();
        for _ in 0..1500 {
            match below(100) {
                0 => budget.slow_down(None),
                1 => budget.slow_down(Some(Duration::from_secs(below(4)))),
                2 => advance(Duration::from_millis(below(5000))).await,
                3 => budget = Budget::new(9.0),
                4 => _ = budget.report_lockout(),
                5 => budget.set_rate([1.0, 4.5, 9.0][below(3) as usize]),
                6..10 => drop(timeout(Duration::from_millis(below(90)), budget.slot()).await),
                10..20 => _ = budget.report_success(),
                20..40 => advance(Duration::from_millis(below(150))).await,
                _ => {
                    let Slot(()) = if below(4) == 0 { budget.follow_up().await } else { budget.slot().await };
                    times.push(Instant::now());
                }
            }
        }
        assert!(most_in_a_second(&times) <= 9, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_share_in_use_is_that_of_the_last_minute() {
    let budget = Budget::new(10.0);
    assert_eq!(budget.state().used_share, 0.0);
    take(&budget, 300).await;
    let busy = budget.state().used_share;
    assert!((0.97..=1.0).contains(&busy), "{busy}");
    advance(Duration::from_secs(45)).await;
    let idle = budget.state().used_share;
    assert!((0.2..0.3).contains(&idle), "15 of 60 seconds were busy: {idle}");
    advance(Duration::from_secs(3600)).await;
    assert_eq!(budget.state().used_share, 0.0);
    let unlimited = Budget::new(0.0);
    take(&unlimited, 5).await;
    assert_eq!(unlimited.state().used_share, 0.0);
}

fn open(budget: &Budget) {
    for _ in 0..9 {
        assert!(!budget.report_outage(Instant::now()));
    }
    assert!(budget.report_outage(Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn ten_outages_in_a_row_open_the_breaker() {
    let budget = Budget::new(10.0);
    for _ in 0..9 {
        budget.report_outage(Instant::now());
    }
    assert!(!budget.report_success());
    open(&budget);
    let state = budget.state();
    assert_eq!((state.failures, state.breaker.unwrap().since), (10, Instant::now()));
    let pause = state.breaker.unwrap().next_probe_at - Instant::now();
    assert!((4.5..=5.5).contains(&pause.as_secs_f64()));
}

#[tokio::test(start_paused = true)]
async fn probes_go_out_one_by_one_with_growing_pauses() {
    let budget = Budget::new(10.0);
    assert!(budget.report_lockout());
    for pause in [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0] {
        let reported = Instant::now();
        let probe = take(&budget, 1).await[0];
        let waited = (probe - reported).as_secs_f64();
        assert!((pause * 0.9..=pause * 1.1 + 0.002).contains(&waited), "{waited} for {pause}");
        assert!(timeout(Duration::from_secs(30), budget.slot()).await.is_err(), "a second probe");
        assert!(!budget.report_outage(Instant::now()));
        assert!(!budget.report_outage(Instant::now()), "a straggler");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_may_have_closed_is_asked_daily_after_a_day() {
    const DAY: u64 = 86_400;
    let budget = Budget::new(10.0);
    (0..9).for_each(|_| assert!(!budget.report_absence(Instant::now())));
    assert!(budget.report_absence(Instant::now()));
    let opened = Instant::now();
    let mut probes = Vec::new();
    while opened.elapsed() < Duration::from_secs(5 * DAY) {
        probes.push((take(&budget, 1).await[0] - opened).as_secs());
        assert!(!budget.report_absence(Instant::now()));
    }
    let gaps: Vec<_> = probes.windows(2).filter(|pair| pair[0] > DAY).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.len() >= 3 && gaps.iter().all(|gap| (DAY * 9 / 10 - 1..=DAY * 11 / 10 + 1).contains(gap)), "{gaps:?}");
    assert!(probes.len() > 200, "every five minutes until then: {}", probes.len());
    assert!(budget.report_success());
}

#[tokio::test(start_paused = true)]
async fn the_first_success_lets_slots_flow_evenly() {
    let budget = Budget::new(10.0);
    open(&budget);
    take(&budget, 1).await;
    let waiting = tokio::spawn({
        let budget = budget.clone();
        async move { take(&budget, 30).await }
    });
    advance(SECOND).await;
    assert!(budget.report_success());
    assert!(!budget.report_success());
    let times = timeout(Duration::from_secs(4), waiting).await.unwrap().unwrap();
    assert_eq!(most_in_a_second(&times), 10);
    assert_eq!(budget.state().breaker, None);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_nobody_reports_is_forgotten() {
    let budget = Budget::new(10.0);
    open(&budget);
    let times = take(&budget, 2).await;
    assert_eq!(times[1] - times[0], Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_probe_may_take_what_it_needs() {
    let budget = Budget::new(10.0);
    open(&budget);
    take(&budget, 1).await;
    let token = timeout(SECOND, budget.follow_up()).await;
    assert!(token.is_ok());
}

#[tokio::test(start_paused = true)]
async fn slow_failures_of_requests_sent_before_a_success_tell_of_no_outage() {
    let budget = Budget::new(0.0);
    let started = Instant::now();
    advance(Duration::from_secs(30)).await;
    budget.report_success();
    for _ in 0..100 {
        assert!(!budget.report_outage(started));
    }
    assert!(budget.state().breaker.is_none());
}
