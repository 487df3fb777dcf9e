//! SmartPay, what is told beside deliveries, and what it says unasked: payments that fail, pauses, ends, its list, its webhooks.

use std::sync::Arc;
use std::time::Duration;

use renewald::sandbox::smartpay::{
    Decline, Endpoint, Fault, FaultKind, NewSubscriptions, Notifications, Receiver, Request, Sandbox, SendState,
    Status, Switches,
};
use serde_json::{Value, json};

use crate::fake_receiver::Received;
use crate::harness::{DAY, Daemon, HOUR, Setup, Site, about, eventually};
use crate::http::free_port;
use crate::smartpay::{sandbox, site, site_with};

const MINUTE: Duration = Duration::from_secs(60);

/// The sink `shop` gets all messages of every type.
fn site_of_all_types() -> Site<Sandbox> {
    Site::at(Arc::new(sandbox()), |setup, shop| setup.with(|setup| setup.set_webhook("shop", shop, "events = [\"*\"]")))
}

/// Type and `data` of the messages, in their order.
fn told(site: &Site<Sandbox>) -> Vec<(String, Value)> {
    let name = |event: &Value| event["type"].as_str().unwrap().replace("renewald.", "").replace(".v1", "");
    site.messages().iter().map(Received::json).map(|event| (name(&event), event["data"].clone())).collect()
}

fn names(site: &Site<Sandbox>) -> Vec<String> {
    told(site).into_iter().map(|(name, _)| name).collect()
}

/// How many were asked about alone, and how many pages of the list were read.
fn asked(site: &Site<Sandbox>) -> (usize, usize) {
    let of = |wanted| site.sandbox.requests().iter().filter(|request| request.endpoint == wanted).count();
    (of(Endpoint::Subscription), of(Endpoint::Subscriptions))
}

#[test]
fn a_payment_that_fails_is_told_once_per_episode() {
    let site = site_of_all_types();
    let id = site.subscribe();
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    site.sandbox.bill_in_vain(&id, Decline::Failed).unwrap();
    for hours in [25, 30, 35] {
        work.pass(now + hours * HOUR);
    }
    let failing = |site: &Site<Sandbox>| {
        told(site)
            .into_iter()
            .filter(|(name, _)| name == "renewal.payment_failing")
            .map(|(_, data)| data)
            .collect::<Vec<_>>()
    };
    let first = failing(&site);
    assert_eq!(first.len(), 1);
    assert_eq!(
        (&first[0]["generation"], &first[0]["will_retry"], &first[0]["reason"]),
        (&json!(1), &json!(true), &json!("overdue: failed"))
    );
    site.sandbox.capture(&id).unwrap();
    work.pass(now + 60 * HOUR);
    assert_eq!(names(&site).iter().filter(|name| *name == "renewal.ready").count(), 1);
    site.sandbox.bill_in_vain(&id, Decline::Error).unwrap();
    [90, 95].into_iter().for_each(|hours| drop(work.pass(now + hours * HOUR)));
    let second = failing(&site);
    assert_eq!((second.len(), &second[1]["generation"]), (2, &json!(2)));
    assert!(!names(&site).contains(&"renewal.failed".to_owned()));
}

#[test]
fn pausing_and_resuming_are_changes_of_status_and_pace() {
    let site = site_of_all_types();
    let id = site.subscribe();
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    site.sandbox.set_status(&id, Status::Paused).unwrap();
    work.pass(now + 25 * HOUR);
    let pace = || site.value::<String>("SELECT pace FROM subscriptions");
    assert_eq!(pace(), "daily");
    let looked = asked(&site).0;
    work.pass(now + 30 * HOUR);
    assert_eq!(asked(&site).0, looked, "once a day");
    site.sandbox.set_status(&id, Status::Active).unwrap();
    work.pass(now + 51 * HOUR);
    let changes: Vec<_> = told(&site).iter().map(|(name, data)| (name.clone(), data["to"].clone())).collect();
    let change = |to: &str| ("subscription.status_changed".to_owned(), json!(to));
    assert_eq!(changes, [change("paused"), change("active")]);
}

#[test]
fn what_is_over_ends_after_a_last_look_at_its_cycles() {
    let site = site_of_all_types();
    let ids = site.subscribe_as(NewSubscriptions { count: 3, ..NewSubscriptions::default() });
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    // Paid for at the last moment.
    ids.iter().for_each(|id| site.sandbox.bill(id, 1).unwrap());
    site.sandbox.set_status(&ids[0], Status::Canceled).unwrap();
    site.sandbox.set_status(&ids[1], Status::Expired).unwrap();
    site.sandbox.delete(&ids[2]).unwrap();
    (1..100).step_by(9).for_each(|days| drop(work.pass(now + days * DAY)));
    for (id, reason) in ids.iter().zip(["cancelled", "expired", "cancelled"]) {
        let of: Vec<_> = about(&site.messages(), id).iter().map(Received::json).collect();
        let ended: Vec<_> = of.iter().filter(|event| event["type"] == "renewald.subscription.ended.v1").collect();
        assert_eq!((ended.len(), &ended[0]["data"]["reason"]), (1, &json!(reason)), "{id}");
        assert_eq!(of.iter().filter(|event| event["type"] == "renewald.renewal.ready.v1").count(), 1, "{id}");
    }
}

