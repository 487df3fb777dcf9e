//! Digital River: each paid order once, whatever its lists do; a period without an order by itself; and a provider that is gone.

use std::time::Duration;

use renewald::clock::Timestamp;
use renewald::sandbox::digital_river::{
    self as fake, ErrorBody, Fault, FaultKind, ListOrder, NewSubscriptions, Notifications, Receiver, Sandbox,
    SendState, State, Switches, TimeForm,
};
use serde_json::{Value, json};

use crate::digital_river::{site, site_with};
use crate::harness::{DAY, Daemon, HOUR, Site, Work, about, eventually, keys};
use crate::http::free_port;

const MINUTE: Duration = Duration::from_secs(60);

/// Provider and worker, whose clocks go together.
struct Days<'a> {
    site: &'a Site<Sandbox>,
    work: Work,
    now: Timestamp,
}

impl<'a> Days<'a> {
    fn begin(site: &'a Site<Sandbox>) -> Self {
        let mut days = Self { site, work: site.work(), now: site.sandbox.now() };
        days.pass(Duration::ZERO);
        days
    }

    /// What the lists say is looked at in the same moment.
    fn pass(&mut self, time: Duration) {
        self.site.sandbox.advance(time);
        self.now = self.now + time;
        self.work.pass(self.now);
        self.work.pass(self.now + MINUTE);
    }

    fn passes(&mut self, count: u32, time: Duration) {
        (0..count).for_each(|_| self.pass(time));
    }
}

/// The messages about it that are deliveries, by reference and revision.
fn ready(site: &Site<Sandbox>, id: &str) -> Vec<(String, i64)> {
    let of = about(&site.messages(), id);
    let ready = of.iter().filter(|message| message.json()["type"] == "renewald.renewal.ready.v1");
    let named = |data: Value| (data["reference"].as_str().unwrap().to_owned(), data["revision"].as_i64().unwrap());
    ready.map(|message| named(message.data())).collect()
}

fn types(site: &Site<Sandbox>, id: &str) -> Vec<String> {
    let of = about(&site.messages(), id);
    let plain = |kind: &str| kind.trim_start_matches("renewald.").trim_end_matches(".v1").to_owned();
    of.iter().map(|message| plain(message.json()["type"].as_str().unwrap())).collect()
}

fn data(site: &Site<Sandbox>, id: &str, kind: &str) -> Value {
    let of = about(&site.messages(), id);
    let found = of.iter().find(|message| message.json()["type"] == format!("renewald.{kind}.v1"));
    found.unwrap_or_else(|| panic!("no {kind} of {id}")).data()
}

#[test]
fn a_renewal_arrives_minutes_after_it_was_paid_with_charge_period_invoice_and_key() {
    let site = site_with(|setup| {
        setup.accounts[0].keys.push_str("keys_pointer = \"/licence_key\"\ninvoice_links = true\n");
    });
    site.sandbox.switch(|switches| switches.keys = true);
    let new = NewSubscriptions { upstream_id: Some("SHOP-7".to_owned()), ..NewSubscriptions::default() };
    let id = site.subscribe(new).remove(0);
    let mut days = Days::begin(&site);
    days.passes(25, DAY);
    site.sandbox.open_invoice(&id).unwrap();
    site.sandbox.fail_attempt(&id, "insufficient_funds").unwrap();
    days.pass(11 * MINUTE);
    let order = site.sandbox.pay(&id).unwrap();
    days.pass(11 * MINUTE);
    assert_eq!(ready(&site, &id), [(order.clone(), 0)]);
    let failing = data(&site, &id, "renewal.payment_failing");
    assert_eq!((&failing["generation"], &failing["will_retry"]), (&json!(1), &json!(true)));
    assert_eq!(failing["reason"], "activePendingInvoice");
    let told = data(&site, &id, "renewal.ready");
    let charge = json!({"amount": "26.94", "currency": "USD", "state": "complete", "attempts": 2, "reference": order});
    assert_eq!((&told["charge"], &told["order_number"], &told["generation"]), (&charge, &json!(order), &json!(1)));
    let ends = site.sandbox.subscriptions()[0].ends_at.to_string();
    assert_eq!((&told["period"]["end"], &told["expires_at"]), (&json!(ends), &json!(ends)));
    assert_eq!(told["documents"], json!([{"label": "invoice", "url": format!("https://files.example/file-{order}")}]));
    let arrived = site.messages().into_iter().find(|message| message.json()["type"] == "renewald.renewal.ready.v1");
    assert_eq!(keys(&arrived.unwrap()), site.sandbox.expected_keys(&order));
    assert_eq!(told["subscription"]["partner_reference"], "SHOP-7");
    let links = site.sandbox.requests().iter().filter(|request| request.endpoint == fake::Endpoint::FileLinks).count();
    assert_eq!(links, 1, "once per delivery");
    let kept = std::fs::read(site.database()).unwrap();
    for personal in ["customer@example.com", "A Customer", "1111\""] {
        assert!(!kept.windows(personal.len()).any(|part| part == personal.as_bytes()), "{personal}");
    }
}

