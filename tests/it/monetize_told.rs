//! Nexway Monetize, what is told beside deliveries: offers, payments that fail, ends; and what is told of nobody.

use renewald::clock::Timestamp;
use renewald::sandbox::nexway_monetize::{Endpoint, Fault, FaultKind, NewSubscriptions, Sandbox, Script, Step};
use serde_json::{Value, json};

use crate::fake_receiver::Received;
use crate::harness::{DAY, HOUR, Site, about, keys};
use crate::nexway_monetize::{site, site_of_all_types};

/// The `data` of the messages of this type, in their order.
fn of_type(site: &Site<Sandbox>, name: &str) -> Vec<Value> {
    let wanted = format!("renewald.{name}.v1");
    site.messages()
        .iter()
        .map(Received::json)
        .filter(|event| event["type"] == wanted)
        .map(|event| event["data"].clone())
        .collect()
}

fn ends_on(expires_at: Timestamp) -> NewSubscriptions {
    NewSubscriptions { expires_at: Some(expires_at), ..NewSubscriptions::default() }
}

/// As a platform does that notes what happens to an order at its subscription.
fn touch(site: &Site<Sandbox>, id: &str) {
    site.sandbox.set_replayable(id, true).unwrap();
}

#[test]
fn an_offer_is_told_as_accepted_aborted_and_used_each_once() {
    let site = site_of_all_types();
    let ids = site.subscribe_as(NewSubscriptions { count: 2, ..Default::default() });
    let (mut work, now) = (site.work(), site.now());
    let mut pass = |hours| {
        [hours, hours + 5].into_iter().for_each(|at: u32| drop(work.pass(now + at * HOUR)));
    };
    pass(0);
    let orders: Vec<_> = ids.iter().map(|id| site.sandbox.accept_offer(id, 0.25).unwrap()).collect();
    ids.iter().for_each(|id| touch(&site, id));
    pass(10);
    assert_eq!(site.messages().len(), 2);
    site.sandbox.suspend(&ids[0]).unwrap();
    site.renew(&ids[1]);
    pass(20);
    let told = of_type(&site, "subscription.offer");
    let of =
        |id: &str| -> Vec<_> { told.iter().filter(|data| data["subscription"]["subscription_id"] == id).collect() };
    for (n, states) in [["accepted", "aborted"], ["accepted", "used"]].iter().enumerate() {
        let told = of(&ids[n]);
        assert_eq!(told.iter().map(|data| data["state"].clone()).collect::<Vec<_>>(), *states);
        for data in told {
            assert_eq!(data["order_number"], orders[n]);
            let discount = &data["discount"];
            assert_eq!((&discount["rate"], &discount["amount"]), (&json!("0.25"), &json!("40.5")), "{discount}");
        }
    }
    let renewal = &of_type(&site, "renewal.ready")[0];
    assert_eq!((&renewal["order_number"], &renewal["charge"]["amount"]), (&json!(orders[1]), &json!("40.5")));
    assert_eq!(site.expected_keys(&json!({ "data": renewal })).len(), 1);
}