#[test]
fn unknown_ends_one_only_while_the_account_answers_for_others() {
    let site = site_of_all_types();
    let ids = site.subscribe_as(NewSubscriptions { count: 2, ..NewSubscriptions::default() });
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    site.sandbox.forget(&ids[0]).unwrap();
    work.pass(now + 2 * DAY);
    assert_eq!(names(&site), Vec::<String>::new(), "once is not enough");
    for days in (4..80).step_by(2) {
        let at = now + days * DAY;
        site.sandbox.set_now(at);
        work.pass(at);
        // The other one changes, and is asked about meanwhile.
        site.sandbox.set_now(at + 10 * MINUTE);
        site.sandbox.show_status(&ids[1], Some("active")).unwrap();
        [11, 13].into_iter().for_each(|minutes| drop(work.pass(at + minutes * MINUTE)));
    }
    let ended = told(&site).into_iter().filter(|(name, _)| name == "subscription.ended").collect::<Vec<_>>();
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].1["subscription"]["subscription_id"], json!(ids[0]));

    let site = site_of_all_types();
    site.subscribe_as(NewSubscriptions { count: 2, ..NewSubscriptions::default() });
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    let gone = FaultKind::Status { status: 404, body: Default::default(), retry_after: None };
    site.sandbox.fault(Fault::new(gone));
    (1..80).for_each(|days| drop(work.pass(now + days * DAY)));
    assert_eq!(names(&site), Vec::<String>::new(), "a wrong address ends nobody");
}

#[test]
fn a_key_that_is_refused_names_its_setting() {
    let site = site();
    let id = site.subscribe();
    std::fs::write(site.path("secrets/nexway"), "another key").unwrap();
    let check = site.command(&["check", "--online"]);
    assert!(check.stdout.contains("403, look at merchant_key_file"), "{check:?}");
    let once = site.catch_up();
    let explained = site.command(&["explain", &id]).expect_code(0).stdout;
    assert!(explained.contains("merchant_key_file"), "{explained} {once:?}");

    let account = |switches: &mut Switches| switches.basic_required = true;
    let site = self::site();
    site.sandbox.switch(account);
    let check = site.command(&["check", "--online"]);
    assert!(check.stdout.contains("authentication_key_file is not set"), "{check:?}");
    site.change(|setup| {
        setup.accounts[0].keys.push_str("authentication_key_file = \"second\"\norigin = \"https://shop.example\"\n")
    });
    std::fs::write(site.path("secrets/second"), "sandbox-authentication-key").unwrap();
    let check = site.command(&["check", "--online"]);
    assert!(check.stdout.contains("list of subscriptions: may be read"), "{check:?}");
    let headers = site.sandbox.requests().last().unwrap().headers.clone();
    for name in ["x-api-key", "authorization", "accept-language", "origin", "content-type", "user-agent"] {
        assert!(headers.iter().any(|header| header.as_str() == name), "{name}: {headers:?}");
    }
}

#[test]
fn the_list_says_where_to_look_and_nobody_else_is_asked() {
    let site = site();
    let ids = site.subscribe_as(NewSubscriptions { count: 30, ..NewSubscriptions::default() });
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    work.pass(now + 11 * MINUTE);
    let (alone, pages) = asked(&site);
    site.sandbox.advance(12 * MINUTE);
    site.sandbox.bill(&ids[7], 1).unwrap();
    for minutes in [24, 26, 28] {
        site.sandbox.set_now(now + minutes * MINUTE);
        work.pass(now + minutes * MINUTE);
    }
    let messages = site.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].data()["reference"], json!(site.charges(&ids[7])[1].cycle_id.to_lowercase()));
    assert_eq!(asked(&site).0, alone + 1, "one look");
    assert!(asked(&site).1 > pages);
}

#[test]
fn a_list_that_ignores_its_filter_floods_nobody_and_loses_nobody() {
    let site = site();
    site.sandbox.switch(|switches| switches.filters_honoured = false);
    let new = NewSubscriptions { count: 250, apart: HOUR, ..NewSubscriptions::default() };
    let ids = site.subscribe_as(new);
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    let (alone, pages) = asked(&site);
    for minutes in [11, 22, 33, 44] {
        work.pass(now + minutes * MINUTE);
    }
    assert_eq!(asked(&site).0, alone, "no look for what is listed");
    assert!(asked(&site).1 <= pages + 4, "{} pages", asked(&site).1);
    site.sandbox.bill(&ids[3], 1).unwrap();
    work.pass(now + 25 * HOUR);
    assert_eq!(site.messages().len(), 1);
}