#[test]
fn lists_may_do_what_they_like() {
    let quirks: [fn(&mut Switches); 6] = [
        |switches| switches.list_order = ListOrder::OldestFirst,
        |switches| (switches.times, switches.numeric_ids) = (TimeForm::Offset, true),
        |switches| (switches.times, switches.order_terms) = (TimeForm::Fraction, true),
        |switches| (switches.subscription_filter, switches.event_filter) = (false, false),
        |switches| (switches.events_twice, switches.period_start) = (true, false),
        |switches| switches.order_hidden_for = 2,
    ];
    for (n, quirk) in quirks.into_iter().enumerate() {
        let site = site();
        site.sandbox.switch(quirk);
        let ids = site.subscribe(NewSubscriptions { count: 3, one_customer: true, ..NewSubscriptions::default() });
        let mut days = Days::begin(&site);
        days.passes(2, DAY);
        let first = site.sandbox.pay(&ids[1]).unwrap();
        days.passes(6, 5 * HOUR);
        let orders = [site.sandbox.pay(&ids[1]).unwrap(), site.sandbox.pay(&ids[1]).unwrap()];
        days.passes(8, 5 * HOUR);
        assert_eq!(ready(&site, &ids[0]), [], "quirk {n}");
        let mut told = ready(&site, &ids[1]);
        told.sort();
        let expected: Vec<_> = [&[first], &orders[..]].concat().into_iter().map(|order| (order, 0)).collect();
        assert_eq!(told, expected, "quirk {n}");
    }
}

#[test]
fn a_filter_that_is_ignored_brings_nobody_elses_orders() {
    let site = site();
    let ids = site.subscribe(NewSubscriptions { count: 2, ..NewSubscriptions::default() });
    site.sandbox
        .fault(Fault::new(FaultKind::IgnoreQuery { names: vec!["subscriptionId".into(), "customerId".into()] }));
    let mut days = Days::begin(&site);
    let order = site.sandbox.pay(&ids[0]).unwrap();
    days.passes(2, DAY);
    assert_eq!((ready(&site, &ids[0]), ready(&site, &ids[1])), (vec![(order, 0)], vec![]));
}

#[test]
fn an_order_that_is_blocked_or_not_paid_counts_for_nothing() {
    let site = site();
    let id = site.subscribe_one();
    let mut days = Days::begin(&site);
    let [blocked, review, paid] = [(); 3].map(|()| site.sandbox.pay(&id).unwrap());
    site.sandbox.set_order_state(&blocked, "blocked").unwrap();
    site.sandbox.set_order_state(&review, "in_review").unwrap();
    days.pass(DAY);
    assert_eq!(ready(&site, &id), [(paid.clone(), 0)]);
    site.sandbox.set_order_state(&review, "accepted").unwrap();
    days.pass(2 * DAY);
    assert_eq!(ready(&site, &id), [(paid, 0), (review, 0)]);
    let late = about(&site.messages(), &id).last().unwrap().data();
    assert_eq!((&late["generation"], &late["late"]), (&json!(2), &json!(true)), "labels that were given do not change");
}

