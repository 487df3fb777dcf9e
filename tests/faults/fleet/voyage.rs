//! A fleet under way: four providers, one installation, and renewals at all of them, stage by stage.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::member::Member;
use crate::harness::{Account, DAY, Provider, Site, Track, id_of, within};
use crate::oracle::{Made, Maker};
use crate::{Tally, digital_river, nexway_connect, nexway_monetize, oracle, smartpay};

pub const ACCOUNTS: [&str; 4] = ["connect", "monetize", "smartpay", "river"];
const REQUESTS: [&str; 4] =
    ["requests of connect", "requests of monetize", "requests of smartpay", "requests of digital-river"];
const BUSIEST: [&str; 4] = ["at most in a second", "in monetize's", "in smartpay's", "in digital-river's"];

/// What of its provider's limit an account may use, as the default has it. Requests are stamped on arrival: those that a busy machine
/// has kept waiting come at once.
const SHARE: f64 = 0.5;
/// With everybody due, with nobody down, and with each account.
const STAGES: usize = 2 + ACCOUNTS.len();

/// How large it is, and how it is asked.
pub struct Size {
    /// Of each account.
    pub subscriptions: usize,
    /// Of each account in each stage.
    pub renewals: usize,
    /// Requests in any second, by the provider of each account.
    pub limits: [usize; 4],
    /// Who is due is so again after this, and so are the lists.
    pub every: &'static str,
    /// Far longer than anything takes.
    pub patience: Duration,
}

/// How an account is down.
#[derive(Clone, Copy)]
pub enum Outage {
    Held,
    Cut,
}

/// The providers.
pub struct Fleet(Vec<Box<dyn Member>>);

impl Provider for Fleet {
    fn account(&self, name: &str) -> Account {
        let nth = ACCOUNTS.iter().position(|known| *known == name).unwrap_or(0);
        self.0[nth].account(name)
    }
}

impl Maker for Fleet {
    fn made(&self) -> Vec<Made> {
        self.0.iter().flat_map(|member| member.made()).collect()
    }
}

pub struct Voyage {
    pub site: Site<Fleet>,
    size: Size,
    /// Of each account; they renew in this order.
    ids: Vec<Vec<String>>,
    /// How often each account had been asked when it began, and when that was.
    asked: Vec<u64>,
    begun: Instant,
    stages: usize,
}

impl Voyage {
    /// Everybody was looked at, and a day has gone by.
    pub fn begin(size: Size) -> Self {
        let members: Vec<Box<dyn Member>> = vec![
            Box::new(nexway_connect::sandbox()),
            Box::new(nexway_monetize::sandbox()),
            Box::new(smartpay::sandbox()),
            Box::new(digital_river::sandbox()),
        ];
        members.iter().for_each(|member| member.run_clock());
        let renewing = STAGES * size.renewals;
        let ids = members.iter().map(|member| member.sell(size.subscriptions, renewing)).collect();
        let site = Site::at(Arc::new(Fleet(members)), |setup, shop| setup.webhook(shop));
        let mut voyage = Self { site, size, ids, asked: Vec::new(), begun: Instant::now(), stages: 0 };
        voyage.configure(false);
        voyage.track();
        let mut once = voyage.site.start(&["once"]);
        within(voyage.size.patience, "everybody is looked at", || once.status());
        once.wait().expect_code(0);
        let asked_nobody = "SELECT count(*) FROM subscriptions WHERE last_answer_at IS NULL";
        assert_eq!(voyage.site.value::<i64>(asked_nobody), 0, "everybody was looked at");
        voyage.site.let_pass(DAY);
        voyage.members().for_each(|(_, member)| member.forget_requests());
        voyage.asked = voyage.members().map(|(_, member)| member.asked()).collect();
        voyage.configure(true);
        voyage.begun = Instant::now();
        voyage
    }

    fn members(&self) -> impl Iterator<Item = (usize, &dyn Member)> {
        self.site.sandbox.0.iter().map(|member| &**member).enumerate()
    }

