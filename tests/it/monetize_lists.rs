//! Nexway Monetize, by what it says unasked: its lists, and its notifications.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use renewald::sandbox::nexway_monetize::{Endpoint, NewSubscriptions, Product, Receiver, Sandbox, Script, Switches};
use serde_json::json;

use crate::harness::{Daemon, Setup, Site, about, eventually, keys};
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

#[test]
fn lists_that_lie_lose_nobody() {
    let lies: [fn(&mut Switches); 3] = [
        |switches| switches.sort_honoured = false,
        |switches| switches.list_lag = 48 * 60 * MINUTE,
        |switches| switches.renewal_touches_subscription = false,
    ];
    for (n, lie) in lies.into_iter().enumerate() {
        let site = site();
        let ids = site.subscribe_as(NewSubscriptions { count: 9, ..NewSubscriptions::default() });
        site.sandbox.switch(lie);
        let (mut work, now) = (site.work(), site.now());
        work.pass(now);
        site.sandbox.advance(MINUTE);
        site.renew(&ids[3]);
        for round in 1..=8 {
            work.pass(now + round * ROUND);
        }
        let messages = site.messages();
        assert_eq!(messages.len(), 1, "lie {n}");
        assert_eq!(keys(&messages[0]), site.expected_keys(&messages[0].json()), "lie {n}");
    }
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
