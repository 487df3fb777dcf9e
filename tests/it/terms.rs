//! A term's end: when it is believed, and what is told about it.

use renewald::clock::Timestamp;
use renewald::sandbox::nexway_connect::{NewOrder, Script};

use crate::fake_receiver::Received;
use crate::harness::{DAY, Daemon, HOUR, Site, Track};

/// A site whose `shop` gets messages of every type.
fn site() -> Site {
    let site = Site::new();
    site.change(|setup| setup.set_webhook("shop", &site.receiver, "events = [\"*\"]"));
    site
}

fn active(number: &str, expires_at: Timestamp) -> NewOrder {
    let technical_status = Some("ACTIVE".to_owned());
    NewOrder { expires_at: Some(expires_at), auto_renew: false, technical_status, ..NewOrder::new(number) }
}

fn types(messages: &[Received]) -> Vec<String> {
    messages.iter().map(|message| message.json()["type"].as_str().expect("text").to_owned()).collect()
}

#[test]
fn an_impossible_date_leaves_the_known_end_alone() {
    let site = site();
    let end = site.now() + 300 * DAY;
    site.order_as("A", |track| Track { expires_at: Some(end), ..track });
    let mut work = site.work();
    let dates =
        ["\"1970-01-01T01:00:00+01:00\"", "\"0001-01-01T00:00:00\"", "\"20261231235959\"", "0", "\"9999-12-31\""];
    for (n, date) in (1..).zip(dates) {
        let answer = format!(
            r#"{{"partnerOrderNumber": "A", "generation": 0, "technicalStatus": "ACTIVE", "expiration_datetime": {date}}}"#
        );
        site.sandbox.script("A", Script::status_body(answer));
        work.pass(site.now() + n * 5 * HOUR);
        assert_eq!(site.value::<i64>("SELECT expires_at FROM subscriptions"), end.as_unix(), "{date}");
        assert_eq!(site.texts("SELECT last_outcome FROM subscriptions"), ["ok"], "{date}");
    }
    assert_eq!(types(&site.messages()), [""; 0]);
}

#[test]
fn a_term_that_was_over_before_it_was_tracked_is_neither_told_nor_counted_as_not_renewed() {
    let site = site();
    let now = site.now();
    site.place(active("REPORTED", now - 40 * DAY));
    site.place(active("GIVEN", now - 40 * DAY));
    site.place(active("SINCE", now - 20 * DAY));
    site.execute(&format!(
        "UPDATE subscriptions SET tracked_at = {};
         UPDATE subscriptions SET expires_at = {} WHERE partner_order_number = 'GIVEN'",
        (now - 30 * DAY).as_unix(),
        (now - 40 * DAY).as_unix()
    ));
    let unknown = r#"{"partnerOrderNumber": "GIVEN", "generation": 0, "technicalStatus": "ACTIVE"}"#;
    site.sandbox.script("GIVEN", Script::status_body(unknown));
    let report = site.work().pass(now).0;
    assert_eq!((report.polls, report.not_renewed), (3, 1));
    let told = site.messages();
    assert_eq!(types(&told), ["renewald.subscription.not_renewed.v1"]);
    assert_eq!(told[0].data()["subscription"]["partner_order_number"], "SINCE");
    let listed = site.command(&["list", "--not-renewed", "--json"]).expect_code(0).json();
    let listed: Vec<_> = listed["items"].as_array().unwrap().iter().map(|one| &one["partner_order_number"]).collect();
    assert_eq!(listed, ["SINCE"]);
}

#[test]
fn who_is_tracked_again_is_not_counted_by_a_term_that_was_over_before() {
    let site = site();
    let now = site.now();
    let id = site.place(active("A", now - 20 * DAY))[0];
    site.work().pass(now);
    assert_eq!(types(&site.messages()), ["renewald.subscription.not_renewed.v1"]);
    site.command(&["untrack", "A"]).expect_code(0);
    site.command(&["track", "A", &id.to_string(), "--territory", "eu", "--generation", "0"]).expect_code(0);
    let listed = || site.command(&["list", "--not-renewed", "--json"]).expect_code(0).json()["items"].clone();
    assert_eq!(listed(), serde_json::json!([]));
    site.work().pass(now + 5 * HOUR);
    assert_eq!((site.messages().len(), listed()), (1, serde_json::json!([])));
}

const DUE: &str = "renewald.subscription.renewal_due.v1";

/// As [`site`], told so long ahead.
fn site_told(notify_before: &str) -> Site {
    let site = site();
    tell(&site, notify_before);
    site
}

fn tell(site: &Site, notify_before: &str) {
    site.change(|setup| {
        let keys = &mut setup.accounts[0].keys;
        let own: Vec<_> = keys.lines().filter(|line| !line.starts_with("notify_before")).collect();
        *keys = format!("{}\nnotify_before = \"{notify_before}\"\n", own.join("\n"));
    });
}

