//! A provider of any kind as a trial needs it, so that one trial serves all.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fastrand::Rng;
use renewald::clock::Timestamp;
use renewald::sandbox::nexway_monetize::{NewSubscriptions, Product, Script};
use renewald::sandbox::{digital_river, nexway_connect, nexway_monetize, smartpay};

use crate::harness::{Provider, Setup, Site, numbered};
use crate::oracle::Maker;

/// More than a trial makes for one that is restless.
const MOST_DELIVERIES: usize = 10;

/// What every sandbox can do by itself, whatever its kind.
pub trait Sandbox: Maker + Provider + Send + Sync {
    /// Every connection is closed before an answer, or none any more.
    fn silence(&self, is_down: bool);
    /// Every answer is held back, or those that were are given.
    fn hold(&self, is_down: bool);
    fn asked(&self) -> u64;
    fn without_answer(&self) -> usize;
    fn busiest(&self) -> usize;
    fn forget_requests(&self);
    fn begin_at(&self, now: Timestamp);
    fn let_go_by(&self, time: Duration);
    /// Its clock goes on with the real one.
    fn run_clock(&self);
}

/// Its subscriptions have names: the numbers of orders, or ids.
pub trait Ground: Sandbox + Sized + 'static {
    /// It may have closed for good: after a day without an answer it is probed once a day.
    const MAY_HAVE_CLOSED: bool = false;
    fn open(change: impl FnOnce(&mut Setup)) -> Site<Self>;
    /// So many subscriptions, tracked; their names.
    fn subscribe(site: &Site<Self>, count: usize) -> Vec<String>;
    /// The same, and none of them is one to which nothing can happen for a while: each is asked about at its interval.
    fn subscribe_restless(site: &Site<Self>, count: usize) -> Vec<String> {
        Self::subscribe(site, count)
    }
    /// It makes one more delivery for this one.
    fn deliver(site: &Site<Self>, name: &str, rng: &mut Rng);
    /// Until somebody asks for the `seq`-th time or later, for what a delivery brought if so; whether anybody did.
    fn wait_until_asked(&self, seq: u64, of_delivery: bool, at_most: Duration) -> bool;
    /// How many of these an answered request since then was about, alone or in a list of all.
    fn asked_about(&self, names: &[String], since: Instant) -> usize;
}

/// The same for each kind, whose types are its own.
macro_rules! by_itself {
    ($kind:ident) => {
        impl Sandbox for $kind::Sandbox {
            fn silence(&self, is_down: bool) {
                match is_down {
                    true => self.fault($kind::Fault::new($kind::FaultKind::CutBefore)),
                    false => self.clear_faults(),
                }
            }

            fn hold(&self, is_down: bool) {
                match is_down {
                    true => self.fault($kind::Fault::new($kind::FaultKind::Hold)),
                    false => {
                        self.clear_faults();
                        self.release();
                    }
                }
            }

            fn asked(&self) -> u64 {
                self.request_count()
            }

            fn without_answer(&self) -> usize {
                self.requests().iter().filter(|request| request.status.is_none()).count()
            }

            fn busiest(&self) -> usize {
                self.busiest_second()
            }

            fn forget_requests(&self) {
                self.clear_requests();
            }

            fn begin_at(&self, now: Timestamp) {
                self.set_now(now);
            }

            fn let_go_by(&self, time: Duration) {
                self.advance(time);
            }

            fn run_clock(&self) {
                self.set_speed(1.0);
            }
        }
    };
}

by_itself!(nexway_connect);
by_itself!(nexway_monetize);
by_itself!(smartpay);
by_itself!(digital_river);

impl Ground for nexway_connect::Sandbox {
    fn open(change: impl FnOnce(&mut Setup)) -> Site<Self> {
        Site::<Self>::with(change)
    }

    fn subscribe(site: &Site<Self>, count: usize) -> Vec<String> {
        let numbers = numbered("T-", count);
        site.order_all(&numbers);
        numbers
    }

    fn deliver(site: &Site<Self>, number: &str, _: &mut Rng) {
        site.renew(number);
    }

    fn wait_until_asked(&self, seq: u64, of_delivery: bool, at_most: Duration) -> bool {
        let is_it = |endpoint| !of_delivery || endpoint == nexway_connect::Endpoint::Order;
        self.wait_for(|request| request.seq >= seq && is_it(request.endpoint), at_most).is_some()
    }

    fn asked_about(&self, names: &[String], since: Instant) -> usize {
        let requests = self.requests();
        let polls = requests.iter().filter(|one| one.endpoint == nexway_connect::Endpoint::Status && one.at >= since);
        let asked: BTreeSet<_> = polls.filter_map(|one| one.partner_order_number.as_deref()).collect();
        names.iter().filter(|name| asked.contains(name.as_str())).count()
    }
}

impl Ground for nexway_monetize::Sandbox {
    fn open(change: impl FnOnce(&mut Setup)) -> Site<Self> {
        crate::nexway_monetize::site_with(change)
    }

    fn subscribe(site: &Site<Self>, count: usize) -> Vec<String> {
        site.subscribe_as(NewSubscriptions { count: count as u32, ..NewSubscriptions::default() })
    }

