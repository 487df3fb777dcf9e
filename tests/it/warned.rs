//! Deliveries that lack something: not ready for three days, then handed over with a warning that a person hears of, and looked
//! at again until what was missing has come.

use std::time::Duration;

use renewald::clock::Timestamp;
use renewald::sandbox::nexway_connect::{Endpoint, Fault, FaultKind, NewOrder, Script, Variant};
use serde_json::{Value, json};

use crate::fake_receiver::{Answer, FakeReceiver, Received};
use crate::harness::{DAY, Daemon, HOUR, PATIENCE, Site, Work, about, eventually, keys, keys_of};

const STEP: Duration = Duration::from_secs(4 * 3600);

/// What `A-1` holds from now on, in place of what its order says.
fn holds(site: &Site, variant: Variant) {
    site.sandbox.script("A-1", Script { variant: Some(variant), ..Script::default() });
}

/// `A`, renewed once, and no key is there yet.
fn renewed_without_key() -> (Site, i64) {
    let site = Site::new();
    let id = site.renewed("A");
    holds(&site, Variant::Empty);
    (site, id)
}

/// Passes, four hours apart; when the last of them was.
fn pass_for(work: &mut Work, from: Timestamp, time: Duration) -> Timestamp {
    let mut now = from;
    while now < from + time {
        now = now + STEP;
        work.pass(now);
    }
    now
}

fn order_requests(site: &Site) -> usize {
    site.sandbox.requests().iter().filter(|request| request.endpoint == Endpoint::Order).count()
}

fn revision(message: &Received) -> Value {
    message.data()["revision"].clone()
}

fn warnings(message: &Received) -> Value {
    message.data()["warnings"].clone()
}

fn events(messages: &[Received]) -> Vec<String> {
    messages.iter().map(|message| message.json()["type"].as_str().expect("a type").to_owned()).collect()
}

const READY: &str = "renewald.renewal.ready.v1";
const FAILED: &str = "renewald.renewal.failed.v1";

/// Lines of one subscription with these keys; `Err` is the code of one that is not ready.
fn lines(parts: &[Result<&str, i64>]) -> Script {
    let line = |part: &Result<&str, i64>| {
        let (code, serials) = match part {
            Ok(key) => (0, json!([{"data": key, "encoding": "text", "charset": "utf-8", "fileName": ""}])),
            Err(code) => (*code, json!([])),
        };
        json!({"productRef": 1, "remark": "", "responseCode": code, "responseMessage": "", "files": [],
               "lineItems": [{"subscriptionId": 501, "responseCode": code, "responseMessage": "", "serials": serials}]})
    };
    let lines: Vec<_> = parts.iter().map(line).collect();
    let order = json!({"partnerOrderNumber": "A-1", "orderNumber": 5, "orderLines": lines, "responseCode": 0,
                       "responseMessage": "OK"});
    Script::order_body(order.to_string())
}

/// `A` with subscription 501, renewed, and this is what its order data says.
fn renewed_with(parts: &[Result<&str, i64>]) -> Site {
    let site = Site::new();
    site.place(NewOrder { subscription_ids: vec![501], ..NewOrder::new("A") });
    site.renew("A");
    site.sandbox.script("A-1", lines(parts));
    site
}

#[test]
fn a_key_that_comes_within_three_days_is_all_that_the_customer_hears_of() {
    let (site, id) = renewed_without_key();
    let mut work = site.work();
    let now = pass_for(&mut work, site.now(), 2 * DAY);
    assert_eq!(site.messages().len(), 0);
    let story = site.command(&["explain", "A"]).expect_code(0).stdout;
    assert!(story.contains("empty, success without what it should hold"), "{story}");

    holds(&site, Variant::PlainKey);
    pass_for(&mut work, now, 40 * DAY);
    let messages = site.messages();
    assert_eq!(messages.len(), 1, "{:?}", events(&messages));
    assert_eq!(keys(&messages[0]), site.sandbox.expected_keys("A-1", id));
    assert_eq!((warnings(&messages[0]), revision(&messages[0])), (json!([]), json!(0)));
}