#[test]
fn a_period_without_an_order_is_told_and_its_order_is_another_revision_of_it() {
    let site = site();
    let id = site.subscribe_one();
    let mut days = Days::begin(&site);
    days.passes(26, DAY);
    let billed = site.sandbox.now();
    site.sandbox.extend(&id).unwrap();
    days.pass(DAY);
    days.passes(4, 5 * HOUR);
    assert_eq!(ready(&site, &id), [], "five looks");
    days.passes(2, 5 * HOUR);
    let name = format!("period:{}", site.sandbox.subscriptions()[0].ends_at);
    assert_eq!(ready(&site, &id), [(name.clone(), 0)]);
    let told = data(&site, &id, "renewal.ready");
    assert_eq!((&told["charge"], &told["warnings"]), (&Value::Null, &json!(["order_missing"])));
    assert_eq!(told["period"]["end"], site.sandbox.subscriptions()[0].ends_at.to_string());

    let order = site.sandbox.add_order(&id, billed).unwrap();
    days.passes(4, DAY);
    assert_eq!(ready(&site, &id), [(name.clone(), 0), (name, 1)], "and nothing under the order's own name");
    let last = about(&site.messages(), &id).last().unwrap().data();
    assert_eq!((&last["order_number"], &last["warnings"]), (&json!(order), &json!([])));
    let next = site.sandbox.pay(&id).unwrap();
    days.passes(4, DAY);
    assert_eq!(ready(&site, &id)[2..], [(next, 0)]);
}

#[test]
fn every_state_is_told_as_what_it_is() {
    let site = site();
    let ids = site.subscribe(NewSubscriptions { count: 6, ..NewSubscriptions::default() });
    let draft = site.subscribe(NewSubscriptions { draft: true, ..NewSubscriptions::default() }).remove(0);
    let mut days = Days::begin(&site);
    for (id, state) in ids.iter().zip([State::Failed, State::Lapsed, State::Cancelled, State::Ended]) {
        site.sandbox.end(id, state).unwrap();
    }
    site.sandbox.show_state(&ids[4], Some("paused")).unwrap();
    days.passes(70, DAY);
    let of = |nth: usize| types(&site, &ids[nth]);
    let (changed, ended) = ("subscription.status_changed", "subscription.ended");
    for nth in [0, 1] {
        let told = of(nth);
        assert!(told.iter().any(|kind| kind == "renewal.failed") && told.iter().any(|kind| kind == ended), "{told:?}");
    }
    assert_eq!(of(2), [changed, ended]);
    assert_eq!(of(3), [changed, "subscription.not_renewed", ended]);
    let reasons = [2, 3].map(|nth| data(&site, &ids[nth], ended)["reason"].clone());
    assert_eq!(reasons, ["cancelled", "expired"]);
    assert!(!of(4).iter().any(|kind| kind == ended), "nobody knows what that is: {:?}", of(4));
    let failing = data(&site, &ids[5], "renewal.payment_failing");
    assert_eq!((&failing["reason"], &failing["will_retry"]), (&json!("source_invalid"), &Value::Null), "never billed");
    let odd = site.command(&["list", "--surprise", "--json"]).expect_code(0).stdout;
    assert!(odd.contains(&draft) && odd.contains("must activate it"), "{odd}");
}

#[test]
fn one_that_rests_is_asked_daily_and_is_not_overdue() {
    let site = site();
    site.subscribe(NewSubscriptions { count: 5, ..NewSubscriptions::default() });
    let mut days = Days::begin(&site);
    let asked = || site.sandbox.requests().iter().filter(|one| one.endpoint == fake::Endpoint::Subscription).count();
    days.passes(2, DAY);
    let before = asked();
    days.passes(20, 6 * HOUR);
    assert!((5 * 4..=5 * 6).contains(&(asked() - before)), "{} in five days", asked() - before);
    days.passes(20, DAY);
    let before = asked();
    days.passes(4, 6 * HOUR);
    assert!(asked() - before >= 5 * 4, "billed by now, and asked as often as any: {}", asked() - before);
}

