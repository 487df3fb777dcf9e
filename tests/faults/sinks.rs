//! Sinks in trouble: every kind × down, slow, refusing us, its answer lost or late, refusing one message.
//!
//! All kinds suffer the same at the same time, each at a server of its own, while one more receiver is well: it must have
//! everything long before the others are. What cannot happen to a kind is said in [`stand::Kind::can`].

pub mod few;
mod stand;

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use renewald::sandbox::nexway_connect::NewOrder;

use crate::fake_receiver::Received;
use crate::harness::{DAY, Daemon, Installation, Site, Track, eventually};
use crate::nexway_connect::new_order;
use crate::{Round, Tally, Trial, oracle};

use stand::{Kind, Stand};

pub const TROUBLES: Trial =
    Trial { name: "sinks", what: "every kind of sink down, slow, refusing, its answers lost or late", long: 50, run };

/// Of every sink that suffers.
pub const TIMEOUT: Duration = Duration::from_secs(2);
/// The one that is well has everything by then, however busy the machine is. Who waited for a timeout of each of the others
/// would not.
const PROMPT: Duration = Duration::from_secs(10);
const SUBSCRIPTIONS: usize = 6;
const GENERATIONS: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody is there.
    Down,
    Slow,
    /// It does not accept our credentials.
    Unauthorized,
    /// It has taken the message, and we do not hear of it.
    AnswerLost,
    /// We hear of it when we have given up.
    AnswerLate,
    /// It fails in this way on what is of territory `us`, and takes all others.
    FailsOnSome(Failing),
}

/// How each kind of sink fails on some messages; what it has one way of failing for repeats that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    pub webhook: Failed,
    /// The name of a recipient that the mail server answers so.
    pub smtp: &'static str,
    /// What the command does.
    pub exec: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    Status(u16),
    Cut,
    Silent,
}

/// Of which everybody knows that it is the message's.
const REFUSED: Failing = Failing { webhook: Failed::Status(422), smtp: "later", exec: "exit 1" };

fn run(_: &mut Round) -> Tally {
    use Trouble::*;
    let tallies: Vec<_> = thread::scope(|scope| {
        let sites = [("first", [Down, Slow, Unauthorized]), ("second", [AnswerLost, AnswerLate, FailsOnSome(REFUSED)])];
        let sites = sites.map(|(name, troubles)| scope.spawn(move || one_site(name, &troubles)));
        sites.into_iter().map(|site| site.join().expect("a site holds")).collect()
    });
    let mut tally = Tally::of(0);
    tallies.into_iter().for_each(|one| tally.join(one));
    tally
}

fn one_site(name: &str, troubles: &[Trouble]) -> Tally {
    let stand = Stand::open(name);
    let site = Site::with(|setup| setup.sink_timeout = "2s");
    let configure = |trouble| {
        site.change(|setup| stand.set_sinks(setup, trouble));
        stand.equip(&site);
    };
    configure(None);
    track(&site, SUBSCRIPTIONS, |n| n == 0);
    let mut cases = 0;
    for trouble in troubles {
        configure(Some(*trouble));
        stand.begin(*trouble, &site);
        cases += suffer(&stand, *trouble, &site);
        stand.end(*trouble, &site);
        configure(None);
        // Everybody has everything before the next trouble comes.
        oracle::finish(&site);
    }
    let repeats = judge(&stand, &site);
    Tally::of(cases).count("repeats", repeats)
}

/// One of territory `us` has addresses that the mail server fails on, each in its way; the others' are well.
fn track(site: &Site, subscriptions: usize, is_of_us: impl Fn(usize) -> bool) {
    let new: Vec<_> = (0..subscriptions)
        .map(|n| {
            let (number, territory) = (format!("S{n}"), if is_of_us(n) { "us" } else { "eu" });
            let order = NewOrder { territory: territory.to_owned(), ..NewOrder::new(&number) };
            let id = new_order(&site.sandbox, order)[0];
            (number, id, territory, addresses(is_of_us(n)))
        })
        .collect();
    let track = |(number, id, territory, metadata)| Track { territory, metadata, ..Track::new(number, id) };
    site.track_all(new.iter().map(|(number, id, territory, metadata)| track((number, *id, territory, metadata))));
}

fn addresses(is_of_us: bool) -> String {
    let names = ["later", "full", "policy"].map(|name| (name, if is_of_us { name } else { "customer" }));
    let names = names.into_iter().chain([("email", "customer")]);
    let addresses = names.map(|(key, name)| format!("\"{key}\": \"{name}@example.com\""));
    format!("{{{}}}", addresses.collect::<Vec<_>>().join(", "))
}

/// New renewals while every kind suffers. Returns how many kinds did.
fn suffer(stand: &Stand, trouble: Trouble, site: &Site) -> u64 {
    let before = site.messages().len();
    (0..SUBSCRIPTIONS).for_each(|n| site.renew_times(&format!("S{n}"), GENERATIONS));
    site.let_pass(DAY);
    let begun = Instant::now();
    let daemon = Daemon::spawn(site);
    let all = before + SUBSCRIPTIONS * GENERATIONS as usize;
    eventually("the one that is well has everything", || (site.messages().len() >= all).then_some(()));
    let took = begun.elapsed();
    assert!(took < PROMPT, "{trouble:?}: the one that is well waited {took:?}");
    let suffering: BTreeSet<Kind> = stand.kinds().filter(|kind| kind.can(trouble)).collect();
    for kind in &suffering {
        eventually(&format!("{kind:?} suffers {trouble:?}"), || (stand.struck(*kind, site) > 0).then_some(()));
    }
    if matches!(trouble, Trouble::FailsOnSome(_)) {
        for kind in &suffering {
            eventually(&format!("{kind:?} takes all others"), || (waiting(site, *kind) == [0, 2]).then_some(()));
        }
    }
    daemon.terminate();
    let finished = daemon.wait();
    assert!(!finished.stderr.contains("panicked"), "{trouble:?}: {finished:?}");
    assert!(matches!(finished.code, Some(0 | 1)), "{trouble:?}: {finished:?}");
    suffering.len() as u64
}

/// Messages of the two territories that a sink has not got yet.
fn waiting(site: &Installation, kind: Kind) -> [i64; 2] {
    ["eu", "us"].map(|territory| {
        site.value(&format!(
            "SELECT count(*) FROM dispatches d JOIN messages m ON m.seq = d.message
             WHERE d.sink = '{}' AND d.state <> 'delivered' AND m.territory = '{territory}'",
            kind.name()
        ))
    })
}

/// Each sink by itself has all that was renewed, each subscription in its order.
fn judge(stand: &Stand, site: &Site) -> u64 {
    let healthy = site.messages();
    let held = oracle::judge(site, &healthy);
    oracle::assert_in_order(&healthy);
    assert_eq!(held.repeats, 0, "nothing happened to this one");
    stand
        .kinds()
        .map(|kind| {
            let received: Vec<Received> = stand.received(kind, site, &healthy);
            oracle::assert_in_order(&received);
            oracle::judge(site, &received).repeats
        })
        .sum()
}
