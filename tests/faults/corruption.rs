//! Databases that are not what they were: bits flipped, ends missing, logs lost; and files that were never ours.
//!
//! Every file begins as the same database, as a crash leaves it: delivered, queued and waiting for order data in the file, a
//! part of it in the write-ahead log only. Meanwhile the provider has renewed more.

mod damage;

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use renewald::sandbox::nexway_connect::{Renewal, Sandbox, Script, Step};

use crate::fake_receiver::{Answer, Received};
use crate::harness::{DAY, Finished, Installation, Setup, Site, eventually, id_of, keys_of};
use crate::{Round, Tally, Trial};

use damage::{Damage, End};

pub const FILES: Trial =
    Trial { name: "corruption", what: "a database that is damaged, cut off, foreign or newer", long: 10, run: files };

const COUNT: usize = 200;
/// So many at once: the processes wait for each other, not for the disk alone.
const SIDE_BY_SIDE: usize = 3;
const SUBSCRIPTIONS: usize = 12;
/// What nobody has received yet: queued, waiting for order data, and not seen yet.
const OUTSTANDING: usize = 8;
/// A catch-up run ends by itself after this, whatever it still waits for.
const MAX_TIME: &str = "4s";
/// Requests that one run may send: everybody once, order data several times. A loop sends thousands.
const MOST_REQUESTS: usize = 400;

/// The database that all files begin as, and the truth about it.
pub struct Original {
    sandbox: Arc<Sandbox>,
    pub database: Vec<u8>,
    pub log: Vec<u8>,
    /// The bodies of the messages that wait in it, by id.
    waiting: BTreeMap<String, String>,
}

impl Original {
    fn make() -> Self {
        let site = Site::new();
        let numbers: Vec<String> = (0..SUBSCRIPTIONS).map(|n| format!("C{n:02}")).collect();
        site.order_all(&numbers);
        let renew = |range: std::ops::Range<usize>| numbers[range].iter().for_each(|number| site.renew(number));
        let past = site.now() - 3 * DAY;
        renew(0..SUBSCRIPTIONS);
        site.work().pass(past);
        assert_eq!(site.messages().len(), SUBSCRIPTIONS, "closed, and all of it in the file");
        site.receiver.answer(Answer::Status(503));
        renew(0..4);
        site.sandbox.script("C03-2", Script::steps([Step::order(1010).forever()]));
        site.work().pass(past + DAY);
        renew(4..6);
        let mut work = site.work();
        work.pass(past + 2 * DAY);
        let [database, log] = ["renewald.db", "renewald.db-wal"].map(|name| fs::read(site.path(name)).expect("a file"));
        let waiting = |column: &str| {
            site.texts(&format!(
                "SELECT {column} FROM messages m JOIN dispatches d ON d.message = m.seq AND d.state = 'pending' ORDER BY seq"
            ))
        };
        let waiting: BTreeMap<_, _> = waiting("m.id").into_iter().zip(waiting("CAST(m.body AS TEXT)")).collect();
        assert_eq!((waiting.len(), log.len() > 4096), (5, true), "three in the file, two in the log only");
        drop(work);
        site.sandbox.script("C03-2", Script::default());
        renew(6..8);
        Self { sandbox: site.sandbox.clone(), database, log, waiting }
    }
}

fn files(round: &mut Round) -> Tally {
    let original = Original::make();
    let intact = examine(&original, &Damage::None, &mut round.rng);
    assert_eq!(intact.counts, [("worked on", 1)], "the original itself");
    let files: Vec<_> = (0..COUNT).map(|_| (Damage::random(&mut round.rng), round.rng.fork())).collect();
    let (files, tally) = (Mutex::new(files.into_iter()), Mutex::new(Tally::of(0)));
    let next = || files.lock().expect("nobody panics with it").next();
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some((damage, mut rng)) = next() {
                    let seen = examine(&original, &damage, &mut rng);
                    tally.lock().expect("nobody panics with it").join(seen);
                }
            });
        }
    });
    tally.into_inner().expect("nobody panics with it")
}

/// One file: damaged, opened, worked on, judged.
fn examine(original: &Original, damage: &Damage, rng: &mut Rng) -> Tally {
    let site = Site::at(original.sandbox.clone(), Setup::webhook);
    damage.inflict(original, &site);
    let before = fs::read(site.database()).ok();
    let mut requests = 0;
    match rng.usize(..10) {
        0 => look(&site, damage, "status"),
        1 => look(&site, damage, "check"),
        2 => requests = daemon(&site, damage),
        _ => {}
    }
    let finished = site.command(&["once", "-v", "--max-time", MAX_TIME]);
    requests += requests_of(&finished);
    assert!(requests < MOST_REQUESTS, "{damage:?}: {requests} requests");
    assert!(requests >= SUBSCRIPTIONS || !damage.is_harmless(), "{damage:?}: {finished:?}");
    let end = end_of(&finished, damage);
    if let Some(must) = damage.must_end() {
        assert_eq!(end, must, "{damage:?}: {finished:?}");
    }
    if end == End::Foreign {
        assert_eq!(fs::read(site.database()).ok(), before, "{damage:?}: changed what is not ours");
    }
    judge(original, &site, damage, end)
}