#[test]
fn without_a_key_for_three_days_it_is_delivered_told_and_made_good_by_itself() {
    let (site, id) = renewed_without_key();
    let begun = site.now() - 4 * DAY;
    let mut work = site.work();
    pass_for(&mut work, begun, 71 * HOUR);
    assert_eq!(site.messages().len(), 0);
    pass_for(&mut work, begun + 72 * HOUR, 8 * HOUR);
    drop(work);
    let first = site.next_message();
    assert_eq!((warnings(&first), keys(&first).len()), (json!(["empty"]), 0));

    let told = site.command(&["once", "--cron"]).expect_code(0).stdout;
    assert!(told.contains("alert: warned nexway: 1 renewal was delivered without all"), "{told}");
    assert_eq!(site.command(&["once", "--cron"]).expect_code(0).stdout, "", "once");
    let shown = |arguments: &[&str]| site.command(arguments).expect_code(0).stdout;
    assert!(shown(&["list"]).contains("delivered with a warning: empty"), "{}", shown(&["list"]));
    assert!(shown(&["list", "--warned", "--json"]).contains("\"warnings\":[\"empty\"]"));
    assert!(shown(&["explain", "A"]).contains("delivered with  empty\n"), "{}", shown(&["explain", "A"]));
    assert!(shown(&["explain", "A"]).contains("looked at again"), "{}", shown(&["explain", "A"]));
    assert!(shown(&["status"]).contains("1 renewal in the last 30 days: 1 empty"), "{}", shown(&["status"]));
    let status: Value = serde_json::from_str(&shown(&["status", "--json"])).unwrap();
    let none = json!({"renewals": 1, "partial": 0, "empty": 1, "unknown_encoding": 0, "lines_unmatched": 0,
        "file_not_fetched": 0, "order_missing": 0});
    assert_eq!(status["providers"]["nexway"]["warned"], none);

    holds(&site, Variant::PlainKey);
    site.let_pass(DAY);
    let over = site.command(&["once", "--cron"]).expect_code(0).stdout;
    assert!(over.contains("over: warned nexway"), "{over}");
    let second = site.next_message();
    assert_eq!(keys(&second), site.sandbox.expected_keys("A-1", id));
    assert_eq!((warnings(&second), revision(&second)), (json!([]), json!(1)));
    assert_ne!(second.id, first.id);
    assert_eq!(site.texts("SELECT state || ' ' || revision FROM renewals"), ["queued 1"]);
    assert!(!shown(&["list", "--warned", "--json"]).contains("empty"));
    assert!(!shown(&["status"]).contains("in the last 30 days"));
    let asked = order_requests(&site);
    site.let_pass(2 * DAY);
    site.catch_up();
    assert_eq!((order_requests(&site), site.messages().len()), (asked, 2), "nothing is missing any more");
}

/// Of both kinds, in the same run: what it says of them, and what the API's list has.
#[test]
fn a_run_says_how_many_it_queued_with_a_warning() {
    let site = renewed_with(&[Ok("KEY-1"), Err(1062)]);
    site.renewed("E");
    site.sandbox.script("E-1", Script { variant: Some(Variant::Empty), ..Script::default() });
    site.sandbox.script("A-1", Script::codes([1051; 100]));
    site.command(&["once", "--max-time", "2s"]);
    site.sandbox.script("A-1", lines(&[Ok("KEY-1"), Err(1062)]));
    site.execute(
        "UPDATE renewals SET empty_answers = 7, empty_seconds = 3 * 86400 WHERE reference = 'E-1';
         UPDATE renewals SET next_attempt_at = unixepoch()",
    );
    let told = site.command(&["once", "--json"]).expect_code(0).json();
    let expected = json!({"renewals": 2, "partial": 1, "empty": 1, "unknown_encoding": 0, "lines_unmatched": 0,
        "file_not_fetched": 0, "order_missing": 0});
    assert_eq!(told["warned"], expected, "{told}");

    site.command(&["refetch", "A", "--generation", "1"]).expect_code(0);
    let told = site.command(&["once"]).expect_code(0);
    assert!(told.stdout.contains("1 queued with a warning: 1 partial"), "{told:?}");
    assert!(told.stderr.contains("looked at again daily"), "{told:?}");
}