#[test]
fn a_notification_brings_a_look_and_nothing_that_it_says_is_believed() {
    let port = free_port();
    let site = site_with(|setup| {
        setup.accounts[0].keys.push_str("feed_every = \"0s\"\n");
        let account = "listen = \"127.0.0.1:PORT\"\nauth = \"basic\"\nuser = \"shop\"\npassword = \"hush\"\n";
        setup.more = format!("[providers.nexway.hints]\n{}", account.replace("PORT", &port.to_string()));
    });
    let ids = site.subscribe(NewSubscriptions { count: 3, ..NewSubscriptions::default() });
    let daemon = Daemon::spawn(&site);
    daemon.wait_for_log("notifications are taken");
    const UNSEEN: &str = "SELECT count(*) FROM subscriptions WHERE last_answer_at IS NULL";
    eventually("all were looked at", || (site.value::<i64>(UNSEEN) == 0).then_some(()));
    let looks = |id: &str| {
        let of = |one: &fake::Request| {
            one.endpoint == fake::Endpoint::Subscription && one.about.subscription_id.as_deref() == Some(id)
        };
        site.sandbox.requests().iter().filter(|one| of(one)).count()
    };
    let receiver = Receiver::new(format!("http://127.0.0.1:{port}/hooks/nexway")).basic("shop", "hush");
    site.sandbox.set_receiver(Some(receiver));
    let lies = json!({"id": "e", "type": "subscription.failed", "data": {"object": {"id": ids[1], "state": "failed"}}});
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
    let order = site.sandbox.pay(&ids[0]).unwrap();
    let message = site.next_message();
    assert_eq!(message.data()["reference"], json!(order));
    eventually("all are taken", || {
        let sent = site.sandbox.notifications();
        (sent.len() == 6 && sent.iter().all(|one| one.state == SendState::Done)).then_some(())
    });
    site.sandbox.switch(|switches| switches.notifications = Notifications { lost: true, ..Notifications::default() });
    let untold = site.sandbox.pay(&ids[2]).unwrap();
    assert!(!daemon.drain().stderr.contains("FORGED"));
    assert_eq!(ids.iter().map(|id| looks(id)).collect::<Vec<_>>(), [2, 2, 1], "one look for all that was told");
    assert_eq!((looks("DR_stranger"), site.sandbox.notifications().len()), (0, 6));
    assert_eq!(site.texts("SELECT DISTINCT state FROM subscriptions"), ["watching"]);
    assert_eq!((types(&site, &ids[0]), types(&site, &ids[1])), (vec!["renewal.ready".to_owned()], vec![]));
    site.let_pass(DAY);
    site.catch_up();
    assert_eq!(ready(&site, &ids[2]), [(untold, 0)], "what was never told is found all the same");
}

#[test]
fn a_provider_that_is_gone_is_one_alert_and_ends_nobody() {
    let gone = [
        FaultKind::Html,
        FaultKind::Status { status: 404, body: ErrorBody::Html, retry_after: None },
        FaultKind::Status { status: 404, body: ErrorBody::Json, retry_after: None },
        FaultKind::Status { status: 403, body: ErrorBody::Empty, retry_after: None },
    ];
    for (n, fault) in gone.into_iter().enumerate() {
        let site = site_with(|setup| setup.admin = "listen = \"\"\nalert_after = \"1s\"".to_owned());
        site.subscribe(NewSubscriptions { count: 12, ..NewSubscriptions::default() });
        site.catch_up();
        site.sandbox.fault(Fault::new(fault));
        for _ in 0..2 {
            site.let_pass(3 * DAY);
            site.command(&["once", "--max-time", "2s"]);
            let standing = site.texts("SELECT kind || ' ' || subject FROM alerts ORDER BY 1");
            assert_eq!(standing, ["provider nexway"], "fault {n}");
        }
        assert_eq!(site.texts("SELECT DISTINCT state FROM subscriptions"), ["watching"], "fault {n}");
        site.sandbox.clear_faults();
        site.let_pass(2 * DAY);
        let told = site.command(&["once", "--cron"]).stdout;
        assert!(told.contains("over: provider nexway"), "fault {n}: {told}");
    }
}

