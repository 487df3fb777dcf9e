//! Nexway Monetize, by what it says unasked: its lists, and its notifications.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use renewald::clock::Timestamp;
use renewald::sandbox::nexway_monetize::{
    Endpoint, Fault, FaultKind, LastForm, NewSubscriptions, Product, Receiver, Request, Sandbox, Script, Switches,
    TotalsForm,
};
use serde_json::{Value, json};

use crate::harness::{Daemon, PATIENCE, Setup, Site, about, eventually, keys};
use crate::http::{exchange, free_port};
use crate::nexway_monetize::{sandbox, site, site_with};

/// In it all subscriptions are listed anew, and nobody is asked about alone.
const ROUND: Duration = Duration::from_secs(3 * 3600 + 2000);
const MINUTE: Duration = Duration::from_secs(60);

/// How many were asked about alone, and how many pages were read.
fn asked(site: &Site<Sandbox>) -> (usize, usize) {
    let of = |wanted| site.sandbox.requests().iter().filter(|request| request.endpoint == wanted).count();
    (of(Endpoint::Subscription), of(Endpoint::Subscriptions))
}

#[test]
fn pages_answer_for_those_they_list_and_bring_what_was_renewed_and_upgraded() {
    let site = site();
    let ids = site.subscribe_as(NewSubscriptions { count: 40, ..NewSubscriptions::default() });
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    // The first rows are held against looks.
    work.pass(now + 2 * MINUTE);
    let (alone, pages) = asked(&site);
    work.pass(now + ROUND);
    assert_eq!(asked(&site).0, alone, "nobody is asked about alone");
    assert!(asked(&site).1 > pages);

    site.sandbox.advance(ROUND);
    site.renew(&ids[7]);
    site.sandbox.upgrade(&ids[8], Product::bigger(), Script::default()).unwrap();
    work.pass(now + ROUND + 11 * MINUTE);
    work.pass(now + ROUND + 13 * MINUTE);
    let messages = site.messages();
    assert_eq!(messages.len(), 2);
    for (id, occasion) in [(&ids[7], "renewal"), (&ids[8], "upgrade")] {
        let message = &about(&messages, id)[0];
        assert_eq!(message.data()["occasion"], json!(occasion));
        assert_eq!(keys(message), site.expected_keys(&message.json()));
    }
}