fn due(site: &Site) -> Vec<Received> {
    site.messages().into_iter().filter(|message| message.json()["type"] == DUE).collect()
}

fn running(number: &str, expires_at: Timestamp) -> NewOrder {
    NewOrder { expires_at: Some(expires_at), ..NewOrder::new(number) }
}

#[test]
fn a_term_is_told_as_due_once_ahead_of_its_end_and_so_is_the_next() {
    let site = site_told("7d");
    let (now, end) = (site.now(), site.now() + 10 * DAY);
    let id = site.place(running("A", end))[0];
    let mut work = site.work();
    work.pass(now);
    assert_eq!(due(&site).len(), 0, "ten days ahead");
    work.pass(now + 4 * DAY);
    let told = due(&site);
    assert_eq!(told.len(), 1);
    let data = told[0].data();
    assert_eq!((&data["expires_at"], &data["generation"]), (&end.to_string().into(), &0.into()));
    assert_eq!(data["subscription"]["subscription_id"], id.to_string());
    let name = format!(r#"["nexway","A","{id}","{}","renewald.subscription.renewal_due","0"]"#, end.as_unix());
    let expected = uuid::Uuid::new_v5(&renewald::delivery::NAMESPACE, name.as_bytes());
    assert_eq!(told[0].id, expected.to_string());
    let explained = site.command(&["explain", "A"]).expect_code(0).stdout;
    assert!(explained.contains(&format!("payment is due on {end}")), "{explained}");

    // It was told, whatever the clock says, and after a restart with more time ahead.
    work.pass(now - 30 * DAY);
    work.pass(now + 5 * DAY);
    drop(work);
    tell(&site, "20d");
    let mut work = site.work();
    work.pass(now + 6 * DAY);
    assert_eq!(due(&site).len(), 1);

    site.renew("A");
    work.pass(now + 9 * DAY);
    assert_eq!(site.numbers().last().unwrap(), "A-1");
    let next = end + 365 * DAY;
    work.pass(next - 40 * DAY);
    assert_eq!(due(&site).len(), 1);
    work.pass(next - 15 * DAY);
    let told = due(&site);
    assert_eq!((told.len(), &told[1].data()["generation"]), (2, &1.into()));
    assert_ne!(told[0].id, told[1].id);
}

#[test]
fn what_is_cancelled_paused_over_or_of_a_provider_that_tells_nothing_is_not_told_as_due() {
    let site = site_told("7d");
    let now = site.now();
    for number in ["CANCELLED", "PAUSED", "SILENT"] {
        site.place(running(number, now + 5 * DAY));
    }
    site.place(active("OVER", now - DAY));
    site.sandbox.cancel("CANCELLED", None).expect("an order");
    site.command(&["pause", "PAUSED"]).expect_code(0);
    let unknown = r#"{"partnerOrderNumber": "SILENT", "code": 1010, "message": "unknown"}"#;
    site.sandbox.script("SILENT", Script::status_body(unknown));
    let mut work = site.work();
    work.pass(now);
    work.pass(now + 2 * DAY);
    assert_eq!(due(&site).len(), 0);
    // Who goes on before the end is told late; what is over is not.
    site.command(&["resume", "PAUSED"]).expect_code(0);
    work.pass(now + 4 * DAY);
    let told: Vec<_> =
        due(&site).iter().map(|one| one.data()["subscription"]["partner_order_number"].clone()).collect();
    assert_eq!(told, ["PAUSED"]);
    site.sandbox.script("SILENT", Script::default());
    work.pass(now + 6 * DAY);
    assert_eq!(due(&site).len(), 1);
}

#[test]
fn nothing_is_told_as_due_by_default() {
    let site = site();
    site.place(running("A", site.now() + DAY));
    site.work().pass(site.now());
    assert_eq!(site.messages().len(), 0);
}

#[test]
fn a_killed_daemon_and_a_run_from_cron_tell_a_term_as_due_once() {
    let site = site_told("7d");
    site.place(running("A", site.now() + DAY));
    let daemon = Daemon::spawn(&site);
    assert_eq!(site.next_message().json()["type"], DUE);
    site.wait_until_delivered(1);
    daemon.kill();
    site.let_pass(5 * HOUR);
    site.catch_up();
    assert_eq!(site.value::<i64>("SELECT count(*) FROM messages"), 1);

    site.place(running("B", site.now() + DAY));
    (0..2).for_each(|_| {
        site.catch_up();
        site.let_pass(5 * HOUR);
    });
    assert_eq!(due(&site).len(), 2);
}

#[test]
fn a_reload_tells_of_terms_that_are_due_by_then() {
    let site = site();
    site.place(running("A", site.now() + 5 * DAY));
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("swept");
    tell(&site, "7d");
    daemon.reload();
    site.command(&["poll", "A"]).expect_code(0);
    assert_eq!(site.next_message().json()["type"], DUE);
    daemon.drain();
}
