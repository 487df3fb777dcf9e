//! SIGKILL while the daemon works, on the real binary and the real file system.

use std::time::Duration;

use crate::fake_receiver::FakeReceiver;
use crate::harness::{DAY, Daemon, Setup, order, sandbox};
use crate::{Round, Tally, Trial, oracle};

const KILLS: u64 = 200;
const SUBSCRIPTIONS: usize = 40;

pub const AT_RANDOM: Trial =
    Trial { name: "kills", what: "kill -9 at a random moment of a renewal's way", run: at_random };

/// Every start finds something to do: some renewals are new, some are on their way since before the kill.
fn at_random(round: &mut Round) -> Tally {
    let (sandbox, receiver) = (sandbox(), FakeReceiver::start());
    let site = Setup::new(&sandbox).webhook(&receiver).install();
    let numbers: Vec<String> = (0..SUBSCRIPTIONS).map(|n| format!("K-{n}")).collect();
    numbers.iter().for_each(|number| site.track(number, order(&sandbox, number)));
    for _ in 0..KILLS {
        for _ in 0..round.rng.usize(..4) {
            sandbox.renew(&numbers[round.rng.usize(..SUBSCRIPTIONS)], None).expect("an order");
        }
        let daemon = Daemon::spawn(&site);
        let seen = sandbox.request_count() + round.rng.u64(..60);
        // The moment itself, between two requests, is what is random here.
        sandbox.wait_for(|request| request.seq >= seen, Duration::from_millis(200));
        std::thread::sleep(Duration::from_micros(round.rng.u64(..20_000)));
        daemon.kill();
        site.let_pass(DAY);
    }
    oracle::finish(&site);
    let held = oracle::judge(&sandbox, &site, &receiver.messages());
    oracle::assert_in_order(&receiver.messages());
    Tally::of(KILLS).count("renewals", held.renewals).count("repeats", held.repeats)
}