/// How a list lies; what happens at the provider while somebody turns to its second page, if anything.
type Lie = (&'static str, fn(&mut Switches), Option<fn(&Sandbox, &[String])>);

const FLEET: usize = 12;
/// Of the fleet.
const ROWS_A_PAGE: usize = 4;
/// A walk goes on for so many after what it was told to be the last or after nobody was new.
const MOST_MORE: usize = 3;

const LIES: &[Lie] = &[
    ("nothing", |_| (), None),
    ("not sorted", |switches| switches.sort_honoured = false, None),
    ("two days behind", |switches| switches.list_lag = 48 * 60 * MINUTE, None),
    ("a renewal changes no time", |switches| switches.renewal_touches_subscription = false, None),
    ("each later page skips a row", |switches| switches.page_shift = 1, None),
    ("each later page repeats a row", |switches| switches.page_shift = -1, None),
    ("an empty page in the middle", |switches| switches.empty_page = Some(1), None),
    ("no last", |switches| switches.last = LastForm::Missing, None),
    ("always the last", |switches| switches.last = LastForm::AlwaysTrue, None),
    ("one page too few", |switches| switches.totals = TotalsForm::TooFew, None),
    ("no last, one page too many", |s| (s.last, s.totals) = (LastForm::Missing, TotalsForm::TooMany), None),
    ("no last, no totals", |s| (s.last, s.totals) = (LastForm::Missing, TotalsForm::Missing), None),
    (
        "the last page without end",
        |s| (s.last_page_again, s.last, s.totals) = (true, LastForm::AlwaysFalse, TotalsForm::Missing),
        None,
    ),
    ("one is renewed meanwhile", |_| (), Some(|sandbox, ids| sandbox.renew(&ids[FLEET - 2]).unwrap())),
    // Those who were renewed come first in the list of the latest, the last of them at its very top.
    ("one leaves meanwhile", |_| (), Some(|sandbox, ids| sandbox.set_listed(&ids[FLEET - 1], false).unwrap())),
    (
        "one comes before meanwhile, in the list of all",
        |switches| switches.renewal_touches_subscription = false,
        Some(|sandbox, _| drop(sandbox.create(of_long_ago()).unwrap())),
    ),
    (
        "one leaves meanwhile, in the list of all",
        |switches| switches.renewal_touches_subscription = false,
        Some(|sandbox, ids| sandbox.set_listed(&ids[0], false).unwrap()),
    ),
];

fn of_long_ago() -> NewSubscriptions {
    let [created_at, expires_at] = [1_000_000_000, 4_000_000_000].map(|at| Some(Timestamp::from_unix(at)));
    NewSubscriptions { created_at, expires_at, ..NewSubscriptions::default() }
}

/// Whoever stands at an edge of a page is renewed, somebody else upgraded: each once, in a few rounds, and no page too many.
#[test]
fn lists_that_lie_lose_nobody_and_end() {
    for (lie, switch, meanwhile) in LIES {
        let site = site();
        site.sandbox.switch(|switches| switches.most_rows = ROWS_A_PAGE as u64);
        let ids = site.subscribe_as(NewSubscriptions { count: FLEET as u32, apart: MINUTE, ..Default::default() });
        let (mut work, now) = (site.work(), site.now());
        work.pass(now);
        site.sandbox.switch(switch);
        site.sandbox.advance(ROUND);
        for at in [0, 3, 4, 7, 8, FLEET - 1] {
            site.renew(&ids[at]);
            site.sandbox.advance(MINUTE);
        }
        site.sandbox.upgrade(&ids[5], Product::bigger(), Script::default()).unwrap();
        for round in 1..=8 {
            let (before, now) = (asked(&site).1, now + round * ROUND);
            match meanwhile {
                Some(act) if round == 1 => {
                    while_turning(&site.sandbox, || act(&site.sandbox, &ids), || drop(work.pass(now)))
                }
                _ => drop(work.pass(now)),
            }
            let pages = asked(&site).1 - before;
            assert!(pages <= 2 * (FLEET.div_ceil(ROWS_A_PAGE) + MOST_MORE), "{lie}: {pages} pages");
        }
        let order = |data: &Value| data["order_number"].as_str().unwrap_or_default().to_owned();
        let mut told: Vec<_> = site.messages().iter().map(|message| order(&message.data())).collect();
        let made = site.sandbox.renewals().into_iter().chain(site.sandbox.upgrades());
        let mut made: Vec<_> = made.map(|sold| sold.order_id).collect();
        told.sort();
        made.sort();
        assert_eq!(told, made, "{lie}");
        for message in site.messages() {
            assert_eq!(keys(&message), site.expected_keys(&message.json()), "{lie}");
        }
    }
}

/// Holds back the first second page that is asked for in this pass until something has happened.
fn while_turning(sandbox: &Sandbox, act: impl FnOnce() + Send, pass: impl FnOnce()) {
    let first = sandbox.request_count();
    sandbox.fault(Fault::new(FaultKind::Hold).at(Endpoint::Subscriptions).page(1).times(1));
    let is_it = |one: &Request| one.seq >= first && one.endpoint == Endpoint::Subscriptions && one.page == Some(1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sandbox.wait_for(is_it, PATIENCE).expect("somebody turns the page");
            act();
            sandbox.release();
        });
        pass();
    });
}

#[test]
fn who_has_waited_longest_is_fetched_first() {
    let site = site_with(|setup| setup.concurrency = 1);
    let ids = site.subscribe_as(NewSubscriptions { count: 9, ..NewSubscriptions::default() });
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    work.pass(now + 2 * MINUTE);
    site.sandbox.advance(ROUND);
    let renewed = [5, 2, 8, 0, 7].map(|at| ids[at].clone());
    for id in &renewed {
        site.renew(id);
        site.sandbox.advance(MINUTE);
    }
    work.pass(now + ROUND + 11 * MINUTE);
    // One request at a time: they are queued as they were fetched. Looks may search orders in between.
    let queued = "SELECT subscription_id FROM messages m JOIN subscriptions s ON s.id = m.subscription ORDER BY seq";
    assert_eq!(site.texts(queued), renewed);
}