#[test]
fn dunning_is_silent_and_a_payment_that_fails_is_told_once_per_episode() {
    let site = site_of_all_types();
    let ids = site.subscribe_as(NewSubscriptions { count: 3, ..Default::default() });
    let [silent, refused, failed] = [0, 1, 2].map(|n: usize| ids[n].as_str());
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    site.sandbox.prebill(silent).unwrap();
    site.sandbox.set_status(silent, Some("Dunning")).unwrap();
    site.sandbox.refuse_payment(refused, None).unwrap();
    let order = site.sandbox.prebill(failed).unwrap();
    site.sandbox.set_status(failed, Some("Dunning")).unwrap();
    let body = json!({"items": [{"id": order, "subscriptionId": failed, "generationId": "1", "source": "SUBSCRIPTION",
                                 "status": "CREATED", "lifeCycleStatus": "PREBILLING_FAILED"}], "last": true});
    let told_so = Fault::new(FaultKind::Body { body: body.to_string() }).at(Endpoint::Orders);
    site.sandbox.fault(told_so.subscription(failed));
    for hours in [5, 10, 15] {
        work.pass(now + hours * HOUR);
    }
    let failing = || -> Vec<_> {
        let told = of_type(&site, "renewal.payment_failing");
        told.iter().map(|data| (data["subscription"]["subscription_id"].clone(), data["reason"].clone())).collect()
    };
    let mut first = failing();
    first.sort_by_key(|(id, _)| *id != refused);
    assert_eq!(first, [(json!(refused), json!("PAYMENT_REFUSED")), (json!(failed), json!("PREBILLING_FAILED"))]);
    let data = &of_type(&site, "renewal.payment_failing");
    let data = data.iter().find(|data| data["reason"] == "PAYMENT_REFUSED").unwrap();
    assert_eq!((&data["generation"], &data["will_retry"]), (&json!(1), &json!(true)));
    assert_eq!(data["since"], now.to_string());
    assert_eq!(of_type(&site, "renewal.failed").len(), 0);

    // Paid after all, and refused a year later: another episode.
    site.renew(refused);
    work.pass(now + 20 * HOUR);
    assert_eq!(of_type(&site, "renewal.ready").len(), 1);
    site.sandbox.refuse_payment(refused, None).unwrap();
    work.pass(now + 25 * HOUR);
    work.pass(now + 30 * HOUR);
    let told = of_type(&site, "renewal.payment_failing");
    let generations: Vec<_> = told.iter().filter(|data| data["subscription"]["subscription_id"] == refused).collect();
    assert_eq!(generations.iter().map(|data| data["generation"].clone()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(of_type(&site, "renewal.failed").len(), 0);
}

#[test]
fn canceled_and_expired_end_a_subscription_once_seen_twice() {
    let site = site_of_all_types();
    let now = site.now();
    let ids = [(); 2].map(|()| site.subscribe_as(ends_on(now + DAY)).remove(0));
    let mut work = site.work();
    work.pass(now);
    site.sandbox.cancel(&ids[0]).unwrap();
    site.sandbox.refuse_payment(&ids[1], None).unwrap();
    work.pass(now + 5 * HOUR);
    site.sandbox.expire(&ids[1]).unwrap();
    work.pass(now + 35 * DAY);
    assert_eq!(of_type(&site, "subscription.ended").len(), 1, "the other one was seen once");
    assert_eq!(of_type(&site, "renewal.failed").len(), 0);
    work.pass(now + 37 * DAY);
    work.pass(now + 39 * DAY);
    let ended: Vec<_> = ids
        .iter()
        .map(|id| {
            let ended = of_type(&site, "subscription.ended");
            let ours: Vec<_> = ended.iter().filter(|data| data["subscription"]["subscription_id"] == *id).collect();
            assert_eq!(ours.len(), 1);
            ours[0]["reason"].clone()
        })
        .collect();
    assert_eq!(ended, ["cancelled", "expired"]);
    // Now that nothing follows, a refused payment is a renewal that failed.
    let failed = of_type(&site, "renewal.failed");
    assert_eq!(failed.len(), 1);
    assert_eq!((&failed[0]["reason"], &failed[0]["reference"]), (&json!("refused"), &json!("1")));
    assert_eq!(site.texts("SELECT DISTINCT state FROM subscriptions"), ["ended"]);
}

#[test]
fn suspended_and_a_used_up_payment_method_are_told_as_changes_of_the_status() {
    let site = site_of_all_types();
    let id = site.subscribe();
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    site.sandbox.suspend(&id).unwrap();
    work.pass(now + 5 * HOUR);
    site.sandbox.reactivate(&id).unwrap();
    site.sandbox.set_replayable(&id, false).unwrap();
    work.pass(now + 10 * HOUR);
    let changes: Vec<_> = of_type(&site, "subscription.status_changed").iter().map(|data| data["to"].clone()).collect();
    assert_eq!(changes, ["Suspended", "Active, payment method no longer replayable (card_expired)"]);
    assert_eq!(site.messages().len(), 2);
}

/// Answers that prove nothing about whom they are for bring nothing.
#[test]
fn keys_that_name_nobody_or_another_never_arrive() {
    let site = site();
    let ids = site.subscribe_as(NewSubscriptions { count: 3, ..Default::default() });
    ids.iter().for_each(|id| site.renew(id));
    let theirs = site.renewed_by(&ids[1]);
    site.sandbox.switch(|switches| (switches.subscription_named, switches.foreign_lines) = (false, true));
    let (mut work, now) = (site.work(), site.now());
    (0..12).for_each(|n| drop(work.pass(now + n * 5 * HOUR)));
    assert_eq!(site.messages().iter().filter(|message| !keys(message).is_empty()).count(), 0);
    // Whatever is answered to a question about one of them, it is another's.
    site.sandbox.switch(|switches| {
        *switches = renewald::sandbox::nexway_monetize::Switches { rate_limit: 0, ..Default::default() }
    });
    let new = site.subscribe();
    site.renew(&new);
    let order = site.renewed_by(&new);
    let theirs = site.sandbox.expected_keys(&theirs)[0].clone();
    let body = |owner: Value, of: Value| {
        json!([{"id": "1", "lineItemId": "x", "orderId": of, "subscriptionId": owner, "processingStatus": "COMPLETED",
                "activationCode": theirs}])
        .to_string()
    };
    let bodies = [
        body(json!(ids[1]), json!(order)),
        body(json!(new), json!("42WRNTVCTVJ")),
        body(Value::Null, json!(order)),
        body(json!({"id": new}), json!(order)),
        body(json!(""), json!(order)),
    ];
    for (n, body) in (13..).zip(bodies) {
        site.sandbox.script_order(&order, Script { data_body: Some(body), ..Script::default() }).unwrap();
        work.pass(now + n * 5 * HOUR);
        assert_eq!(about(&site.messages(), &new).len(), 0);
    }
    site.sandbox.script_order(&order, Script::default()).unwrap();
    work.pass(now + 100 * HOUR);
    let messages = about(&site.messages(), &new);
    assert_eq!(keys(&messages[0]), site.sandbox.expected_keys(&order));
}

#[test]
fn an_answer_of_the_past_is_none_and_no_surprise() {
    let site = site();
    let id = site.subscribe();
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    site.renew(&id);
    work.pass(now + 5 * HOUR);
    let stale = json!({"id": id, "dbVersion": 1, "updateDate": now.as_unix() * 1000,
                       "lifecycle": {"generation": 0, "status": "Active"}});
    site.sandbox.fault(Fault::new(FaultKind::Body { body: stale.to_string() }).at(Endpoint::Subscription).times(1));
    work.pass(now + 10 * HOUR);
    assert_eq!(site.texts("SELECT last_outcome || ' ' || surprises FROM subscriptions"), ["unreadable 0"]);
    site.renew(&id);
    work.pass(now + 15 * HOUR);
    assert_eq!(site.messages().len(), 2);
}

#[test]
fn a_word_that_nobody_knows_stops_nothing() {
    let site = site();
    let id = site.subscribe();
    site.sandbox.set_status(&id, Some("Frozen in time")).unwrap();
    site.sandbox.script(&id, 1, Script::steps([Step::status("HELD_BY_MAGIC")])).unwrap();
    site.renew(&id);
    let (mut work, now) = (site.work(), site.now());
    work.pass(now);
    work.pass(now + HOUR);
    assert_eq!(keys(&site.next_message()), site.sandbox.expected_keys(&site.renewed_by(&id)));
}