#[test]
fn rows_that_slip_between_pages_are_seen_all_the_same() {
    let site = site();
    let ids = site.subscribe_as(NewSubscriptions { count: 250, ..NewSubscriptions::default() });
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    site.sandbox.set_now(now + 30 * MINUTE);
    ids.iter().for_each(|id| site.sandbox.bill(id, 1).unwrap());
    for n in 0..12_u32 {
        // Some are touched again and again, and leave the list while it is read.
        let at = now + (31 + 3 * n) * MINUTE;
        site.sandbox.set_now(at);
        ids.iter().rev().take(20).for_each(|id| site.sandbox.show_status(id, Some("active")).unwrap());
        work.pass(at);
    }
    assert_eq!(site.messages().len(), 250);
}

#[test]
fn a_new_subscription_is_found_and_gets_what_it_has() {
    let site = site_with(|setup: &mut Setup| setup.accounts[0].keys.push_str("discover = \"deliver\"\n"));
    site.sandbox.create(NewSubscriptions::default()).unwrap();
    let (mut work, now) = (site.work(), site.now());
    work.pass(now + MINUTE);
    site.sandbox.advance(10 * MINUTE);
    let new = NewSubscriptions { external_merchant_id: Some("SHOP-7".to_owned()), ..NewSubscriptions::default() };
    let bought = site.sandbox.create(new).unwrap().remove(0).to_lowercase();
    for hours in [13, 26, 39] {
        site.sandbox.set_now(now + hours * HOUR);
        work.pass(now + hours * HOUR);
    }
    let messages = site.messages();
    assert_eq!(messages.len(), 1);
    let data = messages[0].data();
    assert_eq!((&data["occasion"], &data["generation"]), (&json!("purchase"), &json!(0)));
    assert_eq!(data["subscription"]["partner_order_number"], json!("SHOP-7"));
    assert_eq!(data["reference"], json!(site.charges(&bought)[0].cycle_id.to_lowercase()));
}

#[test]
fn a_webhook_brings_a_look_and_nothing_that_it_says_is_believed() {
    let port = free_port();
    let hints = format!(
        "[providers.nexway.hints]\nlisten = \"127.0.0.1:{port}\"\nauth = \"basic\"\nuser = \"shop\"\npassword = \"hush\"\n"
    );
    let site = site_with(|setup| {
        setup.accounts[0].keys.push_str("feed_every = \"0s\"\n");
        setup.more = hints;
    });
    let ids = site.subscribe_as(NewSubscriptions { count: 3, ..NewSubscriptions::default() });
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("notifications are taken");
    const UNSEEN: &str = "SELECT count(*) FROM subscriptions WHERE last_answer_at IS NULL";
    eventually("all were looked at", || (site.value::<i64>(UNSEEN) == 0).then_some(()));
    let looks = |id: &str| {
        let of =
            |one: &Request| one.endpoint == Endpoint::Subscription && one.about.subscription_id.as_deref() == Some(id);
        site.sandbox.requests().iter().filter(|one| of(one)).count()
    };
    let receiver = Receiver::new(format!("http://127.0.0.1:{port}/hooks/nexway")).basic("shop", "hush");
    site.sandbox.set_receiver(Some(receiver));
    let lies = json!({"id": "Event-1", "objectType": "subscription", "objectId": ids[1].to_uppercase(), "eventType": "deleted",
                      "sourceSystem": "subscription-module", "data": {"status": "canceled", "amount": "FORGED"}});
    site.sandbox.notify(lies);
    eventually("the liar's was looked at", || (looks(&ids[1]) == 2).then_some(()));
    site.sandbox.switch(|switches| {
        switches.notifications = Notifications {
            duplicates: 2,
            reversed: true,
            unknown_types: true,
            strangers: true,
            forged: true,
            ..Notifications::default()
        };
    });
    site.sandbox.bill(&ids[0], 1).unwrap();
    let message = site.next_message();
    assert_eq!(message.data()["reference"], json!(site.charges(&ids[0])[1].cycle_id.to_lowercase()));
    assert!(!message.body.contains("FORGED"));
    eventually("all are taken", || {
        let sent = site.sandbox.notifications();
        (sent.len() == 11 && sent.iter().all(|one| one.state == SendState::Done)).then_some(())
    });
    site.sandbox.switch(|switches| switches.notifications = Notifications { lost: true, ..Notifications::default() });
    site.sandbox.bill(&ids[2], 1).unwrap();
    let log = daemon.drain().stderr;
    for part in ["FORGED", "customer.example", "Mustermann", "52000"] {
        assert!(!log.contains(part), "{part}");
    }
    assert_eq!(ids.iter().map(|id| looks(id)).collect::<Vec<_>>(), [2, 2, 1], "one look for all that was told");
    assert_eq!(asked(&site).0, 5, "and none for a stranger");
    assert_eq!(site.texts("SELECT DISTINCT state FROM subscriptions"), ["watching"]);
    assert_eq!(site.messages().len(), 1);
    site.let_pass(DAY);
    site.catch_up();
    assert_eq!(site.messages().len(), 2, "what was never told is found all the same");
}
