//! SIGKILL while the daemon works, on the real binary and the real file system.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use renewald::sandbox::{digital_river, nexway_connect, nexway_monetize, smartpay};

use crate::ground::Ground;
use crate::harness::{DAY, Daemon, Site};
use crate::{Round, Tally, Trial, at_once, oracle};

const SITES: usize = 4;
/// Of each site's daemon.
const KILLS: u64 = 50;
const SUBSCRIPTIONS: usize = 40;
/// How long the daemon is given to get anywhere.
const HEAD_START: Duration = Duration::from_millis(200);

pub const AT_RANDOM: Trial = Trial {
    name: "kills",
    what: "kill -9 at a random moment of a renewal's way",
    long: 50,
    run: at_random::<nexway_connect::Sandbox>,
};
pub const WITH_UPGRADES: Trial = Trial {
    name: "monetize-kills",
    what: "the same where upgrades come between renewals",
    long: 50,
    run: at_random::<nexway_monetize::Sandbox>,
};

pub const OF_CHARGES: Trial = Trial {
    name: "smartpay-kills",
    what: "the same where charges are listed, some of them captured late",
    long: 50,
    run: at_random::<smartpay::Sandbox>,
};

pub const WITHOUT_COUNT: Trial = Trial {
    name: "river-kills",
    what: "the same where orders are listed and nothing is counted",
    long: 50,
    run: at_random::<digital_river::Sandbox>,
};

/// Steps of the way at which a kill has found some renewal.
const STEPS: [&str; 4] = ["not recorded", "awaiting order data", "queued, not published", "published, not marked"];

fn at_random<P: Ground>(round: &mut Round) -> Tally {
    let seeds: Vec<_> = (0..SITES).map(|_| round.rng.u64(..)).collect();
    let all = at_once::each(seeds, |seed| at_one_site::<P>(&mut Rng::with_seed(seed)));
    let mut tally = Tally::default();
    all.into_iter().for_each(|one| tally.join(one));
    for step in STEPS {
        let kills = tally.counts.iter().find(|(name, _)| *name == step).map_or(0, |(_, kills)| *kills);
        assert!(kills >= tally.cases / 50, "kills at \"{step}\": {kills} of {}", tally.cases);
    }
    tally
}

/// Every start finds something to do: some renewals are new, some are on their way since before the kill.
fn at_one_site<P: Ground>(rng: &mut Rng) -> Tally {
    let site = P::open(|_| {});
    let names = P::subscribe(&site, SUBSCRIPTIONS);
    let mut tally = Tally::of(KILLS);
    for _ in 0..KILLS {
        for _ in 0..rng.usize(..4) {
            P::deliver(&site, &names[rng.usize(..SUBSCRIPTIONS)], rng);
        }
        let daemon = Daemon::spawn(&site);
        wait_a_while(&site, rng);
        daemon.kill();
        for (step, found) in STEPS.into_iter().zip(steps(&site)) {
            tally = tally.count(step, u64::from(found));
        }
        site.let_pass(DAY);
    }
    oracle::finish(&site);
    let held = oracle::judge(&site, &site.messages());
    oracle::assert_in_order(&site.messages());
    tally.count("renewals", held.renewals).count("repeats", held.repeats)
}

/// Until some request, the question for some order data, or a message; and then for a moment, which is the shorter because a
/// message is soon marked. It is what is random here.
fn wait_a_while(site: &Site<impl Ground>, rng: &mut Rng) {
    let (sandbox, receiver) = (&site.sandbox, &site.receiver);
    let mut moment = 10_000;
    let asked = sandbox.asked();
    let at_least = asked + rng.u64(..60);
    match rng.u8(..3) {
        0 => drop(sandbox.wait_until_asked(at_least, false, HEAD_START)),
        1 => drop(sandbox.wait_until_asked(asked, true, HEAD_START)),
        _ => {
            while receiver.next_message_within(Duration::ZERO).is_some() {}
            drop(receiver.next_message_within(HEAD_START));
            moment = 3_000;
        }
    }
    std::thread::sleep(Duration::from_micros(rng.u64(..moment)));
}

/// At which of the steps there is a renewal.
fn steps(site: &Site<impl Ground>) -> [bool; 4] {
    let recorded: i64 = site.value("SELECT count(*) FROM renewals WHERE state <> 'known'");
    let awaiting: i64 = site.value("SELECT count(*) FROM renewals WHERE state = 'awaiting_order_data'");
    let pending = "SELECT m.id FROM messages m JOIN dispatches d ON d.message = m.seq WHERE d.state = 'pending'";
    let received: BTreeSet<_> = site.messages().into_iter().map(|message| message.id).collect();
    let pending = site.texts(pending);
    let published = pending.iter().filter(|message| received.contains(*message)).count();
    [site.sandbox.made().len() as i64 > recorded, awaiting > 0, pending.len() > published, published > 0]
}