    /// While everybody is looked at for the first time there are no limits, and no haste.
    fn configure(&self, is_limited: bool) {
        let account = |(nth, name): (usize, &&str)| {
            let mut account = self.site.sandbox.account(name);
            account.territories.truncate(1);
            if nth > 0 && is_limited {
                account.keys.push_str(&format!("feed_every = \"{}\"\n", self.size.every));
            }
            account
        };
        self.site.change(|setup| {
            setup.accounts = ACCOUNTS.iter().enumerate().map(account).collect();
            setup.accounts[3].keys.push_str("keys_pointer = \"/licence_key\"\n");
            (setup.every, setup.log_level) = (if is_limited { self.size.every } else { "4h" }, "info");
            let rates = ACCOUNTS.iter().zip(self.size.limits).filter(|_| is_limited);
            setup.rates = rates.map(|(name, limit)| ((*name).to_owned(), limit as f64 * SHARE)).collect();
        });
    }

    fn track(&self) {
        for (nth, member) in self.members() {
            let numbers: Vec<_> = self.ids[nth].iter().map(|id| member.number_of(id)).collect();
            self.site.track_all(numbers.iter().zip(&self.ids[nth]).map(|(number, id)| Track {
                account: ACCOUNTS[nth],
                kind: member.kind(),
                territory: member.territory(),
                ..Track::new(number, id)
            }));
        }
    }

    /// Some renew at each account, and all of them arrive, those of one that is down once it is back. How long each took, account by
    /// account, without those of that one.
    pub fn stage(&mut self, down: Option<(usize, Outage)>) -> Vec<Vec<Duration>> {
        let first = self.stages * self.size.renewals;
        self.stages += 1;
        self.turn(down, true);
        let (mut beside, mut of_it) = (BTreeMap::new(), BTreeMap::new());
        // In turn, so that all accounts are busy at once.
        for n in first..first + self.size.renewals {
            for (nth, member) in self.members() {
                let (id, is_down) = (self.ids[nth][n].clone(), down.is_some_and(|(down, _)| down == nth));
                member.renew(&id);
                let waiting = if is_down { &mut of_it } else { &mut beside };
                waiting.insert(id, (nth, SystemTime::now()));
            }
        }
        let delays = self.arrive(beside);
        self.turn(down, false);
        self.arrive(of_it);
        delays
    }

    fn turn(&self, down: Option<(usize, Outage)>, is_down: bool) {
        match down.map(|(nth, outage)| (&self.site.sandbox.0[nth], outage)) {
            Some((member, Outage::Held)) => member.hold(is_down),
            Some((member, Outage::Cut)) => member.silence(is_down),
            None => (),
        }
    }

    /// Until each of these has arrived, and nothing else.
    fn arrive(&self, mut waiting: BTreeMap<String, (usize, SystemTime)>) -> Vec<Vec<Duration>> {
        let mut delays = vec![Vec::new(); ACCOUNTS.len()];
        while !waiting.is_empty() {
            let message = self.site.receiver.next_message_within(self.size.patience);
            let message = message.unwrap_or_else(|| panic!("did not arrive: {waiting:?}"));
            let id = id_of(&message.json());
            let (nth, renewed_at) = waiting.remove(&id).unwrap_or_else(|| panic!("not waited for: {message:?}"));
            delays[nth].push(message.arrived_at.duration_since(renewed_at).unwrap_or_default());
        }
        delays
    }

    /// Each renewal has arrived once, no second held more requests than its provider allows, and all of them no more than its account
    /// may use.
    pub fn judge(&self) -> Tally {
        let held = oracle::judge(&self.site, &self.site.messages());
        assert_eq!(held.repeats, 0, "each arrived once");
        for (nth, member) in self.members() {
            let (busiest, limit) = (member.busiest(), self.size.limits[nth]);
            assert!(busiest <= limit, "{}: {busiest} requests in a second, {limit} are allowed", ACCOUNTS[nth]);
            let (asked, may) = (self.requests(nth), self.begun.elapsed().as_secs_f64() * limit as f64 * SHARE);
            assert!(asked as f64 <= may, "{}: {asked} requests in all, {may} were allowed", ACCOUNTS[nth]);
        }
        Tally::of(STAGES as u64).count("renewals", held.renewals)
    }

    fn requests(&self, nth: usize) -> u64 {
        self.site.sandbox.0[nth].asked() - self.asked[nth]
    }

    /// What it was, and what each provider was asked.
    pub fn count(&self, tally: Tally) -> Tally {
        let subscriptions: usize = self.ids.iter().map(Vec::len).sum();
        let asked = |tally: Tally, (nth, member): (usize, &dyn Member)| {
            tally.count(REQUESTS[nth], self.requests(nth)).count(BUSIEST[nth], member.busiest() as u64)
        };
        self.members().fold(tally.count("subscriptions", subscriptions as u64), asked)
    }
}