/// Run after run asks so few that none of them alone has seen enough.
#[test]
fn a_small_account_at_a_provider_that_is_gone_is_probed_once_a_day() {
    let site = site_with(|setup| setup.admin = "listen = \"\"\nalert_after = \"1s\"".to_owned());
    site.subscribe(NewSubscriptions { count: 3, ..NewSubscriptions::default() });
    site.catch_up();
    site.sandbox.fault(Fault::new(FaultKind::Html));
    let asked = || {
        let before = site.sandbox.requests().len();
        site.command(&["once", "--max-time", "2s"]);
        site.sandbox.requests().len() - before
    };
    let until_open = (0..10).take_while(|_| {
        site.let_pass(DAY / 2);
        asked();
        site.value::<i64>("SELECT count(*) FROM providers WHERE breaker_open_since IS NOT NULL") == 0
    });
    assert!(until_open.count() < 9, "the breaker opens in the end");
    site.let_pass(2 * DAY);
    assert_eq!(asked(), 1, "one probe");
    site.let_pass(DAY / 2);
    assert_eq!(asked(), 0, "and none for a day");
    site.let_pass(DAY);
    assert_eq!(asked(), 1, "one more");
    site.sandbox.clear_faults();
    site.let_pass(2 * DAY);
    site.catch_up();
    assert_eq!(site.value::<i64>("SELECT count(*) FROM providers"), 0, "one answer, and all is as before");
}

#[test]
fn many_that_are_not_known_hold_up_nobody_who_is() {
    let site = site();
    let id = site.subscribe_one();
    site.catch_up();
    for number in 0..15 {
        site.command(&["track", &format!("of-another-account-{number}"), "--generation", "0"]).expect_code(0);
    }
    site.sandbox.pay(&id).unwrap();
    site.command(&["poll", &id]).expect_code(0);
    let said = site.catch_up().stderr;
    assert!(!said.contains("does not answer"), "{said}");
    assert_eq!(ready(&site, &id).len(), 1);
    assert_eq!(site.value::<i64>("SELECT count(*) FROM subscriptions WHERE last_outcome = 'not_found'"), 15);
}

#[test]
fn one_that_is_not_known_among_others_was_deleted() {
    let site = site();
    let others = site.subscribe(NewSubscriptions { count: 3, ..NewSubscriptions::default() });
    let draft = site.subscribe(NewSubscriptions { draft: true, ..NewSubscriptions::default() }).remove(0);
    let mut days = Days::begin(&site);
    site.sandbox.delete(&draft).unwrap();
    // So that others are answered in between, too.
    site.sandbox.open_invoice(&others[0]).unwrap();
    days.passes(50, 17 * HOUR);
    assert_eq!(types(&site, &draft), ["subscription.ended"]);
    assert_eq!(site.texts("SELECT DISTINCT state FROM subscriptions ORDER BY 1"), ["ended", "watching"]);
}

#[test]
fn a_check_says_that_the_company_has_closed_and_which_key_is_refused() {
    let site = site();
    let id = site.subscribe_one();
    site.catch_up();
    let told = site.command(&["check", "--online"]).expect_code(0).stdout;
    for part in
        ["has closed", "subscriptions: may be read", "events: may be read", &format!("orders of {id}: may be read")]
    {
        assert!(told.contains(part), "{part} in {told}");
    }
    site.change(|setup| setup.secret("nexway", "sk_another"));
    let told = site.command(&["check", "--online"]).expect_code(1).stdout;
    assert!(told.contains("the key is refused (401 invalid_key)") && !told.contains("sk_another"), "{told}");
    site.change(|setup| setup.accounts[0].keys = "api_key_file = \"nexway\"\n".to_owned());
    let told = site.command(&["check"]).expect_code(78);
    let told = told.stdout + &told.stderr;
    assert!(told.contains("api_url") && told.contains("has closed"), "{told}");
}

#[test]
fn a_new_subscription_is_found_by_its_events() {
    let site = site_with(|setup| setup.accounts[0].keys.push_str("discover = \"deliver\"\n"));
    let of_before = site.sandbox.create(NewSubscriptions::default()).unwrap().remove(0);
    let mut days = Days::begin(&site);
    days.pass(HOUR);
    let bought = site.sandbox.create(NewSubscriptions::default()).unwrap().remove(0);
    days.passes(2, 11 * MINUTE);
    let told = |id: &str| {
        let mut told = types(&site, id);
        told.sort();
        told
    };
    assert_eq!(told(&of_before), ["subscription.discovered"]);
    assert_eq!(told(&bought), ["renewal.ready", "subscription.discovered"]);
    let ready = data(&site, &bought, "renewal.ready");
    assert_eq!((&ready["occasion"], &ready["generation"]), (&json!("purchase"), &json!(0)));
}
