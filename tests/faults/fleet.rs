//! One daemon with an account at each kind of provider, all of them busy: each keeps within its own limit, and while one of them is
//! down the others' renewals come as soon as ever.
//!
//! Everybody was looked at, then a day went by, so that all are due at once. At Nexway Connect and Nexway Monetize they are soon due
//! again. At SmartPay and Digital River they rest after that look, since nothing can happen to them before the next bill: there a
//! renewal is found because the list or an event hints at it. In the long form more are due than can be asked in hours.
//!
//! An account is down, its answers held back or its connections cut, until all renewals of the others have arrived: who waited for
//! it would wait for ever. That the others are no slower is held against the stage with nobody down, by a bound that is far below
//! what a request waits for its answer.

mod member;
mod voyage;

use std::time::Duration;

use crate::harness::Daemon;
use crate::{Round, Tally, Trial, soak};
use voyage::{ACCOUNTS, Outage, Size, Voyage};

pub const FLEET: Trial =
    Trial { name: "fleet", what: "an account of each kind in one process, each down in its turn", long: 2, run };

/// Of the first round.
const SMALL: Size =
    Size { subscriptions: 60, renewals: 4, limits: [60, 90, 120, 150], every: "1s", patience: Duration::from_secs(60) };
/// Of all others: 250,000 in all, at limits as providers have them.
const LARGE: Size = Size {
    subscriptions: 62_500,
    renewals: 20,
    limits: [10, 15, 20, 25],
    every: "1m",
    patience: Duration::from_secs(1800),
};

/// A renewal may take twice as long as the slowest with nobody down, and this.
const SLACK: Duration = Duration::from_secs(5);

fn run(round: &mut Round) -> Tally {
    let is_small = round.number == 0;
    let mut voyage = Voyage::begin(if is_small { SMALL } else { LARGE });
    let daemon = Daemon::spawn(&voyage.site);
    voyage.stage(None); // with everybody due
    let alone = voyage.stage(None);
    let mut beside = Vec::new();
    for (down, away) in ACCOUNTS.into_iter().enumerate() {
        // Each is cut off in the one round, and does not answer in the other.
        let outage = if (down < 2) == is_small { Outage::Cut } else { Outage::Held };
        let delays = voyage.stage(Some((down, outage)));
        for ((who, usual), delays) in ACCOUNTS.into_iter().zip(&alone).zip(&delays) {
            assert_as_soon(who, delays, away, usual);
        }
        beside.extend(delays.concat());
    }
    let memory = soak::memory(daemon.id(), "VmHWM:");
    daemon.drain();
    let tally = voyage.judge();
    if round.number + 1 < round.of {
        return tally; // the rounds that follow are larger
    }
    let mut alone = alone.concat();
    voyage
        .count(tally)
        .count("kB resident at most", memory)
        .count("ms to the message in the middle", share(&mut alone, 0.5))
        .count("for 99 of 100", share(&mut alone, 0.99))
        .count("ms with another down in the middle", share(&mut beside, 0.5))
        .count("for 99 of 100 then", share(&mut beside, 0.99))
}

fn assert_as_soon(who: &str, delays: &[Duration], away: &str, usual: &[Duration]) {
    let usual = *usual.iter().max().expect("renewals");
    let slow: Vec<_> = delays.iter().filter(|delay| **delay > usual * 2 + SLACK).collect();
    assert!(slow.is_empty(), "{who} while {away} was down: {slow:?}, else at most {usual:?}");
}

/// So many of them took no longer than these milliseconds.
fn share(delays: &mut [Duration], of: f64) -> u64 {
    delays.sort();
    delays[(delays.len() as f64 * of).ceil() as usize - 1].as_millis() as u64
}