#[test]
fn a_new_subscription_is_found_and_gets_what_it_has() {
    let settings = |setup: &mut Setup| setup.accounts[0].keys.push_str("discover = \"deliver\"\n");
    let site = Site::at(Arc::new(sandbox()), |setup, shop| {
        setup.with(settings).with(|setup| setup.set_webhook("shop", shop, "events = [\"*\"]"))
    });
    let of_before = site.sandbox.create(NewSubscriptions::default()).unwrap().remove(0);
    let (mut work, now) = (site.work(), site.now());
    work.pass(now + MINUTE);
    site.sandbox.advance(10 * MINUTE);
    let new = NewSubscriptions { external_ref_id: Some("SHOP-7".to_owned()), ..NewSubscriptions::default() };
    let bought = site.sandbox.create(new).unwrap().remove(0);
    for round in 1..=2 {
        work.pass(now + round * 25 * 60 * MINUTE);
    }
    // They are sent side by side.
    let told = |id: &str| {
        let of = about(&site.messages(), id);
        let types = of.iter().map(|message| message.json()["type"].as_str().unwrap_or_default().to_owned());
        types.collect::<BTreeSet<_>>()
    };
    let (discovered, ready) = ("renewald.subscription.discovered.v1", "renewald.renewal.ready.v1");
    assert_eq!(told(&of_before), [discovered.to_owned()].into());
    assert_eq!(told(&bought), [discovered.to_owned(), ready.to_owned()].into());
    let messages = about(&site.messages(), &bought);
    assert_eq!(messages.len(), 2);
    let message = messages.iter().find(|message| message.json()["type"] == ready).unwrap();
    let ready = message.data();
    assert_eq!((&ready["occasion"], &ready["generation"]), (&json!("purchase"), &json!(0)));
    assert_eq!(ready["subscription"]["partner_order_number"], json!("SHOP-7"));
    assert_eq!(keys(message), site.expected_keys(&message.json()));
}

#[test]
fn a_notification_brings_a_look_and_nothing_that_it_says_is_believed() {
    let port = free_port();
    let hints = format!(
        "[providers.nexway.hints]\nlisten = \"127.0.0.1:{port}\"\nauth = \"basic\"\nuser = \"shop\"\npassword = \"hush\"\n"
    );
    let site = site_with(|setup| setup.more = hints);
    let ids = site.subscribe_as(NewSubscriptions { count: 2, ..NewSubscriptions::default() });
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("notifications are taken");
    const UNSEEN: &str = "SELECT count(*) FROM subscriptions WHERE last_answer_at IS NULL";
    eventually("both were looked at", || (site.value::<i64>(UNSEEN) == 0).then_some(()));

    let forged = json!({"subject": "order", "type": "renewCompleted", "objectId": "X", "order": {"id": "X", "status": "COMPLETED",
        "items": [{"subscriptionId": ids[0], "activationCode": "FORGED", "subscription": {"lifecycle": {"generation": 9}}}]}});
    let forged = forged.to_string();
    let head = format!(
        "POST /hooks/nexway HTTP/1.1\r\nhost: h\r\nauthorization: Basic c2hvcDpodXNo\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        forged.len()
    );
    let looked = asked(&site).0;
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    exchange(stream, &format!("{head}{forged}")).expect(200);
    eventually("it was looked at", || (asked(&site).0 > looked).then_some(()));

    let receiver = Receiver::new(format!("http://127.0.0.1:{port}/hooks/nexway")).basic("shop", "hush");
    site.sandbox.set_receiver(Some(receiver));
    site.sandbox.advance(MINUTE);
    site.renew(&ids[1]);
    let message = site.next_message();
    assert_eq!((keys(&message), keys(&message).len()), (site.expected_keys(&message.json()), 1));
    assert!(!daemon.drain().stderr.contains("FORGED"));
    assert_eq!(site.messages().len(), 1);
}