#[test]
fn a_part_that_comes_later_follows_without_another_failure() {
    let site = renewed_with(&[Ok("KEY-1"), Err(1062), Err(1062)]);
    let mut work = site.work();
    let now = site.now();
    work.pass(now);
    assert_eq!(events(&site.messages()), [READY, FAILED]);
    pass_for(&mut work, now, 3 * DAY);
    assert_eq!(site.messages().len(), 2, "nothing new");

    site.sandbox.script("A-1", lines(&[Ok("KEY-1"), Ok("KEY-2"), Err(1062)]));
    pass_for(&mut work, now + 3 * DAY, 2 * DAY);
    site.sandbox.script("A-1", lines(&[Ok("KEY-1"), Ok("KEY-2"), Ok("KEY-3")]));
    pass_for(&mut work, now + 5 * DAY, 2 * DAY);
    let messages = site.messages();
    assert_eq!(events(&messages), [READY, FAILED, READY, READY]);
    let told: Vec<_> = messages.iter().map(|one| (revision(one), warnings(one), keys(one).len())).collect();
    assert_eq!(told[2..], [(json!(1), json!(["partial"]), 2), (json!(2), json!([]), 3)]);
    let asked = order_requests(&site);
    pass_for(&mut work, now + 7 * DAY, 3 * DAY);
    assert_eq!(order_requests(&site), asked);
}

#[test]
fn after_thirty_days_nobody_looks_any_more() {
    let site = renewed_with(&[Ok("KEY-1"), Err(1062)]);
    let mut work = site.work();
    let now = site.now();
    work.pass(now);
    pass_for(&mut work, now, 31 * DAY);
    let looks = order_requests(&site) - 1;
    assert!((29..=36).contains(&looks), "{looks}");
    assert_eq!(site.texts("SELECT look_again_at FROM renewals"), [""]);
    pass_for(&mut work, now + 31 * DAY, 5 * DAY);
    assert_eq!((order_requests(&site) - 1, site.messages().len()), (looks, 2));
}

/// Nor does a look without an answer count, or say anything.
#[test]
fn trouble_at_a_look_changes_nothing_but_the_time() {
    let site = renewed_with(&[Ok("KEY-1"), Err(1062)]);
    let mut work = site.work();
    let now = site.now();
    work.pass(now);
    let polls = || site.sandbox.requests().iter().filter(|request| request.endpoint == Endpoint::Status).count();
    let polled = polls();
    for code in [1010, 70, 1051, 1062, 1000] {
        site.sandbox.script("A-1", Script::codes([code; 40]));
        work.pass(now + 5 * HOUR);
        site.execute("UPDATE renewals SET look_again_at = look_again_at - 86400");
        work.pass(now + 10 * HOUR);
        let state = "SELECT state || ' ' || revision || ' ' || warnings FROM renewals";
        assert_eq!(site.texts(state), ["queued 0 [\"partial\"]"], "{code}");
    }
    let down = FaultKind::CutBefore;
    site.sandbox.fault(Fault::new(down).at(Endpoint::Order));
    site.execute("UPDATE renewals SET look_again_at = look_again_at - 86400");
    work.pass(now + 15 * HOUR);
    let next = site.value::<i64>("SELECT look_again_at FROM renewals");
    assert!((20 * 3600..=24 * 3600).contains(&(next - (now + 15 * HOUR).as_unix())), "{next}");
    assert_eq!(site.texts("SELECT last_outcome FROM renewals"), ["unreachable"]);
    assert_eq!(site.messages().len(), 2);
    assert!(polls() > polled, "it is polled all the while");
}

