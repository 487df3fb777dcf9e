//! A few messages that always fail, among a thousand: every kind of sink, each way of failing. The healthy ones are through
//! within a minute, and one that comes when only the others are left waits for one probe.

use std::time::Duration;

use crate::harness::{DAY, Daemon, Site, eventually, within};
use crate::{Round, Tally, Trial, oracle};

use super::stand::{Kind, Stand};
use super::{Failed, Failing, REFUSED, Trouble, judge, track, waiting};

pub const FEW: Trial = Trial {
    name: "few",
    what: "30 messages of 1,000 always fail: every kind of sink, each way of failing",
    long: 12,
    run,
};

const SUBSCRIPTIONS: usize = 1000;
const BAD: usize = 30;
const PROMPT: Duration = Duration::from_secs(60);

/// One for each round, and then again.
const FAILINGS: [Failing; 6] = [
    Failing { webhook: Failed::Status(500), smtp: "full", exec: "exit 75" },
    Failing { webhook: Failed::Status(503), smtp: "policy", exec: "sleep 5" },
    Failing { webhook: Failed::Silent, smtp: "full", exec: "kill -TERM $$" },
    Failing { webhook: Failed::Cut, smtp: "policy", exec: "kill -KILL $$" },
    Failing { webhook: Failed::Status(403), smtp: "later", exec: "exit 75" },
    REFUSED,
];

fn run(round: &mut Round) -> Tally {
    let failing = FAILINGS[round.number as usize % FAILINGS.len()];
    let stand = Stand::open("few");
    let site = Site::with(|setup| setup.sink_timeout = "2s");
    let trouble = Trouble::FailsOnSome(failing);
    let configure = |trouble| {
        site.change(|setup| stand.set_sinks(setup, trouble));
        stand.equip(&site);
    };
    configure(Some(trouble));
    let bad = round.rng.choose_multiple(0..SUBSCRIPTIONS, BAD);
    track(&site, SUBSCRIPTIONS, |n| bad.contains(&n));
    stand.begin(trouble, &site);
    (0..SUBSCRIPTIONS).for_each(|n| site.renew_times(&format!("S{n}"), 1));
    site.let_pass(DAY);
    let daemon = Daemon::spawn(&site);
    eventually("the one that is well has everything", || (site.messages().len() >= SUBSCRIPTIONS).then_some(()));
    let suffering: Vec<Kind> = stand.kinds().filter(|kind| kind.can(trouble)).collect();
    prompt(&site, &suffering, failing);
    // Whoever comes now finds the sinks with nothing but what fails.
    let late = (0..SUBSCRIPTIONS).find(|n| !bad.contains(n)).expect("most are well");
    site.renew_times(&format!("S{late}"), 1);
    site.let_pass(DAY);
    daemon.signal("USR1", 1);
    eventually("a renewal more", || (site.messages().len() > SUBSCRIPTIONS).then_some(()));
    prompt(&site, &suffering, failing);
    daemon.terminate();
    let finished = daemon.wait();
    assert!(!finished.stderr.contains("panicked"), "{finished:?}");
    stand.end(trouble, &site);
    configure(None);
    oracle::finish(&site);
    Tally::of(suffering.len() as u64).count("repeats", judge(&stand, &site))
}

/// Nothing of the healthy ones waits for long.
fn prompt(site: &Site, kinds: &[Kind], failing: Failing) {
    within(PROMPT, &format!("the healthy ones are through, {failing:?}"), || {
        kinds.iter().all(|kind| waiting(site, *kind)[0] == 0).then_some(())
    });
}