/// A refusal has its code and says what to do; work that was done ends as any other.
fn end_of(finished: &Finished, damage: &Damage) -> End {
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert!(!said.contains("panicked"), "{damage:?}: {finished:?}");
    let advises = |words: &str| assert!(said.contains(words), "{damage:?}: no advice: {finished:?}");
    match finished.code {
        Some(0 | 75) => End::Worked,
        // A renewal whose row makes no sense any more was given up; or nobody was left to ask.
        Some(1 | 69) if !said.contains("cannot go on") => End::Worked,
        Some(1 | 70) => {
            advises("restore a backup");
            End::Damaged
        }
        Some(73) => {
            advises("Is a directory");
            End::Foreign
        }
        Some(78) => {
            advises("nothing was changed");
            advises("store.path");
            End::Foreign
        }
        _ => panic!("{damage:?}: {finished:?}"),
    }
}

/// A command that only looks: never more than a refusal.
fn look(site: &Installation, damage: &Damage, command: &str) {
    let finished = site.command(&[command]);
    assert!(!finished.stderr.contains("panicked"), "{damage:?}: {command}: {finished:?}");
    assert!(matches!(finished.code, Some(0 | 1 | 70 | 73 | 78)), "{damage:?}: {command}: {finished:?}");
}

/// Of a run that logs them.
fn requests_of(finished: &Finished) -> usize {
    finished.stderr.matches(" asked endpoint=").count()
}

/// The daemon gives up, or works until it is told to end. Returns how often it asked.
fn daemon(site: &Site, damage: &Damage) -> usize {
    let mut daemon = site.start(&["run", "-v"]);
    let begun = std::time::Instant::now();
    eventually("the daemon has ended or worked", || {
        let is_over = daemon.status().is_some() || site.messages().len() >= OUTSTANDING;
        // Nothing tells how much a damaged file lets it do.
        (is_over || begun.elapsed() > Duration::from_secs(2)).then_some(())
    });
    if daemon.status().is_none() {
        daemon.terminate();
    }
    let finished = daemon.wait();
    end_of(&finished, damage);
    requests_of(&finished)
}

/// When a message was queued.
fn time_of(body: &str) -> Option<String> {
    let event: serde_json::Value = serde_json::from_str(body).expect("a message");
    event["time"].as_str().map(str::to_owned)
}

/// No key may have reached anybody else, whatever was damaged. What is missing was taken by the damage.
fn judge(original: &Original, site: &Site, damage: &Damage, end: End) -> Tally {
    let mut got: BTreeMap<String, &Received> = BTreeMap::new();
    let (renewals, received) = (original.sandbox.renewals(), site.messages());
    for message in &received {
        let event: serde_json::Value = serde_json::from_str(&message.body)
            .unwrap_or_else(|error| panic!("{damage:?}: {error}: delivered what is no message: {}", message.body));
        let is_whole = |queued: &String| *queued == message.body || event["time"].as_str() > time_of(queued).as_deref();
        let is_whole = original.waiting.get(&message.id).is_none_or(is_whole);
        assert!(is_whole, "{damage:?}: neither as it was queued nor queued anew: {}", message.body);
        let about = (id_of(&event), event["data"]["generation"].as_i64());
        let is_it = |renewal: &&Renewal| about == (renewal.subscription_id.to_string(), Some(renewal.generation));
        let renewal = renewals.iter().find(is_it);
        let renewal = renewal.unwrap_or_else(|| panic!("{damage:?}: nobody renewed {about:?}: {}", message.body));
        let keys = original.sandbox.expected_keys(&renewal.partner_order_number, renewal.subscription_id);
        assert_eq!(keys_of(&event), keys, "{damage:?}: {about:?} has its own keys");
        got.insert(renewal.partner_order_number.clone(), message);
    }
    let outstanding = (0..OUTSTANDING).map(|n| format!("C{n:02}-2")).filter(|number| got.contains_key(number)).count();
    let missing = OUTSTANDING - outstanding;
    if damage.is_harmless() {
        assert_eq!((end, missing), (End::Worked, 0), "{damage:?}: found again and delivered");
        let has = |id: &String| received.iter().any(|message| message.id == *id);
        assert!(original.waiting.keys().all(has), "{damage:?}: under the same ids");
    }
    if end == End::Worked && missing > 0 {
        let sound = site.texts("PRAGMA integrity_check").join("; ");
        // Found damaged, named by an alert and never delivered.
        let named = || site.texts("SELECT id FROM messages WHERE damaged_at IS NOT NULL AND body IS NOT NULL").len();
        assert!(sound != "ok" || missing <= damage.most_lost() + named(), "{damage:?}: {missing} are missing");
    }
    let how = match end {
        End::Worked if missing > 0 => "worked on with a part lost",
        End::Worked => "worked on",
        End::Damaged => "refused as damaged",
        End::Foreign => "refused as foreign",
    };
    Tally::of(1).count(how, 1)
}
