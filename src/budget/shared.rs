//! Several accounts that keep to one limit.

use super::tests::{SECOND, most_in_a_second, take};
use super::*;
use tokio::time::{advance, timeout};

/// Takes slots as fast as they come, until `end`; when each was given.
fn eager(budget: &Budget, end: Instant) -> tokio::task::JoinHandle<Vec<Instant>> {
    let budget = budget.clone();
    tokio::spawn(async move {
        let mut times = Vec::new();
        while tokio::time::timeout_at(end, budget.slot()).await.is_ok() {
            times.push(Instant::now());
        }
        times
    })
}

#[tokio::test(start_paused = true)]
async fn accounts_take_turns_and_together_keep_to_the_limit() {
    for rate in [1.0, 9.0, 10.0, 200.0] {
        let first = Budget::new(rate);
        let accounts = [first.clone(), first.beside(), first.beside()];
        let end = Instant::now() + SECOND * 60;
        let tasks: Vec<_> = accounts.iter().map(|account| eager(account, end)).collect();
        let (mut all, mut each) = (Vec::new(), Vec::new());
        for task in tasks {
            let times = task.await.unwrap();
            each.push(times.len());
            all.extend(times);
        }
        all.sort();
        assert!(most_in_a_second(&all) <= rate as usize, "at {rate}");
        assert!(all.len() as f64 >= rate * 60.0 * 0.98 - 1.0, "{} at {rate}", all.len());
        assert!(each.iter().max().unwrap() - each.iter().min().unwrap() <= 1, "{each:?} at {rate}");
    }
}

/// One that is woken late, every time, is not always too late.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_slot_gets_one_in_turn_however_many_callers_another_has() {
    let busy = Budget::new(10.0);
    let quiet = busy.beside();
    let end = Instant::now() + SECOND * 30;
    let callers: Vec<_> = (0..20).map(|_| eager(&busy, end)).collect();
    let times = eager(&quiet, end).await.unwrap();
    assert!((145..=155).contains(&times.len()), "{}", times.len());
    let mut all = times;
    for caller in callers {
        all.extend(caller.await.unwrap());
    }
    all.sort();
    assert!(most_in_a_second(&all) <= 10 && all.len() >= 290, "{}", all.len());
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_come_for_its_turn_costs_nobody_anything() {
    let first = Budget::new(10.0);
    let absent = first.beside();
    take(&first, 1).await;
    // It stands in line, and is not polled any more.
    let mut stuck = Box::pin(absent.slot());
    assert!(futures_util::poll!(&mut stuck).is_pending());
    let times = take(&first, 50).await;
    assert!(times[49] - times[0] <= Duration::from_millis(4930), "{:?}", times[49] - times[0]);
    drop(stuck);
}

#[tokio::test(start_paused = true)]
async fn a_429_slows_all_and_an_outage_stops_one() {
    let first = Budget::new(8.0);
    let second = first.beside();
    first.slow_down(Some(Duration::from_secs(20)));
    assert_eq!(second.state().paused_until, Some(Instant::now() + Duration::from_secs(20)));
    assert_eq!(second.state().rate, 4.0);
    let paused = Instant::now();
    assert_eq!(take(&second, 1).await[0] - paused, Duration::from_secs(20));

    assert!(first.report_lockout());
    assert!(first.state().breaker.is_some() && second.state().breaker.is_none());
    assert_eq!((first.state().failures, second.state().failures), (10, 0));
    assert!(timeout(SECOND, first.slot()).await.is_err(), "no probe is due");
    let times = timeout(SECOND * 3, take(&second, 8)).await.expect("the other goes on");
    assert!(most_in_a_second(&times) <= 8);
    assert!(!second.report_success(), "it had nothing to close");
    assert!(first.state().breaker.is_some());
}

#[tokio::test(start_paused = true)]
async fn who_joins_while_it_waits_keeps_to_the_new_limit_at_once() {
    let (slow, other) = (Budget::new(0.01), Budget::new(10.0));
    take(&slow, 1).await;
    let waiting = tokio::spawn({
        let slow = slow.clone();
        async move { take(&slow, 20).await }
    });
    take(&other, 5).await;
    other.slow_down(Some(Duration::from_secs(7)));
    let joined = Instant::now();
    Budget::share([(vec![&slow, &other], 5.0)]);
    assert_eq!(slow.state().paused_until, other.state().paused_until, "the pause is theirs, whoever was told");
    let times = timeout(Duration::from_secs(30), waiting).await.unwrap().unwrap();
    assert!(times[0] - joined >= Duration::from_secs(7), "{:?}", times[0] - joined);
    assert!(most_in_a_second(&times) <= 5);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_has_a_limit_of_its_own_and_forgets_no_429() {
    let first = Budget::new(10.0);
    let second = first.beside();
    first.slow_down(Some(Duration::from_secs(9)));
    Budget::share([(vec![&first], 10.0), (vec![&second], 4.0)]);
    assert_eq!((first.state().configured_rate, second.state().configured_rate), (10.0, 4.0));
    assert_eq!((first.state().rate, second.state().rate), (5.0, 2.0));
    assert!(second.state().paused_until.is_some());
    first.slow_down(None);
    advance(SECOND * 9).await;
    second.slow_down(None);
    assert!(first.state().rate > second.state().rate, "what one hears is no other's matter");
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_changes_no_group_disturbs_nobody() {
    let (first, alone) = (Budget::new(10.0), Budget::new(2.0));
    let second = first.beside();
    let taken = take(&first, 3).await[2];
    Budget::share([(vec![&first, &second], 10.0), (vec![&alone], 2.0)]);
    let next = take(&second, 1).await[0];
    assert!(next - taken <= Duration::from_millis(102), "{:?}", next - taken);
    assert_eq!(alone.state().configured_rate, 2.0);
}

/// Groups come and go while all take what they get; the same on every machine.
#[tokio::test(start_paused = true)]
async fn however_groups_change_no_window_of_a_second_holds_more_than_the_rate_of_one() {
    for seed in 1..=20u64 {
        let mut random = seed;
        let mut below = |most: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % most
        };
        // The first two share all the time; the third comes and goes.
        let first = Budget::new(9.0);
        let (second, third) = (first.beside(), Budget::new(9.0));
        let mut times = Vec::new();
        for _ in 0..600 {
            match below(40) {
                0 => Budget::share([(vec![&first, &second], 9.0), (vec![&third], 9.0)]),
                1 => Budget::share([(vec![&first, &second, &third], 9.0)]),
                2 => Budget::share([(vec![&third], 9.0), (vec![&second, &first], 9.0)]),
                3 => second.slow_down(None),
                4 => advance(Duration::from_millis(below(2000))).await,
                5..10 => drop(timeout(Duration::from_millis(below(90)), third.slot()).await),
                at => {
                    let one = if at % 2 == 0 { &first } else { &second };
                    let Slot(()) = one.slot().await;
                    times.push(Instant::now());
                }
            }
        }
        assert!(most_in_a_second(&times) <= 9, "seed {seed}");
    }
}