    fn deliver(site: &Site<Self>, id: &str, rng: &mut Rng) {
        if rng.bool() {
            return site.renew(id);
        }
        let product = Product { id: format!("product-{}", rng.u32(..)), ..Product::bigger() };
        site.sandbox.upgrade(id, product, Script::default()).expect("it is running");
    }

    fn wait_until_asked(&self, seq: u64, of_delivery: bool, at_most: Duration) -> bool {
        let is_it = |endpoint| !of_delivery || endpoint == nexway_monetize::Endpoint::OrderLineItemData;
        self.wait_for(|request| request.seq >= seq && is_it(request.endpoint), at_most).is_some()
    }

    /// A trial's subscriptions fit on one page.
    fn asked_about(&self, names: &[String], since: Instant) -> usize {
        use nexway_monetize::Endpoint::{Subscription, Subscriptions};
        let requests = self.requests();
        let asked: Vec<_> = requests.iter().filter(|one| one.at >= since && one.status == Some(200)).collect();
        if asked.iter().any(|one| one.endpoint == Subscriptions) {
            return names.len();
        }
        let looks = asked.iter().filter(|one| one.endpoint == Subscription);
        let asked: BTreeSet<_> = looks.filter_map(|one| one.subscription_id.as_deref()).collect();
        names.iter().filter(|name| asked.contains(name.as_str())).count()
    }
}

impl Ground for smartpay::Sandbox {
    fn open(change: impl FnOnce(&mut Setup)) -> Site<Self> {
        crate::smartpay::site_with(change)
    }

    fn subscribe(site: &Site<Self>, count: usize) -> Vec<String> {
        site.subscribe_as(smartpay::NewSubscriptions { count: count as u32, ..Default::default() })
    }

    /// There is always a cycle left that is not paid for.
    fn subscribe_restless(site: &Site<Self>, count: usize) -> Vec<String> {
        let ids = Self::subscribe(site, count);
        for _ in 0..MOST_DELIVERIES {
            site.sandbox.advance(Duration::from_secs(1));
            ids.iter().for_each(|id| site.sandbox.bill_in_vain(id, smartpay::Decline::Failed).expect("it is running"));
        }
        ids
    }

    fn deliver(site: &Site<Self>, id: &str, rng: &mut Rng) {
        let sandbox = &site.sandbox;
        // What was paid for in the same second has no order, and who was not looked at yet has had the first.
        sandbox.advance(Duration::from_secs(1));
        if rng.u8(..3) == 0 {
            sandbox.bill_in_vain(id, smartpay::Decline::Failed).expect("it is running");
        }
        sandbox.capture(id).or_else(|_| sandbox.bill(id, 1)).expect("it is running");
    }

    fn wait_until_asked(&self, seq: u64, of_delivery: bool, at_most: Duration) -> bool {
        let is_it = |endpoint| !of_delivery || endpoint == smartpay::Endpoint::BillingCycle;
        self.wait_for(|request| request.seq >= seq && is_it(request.endpoint), at_most).is_some()
    }

    fn asked_about(&self, names: &[String], since: Instant) -> usize {
        let requests = self.requests();
        let looks = requests.iter().filter(|one| one.at >= since && one.endpoint == smartpay::Endpoint::Subscription);
        let asked: BTreeSet<_> =
            looks.filter_map(|one| one.subscription_id.as_deref()).map(str::to_lowercase).collect();
        names.iter().filter(|name| asked.contains(name.as_str())).count()
    }
}

impl Ground for digital_river::Sandbox {
    const MAY_HAVE_CLOSED: bool = true;

    /// Its clock stands still while it renews, so that orders have to say which term they pay for.
    fn open(change: impl FnOnce(&mut Setup)) -> Site<Self> {
        let site = crate::digital_river::site_with(|setup| {
            setup.accounts[0].keys.push_str("keys_pointer = \"/licence_key\"\n");
            change(setup);
        });
        site.sandbox.switch(|switches| (switches.order_terms, switches.keys) = (true, true));
        site
    }

    fn subscribe(site: &Site<Self>, count: usize) -> Vec<String> {
        site.subscribe(digital_river::NewSubscriptions { count: count as u32, ..Default::default() })
    }

    /// The next invoice is years overdue, however often they are renewed.
    fn subscribe_restless(site: &Site<Self>, count: usize) -> Vec<String> {
        let created_at = Some(site.sandbox.now() - Duration::from_secs(5 * 365 * 86_400));
        site.subscribe(digital_river::NewSubscriptions { count: count as u32, created_at, ..Default::default() })
    }

    fn deliver(site: &Site<Self>, id: &str, _: &mut Rng) {
        site.sandbox.pay(id).expect("it is running");
    }

    fn wait_until_asked(&self, seq: u64, of_delivery: bool, at_most: Duration) -> bool {
        let is_it = |endpoint| !of_delivery || endpoint == digital_river::Endpoint::Order;
        self.wait_for(|request| request.seq >= seq && is_it(request.endpoint), at_most).is_some()
    }

    fn asked_about(&self, names: &[String], since: Instant) -> usize {
        let requests = self.requests();
        let looks =
            requests.iter().filter(|one| one.at >= since && one.endpoint == digital_river::Endpoint::Subscription);
        let asked: BTreeSet<_> = looks.filter_map(|one| one.subscription_id.as_deref()).collect();
        names.iter().filter(|name| asked.contains(name.as_str())).count()
    }
}