#[test]
fn one_answer_serves_the_looks_of_two_siblings_and_the_key_goes_to_its_own() {
    let site = Site::new();
    let ids = site.place(NewOrder { subscriptions: 2, ..NewOrder::new("PAIR") });
    site.renew("PAIR");
    let answer = |key: Option<&str>| {
        let item = |id: i64, key: Option<&str>| {
            let serial = |data: &str| json!({"data": data, "encoding": "text", "charset": "utf-8", "fileName": ""});
            let serials: Vec<_> = key.map(serial).into_iter().collect();
            json!({"subscriptionId": id, "responseCode": 0, "responseMessage": "", "serials": serials})
        };
        let line = json!({"productRef": 1, "remark": "", "responseCode": 0, "responseMessage": "OK", "files": [],
                          "lineItems": [item(ids[0], None), item(ids[1], key)]});
        let order = json!({"partnerOrderNumber": "PAIR-1", "orderNumber": 5, "orderLines": [line], "responseCode": 0,
                           "responseMessage": "OK"});
        Script::order_body(order.to_string())
    };
    site.sandbox.script("PAIR-1", answer(None));
    let mut work = site.work();
    let now = pass_for(&mut work, site.now(), 75 * HOUR);
    assert_eq!(site.messages().len(), 2);
    let asked = order_requests(&site);
    pass_for(&mut work, now, DAY + STEP);
    assert_eq!(order_requests(&site), asked + 1, "one request for both");

    site.sandbox.script("PAIR-1", answer(Some("ITS-OWN")));
    pass_for(&mut work, now + DAY + STEP, 3 * DAY);
    let of = |id: i64| about(&site.messages(), id);
    assert_eq!((of(ids[0]).len(), of(ids[1]).len()), (1, 2));
    assert_eq!(keys(&of(ids[1])[1]), ["ITS-OWN"]);
}

#[test]
fn killed_while_it_looks_or_sends_what_came_it_goes_on_under_the_same_id() {
    let site = renewed_with(&[Ok("KEY-1"), Err(1062)]);
    site.catch_up();
    (0..2).for_each(|_| drop(site.next_message()));
    site.let_pass(DAY);
    site.sandbox.script("A-1", lines(&[Ok("KEY-1"), Ok("KEY-2")]));
    site.sandbox.fault(Fault::new(FaultKind::Hold).at(Endpoint::Order));
    let asked = site.sandbox.request_count();
    let daemon = Daemon::spawn(&site);
    let look = site.sandbox.wait_for(|one| one.seq >= asked && one.endpoint == Endpoint::Order, PATIENCE);
    look.expect("it looks");
    daemon.kill();
    assert_eq!(site.value::<i64>("SELECT revision FROM renewals"), 0);
    site.sandbox.clear_faults();

    site.receiver.answer(Answer::Never);
    let daemon = Daemon::spawn(&site);
    let first = site.next_message();
    assert_eq!((keys_of(&first.json()), revision(&first)), (vec!["KEY-1".to_owned(), "KEY-2".to_owned()], json!(1)));
    daemon.kill();
    let receiver = FakeReceiver::start_at(site.receiver.stop());
    site.catch_up();
    let again = receiver.next_message();
    assert_eq!((again.id, again.body), (first.id, first.body));
    site.let_pass(3 * DAY);
    site.catch_up();
    assert_eq!(receiver.messages().len(), 1);
}

#[test]
fn who_is_untracked_is_not_looked_at_who_is_paused_is_and_refetch_begins_anew() {
    let next = |site: &Site| site.value::<Option<i64>>("SELECT look_again_at FROM renewals");
    let partial = || {
        let site = renewed_with(&[Ok("KEY-1"), Err(1062)]);
        site.catch_up();
        assert!(next(&site).is_some());
        site
    };
    let site = partial();
    site.command(&["pause", "A"]).expect_code(0);
    site.sandbox.script("A-1", lines(&[Ok("KEY-1"), Ok("KEY-2")]));
    site.let_pass(DAY);
    site.catch_up();
    assert_eq!(site.messages().len(), 3);

    let site = partial();
    site.command(&["untrack", "A"]).expect_code(0);
    assert_eq!(next(&site), None);

    let site = partial();
    let standing = || site.texts("SELECT kind FROM alerts");
    assert_eq!(standing(), ["warned"]);
    site.sandbox.script("A-1", Script::codes([1051; 100]));
    site.command(&["refetch", "A", "--generation", "1"]).expect_code(0);
    assert_eq!(next(&site), None);
    site.command(&["once", "--max-time", "2s"]);
    assert_eq!(standing(), ["warned"], "nothing has come yet");
    site.sandbox.script("A-1", lines(&[Ok("KEY-1"), Ok("KEY-2")]));
    site.execute("UPDATE renewals SET next_attempt_at = unixepoch()");
    site.catch_up();
    assert_eq!((next(&site), standing().len()), (None, 0));
    let last = site.messages().pop().expect("a message");
    assert_eq!((revision(&last), keys(&last).len()), (json!(1), 2));
    eventually("it is delivered", || (site.delivered() == 3).then_some(()));
}
